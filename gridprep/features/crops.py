"""Crops from landmarks: cleaning of the points, warp onto the mean face, lip crops and face stills.

Pure NumPy and OpenCV: no files, no models. The idea of a warp by stable points to a mean face, and a
mouth crop that follows the mouth, is auto_avsr's and AV-HuBERT's; differences: named points, a
symmetric window, the mouth excluded from the warp, every border and gap counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gridprep.features.curves import monotone, smoothed
from gridprep.landmarks.base import FrameSource
from manifests.errors import ClipError
from manifests.records import LIP_POINTS, POINT_NAMES, STABLE_POINTS, Landmarks
from manifests.specs import CropSpec, LandmarkSpec

cv2.setNumThreads(1)  # parallelism is over clips; OpenCV's own threads would fight for the cores

Points = NDArray[np.float32]
_STABLE = [POINT_NAMES.index(name) for name in STABLE_POINTS]
_LIPS = [POINT_NAMES.index(name) for name in LIP_POINTS]

FACE_BOX_384 = (192.0, 190.0, 272.0)
"""Center x, center y and side of the face crop in the 384² reference: chin to mid-forehead with the
margin that FaceNet's crops have."""


@dataclass(frozen=True)
class MeanFace:
    """Where the named points lie in the reference frame.

    Attributes:
        points_px: (N, 2) in `POINT_NAMES` order.
        reference_px: side of the square frame.
    """

    points_px: Points
    reference_px: int


@lru_cache(maxsize=4)
def mean_face(reference_px: int = 384) -> MeanFace:
    """The project's own mean face (`gridprep/features/mean_face.json`).

    Made by `python -m benchmarks.mean_face`: generalized Procrustes mean of FaceMesh landmarks over
    speakers of GRID, each weighted equally, mirrored and averaged so that it is symmetric, scaled to
    an eye distance of 81.5 px with the mouth center at (192, 237): the field of view of the
    literature's 256² mean face, times 1.5.
    """
    text = resources.files("gridprep.features").joinpath("mean_face.json").read_text("utf-8")
    values = json.loads(text)
    points = np.array([values["points_px"][name] for name in POINT_NAMES], np.float32)
    return MeanFace(points * (reference_px / values["reference_px"]), reference_px)


@dataclass(frozen=True)
class Track:
    """Cleaned landmarks of a clip and the geometry that follows from them.

    Attributes:
        points_px: (T, N, 2) in source pixels, no gaps.
        warps: (T, 2, 3) similarity from source pixels to the reference frame.
        lip_centers_px: (T, 2) center of the lip crop in the reference frame.
        mouth_px: (T, 2) mean of the outer lips in the reference frame (what the crop follows).
        interpolated_frames: frames without a detection of their own that were looked at, i.e. real
            gaps; frames skipped by `every` do not count.
        found_share: found frames among those looked at.
        jitter_px: mean absolute second difference of the stable points in source pixels.
    """

    points_px: Points
    warps: NDArray[np.float64]
    lip_centers_px: NDArray[np.float64]
    mouth_px: NDArray[np.float64]
    interpolated_frames: int
    found_share: float
    jitter_px: float


def fill_gaps(points_px: Points, found: NDArray[np.bool_]) -> Points:
    """Interpolates missing frames monotonically (PCHIP, which cannot overshoot); edges are copied.

    A point that a backend does not have stays NaN; one that it misses in some of the found frames is
    interpolated over the others.

    Args:
        points_px: (T, N, 2).
        found: (T,) which rows are real; at least one.
    """
    known = np.flatnonzero(found)
    whole = np.isfinite(points_px[known]).all((0, 2))
    if not whole.all():
        filled = np.full_like(points_px, np.nan)
        if whole.any():
            filled[:, whole] = fill_gaps(points_px[:, whole], found)
        for n in np.flatnonzero(~whole):
            own = found & np.isfinite(points_px[:, n]).all(-1)
            if own.any():
                filled[:, [n]] = fill_gaps(points_px[:, [n]], own)
        return filled
    if len(known) == len(found):
        return points_px
    if len(known) == 1:
        return np.repeat(points_px[known], len(found), axis=0)
    at = np.clip(np.arange(len(found)), known[0], known[-1])
    interpolated: Points = monotone(known, points_px[known].astype(np.float64), at).astype(
        np.float32
    )
    return interpolated


def smooth(values: NDArray[np.floating[Any]], sigma_frames: float) -> NDArray[np.float64]:
    """Symmetric Gaussian over axis 0, edges copied; 0 is off."""
    exact: NDArray[np.float64] = values.astype(np.float64)
    if sigma_frames <= 0 or len(exact) < 2:
        return exact
    return smoothed(exact, sigma_frames)


def similarity(
    source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Least-squares similarity (rotation, scale, shift) from source to target points (Umeyama 1991).

    Args:
        source: (T, K, 2).
        target: (K, 2).

    Returns: (T, 2, 3) matrices as OpenCV wants them.
    """
    source = np.asarray(source, np.float64)
    source_mean = source.mean(1, keepdims=True)
    target_mean = np.asarray(target, np.float64).mean(0)
    s, t = source - source_mean, target - target_mean
    norm = (s**2).sum((1, 2))
    a = (s * t).sum((1, 2)) / norm
    b = (s[..., 0] * t[:, 1] - s[..., 1] * t[:, 0]).sum(1) / norm
    linear = np.stack([np.stack([a, -b], -1), np.stack([b, a], -1)], 1)
    shift = target_mean - np.einsum("tij,tj->ti", linear, source_mean[:, 0])
    return np.concatenate([linear, shift[..., None]], -1)


def apply_warps(
    warps: NDArray[np.floating[Any]], points_px: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """(T, 2, 3) matrices applied to (T, N, 2) points."""
    moved: NDArray[np.float64] = (
        np.einsum("tij,tnj->tni", warps[:, :, :2], points_px) + warps[:, None, :, 2]
    )
    return moved


def track(landmarks: Landmarks, landmark_spec: LandmarkSpec, crop_spec: CropSpec) -> Track:
    """Cleans landmarks and fixes the geometry of the crops.

    Raises `ClipError` (stage `align`): `no_face` when no frame has one, `face_lost` when more than
    half of the frames looked at have none.
    """
    n = len(landmarks.found)
    every = landmark_spec.every
    looked = np.zeros(n, np.bool_)
    looked[::every] = True
    looked[-1:] = True
    looked |= landmarks.found  # a backend may look closer where the face moves fast
    found = landmarks.found & np.isfinite(landmarks.points_px[:, _STABLE + _LIPS]).all((1, 2))
    n_found, n_looked = int(found.sum()), int(looked.sum())
    evidence: dict[str, object] = {"found_frames": n_found, "looked_frames": n_looked}
    if n_found == 0:
        raise ClipError("align", "no_face", "no face in any frame, or too small a one", evidence)
    if n_found < n_looked / 2:
        raise ClipError("align", "face_lost", f"a face in {n_found} of {n_looked} frames", evidence)
    points = fill_gaps(landmarks.points_px, found)
    reference = mean_face(crop_spec.reference_px)
    stable = points[:, _STABLE]
    warps = similarity(
        smooth(stable, landmark_spec.smooth_sigma_frames), reference.points_px[_STABLE]
    )
    mouth = apply_warps(warps, points[:, _LIPS]).mean(1)
    jitter = float(np.abs(np.diff(stable, 2, axis=0)).mean()) if n > 2 else 0.0
    return Track(
        points_px=points,
        warps=warps,
        lip_centers_px=smooth(mouth, crop_spec.mouth_sigma_frames),
        mouth_px=mouth,
        interpolated_frames=n_looked - n_found,
        found_share=n_found / n_looked,
        jitter_px=round(jitter, 4),
    )


def lip_matrices(geometry: Track, spec: CropSpec) -> NDArray[np.float64]:
    """(T, 2, 3) similarities from source pixels to the lip crops."""
    matrices: NDArray[np.float64] = geometry.warps.copy()
    matrices[:, :, 2] += spec.lips_px / 2 - geometry.lip_centers_px
    return matrices


def face_matrices(geometry: Track, spec: CropSpec) -> NDArray[np.float64]:
    """(T, 2, 3) similarities from source pixels to face stills."""
    center_x, center_y, box = (v * spec.reference_px / 384 for v in FACE_BOX_384)
    zoom = spec.face_px / box
    matrices: NDArray[np.float64] = geometry.warps * zoom
    matrices[:, :, 2] += spec.face_px / 2 - np.array([center_x, center_y]) * zoom
    return matrices


def corners_px(matrix: NDArray[np.float64], side_px: int) -> NDArray[np.float64]:
    """(4, 2) corners of a crop in source pixels, round the square from its top left."""
    corners = np.array([[0, 0], [side_px, 0], [side_px, side_px], [0, side_px]], np.float64)
    inverse = np.linalg.inv(matrix[:, :2])
    return np.asarray((corners - matrix[:, 2]) @ inverse.T)


def _overhang_px(boxes: NDArray[np.float64], width: int, height: int) -> float:
    """Distance by which any of (T, 4) boxes around crops lies outside the source picture, in source
    pixels, or 0."""
    outside = boxes[:, 2:].max(0) - (width, height)
    return float(max(0.0, -boxes[:, :2].min(), outside.max()))


def _boxes(matrices: NDArray[np.float64], side_px: int) -> NDArray[np.float64]:
    """(T, 4) left, top, right and bottom in source pixels of crops by (T, 2, 3) matrices."""
    corners = np.array([[0, 0], [side_px, 0], [side_px, side_px], [0, side_px]], np.float64)
    inverse = np.linalg.inv(matrices[:, :, :2])
    there = np.einsum("tij,tcj->tci", inverse, corners - matrices[:, None, :, 2])
    return np.concatenate([there.min(1), there.max(1)], axis=1)


def _parts(
    matrices: NDArray[np.float64], boxes: NDArray[np.float64], width: int, height: int
) -> list[Box | None]:
    """The part of the picture that each of T crops shows, with a margin; None where it is not to be
    enlarged (`ENLARGED_FROM`) or the crop lies outside the picture."""
    scales = np.hypot(matrices[:, 0, 0], matrices[:, 1, 0])
    # A face at the end of the world must not overflow.
    near = np.clip(boxes, -MARGIN_PX, max(width, height) + MARGIN_PX).astype(np.int64)
    low = np.maximum(near[:, :2] - MARGIN_PX, 0)
    high = np.minimum(near[:, 2:] + MARGIN_PX, (width, height))
    taken = (scales >= ENLARGED_FROM) & ((high - low) > MARGIN_PX).all(1)
    rows = np.concatenate([low, high], axis=1).tolist()
    return [
        (row[0], row[1], row[2], row[3]) if take else None
        for row, take in zip(rows, taken.tolist(), strict=True)
    ]


SHRINK_UNDER = 0.4
"""Crop pixels a source pixel below which a picture is averaged down before it is cut, or fine
patterns would alias. GRID's are 0.5 and more, and are cut from the picture as it is."""

ENLARGED_FROM = 0.8
"""Crop pixels a source pixel from which a crop is cut in two quick steps: its part of the picture is
enlarged `FINER` times by cubic interpolation, and turned and shifted there by linear interpolation.
OpenCV takes a half to a third as long for that as for a cubic warp."""
FINER = 2
REACH_PX = 2
"""Cubic interpolation looks so far."""
MARGIN_PX = 4
"""Pixels around a part of the picture that is to be enlarged."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of a picture."""
Cut = tuple[NDArray[np.float64], int, NDArray[np.uint8] | None]
"""(2, 3) matrix from source to crop pixels, side of the crop in pixels, and where it is put: contiguous,
(side, side, 3), None for a new array."""


def cut(frame: NDArray[np.uint8], matrix: NDArray[np.float64], side_px: int) -> NDArray[np.uint8]:
    """(side_px, side_px, 3) crop of an (H, W, 3) frame by the (2, 3) matrix from source to crop
    pixels; see `SHRINK_UNDER` and `ENLARGED_FROM`."""
    return cuts(frame, [(matrix, side_px, None)])[0]


def cuts(frame: NDArray[np.uint8], wanted: Sequence[Cut]) -> list[NDArray[np.uint8]]:
    """Several crops of one (H, W, 3) frame, each as `cut` makes it; what they show of the frame is
    enlarged once for all of them."""
    height, width = frame.shape[:2]
    parts = []
    for matrix, side_px, _ in wanted:
        parts += _parts(matrix[None], _boxes(matrix[None], side_px), width, height)
    return _cuts(frame, wanted, parts)


def _cuts(
    frame: NDArray[np.uint8], wanted: Sequence[Cut], parts: Sequence[Box | None]
) -> list[NDArray[np.uint8]]:
    """`cuts` by the parts of the picture that the crops show."""
    shown = [part for part in parts if part is not None]
    if not shown:
        return [_warped(frame, *each) for each in wanted]
    left, top = min(part[0] for part in shown), min(part[1] for part in shown)
    right, bottom = max(part[2] for part in shown), max(part[3] for part in shown)
    # Four channels are resized and turned in half the time of three, to the same values.
    rgba = cv2.cvtColor(frame[top:bottom, left:right], cv2.COLOR_RGB2RGBA)
    height, width = frame.shape[:2]
    above, below = REACH_PX * (top == 0), REACH_PX * (bottom == height)
    before, after = REACH_PX * (left == 0), REACH_PX * (right == width)
    if above or below or before or after:
        # Else what repeats beyond the border would be what cubic interpolation overshoots to there.
        rgba = cv2.copyMakeBorder(rgba, above, below, before, after, cv2.BORDER_REPLICATE)
        top, bottom, left, right = top - above, bottom + below, left - before, right + after
    size = (right - left) * FINER, (bottom - top) * FINER
    finer = cv2.resize(rgba, size, interpolation=cv2.INTER_CUBIC)
    # Pixel centers: x = left + (x' + ½) / FINER − ½.
    u, v = left + 0.5 / FINER - 0.5, top + 0.5 / FINER - 0.5
    found = []
    for (matrix, side_px, out), part in zip(wanted, parts, strict=True):
        if part is None:
            found.append(_warped(frame, matrix, side_px, out))
            continue
        # Plain numbers: an eighth of the time of a cut went into arrays of two.
        (a, b, x), (c, d, y) = matrix.tolist()
        there = np.array(
            (
                (a / FINER, b / FINER, x + (a * u + b * v)),
                (c / FINER, d / FINER, y + (c * u + d * v)),
            )
        )
        turned = cv2.warpAffine(
            finer,
            there,
            (side_px, side_px),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        found.append(np.asarray(cv2.cvtColor(turned, cv2.COLOR_RGBA2RGB, out), np.uint8))
    return found


def _warped(
    frame: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    side_px: int,
    out: NDArray[np.uint8] | None,
) -> NDArray[np.uint8]:
    """A crop of an (H, W, 3) frame by one cubic warp, of a smaller picture where its pixels are much
    finer than the crop's."""
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    if scale < SHRINK_UNDER:
        height, width = frame.shape[:2]
        size = max(round(width * 2 * scale), 1), max(round(height * 2 * scale), 1)
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
        # Pixel centers: x = (x' + ½) · W / W' − ½.
        zoom = np.array([width / size[0], height / size[1]])
        shift = matrix[:, 2] + matrix[:, :2] @ (zoom / 2 - 0.5)
        matrix = np.hstack([matrix[:, :2] * zoom, shift[:, None]])
    # Cubic: where lips are enlarged, linear blurs and Lanczos rings.
    warped = cv2.warpAffine(
        frame,
        matrix,
        (side_px, side_px),
        out,
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(warped, np.uint8)


@dataclass(frozen=True)
class Crops:
    """The crops of a clip.

    Attributes:
        lips: (T, lips_px, lips_px, 3) uint8 RGB.
        stills: (K, face_px, face_px, 3) uint8 RGB, of every `face_every`-th frame.
        lips_border_px, face_border_px: how far any of them reached over the border of the picture, in
            source pixels; what lies outside repeats the border's pixels.
    """

    lips: NDArray[np.uint8]
    stills: NDArray[np.uint8]
    lips_border_px: float
    face_border_px: float


def crop_clip(frames: FrameSource, geometry: Track, spec: CropSpec) -> Crops:
    """Lip crops and face stills of a clip.

    Args:
        frames: (T, H, W, 3) uint8 RGB, an array or frames that are decoded as they are asked for, which
            they are in rising order.
    """
    n, every = len(frames), spec.face_every
    height, width = frames.shape[1:3]
    of_lips = lip_matrices(geometry, spec)
    of_faces = face_matrices(geometry, spec)[::every]
    lip_boxes, face_boxes = _boxes(of_lips, spec.lips_px), _boxes(of_faces, spec.face_px)
    lip_parts = _parts(of_lips, lip_boxes, width, height)
    face_parts = _parts(of_faces, face_boxes, width, height)
    lips = np.empty((n, spec.lips_px, spec.lips_px, 3), np.uint8)
    stills = np.empty((len(of_faces), spec.face_px, spec.face_px, 3), np.uint8)
    for i in range(n):
        wanted: list[Cut] = [(of_lips[i], spec.lips_px, lips[i])]
        parts = [lip_parts[i]]
        if i % every == 0:
            wanted.append((of_faces[i // every], spec.face_px, stills[i // every]))
            parts.append(face_parts[i // every])
        _cuts(frames[i], wanted, parts)
    return Crops(
        lips,
        stills,
        _overhang_px(lip_boxes, width, height),
        _overhang_px(face_boxes, width, height),
    )


def mouth_opening_px(points_px: Points) -> NDArray[np.float64]:
    """(T,) gap between the inner lips in source pixels, 0 where they touch."""
    top = points_px[:, POINT_NAMES.index("lip_top_inner")]
    bottom = points_px[:, POINT_NAMES.index("lip_bottom_inner")]
    distance: NDArray[np.float64] = np.linalg.norm((bottom - top).astype(np.float64), axis=1)
    return distance
