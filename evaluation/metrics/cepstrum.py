"""Mel-cepstral distortion as speech synthesis reports it, and the plain L1 of log mels.

The number is that of SPTK and WORLD: mel-cepstra by frequency warping of the cepstrum, windows of 25 ms
every 5 ms, c0 left out, and the constant of Kominek, Schultz and Black. The cepstrum is that of the
log spectrum itself, without an estimate of the envelope between the harmonics, as SPTK's `mcep` without
iterations computes it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from evaluation.inputs.mels import MEL, log_mel
from evaluation.inputs.pairs import (
    SCORING_RATE_HZ,
    Array,
    Pair,
    Recording,
    Samples,
    Unscorable,
    paired,
)
from evaluation.metrics.base import Metric, MetricInfo

Mel = NDArray[np.floating[Any]]
Cepstra = NDArray[np.float64]

ORDER = 24
ALPHA = 0.42
"""Warping of the frequency axis that comes closest to the mel scale at 16 kHz (SPTK)."""
WINDOW_SAMPLES = round(0.025 * SCORING_RATE_HZ)
HOP_SAMPLES = round(0.005 * SCORING_RATE_HZ)
N_FFT = 512
FLOOR = 1e-8
"""Added to the periodogram of samples in ±1, as SPTK's `mcep -e` and pymcd do."""
K_DB = 10 * math.sqrt(2) / math.log(10)
"""Kominek's constant, from a difference of natural-log cepstra to decibels."""
MOST_DTW_FRAMES = 4000
"""Longer sounds (20 s) are warped at every second frame, every third, and so on: memory grows with the
square of the frames."""

PARAMETERS: dict[str, Any] = {
    "rate_hz": SCORING_RATE_HZ,
    "window_samples": WINDOW_SAMPLES,
    "hop_samples": HOP_SAMPLES,
    "n_fft": N_FFT,
    "order": ORDER,
    "alpha": ALPHA,
    "floor": FLOOR,
}


def mel_cepstra(samples: Samples) -> Cepstra:
    """Computes the mel-cepstra of a sound.

    Args:
        samples: (n,) at 16 kHz in ±1, at least 25 ms.

    Returns:
        (25, T) coefficients 0 to 24 of ln|H| = Σ c_m cos(m ω̃), a column per 5 ms.

    Raises:
        Unscorable: shorter than a window.
    """
    if len(samples) < WINDOW_SAMPLES:
        raise Unscorable("too_short", f"{len(samples)} samples are less than a window")
    frames = np.lib.stride_tricks.sliding_window_view(
        np.asarray(samples, np.float64), WINDOW_SAMPLES
    )[::HOP_SAMPLES]
    window = signal.windows.blackman(WINDOW_SAMPLES)
    window /= np.sqrt(np.square(window).sum())  # SPTK normalizes its power
    power = np.square(np.abs(fft.rfft(frames * window, N_FFT, axis=1))) + FLOOR
    cepstrum = fft.irfft(0.5 * np.log(power), axis=1)[:, : N_FFT // 2 + 1]
    cepstrum[:, 1:-1] *= 2  # of a minimum-phase filter with this magnitude
    return np.asarray(_warping() @ cepstrum.T)


@lru_cache(maxsize=1)
def _warping() -> Cepstra:
    """(25, 257) the linear map of a cepstrum onto the frequency axis warped by `ALPHA`, by the recursion
    of Oppenheim and Johnson (1972), SPTK's `freqt`."""
    size = N_FFT // 2 + 1
    warped = np.zeros((ORDER + 1, size))
    for i in range(size - 1, -1, -1):
        before = warped.copy()
        warped[0] = ALPHA * before[0]
        warped[0, i] += 1
        warped[1] = (1 - ALPHA**2) * before[0] + ALPHA * before[1]
        for m in range(2, ORDER + 1):
            warped[m] = before[m - 1] + ALPHA * (before[m] - warped[m - 1])
    return warped


def cepstral_distortion(reference: Cepstra, degraded: Cepstra) -> float:
    """Mel-cepstral distortion in dB, frame by frame: the mean of K·‖c − ĉ‖ over coefficients 1 to 24.

    Args:
        reference, degraded: (25, T) of one length.
    """
    difference = reference[1:] - degraded[1:]
    return float(K_DB * np.sqrt(np.square(difference).sum(axis=0)).mean())


def cepstral_distortion_dtw(reference: Cepstra, degraded: Cepstra) -> float:
    """The same along the dynamic-time-warping path that makes its sum least, mean over the path.

    Args:
        reference, degraded: (25, T1), (25, T2).
    """
    step = -(-max(reference.shape[1], degraded.shape[1]) // MOST_DTW_FRAMES)
    a, b = reference[1:, ::step], degraded[1:, ::step]
    squares = (a**2).sum(axis=0)[:, None] + (b**2).sum(axis=0)[None, :] - 2 * a.T @ b
    distances = np.sqrt(np.maximum(squares, 0.0))
    path = dtw_path(distances)
    return float(K_DB * distances[path[:, 0], path[:, 1]].mean())


def mel_mean_l1(reference_mel: Mel, degraded_mel: Mel) -> float:
    """Mean absolute difference of two (n_mels, T) natural-log mels."""
    return float(np.abs(np.asarray(reference_mel, np.float64) - degraded_mel).mean())


def dtw_path(distances: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cheapest monotonic path through (T1, T2) distances, steps (1, 1), (1, 0), (0, 1), all of
    weight one, from (0, 0) to (T1 − 1, T2 − 1).

    Returns:
        (L, 2) index pairs, in order.
    """
    t1, t2 = distances.shape
    total = np.full((t1 + 1, t2 + 1), np.inf)
    total[0, 0] = 0.0
    # A cell needs only the two anti-diagonals before its own, so each is one vector operation.
    for diagonal in range(t1 + t2 - 1):
        i = np.arange(max(0, diagonal - t2 + 1), min(t1, diagonal + 1))
        j = diagonal - i
        before = np.minimum(np.minimum(total[i, j], total[i, j + 1]), total[i + 1, j])
        total[i + 1, j + 1] = distances[i, j] + before
    row, column = t1, t2
    path = [(row - 1, column - 1)]
    while (row, column) != (1, 1):
        steps = ((row - 1, column - 1), (row - 1, column), (row, column - 1))
        row, column = min(steps, key=lambda cell: total[cell])
        path.append((row - 1, column - 1))
    return np.asarray(path[::-1], dtype=np.int64)


def cepstra_of(recording: Recording) -> Cepstra:
    """(25, T) mel-cepstra of a recording, computed once."""
    return recording.once("mel_cepstra", lambda: mel_cepstra(recording.samples))


def paired_cepstra(pair: Pair) -> tuple[Cepstra, Cepstra]:
    """(reference, degraded) mel-cepstra cut to the shorter one."""
    pair.check_lengths()
    reference, degraded = cepstra_of(pair.reference), cepstra_of(pair.degraded)
    n = min(reference.shape[1], degraded.shape[1])
    return reference[:, :n], degraded[:, :n]


def paired_mels(pair: Pair) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(reference, degraded) log-mels cut to the shorter one."""
    pair.check_lengths()
    reference, degraded = log_mel(pair.reference), log_mel(pair.degraded)
    n = min(reference.shape[1], degraded.shape[1])
    return reference[:, :n], degraded[:, :n]


def mcd(reference: Array, degraded: Array, rate_hz: int, *, dtw: bool = False) -> float:
    """Mel-cepstral distortion in dB (Kubichek, 1993; the constant of Kominek, Schultz and Black, 2008),
    lower is better: mel-cepstra 1 to 24, windows of 25 ms every 5 ms, as SPTK computes them.

    Args:
        reference: (n,) or (n, channels) samples of the recording, floats of full scale ±1 or integers.
        degraded: the same of the speech that is scored, at most 0.25 s shorter or longer; the longer
            one is cut at its end.
        rate_hz: of both; they are brought to 16 kHz.
        dtw: along the dynamic-time-warping path of least sum, on sounds of any lengths.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> rng = np.random.default_rng(0)
        >>> speech = rng.standard_normal(32_000) * np.sin(np.arange(32_000) / 3000) ** 2 / 8
        >>> noisy = speech + 0.02 * rng.standard_normal(32_000)
        >>> metrics.mcd(speech, speech, 16_000)
        0.0
        >>> 1 < metrics.mcd(speech, noisy, 16_000) < 10
        True
    """
    pair = paired(reference, degraded, rate_hz)
    if dtw:
        return cepstral_distortion_dtw(cepstra_of(pair.reference), cepstra_of(pair.degraded))
    return cepstral_distortion(*paired_cepstra(pair))


def mel_l1(reference: Array, degraded: Array, rate_hz: int) -> float:
    """Mean absolute difference of the toolkit's natural-log mels, lower is better; sensitive to level.

    Args:
        reference: (n,) or (n, channels) samples of the recording, floats of full scale ±1 or integers.
        degraded: the same of the speech that is scored, at most 0.25 s shorter or longer; the longer
            one is cut at its end.
        rate_hz: of both; they are brought to 16 kHz.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> rng = np.random.default_rng(0)
        >>> speech = rng.standard_normal(32_000) * np.sin(np.arange(32_000) / 3000) ** 2 / 8
        >>> noisy = speech + 0.02 * rng.standard_normal(32_000)
        >>> round(metrics.mel_l1(speech, speech / 2, 16_000), 3)  # ln 2
        0.693
    """
    return mel_mean_l1(*paired_mels(paired(reference, degraded, rate_hz)))


class Mcd(Metric):
    info = MetricInfo(
        name="mcd",
        label="MCD",
        unit="dB",
        direction="lower",
        definition=(
            f"Mel-cepstral distortion, mean over frames of (10√2/ln 10)·‖c − ĉ‖ with mel-cepstra 1–{ORDER} "
            f"(c0 excluded): warped cepstra (α = {ALPHA}) of the log spectrum at "
            f"{SCORING_RATE_HZ / 1000:.0f} kHz, Blackman windows of 25 ms every 5 ms, FFT {N_FFT}, "
            "silences included, no warping of time."
        ),
        citation="Kubichek, IEEE PACRIM 1993; Kominek et al., SLTU 2008",
        parameters={**PARAMETERS, "dtw": False},
        decimals=2,
    )

    def value(self, pair: Pair) -> float:
        return cepstral_distortion(*paired_cepstra(pair))


class McdDtw(Metric):
    info = Mcd.info.variant(
        name="mcd_dtw",
        label="MCD, DTW",
        definition=(
            "The same MCD along the dynamic-time-warping path of least sum (steps (1,1), (1,0), "
            "(0,1)), mean over the path, on the whole files whatever their lengths; of sounds longer "
            "than 20 s, on every second frame, every third, and so on."
        ),
        parameters={**PARAMETERS, "dtw": True},
        group="aligned",
    )

    def value(self, pair: Pair) -> float:
        return cepstral_distortion_dtw(cepstra_of(pair.reference), cepstra_of(pair.degraded))


class MelL1(Metric):
    info = MetricInfo(
        name="mel_l1",
        label="Mel L1",
        unit="",
        direction="lower",
        definition=(
            f"Mean absolute difference of natural-log mels ({MEL.n_mels} bands, {MEL.fmin_hz:.0f}–"
            f"{MEL.fmax_hz:.0f} Hz, FFT {MEL.n_fft}, frame shift {1000 / MEL.frame_rate_hz:.0f} ms); "
            "unlike the MCD, it is sensitive to level."
        ),
        citation="Kong et al. (HiFi-GAN), NeurIPS 2020, eq. 5",
        parameters={"mel": MEL.fingerprint()},
    )

    def value(self, pair: Pair) -> float:
        return mel_mean_l1(*paired_mels(pair))
