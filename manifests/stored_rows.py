"""Rows of a manifest that stay in its file: a million clips are opened in some twenty bytes each.

Opening reads every line once, which finds the damaged ones; what is kept of a row are its place in the
file, its speaker and its subset. The rest is read again when it is asked for. The file stays open, so
that a build which replaces it meanwhile changes nothing for whoever reads.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from manifests.errors import ManifestError
from manifests.io import open_jsonl
from manifests.records import ManifestRow


class Rows(Protocol):
    """Rows in order, of which speaker and subset are known without reading."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[ManifestRow]: ...
    def __getitem__(self, position: int) -> ManifestRow: ...
    def speaker_of(self, position: int) -> str: ...
    def subset_of(self, position: int) -> str: ...
    def taken(self, positions: Sequence[int], subsets: Iterable[str] | None = None) -> Rows:
        """The rows at some positions, given other subsets where these are named."""


class KeptRows:
    """Rows that are in memory."""

    def __init__(self, rows: Iterable[ManifestRow]) -> None:
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[ManifestRow]:
        return iter(self._rows)

    def __getitem__(self, position: int) -> ManifestRow:
        return self._rows[position]

    def speaker_of(self, position: int) -> str:
        return self._rows[position].speaker

    def subset_of(self, position: int) -> str:
        return self._rows[position].subset

    def taken(self, positions: Sequence[int], subsets: Iterable[str] | None = None) -> KeptRows:
        rows = [self._rows[i] for i in positions]
        if subsets is None:
            return KeptRows(rows)
        return KeptRows(replace(r, subset=s) for r, s in zip(rows, subsets, strict=True))


class _Names:
    """Texts of which there are few, each under a number."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._codes: dict[str, int] = {}

    def code(self, name: str) -> int:
        found = self._codes.get(name)
        if found is None:
            found = self._codes[name] = len(self.all)
            self.all.append(name)
        return found


class _File:
    """A file that stays open, and the places of its lines.

    Args:
        path: of `manifest.jsonl`.
        descriptor: of the open file; it is closed with this object.
        starts: offset of every row in bytes, and the size of the file.
    """

    def __init__(self, path: str, descriptor: int, starts: array[int]) -> None:
        self.path, self.starts = path, starts
        self._descriptor = descriptor
        self._identity = _identity(descriptor)

    def row(self, number: int) -> ManifestRow:
        start, end = self.starts[number], self.starts[number + 1]
        pieces = []
        while start < end:
            piece = os.pread(self._descriptor, end - start, start)
            if not piece:
                raise ManifestError(f"{self.path} was cut while it was in use", "read it again")
            pieces.append(piece)
            start += len(piece)
        return ManifestRow.from_dict(json.loads(b"".join(pieces)))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "starts": self.starts, "_identity": self._identity}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In another process: the same file is opened again."""
        self._descriptor = -1
        self.__dict__.update(state)
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ManifestError(
                f"{self.path} cannot be read any more ({error.strerror})", "run this again"
            ) from None
        if _identity(self._descriptor) != self._identity:
            raise ManifestError(f"{self.path} changed while it was in use", "run this again")

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            os.close(self._descriptor)


def _identity(descriptor: int) -> tuple[int, ...]:
    stat = os.fstat(descriptor)
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


class StoredRows:
    """Rows of a manifest's file, or some of them, read when they are asked for.

    Args:
        file: where they lie.
        numbers: which rows of it.
        speakers, subsets: code of each row's speaker and subset.
        names: what the codes stand for.
    """

    def __init__(
        self,
        file: _File,
        numbers: array[int],
        speakers: array[int],
        subsets: array[int],
        names: tuple[_Names, _Names],
    ) -> None:
        self._file, self._numbers = file, numbers
        self._speakers, self._subsets, self._names = speakers, subsets, names

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> tuple[dict[str, Any], StoredRows]:
        """Header and rows of a `manifest.jsonl`. Raises `ManifestError` naming file and line where it
        is absent, no manifest, or damaged."""
        starts, speakers, subsets = array("Q"), array("I"), array("I")
        of_speakers, of_subsets = _Names(), _Names()
        with open_jsonl(path, "manifest", ManifestRow) as (header, records, file):
            for start, row in records:
                starts.append(start)
                speakers.append(of_speakers.code(row.speaker))
                subsets.append(of_subsets.code(row.subset))
            descriptor = os.dup(file.fileno())
        starts.append(os.fstat(descriptor).st_size)
        stored = _File(os.path.abspath(path), descriptor, starts)
        numbers = array("I", range(len(speakers)))
        return header, cls(stored, numbers, speakers, subsets, (of_speakers, of_subsets))

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[ManifestRow]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, position: int) -> ManifestRow:
        row = self._file.row(self._numbers[position])
        subset = self.subset_of(position)
        return row if row.subset == subset else replace(row, subset=subset)

    def speaker_of(self, position: int) -> str:
        return self._names[0].all[self._speakers[position]]

    def subset_of(self, position: int) -> str:
        return self._names[1].all[self._subsets[position]]

    def taken(self, positions: Sequence[int], subsets: Iterable[str] | None = None) -> StoredRows:
        if subsets is None:
            codes = array("I", (self._subsets[i] for i in positions))
        else:
            codes = array("I", map(self._names[1].code, subsets))
        return StoredRows(
            self._file,
            array("I", (self._numbers[i] for i in positions)),
            array("I", (self._speakers[i] for i in positions)),
            codes,
            self._names,
        )
