"""Agreement of raters: Krippendorff's alpha for ordered ratings, and intraclass correlations.

Alpha takes any pattern of missing ratings, as balanced designs leave them; the intraclass
correlations need every rater on every stimulus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def krippendorff_alpha(ratings: Array, n_values: int = 5) -> float:
    """Krippendorff's alpha with the ordinal distance (2011, *Computing Krippendorff's
    Alpha-Reliability*).

    Args:
        ratings: (raters, units) integers 1 … n_values, NaN where missing.
        n_values: number of values of the scale.

    Returns:
        1 for perfect agreement, 0 for chance; NaN where no unit has two ratings or all ratings
        are the same (nothing varies that could be agreed on).
    """
    values = np.asarray(ratings, dtype=np.float64)
    # (units, values) how often each value was given.
    counts = np.stack([(values == v).sum(axis=0) for v in range(1, n_values + 1)], axis=1)
    counts = counts[counts.sum(axis=1) >= 2].astype(np.float64)
    if not len(counts):
        return float("nan")
    raters = counts.sum(axis=1)
    weights = 1 / (raters - 1)
    coincidences = (counts.T * weights) @ counts - np.diag(counts.T @ weights)
    totals = coincidences.sum(axis=1)
    n = totals.sum()
    below = np.cumsum(totals)
    # δ² = (Σ of the totals from one value to the other − half of both ends)².
    between = below[None, :] - below[:, None] + (totals[:, None] - totals[None, :]) / 2
    distance = np.triu(between, 1) ** 2
    distance += distance.T
    observed = float((coincidences * distance).sum())
    expected = float((np.outer(totals, totals) * distance).sum() / (n - 1))
    return float("nan") if expected == 0 else 1 - observed / expected


@dataclass(frozen=True)
class Intraclass:
    """Intraclass correlations of Shrout & Fleiss (1979): ICC(2,1) of one rater, ICC(2,k) of the
    mean of all, raters being a sample of many."""

    single: float
    average: float
    n_units: int
    n_raters: int


def intraclass(ratings: Array) -> Intraclass | None:
    """ICC(2,1) and ICC(2,k).

    Args:
        ratings: (raters, units), NaN where missing.

    Returns:
        None unless at least two raters rated each of at least two units, or where nothing varies.
    """
    values = np.asarray(ratings, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        return None
    k, n = values.shape
    mean = values.mean()
    between = k * ((values.mean(axis=0) - mean) ** 2).sum() / (n - 1)
    raters = n * ((values.mean(axis=1) - mean) ** 2).sum() / (k - 1)
    rest = ((values - mean) ** 2).sum() - between * (n - 1) - raters * (k - 1)
    error = rest / ((n - 1) * (k - 1))
    single = between + (k - 1) * error + k * (raters - error) / n
    average = between + (raters - error) / n
    if single <= 0 or average <= 0:
        return None
    return Intraclass(float((between - error) / single), float((between - error) / average), n, k)
