"""Quantiles and tails of Student's t and of the normal distribution, as `scipy.stats` computes them, without
its import: it takes longer than a report has to.
"""

from __future__ import annotations

from scipy import special


def t_quantile(p: float, freedom: int) -> float:
    """The value that Student's t with so many degrees of freedom stays below with probability `p`."""
    return float(special.stdtrit(freedom, p))


def t_two_sided(difference: float, error: float, freedom: int) -> float:
    """Two-sided p of a difference by its standard error; 1 where both are nothing, 0 where only the error
    is."""
    if error > 1e-12:
        return 2 * float(special.stdtr(freedom, -abs(difference) / error))
    return 1.0 if abs(difference) < 1e-12 else 0.0


def normal_tail(value: float) -> float:
    """The probability that a standard normal variable exceeds a value."""
    return float(special.ndtr(-value))
