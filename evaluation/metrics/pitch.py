"""F0 error in cents, voicing error and F0 correlation, from one pYIN track per file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import Array, Pair, Recording, Samples, Unscorable, paired
from evaluation.inputs.pitch import (
    FMAX_HZ,
    FMIN_HZ,
    GATE_DB,
    HIGHPASS_HZ,
    LEAST_VOICED_FRAMES,
    PARAMETERS,
    f0_of,
)
from evaluation.metrics.base import Metric, MetricInfo


@dataclass(frozen=True)
class F0Comparison:
    """Two F0 tracks compared; `rmse_cents` and `correlation` are None where too few frames are
    voiced in both, or where a track does not move.

    Attributes:
        n_frames, n_voiced_both: frames compared; those voiced in both.
        vuv_error_percent: frames voiced in one and unvoiced in the other, of all.
    """

    n_frames: int
    n_voiced_both: int
    vuv_error_percent: float
    rmse_cents: float | None
    correlation: float | None


def f0_metrics(reference_hz: Samples, degraded_hz: Samples) -> F0Comparison:
    """Compares two (T,) F0 tracks in Hz, NaN where unvoiced, cut to the shorter one.

    Correlation is Pearson's on log F0.
    """
    n = min(len(reference_hz), len(degraded_hz))
    a, b = reference_hz[:n], degraded_hz[:n]
    both = np.isfinite(a) & np.isfinite(b)
    n_both = int(both.sum())
    rmse: float | None = None
    correlation: float | None = None
    if n_both >= LEAST_VOICED_FRAMES:
        log_a, log_b = np.log2(a[both]), np.log2(b[both])
        rmse = float(1200 * np.sqrt(np.mean((log_a - log_b) ** 2)))
        if log_a.std() > 1e-9 and log_b.std() > 1e-9:
            correlation = float(np.corrcoef(log_a, log_b)[0, 1])
    error = 100 * float(np.mean(np.isfinite(a) != np.isfinite(b))) if n else float("nan")
    return F0Comparison(n, n_both, error, rmse, correlation)


def compare(pair: Pair) -> F0Comparison:
    def compute() -> F0Comparison:
        pair.check_lengths()
        return f0_metrics(f0_of(pair.reference), f0_of(pair.degraded))

    return pair.once("f0_comparison", compute)


def f0_errors(reference: Array, degraded: Array, rate_hz: int) -> F0Comparison:
    """F0 RMSE in cents, voicing error in percent and Pearson correlation of log F0, from two pYIN tracks
    (Mauch and Dixon, 2014; librosa) of a frame every 20 ms.

    Args:
        reference: (n,) or (n, channels) samples of the recording, floats of full scale ±1 or integers.
        degraded: the same of the speech that is scored, at most 0.25 s shorter or longer; the longer
            one is cut at its end.
        rate_hz: of both; they are brought to 16 kHz.

    Returns:
        The comparison; RMSE and correlation are None where fewer than 10 frames are voiced in both.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> t = np.arange(16_000) / 16_000
        >>> voice = [sum(np.sin(2 * np.pi * k * f * t) / k for k in range(1, 20)) / 8 for f in (120, 126)]
        >>> round(metrics.f0_errors(voice[0], voice[1], 16_000).rmse_cents, -1)  # 12 · 100 · log2(1.05) = 84
        80.0
    """
    return compare(paired(reference, degraded, rate_hz))


def f0_hz(samples: Array, rate_hz: int) -> NDArray[np.float64]:
    """F0 in Hz every 20 ms by pYIN (librosa), (T,), NaN where unvoiced.

    Args:
        samples: (n,) or (n, channels), floats of full scale ±1 or integers.
        rate_hz: of the samples; they are brought to 16 kHz.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> t = np.arange(16_000) / 16_000
        >>> buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20)) / 8
        >>> bool(abs(np.nanmedian(metrics.f0_hz(buzz, 16_000)) - 120) < 2)
        True
    """
    return f0_of(Recording(samples, rate_hz))


class F0Rmse(Metric):
    info = MetricInfo(
        name="f0_rmse",
        label="F0 RMSE",
        unit="cents",
        direction="lower",
        definition=(
            "Root mean square of the F0 difference in cents over the frames voiced in both signals "
            f"(pYIN, {FMIN_HZ:.0f}–{FMAX_HZ:.0f} Hz, every 20 ms, high-passed at "
            f"{HIGHPASS_HZ:.0f} Hz; frames {GATE_DB:.0f} dB below the loudest are unvoiced; at least "
            f"{LEAST_VOICED_FRAMES} frames)."
        ),
        citation="Mauch and Dixon (pYIN), ICASSP 2014",
        license="ISC",
        parameters={**PARAMETERS, "least_voiced_frames": LEAST_VOICED_FRAMES},
        decimals=0,
        libraries=("librosa",),
    )

    def value(self, pair: Pair) -> float:
        comparison = compare(pair)
        if comparison.rmse_cents is None:
            raise Unscorable(
                "too_few_voiced", f"{comparison.n_voiced_both} frames are voiced in both"
            )
        return comparison.rmse_cents


class VuvError(Metric):
    info = F0Rmse.info.variant(
        name="vuv_error",
        label="V/UV error",
        unit="%",
        definition="Percentage of frames that are voiced in one signal and unvoiced in the other.",
        parameters=PARAMETERS,
        decimals=1,
    )

    def value(self, pair: Pair) -> float:
        return compare(pair).vuv_error_percent


class F0Correlation(Metric):
    info = F0Rmse.info.variant(
        name="f0_corr",
        label="F0 corr.",
        unit="",
        direction="higher",
        highest=1.0,
        definition="Pearson correlation of log F0 over the frames voiced in both signals.",
        decimals=3,
    )

    def value(self, pair: Pair) -> float:
        comparison = compare(pair)
        if comparison.correlation is None:
            raise Unscorable(
                "too_few_voiced",
                f"{comparison.n_voiced_both} frames are voiced in both, or one track is constant",
            )
        return comparison.correlation
