"""Registry of vocoders (mel → waveform). A new one is a class with this contract and a line in
`VOCODERS`."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput
from manifests.specs import MelSpec

VOCODERS: dict[str, str] = {
    "griffin-lim": "facetron.vocoders.griffin_lim:GriffinLim",
    "hifigan": "facetron.vocoders.neural:NeuralVocoder",
    "hifigan-refined": "facetron.vocoders.neural:RefinedVocoder",
    "published": "facetron.vocoders.published:PublishedVocoder",
}
"""name → "module:Class", imported when used. The class is called with the `MelSpec` of the mels it
will be given, and its own options."""


AUTO = "auto"
"""Beside the names: the vocoder of a checkpoint where it has one, refined if it is without a harmonic
source, else Griffin-Lim."""


PUBLISHED = "published"
"""The vocoder that takes weights by path."""


class Vocoder(Protocol):
    """Protocol of a vocoder: one mel per call, the same waveform for the same mel and generator state."""

    @property
    def sample_rate_hz(self) -> int: ...

    @property
    def label(self) -> str:
        """Name of the vocoder in tables."""
        ...

    def parameters(self) -> dict[str, Any]:
        """Everything needed to reproduce the waveform, as plain values."""
        ...

    def __call__(
        self,
        mel: NDArray[np.floating[Any]],
        rng: np.random.Generator,
        n_samples: int | None = None,
    ) -> NDArray[np.float32]:
        """(n_mels, T) → (n_samples,) within ±1. Raises `BadInput` for a mel it cannot use."""
        ...


def create(name: str, spec: MelSpec, **options: Any) -> Vocoder:
    """Creates a vocoder. Raises `BadInput` for an unknown name (the choices are listed) or impossible
    options."""
    if name not in VOCODERS:
        raise BadInput(f"there is no vocoder {name!r}", f"choose one of {', '.join(VOCODERS)}")
    module, attribute = VOCODERS[name].split(":")
    vocoder: Vocoder = getattr(importlib.import_module(module), attribute)(spec, **options)
    return vocoder
