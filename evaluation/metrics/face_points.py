"""Measures whether there is a face in a picture, and whether its parts lie where the speaker's lie."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import Pair, Unscorable
from evaluation.inputs.pictures import Gallery, Seen, known
from evaluation.metrics.base import Measured
from evaluation.metrics.faces import DIGITS, FaceMetric, FaceRank1
from evaluation.models.face_points import BACKEND, MARGIN, SIDE_PX, backend, face_points

STILLS = 5
"""Real stills whose points make a speaker's, at most."""


class FaceFound(FaceMetric):
    info = FaceRank1.info.variant(
        name="face_found",
        label="Face found",
        definition=(
            f"Percentage of pictures in which the landmark backend of the preprocessing ({BACKEND}) finds "
            f"a face, shown at {SIDE_PX} × {SIDE_PX} with a gray margin."
        ),
        citation="Duarte et al., ICASSP 2019, count faces found; MediaPipe Face Mesh: Kartynnik et al., 2019",
        license="Apache-2.0 (MediaPipe)",
        group="face_looks",
        libraries=("opencv",),
    )

    def parameters(self) -> dict[str, Any]:
        return {"backend": BACKEND, "side_px": SIDE_PX, "margin": MARGIN}

    def note(self) -> str:
        return ""

    def require(self) -> None:
        super().require()
        backend()

    def look(self, face: Seen, pair: Pair) -> Measured:
        try:
            self.points(face, pair)
        except Unscorable:
            return Measured(0.0)
        return Measured(100.0)

    def points(self, face: Seen, pair: Pair) -> NDArray[np.float64]:
        """Returns the points of a face, found once for both metrics. Raises `Unscorable`."""
        if face is self.shown(pair):
            return pair.once("points", lambda: face_points(face.picture))
        return _points_of(face.picture.tobytes(), face.picture.shape[0])


@lru_cache(maxsize=64)
def _points_of(content: bytes, side_px: int) -> NDArray[np.float64]:
    return face_points(np.frombuffer(content, np.uint8).reshape(side_px, side_px, 3))


@lru_cache(maxsize=4)
def _speaker_points(gallery: Gallery, clips: int) -> dict[str, NDArray[np.float64]]:
    """Speaker → (N, 2) mean points of the real stills, once a process."""
    found = {}
    for name, speaker in known(gallery).items():
        tables = []
        for picture in speaker.pictures[:clips]:
            try:
                tables.append(face_points(picture))
            except Unscorable:
                continue
        if tables:
            found[name] = np.mean(tables, axis=0)
    return found


class FacePoints(FaceFound):
    info = FaceFound.info.variant(
        name="face_points",
        label="Points off",
        direction="lower",
        decimals=2,
        definition=(
            "Mean distance of the named points of the picture from those of the speaker's real stills (the "
            f"mean of {STILLS}), in percent of the picture's side."
        ),
    )

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "stills": STILLS}

    def look(self, face: Seen, pair: Pair) -> Measured:
        points = self.points(face, pair)
        if self.gallery is None:
            raise Unscorable("no_gallery", "no run with real stills to compare with was given")
        theirs = _speaker_points(self.gallery, STILLS)
        if pair.clip.speaker not in theirs:
            raise Unscorable("no_gallery", f"no face is found in the stills of {pair.clip.speaker}")
        apart = np.hypot(*(points - theirs[pair.clip.speaker]).T)
        return Measured(round(100 * float(np.nanmean(apart)), DIGITS))
