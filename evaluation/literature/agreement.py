"""How the columns of a table order its systems, beside the order of listeners or of another column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

FEWEST = 3
"""Systems below which two orders say nothing."""


@dataclass(frozen=True)
class Agreement:
    """One column against the listeners.

    Attributes:
        column: name of the metric.
        order: systems, the best first.
        spearman, kendall: rank correlation with the listeners over the systems that both know, positive
            where better scores go with better opinions; None below three systems or without spread.
        n: those systems.
    """

    column: str
    order: tuple[str, ...]
    spearman: float | None
    kendall: float | None
    n: int


def agreements(
    columns: Mapping[str, Mapping[str, float]],
    directions: Mapping[str, str],
    listeners: Mapping[str, float],
) -> list[Agreement]:
    """Compares the order of systems in each column with the listeners'.

    Args:
        columns: metric → system → mean.
        directions: metric → `higher` or `lower`; other metrics are left out.
        listeners: system → mean opinion, higher is better.

    Example:
        >>> columns = {"wer": {"A": 10.0, "B": 20.0, "C": 30.0}}
        >>> (found,) = agreements(columns, {"wer": "lower"}, {"A": 4.0, "B": 3.0, "C": 2.0})
        >>> found.order, found.spearman, found.n
        (('A', 'B', 'C'), 1.0, 3)
    """
    found = []
    for name, means in columns.items():
        direction = directions.get(name, "none")
        if direction not in ("higher", "lower"):
            continue
        sign = 1.0 if direction == "higher" else -1.0
        order = tuple(sorted(means, key=lambda system: (-sign * means[system], system)))
        both = [system for system in means if system in listeners]
        a = [sign * means[system] for system in both]
        b = [listeners[system] for system in both]
        found.append(Agreement(name, order, *_correlations(a, b), len(both)))
    return found


def _correlations(a: Sequence[float], b: Sequence[float]) -> tuple[float | None, float | None]:
    if len(a) < FEWEST or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None, None
    spearman, kendall = stats.spearmanr(a, b).statistic, stats.kendalltau(a, b).statistic
    return round(float(spearman), 12), round(float(kendall), 12)
