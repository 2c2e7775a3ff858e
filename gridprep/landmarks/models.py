"""The model files of the landmark backend `facemesh`: MediaPipe's face detector and face landmarks
(Apache-2.0), which the wheel of its release 0.10.21 contains."""

from __future__ import annotations

from pathlib import Path

from manifests.wheels import Wheel, WheelFile, fetch_files, find_files

WHEEL = Wheel(
    distribution="mediapipe",
    version="0.10.21",
    wanted_by="the landmark backend facemesh",
    fetch="gridprep models fetch",
    by_hand="--landmark-option models=FOLDER",
    python="312",
    # All platforms' wheels hold the same models.
    platforms=("manylinux_2_28_x86_64", "macosx_11_0_universal2", "win_amd64"),
)
DETECTOR = WheelFile(
    "face_detection_short_range.tflite",
    "mediapipe/modules/face_detection/face_detection_short_range.tflite",
    "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    229_714,
)
LANDMARKS = WheelFile(
    "face_landmark.tflite",
    "mediapipe/modules/face_landmark/face_landmark.tflite",
    "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    1_242_398,
)
MODELS = (DETECTOR, LANDMARKS)


def find_models(folder: str = "") -> dict[WheelFile, Path]:
    """The files, checked: in the given folder, or else in the cache, or in an installed MediaPipe.
    Raises as `manifests.wheels.find_files`."""
    return find_files(WHEEL, MODELS, folder)


def fetch_models(target: Path | None = None, wheel: Path | None = None) -> list[Path]:
    """Puts the files into a folder, the cache by default, unless they are there already. Raises as
    `manifests.wheels.fetch_files`.

    Args:
        wheel: a local wheel of MediaPipe; with None the package client downloads it.
    """
    return fetch_files(WHEEL, MODELS, target, wheel)
