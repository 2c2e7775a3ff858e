"""From a face box to a network's crop, and from its heat maps back to pixels of the frame.

The geometry is that of FAN (Bulat & Tzimiropoulos, ICCV 2017): a square crop of 256² around the
box, 68 heat maps of 64². Everything here works on whole batches and keeps fractions of a pixel; the
library's own `transform` cuts to whole pixels on the way in and on the way out.

Two kinds of coordinates: *edge* coordinates measure from the picture's border (the first pixel's
center is at 0.5), *pixel* coordinates from the first pixel's center, as OpenCV does.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

CROP_PX = 256
HEATMAP_PX = 64
LANDMARK_SCALE = 195.0
"""FAN's reference scale for boxes drawn around the 68 points, as in its training."""

_CENTER_UP = 0.12
"""The crop's center lies this share of the box's height above the box's: hair is not in the box."""
_SIDE = 200.0

# A face's 68 points span 0.49 of the crop drawn around them. Beyond these bounds the network was
# not looking at one whole upright face.
SPAN_RANGE = (0.25, 0.85)
ASPECT_RANGE = (0.5, 2.0)
MAX_SHIFT = 0.3


def squares(boxes: NDArray[np.float64], reference_scale: float) -> NDArray[np.float64]:
    """Square crops for face boxes.

    Args:
        boxes: (N, 4) x0, y0, x1, y1 in edge coordinates of the frame.
        reference_scale: of whatever drew the boxes: `LANDMARK_SCALE`, or the detector's own.

    Returns: (N, 3) center x, center y and side, in edge coordinates of the frame.
    """
    size = boxes[:, 2:4] - boxes[:, :2]
    center = boxes[:, :2] + size / 2
    center[:, 1] -= _CENTER_UP * size[:, 1]
    side = _SIDE * size.sum(1) / reference_scale
    return np.column_stack([center, np.maximum(side, 1.0)])


def cut(frame: NDArray[np.uint8], square: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(H, W, 3) frame → (256, 256, 3) crop; black outside the frame."""
    x, y, side = square
    step = side / CROP_PX
    matrix = np.array(
        [
            [step, 0.0, x + (0.5 - CROP_PX / 2) * step - 0.5],
            [0.0, step, y + (0.5 - CROP_PX / 2) * step - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(frame, matrix, (CROP_PX, CROP_PX), flags=flags)
    return np.asarray(crop, np.uint8)


def peaks(heatmaps: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Peaks of heat maps, moved a quarter cell towards the higher neighbor.

    Equal to `face_alignment.utils.get_preds_fromhm`, whose compiled loop costs five seconds at
    first use in every process.

    Args:
        heatmaps: (N, P, 64, 64).

    Returns: (N, P, 2) x, y in edge coordinates of the heat map, and (N, P) peak heights.
    """
    n, p, height, width = heatmaps.shape
    flat = heatmaps.reshape(n, p, height * width)
    index = flat.argmax(-1)
    top = np.take_along_axis(flat, index[..., None], -1)[..., 0]
    x, y = index % width, index // width
    inside = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    x_in, y_in = np.clip(x, 1, width - 2), np.clip(y, 1, height - 2)
    rows, columns = np.ogrid[:n, :p]
    slope_x = heatmaps[rows, columns, y_in, x_in + 1] - heatmaps[rows, columns, y_in, x_in - 1]
    slope_y = heatmaps[rows, columns, y_in + 1, x_in] - heatmaps[rows, columns, y_in - 1, x_in]
    quarter = np.stack([np.sign(slope_x), np.sign(slope_y)], -1) * 0.25 * inside[..., None]
    points = np.stack([x, y], -1) + 0.5 + quarter
    return points.astype(np.float32), top


def to_frame(
    points: NDArray[np.float32], crops: NDArray[np.float64], heatmap_px: int = HEATMAP_PX
) -> NDArray[np.float32]:
    """Heat-map points → pixel coordinates of the frame.

    Args:
        points: (N, P, 2) edge coordinates of the heat maps.
        crops: (N, 3) from `squares`.
    """
    center, side = crops[:, None, :2], crops[:, None, 2:]
    return (center + (points / heatmap_px - 0.5) * side - 0.5).astype(np.float32)


def point_boxes(points_px: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, P, 2) pixel coordinates → (N, 4) boxes in edge coordinates."""
    corners = np.concatenate([points_px.min(1), points_px.max(1)], -1)
    boxes: NDArray[np.float64] = corners.astype(np.float64) + 0.5
    return boxes


def is_face(
    points_px: NDArray[np.float32],
    heights: NDArray[np.float32],
    crops: NDArray[np.float64],
    min_confidence: float,
) -> NDArray[np.bool_]:
    """(N,) whether a face was found in a crop: peaks high enough on average, and points that span
    as much of the crop as a face does, near its middle."""
    boxes = point_boxes(points_px)
    size = boxes[:, 2:] - boxes[:, :2]
    span = size.mean(1) / crops[:, 2]
    aspect = size[:, 0] / np.maximum(size[:, 1], 1e-6)
    shift = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - crops[:, :2]).max(1) / crops[:, 2]
    good: NDArray[np.bool_] = (
        (heights.mean(1) >= min_confidence)
        & (span >= SPAN_RANGE[0])
        & (span <= SPAN_RANGE[1])
        & (aspect >= ASPECT_RANGE[0])
        & (aspect <= ASPECT_RANGE[1])
        & (shift <= MAX_SHIFT)
    )
    return good
