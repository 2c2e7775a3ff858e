"""Interpolation and smoothing over time, equal to SciPy's `PchipInterpolator` and `gaussian_filter1d`.

Importing those two takes every worker half a second of processor time, as long as three clips of GRID
take; 60 clips on two workers are a common build. The tests hold both beside SciPy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TRUNCATED_SIGMAS = 4.0
"""Where the Gaussian ends."""


def monotone(knots: NDArray[np.integer], values: Array, at: NDArray[np.integer]) -> Array:
    """Cubic interpolation that never overshoots (PCHIP: Fritsch and Butland, 1984).

    Args:
        knots: (K,) rising places of the values, at least two.
        values: (K, ...).
        at: (T,) places between the first knot and the last.

    Returns: (T, ...).
    """
    shape = (-1,) + (1,) * (values.ndim - 1)
    x = knots.astype(np.float64)
    step = np.diff(x).reshape(shape)
    slope = np.diff(values, axis=0) / step
    tangent = np.broadcast_to(slope[:1], values.shape).copy()
    if len(x) > 2:
        left, right = slope[:-1], slope[1:]
        first, second = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
        turns = (np.sign(left) != np.sign(right)) | (left == 0) | (right == 0)
        safe_left, safe_right = np.where(turns, 1.0, left), np.where(turns, 1.0, right)
        mean = (first / safe_left + second / safe_right) / (first + second)
        tangent[1:-1] = np.where(turns, 0.0, 1 / mean)
        tangent[0] = _end(step[0], step[1], slope[0], slope[1])
        tangent[-1] = _end(step[-1], step[-2], slope[-1], slope[-2])
    bend = (tangent[:-1] + tangent[1:] - 2 * slope) / step
    piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    s = (at - x[piece]).reshape(shape)
    result = values[piece] + tangent[piece] * s
    result = result + ((slope[piece] - tangent[piece]) / step[piece] - bend[piece]) * (s * s)
    return np.asarray(result + bend[piece] / step[piece] * (s * s * s))


def _end(step: Array, next_step: Array, slope: Array, next_slope: Array) -> Array:
    """Tangent at an end: of the parabola through three points, as far as that does not overshoot."""
    tangent = ((2 * step + next_step) * slope - step * next_slope) / (step + next_step)
    over = (np.sign(slope) != np.sign(next_slope)) & (np.abs(tangent) > 3 * np.abs(slope))
    tangent = np.where(over, 3 * slope, tangent)
    return np.asarray(np.where(np.sign(tangent) != np.sign(slope), 0.0, tangent))


def smoothed(values: Array, sigma: float) -> Array:
    """(T, ...) values smoothed over the first axis by a Gaussian of `sigma` steps, the ends repeated."""
    reach = int(TRUNCATED_SIGMAS * sigma + 0.5)
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-reach, reach + 1) ** 2)
    weights = (weights / weights.sum())[reach:]
    n = len(values)
    padded = np.concatenate([values[:1].repeat(reach, 0), values, values[-1:].repeat(reach, 0)])
    result = values * weights[0]
    for k in range(reach, 0, -1):
        before, after = padded[reach - k : reach - k + n], padded[reach + k : reach + k + n]
        result = result + (before + after) * weights[k]
    return np.asarray(result)
