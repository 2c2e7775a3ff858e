"""Resumable transfers: a file continues where a broken connection or an earlier run left it.

A file grows as `NAME.part`; a note beside it says which file of the server it is (size, checksum,
ETag), so that a part is only ever continued with bytes of the same file. The checksum is verified
before the part gets its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gridprep.download.network import (
    PIECE_BYTES,
    Body,
    Broken,
    CannotResume,
    Network,
    content_length,
    open_url,
    read_some,
)
from manifests.errors import BadInput, ToolkitError
from manifests.io import write_json

PROGRESS_BYTES = 1 << 20
"""A connection that brought at least this much before it broke does not count as a failed try."""


class CannotWrite(ToolkitError):
    """The disk is full, or the path cannot be written."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        name: its file name, local and on the server.
        url: its address.
        size_bytes: its exact size.
        checksum: `algorithm:hexadecimal`, such as `md5:…`.
    """

    name: str
    url: str
    size_bytes: int
    checksum: str


def part_of(target: Path) -> Path:
    """Path of the partial file of `target`."""
    return target.with_name(target.name + ".part")


def bytes_on_disk(target: Path) -> int:
    """Bytes of `target` that are here already, in its part or whole."""
    for path in (target, part_of(target)):
        with contextlib.suppress(OSError):
            return path.stat().st_size
    return 0


def matches(path: Path, file: RemoteFile) -> bool:
    """Returns whether a local file has the size and the checksum of `file`."""
    algorithm, _, expected = file.checksum.partition(":")
    try:
        digest = hashlib.new(algorithm, usedforsecurity=False)
    except ValueError:
        raise BadInput(
            f"{file.name}: the record's checksum {file.checksum!r} is of an unknown kind",
            "update the toolkit",
        ) from None
    if path.stat().st_size != file.size_bytes:
        return False
    with open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest() == expected.lower()


class _Part:
    """`NAME.part` and the note that names the file of the server that it belongs to."""

    def __init__(self, target: Path, file: RemoteFile) -> None:
        self.path = part_of(target)
        self.note = target.with_name(target.name + ".part.json")
        self.identity = {"size_bytes": file.size_bytes, "checksum": file.checksum}
        self.etag = ""
        try:
            note = json.loads(self.note.read_text("utf-8"))
            same = {key: note.get(key) for key in self.identity} == self.identity
            self.etag = str(note.get("etag", "")) if same else ""
        except (OSError, ValueError, AttributeError):
            same = False
        if not same or self.size_bytes > file.size_bytes:
            self.discard()

    @property
    def size_bytes(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def discard(self) -> None:
        self.etag = ""
        for path in (self.path, self.note):
            path.unlink(missing_ok=True)

    def remember(self, etag: str) -> None:
        """Writes the note before the first byte, so that no part is ever without one."""
        self.etag = "" if etag.startswith("W/") else etag  # If-Range takes strong tags only
        write_json(self.note, {**self.identity, "etag": self.etag})


def _start_of(response: Body, asked_bytes: int, size_bytes: int) -> int:
    """Returns where in the file the response's bytes begin. Raises `CannotResume` or `Broken`."""
    if response.status == 206:
        found = re.fullmatch(
            r"bytes (\d+)-(\d+)/(\d+|\*)", (response.headers.get("Content-Range") or "").strip()
        )
        total = found and found[3]
        if not found or int(found[1]) != asked_bytes or total not in ("*", str(size_bytes)):
            raise CannotResume
        return asked_bytes
    length = content_length(response)
    if length not in (None, size_bytes):
        raise Broken(f"the server sends {length} bytes where the record says {size_bytes}")
    return 0


@contextlib.contextmanager
def _writing(path: Path, mode: str) -> Iterator[IO[bytes]]:
    """Like `open`, with the disk's errors as `CannotWrite`."""
    try:
        with open(path, mode) as stream:
            yield stream
    except OSError as error:
        raise CannotWrite(
            f"{path}: {error.strerror or error}",
            "free space or check the path, then run the same command again; the part is kept",
        ) from None


def _receive(
    part: _Part, file: RemoteFile, network: Network, on_bytes: Callable[[int], None]
) -> None:
    """One connection: brings the part as far as it goes. Raises `Broken` or `CannotResume`."""
    have = part.size_bytes
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and part.etag:
        headers["If-Range"] = part.etag
    with open_url(file.url, headers, network) as response:
        start = _start_of(response, have, file.size_bytes)
        if start < have:
            on_bytes(start - have)  # the server sends all of it again
        if start == 0:
            part.remember(response.headers.get("ETag") or "")
        at = start
        with _writing(part.path, "ab" if start else "wb") as stream:
            while at < file.size_bytes:
                piece = read_some(response, min(PIECE_BYTES, file.size_bytes - at))
                if not piece:
                    break
                stream.write(piece)
                at += len(piece)
                on_bytes(len(piece))
    if at < file.size_bytes:
        raise Broken(f"the connection broke after {at} of {file.size_bytes} bytes")


def fetch_file(
    file: RemoteFile,
    target: Path,
    network: Network,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> None:
    """Brings `file` to `target`, going on with a part that an earlier run left.

    Ctrl-C, kill -9 and a full disk leave the part for the next run. `on_bytes` is told what arrives
    beyond `bytes_on_disk(target)`, and negative numbers where a part has to be thrown away.

    Raises `CannotWrite` for a full disk, `NotThere` for 404 and its like, `ServerUnreachable` after
    the last try, `BadInput` for a file that twice arrives with another checksum than the record's.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    found_bytes = bytes_on_disk(target)
    if target.exists():
        if matches(target, file):
            return
        target.unlink()
    part = _Part(target, file)
    on_bytes(part.size_bytes - found_bytes)
    failures = mismatches = 0
    while True:
        before = part.size_bytes
        try:
            if before < file.size_bytes or not part.path.exists():
                _receive(part, file, network, on_bytes)
            if matches(part.path, file):
                os.replace(part.path, target)
                part.note.unlink(missing_ok=True)
                return
            mismatches += 1
            on_bytes(-part.size_bytes)
            part.discard()
            if mismatches > 1:
                raise BadInput(
                    f"{file.name} arrived twice with another checksum than the record's "
                    f"{file.checksum}",
                    "a proxy may be changing it: try another network",
                )
            network.say(f"{file.name}: its checksum is wrong, fetching it anew")
        except CannotResume:
            on_bytes(-part.size_bytes)
            part.discard()
            failures += 1
            network.pause(file.url, failures, Broken("the part does not fit, starting anew"))
        except Broken as broken:
            failures = 1 if part.size_bytes - before >= PROGRESS_BYTES else failures + 1
            network.pause(file.url, failures, broken)
