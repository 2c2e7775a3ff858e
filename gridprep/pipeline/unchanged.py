"""Whether the lists of a build are already what writing them again would give.

A build with nothing to do would make every row again from the states of the clips, which takes as long as
finding out that there is nothing to do. Its lists follow from the states, the clips as they were found, the
options and the program; a digest of these is kept beside the SHA-256 of the files that were written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import operator
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import gridprep
import manifests
from gridprep.pipeline.rows import MANIFEST
from manifests.io import SUBSETS, sha256_file
from manifests.records import Clip, ClipFailure

FAILURES = "failures.jsonl"
LISTS = (MANIFEST, FAILURES, *(f"{subset}.csv" for subset in SUBSETS))
LARGEST_SOURCE_BYTES = 1 << 20
"""Larger files of the packages are weights, whose versions are in the keys of the stages."""


_values_of = operator.attrgetter(*(field.name for field in dataclasses.fields(Clip)))


class ListDigest:
    """A digest of what the lists of a build follow from; clips may be added in any order."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, clip: Clip, state: str) -> bytes:
        """Takes a selected clip and the text of its state, and returns the digest of these two."""
        parts = [*map(str, _values_of(clip)), state]
        digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "backslashreplace")).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % (1 << 256)
        return digest

    def hexdigest(self, header: Mapping[str, Any], failures: Iterable[ClipFailure]) -> str:
        """The digest of the clips added, with:

        Args:
            header: of the manifest, and whatever else the rows follow from.
            failures: those of the corpus.
        """
        rest = [program(), f"{self._sum:x}", dict(header), [f.to_dict() for f in failures]]
        return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


@cache
def program() -> str:
    """SHA-256 of the source of the two packages that make the lists."""
    digest = hashlib.sha256()
    for package in (gridprep, manifests):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*")):
            if path.suffix == ".pyc" or not path.is_file():
                continue
            if path.stat().st_size <= LARGEST_SOURCE_BYTES:
                digest.update(path.relative_to(root.parent).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def files_digest(build: str) -> str:
    """One text of the SHA-256 of every list of a build; "" where one is missing or cannot be read."""
    try:
        return " ".join(sha256_file(os.path.join(build, name)) for name in LISTS)
    except OSError:
        return ""
