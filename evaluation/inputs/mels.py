"""The log-mel of a recording that metrics and figures share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import Recording, Samples, Unscorable
from manifests.mel import DEFAULT as MEL
from manifests.mel import mel_spectrogram

__all__ = ["MEL", "log_mel"]


def log_mel(recording: Recording) -> NDArray[np.float32]:
    """(80, T) log-mel of a recording in the toolkit's default spec, computed once."""

    def compute() -> NDArray[np.float32]:
        samples: Samples = recording.samples
        if len(samples) < MEL.n_fft:
            raise Unscorable("too_short", f"{len(samples)} samples are less than a window")
        return mel_spectrogram(samples.astype(np.float32), MEL)  # type: ignore[return-value]

    return recording.once("mel", compute)
