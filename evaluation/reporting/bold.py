"""Decides which cells of a table are bold.

Bold is a claim, so it needs evidence. A system's number is bold where it is the best of the systems
that compete, on the clips that all of them have a score of, where the difference from each of the
others leaves zero out of its interval (paired, by speaker), and where it is not better than the same
metric on the recordings. Where a table tells speakers by GE2E and by ECAPA, only that one decides which
errs less on such a corpus. Controls, resyntheses and recordings never compete: they have seen the answer
or were denied it. Nor does a system of whose clips any is the recording itself. Failures never help: a
clip that one system failed on counts for none of them.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.build_files import of_synthgrid
from evaluation.metrics.base import BY_GE2E, MetricInfo
from evaluation.scoring.run import ScoredRun
from evaluation.stats import intervals as statistics
from evaluation.stats import paired, paired_pools, pooling
from manifests.records import Score

COMPETES = "model"
"""The kind of run whose numbers may be bold."""


def competes(item: ScoredRun) -> bool:
    """Returns whether a run's numbers may be bold: a model's whose speech is its own."""
    return kind_of(item) == COMPETES and not item.copies


def kind_of(item: ScoredRun) -> str:
    """A run's kind; runs of shuffled lips were once written as models, and pictures have a kind of their
    own, their control included."""
    info = item.run.info
    if item.run.of_faces:
        return "control" if info.shuffled_speech else COMPETES
    return "control" if info.parameters.get("shuffled_lips") is True else info.kind


def best_runs(
    scored: Sequence[ScoredRun],
    infos: Sequence[MetricInfo],
    labels: Sequence[str],
    speakers: Sequence[str],
    floors: Sequence[float | None],
    *,
    method: statistics.Method,
    n_resamples: int,
    confidence: float,
    seed: int,
) -> list[int | None]:
    """Returns for each metric which run's number is bold (its place in `scored`), or None.

    Args:
        labels: of the clips.
        speakers: of each clip.
        floors: each metric on the recordings; None where it is not known.
    """
    rivals = [i for i, item in enumerate(scored) if competes(item)]
    found: list[int | None] = [None] * len(infos)
    if len(rivals) < 2 or not labels or not infos:
        return found
    how: dict[str, Any] = {
        "method": method, "n_resamples": n_resamples, "confidence": confidence, "seed": seed,
    }  # fmt: skip
    table = [[_scores(scored[i], info, labels) for i in rivals] for info in infos]
    values, weights = _arrays(table)  # (rivals, clips, metrics)
    everywhere = np.asarray(np.isfinite(values).all(axis=0))
    values = np.where(everywhere, values, np.nan)
    means = _means(values, weights, table, everywhere, infos)
    signs = np.array([1.0 if info.direction == "higher" else -1.0 for info in infos])
    ranked = np.argsort(-np.nan_to_num(means * signs[:, None], nan=-np.inf), axis=1, kind="stable")
    columns = np.arange(len(infos))
    of_best = values[ranked[:, 0], :, columns].T, weights[ranked[:, 0], :, columns].T
    wins = np.asarray(np.isfinite(means).all(axis=1))
    for place in range(1, len(rivals)):
        other = ranked[:, place]
        of_other = values[other, :, columns].T, weights[other, :, columns].T
        result = paired.paired_means(
            of_other[0], of_best[0], speakers, of_other[1], of_best[1], **how
        )
        pooled = {
            j: (info.pool, _both(table[j], other[j], ranked[j, 0], everywhere[:, j], speakers))
            for j, info in enumerate(infos)
            if info.pool
        }
        if pooled:
            result = paired_pools.repool(result, pooled, **how)
        apart = (result.low > 0) | (result.high < 0)
        wins &= apart & (result.difference * signs > 0) & (result.n >= paired.FEWEST_CLIPS)
    names = {info.name for info in infos}
    synthetic = all(of_synthgrid(item.run) for item in scored)
    pairs = [pair if synthetic else pair[::-1] for pair in BY_GE2E.items()]
    outdone = {worse for better, worse in pairs if better in names}
    for j, info in enumerate(infos):
        mean, floor = float(means[j, ranked[j, 0]]), floors[j]
        above = floor is not None and (mean - floor) * signs[j] > 0
        if info.ranks and info.name not in outdone and wins[j] and not above:
            found[j] = rivals[int(ranked[j, 0])]
    return found


def _scores(item: ScoredRun, info: MetricInfo, labels: Sequence[str]) -> list[Score | None]:
    """A run's usable scores of a metric, None where a clip has none."""
    found = [item.scores.get((label, info.name)) for label in labels]
    return [
        s if s is not None and s.status == "ok" and s.value is not None else None for s in found
    ]


def _arrays(
    table: Sequence[Sequence[Sequence[Score | None]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(rivals, clips, metrics) values, NaN where there is none, and weights."""
    values = np.array(
        [[[np.nan if s is None else s.value for s in run] for run in metric] for metric in table],
        dtype=np.float64,
    )
    weights = np.array(
        [[[1.0 if s is None else s.weight for s in run] for run in metric] for metric in table],
        dtype=np.float64,
    )
    return values.transpose(1, 2, 0), weights.transpose(1, 2, 0)


def _means(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    table: Sequence[Sequence[Sequence[Score | None]]],
    everywhere: NDArray[np.bool_],
    infos: Sequence[MetricInfo],
) -> NDArray[np.float64]:
    """(metrics, rivals) numbers over the clips that all rivals have."""
    mass = np.where(everywhere, weights, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (np.nan_to_num(values) * mass).sum(axis=1) / mass.sum(axis=1)
    for j, info in enumerate(infos):
        kept = np.flatnonzero(everywhere[:, j])
        if info.pool and len(kept):
            for i, run in enumerate(table[j]):
                estimate = pooling.POOLS[info.pool]([run[int(k)] for k in kept])
                means[i, j] = estimate(np.ones((1, len(kept))))[0]
    return np.asarray(means.T)


def _both(
    runs: Sequence[Sequence[Score | None]],
    a: int,
    b: int,
    kept: NDArray[np.bool_],
    speakers: Sequence[str],
) -> list[tuple[str, Score, Score]]:
    found = []
    for k in np.flatnonzero(kept).tolist():
        first, second = runs[a][k], runs[b][k]
        if first is not None and second is not None:
            found.append((speakers[k], first, second))
    return found


def floor_scores(
    scored: Sequence[ScoredRun], info: MetricInfo, labels: Set[str] | None = None
) -> tuple[dict[tuple[str, str], Score], dict[tuple[str, str], str]]:
    """A metric on the recordings of the runs' clips, each recording once.

    Args:
        labels: of the clips that are looked at; None for all.

    Returns:
        (speaker, stem) → score, and → reason of those that have none.
    """
    values: dict[tuple[str, str], Score] = {}
    failed: dict[tuple[str, str], str] = {}
    name = info.floor
    for item in scored:
        for run_clip in item.run.clips:
            score = item.scores.get((run_clip.label, name))
            if score is None or (labels is not None and run_clip.label not in labels):
                continue
            clip = (score.speaker, score.stem)
            if score.status == "ok" and score.value is not None:
                values[clip] = score
            else:
                failed[clip] = score.reason.split(":")[0]
    return values, {clip: reason for clip, reason in failed.items() if clip not in values}


def floor_mean(scored: Sequence[ScoredRun], info: MetricInfo, labels: Set[str]) -> float | None:
    """A metric's number over the recordings of these clips; None where it has none."""
    if not info.floor:
        return None
    values, _ = floor_scores(scored, info, labels)
    kept = [values[clip] for clip in sorted(values)]
    if not kept:
        return None
    if info.pool:
        mean = float(pooling.POOLS[info.pool](kept)(np.ones((1, len(kept))))[0])
        return mean if np.isfinite(mean) else None
    return float(np.average([s.value for s in kept], weights=[s.weight for s in kept]))  # type: ignore[arg-type]
