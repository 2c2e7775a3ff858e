"""Mel-cepstral distortion, and the L1 distance of log-mel spectrograms.

The cepstra are those of SPTK's `mcep`: the mel-cepstrum whose spectrum fits the periodogram of a 25 ms
frame best in the unbiased (UELS) sense, every 5 ms, order 24, frequency warping 0.42 at 16 kHz. The
distortion is Kominek's: (10√2/ln 10)·‖c − ĉ‖ without c0, mean over frames, in dB. Distances of cepstra
that are scaled otherwise (an orthonormal DCT of a log-mel, a power spectrum that is taken for an
amplitude) are multiples of it and do not compare.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
WARPING = 0.42
"""All-pass constant that brings 16 kHz near the mel scale, as SPTK and ESPnet set it."""
WINDOW_SAMPLES, HOP_SAMPLES, FFT = 400, 80, 512
PERIODOGRAM_FLOOR = 1e-8
"""Added to |X|², about what rounding to 16 bits leaves in a frame: digital silence has a cepstrum too."""
ITERATIONS = 30
K_DB = 10 * math.sqrt(2) / math.log(10)
"""Kominek's factor from a difference of mel-cepstra (natural logarithm of the amplitude) to decibels."""

PARAMETERS: dict[str, Any] = {
    "order": ORDER,
    "warping": WARPING,
    "window_samples": WINDOW_SAMPLES,
    "hop_samples": HOP_SAMPLES,
    "fft": FFT,
    "periodogram_floor": PERIODOGRAM_FLOOR,
}


@cache
def _warped(order: int, warping: float, fft_size: int) -> tuple[Cepstra, Cepstra]:
    """cos(m·ω̃) of the warped frequencies, (order + 1, bins), and each bin's share of the circle, (bins,)."""
    omega = np.linspace(0, np.pi, fft_size // 2 + 1)
    bent = omega + 2 * np.arctan2(warping * np.sin(omega), 1 - warping * np.cos(omega))
    share = np.full(len(omega), 2.0 / fft_size)
    share[[0, -1]] /= 2
    return np.cos(np.arange(order + 1)[:, None] * bent), share


def mel_cepstra(
    periodogram: NDArray[np.float64], order: int = ORDER, warping: float = WARPING
) -> Cepstra:
    """Mel-cepstra of power spectra, as SPTK's `mcep` finds them (Fukada et al., ICASSP 1992).

    Minimizes mean(exp(R) − R − 1) over the circle with R = ln P − 2·Σ c_m cos(m·ω̃), which is convex in
    c, by Newton's method from the warped cepstrum of ln P.

    Args:
        periodogram: (T, fft / 2 + 1) positive |X|².
        order: of the highest coefficient.
        warping: all-pass constant α.

    Returns:
        (T, order + 1): c0 … c_order, of the natural logarithm of the amplitude.
    """
    power = np.asarray(periodogram, dtype=np.float64)
    fft_size = 2 * (power.shape[1] - 1)
    basis, share = _warped(order, warping, fft_size)
    twice, _ = _warped(2 * order, warping, fft_size)
    omega = np.linspace(0, np.pi, power.shape[1])
    # Coefficients of ln |X| over the warped axis: dω̃/dω is the all-pass filter's group delay.
    delay = (1 - warping**2) / (1 - 2 * warping * np.cos(omega) + warping**2)
    found = np.log(power) @ (basis * share * delay).T
    found[:, 0] /= 2
    places = np.arange(order + 1)
    difference, total = np.abs(places[:, None] - places), places[:, None] + places
    todo = np.arange(len(power))
    for _ in range(ITERATIONS):
        ratio = power[todo] / np.exp(2 * found[todo] @ basis)
        moments = ratio @ (twice * share).T
        gradient = (basis @ share) - moments[:, : order + 1]
        hessian = moments[:, difference] + moments[:, total]
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        reach = np.abs(step).sum(axis=1, keepdims=True)
        found[todo] -= step / np.maximum(reach, 1.0)  # far from the minimum a whole step overshoots
        todo = todo[reach[:, 0] > 1e-6]
        if not len(todo):
            break
    return found


def cepstra(recording: Recording) -> Cepstra:
    """(T, 24) mel-cepstra 1–24 of a recording, one every 5 ms, computed once."""

    def compute() -> Cepstra:
        samples: Samples = recording.samples
        if len(samples) < WINDOW_SAMPLES:
            raise Unscorable("too_short", f"{len(samples)} samples are less than a window")
        frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW_SAMPLES)[::HOP_SAMPLES]
        spectra = np.fft.rfft(frames * np.hanning(WINDOW_SAMPLES), FFT)
        return mel_cepstra(np.abs(spectra) ** 2 + PERIODOGRAM_FLOOR)[:, 1:]

    return recording.once("mel_cepstra", compute)


def distortion(reference: Cepstra, degraded: Cepstra) -> float:
    """Mel-cepstral distortion in dB, frame by frame: mean over t of K·‖c_t − ĉ_t‖₂.

    Args:
        reference, degraded: (T, order) cepstra without c0, of one length.
    """
    return float(K_DB * np.linalg.norm(reference - degraded, axis=1).mean())


def distortion_dtw(reference: Cepstra, degraded: Cepstra) -> float:
    """MCD in dB along the dynamic-time-warping path that makes its sum least, mean over the path.

    Args:
        reference, degraded: (T1, order), (T2, order) cepstra without c0.
    """
    squares = (reference**2).sum(axis=1)[:, None] + (degraded**2).sum(axis=1)[None, :]
    distances = np.sqrt(np.maximum(squares - 2 * reference @ degraded.T, 0.0))
    path = dtw_path(distances)
    return float(K_DB * distances[path[:, 0], path[:, 1]].mean())


def paired_cepstra(pair: Pair) -> tuple[Cepstra, Cepstra]:
    """(reference, degraded) cepstra cut to the shorter one."""
    pair.check_lengths()
    reference, degraded = cepstra(pair.reference), cepstra(pair.degraded)
    n = min(len(reference), len(degraded))
    return reference[:n], degraded[:n]


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
    """Mel-cepstral distortion in dB, lower is better: SPTK's mel-cepstra 1–24 (25 ms windows every 5 ms,
    frequency warping 0.42), Kominek's constant 10√2/ln 10, c0 left out.

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
        return distortion_dtw(cepstra(pair.reference), cepstra(pair.degraded))
    return distortion(*paired_cepstra(pair))


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
            f"Mel-cepstral distortion, mean over frames of (10√2/ln 10)·‖c − ĉ‖ with SPTK's "
            f"mel-cepstra 1–{ORDER} (c0 left out; {SCORING_RATE_HZ / 1000:.0f} kHz, warping "
            f"{WARPING}, window {1000 * WINDOW_SAMPLES / SCORING_RATE_HZ:.0f} ms, shift "
            f"{1000 * HOP_SAMPLES / SCORING_RATE_HZ:.0f} ms), silences included, no time warping."
        ),
        citation="Kubichek, IEEE PACRIM 1993; Kominek, Schultz, Black, SLTU 2008",
        parameters={**PARAMETERS, "dtw": False},
        decimals=2,
        revision=2,
    )

    def value(self, pair: Pair) -> float:
        return distortion(*paired_cepstra(pair))


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
        return distortion_dtw(cepstra(pair.reference), cepstra(pair.degraded))


class MelL1(Metric):
    info = MetricInfo(
        name="mel_l1",
        label="Mel L1",
        unit="",
        direction="lower",
        definition=(
            f"Mean absolute difference of natural-log mel magnitudes ({MEL.n_mels} bands, "
            f"{MEL.fmin_hz:.0f}–{MEL.fmax_hz:.0f} Hz, {MEL.sample_rate_hz / 1000:.0f} kHz, FFT "
            f"{MEL.n_fft}, shift {1000 / MEL.frame_rate_hz:.0f} ms); unlike the MCD, it is sensitive "
            "to level."
        ),
        citation="Kong et al. (HiFi-GAN), NeurIPS 2020, eq. 5",
        parameters={"mel": MEL.fingerprint()},
    )

    def value(self, pair: Pair) -> float:
        return mel_mean_l1(*paired_mels(pair))
