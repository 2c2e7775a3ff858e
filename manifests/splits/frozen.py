"""Reads the frozen splits. `manifests.splits.rules` says how they were made."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from manifests.corpus_lists import SPEAKERS
from manifests.errors import BadInput, ManifestError
from manifests.io import SUBSETS, read_json

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Split:
    """A frozen split: which clip is in `train`, `val` or `test`.

    Attributes:
        name, version: both belong beside every result; versions do not compare with each other.
        sha256: of the CSV text, checked when it was loaded.
        origin: who defined it.
        rule: how it was made.
        places_rule: what `rule` means by a clip's place, "" where it needs no places.
        subsets: speaker → stem → subset, speakers by number and stems sorted.
    """

    name: str
    version: int
    sha256: str
    origin: str
    rule: str
    places_rule: str
    subsets: dict[str, dict[str, str]] = field(repr=False)

    def subset_of(self, speaker: str, stem: str) -> str | None:
        """`train`, `val` or `test`; None for a clip that is not in the split.

        `speaker` is the true speaker (`corpus_lists.speaker_of`), not the folder's name.
        """
        return self.subsets.get(speaker, {}).get(stem)

    def speakers(self, *subsets: str) -> tuple[str, ...]:
        """The speakers with clips in any of `subsets`, in all of them if none is named."""
        wanted = set(subsets or SUBSETS)
        return tuple(s for s in self.subsets if wanted & set(self.subsets[s].values()))

    @property
    def held_out_speakers(self) -> tuple[str, ...]:
        """Speakers all of whose clips are test: no stage of training may meet them."""
        return tuple(s for s in self.speakers("test") if set(self.subsets[s].values()) == {"test"})

    def clips(self, *subsets: str) -> Iterator[tuple[str, str]]:
        """(speaker, stem) of every clip in any of `subsets`, in all of them if none is named."""
        wanted = subsets or SUBSETS
        for speaker, stems in self.subsets.items():
            for stem, subset in stems.items():
                if subset in wanted:
                    yield speaker, stem

    def counts(self, speaker: str | None = None) -> dict[str, int]:
        """Subset → clips, of one speaker or of all."""
        counts = dict.fromkeys(SUBSETS, 0)
        for name in self.subsets if speaker is None else (speaker,):
            for subset in self.subsets.get(name, {}).values():
                counts[subset] += 1
        return counts


@lru_cache(maxsize=1)
def _index() -> dict[str, Any]:
    index: dict[str, Any] = json.loads((HERE / "index.json").read_text("utf-8"))
    return index


def names() -> tuple[str, ...]:
    """The splits that `load` knows: the paper's first, then the literature's."""
    return tuple(_index()["splits"])


def left_out() -> dict[str, str]:
    """Splits of the literature that are not here → why."""
    return dict(_index()["left_out"])


def parse(text: bytes) -> dict[str, dict[str, str]]:
    """speaker → stem → subset out of a split file's text. Raises `ValueError` if it is damaged."""
    lines = text.decode("ascii").splitlines()
    if not lines or lines[0] != "speaker,stem,subset":
        raise ValueError("no header speaker,stem,subset")
    subsets: dict[str, dict[str, str]] = {}
    for line in lines[1:]:
        speaker, stem, subset = line.split(",")
        if speaker not in SPEAKERS or subset not in SUBSETS:
            raise ValueError(f"line {line!r}")
        subsets.setdefault(speaker, {})[stem] = sys.intern(subset)
    return subsets


def described_at(path: Path) -> Path:
    """The file beside a split file that says what it is."""
    return path.with_name(f"{path.name}.json")


def load_file(path: str | os.PathLike[str]) -> Split:
    """The split in a file that `gridprep splits freeze` wrote, its SHA-256 checked against the
    description beside it (`NAME.csv.json`).

    Raises:
        BadInput: no such file or no description.
        ManifestError: the file was changed, or is damaged.
    """
    path = Path(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"the split {path} cannot be read ({error.strerror})",
            "write one with `gridprep splits freeze`",
        ) from None
    entry = read_json(described_at(path))
    try:
        if hashlib.sha256(text).hexdigest() != entry["sha256"]:
            raise ManifestError(
                f"{path} is not the frozen split (its SHA-256 differs)",
                "freeze it anew under another name; results of the two do not compare",
            )
        return Split(
            name=str(entry["name"]),
            version=int(entry["version"]),
            sha256=str(entry["sha256"]),
            origin=str(entry["origin"]),
            rule=str(entry["rule"]),
            places_rule="",
            subsets=parse_rows(text),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(
            f"{path} or {described_at(path)} is damaged ({error})", "freeze it anew"
        ) from None


def parse_rows(text: bytes) -> dict[str, dict[str, str]]:
    """speaker → stem → subset out of a split file's text, of any corpus. Raises `ValueError`."""
    rows = csv.reader(io.StringIO(text.decode("utf-8")))
    if next(rows, None) != ["speaker", "stem", "subset"]:
        raise ValueError("no header speaker,stem,subset")
    subsets: dict[str, dict[str, str]] = {}
    for row in rows:
        speaker, stem, subset = row
        if subset not in SUBSETS:
            raise ValueError(f"line {','.join(row)!r}")
        subsets.setdefault(speaker, {})[stem] = sys.intern(subset)
    return subsets


@lru_cache(maxsize=16)
def load(name: str) -> Split:
    """The split of that name, its SHA-256 checked.

    Raises `BadInput` for an unknown name and `ManifestError` for a file that was changed.
    """
    if name not in names():
        reason = left_out().get(name)
        problem = f"there is no split {name!r}" + (f" ({reason})" if reason else "")
        raise BadInput(problem, f"choose one of {', '.join(names())}")
    entry = _index()["splits"][name]
    try:
        text = gzip.decompress((HERE / entry["file"]).read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ManifestError(
            f"split file {entry['file']} cannot be read ({error})", "install the toolkit again"
        ) from None
    if hashlib.sha256(text).hexdigest() != entry["sha256"]:
        raise ManifestError(
            f"split file {entry['file']} is not the frozen one (its SHA-256 differs)",
            "install the toolkit again; a changed split needs a new name or version",
        )
    return Split(
        name=name,
        version=entry["version"],
        sha256=entry["sha256"],
        origin=entry["origin"],
        rule=entry["rule"],
        places_rule=_index()["places"] if entry["by_places"] else "",
        subsets=parse(text),
    )
