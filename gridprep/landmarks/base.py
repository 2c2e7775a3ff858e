"""The interface of a landmark backend and the cleaning that all backends share.

A backend turns frames into *named* points (`manifests.records.POINT_NAMES`); detectors disagree on
what a point is (68, 468, 5), so each maps its own points to these names and one cropper serves all.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput, ClipError
from manifests.records import POINT_NAMES, Landmarks

Frames = NDArray[np.uint8]
"""(T, H, W, 3) RGB."""

IBUG_68 = (36, 39, 42, 45, 27, 30, 33, 48, 54, 51, 57, 62, 66, 50, 52, 58, 56, 8, 4, 12)
"""Numbers of `POINT_NAMES`, in their order, for detectors with the 68 points of iBUG 300-W."""


class FrameSource(Protocol):
    """A source of frames that are read one by one: an array, or a video that is decoded on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W, 3)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""
        ...


class LandmarkBackend(Protocol):
    """Finds the named points of one face in every frame of a clip.

    A backend is created once per worker process and called for many clips; `detect` must not let
    one clip influence the next (tracking is reset between clips) and must be deterministic.
    """

    name: str
    version: str
    """Part of the stage key: a new version means new points."""

    def detect(self, frames: Frames, every: int = 1) -> Landmarks:
        """Args:
            frames: (T, H, W, 3) uint8 RGB.
            every: look at frames 0, k, 2k, … and the last one, and at others only where the face
                moves too fast to interpolate; the rows of frames not looked at are NaN with `found`
                False and are filled by `fill_gaps`.

        Returns: landmarks in pixels of the frame, rows of NaN where no face was found.
        """
        ...

    def close(self) -> None:
        """Releases native memory."""
        ...


@runtime_checkable
class TellsUpright(Protocol):
    """A backend that can tell whether a face is upright or upside down.

    Attributes:
        upright_from: median of `Landmarks.certainty` from which a clip's face is upright for sure.
    """

    upright_from: float

    def upright_margin(self, picture: NDArray[np.uint8]) -> float | None:
        """Certainty of the face as it stands minus that of the face turned by 180°: below 0 the
        (H, W, 3) picture is upside down. None where no face is seen."""
        ...


def require_upright(backend: LandmarkBackend, landmarks: Landmarks, frames: FrameSource) -> None:
    """Raises `ClipError` (`align`, `upside_down`) for a clip whose pictures are upside down: landmark
    backends find upright faces there all the same, and the lip crops show hair."""
    if not isinstance(backend, TellsUpright):
        return
    known = np.zeros(0) if landmarks.certainty is None else landmarks.certainty
    known = known[np.isfinite(known)]
    if len(known) and float(np.median(known)) >= backend.upright_from:
        return  # in nearly every clip; the margins below cost as much as four looks for landmarks
    margin: float | None = None
    for i in (len(frames) // 6, 5 * len(frames) // 6):
        seen = backend.upright_margin(frames[i])
        if seen is not None and seen >= 0:
            return  # one upright picture is enough
        if seen is not None:
            margin = seen if margin is None else max(margin, seen)
    if margin is not None:
        raise ClipError(
            "align",
            "upside_down",
            "the face is upside down",
            {"upright_margin": round(margin, 2)},
        )


def looked_at(n_frames: int, every: int) -> NDArray[np.intp]:
    """Indices of the frames that a backend looks at: every k-th and always the last."""
    indices = np.arange(0, n_frames, every)
    return (
        indices
        if n_frames == 0 or indices[-1] == n_frames - 1
        else np.append(indices, n_frames - 1)
    )


def empty_points(n_frames: int) -> NDArray[np.float32]:
    """(T, N, 2) of NaN."""
    return np.full((n_frames, len(POINT_NAMES), 2), np.nan, np.float32)


WHO = ("left", "right", "largest")
"""Names of the face to keep; a number instead counts the faces from the left of the picture."""


def checked_who(who: str) -> str:
    """Returns a valid choice of face. Raises `BadInput` unless it is "", in `WHO`, or 1 or more."""
    if who and who not in WHO and not (who.isascii() and who.isdigit() and int(who) > 0):
        raise BadInput(f"unknown face {who!r}", f"give {', '.join(WHO)}, or 1, 2, … from the left")
    return who


def faces_needed(who: str) -> int:
    """Number of faces that a picture must show for this choice."""
    return int(who) if who.isdigit() else 1


def nearest_face(boxes: NDArray[np.float64], previous: NDArray[np.float64]) -> int | None:
    """The face nearest to the (4,) box of before among (K, 4), if within one face width of it."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = np.linalg.norm(centers - (previous[:2] + previous[2:]) / 2, axis=1)
    nearest = int(distance.argmin())
    return nearest if distance[nearest] <= boxes[nearest, 2] - boxes[nearest, 0] else None


def choose_face(
    boxes: NDArray[np.float64],
    frame_hw: tuple[int, int],
    previous: NDArray[np.float64] | None,
    who: str = "",
) -> tuple[int, str]:
    """Chooses which of several faces to keep, and gives the reason.

    The face nearest to the one kept before, if it is within one face width; else the face `who`;
    else the one with the greatest area weighted down by its distance from the center of the frame.

    Args:
        boxes: (K, 4) x0, y0, x1, y1 in pixels, K ≥ `faces_needed(who)`.
        frame_hw: height and width of the frame.
        previous: (4,) box kept in the frame before, or None.
        who: "", `left`, `right` (as the picture is seen), `largest`, or a number from the left.

    Returns: (index, `only` | `tracked` | `central_largest` | `who`).
    """
    if len(boxes) == 1:
        return 0, "only"
    if previous is not None and (nearest := nearest_face(boxes, previous)) is not None:
        return nearest, "tracked"
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    widths = boxes[:, 2] - boxes[:, 0]
    area = widths * (boxes[:, 3] - boxes[:, 1])
    if who == "largest":
        return int(area.argmax()), who
    if who:
        place = {"left": 0, "right": len(boxes) - 1}.get(who, faces_needed(who) - 1)
        return int(np.argsort(centers[:, 0], kind="stable")[place]), who
    height, width = frame_hw
    off_center = np.linalg.norm(centers - np.array([width, height]) / 2, axis=1)
    return int((area / (1 + (2 * off_center / width) ** 2)).argmax()), "central_largest"
