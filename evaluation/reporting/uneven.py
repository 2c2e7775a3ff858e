"""Numbers on the clips that all systems have, where a table's means are over different clips.

A system that fails on the hard clips, or lacks them, has a mean over the easy ones. The table prints its
counts; what it reads on the clips that all have is said beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.metrics.base import MetricInfo
from evaluation.scoring.run import ScoredRun
from evaluation.stats import pooling
from evaluation.stats.numbers import fixed
from manifests.records import Score

MOST = 6
"""Columns that a note names."""


def on_shared_clips(scored: Sequence[ScoredRun], infos: Sequence[MetricInfo]) -> list[str]:
    """Returns a sentence for each set of clips that all systems have a score of, where some have more.

    Systems without any score of a column are left out of it. Only columns that rank are told.
    """
    told: dict[frozenset[str], list[str]] = {}
    for info in infos:
        if not info.ranks:
            continue
        known = {item.run.info.name: _known(item, info) for item in scored}
        known = {name: scores for name, scores in known.items() if scores}
        sets = [frozenset(scores) for scores in known.values()]
        if len(set(sets)) < 2:
            continue
        shared = frozenset.intersection(*sets)
        numbers = ", ".join(
            f"{name} {_number([scores[label] for label in sorted(shared)], info)}"
            for name, scores in known.items()
        )
        told.setdefault(shared, []).append(f"{info.label} {numbers}" if shared else info.label)
    return [_sentence(shared, columns) for shared, columns in told.items()]


def _known(item: ScoredRun, info: MetricInfo) -> dict[str, Score]:
    """Clip → score of a run, those that have a value."""
    found = {}
    for clip in item.run.clips:
        score = item.scores.get((clip.label, info.name))
        if score is not None and score.status == "ok" and score.value is not None:
            found[clip.label] = score
    return found


def _number(scores: Sequence[Score], info: MetricInfo) -> str:
    if not scores:
        return "–"
    if info.pool:
        mean = float(pooling.POOLS[info.pool](scores)(np.ones((1, len(scores))))[0])
    else:
        values = [s.value for s in scores if s.value is not None]
        mean = float(np.average(values, weights=[s.weight for s in scores]))
    return fixed(mean, info.decimals) if np.isfinite(mean) else "–"


def _sentence(shared: frozenset[str], columns: Sequence[str]) -> str:
    more = f"; and {len(columns) - MOST} columns more" if len(columns) > MOST else ""
    named = "; ".join(columns[:MOST]) + more
    if not shared:
        return f"The systems have no clip in common with a score: {named}."
    clips = f"{len(shared)} clip{'' if len(shared) == 1 else 's'}"
    return f"Some means are over fewer clips; on the {clips} of which all systems have it: {named}."
