"""Word alignments of GRID: the only module that converts `.align` units to seconds or frames.

A line is `start end word` in 1/25000 s, so `/1000` is video frames and `/25000` seconds (lhotse's
recipe divides by 1000 and calls it seconds: 25 times too long).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from manifests.errors import ClipError
from manifests.grammar import words_of
from manifests.mediafile import kind_of_file
from manifests.records import WordSpan
from manifests.specs import ALIGN_UNITS_PER_SECOND, CLIP_SECONDS, VIDEO_FPS

SILENCES = frozenset({"sil", "sp"})
UNITS_PER_FRAME = ALIGN_UNITS_PER_SECOND // VIDEO_FPS
CLIP_UNITS = round(CLIP_SECONDS * ALIGN_UNITS_PER_SECOND)


@dataclass(frozen=True)
class AlignedToken:
    """One line of a `.align` file, in the file's own units (1/25000 s)."""

    start_units: int
    end_units: int
    token: str


def _fail(reason: str, detail: str, **evidence: object) -> ClipError:
    return ClipError("alignment", reason, detail, evidence)


def parse_alignment(text: str, name: str = "alignment") -> list[AlignedToken]:
    """Parses the text of a `.align` file (LF or CRLF).

    Raises `ClipError` with reason `alignment_garbled` (a line is not `start end word`, or times run
    backwards) or `alignment_out_of_range` (outside the three seconds of the clip).
    """
    tokens: list[AlignedToken] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split()
        try:
            start_units, end_units = int(parts[0]), int(parts[1])
            (token,) = parts[2:]
        except (ValueError, IndexError):
            raise _fail(
                "alignment_garbled",
                f"{name}, line {number} is not `start end word`",
                line=line[:80],
            ) from None
        if end_units < start_units or (tokens and start_units < tokens[-1].end_units):
            raise _fail(
                "alignment_garbled", f"{name}, line {number}: times run backwards", line=line[:80]
            )
        if start_units < 0 or end_units > CLIP_UNITS:
            raise _fail(
                "alignment_out_of_range",
                f"{name}, line {number} ends at {end_units / ALIGN_UNITS_PER_SECOND:.2f} s, outside "
                f"the clip of {CLIP_SECONDS:.0f} s",
                line=line[:80],
            )
        tokens.append(AlignedToken(start_units, end_units, token.lower()))
    if not tokens:
        raise _fail("alignment_garbled", f"{name} has no lines")
    return tokens


def word_spans(tokens: list[AlignedToken]) -> tuple[WordSpan, ...]:
    """The words among the tokens, in seconds and video frames (floor of start, ceiling of end)."""
    return tuple(
        WordSpan(
            word=t.token,
            start_s=t.start_units / ALIGN_UNITS_PER_SECOND,
            end_s=t.end_units / ALIGN_UNITS_PER_SECOND,
            start_frame=t.start_units // UNITS_PER_FRAME,
            end_frame=math.ceil(t.end_units / UNITS_PER_FRAME),
        )
        for t in tokens
        if t.token not in SILENCES
    )


def format_alignment(tokens: list[AlignedToken]) -> str:
    """The text of a `.align` file."""
    return "".join(f"{t.start_units} {t.end_units} {t.token}\n" for t in tokens)


def read_alignment(path: str | os.PathLike[str], stem: str) -> tuple[WordSpan, ...]:
    """Reads the word spans of a clip and checks that they spell its stem.

    Args:
        path: the `.align` file, or "" where the corpus has none (`Clip.alignment`).
        stem: of the clip.

    Raises `ClipError` with reason `alignment_missing`, `alignment_garbled`,
    `alignment_out_of_range` or `alignment_wrong_sentence`.
    """
    if not os.fspath(path):
        raise _fail("alignment_missing", f"no {stem}.align in the corpus")
    try:
        if kind := kind_of_file(path):  # a pipe would be waited on for ever
            raise _fail("alignment_garbled", f"{path} is {kind}, not a file")
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except FileNotFoundError:
        raise _fail("alignment_missing", f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise _fail("alignment_garbled", f"{path} cannot be read ({error})") from None
    spans = word_spans(parse_alignment(text, os.fspath(path)))
    spelled = tuple(s.word for s in spans)
    if spelled != words_of(stem):
        raise _fail(
            "alignment_wrong_sentence",
            f"{path} says {' '.join(spelled)!r}, the stem {stem} says {' '.join(words_of(stem))!r}",
        )
    return spans
