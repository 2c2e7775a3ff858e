"""Distances between log-mel spectrograms: mel-cepstral distortion, and the plain L1.

MCD has no single definition (published values of 22 and 32 dB are both "MCD"), so the definition
used here is stated in full in every caption.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from evaluation.inputs.mels import MEL, log_mel
from evaluation.inputs.pairs import Array, Pair, paired
from evaluation.metrics.base import Metric, MetricInfo

Mel = NDArray[np.floating[Any]]

COEFFICIENTS = 13
K_DB = 10 * math.sqrt(2) / math.log(10)
"""Kubichek's factor from a difference of natural-log cepstra to decibels."""

SHIFT_MS = 1000 / MEL.frame_rate_hz
PARAMETERS: dict[str, Any] = {
    "mel": MEL.fingerprint(),
    "coefficients": [1, COEFFICIENTS],
    "frame_shift_ms": SHIFT_MS,
}


def mfcc(mel: Mel) -> NDArray[np.float64]:
    """Converts a (n_mels, T) natural-log mel to (13, T) cepstra 1–13 by the orthonormal DCT-II.

    c0, the overall level, is excluded.
    """
    cepstrum = fft.dct(np.asarray(mel, dtype=np.float64), type=2, norm="ortho", axis=0)
    return np.asarray(cepstrum[1 : COEFFICIENTS + 1])


def mel_mcd(reference_mel: Mel, degraded_mel: Mel) -> float:
    """Mel-cepstral distortion in dB, frame by frame: mean over t of K·‖c_t − ĉ_t‖₂.

    Args:
        reference_mel, degraded_mel: (n_mels, T) natural-log mels of one length.
    """
    difference = mfcc(reference_mel) - mfcc(degraded_mel)
    return float(K_DB * np.sqrt((difference**2).sum(axis=0)).mean())


def mel_mcd_dtw(reference_mel: Mel, degraded_mel: Mel) -> float:
    """MCD in dB along the dynamic-time-warping path that makes its sum least, mean over the path.

    Args:
        reference_mel, degraded_mel: (n_mels, T1), (n_mels, T2) natural-log mels.
    """
    a, b = mfcc(reference_mel), mfcc(degraded_mel)
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


def paired_mels(pair: Pair) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(reference, degraded) log-mels cut to the shorter one."""
    pair.check_lengths()
    reference, degraded = log_mel(pair.reference), log_mel(pair.degraded)
    n = min(reference.shape[1], degraded.shape[1])
    return reference[:, :n], degraded[:, :n]


def mcd(reference: Array, degraded: Array, rate_hz: int, *, dtw: bool = False) -> float:
    """Mel-cepstral distortion in dB (Kubichek, 1993), lower is better: coefficients 1–13 of the
    orthonormal DCT-II of the toolkit's log-mel. Other definitions of MCD give other numbers.

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
        >>> metrics.mcd(speech, noisy, 16_000) > 1
        True
    """
    pair = paired(reference, degraded, rate_hz)
    if dtw:
        return mel_mcd_dtw(log_mel(pair.reference), log_mel(pair.degraded))
    return mel_mcd(*paired_mels(pair))


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
            f"Mel-cepstral distortion, mean over frames of (10√2/ln 10)·‖c − ĉ‖ with coefficients "
            f"1–{COEFFICIENTS} (c0 excluded) of the orthonormal DCT-II of the natural-log mel "
            f"magnitudes ({MEL.n_mels} bands, {MEL.fmin_hz:.0f}–{MEL.fmax_hz:.0f} Hz, "
            f"{MEL.sample_rate_hz / 1000:.0f} kHz, FFT {MEL.n_fft}), frame shift "
            f"{SHIFT_MS:.0f} ms, silences included, no warping. Other definitions of MCD give "
            "other numbers."
        ),
        citation="Kubichek, IEEE PACRIM 1993",
        parameters={**PARAMETERS, "dtw": False},
        decimals=2,
    )

    def value(self, pair: Pair) -> float:
        return mel_mcd(*paired_mels(pair))


class McdDtw(Metric):
    info = Mcd.info.variant(
        name="mcd_dtw",
        label="MCD, DTW",
        definition=(
            "The same MCD along the dynamic-time-warping path of least sum (steps (1,1), (1,0), "
            "(0,1)), mean over the path, on the whole files whatever their lengths."
        ),
        parameters={**PARAMETERS, "dtw": True},
        group="aligned",
    )

    def value(self, pair: Pair) -> float:
        return mel_mcd_dtw(log_mel(pair.reference), log_mel(pair.degraded))


class MelL1(Metric):
    info = MetricInfo(
        name="mel_l1",
        label="Mel L1",
        unit="",
        direction="lower",
        definition=(
            "Mean absolute difference of the natural-log mels that the MCD uses; unlike the MCD, it is "
            "sensitive to level."
        ),
        citation="Kong et al. (HiFi-GAN), NeurIPS 2020, eq. 5",
        parameters={"mel": MEL.fingerprint()},
    )

    def value(self, pair: Pair) -> float:
        return mel_mean_l1(*paired_mels(pair))
