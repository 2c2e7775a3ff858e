"""Handling of Ctrl-C in the programs: one line and exit code 130, from the start of the process.

Standard library only: a program enters `quiet` before it loads anything else.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

EXIT_CODE = 130
IMPORTING = "<frozen importlib._bootstrap>"


@contextlib.contextmanager
def quiet(program: str) -> Iterator[None]:
    """Makes Ctrl-C end a program with one line and exit code 130 at any time.

    Extension modules (PyTorch, OpenCV) abort or print tracebacks of their own when an exception
    reaches them while they are loaded: during an import the process ends at once. At any other time
    Ctrl-C raises `KeyboardInterrupt` as ever. While Python shuts down it ends the process again.
    Where it is ignored (a script's background job) it stays so.

    Args:
        program: named in the line.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield
        return

    def answer(number: int, frame: FrameType | None) -> None:
        if not importing(frame):
            raise KeyboardInterrupt
        end(program)

    signal.signal(signal.SIGINT, answer)
    try:
        yield
    except KeyboardInterrupt:
        end(program)
    finally:
        signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_CODE))


def end(program: str) -> None:
    """Says that the program was interrupted and ends the process without any further Python."""
    with contextlib.suppress(OSError):
        os.write(2, f"{message(program)}\n".encode())
    os._exit(EXIT_CODE)


def message(program: str) -> str:
    """The message that is printed after Ctrl-C."""
    return f"{program}: interrupted; what was finished is kept, run it again to go on"


def importing(frame: FrameType | None) -> bool:
    """Returns whether a stack of frames is inside an `import`."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            return True
        frame = frame.f_back
    return False
