"""Pairwise tests of the differences between conditions, corrected for their number."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.stats.multiple import holm

Test = Literal["wilcoxon", "t"]
TESTS: tuple[str, ...] = get_args(Test)
Unit = Literal["subjects", "items"]
UNITS: tuple[str, ...] = get_args(Unit)
FEWEST_PAIRS = 5
"""With fewer pairs no two-sided Wilcoxon test can reach 0.05."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """One pair of conditions.

    Attributes:
        first, second: their names.
        difference: mean of first − second over the units.
        low, high: its t interval.
        n: units that rated (or were rated under) both.
        effect: Cohen's d_z, the mean difference over its standard deviation; None where that is 0.
        p: two-sided; None with fewer than five units.
        p_holm: Holm's correction over all pairs of the part.
    """

    first: str
    second: str
    difference: float
    low: float | None
    high: float | None
    n: int
    effect: float | None
    p: float | None
    p_holm: float | None


def compare(
    names: Sequence[str], means: Mapping[str, Mapping[str, float]], test: Test, confidence: float
) -> list[Comparison]:
    """All pairs of conditions, in their order.

    Args:
        names: conditions.
        means: condition → unit (subject or clip) → mean rating.
        test: `wilcoxon` (signed-rank test) or `t` (paired t test).
        confidence: of the intervals.
    """
    found = []
    for first, second in itertools.combinations(names, 2):
        units = sorted(set(means[first]) & set(means[second]))
        values = np.array([means[first][u] - means[second][u] for u in units], dtype=np.float64)
        found.append((first, second, values))
    raw = [paired_p(values, test) for _, _, values in found]
    corrected = holm(raw)
    comparisons = []
    for (first, second, values), p, p_holm in zip(found, raw, corrected, strict=True):
        if not len(values):
            continue
        low, high = _t_interval(values, confidence)
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        comparisons.append(
            Comparison(
                first,
                second,
                float(values.mean()),
                low,
                high,
                len(values),
                float(values.mean()) / spread if spread > 0 else None,
                p,
                p_holm,
            )
        )
    return comparisons


def paired_p(differences: Array, test: Test) -> float | None:
    """Two-sided p of paired differences; 1 where all are zero, None with too few."""
    if len(differences) < FEWEST_PAIRS:
        return None
    # Means of ratings that are equal on paper may differ in the last bit.
    rounded = np.round(differences, 9)
    if not rounded.any():
        return 1.0
    if test == "t":
        if rounded.std() == 0:
            return 0.0
        return float(stats.ttest_1samp(rounded, 0.0).pvalue)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few pairs or ties: it says so, and approximates
        return float(stats.wilcoxon(rounded).pvalue)


def _t_interval(values: Array, confidence: float) -> tuple[float | None, float | None]:
    n = len(values)
    if n < 2:
        return None, None
    reach = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * values.std(ddof=1) / math.sqrt(n)
    return float(values.mean() - reach), float(values.mean() + reach)
