"""The default landmark backend `facemesh`: the two networks of MediaPipe's FaceMesh, run without it.

BlazeFace finds a face (`blazeface`); FaceMesh (Kartynnik et al., 2019; 468 points, the model without
attention) finds its points in a square that is cut out along the eyes, and the points of one frame
say where to cut the next. Constants and steps are those of MediaPipe's graph `face_landmark_front`
(Apache-2.0), whose points these are to a tenth of a pixel. The mapping below goes from the names of
the contract to FaceMesh's vertex numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from gridprep.landmarks import blazeface
from gridprep.landmarks.base import (
    FrameSource,
    checked_who,
    choose_face,
    empty_points,
    faces_needed,
    looked_at,
    nearest_face,
)
from gridprep.landmarks.models import DETECTOR, LANDMARKS, find_models
from gridprep.landmarks.networks import Network, load, resolved
from manifests.errors import ClipError
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
_EYES = [33, 263]

REVISION = "1"
"""Raised when the same models and options would give other points."""

INPUT_PX = 192
ROI_SCALE = 1.5
"""Side of the square that the network sees, in longer sides of the box around the face."""
FOUR_CHANNELS_UNDER = 3 * 720 * 576
"""OpenCV warps four channels in half the time of three, to the same values; pictures of fewer bytes than
this are worth the copy."""
LEAST_LOGIT = 0.0
"""Least logit of the network for a face in its square: even odds are enough."""

UPRIGHT_LOGIT = 14.0
"""Median of the logits of a clip from which its face is upright for sure. (Of 16 real clips and 6
of SynthGRID the median is at least 17.5, and at most 8.0 once they are turned or mirrored upside down.)"""

SAME_FACE = 0.5
"""Faces whose boxes overlap by more (intersection over union) are the same one."""
NEIGHBORHOOD = 3.0
"""Side of the square in which a lost face is looked for, in longer sides of its box."""

AWAY_FRAMES = 25
"""Where several people are in the picture, the one who was chosen may be out of sight for this long
before somebody else is taken."""

TURN_SHARE = 0.03
"""Frames between those looked at are looked at too where the mouth's path bends by more than this share
of the distance between the eyes: about 1.5 px on GRID, some nine frames per clip. On 346 real clips 99.97 %
of the crop centers then lie within 0.5 px of where every frame puts them (99th percentile 0.29 px, at
most 0.72 px); without it it is 99.93 %, and up to 1.3 px (`benchmarks --only landmark-steps`)."""
_LIP_ROWS = [POINT_NAMES.index(name) for name in LIP_POINTS]
_EYE_ROWS = [
    [POINT_NAMES.index(f"{side}_eye_{end}") for end in ("outer", "inner")]
    for side in ("right", "left")
]

_MIDDLE = np.full(2, INPUT_PX / 2)

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""


@dataclass(frozen=True)
class Square:
    """A square of the picture that the network sees, turned so that the eyes lie level in it.

    Attributes:
        center: (2,) x, y in pixels.
        side: in pixels.
        angle: in radians, clockwise as the picture is seen.
    """

    center: NDArray[np.float64]
    side: float
    angle: float

    @classmethod
    def around(cls, box: NDArray[np.float64], eyes: NDArray[np.float64]) -> Square:
        """The square for a (4,) box around a face, with (2, 2) eyes."""
        dx, dy = eyes[1] - eyes[0]
        side = ROI_SCALE * float(max(box[2] - box[0], box[3] - box[1]))
        return cls((box[:2] + box[2:]) / 2, side, float(np.arctan2(dy, dx)))

    def to_picture(self) -> NDArray[np.float64]:
        """(2, 3) from pixels of the network's picture to those of the source."""
        turn = np.array(
            [
                [np.cos(self.angle), -np.sin(self.angle)],
                [np.sin(self.angle), np.cos(self.angle)],
            ]
        ) * (self.side / INPUT_PX)
        matrix = np.empty((2, 3))
        matrix[:, :2], matrix[:, 2] = turn, self.center - turn @ _MIDDLE
        return matrix


@dataclass
class _Clip:
    """State of the tracking through one clip; a new one per clip, so that no clip influences the next.

    Attributes:
        points, found, faces: as in `Landmarks`.
        several: how many faces the detector saw at most, in the first and the middle frame.
        square: where the face is looked for in the next frame; None when there is none to follow.
        box: (4,) around the points found last.
        seen_at: the frame in which they were found.
        missed: looks in a row that found no face.
        choice, certainty: as in `Landmarks`.
        too_few: most faces that were seen where more were needed.
        counted: number of a frame → the faces that the detector saw in it when they were counted.
    """

    points: NDArray[np.float32]
    found: NDArray[np.bool_]
    faces: NDArray[np.int16]
    certainty: NDArray[np.float32]
    several: int = 0
    square: Square | None = None
    box: NDArray[np.float64] | None = None
    seen_at: int = 0
    missed: int = 0
    choice: str = "only"
    too_few: int = 0
    counted: dict[int, list[blazeface.Face]] = field(default_factory=dict)

    @classmethod
    def of(cls, n: int) -> _Clip:
        """The state before the first of `n` frames."""
        certainty = np.full(n, np.nan, np.float32)
        return cls(empty_points(n), np.zeros(n, np.bool_), np.zeros(n, np.int16), certainty)


class FacemeshBackend:
    """The backend that runs FaceMesh; see `LandmarkBackend` for the interface.

    One face is followed. The detector counts the faces on the first and the middle frame, and
    where the face is lost. If it finds none in the whole picture, it searches the neighborhood of
    the face seen last, then ever smaller tiles of the picture; if `who` is given, it always searches
    the tiles as well.

    Args:
        device: `cpu`.
        options: `models`, a folder with the two model files; `runtime`, `auto`, `litert` or
            `opencv` (`networks.load`); `who`, see `choose_face`.
    """

    name = "facemesh"
    upright_from = UPRIGHT_LOGIT

    def __init__(self, device: str = "cpu", options: Mapping[str, str] | None = None) -> None:
        del device  # both runtimes run on the CPU only
        options = options or {}
        self._who = checked_who(options.get("who", ""))
        files = find_models(options.get("models", ""))
        runtime = resolved(options.get("runtime", "auto"))
        self.version = "/".join([REVISION, runtime, *(file.sha256[:10] for file in files)])
        self._rgba: NDArray[np.uint8] | None = None  # memory for one picture, used again and again
        self._networks: tuple[Network, Network] | None = (
            load(files[DETECTOR], runtime),
            load(files[LANDMARKS], runtime),
        )

    def detect(self, frames: FrameSource, every: int = 1) -> Landmarks:
        """See `LandmarkBackend.detect`. Frames are asked for one by one: the first, the middle one,
        then on from the first, never more than four back.

        Raises `ClipError` (stage `align`, `too_few_faces`) where `who` is a number and there are
        never that many faces.
        """
        assert self._networks is not None, "closed"
        n = len(frames)
        clip = _Clip.of(n)
        for i in sorted({0, n // 2}):
            if i < n:
                clip.several = max(clip.several, self._count(clip, frames[i], i))
        clip.faces[:1] = clip.several
        looked = looked_at(n, every).tolist()
        for k, i in enumerate(looked):
            self._look(clip, frames[i], i)
            if k >= 2 and _turns(clip.points[looked[k - 2 : k + 1]]):
                # Interpolation would cut this corner: look at the frames in between as well.
                for between in range(looked[k - 2] + 1, i):
                    if between != looked[k - 1] and not clip.found[between]:
                        self._look(clip, frames[between], between)
        if clip.too_few and not clip.found.any():
            raise ClipError(
                "align",
                "too_few_faces",
                f"there is no face number {self._who}, at most {clip.too_few} in a frame",
            )
        if clip.several > 1 and clip.choice == "only":
            clip.choice = self._who or "central_largest"
        backend = f"{self.name} {self.version}"
        return Landmarks(
            clip.points, clip.found, clip.faces, backend, clip.choice, certainty=clip.certainty
        )

    def mesh(self, picture: Picture) -> NDArray[np.float64] | None:
        """(468, 2) points of FaceMesh on one picture, in pixels from its edge; None without a face."""
        clip = _Clip.of(1)
        return self._find(clip, picture, 0)

    def upright_margin(self, picture: Picture) -> float | None:
        """Certainty of the face as it stands minus that of the face turned by 180°, in
        logits; below 0 the picture is upside down. None where no face is seen.

        The points cannot tell: the network puts upright ones onto a face that stands on its head, and
        the roll of its eyes stays near 0. On the middle frames of 147 real clips the margin is at
        least 13, and at most -8 once they are turned or mirrored upside down.
        """
        seen = self._seen(picture)
        if not seen:
            return None
        square = Square.around(seen[0].box, seen[0].eyes)
        turned = replace(square, angle=square.angle + np.pi)
        return self._run(picture, square)[1] - self._run(picture, turned)[1]

    def close(self) -> None:
        """Frees the networks; the backend cannot be used afterwards."""
        self._networks = None

    def _look(self, clip: _Clip, picture: Picture, i: int) -> None:
        """Finds the face in one frame, where it was before or anew."""
        mesh = None
        if clip.square is not None:
            mesh, logit = self._run(picture, clip.square)
            if logit >= LEAST_LOGIT:
                clip.certainty[i] = logit
            else:
                mesh = None
        if mesh is None:
            mesh = self._find(clip, picture, i)
        if mesh is None:
            clip.square = None
            clip.missed += 1
            return
        clip.box = np.concatenate([mesh.min(0), mesh.max(0)])
        clip.square = Square.around(clip.box, mesh[_EYES])
        clip.seen_at, clip.missed = i, 0
        clip.faces[i] = max(clip.faces[i], 1)
        # FaceMesh measures from the picture's edge, OpenCV from the center of its first pixel.
        clip.points[i] = mesh[_INDICES] - 0.5
        clip.found[i] = True

    def _find(self, clip: _Clip, picture: Picture, i: int) -> NDArray[np.float64] | None:
        """(468, 2) points of the face to keep, from detecting anew."""
        # Tiles are dear: in the first frame without a face, the second, the fourth, the eighth …
        thoroughly = (clip.missed + 1) & clip.missed == 0
        if thoroughly:
            seen = clip.counted.pop(i, None) or self._candidates(picture)
        else:
            seen = self._seen(picture)
        mesh = self._chosen(clip, picture, i, seen)
        if mesh is not None or blazeface.is_plain(picture):
            return mesh
        if clip.box is not None:
            low, high = clip.box[:2], clip.box[2:]
            side = NEIGHBORHOOD * float((high - low).max())
            x, y = (low + high - side) / 2
            mesh = self._chosen(clip, picture, i, self._seen(picture, [(x, y, side)]))
        if mesh is None and thoroughly:
            for tiles in blazeface.levels(*picture.shape[:2]):
                mesh = self._chosen(clip, picture, i, self._seen(picture, tiles))
                if mesh is not None:
                    break
        return mesh

    def _count(self, clip: _Clip, picture: Picture, i: int) -> int:
        """Number of faces in a picture; a single detection counts without a fit of the mesh."""
        seen = clip.counted[i] = self._candidates(picture)
        return len(seen) if len(seen) < 2 else len(self._fitted(picture, seen)[0])

    def _candidates(self, picture: Picture) -> list[blazeface.Face]:
        """The faces to choose from: those in the whole picture and, with `who`, in all tiles."""
        if not self._who:
            return self._seen(picture)
        height, width = picture.shape[:2]
        tiles = [tile for level in blazeface.levels(height, width) for tile in level]
        return self._seen(picture, [blazeface.whole(height, width), *tiles])

    def _seen(
        self, picture: Picture, windows: Sequence[blazeface.Window] | None = None
    ) -> list[blazeface.Face]:
        assert self._networks is not None
        return blazeface.detect(self._networks[0], picture, windows)

    def _chosen(
        self, clip: _Clip, picture: Picture, i: int, seen: Sequence[blazeface.Face]
    ) -> NDArray[np.float64] | None:
        """(468, 2) points of the one to keep among the faces seen, if the mesh fits any."""
        meshes, boxes = self._fitted(picture, seen)
        clip.faces[i] = max(clip.faces[i], len(meshes))
        if not meshes:
            return None
        if len(meshes) < faces_needed(self._who):
            clip.too_few = max(clip.too_few, len(meshes))
            return None
        found = np.stack(boxes)
        previous = clip.box
        if previous is not None and max(clip.several, len(meshes)) > 1:
            # Somebody else must not be taken for the one who has just turned away.
            away = nearest_face(found, previous) is None
            if away and i - clip.seen_at <= AWAY_FRAMES:
                return None
        frame_hw = (picture.shape[0], picture.shape[1])
        kept, how = choose_face(found, frame_hw, previous, self._who)
        if how not in ("only", "tracked") or (how == "tracked" and clip.choice == "only"):
            clip.choice = how
        return meshes[kept]

    def _fitted(
        self, picture: Picture, seen: Sequence[blazeface.Face]
    ) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
        """(468, 2) points and (4,) boxes around them, of the faces seen that are faces."""
        meshes: list[NDArray[np.float64]] = []
        boxes: list[NDArray[np.float64]] = []
        for face in seen:
            mesh = self._fit(picture, Square.around(face.box, face.eyes))
            if mesh is None:
                continue
            box = np.concatenate([mesh.min(0), mesh.max(0)])
            # Seen whole in one tile and in part in another, a face is still one.
            if not boxes or blazeface.overlaps(box, np.stack(boxes)).max() < SAME_FACE:
                meshes.append(mesh)
                boxes.append(box)
        return meshes, boxes

    def _fit(self, picture: Picture, square: Square) -> NDArray[np.float64] | None:
        """(468, 2) points in pixels of the picture, from its edge; None where the square shows no
        face."""
        points, logit = self._run(picture, square)
        return points if logit >= LEAST_LOGIT else None

    def _run(self, picture: Picture, square: Square) -> tuple[NDArray[np.float64], float]:
        """(468, 2) points in pixels of the picture, from its edge, and the logit of there being a
        face."""
        assert self._networks is not None
        matrix = square.to_picture()
        if picture.size < FOUR_CHANNELS_UNDER:
            self._rgba = cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA, dst=self._rgba)
            cut = cv2.cvtColor(_cut(self._rgba, matrix), cv2.COLOR_RGBA2RGB)
        else:
            cut = _cut(picture, matrix)
        shown = cut.astype(np.float32)  # first, since a product that casts takes five times as long
        shown *= np.float32(1 / 255)
        mesh, logit = self._networks[1](shown)
        points = mesh.reshape(-1, 3)[:, :2].astype(np.float64)
        return np.asarray(points @ matrix[:, :2].T + matrix[:, 2]), float(logit[0])


def _cut(picture: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(192, 192, C) of an (H, W, C) picture by the matrix of `Square.to_picture`."""
    cut = cv2.warpAffine(
        picture,
        matrix,
        (INPUT_PX, INPUT_PX),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(cut, np.uint8)


def _turns(points_px: NDArray[np.float32]) -> bool:
    """Whether the mouth changes its course sharply over three looks: (3, N, 2) points. Never where
    a look found nothing."""
    # Sums and roots as `mean` and `norm` take them, without their overhead: this is asked 37 times a clip.
    before, now, after = np.add.reduce(points_px[:, _LIP_ROWS], axis=1) / np.float32(len(_LIP_ROWS))
    right, left = np.add.reduce(points_px[1, _EYE_ROWS], axis=1) / np.float32(2)
    bend, eyes = before - 2 * now + after, left - right
    return float(np.sqrt(bend @ bend)) > TURN_SHARE * float(np.sqrt(eyes @ eyes))
