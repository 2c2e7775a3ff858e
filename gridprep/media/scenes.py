"""Scene cuts: the frames at which a video changes to another picture.

A cut is a frame that differs from the one before far more than its neighbors in time differ from
theirs, so that neither quick movement nor a flash counts as a cut. On GRID's clips the largest
step is 3.2 levels and 1.85 times its neighbors'; where one clip changes into another speaker's it is
at least 13 levels and 8 times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WIDTH = 48
"""Approximate width in pixels to which pictures are reduced."""
LEAST_STEP = 6.0
"""Mean difference of gray levels, 0 to 255, below which there is no cut."""
LEAST_RATIO = 4.0
"""How many times the largest step among the neighbors' a cut is at least."""
NEIGHBORS = 5
STILL = 0.3
"""Least step that is assumed of frozen frames."""


def thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Reduces (..., H, W, 3) pictures to (..., h, w) gray levels by skipping pixels."""
    step = max(1, frame.shape[-2] // WIDTH)
    few = frame[..., ::step, ::step, :]
    # Three sums of planes: a mean over the last axis takes twenty times as long, to the same values.
    total = few[..., 0].astype(np.uint16)
    total += few[..., 1]
    total += few[..., 2]
    gray: NDArray[np.float32] = total.astype(np.float32)
    gray /= np.float32(3)
    return gray


def scene_cuts(thumbnails: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> tuple[int, ...]:
    """Numbers of the frames with which another scene begins, rising.

    Args:
        thumbnails: (T, h, w), of consecutive frames.
    """
    gray = np.asarray(thumbnails, np.float32)
    steps = np.abs(np.diff(gray, axis=0)).mean((1, 2)) if len(gray) > 1 else np.zeros(0)
    cuts = []
    for i in np.flatnonzero(steps > LEAST_STEP):
        around = np.r_[steps[max(0, i - NEIGHBORS) : i], steps[i + 1 : i + 1 + NEIGHBORS]]
        if steps[i] > LEAST_RATIO * max(float(around.max(initial=0)), STILL):
            cuts.append(int(i) + 1)
    return tuple(cuts)
