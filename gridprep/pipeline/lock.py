"""The lock of a build folder (one writer at a time), and removal of files left by a killed build."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from manifests.lock import held

RUNNING = ".running"


@contextlib.contextmanager
def build_lock(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Locks the folder and removes files that a killed run left behind. Raises `Locked`."""
    root = Path(folder)
    with held(root, "wait for it or choose another --out"):
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
