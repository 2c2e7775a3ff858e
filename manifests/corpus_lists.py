"""The speakers of GRID and their clips: the packaged `speakers.csv` and `stems.csv.gz`.

A stem belongs to one speaker only, over the whole corpus. Therefore a stem alone identifies the
speaker of a clip, whatever folder it lies in, and no sentence of a held-out speaker is in training.
Both files are read once and looked up in dictionaries after that. `manifests.build_lists` made
them.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from manifests.errors import BadInput

HERE = Path(__file__).parent
SPEAKERS: tuple[str, ...] = tuple(f"s{n}" for n in range(1, 35) if n != 21)
"""The 33 speakers with video, in the order of their numbers."""


@dataclass(frozen=True)
class Speaker:
    """A line of `speakers.csv`.

    Attributes:
        speaker: `s1` … `s34`.
        gender: `male` or `female`.
        clips_list_a: clips in a public listing of the files as distributed.
        clips_list_b: clips in lists that leave damaged clips out.
        clips_known: clips that either list names.
        note: a peculiarity of this speaker's clips, or "".
    """

    speaker: str
    gender: str
    clips_list_a: int
    clips_list_b: int
    clips_known: int
    note: str = ""


@lru_cache(maxsize=1)
def _speakers_text() -> tuple[str, ...]:
    text = (HERE / "speakers.csv").read_text(encoding="utf-8")
    return tuple(text.splitlines())


@lru_cache(maxsize=1)
def _speakers() -> dict[str, Speaker]:
    rows = csv.DictReader(line for line in _speakers_text() if not line.startswith("#"))
    return {
        row["speaker"]: Speaker(
            row["speaker"],
            row["gender"],
            int(row["clips_list_a"]),
            int(row["clips_list_b"]),
            int(row["clips_known"]),
            row["note"],
        )
        for row in rows
    }


@dataclass(frozen=True)
class _Stems:
    owner: dict[str, str]  # stem → speaker
    known: dict[str, tuple[str, ...]]  # speaker → sorted stems
    expected: dict[str, tuple[str, ...]]  # the same, list A only


@lru_cache(maxsize=1)
def _stems() -> _Stems:
    text = gzip.decompress((HERE / "stems.csv.gz").read_bytes()).decode("ascii")
    owner: dict[str, str] = {}
    known: dict[str, list[str]] = {speaker: [] for speaker in SPEAKERS}
    expected: dict[str, list[str]] = {speaker: [] for speaker in SPEAKERS}
    for line in text.splitlines()[1:]:
        speaker, stem, in_list_a, _ = line.split(",")
        owner[stem] = speaker
        known[speaker].append(stem)
        if in_list_a == "1":
            expected[speaker].append(stem)
    return _Stems(
        owner,
        {speaker: tuple(sorted(stems)) for speaker, stems in known.items()},
        {speaker: tuple(sorted(stems)) for speaker, stems in expected.items()},
    )


def speaker_info(speaker: str) -> Speaker:
    """The line of `speakers.csv` of s1 … s34, s21 without video too. Raises `BadInput`."""
    try:
        return _speakers()[speaker]
    except KeyError:
        raise BadInput(
            f"{speaker!r} is not a GRID speaker", "speakers are s1 to s34, s21 without video"
        ) from None


def gender_of(speaker: str) -> str:
    """`male` or `female`. Raises `BadInput` for anybody but s1 … s34."""
    return speaker_info(speaker).gender


def gender_counts(speakers: Iterable[str]) -> tuple[int, int]:
    """(men, women) among `speakers`. Raises `BadInput` for an unknown speaker."""
    genders = [gender_of(speaker) for speaker in speakers]
    return genders.count("male"), genders.count("female")


def stems_of(speaker: str) -> tuple[str, ...]:
    """Every known stem of a speaker, sorted; none for s21. Raises `BadInput`."""
    speaker_info(speaker)
    return _stems().known.get(speaker, ())


def expected_stems_of(speaker: str) -> tuple[str, ...]:
    """The stems that a complete download of a speaker holds (list A), sorted. Raises `BadInput`."""
    speaker_info(speaker)
    return _stems().expected.get(speaker, ())


def speaker_of(stem: str) -> str | None:
    """The speaker whose stem this is, or None where no public list names it."""
    return _stems().owner.get(stem)


def expected_counts() -> dict[str, int]:
    """Clips that a complete download of each speaker in `SPEAKERS` holds; 32,870 together.

    These are the counts of list A, a listing of the files as distributed: 1000 each, but s4 999,
    s7 999, s8 889 and s15 983. Six more clips (five of s8, one of s4) are known from list B alone;
    `clips_known` of `speaker_info` has them, so a speaker may hold up to that many without anything
    being wrong.
    """
    return {speaker: speaker_info(speaker).clips_list_a for speaker in SPEAKERS}


def gender_note() -> str:
    """Returns where the genders come from and how their numbers disagree with the paper's."""
    lines = [line[1:].strip() for line in _speakers_text() if line.startswith("#")]
    return " ".join(line for line in lines if not line.startswith("clips_"))


def _speaker_named(text: str) -> str:
    """Writes `S01`, `01` and `1` as `s1`; other names stay as they are."""
    match = re.fullmatch(r"s?0*([1-9][0-9]?)", text, re.IGNORECASE | re.ASCII)
    return f"s{match[1]}" if match else text


def parse_speakers(text: str) -> tuple[str, ...]:
    """Parses the speakers in the text of an option; sorted by number, each once.

    Understands `s1,s2`, spaces instead of commas, ranges as `s30-s34` and `all`; a range steps over
    s21. A speaker may be written as folders of GRID are: `s1`, `S1`, `s01`, `01` or `1`.

    Raises `BadInput` for anybody who is not in `SPEAKERS`.

    >>> parse_speakers("1, S02 s33-34")
    ('s1', 's2', 's33', 's34')
    """
    chosen: set[str] = set()
    for item in text.replace(",", " ").split():
        if item.lower() == "all":
            chosen.update(SPEAKERS)
            continue
        first, _, last = (_speaker_named(part) for part in item.partition("-"))
        for name, written in zip((first, last), item.split("-", 1), strict=False):
            if name not in SPEAKERS:
                known = "; s21 has no video" if name == "s21" else ""
                raise BadInput(
                    f"{written!r} is not a speaker with video{known}",
                    "name speakers as s1,s2 or s30-s34 or all (s1 to s34 without s21)",
                )
        start, end = int(first[1:]), int((last or first)[1:])
        if end < start:
            raise BadInput(f"the range {item} runs backwards", f"write {last}-{first}")
        chosen.update(s for s in SPEAKERS if start <= int(s[1:]) <= end)
    if not chosen:
        raise BadInput(f"{text!r} names no speaker", "name speakers as s1,s2 or s30-s34 or all")
    return tuple(speaker for speaker in SPEAKERS if speaker in chosen)
