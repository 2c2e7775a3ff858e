"""Gender of a voice by logistic regression, trained by `evaluation.training.speaker_gender`.

`voice` looks at pitch and at the speaker network's embedding, `f0` at the median pitch alone: the
baseline that a claim about voices has to beat.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import Recording, Unscorable
from evaluation.inputs.pitch import LEAST_VOICED_FRAMES, f0_of
from evaluation.models.ecapa import embedding_of
from evaluation.models.shipped import open_shipped

WEIGHTS = Path(__file__).parents[1] / "weights" / "gender.safetensors"
Kind = Literal["voice", "f0"]
Features = NDArray[np.float64]


def pitch_features(f0_hz: Features) -> Features:
    """(1,) log2 of the median over voiced frames, octaves above 100 Hz. Raises `Unscorable`."""
    voiced = f0_hz[np.isfinite(f0_hz)]
    if len(voiced) < LEAST_VOICED_FRAMES:
        raise Unscorable("too_few_voiced", f"{len(voiced)} frames are voiced")
    return np.array([np.log2(np.median(voiced) / 100)])


def features(f0_hz: Features, embedding: Features, kind: Kind) -> Features:
    """Features of the classifier: pitch (1,), or pitch and embedding (1 + E,)."""
    pitch = pitch_features(f0_hz)
    return pitch if kind == "f0" else np.concatenate([pitch, embedding])


def probability(values: Features, numbers: dict[str, NDArray[Any]], kind: Kind) -> float:
    """Probability of a woman's voice, by the numbers `KIND.mean`, `.scale`, `.weight` and `.bias`."""
    seen = (values - numbers[f"{kind}.mean"]) / numbers[f"{kind}.scale"]
    logit = float(seen @ numbers[f"{kind}.weight"] + numbers[f"{kind}.bias"][0])
    return float(1 / (1 + np.exp(-np.clip(logit, -50, 50))))


@lru_cache(maxsize=1)
def load_gender() -> dict[str, NDArray[Any]]:
    """The numbers of the package. Raises `BadInput` where they are not their card's."""
    return {name: v.astype(np.float64) for name, v in open_shipped(WEIGHTS).tensors.items()}


def female_probability(recording: Recording, kind: Kind) -> float:
    """Probability of a woman's voice in a recording, computed once. Raises `Unscorable`."""

    def compute() -> float:
        # Silence and other faults first: they are named better there.
        f0 = f0_of(recording)
        embedding = embedding_of(recording) if kind == "voice" else np.zeros(0)
        return probability(features(f0, embedding, kind), load_gender(), kind)

    return recording.once(f"gender {kind}", compute)
