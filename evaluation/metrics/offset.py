"""The constant delay of a system, found by cross-correlation, and the signals with it removed.

Waveforms do not correlate where a vocoder has generated new phases, so band envelopes are compared:
24 log-mel bands every 2 ms, each with its own mean removed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from evaluation.inputs.pairs import SCORING_RATE_HZ, Array, Pair, Recording, Samples, paired
from evaluation.metrics.base import Metric, MetricInfo
from manifests.mel import mel_spectrogram
from manifests.specs import MelSpec

ENVELOPES = MelSpec(
    n_fft=512, win_samples=512, hop_samples=32, n_mels=24, fmin_hz=80.0, fmax_hz=7000.0, floor=1e-3
)
LARGEST_OFFSET_S = 0.2

PARAMETERS = {"largest_offset_s": LARGEST_OFFSET_S, "envelopes": ENVELOPES.fingerprint()}


def envelopes(samples: Samples) -> NDArray[np.float64]:
    """(24, T) log band envelopes at 500 Hz, zero mean in each band."""
    bands = mel_spectrogram(samples, ENVELOPES).astype(np.float64)
    return np.asarray(bands - bands.mean(axis=1, keepdims=True))


def find_offset(
    reference: NDArray[np.float64], degraded: NDArray[np.float64], largest_frames: int
) -> float:
    """Delay of `degraded` behind `reference`, in frames with a fraction, |delay| ≤ largest_frames.

    Args:
        reference, degraded: (bands, T1), (bands, T2) zero-mean envelopes.
        largest_frames: end of the search in both directions.

    The lag maximizes the cross-correlation summed over bands and divided by the norms of the parts
    that overlap at that lag (so that a short overlap is not punished); a parabola through the
    maximum and its neighbors gives the fraction.
    """
    t1, t2 = reference.shape[1], degraded.shape[1]
    n = fft.next_fast_len(t1 + t2, real=True)
    spectrum = np.conj(fft.rfft(reference, n)) * fft.rfft(degraded, n)
    circular = fft.irfft(spectrum.sum(axis=0), n)
    largest_frames = min(largest_frames, t1 - 2, t2 - 2)
    lags = np.arange(-largest_frames, largest_frames + 1)
    energy1 = np.concatenate([[0.0], np.cumsum((reference**2).sum(axis=0))])
    energy2 = np.concatenate([[0.0], np.cumsum((degraded**2).sum(axis=0))])
    # At lag d, reference[t] meets degraded[t + d].
    start, stop = np.maximum(0, -lags), np.minimum(t1, t2 - lags)
    overlap1 = energy1[stop] - energy1[start]
    overlap2 = energy2[stop + lags] - energy2[start + lags]
    score = circular[lags % n] / np.sqrt(np.maximum(overlap1 * overlap2, 1e-20))
    best = int(np.argmax(score))
    fraction = 0.0
    if 0 < best < len(score) - 1:
        left, middle, right = score[best - 1 : best + 2]
        curvature = left - 2 * middle + right
        if curvature < 0:
            fraction = float(0.5 * (left - right) / curvature)
    return float(lags[best]) + fraction


def offset_samples(pair: Pair) -> int:
    """Delay of the degraded signal behind the recording, samples at 16 kHz, computed once."""

    def bands(recording: Recording) -> NDArray[np.float64]:
        return recording.once("offset_envelopes", lambda: envelopes(recording.samples))

    def compute() -> int:
        pair.check_lengths()
        frames = find_offset(
            bands(pair.reference),
            bands(pair.degraded),
            round(LARGEST_OFFSET_S * ENVELOPES.frame_rate_hz),
        )
        return round(frames * ENVELOPES.hop_samples)

    return pair.once("offset_samples", compute)


def aligned(pair: Pair) -> tuple[Samples, Samples]:
    """(reference, degraded) with the delay taken out, cut to where both exist."""
    delay = offset_samples(pair)
    reference = pair.reference.samples[max(0, -delay) :]
    degraded = pair.degraded.samples[max(0, delay) :]
    n = min(len(reference), len(degraded))
    return reference[:n], degraded[:n]


def offset_ms(reference: Array, degraded: Array, rate_hz: int) -> float:
    """Constant delay of the speech behind the recording in milliseconds, positive when late, within
    ±200 ms: the maximum of the normalized cross-correlation of band envelopes.

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
        >>> late = np.concatenate([np.zeros(320), speech])  # 20 ms
        >>> round(metrics.offset_ms(speech, late, 16_000))
        20
    """
    return offset_samples(paired(reference, degraded, rate_hz)) / SCORING_RATE_HZ * 1000


class OffsetMs(Metric):
    info = MetricInfo(
        name="offset_ms",
        label="Offset",
        unit="ms",
        direction="none",
        definition=(
            "Constant delay behind the recording, positive for late speech: the maximum of the "
            "normalized cross-correlation of 24 log-mel band envelopes (2 ms), searched within "
            f"±{LARGEST_OFFSET_S * 1000:.0f} ms."
        ),
        citation="this toolkit",
        parameters=PARAMETERS,
        group="aligned",
        decimals=1,
    )

    def value(self, pair: Pair) -> float:
        return offset_samples(pair) / SCORING_RATE_HZ * 1000
