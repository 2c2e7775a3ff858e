"""Audio-video synchronization without a network: the lip height, from the build's landmarks, against
the loudness of the synthesized speech (`manifests.sync`).

GRID's own recordings are up to a frame early, differently in each clip, so read both measures
beside those of the recordings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs import build_files
from evaluation.inputs.mels import MEL, log_mel
from evaluation.inputs.pairs import Array, Pair, Recording, Unscorable
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import Measured, Metric, MetricInfo
from evaluation.models.weights import weights_sha256
from manifests.records import RunClip
from manifests.sync import (
    CONFIDENT_MARGIN,
    LAG_COST,
    MAX_LAG_FRAMES,
    SPEECH_RANGE,
    SYLLABLE_HZ,
    AvOffset,
    av_offset,
    lip_height_px,
    loudness,
)

PARAMETERS: dict[str, Any] = {
    "mel": MEL.fingerprint(),
    "max_lag_frames": MAX_LAG_FRAMES,
    "syllable_hz": SYLLABLE_HZ,
    "speech_range": SPEECH_RANGE,
    "lag_cost": LAG_COST,
}


def audio_video_offset(lip_height: NDArray[Any], samples: Array, rate_hz: int) -> AvOffset:
    """Offset and correlation of the opening of the lips and the loudness of speech (`manifests.sync`).

    Args:
        lip_height: (T,) opening of the lips at 25 frames per second, in pixels
            (`manifests.sync.lip_height_px` reads it from landmarks).
        samples: (n,) or (n, channels), floats of full scale ±1 or integers.
        rate_hz: of the samples; they are brought to 16 kHz.

    Returns:
        `frames` by which the sound comes after the lips, `correlation` there, and whether the estimate
        is `confident`.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> opening = np.interp(np.arange(75), np.arange(0, 75, 5), np.random.default_rng(2).random(15))
        >>> loud = np.repeat(opening, 640) * np.random.default_rng(0).standard_normal(48_000) / 8
        >>> round(metrics.audio_video_offset(12 * opening, loud, 16_000).frames)
        0
    """
    lips = np.asarray(lip_height, dtype=np.float64)
    return av_offset(lips, loudness(log_mel(Recording(samples, rate_hz))))


class AvSync(Metric):
    """Base of the metrics that compare the loudness of speech with the opening of the clip's lips."""

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.landmarks

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        recording = root / clip.reference if clip.reference else None
        try:
            return [weights_sha256(build_files.artifact(recording, clip, "landmarks"))]
        except Unscorable as failure:
            return [failure.reason]

    def found(self, pair: Pair) -> AvOffset:
        """Raises `Unscorable`: no build, no landmarks, or nothing that moves together."""
        side = pair.degraded
        path = build_files.artifact(pair.reference_path, pair.clip, "landmarks")

        def compute() -> AvOffset:
            lips = lip_height_px(build_files.landmark_points(path))
            return av_offset(lips, loudness(log_mel(side)))

        offset = side.once(f"av_offset {path}", compute)
        if offset.correlation <= 0:
            raise Unscorable(
                "no_movement", "lips and sound do not correlate at any lag within reach"
            )
        return offset

    def measure(self, pair: Pair) -> Measured:
        offset = self.found(pair)
        return Measured(
            self.of(offset),
            details={
                "offset_frames": round(offset.frames, 3),
                "correlation": round(offset.correlation, 4),
                "margin": round(offset.margin, 4),
                "confident": offset.confident,
            },
        )

    def of(self, offset: AvOffset) -> float:
        return offset.frames


class AvOffsetFrames(AvSync):
    info = MetricInfo(
        name="av_offset",
        label="A/V offset",
        unit="frames",
        direction="none",
        definition=(
            "Video frames (40 ms) by which the sound comes after the lips: the lag of the largest "
            "correlation of lip height and loudness, both high-passed "
            f"at {SYLLABLE_HZ} Hz (slower than syllables), within ±{MAX_LAG_FRAMES} frames. Estimates "
            f"whose margin over the second-best lag is under {CONFIDENT_MARGIN} (in the scores' "
            "details) may be a word off."
        ),
        citation="this toolkit (manifests/sync.py)",
        parameters=PARAMETERS,
        group="sync",
        decimals=2,
        needs_reference=False,
        has_floor=True,
    )


class AvCorrelation(AvSync):
    info = AvOffsetFrames.info.variant(
        name="av_correlation",
        label="A/V correlation",
        unit="",
        direction="higher",
        highest=1.0,
        definition=(
            "Correlation of lip height and loudness at the lag of the A/V offset. The lag maximizes it, "
            "so it is above 0 even for speech that is unrelated to the lips."
        ),
        decimals=3,
        has_floor=True,
    )

    def of(self, offset: AvOffset) -> float:
        return offset.correlation
