"""Locks of folders: one writer at a time per build, download or run directory."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from manifests.console import warn_once
from manifests.errors import Locked, MissingDependency
from manifests.io import UNSUPPORTED

LOCK = ".lock"


@contextlib.contextmanager
def held(folder: str | os.PathLike[str], remedy: str = "wait for it to end") -> Iterator[None]:
    """Locks a folder while the block runs; the folder is made if it does not exist.

    The kernel frees the lock when the process ends, however it ends, so a kill -9 never leaves a
    stale one. The file `.lock` stays and names the last holder. Where the file system has no locks
    (some network mounts), a warning is printed once and the block runs without one.

    Raises:
        Locked: another process holds it; the message names it.
        MissingDependency: a system without file locks.
    """
    try:
        import fcntl
    except ImportError:
        raise MissingDependency(
            "writing here needs Linux or macOS (file locks)", "use WSL"
        ) from None
    root = Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        opened = open(root / LOCK, "a+", encoding="utf-8")  # noqa: SIM115 (closed by the block below)
    except OSError as error:
        error.filename = str(root)  # the folder is what a person named
        raise
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise Locked(f"{root} is being written by {holder}", remedy) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            warn_once(
                f"{root} is on a file system without locks ({error.strerror}): "
                "nothing stops a second program from writing there at the same time"
            )
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
