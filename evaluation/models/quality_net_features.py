"""Features of the quality network: the mel of a clip at one active level, cut into segments."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.inputs.levels import CUSTOMARY_DBOV, clip_level_dbov
from evaluation.inputs.pairs import SCORING_RATE_HZ, Samples
from manifests.mel import mel_spectrogram
from manifests.specs import MelSpec

MEL = MelSpec(
    sample_rate_hz=SCORING_RATE_HZ,
    n_fft=512,
    win_samples=400,
    hop_samples=160,
    n_mels=48,
    fmin_hz=0.0,
    fmax_hz=8000.0,
    padding="center",
    log="db",
    floor=1e-5,  # −100 dB: about the rounding of 16 bits where the speech is 10 dB too quiet
    scale=0.04,
    offset=2.4,
)
"""48 bands, 25 ms windows 10 ms apart, in dB, scaled to about ±2."""
SEGMENT_FRAMES, SEGMENT_HOP_FRAMES = 16, 8


def levelled_mel(samples: Samples) -> tuple[NDArray[np.float32], float]:
    """(mel of the sound brought to −26 dBov, its own active level in dBov (ITU-T P.56)).

    Args:
        samples: (n,) at 16 kHz, not silent, at least 257 samples.

    Returns:
        (48, 1 + n // 160) float32, and the level.

    Raises:
        ValueError: digital silence.
    """
    level_dbov = clip_level_dbov(samples, SCORING_RATE_HZ)
    # A file may be all peaks (a click): the level then wants more gain than a mel takes.
    gain = min(10 ** ((CUSTOMARY_DBOV - level_dbov) / 20), 4.0 / float(np.abs(samples).max()))
    return mel_spectrogram(np.asarray(samples * gain, dtype=np.float64), MEL), level_dbov


def segments(mel: Tensor) -> Tensor:
    """(..., 48, T) → (..., n, 48, 16): windows of 160 ms every 80 ms, n = (T − 16) // 8 + 1."""
    return mel.unfold(-1, SEGMENT_FRAMES, SEGMENT_HOP_FRAMES).movedim(-2, -3).contiguous()


def as_tensor(mel: NDArray[np.floating]) -> Tensor:  # type: ignore[type-arg]
    return torch.from_numpy(np.ascontiguousarray(mel, dtype=np.float32))
