"""Long clips in overlapping windows: time and memory grow linearly, and overlaps are cross-faded."""

from __future__ import annotations

import torch
from torch import Tensor

WINDOW_FRAMES = 75
"""Video frames read at once, 3 s: as many as the clips have that a model learns from, which are read
in one pass. Bi-GRUs that were trained on 3 s get lost in longer ones: on 24 rows of four clips of
SynthGRID, 12 s each, a reader that makes 17 % character errors on clips made 49 % in one pass, 44 % in
windows of 5 s, and 25 % in these."""
OVERLAP_FRAMES = 40
"""Shared by neighboring windows, 1.6 s."""
MARGIN_FRAMES = 8
"""At a window's inner end not used at all: those frames lack what comes before or after."""


def windows(frames: int) -> list[tuple[int, int]]:
    """[start, end) of each window over a clip. All are equally long: the last one is moved back."""
    if frames <= WINDOW_FRAMES:
        return [(0, frames)]
    step = WINDOW_FRAMES - OVERLAP_FRAMES
    starts = [*range(0, frames - WINDOW_FRAMES, step), frames - WINDOW_FRAMES]
    return [(start, start + WINDOW_FRAMES) for start in starts]


def fade(start: int, end: int, frames: int) -> Tensor:
    """(end − start,) weight of a window's frames, before all are divided by their sum: a side that
    lies inside the clip counts nothing for `MARGIN_FRAMES`, then rises to 1."""
    position = torch.arange(start, end, dtype=torch.float32)
    rise = OVERLAP_FRAMES - 2 * MARGIN_FRAMES + 1
    weight = torch.ones(end - start)
    if start > 0:
        weight = torch.minimum(weight, (position - start + 1 - MARGIN_FRAMES) / rise)
    if end < frames:
        weight = torch.minimum(weight, (end - position - MARGIN_FRAMES) / rise)
    return weight.clamp_min(0)


class Blend:
    """Blends windows of (frames, channels) into one clip."""

    def __init__(self, frames: int, channels: int) -> None:
        self.frames = frames
        self._total = torch.zeros(frames, channels)
        self._weight = torch.zeros(frames, 1)

    def add(self, start: int, values: Tensor) -> None:
        """Adds a window that starts at frame `start`."""
        end = start + len(values)
        weight = fade(start, end, self.frames)[:, None]
        self._total[start:end] += weight * values
        self._weight[start:end] += weight

    def result(self) -> Tensor:
        """Returns (frames, channels), each frame the weighted mean of the windows over it."""
        return self._total / self._weight
