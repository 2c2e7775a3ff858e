"""Two runs of the same clips, metric by metric: which run is better, by how much, and with what confidence.

A difference is b − a over the clips that have both scores. It is tested with the method that makes its
interval, the paired bootstrap or Student's t over speakers; the p of all metrics are corrected together by
Holm's method, so that looking at many metrics does not find a difference by itself. A system wins where
the corrected p is significant and the printed interval leaves out zero. MAPSSWE, which takes the sentences
for independent of their speakers, is reported beside the p of the WER.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluation.inputs import copies
from evaluation.inputs.pairs import RunDir
from evaluation.inputs.text import WordAlignment, align_words
from evaluation.metrics.base import Metric, MetricInfo
from evaluation.scoring.run import ScoredRun
from evaluation.stats import intervals as statistics
from evaluation.stats import mapsswe, paired, paired_pools
from evaluation.stats.mapsswe import Mapsswe
from evaluation.stats.multiple import holm
from manifests.ordering import natural
from manifests.records import RunClip, Score

SIGNIFICANT = 0.05
WORDS = ("wer", "lip_wer")
"""Metrics whose errors MAPSSWE counts."""


@dataclass(frozen=True)
class ComparisonOptions(statistics.IntervalOptions):
    """Options of the intervals and tests of a comparison."""

    n_resamples: int = paired.RESAMPLES


@dataclass(frozen=True)
class Difference:
    """One metric of two runs; None where there is no value.

    Attributes:
        mean_a, mean_b: over the common clips.
        low, high: interval of the difference b − a.
        effect: Cohen's d_z of the clips' differences, its sign turned so that positive is for b.
        better_b, better_a: share of common clips on which either is better; the rest are ties.
        test: `bootstrap` or `t`.
        p, p_holm: two-sided; the latter after Holm's correction over all metrics.
        winner: `a`, `b`, or "" where the difference is not significant after the correction or zero
            lies in the interval.
        n_common: clips that have both scores.
        n_missing_a, n_missing_b: clips that were asked for and have no score of either run: failed,
            or without a line in `clips.jsonl`.
        words: result of MAPSSWE, for word error rates.
    """

    info: MetricInfo
    mean_a: float | None
    mean_b: float | None
    low: float | None
    high: float | None
    effect: float | None
    better_a: float | None
    better_b: float | None
    test: str
    p: float | None
    p_holm: float | None
    winner: str
    n_common: int
    n_missing_a: int
    n_missing_b: int
    words: Mapsswe | None = None

    @property
    def difference(self) -> float | None:
        if self.mean_a is None or self.mean_b is None:
            return None
        return self.mean_b - self.mean_a


@dataclass(frozen=True)
class Compared:
    """
    Attributes:
        a, b: the runs.
        differences: one for each ranked metric, in the registry's order.
        n_asked: clips that both runs were asked for.
        n_speakers: speakers of the clips that both have.
        notes: notes for the reader beside the numbers.
    """

    a: RunDir
    b: RunDir
    differences: tuple[Difference, ...]
    options: ComparisonOptions
    n_asked: int
    n_speakers: int
    notes: tuple[str, ...]


def compare(
    a: ScoredRun,
    b: ScoredRun,
    metrics: Sequence[Metric],
    options: ComparisonOptions,
    notes: Sequence[str] = (),
) -> Compared:
    """Compares b with a on every metric that ranks systems. The runs must hold the same clips
    (`inputs.comparable.check_same_clips`)."""
    ranked = [m for m in metrics if m.info.ranks]
    clips = {clip.label: clip for run in (a.run, b.run) for clip in run.clips}
    labels = sorted(clips, key=natural)
    speakers = [clips[label].speaker for label in labels]
    asked = max(a.run.info.n_expected, b.run.info.n_expected, len(labels))
    how = options.how(speakers)
    options = replace(options, method=how["method"])
    (values_a, weights_a), (values_b, weights_b) = (_columns(s, labels, ranked) for s in (a, b))
    means = paired.paired_means(
        values_a,
        values_b,
        speakers,
        weights_a,
        weights_b,
        **how,
    )
    pooled = {
        j: (metric.info.pool, _both(a, b, clips, labels, metric.info.name))
        for j, metric in enumerate(ranked)
        if metric.info.pool
    }
    if pooled:
        means = paired_pools.repool(means, pooled, **how)
    words = [
        _words(a, b, labels, clips, m.info.name) if m.info.name in WORDS else None for m in ranked
    ]
    raw = [_known(p) for p in means.p]
    corrected = holm(raw)
    made = []
    for j, metric in enumerate(ranked):
        found = words[j]
        toward_b = 1.0 if metric.info.direction == "higher" else -1.0
        larger, smaller = means.larger[j], means.smaller[j]
        effect = _known(means.effect[j])
        winner = _winner(means.low[j], means.high[j], toward_b, corrected[j])
        if winner and (a if winner == "a" else b).copies:
            winner = ""
        made.append(
            Difference(
                metric.info,
                _known(means.mean_a[j]),
                _known(means.mean_b[j]),
                _known(means.low[j]),
                _known(means.high[j]),
                None if effect is None else toward_b * effect,
                _known(smaller if toward_b > 0 else larger),
                _known(larger if toward_b > 0 else smaller),
                options.method,
                raw[j],
                corrected[j],
                winner,
                int(means.n[j]),
                asked - int(np.isfinite(values_a[:, j]).sum()),
                asked - int(np.isfinite(values_b[:, j]).sum()),
                found,
            )
        )
    shared = {c.speaker for c in a.run.clips} & {c.speaker for c in b.run.clips}
    told = (
        *notes,
        *(copies.told(item.run, item.copies) for item in (a, b) if item.copies),
        *_notes(a.run, b.run, made, options, len(shared)),
    )
    return Compared(a.run, b.run, tuple(made), options, asked, len(shared), told)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _winner(low: float, high: float, toward_b: float, p: float | None) -> str:
    if p is None or p >= SIGNIFICANT or not (low > 0 or high < 0):
        return ""
    return "b" if low * toward_b > 0 else "a"


def _columns(
    scored: ScoredRun, labels: Sequence[str], metrics: Sequence[Metric]
) -> tuple[paired.Array, paired.Array]:
    """(N, M) values, NaN where there is none, and their weights."""
    values = np.full((len(labels), len(metrics)), np.nan)
    weights = np.ones_like(values)
    for j, metric in enumerate(metrics):
        for k, label in enumerate(labels):
            score = scored.scores.get((label, metric.info.name))
            if score is not None and score.status == "ok" and score.value is not None:
                values[k, j], weights[k, j] = score.value, score.weight
    return values, weights


def _both(
    a: ScoredRun, b: ScoredRun, clips: dict[str, RunClip], labels: Sequence[str], name: str
) -> list[tuple[str, Score, Score]]:
    """(speaker, score of a, score of b) of the clips that have both."""
    found = []
    for label in labels:
        first, second = (scored.scores.get((label, name)) for scored in (a, b))
        if (
            first is not None
            and second is not None
            and "failed" not in (first.status, second.status)
        ):
            found.append((clips[label].speaker, first, second))
    return found


def _words(
    a: ScoredRun,
    b: ScoredRun,
    labels: Sequence[str],
    clips: dict[str, RunClip],
    name: str,
) -> Mapsswe:
    pairs: list[tuple[WordAlignment, WordAlignment]] = []
    for label in labels:
        scores = [scored.scores.get((label, name)) for scored in (a, b)]
        heard = [s.details.get("heard") for s in scores if s is not None and s.status == "ok"]
        if len(heard) == 2:
            first, second = (align_words(clips[label].sentence, str(text)) for text in heard)
            pairs.append((first, second))
    return mapsswe.test(pairs)


def _notes(
    a: RunDir, b: RunDir, made: Sequence[Difference], options: ComparisonOptions, n_speakers: int
) -> tuple[str, ...]:
    notes = [
        f"{run.info.name}: {run.n_missing} of {run.info.n_expected} clips are missing."
        for run in (a, b)
        if run.n_missing
    ]
    few = sorted({d.n_common for d in made if 0 < d.n_common < paired.FEWEST_CLIPS})
    if few:
        notes.append(f"With {few[0]} clips in common no test is computed.")
    if options.method == "bootstrap" and 1 < n_speakers < statistics.FEW_SPEAKERS:
        notes.append(
            f"With {n_speakers} speakers the bootstrap interval is too narrow; use Student's t "
            "(--interval t)."
        )
    if n_speakers == 1:
        notes.append("One speaker: intervals and tests say nothing about others.")
    for d in made:
        if d.words is not None and 0 < d.words.n_segments < mapsswe.ENOUGH_SEGMENTS:
            notes.append(
                f"{d.info.label}: MAPSSWE's normal approximation needs "
                f"{mapsswe.ENOUGH_SEGMENTS} segments; there are {d.words.n_segments}."
            )
    if a.info.manifest_sha256 and b.info.manifest_sha256 not in ("", a.info.manifest_sha256):
        notes.append("The runs were made from different manifests.")
    return tuple(notes)
