"""dlib's face network (King, 2017: a residual network of 128 numbers, trained on three million pictures
of real people), as a second opinion on pictures: it has never met SynthGRID.

Its weights are the package `face_recognition_models` (CC0); the library is `dlib`, or its wheel `dlib-bin`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from evaluation.models.face import Embeddings, Picture, oval
from manifests.errors import MissingDependency
from manifests.libraries import install_line

PACKAGE = "face_recognition_models"
FILE = "models/dlib_face_recognition_resnet_model_v1.dat"
SIDE_PX = 150
"""Pictures that the network takes as they are; a face still has the same framing closely enough."""


def weights_path() -> Path | None:
    """The network's weights in the installed package; None where it is not installed. The package itself
    is not imported: it needs a module that newer Pythons lack."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / FILE
    return path if path.is_file() else None


def is_installed() -> bool:
    """Returns whether library and weights are there."""
    return importlib.util.find_spec("dlib") is not None and weights_path() is not None


def require() -> Path:
    """The weights. Raises `MissingDependency` where they or the library are absent."""
    path = weights_path()
    if path is None or not is_installed():
        raise MissingDependency(
            "dlib's face network needs dlib and face_recognition_models", install_line("dlib") or ""
        )
    return path


@lru_cache(maxsize=1)
def _network() -> Any:
    dlib = importlib.import_module("dlib")
    return dlib.face_recognition_model_v1(str(require()))


def embed(pictures: Sequence[Picture]) -> Embeddings:
    """(n, 128) of unit length; only the oval of the face is seen.

    Args:
        pictures: (H, H, 3) uint8 RGB each, framed as face stills.

    Raises:
        MissingDependency: dlib or its weights are absent.
    """
    window = oval(SIDE_PX)[..., None]
    found = []
    for picture in pictures:
        how = cv2.INTER_AREA if picture.shape[0] > SIDE_PX else cv2.INTER_CUBIC
        chip = cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=how).astype(np.float32)
        chip = np.round(chip * window + 127.5 * (1 - window)).astype(np.uint8)
        found.append(np.array(_network().compute_face_descriptor(chip), np.float64))
    table = np.stack(found)
    return np.asarray(table / np.linalg.norm(table, axis=1, keepdims=True))
