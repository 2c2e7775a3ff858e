"""Numbers as tables print them."""

from __future__ import annotations


def fixed(value: float, decimals: int) -> str:
    """A number with a fixed count of decimals, a real minus sign, and none before a rounded zero.

    Example:
        >>> fixed(-1.25, 1), fixed(-0.001, 2)
        ('−1.2', '0.00')
    """
    text = f"{value:.{decimals}f}"
    # The minus sign (U+2212) keeps columns of figures apart from ranges, which take a dash.
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")
