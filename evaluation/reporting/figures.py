"""Pictures and sound for the HTML page, as text that can be inlined."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import SCORING_RATE_HZ, Samples
from evaluation.metrics.base import MetricInfo
from evaluation.reporting.tables import Cell, format_interval, format_mean

PALETTE = ("#3b6ea5", "#c8662b", "#3f8f5f", "#8a5ea8", "#a8324a", "#6b7280", "#b08d1e", "#2a8c8c")
"""Distinct in grayscale order too; systems take them in turn."""

POINTS_A_STRIP = 200


def data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


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


def strip_panel(info: MetricInfo, strips: Sequence[Strip], width: int = 420) -> str:
    """SVG: a strip of points a system (a point a clip), its mean and interval over them.

    Of more than 200 clips the points are evenly spaced quantiles, so that the page stays small.
    """
    row_height, top, bottom, side = 34, 26, 22, 10
    values = [v for strip in strips for v in strip.values.values()]
    if not values:
        return ""
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def x(value: float) -> float:
        return round(side + (width - 2 * side) * (value - low) / (high - low), 1)

    height = top + row_height * len(strips) + bottom
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{html.escape(info.label)} by system">',
        f'<text x="{side}" y="15" class="panel">{html.escape(info.heading)}</text>',
    ]
    base = top + row_height * len(strips)
    for tick in ticks(low, high):
        parts.append(f'<line x1="{x(tick)}" x2="{x(tick)}" y1="{top}" y2="{base}" class="grid"/>')
        parts.append(f'<text x="{x(tick)}" y="{base + 14}" class="tick">{tick:g}</text>')
    for i, strip in enumerate(strips):
        color = PALETTE[i % len(PALETTE)]
        middle = top + row_height * (i + 0.5)
        ordered = sorted(strip.values.items(), key=lambda item: item[1])
        if len(ordered) > POINTS_A_STRIP:
            chosen = np.linspace(0, len(ordered) - 1, POINTS_A_STRIP).round().astype(int)
            ordered = [ordered[j] for j in chosen]
        for j, (clip, value) in enumerate(ordered):
            # A fixed low-discrepancy jitter: the page must not change from run to run.
            y = round(middle + 18 * ((j * 0.6180339887) % 1 - 0.5), 1)
            parts.append(
                f'<circle cx="{x(value)}" cy="{y}" r="2.4" fill="{color}">'
                f"<title>{html.escape(clip)}: {value:.{info.decimals}f}</title></circle>"
            )
        cell = strip.cell
        if cell.mean is not None:
            if cell.low is not None and cell.high is not None:
                a, b = max(x(cell.low), 0), min(x(cell.high), width)
                parts.append(
                    f'<line x1="{a}" x2="{b}" y1="{middle}" y2="{middle}" class="interval"/>'
                )
            told = f"{format_mean(cell, info)} {format_interval(cell, info)}".strip()
            parts.append(
                f'<rect x="{x(cell.mean) - 3:.1f}" y="{middle - 9}" width="6" height="18" '
                f'fill="{color}" class="mean"><title>{html.escape(strip.label)}: '
                f"{told}</title></rect>"
            )
    parts.append("</svg>")
    return "".join(parts)


def ticks(low: float, high: float) -> list[float]:
    """Up to seven round numbers (1, 2, 5 × 10ᵏ apart) within [low, high]."""
    power = 10.0 ** np.floor(np.log10(high - low))
    step = next(m * power for m in (0.1, 0.2, 0.5, 1, 2, 5) if high - low <= 6 * m * power)
    first = int(np.ceil(low / step))
    return [round(k * step, 10) for k in range(first, int(np.floor(high / step)) + 1)]
