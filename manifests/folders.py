"""Checks of an output folder: a command writes only into a new, an empty or its own folder, or next to the
files of others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from manifests.errors import BadInput
from manifests.lock import LOCK

UNCOUNTED = frozenset({LOCK, ".ds_store", "thumbs.db", "desktop.ini", ".directory", "lost+found"})
"""Files that a folder counted as empty may hold: the toolkit's lock and files of file managers."""


def check_own(
    folder: str | os.PathLike[str],
    marks: Sequence[str],
    what: str,
    remedy: str = "choose an empty folder or one that does not exist yet",
) -> None:
    """Refuses a folder that holds other files than the command's own; writes nothing.

    A folder may be written to if it does not exist yet, is empty, or carries a mark: a file or
    folder that the same command left in it. Any other folder is refused, and no option of a command
    changes that.

    Args:
        folder: the folder that the command will write into.
        marks: names of files or folders any of which marks a folder as made by the command.
        what: the kind of folder that the command makes, with its article, for messages: `a build`.

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


def check_free(
    folder: str | os.PathLike[str], names: Iterable[str], marks: Sequence[str], what: str
) -> None:
    """Refuses to overwrite files of others in a folder that may hold anything; writes nothing.

    Args:
        folder: the folder that the command will write into.
        names: of the files that it will write.
        marks: names of files that are all there where an earlier call of the command wrote them.
        what: what the command makes, with its article, for messages: `a report`.

    Raises:
        BadInput: the folder is a file; or one of the files is there, and not all of the marks.
    """
    root, remedy = Path(folder), "choose another --out"
    if os.path.lexists(root) and not root.is_dir():
        raise BadInput(f"{root} is not a folder", remedy)
    if all((root / mark).is_file() for mark in marks):
        return
    for name in names:
        if os.path.lexists(root / name):
            raise BadInput(f"{root / name} is there already, and not of {what}", remedy)
