"""Properties of the files: level, clipping, length and rate. They are never ranked, but recorded
for every clip, since each of them influences some metric."""

from __future__ import annotations

from evaluation.inputs.pairs import FULL_SCALE, LENGTH_TOLERANCE_S, Array, Pair, Recording
from evaluation.metrics.base import Metric, MetricInfo


def level_dbfs(samples: Array, rate_hz: int) -> float:
    """RMS level of a sound in dB relative to full scale.

    Args:
        samples: (n,) or (n, channels), floats of full scale ±1 or integers.
        rate_hz: of the samples; they are brought to 16 kHz.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> round(metrics.level_dbfs(np.full(16_000, 0.5), 16_000), 2)
        -6.02
    """
    return Recording(samples, rate_hz).sound.level_dbfs


class LengthDifference(Metric):
    info = MetricInfo(
        name="length_difference_ms",
        label="Length diff.",
        unit="ms",
        direction="none",
        definition=(
            "Duration of the speech minus duration of the recording; beyond "
            f"±{LENGTH_TOLERANCE_S * 1000:.0f} ms frame-by-frame metrics fail."
        ),
        citation="this toolkit",
        group="input",
        decimals=0,
    )

    def value(self, pair: Pair) -> float:
        return 1000 * (pair.degraded.sound.duration_s - pair.reference.sound.duration_s)


class Level(Metric):
    info = MetricInfo(
        name="level_dbfs",
        label="Level",
        unit="dBFS",
        direction="none",
        definition="RMS level of the whole file; levels are not normalized before scoring.",
        citation="this toolkit",
        group="input",
        decimals=1,
        needs_reference=False,
    )

    def value(self, pair: Pair) -> float:
        return pair.degraded.sound.level_dbfs


class Clipped(Metric):
    info = MetricInfo(
        name="clipped_percent",
        label="Clipped",
        unit="%",
        direction="none",
        definition=f"Percentage of samples with an absolute value ≥ {FULL_SCALE}.",
        citation="this toolkit",
        parameters={"full_scale": FULL_SCALE},
        group="input",
        decimals=3,
        needs_reference=False,
    )

    def value(self, pair: Pair) -> float:
        return 100 * pair.degraded.sound.clipped_share


class SampleRate(Metric):
    info = MetricInfo(
        name="sample_rate_hz",
        label="File rate",
        unit="Hz",
        direction="none",
        definition="Sample rate of the files as stored; all are scored at 16 kHz (resampled by soxr HQ).",
        citation="this toolkit",
        group="input",
        decimals=0,
        needs_reference=False,
        libraries=("soundfile",),
    )

    def value(self, pair: Pair) -> float:
        return float(pair.degraded.sound.file_rate_hz)
