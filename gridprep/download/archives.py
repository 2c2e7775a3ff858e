"""Unpacks archives that were already fetched into a corpus folder.

The rules of `gridprep.download.unpack` hold. An archive that was unpacked before is recognized by its
checksum, and a later `gridprep download` into the same folder recognizes it too.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gridprep.download.corpus import WORKSPACE, is_unpacked, sweep
from gridprep.download.transfer import RemoteFile
from gridprep.download.unpack import unpack
from gridprep.media.decode import VIDEO_SUFFIXES
from manifests.errors import BadInput
from manifests.folders import check_own
from manifests.lock import held


@dataclass(frozen=True)
class UnpackReport:
    """The result of unpacking archives.

    Attributes:
        unpacked, already: names of the archives.
        passed_over: names of archives that hold neither clips nor alignments (`audio_25k.zip`).
        failed: archive → why.
    """

    unpacked: tuple[str, ...]
    already: tuple[str, ...]
    passed_over: tuple[str, ...]
    failed: dict[str, str]


def archives_in(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The zip files among `paths` and in the folders among them. Raises `BadInput` for none."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(sorted(p for p in path.rglob("*") if _is_archive(p)))
        elif path.exists():
            found[path] = None
        else:
            raise BadInput(f"{path} does not exist", "name zip files or a folder of them")
    if not found:
        raise BadInput(
            f"{', '.join(map(str, paths))} holds no zip file", "name zip files or a folder of them"
        )
    return tuple(found)


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and not path.name.startswith(".") and path.is_file()


def unpack_archives(
    archives: Sequence[Path],
    out: Path,
    say: Callable[[str], None] = lambda _: None,
    on_archive: Callable[[], None] = lambda: None,
) -> UnpackReport:
    """Unpacks each archive into a folder of its name in `out`.

    A damaged or hostile archive is reported, and the others go on.

    Args:
        out: corpus folder: new, empty, or made by this command or `gridprep download`.
        say: called with a line for each problem.
        on_archive: called after each archive.

    Raises:
        BadInput: `out` holds other files, or two archives would become one folder.
        Locked: another process writes to `out`.
    """
    check_own(out, (WORKSPACE,), "a corpus by `gridprep unpack` or `gridprep download`")
    targets: dict[Path, Path] = {}
    for archive in archives:
        target = out / archive.stem
        if target in targets:
            raise BadInput(
                f"{targets[target]} and {archive} have the same name", "unpack one of them"
            )
        targets[target] = archive
    unpacked, already, passed_over, failed = [], [], [], {}
    workspace = out / WORKSPACE
    with held(workspace):
        sweep(workspace)
        for target, archive in targets.items():
            try:
                if not _has_clips(archive):
                    passed_over.append(archive.name)
                    continue
                file = RemoteFile(archive.name, "", archive.stat().st_size, _checksum(archive))
                if is_unpacked(target, file):
                    already.append(archive.name)
                    continue
                source: dict[str, object] = {
                    "file": file.name,
                    "size_bytes": file.size_bytes,
                    "checksum": file.checksum,
                }
                unpack(archive, target, workspace, source)
                unpacked.append(archive.name)
            except BadInput as error:
                failed[archive.name] = str(error)
                say(str(error))
            finally:
                on_archive()
    return UnpackReport(tuple(unpacked), tuple(already), tuple(passed_over), failed)


def _has_clips(archive: Path) -> bool:
    """Returns whether an archive lists a video or an alignment. Raises `BadInput` for what is no
    archive."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
    except (zipfile.BadZipFile, OSError, UnicodeError) as error:
        raise BadInput(
            f"{archive} cannot be read as a zip file ({error})", "fetch it again"
        ) from None
    suffixes = {os.path.splitext(name)[1].lower() for name in names}
    return bool(suffixes & {*VIDEO_SUFFIXES, ".align"})


def _checksum(archive: Path) -> str:
    """The checksum in the form of GRID's record, `md5:…`: it identifies archives, no more."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(archive, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return f"md5:{digest.hexdigest()}"
