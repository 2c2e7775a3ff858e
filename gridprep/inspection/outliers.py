"""Outliers per criterion and summaries per speaker, computed from the rows of a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gridprep.inspection.criteria import (
    CRITERIA,
    Criterion,
    Norm,
    confident_offset,
    interpolated_percent,
    number,
)
from manifests.ordering import natural
from manifests.records import ClipFailure, ManifestRow

MIN_CLIPS_FOR_NORM = 3
"""Number of clips below which no median of a speaker is computed."""


@dataclass(frozen=True)
class Finding:
    """One clip in a criterion's table."""

    row: ManifestRow
    value: float
    flagged: bool


@dataclass(frozen=True)
class Ranking:
    """The clips of a build, ranked by one criterion.

    Attributes:
        worst: the worst clips, worst first; values that are perfect (0) are left out.
        values: the values of all judged clips, in the order of the manifest.
        n_flagged, n_judged, n_unjudged: clips beyond the limit, with a value, and without.
    """

    criterion: Criterion
    worst: tuple[Finding, ...]
    values: tuple[float, ...]
    n_flagged: int
    n_judged: int
    n_unjudged: int


@dataclass(frozen=True)
class Speaker:
    """A speaker's line in the summary; medians over the speaker's clips, None where not measured."""

    speaker: str
    gender: str
    rows: int
    failures: int
    flagged: int
    subsets: dict[str, int]
    jitter_px: float | None
    interpolated_percent: float | None
    over_border: int
    rms_dbfs: float | None
    f0_hz: float | None
    scale: float | None
    av_offset_frames: float | None
    av_confident_percent: float | None
    samples_added: float | None


@dataclass(frozen=True)
class FailureGroup:
    """The failures of one stage and reason.

    Attributes:
        speakers: speaker → how many.
        examples: the first few.
    """

    stage: str
    reason: str
    count: int
    speakers: dict[str, int]
    examples: tuple[ClipFailure, ...]


def median(values: Iterable[float | None]) -> float | None:
    """The median of the values that are not None; None when there is no value."""
    known = [v for v in values if v is not None]
    return float(np.median(known)) if known else None


def norms(rows: Sequence[ManifestRow]) -> dict[str, Norm]:
    """Speaker → medians of the speaker's clips."""
    found = {}
    for speaker, own in by_speaker(rows).items():
        enough = len(own) >= MIN_CLIPS_FOR_NORM
        found[speaker] = Norm(
            median(number(row, "scale") for row in own) if enough else None,
            median(number(row, "f0_median_hz") for row in own) if enough else None,
        )
    return found


def by_speaker(rows: Iterable[ManifestRow]) -> dict[str, list[ManifestRow]]:
    """Speaker → rows, speakers by number, rows by stem."""
    groups: dict[str, list[ManifestRow]] = {}
    for row in sorted(rows, key=lambda r: (natural(r.speaker), r.stem)):
        groups.setdefault(row.speaker, []).append(row)
    return groups


def rank(rows: Sequence[ManifestRow], worst: int) -> tuple[Ranking, ...]:
    """Ranks the rows by every criterion and keeps the `worst` clips of each."""
    usual = norms(rows)
    rankings = []
    for criterion in CRITERIA:
        judged = [
            Finding(row, value, criterion.is_flagged(value))
            for row in rows
            if (value := criterion.of(row, usual[row.speaker])) is not None
        ]
        perfect = 10**-criterion.decimals / 2
        shown = [f for f in judged if criterion.worst == "low" or abs(f.value) >= perfect]
        shown.sort(key=lambda f: (-criterion.badness(f.value), f.row.clip_id))
        rankings.append(
            Ranking(
                criterion,
                tuple(shown[:worst]),
                tuple(f.value for f in judged),
                sum(f.flagged for f in judged),
                len(judged),
                len(rows) - len(judged),
            )
        )
    return tuple(rankings)


def speaker_summaries(
    rows: Sequence[ManifestRow], failures: Sequence[ClipFailure]
) -> tuple[Speaker, ...]:
    """A summary of every speaker that has rows or failures."""
    usual = norms(rows)
    failed = Counter(f.speaker for f in failures)
    groups = by_speaker(rows)
    summary = []
    for speaker in sorted({*groups, *failed}, key=natural):
        own = groups.get(speaker, [])
        offsets = [confident_offset(row) for row in own]
        measured = sum(number(row, "av_margin") is not None for row in own)
        sure = sum(o is not None for o in offsets)
        summary.append(
            Speaker(
                speaker=speaker,
                gender=own[0].gender if own else "",
                rows=len(own),
                failures=failed[speaker],
                flagged=sum(_is_flagged(row, usual[speaker]) for row in own),
                subsets=dict(Counter(row.subset for row in own)),
                jitter_px=median(number(row, "jitter_px") for row in own),
                interpolated_percent=mean(interpolated_percent(row) for row in own),
                over_border=sum(
                    bool(number(row, "lips_border_px") or number(row, "face_border_px"))
                    for row in own
                ),
                rms_dbfs=median(number(row, "rms_dbfs") for row in own),
                f0_hz=median(number(row, "f0_median_hz") for row in own),
                scale=median(number(row, "scale") for row in own),
                av_offset_frames=median(offsets),
                av_confident_percent=100 * sure / measured if measured else None,
                samples_added=median(float(row.samples_added) for row in own),
            )
        )
    return tuple(summary)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None when there is no value."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _is_flagged(row: ManifestRow, norm: Norm) -> bool:
    values = ((c, c.of(row, norm)) for c in CRITERIA)
    return any(value is not None and c.is_flagged(value) for c, value in values)


def group_failures(
    failures: Sequence[ClipFailure], n_examples: int = 5
) -> tuple[FailureGroup, ...]:
    """Failures by stage and reason, the most frequent first."""
    groups: dict[tuple[str, str], list[ClipFailure]] = {}
    for failure in sorted(failures, key=lambda f: (natural(f.speaker), f.stem)):
        groups.setdefault((failure.stage, failure.reason), []).append(failure)
    return tuple(
        FailureGroup(
            stage,
            reason,
            len(own),
            dict(Counter(f.speaker for f in own)),
            tuple(own[:n_examples]),
        )
        for (stage, reason), own in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0]))
    )
