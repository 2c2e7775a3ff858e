"""Downloads GRID from its record into a corpus folder: plans archives, checks space, unpacks each.

OUT/s1/*.mpg … OUT/s34/*.mpg      a folder that is there is whole
OUT/alignments/s1/*.align …
OUT/.download/                    parts, archives, work in progress
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gridprep.download.network import Network
from gridprep.download.record import Record
from gridprep.download.transfer import RemoteFile, bytes_on_disk, fetch_file, part_of
from gridprep.download.unpack import BLOCK_BYTES, MARKER, unpack
from manifests.corpus_lists import expected_counts
from manifests.errors import BadInput
from manifests.folders import check_own
from manifests.lock import held

WORKSPACE = ".download"
ALIGNMENTS = "alignments"
VIDEO_GROWTH = 1.1
"""MPEG video hardly packs: unpacked it takes the archive's size, whole blocks and some reserve."""
ALIGNMENT_FILES = 34_000


@dataclass(frozen=True)
class Archive:
    """One archive of the record and the folder that it becomes.

    Attributes:
        name: `s1` or `alignments`.
        file: the file of the record.
        target: folder of its content.
        unpacked: whether it is there already.
    """

    name: str
    file: RemoteFile
    target: Path
    unpacked: bool

    @property
    def local(self) -> Path:
        """Returns where the archive itself lies while it is needed."""
        return self.target.parent / WORKSPACE / self.file.name

    @property
    def have_bytes(self) -> int:
        return self.file.size_bytes if self.unpacked else bytes_on_disk(self.local)

    @property
    def unpacked_bytes(self) -> int:
        """Estimate of what its content takes on the disk."""
        if self.name == ALIGNMENTS:
            return max(ALIGNMENT_FILES * BLOCK_BYTES, self.file.size_bytes)
        return int(VIDEO_GROWTH * self.file.size_bytes)

    def state(self) -> str:
        """`unpacked`, `archive here`, `43 % here` or `missing`."""
        if self.unpacked:
            return "unpacked"
        if self.local.exists():
            return "archive here"
        have = self.have_bytes if part_of(self.local).exists() else 0
        return f"{100 * have / max(self.file.size_bytes, 1):.0f} % here" if have else "missing"


@dataclass(frozen=True)
class DownloadReport:
    """The result of a download: names of archives, and the reasons of failures."""

    fetched: tuple[str, ...]
    already: tuple[str, ...]
    failed: dict[str, str]


def is_unpacked(target: Path, file: RemoteFile) -> bool:
    """Returns whether `target` is this archive's content. Raises `BadInput` where it is anything else."""
    try:
        marker = json.loads((target / MARKER).read_text("utf-8"))
        if marker.get("checksum") == file.checksum:
            return True
        problem = f"{target} was unpacked from another version of {file.name}"
    except FileNotFoundError:
        if not target.exists():
            return False
        problem = f"{target} exists and was not made by this command"
    except (OSError, ValueError, AttributeError) as error:
        problem = f"{target / MARKER} cannot be read ({error})"
    raise BadInput(problem, "move the folder away, choose another --out or fewer --speakers")


def plan(
    record: Record, out: Path, speakers: Sequence[str], alignments: bool
) -> tuple[Archive, ...]:
    """Plans which archives are to be fetched and unpacked into `out`.

    Raises `BadInput` where the record lacks one or a folder is in the way.
    """
    names = [*speakers, *([ALIGNMENTS] if alignments else [])]
    archives = []
    for name in names:
        file = record.file(f"{name}.zip")
        archives.append(Archive(name, file, out / name, is_unpacked(out / name, file)))
    return tuple(archives)


def check_folder(out: Path) -> None:
    """Raises `BadInput` where `out` holds files of somebody else."""
    check_own(out, (WORKSPACE,), "a corpus by `gridprep download` or `gridprep unpack`")


def space_needed_bytes(archives: Sequence[Archive], keep_zips: bool) -> int:
    """Disk space in bytes that the rest of the download needs at its peak.

    Archives are unpacked one by one and deleted, so without `keep_zips` the largest of them is the
    most that lies beside the unpacked content.
    """
    rest = [archive for archive in archives if not archive.unpacked]
    packed = [archive.file.size_bytes - archive.have_bytes for archive in rest]
    content = sum(archive.unpacked_bytes for archive in rest)
    return content + max(0, (sum(packed) if keep_zips else max(packed, default=0)))


def free_bytes(out: Path) -> int:
    """Free space where `out` is or will be."""
    folder = out.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_space(archives: Sequence[Archive], out: Path, keep_zips: bool) -> None:
    """Raises `BadInput` where the disk space does not suffice."""
    needed, free = space_needed_bytes(archives, keep_zips), free_bytes(out)
    if needed > free:
        raise BadInput(
            f"{out} needs {needed / 1e9:.1f} GB for this download and has {free / 1e9:.1f} GB free",
            "free space, choose another --out or fewer --speakers",
        )


def sweep(workspace: Path) -> None:
    """Removes what a killed download was unpacking."""
    for pattern in ("unpack-*", ".tmp-*"):
        for path in workspace.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _bring(archive: Archive, network: Network, on_bytes: Callable[[int], None]) -> None:
    fetch_file(archive.file, archive.local, network, on_bytes)
    source: dict[str, object] = {
        "file": archive.file.name,
        "url": archive.file.url,
        "size_bytes": archive.file.size_bytes,
        "checksum": archive.file.checksum,
    }
    unpack(archive.local, archive.target, archive.local.parent, source)


def download(
    archives: Sequence[Archive],
    out: Path,
    network: Network,
    keep_zips: bool = False,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> DownloadReport:
    """Fetches, verifies and unpacks `archives`, one after another.

    An archive that the server lacks, that stays damaged or that is hostile is reported and the
    others go on; a server that is gone or a full disk ends it. All that is done stays done.

    Raises `ServerUnreachable`, `CannotWrite`, `Locked`, `BadInput` (no space, somebody's folder).
    """
    check_folder(out)
    check_space(archives, out, keep_zips)
    fetched, already, failed = [], [], {}
    workspace = out / WORKSPACE
    with held(workspace):
        sweep(workspace)
        for archive in archives:
            if archive.unpacked:
                already.append(archive.name)
                continue
            try:
                _bring(archive, network, on_bytes)
            except BadInput as error:
                failed[archive.name] = str(error)
                network.say(str(error))
                continue
            if not keep_zips:
                archive.local.unlink()
            fetched.append(archive.name)
    return DownloadReport(tuple(fetched), tuple(already), failed)


def clip_counts(archives: Sequence[Archive]) -> list[tuple[str, int, int]]:
    """(speaker, clips on disk, clips expected) of the speakers that are unpacked."""
    expected = expected_counts()
    return [
        (a.name, sum(1 for _ in a.target.glob("**/*.mpg")), expected[a.name])
        for a in archives
        if a.name in expected and a.target.is_dir()
    ]
