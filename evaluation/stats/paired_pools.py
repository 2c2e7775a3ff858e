"""Differences of numbers that are no mean over clips (`evaluation.stats.pooling`): an equal error rate, or a
share balanced over classes. Each is computed anew for both systems on every resample of the clips that
both have; with Student's t it is computed with each speaker left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.stats import intervals as statistics
from evaluation.stats.paired import FEWEST_CLIPS, Array, PairedMeans, inverted
from evaluation.stats.pooling import POOLS, Estimator
from manifests.records import Score

Indices = NDArray[np.int64]
_CHUNK_CELLS = 500_000

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
        whole = np.ones((1, len(clips)))
        mean_a, mean_b = float(of_a(whole)[0]), float(of_b(whole)[0])
        speakers = [speaker for speaker, *_ in clips]
        group = np.unique(speakers, return_inverse=True)[1].astype(np.int64)
        low = high = p = float("nan")
        if method == "bootstrap" and len(clips) > 1:
            drawn = _drawn(of_a, of_b, group, n_resamples, np.random.default_rng(seed))
            if len(drawn):
                tail = 50 * (1 - confidence)
                low, high = np.percentile(drawn, [tail, 100 - tail])
                p = max(inverted(drawn), 2.0 ** (1 - len(clips)))
        elif len(clips) > 1:
            low, high, p = _jackknife(of_a, of_b, group, mean_b - mean_a, confidence)
        if len(clips) < FEWEST_CLIPS:
            p = float("nan")
        for key, value in zip(made, (mean_a, mean_b, low, high, p), strict=True):
            made[key][column] = value
    return replace(found, **made)


def _drawn(
    of_a: Estimator, of_b: Estimator, group: Indices, n_resamples: int, rng: np.random.Generator
) -> Array:
    chunk = max(1, _CHUNK_CELLS // len(group))
    parts = []
    for start in range(0, n_resamples, chunk):
        size = min(chunk, n_resamples - start)
        counts = statistics.resample_counts(group, size, rng).astype(np.float64)
        parts.append(of_b(counts) - of_a(counts))
    drawn = np.concatenate(parts)
    return np.asarray(drawn[np.isfinite(drawn)])


def _jackknife(
    of_a: Estimator, of_b: Estimator, group: Indices, difference: float, confidence: float
) -> tuple[float, float, float]:
    """(low, high, p), over speakers, or over clips where there is one speaker."""
    if len(np.unique(group)) == 1:
        group = np.arange(len(group), dtype=np.int64)
    n = len(np.unique(group))
    kept = (group[None, :] != np.arange(n)[:, None]).astype(np.float64)
    left_out = of_b(kept) - of_a(kept)
    left_out = left_out[np.isfinite(left_out)]
    if len(left_out) < 2:
        return float("nan"), float("nan"), float("nan")
    error = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))
    reach = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * error
    if error > 1e-12:
        p = 2 * float(stats.t.sf(abs(difference) / error, n - 1))
    else:
        p = 1.0 if abs(difference) < 1e-12 else 0.0
    return difference - reach, difference + reach, p
