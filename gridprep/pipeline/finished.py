"""What is kept of a finished clip, so that the next build need not work out again that it is finished.

Whether a clip is done follows from the clip as it was found, its state, the parameters of the stages and
the program, and from its files being what the state says. The first four cannot change without changing a
digest of them; where that digest is the one that was kept, only sizes and times of the files are left
to be compared, and these are kept in a few numbers beside it. Whatever differs sends the clip the long
way (`gridprep.pipeline.recipe.is_done`), so nothing has to be forgotten when something changes, and a
build that is killed leaves nothing behind that could be believed wrongly.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping

from gridprep.pipeline.state import ClipState, FileStamp
from gridprep.pipeline.unchanged import program
from manifests.records import Clip


def terms(parameters: Mapping[str, str]) -> bytes:
    """Returns a digest of what all clips of a build share: the parameters of its stages, the program."""
    text = json.dumps([program(), dict(parameters)], sort_keys=True)
    return hashlib.sha256(text.encode()).digest()


def mark(clip_and_state: bytes, common: bytes) -> bytes:
    """Returns the digest by which a finished clip is known again.

    Args:
        clip_and_state: as `ListDigest.add` gives it.
        common: as `terms` gives it.
    """
    return hashlib.sha256(clip_and_state + common).digest()


def files_of(state: ClipState) -> str:
    """Returns sizes and times of a state's sources, paths and sizes of its artifacts, as a short text."""

    def numbers(stamp: FileStamp | None) -> list[int] | None:
        if stamp is None:
            return None
        return [stamp.size, stamp.mtime_ns, stamp.ctime_ns, stamp.inode]

    artifacts = [
        (file.path, file.size) for stage in state.stages.values() for file in stage.files.values()
    ]
    return json.dumps([numbers(state.source), numbers(state.alignment), artifacts])


def are_there(files: str, clip: Clip, build: str) -> bool:
    """Returns whether the files of a clip still have the sizes and times that `files_of` noted."""
    try:
        source, alignment, artifacts = json.loads(files)
        if not _is(clip.video, source):
            return False
        if alignment is not None and not _is(clip.alignment, alignment):
            return False
        return all(os.stat(f"{build}/{path}").st_size == size for path, size in artifacts)
    except (OSError, ValueError, TypeError):
        return False


def _is(path: str, numbers: list[int]) -> bool:
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino] == numbers
