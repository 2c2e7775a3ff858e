"""Where a video cuts to another picture.

A cut is a frame that differs from the one before far more than any of its neighbors in time do from
theirs: so quick movement is none, nor is a flash, which comes and goes. On GRID's clips the largest
step is 3.2 levels and 1.85 times its neighbors'; where one clip goes over into another speaker's it is
13 and 8 times or more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WIDTH = 48
"""Pixels across, about, to which pictures are thinned out."""
LEAST_STEP = 6.0
"""Mean difference of grey levels, 0 to 255, below which there is no cut."""
LEAST_RATIO = 4.0
"""How many times the largest step among the neighbors' a cut is at least."""
NEIGHBORS = 5
STILL = 0.3
"""A step among frozen frames counts as so much."""


def thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h, w) grey levels of an (H, W, 3) picture, thinned out."""
    step = max(1, frame.shape[1] // WIDTH)
    grey: NDArray[np.float32] = frame[::step, ::step].mean(-1, dtype=np.float32)
    return grey


def scene_cuts(thumbnails: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> tuple[int, ...]:
    """Numbers of the frames with which another scene begins, rising.

    Args:
        thumbnails: (T, h, w), of consecutive frames.
    """
    grey = np.asarray(thumbnails, np.float32)
    steps = np.abs(np.diff(grey, axis=0)).mean((1, 2)) if len(grey) > 1 else np.zeros(0)
    cuts = []
    for i in np.flatnonzero(steps > LEAST_STEP):
        around = np.r_[steps[max(0, i - NEIGHBORS) : i], steps[i + 1 : i + 1 + NEIGHBORS]]
        if steps[i] > LEAST_RATIO * max(float(around.max(initial=0)), STILL):
            cuts.append(int(i) + 1)
    return tuple(cuts)
