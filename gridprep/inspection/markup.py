"""Small pieces of HTML that the page is put together from, all text escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import numpy as np

from gridprep.inspection.outliers import Ranking

esc = html.escape
BARS = 40


def data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def table(heads: Sequence[str], rows: Sequence[str]) -> str:
    return (
        f'<div class="scroll"><table><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def head(label: str, unit: str = "", text: bool = False) -> str:
    kind = ' class="text"' if text else ""
    below = f"<small>{esc(unit)}</small>" if unit else ""
    return f'<th scope="col"{kind}>{esc(label)}{below}</th>'


def signed(value: float | None, decimals: int, sign: bool = False) -> str:
    """A number with a real minus sign, or a dash."""
    if value is None:
        return "–"
    if round(value, decimals) == 0:
        value = 0.0
    return f"{value:{'+' if sign and value else ''}.{decimals}f}".replace("-", "−")


def cell(text: str, bad: bool = False, kind: str = "") -> str:
    classes = " ".join(name for name in ("bad" if bad else "", kind) if name)
    return f'<td class="{classes}">{esc(text)}</td>'


def histogram(ranking: Ranking) -> str:
    """All values as bars (height by the square root, so that single clips show), the limit in red."""
    values = np.asarray(ranking.values)
    if len(values) == 0 or np.ptp(values) < 1e-9:
        return ""
    criterion = ranking.criterion
    low, high = float(values.min()), float(values.max())
    if criterion.worst == "far":
        high = max(abs(low), abs(high))
        low = -high
    counts, _ = np.histogram(values, bins=BARS, range=(low, high))
    width, height, left = 300, 74, 2
    step = (width - 2 * left) / BARS

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (width - 2 * left)

    bars = "".join(
        f'<rect x="{left + i * step:.1f}" y="{height - h:.1f}" width="{step - 0.8:.1f}" '
        f'height="{h:.1f}" fill="#8fb0d6"/>'
        for i, count in enumerate(counts)
        if (h := (height - 8) * float(np.sqrt(count / counts.max())))
    )
    limits = (-criterion.limit, criterion.limit) if criterion.worst == "far" else (criterion.limit,)
    marks = "".join(
        f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="2" y2="{height}" stroke="#b3264a" '
        'stroke-width="1.5" stroke-dasharray="3 2"/>'
        for at in limits
        if low <= at <= high
    )
    ends = (
        f'<text x="0" y="{height + 14}">{signed(low, criterion.decimals)}</text>'
        f'<text x="{width}" y="{height + 14}" text-anchor="end">'
        f"{signed(high, criterion.decimals)} {esc(criterion.unit)}</text>"
    )
    return (
        f'<svg viewBox="0 0 {width} {height + 18}" role="img" aria-label="distribution">{bars}{marks}'
        f'<line x1="0" x2="{width}" y1="{height}" y2="{height}" stroke="#9aa3b0"/>{ends}</svg>'
    )
