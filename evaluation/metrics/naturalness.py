"""Naturalness without the recording, by networks whose weights the user brings: NISQA-TTS, UTMOS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.inputs.pairs import Array, Pair, Unscorable, paired
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import Measured, Metric, MetricInfo
from evaluation.models.weights import require_file, weights_sha256
from manifests.errors import MissingDependency

OFFICIAL_SHA256 = "c556a954cd9536360b4fe6f524ad432816509cd22f436f345b281a7851360656"
"""SHA-256 of `nisqa_tts.tar` (`NISQA_TTS_v1`) as its authors publish it."""
UTMOS_HOW = "give SpeechMOS's utmos22_strong_step7459_v1.pt by --utmos-weights PATH or FACETRON_UTMOS_WEIGHTS"
LONGEST_S = 60.0
"""What is longer is no clip; attention over it takes gigabytes."""
HOW = "give the official nisqa_tts.tar by --nisqa-weights PATH or FACETRON_NISQA_WEIGHTS"


def nisqa_tts(samples: Array, rate_hz: int, weights: Path | str) -> float:
    """Naturalness, about 1 to 5, by NISQA-TTS (Mittag and Möller, 2020) without a reference.

    Args:
        samples: (n,) or (n, channels), floats of full scale ±1 or integers; level and rate both move
            the value.
        rate_hz: of the samples, which are not resampled.
        weights: the official `nisqa_tts.tar`, which is no part of the toolkit (CC BY-NC-SA 4.0).

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> rng = np.random.default_rng(0)
        >>> speech = rng.standard_normal(32_000) * np.sin(np.arange(32_000) / 3000) ** 2 / 8
        >>> noisy = speech + 0.02 * rng.standard_normal(32_000)
        >>> metrics.nisqa_tts(speech, 16_000, "nisqa_tts.tar")  # doctest: +SKIP
        2.3322
    """
    return NisqaTts(Path(weights), any_weights=True).value(paired(None, samples, rate_hz))


class NisqaTts(Metric):
    info = MetricInfo(
        name="nisqa_tts",
        label="NISQA-TTS",
        unit="",
        direction="higher",
        definition=(
            "Naturalness predicted from the file alone, at its own rate and level, which both "
            "influence it. Recordings do not reach 5 (GRID's s1 averages 3.4, s4 4.5), so read it "
            "beside their score."
        ),
        citation="Mittag and Möller, Interspeech 2020",
        license="MIT (the authors' weights: CC BY-NC-SA 4.0)",
        group="headline",
        decimals=2,
        needs_reference=False,
        has_floor=True,
        libraries=("librosa", "torch"),
    )

    def __init__(self, weights: Path | None = None, *, any_weights: bool = False) -> None:
        self.weights, self.any_weights = weights, any_weights
        sha256 = weights_sha256(weights)
        parameters: dict[str, Any] = {"weights_sha256": sha256, "source": sha256}
        note = ""
        if sha256 and sha256 != OFFICIAL_SHA256:
            parameters["official"] = False
            note = f"NISQA-TTS with weights that are not the official ones (sha256 {sha256[:8]}…)."
        self.info = type(self).info.variant(parameters=parameters, note=note)

    @classmethod
    def configured(cls, settings: Settings) -> Metric:
        return cls(settings.nisqa_weights, any_weights=settings.any_nisqa_weights)

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.nisqa_weights is not None

    def require(self) -> None:
        super().require()
        require_file(self.weights, self.info.name, HOW)
        sha256 = self.info.parameters["weights_sha256"]
        if sha256 != OFFICIAL_SHA256 and not self.any_weights:
            raise MissingDependency(
                f"nisqa_tts: {self.weights} is not the official checkpoint (sha256 {sha256[:8]}…, "
                f"not {OFFICIAL_SHA256[:8]}…)",
                f"{HOW}, or accept it with --any-nisqa-weights",
            )

    def measure(self, pair: Pair) -> Measured:
        from evaluation.models.nisqa import TooShort, load_nisqa

        if self.weights is None:
            raise Unscorable("no_weights", "no weights were given")
        # Silence is refused by `sound`: it outscored some real speech.
        sound = pair.degraded.sound
        try:
            value = load_nisqa(self.weights).naturalness(sound.file_mono, sound.file_rate_hz)
        except TooShort as error:
            raise Unscorable("too_short", str(error)) from None
        except ValueError as error:
            raise Unscorable("too_long", str(error)) from None
        details = {"rate_hz": sound.file_rate_hz, "level_dbfs": round(sound.level_dbfs, 2)}
        # Below the fifth digit it depends on the number of threads.
        return Measured(round(value, 5), details=details)


def utmos(samples: Array, rate_hz: int, weights: Path | str) -> float:
    """Naturalness, about 1 to 5, by UTMOS's strong learner (Saeki et al., 2022) without a reference.

    Args:
        samples: (n,) or (n, channels), floats of full scale ±1 or integers; the level moves the value.
        rate_hz: of the samples; they are brought to 16 kHz.
        weights: SpeechMOS's `utmos22_strong_step7459_v1.pt`, which is no part of the toolkit.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `too_long`, …).
        BadInput: arrays that are no sound, or a file that does not hold those weights.

    Example:
        >>> from evaluation import metrics
        >>> metrics.utmos(speech, 16_000, "utmos22_strong_step7459_v1.pt")  # doctest: +SKIP
        3.77
    """
    return Utmos(Path(weights)).value(paired(None, samples, rate_hz))


class Utmos(Metric):
    info = NisqaTts.info.variant(
        name="utmos",
        label="UTMOS",
        definition=(
            "Naturalness (1 to 5) that UTMOS's strong learner predicts from the file alone at 16 kHz; it "
            "learned from opinions on synthesized and converted English. The level moves it. Recordings "
            "do not reach 5, so read it beside their score."
        ),
        citation="Saeki et al. (UTMOS), Interspeech 2022; weights of SpeechMOS",
        license="MIT (the authors' weights: MIT)",
        libraries=("torch",),
    )

    def __init__(self, weights: Path | None = None) -> None:
        self.weights = weights
        sha256 = weights_sha256(weights)
        note = f"UTMOS with the weights of sha256 {sha256[:8]}…." if sha256 else ""
        self.info = type(self).info.variant(
            parameters={"weights_sha256": sha256, "source": sha256}, note=note
        )

    @classmethod
    def configured(cls, settings: Settings) -> Metric:
        return cls(settings.utmos_weights)

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.utmos_weights is not None

    def require(self) -> None:
        super().require()
        require_file(self.weights, self.info.name, UTMOS_HOW)

    def measure(self, pair: Pair) -> Measured:
        from evaluation.models.utmos import load_utmos

        if self.weights is None:
            raise Unscorable("no_weights", "no weights were given")
        sound = pair.degraded.clip_sound(LONGEST_S)  # refuses silence, and what is too short
        value = load_utmos(self.weights).opinion(sound.samples)
        return Measured(round(value, 4), details={"level_dbfs": round(sound.level_dbfs, 2)})
