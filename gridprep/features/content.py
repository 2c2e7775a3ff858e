"""Checks of the content of a clip against itself: is the mouth really seen, and does it move?

Frame counts, rates and levels say nothing about a clip that is upside down, frozen, half grey, noise
for half a second, played backwards, or silent in the middle of a word. Such clips pass every check
of the container, and their features look fine and are wrong. The measures here are functions of what
a build stores (lip crops, landmarks, sound, words); the limits were set on 1,036 real clips of ten
speakers so that none of them is called a failure (docs/formats.md has the table).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from manifests.records import WordSpan

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LipMotion:
    """What the lip crops of a clip show, frame by frame.

    Attributes:
        contrast: (T,) standard deviation of the gray levels of each crop.
        change: (T − 1,) mean absolute difference of gray levels from one crop to the next.
        likeness: (T − 1,) correlation of one crop with the next.
        grain: (T,) mean absolute Laplacian of each crop: fine detail, and noise above all.
    """

    contrast: Array
    change: Array
    likeness: Array
    grain: Array


def lip_motion(lips: NDArray[np.uint8]) -> LipMotion:
    """Measures (T, H, W, 3) uint8 RGB lip crops."""
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in lips]).astype(np.float32)
    grain = [float(np.abs(cv2.Laplacian(frame, cv2.CV_32F)).mean()) for frame in gray]
    small = np.stack([cv2.resize(f, (36, 36), interpolation=cv2.INTER_AREA) for f in gray])
    flat = small.reshape(len(small), -1).astype(np.float64)
    centered = flat - flat.mean(1, keepdims=True)
    norm = np.linalg.norm(centered, axis=1)
    product = (centered[1:] * centered[:-1]).sum(1)
    likeness = product / np.maximum(norm[1:] * norm[:-1], 1e-9)
    change = np.abs(np.diff(gray, axis=0)).mean((1, 2))
    return LipMotion(
        gray.std((1, 2)).astype(np.float64), change.astype(np.float64), likeness, np.array(grain)
    )


def longest_run(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """(start, length) of the longest run of True in (T,); (0, 0) without one."""
    best, start = (0, 0), None
    for i, value in enumerate([*mask.tolist(), False]):
        if value and start is None:
            start = i
        elif not value and start is not None:
            if i - start > best[1]:
                best = (start, i - start)
            start = None
    return best


def silent_samples(samples: NDArray[np.float32], words: tuple[WordSpan, ...], rate_hz: int) -> int:
    """Length of the longest run of digital silence (under half a step of 16 bits) between the
    beginning of the first and the end of the last word."""
    spoken = [word for word in words if word.word not in ("sil", "sp")]
    if not spoken:
        return 0
    start, end = (round(t * rate_hz) for t in (spoken[0].start_s, spoken[-1].end_s))
    return longest_run(np.abs(samples[start:end]) < 0.6 / 32768)[1]
