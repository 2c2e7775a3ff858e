"""Landmark backends by name: `name → "module:Class"`, imported only when one is created."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from gridprep.landmarks.base import Frames, FrameSource, LandmarkBackend
from manifests.errors import BadInput, ClipError, MissingDependency

MAX_WHOLE_BYTES = 1_000_000_000
"""Most bytes of pictures for a backend that needs all of them at once."""


@dataclass(frozen=True)
class Entry:
    """The registry entry of a backend, available before any heavy import.

    Attributes:
        target: "module:Class". The class is called with `device=`, and with `options=` (a mapping
            of strings) where it has any.
        library: the import name of the library that it needs.
        install: the command that installs this library, for messages.
        gpu: whether it can run on CUDA.
        one_by_one: whether `detect` also takes a `FrameSource`, so that no video need be held whole.
        options: names of the options that it understands.
        silent: those among them that do not change the points (speed, where weights lie; the
            weights' content is part of the backend's version).
    """

    target: str
    library: str
    install: str
    gpu: bool = False
    one_by_one: bool = False
    options: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


BACKENDS: dict[str, Entry] = {
    "facemesh": Entry(
        target="gridprep.landmarks.facemesh:FacemeshBackend",
        library="cv2",
        install="pip install opencv-python-headless",
        one_by_one=True,
        options=("models", "runtime", "who"),
        silent=("models", "runtime"),
    ),
    "face-alignment": Entry(
        target="gridprep.landmarks.face_alignment:FaceAlignmentBackend",
        library="face_alignment",
        install="pip install 'facetron-toolkit[face-alignment]'",
        gpu=True,
        options=(
            "batch_size",
            "detector",
            "detector_weights",
            "fan_weights",
            "flip",
            "key_every",
            "min_confidence",
            "precision",
            "who",
        ),
        silent=("batch_size", "detector_weights", "fan_weights"),
    ),
}

DEFAULT = "facemesh"
GPU_BACKEND = "face-alignment"


def names() -> list[str]:
    """The registered names, the default first."""
    return list(BACKENDS)


def entry(name: str) -> Entry:
    """The entry of a backend. Raises `BadInput` that lists the choices for an unknown name."""
    if name not in BACKENDS:
        raise BadInput(f"unknown landmark backend {name!r}", f"choose from {', '.join(names())}")
    return BACKENDS[name]


def is_installed(name: str) -> bool:
    """Whether the backend's library can be found (it is not imported)."""
    return importlib.util.find_spec(entry(name).library) is not None


def spec_options(name: str, options: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The options that change the points, in the form of `LandmarkSpec.options`; one that is left empty
    is left at its default."""
    silent = entry(name).silent
    return tuple(
        sorted((key, value) for key, value in options.items() if key not in silent and value)
    )


def create(
    name: str,
    device: str = "cpu",
    options: Mapping[str, str] | tuple[tuple[str, str], ...] = (),
) -> LandmarkBackend:
    """Creates a backend for one worker process.

    Args:
        name: one of `names()`.
        device: `cpu`, `cuda` or `cuda:N`.
        options: backend options as a mapping or as the pairs of `LandmarkSpec.options`.

    Raises: `BadInput` for an unknown name or option and for a GPU where the backend has no use for
        one; `MissingDependency` where the library or its weights are absent.
    """
    known = entry(name)
    wanted = dict(options)
    unknown = sorted(set(wanted) - set(known.options))
    if unknown:
        choices = ", ".join(known.options) or "it has none"
        raise BadInput(
            f"landmark backend {name} has no option {', '.join(unknown)}", f"options: {choices}"
        )
    if device != "cpu" and not known.gpu:
        raise BadInput(
            f"landmark backend {name} runs on the CPU only, not on {device!r}",
            f"drop --device or use --landmarks {GPU_BACKEND}",
        )
    if not is_installed(name):
        raise MissingDependency(f"landmark backend {name} needs {known.library}", known.install)
    module, attribute = known.target.split(":")
    backend = getattr(importlib.import_module(module), attribute)
    made = backend(device=device, options=wanted) if known.options else backend(device=device)
    return cast(LandmarkBackend, made)


def frames_for(name: str, frames: FrameSource) -> Frames:
    """Frames as the backend `name` takes them: as they are where it asks for one after the other,
    else all of them in one array.

    Raises `BadInput` for an unknown name, `ClipError` (`align`, `too_large`) where one array of
    them would fill the memory.
    """
    if isinstance(frames, np.ndarray):
        return frames
    if entry(name).one_by_one:
        # Such a backend asks no more of them than a `FrameSource` can.
        return cast(Frames, frames)
    size = int(np.prod(frames.shape))
    if size > MAX_WHOLE_BYTES:
        raise ClipError(
            "align",
            "too_large",
            f"the landmark backend {name} needs all {len(frames)} pictures at once, "
            f"{size / 1e9:.1f} GB",
        )
    return np.stack([frames[i] for i in range(len(frames))])
