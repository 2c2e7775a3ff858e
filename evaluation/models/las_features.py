"""Features of the recognizer LAS: log-mels that do not depend on level or color of the sound, and the
characters that it writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from manifests.mel import mel_basis, window
from manifests.specs import MelSpec

Float = NDArray[np.float32]

SPEC = MelSpec(
    n_fft=512,
    win_samples=400,
    hop_samples=200,
    n_mels=64,
    fmin_hz=60.0,
    fmax_hz=7600.0,
    padding="center",
)
"""25 ms windows every 12.5 ms, at 16 kHz. The logarithm is taken below, after the level is known."""
RANGE = 1e-3
"""Bands more than 60 dB below the clip's loud frames count as silent: what lies there is dither in one
corpus and the vocoder's noise in another."""
LOUD_PERCENTILE = 95.0
LEAST_LEVEL = 1e-4
SPREAD = 2.0
"""Standard deviation of natural logarithms in speech, about; features come out near unit variance."""
SHORTEST_SAMPLES = 1600

BLANK, BOS, EOS = 0, 1, 2
LETTERS = " abcdefghijklmnopqrstuvwxyz"
FIRST_LETTER = 3
VOCABULARY_SIZE = FIRST_LETTER + len(LETTERS)


@dataclass(frozen=True)
class Hearing:
    """Variation of a clip's features in training; the default is that of recognition, which varies
    nothing.

    Attributes:
        hop_samples: shorter hops stretch time without moving pitch.
        warp: factor on the frequency axis, as of a vocal tract that much shorter.
        gain: (n_fft // 2 + 1,) factor of each bin: color and band limits of a channel.
    """

    hop_samples: int = SPEC.hop_samples
    warp: float = 1.0
    gain: Float | None = None


def magnitudes(samples: NDArray[np.floating[Any]], hop_samples: int = SPEC.hop_samples) -> Float:
    """(n,) at 16 kHz → (1 + n // hop, 257): frames centered on multiples of the hop."""
    sound = np.asarray(samples, dtype=np.float32)
    if len(sound) < SHORTEST_SAMPLES:
        sound = np.pad(sound, (0, SHORTEST_SAMPLES - len(sound)))
    padded = np.pad(sound, SPEC.n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, SPEC.n_fft)[::hop_samples]
    spectrum = fft.rfft(frames * window(SPEC).astype(np.float32), axis=-1)
    return np.asarray(np.abs(spectrum), dtype=np.float32)


def warped_basis(warp: float) -> Float:
    """(64, 257) filter bank with all its edges `warp` times lower: it hears a voice as if every
    frequency of it were `warp` times higher."""
    basis = mel_basis(SPEC)
    if warp == 1.0:
        return basis.astype(np.float32)
    bins = np.arange(basis.shape[1])
    stretched = [np.interp(bins * warp, bins, row, right=0.0) for row in basis]
    return np.asarray(stretched, dtype=np.float32) * np.float32(warp)


def features(samples: NDArray[np.floating[Any]], hearing: Hearing = Hearing()) -> Float:
    """Normalized log-mels of a clip.

    Args:
        samples: (n,) mono at 16 kHz, any level.

    Returns:
        (T, 64) float32, T = 1 + n // 200. Each band has mean 0 over the clip; silence is all zeros.
    """
    spectrum = magnitudes(samples, hearing.hop_samples)
    if hearing.gain is not None:
        spectrum = spectrum * hearing.gain
    mel = spectrum @ warped_basis(hearing.warp).T
    level = np.percentile(mel.mean(axis=1), LOUD_PERCENTILE)
    log = np.log(mel / max(float(level), LEAST_LEVEL) + RANGE)
    return np.asarray((log - log.mean(axis=0)) / SPREAD, dtype=np.float32)


def tokens_of(sentence: str) -> list[int]:
    """Characters of a lower-case sentence as indices. Raises `ValueError` for any other."""
    return [FIRST_LETTER + LETTERS.index(letter) for letter in sentence]


def text_of(tokens: Sequence[int]) -> str:
    """Inverse of `tokens_of`; blank, start and end are no letters."""
    return "".join(LETTERS[int(t) - FIRST_LETTER] for t in tokens if int(t) >= FIRST_LETTER)
