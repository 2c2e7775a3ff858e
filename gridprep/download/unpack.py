"""Safe unpacking of an untrusted zip archive.

Everything is checked from the archive's list before a byte is written, and counted while writing.
The content appears under a temporary name and is renamed when complete, so a folder that is there
is whole.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import BadInput
from manifests.io import write_json

MARKER = ".unpacked.json"
BLOCK_BYTES = 4096
"""A file takes whole blocks of the disk; GRID's alignments are 34,000 files of 200 bytes."""
JUNK_NAMES = frozenset({"thumbs.db", ".ds_store", "desktop.ini"})


@dataclass(frozen=True)
class Limits:
    """Limits of a plausible archive; GRID's archives have at most 34,000 entries and 0.5 GB."""

    entries: int = 100_000
    total_bytes: int = 8 << 30
    ratio: float = 200.0
    """Unpacked to packed, of an entry of more than 1 MiB and of the whole."""
    path_chars: int = 240


@dataclass(frozen=True)
class Member:
    """One file to unpack: the archive's entry and its path below the target."""

    entry: zipfile.ZipInfo
    parts: tuple[str, ...]


def _refuse(archive: Path, problem: str) -> BadInput:
    return BadInput(f"{archive.name}: {problem}", "nothing was unpacked; do not use this archive")


def _is_junk(parts: tuple[str, ...]) -> bool:
    return "__MACOSX" in parts or parts[-1].startswith("._") or parts[-1].lower() in JUNK_NAMES


def _safe_parts(archive: Path, entry: zipfile.ZipInfo, limits: Limits) -> tuple[str, ...]:
    """The entry's path. Raises `BadInput` unless it is plain, relative and inside."""
    name = entry.orig_filename
    shown = ascii(name[:80])
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        raise _refuse(archive, f"entry {shown} has an absolute path")
    if "\\" in name or ":" in name or any(ord(c) < 32 for c in name):
        raise _refuse(archive, f"entry {shown} has a character that paths must not have")
    parts = tuple(name.removesuffix("/").split("/"))
    if ".." in parts:
        raise _refuse(archive, f"entry {shown} leads out of the folder")
    if any(part in ("", ".") for part in parts) or len(name) > limits.path_chars:
        raise _refuse(archive, f"entry {shown} is not a plain path")
    return parts


def _check_entry(archive: Path, entry: zipfile.ZipInfo, limits: Limits) -> None:
    shown = ascii(entry.orig_filename[:80])
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "a special file"
        raise _refuse(archive, f"entry {shown} is {what}")
    if entry.flag_bits & 0x1:
        raise _refuse(archive, f"entry {shown} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refuse(archive, f"entry {shown} is packed by method {entry.compress_type}")
    if entry.is_dir() and entry.file_size:
        raise _refuse(archive, f"folder {shown} has content")
    if entry.file_size > 1 << 20 and entry.file_size > limits.ratio * max(entry.compress_size, 1):
        raise _refuse(archive, f"entry {shown} unpacks to {entry.file_size} bytes: a bomb")


def _check_sizes(archive: Path, entries: list[zipfile.ZipInfo], limits: Limits) -> None:
    packed_bytes = archive.stat().st_size
    total_bytes = sum(entry.file_size for entry in entries)
    if len(entries) > limits.entries:
        raise _refuse(archive, f"{len(entries)} entries, more than {limits.entries}")
    if total_bytes > limits.total_bytes or (
        total_bytes > 1 << 20 and total_bytes > limits.ratio * packed_bytes
    ):
        raise _refuse(archive, f"unpacks {packed_bytes} bytes to {total_bytes}: a bomb")
    end_bytes = 0
    for entry in sorted(entries, key=lambda e: e.header_offset):
        if entry.header_offset < end_bytes:  # one packed stretch that many entries share
            raise _refuse(archive, f"entry {entry.orig_filename[:80]!a} overlaps another")
        end_bytes = entry.header_offset + 30 + entry.compress_size


def members_of(archive: Path, opened: zipfile.ZipFile, limits: Limits) -> list[Member]:
    """The files to unpack, junk left out. Raises `BadInput` for anything that is not harmless."""
    entries = opened.infolist()
    _check_sizes(archive, entries, limits)
    members: list[Member] = []
    files: set[str] = set()
    folders: set[str] = set()
    for entry in entries:
        parts = _safe_parts(archive, entry, limits)
        _check_entry(archive, entry, limits)
        if _is_junk(parts):
            continue
        # Compared as the least careful file system would: without case, in one Unicode form.
        key = unicodedata.normalize("NFC", "/".join(parts)).casefold()
        folders.update(key[:i] for i, character in enumerate(key) if character == "/")
        if entry.is_dir():
            folders.add(key)
            continue
        if key in files:
            raise _refuse(archive, f"entry {entry.orig_filename[:80]!a} is there twice")
        files.add(key)
        members.append(Member(entry, parts))
    for key in files & folders:
        raise _refuse(archive, f"{key[:80]!a} is a file and a folder")
    if not members:
        raise _refuse(archive, "there is nothing in it")
    return members


def disk_bytes(members: list[Member]) -> int:
    """Disk space of the unpacked members in bytes, in whole blocks."""
    return sum(-(-m.entry.file_size // BLOCK_BYTES) * BLOCK_BYTES for m in members)


def _write(opened: zipfile.ZipFile, member: Member, folder: Path) -> None:
    path = folder.joinpath(*member.parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    left_bytes = member.entry.file_size
    with opened.open(member.entry) as source, open(path, "xb") as target:
        while piece := source.read(1 << 20):
            left_bytes -= len(piece)
            if left_bytes < 0:
                raise zipfile.BadZipFile("longer than its entry says")
            target.write(piece)
    if left_bytes:
        raise zipfile.BadZipFile("shorter than its entry says")


def unpack(
    archive: Path,
    target: Path,
    workspace: Path,
    source: dict[str, object] | None = None,
    limits: Limits | None = None,
) -> int:
    """Unpacks `archive` into the new folder `target`; returns the number of files.

    An archive with one folder of `target`'s name in it (`s1.zip` with `s1/…`) gives that folder.
    A `MARKER` file in the target holds `source` and the count.

    Args:
        workspace: folder on the same disk where the content grows.
        source: what the archive is, for the marker.

    Raises `BadInput` for an archive that is hostile or damaged, for too little space and for a
    target that exists. Then nothing is left behind.
    """
    limits = limits or Limits()
    if os.path.lexists(target):
        raise BadInput(f"{target} exists already", "move it away or choose another --out")
    workspace.mkdir(parents=True, exist_ok=True)
    # tempfile.mkdtemp makes 0700, which wants a chmod that some network file systems refuse.
    growing = workspace / f"unpack-{secrets.token_hex(6)}"
    growing.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            members = members_of(archive, opened, limits)
            needed_bytes = disk_bytes(members)
            free_bytes = shutil.disk_usage(workspace).free
            if needed_bytes > free_bytes:
                raise BadInput(
                    f"{archive.name} unpacks to {needed_bytes / 1e9:.2f} GB and "
                    f"{target.parent} has {free_bytes / 1e9:.2f} GB free",
                    "free space and run the same command again",
                )
            for member in members:
                _write(opened, member, growing)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError) as error:
        _remove(growing)
        raise _refuse(archive, f"damaged ({error or type(error).__name__})") from None
    except BaseException:
        _remove(growing)
        raise
    content = growing
    if {m.parts[0] for m in members} == {target.name} and all(len(m.parts) > 1 for m in members):
        content = growing / target.name
    write_json(content / MARKER, {**(source or {}), "files": len(members)})
    os.rename(content, target)
    _remove(growing)
    return len(members)


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
