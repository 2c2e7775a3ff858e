"""Compares the order that a column of a table gives its systems with that of listeners or of another
column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FEWEST = 3
"""Systems below which two orders say nothing."""
DECIMALS = 6
"""Of means that are compared: sums of rounded thirds differ in the ninth where the systems are equal."""
Array = NDArray[np.float64]
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Agreement:
    """One column against the listeners.

    Attributes:
        column: name of the metric.
        order: systems, the best first.
        tied: of each, whether it is as good as the one before.
        spearman, kendall: rank correlation with the listeners over the systems that both know, positive
            where better scores go with better opinions; None below three systems or without spread.
        n: those systems.
        spearman_interval, kendall_interval: 95 % of the correlations of redrawn clips; None where nothing
            was redrawn. The systems and their opinions stay as they are, so the interval says nothing
            about other systems.
        p: of Kendall's, two-sided: how often an order by lot agrees or disagrees as much.
    """

    column: str
    order: tuple[str, ...]
    spearman: float | None
    kendall: float | None
    n: int
    tied: tuple[bool, ...] = ()
    spearman_interval: Bounds | None = None
    kendall_interval: Bounds | None = None
    p: float | None = None

    @property
    def written(self) -> str:
        """`A > B = C`."""
        signs = ["", *(" = " if tied else " > " for tied in self.tied[1:])]
        return "".join(sign + system for sign, system in zip(signs, self.order, strict=True))


def agreements(
    columns: Mapping[str, Mapping[str, float]],
    directions: Mapping[str, str],
    listeners: Mapping[str, float],
    redrawn: Mapping[str, Mapping[str, Array]] | None = None,
) -> list[Agreement]:
    """Compares the order of systems in each column with the listeners'.

    Args:
        columns: metric → system → mean.
        directions: metric → `higher` or `lower`; other metrics are left out.
        listeners: system → mean opinion, higher is better.
        redrawn: metric → system → (R,) means over redrawn clips, the same clips for all systems.

    Example:
        >>> columns = {"wer": {"A": 10.0, "B": 20.0, "C": 30.0}}
        >>> (found,) = agreements(columns, {"wer": "lower"}, {"A": 4.0, "B": 3.0, "C": 2.0})
        >>> found.order, found.spearman, found.n
        (('A', 'B', 'C'), 1.0, 3)
    """
    found = []
    for name, exact in columns.items():
        direction = directions.get(name, "none")
        if direction not in ("higher", "lower"):
            continue
        means = {system: round(mean, DECIMALS) for system, mean in exact.items()}
        sign = 1.0 if direction == "higher" else -1.0
        order = tuple(sorted(means, key=lambda system: (-sign * means[system], system)))
        both = [system for system in means if system in listeners]
        a = [sign * means[system] for system in both]
        b = [listeners[system] for system in both]
        spearman, kendall, p = _correlations(a, b)
        drawn = (redrawn or {}).get(name, {})
        bounds: tuple[Bounds | None, Bounds | None] = (None, None)
        if spearman is not None and all(system in drawn for system in both):
            stacked = np.stack([drawn[system] for system in both]).round(DECIMALS)
            bounds = _bounds(sign * stacked, b)
        tied = tuple(
            k > 0 and means[system] == means[order[k - 1]] for k, system in enumerate(order)
        )
        found.append(Agreement(name, order, spearman, kendall, len(both), tied, *bounds, p))
    return found


def _correlations(
    a: Sequence[float], b: Sequence[float]
) -> tuple[float | None, float | None, float | None]:
    if len(a) < FEWEST or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None, None, None
    spearman, kendall = stats.spearmanr(a, b).statistic, stats.kendalltau(a, b)
    return (
        round(float(spearman), 12),
        round(float(kendall.statistic), 12),
        float(kendall.pvalue),
    )


def _bounds(drawn: Array, b: Sequence[float]) -> tuple[Bounds | None, Bounds | None]:
    """95 % of the correlations of (systems, R) redrawn means; draws without spread tell nothing."""
    told = drawn[:, np.isfinite(drawn).all(axis=0) & (np.ptp(drawn, axis=0) > 0)]
    if not told.size:
        return None, None
    opinions = np.asarray(b, dtype=np.float64)
    ranks, heard = stats.rankdata(told, axis=0), stats.rankdata(opinions)[:, None]
    ranks, heard = ranks - ranks.mean(axis=0), heard - heard.mean()
    spearman = (ranks * heard).sum(axis=0) / np.sqrt((ranks**2).sum(axis=0) * (heard**2).sum())
    i, j = np.triu_indices(len(b), 1)
    mine, theirs = np.sign(told[i] - told[j]), np.sign(opinions[i] - opinions[j])[:, None]
    kendall = (mine * theirs).sum(axis=0) / np.sqrt((mine**2).sum(axis=0) * (theirs**2).sum())
    low, high = np.percentile(np.stack([spearman, kendall]), (2.5, 97.5), axis=1)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))
