"""Whose a folder is, asked before a command writes into it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from manifests.errors import BadInput
from manifests.lock import LOCK

UNCOUNTED = frozenset({LOCK, ".ds_store", "thumbs.db", "desktop.ini", ".directory", "lost+found"})
"""What may lie in a folder that counts as empty: our lock, and what file managers leave behind."""


def check_own(
    folder: str | os.PathLike[str],
    marks: Sequence[str],
    what: str,
    remedy: str = "choose an empty folder or one that does not exist yet",
) -> None:
    """Refuses a folder with somebody else's files in it; writes nothing.

    A folder may be written to where it does not exist yet, is empty, or carries a mark: a file or
    folder that the same command left in it. Everything else is somebody's, and no option of a command
    makes it ours.

    Args:
        folder: what the command is about to write into.
        marks: names of which one says that the command made this folder.
        what: what the command makes of a folder, with its article, for the message: `a build`.

    Raises:
        BadInput: the folder is a file, or holds files and no mark.
        OSError: it cannot be read.
    """
    root = Path(folder)
    if not os.path.lexists(root):
        return
    if not root.is_dir():
        raise BadInput(f"{root} is not a folder", remedy)
    if any(os.path.lexists(root / mark) for mark in marks):
        return
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.lower() not in UNCOUNTED and not entry.name.startswith(".tmp-"):
                raise BadInput(
                    f"{root} is not empty ({entry.name}) and was not made as {what}", remedy
                )
