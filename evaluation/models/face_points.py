"""Named points of a picture, by gridprep's landmark backend: whether there is a face in it at all.

The only module of the evaluation that uses gridprep: a face is found where the toolkit's own preprocessing
would find one, by networks that have seen no generated picture.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import Unscorable
from evaluation.models.face import Picture
from gridprep.landmarks import registry
from gridprep.landmarks.base import LandmarkBackend

BACKEND = registry.DEFAULT
SIDE_PX, MARGIN = 256, 0.25
"""Pictures are shown at this side with a gray margin, in sides: detectors were made for faces with room
around them."""


@lru_cache(maxsize=1)
def backend() -> LandmarkBackend:
    """The backend, once a process. Raises `MissingDependency` where its networks are absent."""
    return registry.create(BACKEND)


def face_points(picture: Picture) -> NDArray[np.float64]:
    """(N, 2) named points in sides of the picture, NaN where the backend has none.

    Args:
        picture: (H, H, 3) uint8 RGB.

    Raises:
        Unscorable: `no_face`.
    """
    shown = cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
    margin = round(SIDE_PX * MARGIN)
    shown = cv2.copyMakeBorder(
        shown, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=(128, 128, 128)
    )
    found = backend().detect(np.asarray(shown, np.uint8)[None])
    if not found.found[0]:
        raise Unscorable("no_face", "no face is found in the picture")
    return np.asarray((found.points_px[0].astype(np.float64) - margin) / SIDE_PX)
