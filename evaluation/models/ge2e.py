"""Voices as GE2E hears them (`manifests.ge2e`), for the judge of speakers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import SCORING_RATE_HZ, Recording, Samples, Unscorable
from manifests.ge2e import Voice, embed_voices, voice_of

LEAST_S = 0.25
"""Less speech tells nobody's voice."""


def speech_of(samples: Samples) -> Voice:
    """Speech without its pauses, (n,) mono at 16 kHz. Raises `Unscorable`."""
    voice = voice_of(samples, SCORING_RATE_HZ)
    if voice.speech_s < LEAST_S:
        raise Unscorable("too_little_speech", f"{voice.speech_s:.2f} s hold speech")
    return voice


def embedding_of(recording: Recording) -> NDArray[np.float64]:
    """(256,) of a recording, once for all metrics that ask. Raises `Unscorable`."""
    return recording.once("ge2e", lambda: embed_voices([speech_of(recording.samples)])[0])
