"""Quantiles and tails of Student's t and of the normal distribution, as `scipy.stats` computes them, without
its import: it takes longer than a report has to.
"""

from __future__ import annotations

from scipy import special


def t_quantile(p: float, freedom: int) -> float:
    """The value that Student's t with so many degrees of freedom stays below with probability `p`."""
    return float(special.stdtrit(freedom, p))


def t_tail(value: float, freedom: int) -> float:
    """The probability that Student's t exceeds a value."""
    return float(special.stdtr(freedom, -value))


def normal_tail(value: float) -> float:
    """The probability that a standard normal variable exceeds a value."""
    return float(special.ndtr(-value))
