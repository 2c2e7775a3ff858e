"""One writer per build folder."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from manifests.errors import Locked, MissingDependency

RUNNING = ".running"
LOCK = ".lock"


@contextlib.contextmanager
def build_lock(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Holds the folder's lock, and sweeps what a killed run left behind.

    The kernel frees the lock when the process ends, however it ends, so a kill -9 never leaves a
    stale one. Raises `Locked` naming the holder.
    """
    try:
        import fcntl
    except ImportError:
        raise MissingDependency("building needs Linux or macOS (file locks)", "use WSL") from None
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    with open(root / LOCK, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise Locked(
                f"{root} is being written by {holder}", "wait for it or choose another --out"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        running = root / RUNNING
        was_killed = running.exists()
        if was_killed:
            sweep(root)
        running.touch()
        yield
        if was_killed:
            sweep(root)  # its workers live on for a moment and may have left one more
        running.unlink()


def sweep(root: Path) -> int:
    """Removes temporary files that a killed run left; returns how many."""
    count = 0
    for path in root.rglob(".tmp-*"):
        with contextlib.suppress(OSError):
            path.unlink()
            count += 1
    return count
