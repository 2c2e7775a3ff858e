"""The default landmark backend against MediaPipe's own FaceMesh, where that package is installed."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.landmark_steps import centers_in_source_px
from gridprep.corpora.grid import find_clips
from gridprep.features.crops import track
from gridprep.landmarks.base import empty_points
from gridprep.landmarks.facemesh import VERTICES
from gridprep.landmarks.registry import DEFAULT, create
from gridprep.media.decode import decode
from gridprep.media.quality import check_video
from manifests.console import format_table
from manifests.errors import ClipError
from manifests.records import POINT_NAMES, Landmarks
from manifests.specs import CropSpec, LandmarkSpec

EVERY = LandmarkSpec(every=1)


def table(corpus: Path, clips: int, scratch: Path) -> str:
    """Compares the points and the crops on every frame of some clips."""
    del scratch
    if importlib.util.find_spec("mediapipe") is None:
        return "mediapipe 0.10.21 is not installed: there is nothing to compare with"
    from mediapipe.python.solutions.face_mesh import FaceMesh

    ours, found = create(DEFAULT), find_clips(corpus).clips
    points: list[NDArray[np.float64]] = []
    centers: list[NDArray[np.float64]] = []
    spent_s = [0.0, 0.0]
    for clip in found[:: max(1, len(found) // clips)]:
        try:
            source = check_video(decode(clip.video, audio=False)).frames
        except ClipError:
            continue
        frames = np.stack([source[i] for i in range(len(source))])
        started_s = time.perf_counter()
        here = ours.detect(frames)
        spent_s[0] += time.perf_counter() - started_s
        with FaceMesh(static_image_mode=False, max_num_faces=1) as mesh:
            started_s = time.perf_counter()
            there = _mediapipe(mesh, frames)
            spent_s[1] += time.perf_counter() - started_s
        both = here.found & there.found
        apart = here.points_px[both] - there.points_px[both]
        points.append(np.linalg.norm(apart.astype(np.float64), axis=-1).ravel())
        try:
            tracks = [track(each, EVERY, CropSpec()) for each in (here, there)]
        except ClipError:
            continue
        centers.append(np.linalg.norm(np.subtract(*map(centers_in_source_px, tracks)), axis=1))
    rows = [
        (what, *(f"{np.percentile(np.concatenate(values), q):.3f}" for q in (50, 99, 100)))
        for what, values in (("points", points), ("crop centers", centers))
    ]
    return (
        format_table(("px of the source", "median", "p99", "max"), rows)
        + f"\n{len(points)} clips, every frame; {spent_s[1] / spent_s[0]:.2f} × MediaPipe's speed"
    )


def _mediapipe(mesh: Any, frames: NDArray[np.uint8]) -> Landmarks:
    """MediaPipe's points by the names of the contract."""
    points, found = empty_points(len(frames)), np.zeros(len(frames), np.bool_)
    size = np.array([frames.shape[2], frames.shape[1]], np.float32)
    vertices = [VERTICES[name] for name in POINT_NAMES]
    for i, frame in enumerate(frames):
        faces = mesh.process(np.ascontiguousarray(frame)).multi_face_landmarks
        if faces:
            seen = [(faces[0].landmark[k].x, faces[0].landmark[k].y) for k in vertices]
            points[i] = np.array(seen, np.float32) * size - 0.5
            found[i] = True
    return Landmarks(points, found, found.astype(np.int16), "mediapipe")
