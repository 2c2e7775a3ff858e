"""Differences of numbers that are no mean over clips (`evaluation.stats.pooling`): an equal error rate, or a
share balanced over classes. Each is computed anew for both systems on every resample of the clips that
both have; with Student's t it is computed with each speaker left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from evaluation.stats import intervals as statistics
from evaluation.stats.distributions import t_quantile, t_two_sided
from evaluation.stats.paired import FEWEST_CLIPS, PairedMeans, inverted
from evaluation.stats.pooling import POOLS, Estimator, jackknife, redrawn
from manifests.records import Score

Both = Sequence[tuple[str, Score, Score]]
"""(speaker, score of a, score of b) of every clip that has both."""


def repool(
    found: PairedMeans,
    pooled: Mapping[int, tuple[str, Both]],
    *,
    method: statistics.Method,
    n_resamples: int,
    confidence: float,
    seed: int,
) -> PairedMeans:
    """The comparison with the columns that are no means put right.

    Args:
        pooled: column → (name in `POOLS`, the clips' scores).
    """
    made = {name: getattr(found, name).copy() for name in ("mean_a", "mean_b", "low", "high", "p")}
    for column, (name, clips) in pooled.items():
        if not clips:
            continue
        of_a = POOLS[name]([score for _, score, _ in clips])
        of_b = POOLS[name]([score for _, _, score in clips])
        difference = _between(of_a, of_b)
        whole = np.ones((1, len(clips)))
        mean_a, mean_b = float(of_a(whole)[0]), float(of_b(whole)[0])
        speakers = [speaker for speaker, *_ in clips]
        group = np.unique(speakers, return_inverse=True)[1].astype(np.int64)
        low = high = p = float("nan")
        if method == "bootstrap" and len(clips) > 1:
            drawn = redrawn(difference, group, n_resamples, np.random.default_rng(seed))
            if len(drawn):
                tail = 50 * (1 - confidence)
                low, high = np.percentile(drawn, [tail, 100 - tail])
                p = max(inverted(drawn), 2.0 ** (1 - len(clips)))
        elif len(clips) > 1:
            error, n = jackknife(difference, group)
            low, high, p = _student(error, n, mean_b - mean_a, confidence)
        if len(clips) < FEWEST_CLIPS:
            p = float("nan")
        for key, value in zip(made, (mean_a, mean_b, low, high, p), strict=True):
            made[key][column] = value
    return replace(found, **made)


def _between(of_a: Estimator, of_b: Estimator) -> Estimator:
    return lambda counts: of_b(counts) - of_a(counts)


def _student(
    error: float, n: int, difference: float, confidence: float
) -> tuple[float, float, float]:
    """(low, high, p) by the jackknife's error over `n`."""
    if np.isnan(error):
        return error, error, error
    reach = t_quantile(0.5 + confidence / 2, n - 1) * error
    return difference - reach, difference + reach, t_two_sided(difference, error, n - 1)
