"""Small TFLite networks on one core: by LiteRT where it is installed, else by OpenCV.

Both give the same numbers but for rounding (1e-4 of a pixel of the network's own picture; some
hundredths of a pixel once a face has been followed for some frames). LiteRT takes half the time.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput, MissingDependency

RUNTIMES = ("auto", "litert", "opencv")

OUTPUTS = 2
"""Number of outputs of both networks: the points or boxes, and the scores."""

Network = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]]
"""(S, S, 3) RGB in the network's own range → its outputs, flat, the longest first."""


def resolved(runtime: str = "auto") -> str:
    """Resolves a runtime: `litert`, `opencv`, or for `auto` LiteRT where it can be imported, else
    OpenCV.

    Raises: `BadInput` for an unknown one, `MissingDependency` where `litert` is asked for by name and
        cannot be imported.
    """
    if runtime not in RUNTIMES:
        raise BadInput(f"unknown runtime {runtime!r}", f"choose from {', '.join(RUNTIMES)}")
    if runtime == "opencv":
        return runtime
    try:
        _litert()
    except ImportError as error:
        if runtime == "auto":
            return "opencv"
        raise MissingDependency(
            f"LiteRT cannot be imported ({error})",
            "pip install 'facetron-toolkit[prep]', or drop --landmark-option runtime=litert",
        ) from None
    return "litert"


def load(path: Path, runtime: str) -> Network:
    """A network with the weights of a TFLite file, on one of the runtimes that `resolved` gives."""
    return {"litert": _by_litert, "opencv": _by_opencv}[runtime](path)


def _litert() -> Any:
    with _quiet():
        from ai_edge_litert.interpreter import Interpreter
    return Interpreter


def _by_litert(path: Path) -> Network:
    interpreter_class = _litert()
    with _quiet():
        # More threads would fight with the other workers for the cores.
        interpreter = interpreter_class(model_content=path.read_bytes(), num_threads=1)
        interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    outputs = sorted(
        interpreter.get_output_details(), key=lambda each: -int(np.prod(each["shape"]))
    )

    into = interpreter.tensor(source)

    def run(picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        into()[0] = picture  # `set_tensor` copies it twice; the view must be gone before `invoke`
        interpreter.invoke()
        return tuple(interpreter.get_tensor(each["index"]).ravel() for each in outputs)

    return run


def _by_opencv(path: Path) -> Network:
    import cv2

    read: Any = cv2.dnn.readNetFromTFLite
    # OpenCV 5's new engine gives the first of several outputs only, and so does reading from memory,
    # which takes that engine whatever it is told.
    classic = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
    net = read(str(path)) if classic is None else read(str(path), engine=classic)
    names = net.getUnconnectedOutLayersNames()
    if len(names) < OUTPUTS:
        raise MissingDependency(
            f"OpenCV {cv2.__version__} gives {len(names)} of {OUTPUTS} outputs of {path.name}",
            "pip install 'facetron-toolkit[prep]'",
        )

    def run(picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        net.setInput(np.ascontiguousarray(picture.transpose(2, 0, 1))[None])
        outputs = [np.asarray(each, np.float32).ravel().copy() for each in net.forward(names)]
        return tuple(sorted(outputs, key=lambda each: -each.size))

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences file descriptor 2: LiteRT greets from C++, past every setting of Python's. Errors still
    arrive as exceptions."""
    with contextlib.suppress(AttributeError, ValueError):  # standard error may be closed
        sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
