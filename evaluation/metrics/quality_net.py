"""A degradation index without the recording, by a network that comes with the toolkit.

It was trained to predict PESQ of recordings with artificial damage, and orders such damage. On what
published systems synthesize it does not follow PESQ, so it is no measure of quality.
"""

from __future__ import annotations

from pathlib import Path

from evaluation.inputs.pairs import SCORING_RATE_HZ, Array, Pair, Unscorable, paired
from evaluation.metrics.base import Measured, Metric, MetricInfo
from evaluation.models.shipped import open_shipped
from evaluation.models.weights import weights_sha256
from manifests.errors import BadInput, MissingDependency

WEIGHTS = Path(__file__).parents[1] / "weights" / "quality.safetensors"

CAVEAT = (
    "It does not follow PESQ or listeners on synthesized speech, and hears neither whether a voice is "
    "natural nor whether the words are right."
)


def degradation_index(samples: Array, rate_hz: int) -> float:
    """Returns how free of noise, clipping and coding a sound is, 1.02 (much damage) to 4.64 (none), by
    a network of the toolkit that was trained on PESQ of artificial damage.

    Args:
        samples: (n,) or (n, channels), floats of full scale ±1 or integers.
        rate_hz: of the samples; they are brought to 16 kHz.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> rng = np.random.default_rng(0)
        >>> speech = rng.standard_normal(32_000) * np.sin(np.arange(32_000) / 3000) ** 2 / 8
        >>> noisy = speech + 0.02 * rng.standard_normal(32_000)
        >>> 1 < metrics.degradation_index(noisy, 16_000) < 4.65
        True
    """
    return DegradationIndex().value(paired(None, samples, rate_hz))


class DegradationIndex(Metric):
    info = MetricInfo(
        name="degradation_index",
        label="Degradation index",
        unit="",
        direction="higher",
        definition=(
            "How free of noise, clipping and coding the speech is (1.02 to 4.64), by a network of this "
            f"toolkit that was trained on artificial damage. {CAVEAT} Level is normalized; recordings "
            "do not reach 4.64, so read it beside their score."
        ),
        citation="this toolkit; architecture after Mittag et al., Interspeech 2021",
        group="headline",
        decimals=2,
        needs_reference=False,
        has_floor=True,
        libraries=("torch",),
    )

    def __init__(self) -> None:
        parameters = {
            "weights_sha256": weights_sha256(WEIGHTS),
            "sample_rate_hz": SCORING_RATE_HZ,
        }
        self.info = type(self).info.variant(parameters=parameters)

    def require(self) -> None:
        super().require()
        try:
            open_shipped(WEIGHTS)
        except BadInput as error:
            raise MissingDependency(f"degradation_index: {error.problem}", error.remedy) from None

    def measure(self, pair: Pair) -> Measured:
        from evaluation.models.quality_net import LengthUnfit, load_quality_net

        # Silence is refused by `sound`.
        sound = pair.degraded.sound
        try:
            network = load_quality_net(WEIGHTS)
        except BadInput as error:  # replaced since `require`
            raise Unscorable("weights", str(error)) from None
        try:
            value, level_dbov = network.quality(sound.samples)
        except LengthUnfit as error:
            raise Unscorable(error.reason, str(error)) from None
        details = {
            "rate_hz": sound.file_rate_hz,
            "level_dbfs": round(sound.level_dbfs, 2),
            "active_level_dbov": round(level_dbov, 2),
        }
        # Below the fifth digit it depends on the number of threads.
        return Measured(round(value, 5), details=details)
