"""Pictures and sound for the HTML page, as text that can be inlined."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import SCORING_RATE_HZ, Samples
from evaluation.metrics.base import MetricInfo
from evaluation.reporting.tables import Cell, format_interval, format_mean
from manifests.html import data_uri

PALETTE = ("#3b6ea5", "#c8662b", "#3f8f5f", "#8a5ea8", "#a8324a", "#6b7280", "#b08d1e", "#2a8c8c")
"""Distinct in grayscale order too; systems take them in turn."""

POINTS_A_STRIP = 200


def color(place: int) -> str:
    """Color of the system at a place, from 0."""
    return PALETTE[place % len(PALETTE)]


def sound_uri(samples: Samples) -> str:
    """(n,) samples at 16 kHz as an inlined FLAC (about half a wav), 16 bit."""
    import soundfile

    buffer = io.BytesIO()
    clipped = np.clip(samples, -1.0, 32767 / 32768)
    soundfile.write(buffer, clipped, SCORING_RATE_HZ, format="FLAC", subtype="PCM_16")
    return data_uri("audio/flac", buffer.getvalue())


def mel_uri(mel: NDArray[np.float32], low: float, high: float) -> str:
    """(80, T) log-mel as an inlined PNG, low frequencies at the bottom, `low`–`high` as colors."""
    from matplotlib import image

    buffer = io.BytesIO()
    image.imsave(
        buffer, mel, vmin=low, vmax=high, cmap="magma", origin="lower", format="png", metadata={}
    )
    return data_uri("image/png", buffer.getvalue())


@dataclass(frozen=True)
class Strip:
    """One system's scores in one panel.

    Attributes:
        label: the system.
        values: clip → score.
        cell: its mean and interval.
    """

    label: str
    values: dict[str, float]
    cell: Cell


@dataclass(frozen=True)
class Point:
    """A clip in a strip, in pixels, and what is told of it."""

    x: float
    y: float
    told: str


@dataclass(frozen=True)
class Tick:
    """A place on a panel's axis, in pixels, and its number."""

    x: float
    label: str


@dataclass(frozen=True)
class DrawnStrip:
    """A strip in pixels: its points, its middle line, its mean and interval where there are any."""

    color: str
    middle: float
    points: tuple[Point, ...]
    mean: float | None
    interval: tuple[float, float] | None
    told: str


@dataclass(frozen=True)
class Panel:
    """One metric: a strip of points for each system (a point is a clip), in pixels.

    Attributes:
        label, heading: of the metric.
        width, height, side, top, base: of the picture, its margin, and the axis' ends.
    """

    label: str
    heading: str
    width: int
    height: int
    side: int
    top: int
    base: int
    ticks: tuple[Tick, ...]
    strips: tuple[DrawnStrip, ...]


def strip_panel(info: MetricInfo, strips: Sequence[Strip], width: int = 420) -> Panel | None:
    """Returns where everything of a panel stands; None where no clip has a score.

    Of more than 200 clips the points are evenly spaced quantiles, so that the page stays small.
    """
    row_height, top, bottom, side = 34, 26, 22, 10
    values = [v for strip in strips for v in strip.values.values()]
    if not values:
        return None
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def x(value: float) -> float:
        return round(side + (width - 2 * side) * (value - low) / (high - low), 1)

    drawn = []
    for i, strip in enumerate(strips):
        middle = top + row_height * (i + 0.5)
        ordered = sorted(strip.values.items(), key=lambda item: item[1])
        if len(ordered) > POINTS_A_STRIP:
            chosen = np.linspace(0, len(ordered) - 1, POINTS_A_STRIP).round().astype(int)
            ordered = [ordered[j] for j in chosen]
        points = tuple(
            # A fixed low-discrepancy jitter: the page must not change from run to run.
            Point(
                x(value),
                round(middle + 18 * ((j * 0.6180339887) % 1 - 0.5), 1),
                f"{clip}: {value:.{info.decimals}f}",
            )
            for j, (clip, value) in enumerate(ordered)
        )
        cell = strip.cell
        interval = None
        if cell.mean is not None and cell.low is not None and cell.high is not None:
            interval = max(x(cell.low), 0), min(x(cell.high), width)
        told = f"{format_mean(cell, info)} {format_interval(cell, info)}".strip()
        mean = None if cell.mean is None else x(cell.mean)
        drawn.append(DrawnStrip(color(i), middle, points, mean, interval, f"{strip.label}: {told}"))
    base = top + row_height * len(strips)
    marks = tuple(Tick(x(tick), f"{tick:g}") for tick in ticks(low, high))
    return Panel(
        info.label, info.heading, width, base + bottom, side, top, base, marks, tuple(drawn)
    )


def ticks(low: float, high: float) -> list[float]:
    """Up to seven round numbers (1, 2, 5 × 10ᵏ apart) within [low, high]."""
    power = 10.0 ** np.floor(np.log10(high - low))
    step = next(m * power for m in (0.1, 0.2, 0.5, 1, 2, 5) if high - low <= 6 * m * power)
    first = int(np.ceil(low / step))
    return [round(k * step, 10) for k in range(first, int(np.floor(high / step)) + 1)]
