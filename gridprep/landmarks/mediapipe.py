"""The CPU default: MediaPipe's FaceMesh in tracking mode (0.10.21, whose wheel carries its models).

468 points, 3–4 ms a frame on one core. The mapping below goes from the names of the contract to
FaceMesh's vertex numbers.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridprep.landmarks.base import FrameSource, choose_face, empty_points, looked_at
from manifests.errors import MissingDependency
from manifests.records import LIP_POINTS, POINT_NAMES, Landmarks

VERTICES: dict[str, int] = {
    "right_eye_outer": 33,
    "right_eye_inner": 133,
    "left_eye_inner": 362,
    "left_eye_outer": 263,
    "nose_bridge": 168,
    "nose_tip": 4,
    "nose_base": 2,
    "mouth_right": 61,
    "mouth_left": 291,
    "lip_top_outer": 0,
    "lip_bottom_outer": 17,
    "lip_top_inner": 13,
    "lip_bottom_inner": 14,
    "lip_upper_right": 37,
    "lip_upper_left": 267,
    "lip_lower_right": 84,
    "lip_lower_left": 314,
    "chin": 152,
    "jaw_right": 172,
    "jaw_left": 397,
}
_INDICES = [VERTICES[name] for name in POINT_NAMES]

MAX_FACES = 4

TURN_SHARE = 0.03
"""Frames between those looked at are looked at too where the mouth's path bends by more than this share
of the distance between the eyes: about 1.5 px on GRID, some nine frames a clip. On 346 real clips 99.97 %
of the crop centers then lie within 0.5 px of where every frame puts them (99th percentile 0.29 px, at
most 0.72 px); without it it is 99.93 %, and up to 1.3 px (`benchmarks --only landmark-steps`)."""
_LIP_ROWS = [POINT_NAMES.index(name) for name in LIP_POINTS]
_EYE_ROWS = [
    [POINT_NAMES.index(f"{side}_eye_{end}") for end in ("outer", "inner")]
    for side in ("right", "left")
]


def _turns(points_px: NDArray[np.float32]) -> bool:
    """Whether the mouth changes its course sharply over three looks: (3, N, 2) points. Never where
    a look found nothing."""
    before, now, after = points_px[:, _LIP_ROWS].mean(1)
    right, left = (points_px[1, rows].mean(0) for rows in _EYE_ROWS)
    bend_px = float(np.linalg.norm(before - 2 * now + after))
    return bend_px > TURN_SHARE * float(np.linalg.norm(left - right))


def _import() -> Any:
    # TensorFlow Lite and glog greet on standard error from C++, before any Python setting counts.
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import mediapipe
    except ImportError as error:
        raise MissingDependency(
            f"the landmark backend mediapipe cannot be imported ({error})",
            "use Python 3.10–3.12 with mediapipe 0.10.21, or --landmarks face-alignment",
        ) from None
    return mediapipe


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences file descriptor 2. MediaPipe's C++ warns several times a clip about its own models,
    past every setting of Python's; errors still arrive as exceptions."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


class MediapipeBackend:
    """FaceMesh behind the common interface. See `LandmarkBackend` for the promises.

    One face is tracked at full speed. How many there are is asked of the face detector on the first
    and the middle frame; only where it sees several is the clip run again with up to four.
    """

    name = "mediapipe"

    def __init__(self, device: str = "cpu") -> None:
        del device  # the wheel runs on the CPU only; the option exists for the other backends
        with _quiet():
            self._mp = _import()
        self.version = str(self._mp.__version__)
        self._mesh: dict[int, Any] = {}
        self._detector: Any = None

    def _faces(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(K, 4) boxes in pixels of the faces that the full-image detector sees."""
        if self._detector is None:
            self._detector = self._mp.solutions.face_detection.FaceDetection(
                model_selection=0, min_detection_confidence=0.5
            )
        found = self._detector.process(image).detections or ()
        height, width = image.shape[:2]
        boxes = [d.location_data.relative_bounding_box for d in found]
        return np.array(
            [
                (
                    b.xmin * width,
                    b.ymin * height,
                    (b.xmin + b.width) * width,
                    (b.ymin + b.height) * height,
                )
                for b in boxes
            ],
            np.float64,
        ).reshape(-1, 4)

    def _tracker(self, faces: int) -> Any:
        if faces not in self._mesh:
            self._mesh[faces] = self._mp.solutions.face_mesh.FaceMesh(
                static_image_mode=False, max_num_faces=faces, refine_landmarks=False
            )
        mesh = self._mesh[faces]
        mesh.reset()  # or the last clip's face would steer this clip's first frames
        return mesh

    def detect(self, frames: FrameSource, every: int = 1) -> Landmarks:
        """See `LandmarkBackend.detect`. Frames are asked for one by one: the first, the middle one,
        then on from the first, never more than four back."""
        with _quiet():
            return self._detect(frames, every)

    def _detect(self, frames: FrameSource, every: int) -> Landmarks:
        n = len(frames)
        points = empty_points(n)
        found = np.zeros(n, np.bool_)
        faces = np.zeros(n, np.int16)
        several = max(
            (len(self._faces(frames[i])) for i in sorted({0, n // 2}) if i < n), default=0
        )
        mesh = self._tracker(1 if several <= 1 else MAX_FACES)
        size = np.array([frames.shape[2], frames.shape[1]], np.float32)
        previous: NDArray[np.float64] | None = None
        choice = "only"

        def look(i: int) -> None:
            nonlocal previous, choice
            # FaceMesh needs a contiguous picture that it may mark read-only.
            result = mesh.process(np.ascontiguousarray(frames[i]))
            meshes = result.multi_face_landmarks or ()
            faces[i] = max(len(meshes), several if i in (0, n // 2) else 0)
            if not meshes:
                return
            # FaceMesh measures from the picture's edge, OpenCV from the center of its first pixel.
            shapes = [
                np.array([(p.x, p.y) for p in (m.landmark[k] for k in _INDICES)], np.float32) * size
                - 0.5
                for m in meshes
            ]
            boxes = np.array([(*s.min(0), *s.max(0)) for s in shapes], np.float64)
            kept, how = choose_face(boxes, (frames.shape[1], frames.shape[2]), previous)
            if how == "central_largest" or (how == "tracked" and choice == "only"):
                choice = how
            previous = boxes[kept]
            points[i] = shapes[kept]
            found[i] = True

        looked = looked_at(n, every).tolist()
        for k, i in enumerate(looked):
            look(i)
            if k >= 2 and _turns(points[looked[k - 2 : k + 1]]):
                # Interpolation would cut this corner: look at the frames in between as well.
                for between in range(looked[k - 2] + 1, i):
                    if between != looked[k - 1] and not found[between]:
                        look(between)
        if several > 1 and choice == "only":
            choice = "central_largest"
        return Landmarks(points, found, faces, f"{self.name} {self.version}", choice)

    def close(self) -> None:
        """Frees the graphs; the backend cannot be used afterwards."""
        with _quiet():
            for graph in [*self._mesh.values(), self._detector]:
                if graph is not None:
                    graph.close()
        self._mesh.clear()
        self._detector = None
