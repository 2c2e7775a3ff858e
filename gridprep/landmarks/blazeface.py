"""Finds faces in a picture: BlazeFace (Bazarevsky et al., 2019), the short-range model.

The network sees 128×128 pixels, the whole picture letterboxed into them, and answers on 896 anchors
with a box and six points each. A face shorter than about 15 % of the picture's longer side is too
small for it; `levels` gives overlapping tiles to look at again. Constants and steps are those of
MediaPipe's graphs `face_detection_short_range` (Apache-2.0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from gridprep.landmarks.networks import Network

INPUT_PX = 128
MIN_SCORE = 0.5
MIN_OVERLAP = 0.3
"""Boxes that overlap by more (intersection over union) are one face."""

TILE_DIVISORS = (2.0, 3.5, 6.0)
"""Sides of the tiles as parts of the picture's longer side: faces from 2.5 % of it are found."""
TILE_STEP = 0.65
"""Distance of neighboring tiles in tile sides: a face of a third of a tile is whole in one of them."""
MIN_TILE_PX = 96
"""Smaller tiles would show faces too small for landmarks."""
PLAIN_STD = 2.0
"""Pictures with less contrast (standard deviation of the gray levels) are gray or black frames."""


Window = tuple[float, float, float]
"""x0, y0 and side of a square in pixels of the picture; it may reach over the picture's border."""


@dataclass(frozen=True)
class Face:
    """One face that the detector saw, in pixels of the picture.

    Attributes:
        box: (4,) x0, y0, x1, y1: brow to chin, ear to ear.
        eyes: (2, 2) x, y of the eye on the picture's left, then of the other, in a face that is upright.
        score: 0 to 1.
    """

    box: NDArray[np.float64]
    eyes: NDArray[np.float64]
    score: float


@cache
def _anchors() -> NDArray[np.float64]:
    """(896, 2) centers in 0…1: two on each cell of a 16×16 grid, six on each of an 8×8 grid."""
    grids = []
    for cells, per_cell in ((16, 2), (8, 6)):
        y, x = np.mgrid[0:cells, 0:cells]
        grid = np.stack([x.ravel(), y.ravel()], 1)
        grids.append(np.repeat((grid + 0.5) / cells, per_cell, axis=0))
    return np.concatenate(grids)


def detect(
    network: Network, picture: NDArray[np.uint8], windows: Sequence[Window] | None = None
) -> list[Face]:
    """Detects the faces in a picture, the most certain first.

    Args:
        network: `face_detection_short_range`.
        picture: (H, W, 3) uint8 RGB.
        windows: squares to look at; None is `whole`.
    """
    seen = [_look(network, picture, each) for each in windows or [whole(*picture.shape[:2])]]
    return [
        Face(row[:4].copy(), row[4:8].reshape(2, 2).copy(), float(row[-1]))
        for row in _merged(np.concatenate(seen))
    ]


def whole(height: int, width: int) -> Window:
    """The square around the whole picture, as large as its longer side."""
    side = float(max(height, width))
    return (width - side) / 2, (height - side) / 2, side


def levels(height: int, width: int) -> list[list[Window]]:
    """Overlapping tiles for pictures whose faces are too small to be seen in the whole of it, ever
    smaller ones."""
    found = []
    for divisor in TILE_DIVISORS:
        side = max(height, width) / divisor
        if side < MIN_TILE_PX:
            break
        found.append([(x, y, side) for y in _starts(height, side) for x in _starts(width, side)])
    return found


def overlaps(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) intersection over union of one box with (K, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    both = np.clip(high - low, 0, None).prod(1)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)
    either = np.clip(box[2:] - box[:2], 0, None).prod() + areas - both
    return np.asarray(both / np.maximum(either, 1e-9))


def is_plain(picture: NDArray[np.uint8]) -> bool:
    """Whether a picture shows nothing: a gray or a black frame."""
    return float(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).std()) < PLAIN_STD


def _starts(length: int, side: float) -> list[float]:
    """Where the tiles along one axis begin, the first at its start and the last at its end."""
    if side >= length:
        return [(length - side) / 2]
    count = math.ceil((length - side) / (TILE_STEP * side)) + 1
    return [float(x) for x in np.linspace(0, length - side, count)]


def _look(network: Network, picture: NDArray[np.uint8], window: Window) -> NDArray[np.float64]:
    """Rows of a box, six points (all x, y in pixels of the picture) and a score."""
    x0, y0, side = window
    left, top, reduction = 0, 0, int(side // (4 * INPUT_PX))
    if reduction > 1:
        # Reduced in one step without averaging, a large picture would lose what is small in it.
        left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
        picture = picture[top : math.ceil(y0 + side), left : math.ceil(x0 + side)]
        size = (picture.shape[1] // reduction, picture.shape[0] // reduction)
        picture = picture[: size[1] * reduction, : size[0] * reduction]
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    reduction = max(1, reduction)
    scale = INPUT_PX * reduction / side
    matrix = np.array(
        [
            [scale, 0, -(x0 - left) * scale / reduction],
            [0, scale, -(y0 - top) * scale / reduction],
        ]
    )
    small = cv2.warpAffine(picture, matrix, (INPUT_PX, INPUT_PX), flags=cv2.INTER_LINEAR)
    raw, logits = network(small.astype(np.float32) * np.float32(2 / 255) - np.float32(1))
    # A logit is the score's order; far ones would overflow.
    scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -100, 100)))
    good = scores >= MIN_SCORE
    values = raw.reshape(-1, 16)[good].astype(np.float64) / INPUT_PX
    values[:, :2] += _anchors()[good]
    values[:, 4:] += np.tile(_anchors()[good], 6)
    center, size_ = values[:, :2].copy(), values[:, 2:4].copy()
    values[:, :2], values[:, 2:4] = center - size_ / 2, center + size_ / 2
    return np.column_stack([values * side + np.tile([x0, y0], 8), scores[good]])


def _merged(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """One row per face: boxes that overlap with the most certain one, averaged by their scores."""
    rows = rows[np.argsort(-rows[:, -1], kind="stable")]
    kept = []
    while len(rows):
        near = overlaps(rows[0, :4], rows[:, :4]) > MIN_OVERLAP
        near[0] = True
        row = np.average(rows[near], axis=0, weights=rows[near, -1])
        row[-1] = rows[0, -1]
        kept.append(row)
        rows = rows[~near]
    return np.array(kept).reshape(-1, rows.shape[1])
