"""The face of a clip as SyncNet wants it: every frame, 224 × 224, cut as its public pipeline cuts.

That pipeline takes a detector's box (half its longer side is s), smooths its track by a median over 13
frames, and cuts from the box's center 1.4 s to the left and right, s up and 1.8 s down, so that the mouth
lies in the middle. A build has no such box, but landmarks: the eyes' line is taken to lie 40 % down
from the top of a box that ends at the chin, which is where face detectors put it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs import build_files
from evaluation.inputs.pairs import Unscorable
from manifests.errors import BadInput
from manifests.pictures import Pictures, read_pictures
from manifests.records import POINT_NAMES, ManifestRow, RunClip
from manifests.specs import VIDEO_FPS

SCALE = 0.4
"""`crop_scale` of the public pipeline."""
EYES_DOWN = 0.4
MEDIAN_FRAMES = 13
EYES = ("right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer")
GREY = 110
"""Gray level beyond the borders of a picture, as in the public pipeline."""


def boxes(points_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, 3) center x, center y and half side s, in pixels, of (T, N, 2) points in their order.

    Raises:
        Unscorable: `no_landmarks`, without eyes or chin.
    """
    from scipy.ndimage import median_filter

    eyes = points_px[:, [POINT_NAMES.index(name) for name in EYES]].mean(axis=1)
    chin = points_px[:, POINT_NAMES.index("chin")]
    if not np.isfinite([eyes, chin]).all():
        raise Unscorable("no_landmarks", "the backend finds no eyes or no chin")
    side = np.linalg.norm(chin - eyes, axis=1) / (1 - EYES_DOWN)
    track = np.c_[(eyes[:, 0] + chin[:, 0]) / 2, chin[:, 1] - side / 2, side / 2]
    return np.asarray(median_filter(track, (MEDIAN_FRAMES, 1), mode="nearest"))


def cut(frames: Pictures, track: NDArray[np.float64], side_px: int) -> Pictures:
    """(T, side, side, 3) faces out of (T, H, W, 3) frames, grey beyond their borders.

    Args:
        track: (T, 3) as `boxes` makes it.
    """
    import cv2

    found = np.empty((len(frames), side_px, side_px, 3), np.uint8)
    for t, (frame, (x, y, s)) in enumerate(zip(frames, track, strict=True)):
        reach = (1 + SCALE) * s
        scale = side_px / (2 * reach)
        # The crop's top left corner is (x − 1.4 s, y − s); pixel centers lie at halves.
        matrix = np.array(
            [
                [scale, 0, scale * (0.5 - (x - reach)) - 0.5],
                [0, scale, scale * (0.5 - (y - s)) - 0.5],
            ]
        )
        found[t] = cv2.warpAffine(
            frame,
            matrix,
            (side_px, side_px),
            flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(GREY, GREY, GREY),
        )
    return found


def video_of(build: Path, row: ManifestRow, corpus: Path | None) -> Path:
    """The clip's source video. Raises `Unscorable`: `no_video`."""
    root = corpus or build_files.source_of(build)
    path = None if root is None else root / row.source_path
    if path is None or not path.is_file():
        raise Unscorable(
            "no_video",
            f"{row.source_path} lies in no known corpus (say where by --video-corpus)",
        )
    return path


def faces_of(recording: Path | None, clip: RunClip, corpus: Path | None, side_px: int) -> Pictures:
    """(T, side, side, 3) RGB faces of every frame: out of the source video by the build's landmarks,
    or the build's own face crops where there is one of every frame and the video is not there.

    Raises:
        Unscorable: `no_build`, `no_landmarks`, `no_video` or `frame_rate`.
    """
    build, row = build_files.row_of(recording, clip)
    try:
        video = video_of(build, row, corpus)
    except Unscorable:
        kept = _crops(build, row, side_px)
        if kept is None:
            raise
        return kept
    rate = float(row.qc.get("source_fps", VIDEO_FPS))
    if abs(rate - VIDEO_FPS) > 0.01:
        raise Unscorable("frame_rate", f"the video has {rate:g} frames a second, not {VIDEO_FPS}")
    points = build_files.landmark_points(build_files.artifact(recording, clip, "landmarks"))
    frames = _read(video)
    n = min(len(frames), len(points))
    return cut(frames[:n], boxes(points[:n]), side_px)


def _crops(build: Path, row: ManifestRow, side_px: int) -> Pictures | None:
    import cv2

    path = build / row.paths.get("face", "")
    if "face" not in row.paths or not path.is_file():
        return None
    stills = _read(path)
    if len(stills) != row.video_frames:
        return None
    size = (side_px, side_px)
    made = [cv2.resize(still, size, interpolation=cv2.INTER_LINEAR) for still in stills]
    return np.asarray(np.stack(made), np.uint8)


def _read(path: Path) -> Pictures:
    try:
        return read_pictures(path)
    except BadInput as error:
        raise Unscorable("no_video", error.problem) from None
