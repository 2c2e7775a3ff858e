"""Content of the tables and histograms of the inspection page; `page.html` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gridprep.inspection.outliers import Ranking

BARS = 40
WIDTH, HEIGHT, MARGIN = 300, 74, 2
"""Size of a histogram in pixels."""


@dataclass(frozen=True)
class Head:
    """The head of a column; columns of text are aligned to the left."""

    label: str
    unit: str = ""
    is_text: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: the text of the cell.
        is_bad: whether the text is printed in red.
        kind: `text` for text aligned to the left, `text wide` for text with line breaks.
        link: anchor on the page to which the text links.
        image: address of a picture in place of the text.
        small: a second line in small print.
        lines: lines in place of the text: (text, remark in gray).
    """

    text: str = ""
    is_bad: bool = False
    kind: str = ""
    link: str = ""
    image: str = ""
    small: str = ""
    lines: tuple[tuple[str, str], ...] = ()

    @property
    def classes(self) -> str:
        return " ".join(name for name in ("bad" if self.is_bad else "", self.kind) if name)


@dataclass(frozen=True)
class PageTable:
    """Heads and rows of equal length."""

    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram, in pixels."""

    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True)
class Histogram:
    """All values of a criterion as bars, its limits, and the labels of both ends."""

    bars: tuple[Bar, ...]
    limits: tuple[str, ...]
    low: str
    high: str
    width: int = WIDTH
    height: int = HEIGHT


def signed(value: float | None, decimals: int, sign: bool = False) -> str:
    """A number with a real minus sign, or a dash."""
    if value is None:
        return "–"
    if round(value, decimals) == 0:
        value = 0.0
    return f"{value:{'+' if sign and value else ''}.{decimals}f}".replace("-", "−")


def histogram(ranking: Ranking) -> Histogram | None:
    """A histogram with heights on a square-root scale, so that single clips are visible; None where
    all values are equal."""
    values = np.asarray(ranking.values)
    if len(values) == 0 or np.ptp(values) < 1e-9:
        return None
    criterion = ranking.criterion
    low, high = float(values.min()), float(values.max())
    if criterion.worst == "far":
        high = max(abs(low), abs(high))
        low = -high
    counts, _ = np.histogram(values, bins=BARS, range=(low, high))
    step = (WIDTH - 2 * MARGIN) / BARS

    def x(value: float) -> float:
        return MARGIN + (value - low) / (high - low) * (WIDTH - 2 * MARGIN)

    bars = tuple(
        Bar(f"{MARGIN + i * step:.1f}", f"{HEIGHT - h:.1f}", f"{step - 0.8:.1f}", f"{h:.1f}")
        for i, count in enumerate(counts)
        if (h := (HEIGHT - 8) * float(np.sqrt(count / counts.max())))
    )
    limits: Sequence[float] = (criterion.limit,)
    if criterion.worst == "far":
        limits = (-criterion.limit, criterion.limit)
    return Histogram(
        bars,
        tuple(f"{x(at):.1f}" for at in limits if low <= at <= high),
        signed(low, criterion.decimals),
        f"{signed(high, criterion.decimals)} {criterion.unit}",
    )
