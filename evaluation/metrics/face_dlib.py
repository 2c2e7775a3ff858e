"""Whom a picture shows in the eyes of dlib's network, which was trained on real people by others: a second
opinion on the rank that the evaluation's own encoder gives.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pictures import CLIPS, Gallery, Seen, known
from evaluation.inputs.settings import Settings
from evaluation.metrics.faces import FaceRank, FaceRank1, Rank
from evaluation.models import dlib_faces
from evaluation.models.weights import weights_sha256

SOURCE: dict[str, Any] = {
    "citation": "King, dlib 19.3, 2017",
    "license": "BSL-1.0 (dlib), CC0 (weights)",
    "libraries": ("dlib",),
}


class DlibRank(Rank):
    """Base of the ranks by dlib."""

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return super().wanted(settings) and dlib_faces.is_installed()

    def parameters(self) -> dict[str, Any]:
        sha256 = weights_sha256(dlib_faces.weights_path())
        return {
            "side_px": dlib_faces.SIDE_PX, "gallery_clips": CLIPS, "weights_sha256": sha256,
            "source": sha256,
        }  # fmt: skip

    def note(self) -> str:
        return "The second opinion on faces is dlib's network."

    def require(self) -> None:
        dlib_faces.require()

    def embedding(self, face: Seen) -> NDArray[np.float64]:
        return _embedding(face.picture.tobytes(), face.picture.shape[0])

    def embeddings(self) -> dict[str, NDArray[np.float64]]:
        return _embeddings(self.bound_gallery())


@lru_cache(maxsize=64)
def _embedding(content: bytes, side_px: int) -> NDArray[np.float64]:
    picture = np.frombuffer(content, np.uint8).reshape(side_px, side_px, 3)
    return np.asarray(dlib_faces.embed([picture])[0])


@lru_cache(maxsize=4)
def _embeddings(gallery: Gallery) -> dict[str, NDArray[np.float64]]:
    return {name: dlib_faces.embed(list(s.pictures)) for name, s in known(gallery).items()}


class FaceRank1Dlib(DlibRank):
    best = 1
    info = FaceRank1.info.variant(
        name="face_rank1_dlib",
        label="R@1 (dlib)",
        definition=(
            "Percentage of pictures to which their speaker is nearest by dlib's face network, which was "
            "trained on photographs of real people and sees the same oval; as R@1."
        ),
        **SOURCE,
    )


class FaceRankDlib(DlibRank):
    info = FaceRank.info.variant(
        name="face_rank_dlib",
        label="Mean rank (dlib)",
        definition="Mean place of a picture's speaker among the run's speakers by dlib's network.",
        **SOURCE,
    )
