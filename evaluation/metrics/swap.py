"""Swaps (Table III of the paper): lips of one speaker, face of another. The words must follow the
lips, which the WER against the lips' sentence measures; the voice must follow the face, measured here.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.inputs.pairs import Array, Pair, Recording, RunDir, Unscorable
from evaluation.inputs.pitch import LEAST_VOICED_FRAMES, PARAMETERS, median_f0_hz
from evaluation.inputs.settings import Settings
from evaluation.inputs.speaker_recordings import recordings
from evaluation.metrics.base import Measured, Metric, MetricInfo
from evaluation.metrics.speaker import Speaker, SpeakerSimilarity, speaker_similarity
from evaluation.metrics.speaker_ge2e import SOURCE, ByGe2e
from evaluation.models.weights import weights_sha256
from manifests.records import RunClip

SPEAKER_CLIPS = 5
"""Recordings that a speaker's F0 is taken from: their medians differ by a tenth at most."""
APART_CENTS = 200.0
"""Least difference of two speakers' F0 at which F0 distinguishes them."""


def is_swap(clip: RunClip) -> bool:
    return bool(clip.voice) and clip.voice != clip.speaker


def check_swap(clip: RunClip) -> None:
    """Raises `Unscorable("no_swap")` for lips and face of one speaker."""
    if not is_swap(clip):
        raise Unscorable("no_swap", "lips and face are of the same speaker")


@lru_cache(maxsize=256)
def speaker_f0_hz(clips: tuple[tuple[Path, str], ...]) -> float | None:
    """Median over (recording, its sha256) of their median F0, listened to once a process; None where
    none of them has a voice."""
    found = []
    for path, _ in clips:
        try:
            found.append(median_f0_hz(Recording(path)))
        except Unscorable:
            continue  # silent or broken: its own scores say so
    return float(np.median(found)) if found else None


def cents(higher_hz: float, lower_hz: float) -> float:
    return 1200 * math.log2(higher_hz / lower_hz)


def check_apart(voice_hz: float, lips_hz: float) -> None:
    """Raises `Unscorable("voices_alike")` where two F0 are less than `APART_CENTS` apart."""
    apart = abs(cents(voice_hz, lips_hz))
    if apart < APART_CENTS:
        raise Unscorable("voices_alike", f"the speakers' F0 are {apart:.0f} cents apart")


def moved_share(speech_hz: float, voice_hz: float, lips_hz: float) -> float:
    """Position of an F0 between that of the lips' speaker (0) and that of the face's speaker (1), on a
    scale of cents. Raises `Unscorable("voices_alike")`."""
    check_apart(voice_hz, lips_hz)
    return cents(speech_hz, lips_hz) / cents(voice_hz, lips_hz)


def f0_to_voice(speech: Array, voice: Array, rate_hz: int) -> float:
    """Distance of two voices in cents: of their median F0 (pYIN as for `f0_errors`). The metric
    `f0_voice` takes the median over several recordings of the speaker instead of one.

    Args:
        speech, voice: (n,) or (n, channels) samples of any lengths, floats of full scale ±1 or
            integers; `voice` is of the speaker whose face gave the voice.
        rate_hz: of both; they are brought to 16 kHz.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `too_few_voiced`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> t = np.arange(16_000) / 16_000
        >>> buzz = lambda hz: sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 20)) / 8
        >>> round(metrics.f0_to_voice(buzz(110), buzz(220), 16_000), -1)  # an octave
        1200.0
    """
    speech_hz, voice_hz = (median_f0_hz(Recording(s, rate_hz)) for s in (speech, voice))
    return abs(cents(speech_hz, voice_hz))


def f0_moved(speech: Array, voice: Array, lips: Array, rate_hz: int) -> float:
    """Returns how far the F0 of a swap went from the lips' speaker to the face's speaker: 0 is the
    median F0 of the former, 1 that of the latter, on a scale of cents. Above 0.5 the F0 follows the
    face, which is what the metric `f0_follows` counts.

    Args:
        speech: samples of the swap: lips of one speaker, face of another; as for `f0_to_voice`.
        voice, lips: samples of a recording of the face's speaker and of the lips' speaker.
        rate_hz: of all three.

    Raises:
        Unscorable: there is no value: `voices_alike` (less than 200 cents apart), `too_few_voiced`, …
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> t = np.arange(16_000) / 16_000
        >>> buzz = lambda hz: sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 20)) / 8
        >>> lips, voice, speech = buzz(110), buzz(220), buzz(200)
        >>> round(metrics.f0_moved(speech, voice, lips, 16_000), 1)
        0.9
    """
    return moved_share(*(median_f0_hz(Recording(s, rate_hz)) for s in (speech, voice, lips)))


def voice_follows(speech: Array, voice: Array, lips: Array, rate_hz: int) -> bool:
    """Returns whether the voice of a swap is closer to the face's speaker than to the lips' speaker, by
    the cosines of `speaker_similarity`. The metric of that name compares with the mean over several
    recordings of each speaker instead of one.

    Args:
        speech, voice, lips: samples, as for `f0_moved`.
        rate_hz: of all three.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `too_little_speech`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> rng = np.random.default_rng(0)
        >>> one = rng.standard_normal(32_000) * np.sin(np.arange(32_000) / 3000) ** 2 / 8
        >>> other = np.convolve(one, np.ones(6) / 6, "same")
        >>> metrics.voice_follows(one, one, other, 16_000), metrics.voice_follows(one, other, one, 16_000)
        (True, False)
    """
    to_voice, to_lips = (speaker_similarity(side, speech, rate_hz) for side in (voice, lips))
    return to_voice > to_lips


def has_swaps(run: RunDir) -> bool:
    return any(map(is_swap, run.clips))


class SpeakerF0(Metric):
    """A comparison of the F0 of the speech with that of speakers' recordings."""

    def __init__(self) -> None:
        self.clips: dict[str, tuple[tuple[Path, str], ...]] = {}

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.swaps

    def for_run(self, run: RunDir) -> Metric:
        bound = copy.copy(self)
        bound.clips = {
            speaker: tuple((path, weights_sha256(path)) for path in paths.values())
            for speaker, paths in recordings(run, SPEAKER_CLIPS).items()
        }
        return bound

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        speakers = (clip.speaker, clip.voice or clip.speaker)
        content = [[sha for _, sha in self.clips.get(speaker, ())] for speaker in speakers]
        return [*speakers, hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]]

    def of_speaker(self, speaker: str) -> float:
        """Raises `Unscorable("no_recordings")`."""
        found = speaker_f0_hz(self.clips.get(speaker, ()))
        if found is None:
            raise Unscorable(
                "no_recordings", f"neither run nor build holds a voiced recording of {speaker}"
            )
        return found


class F0ToVoice(SpeakerF0):
    info = MetricInfo(
        name="f0_voice",
        label="F0 to voice",
        unit="cents",
        direction="lower",
        definition=(
            "Distance of the speech's median F0 from that of the speaker whose face gave the voice "
            f"(median over {SPEAKER_CLIPS} real recordings at most; pYIN as for the F0 RMSE)."
        ),
        citation="this toolkit",
        license="ISC (librosa)",
        parameters={
            **PARAMETERS, "least_voiced_frames": LEAST_VOICED_FRAMES, "speaker_clips": SPEAKER_CLIPS,
        },
        group="voice",
        decimals=0,
        needs_reference=False,
        libraries=("librosa",),
    )  # fmt: skip

    def measure(self, pair: Pair) -> Measured:
        voice = pair.clip.voice or pair.clip.speaker
        speech_hz, voice_hz = median_f0_hz(pair.degraded), self.of_speaker(voice)
        details = {"f0_hz": round(speech_hz, 1), "voice": voice, "voice_f0_hz": round(voice_hz, 1)}
        return Measured(abs(cents(speech_hz, voice_hz)), details=details)


class F0Follows(SpeakerF0):
    info = F0ToVoice.info.variant(
        name="f0_follows",
        label="F0 follows face",
        unit="%",
        direction="higher",
        definition=(
            "Percentage of swaps whose median F0 is closer to that of the face's speaker than to that of "
            f"the lips' speaker, where the two differ by {APART_CENTS:.0f} cents or more. Chance: 50 %."
        ),
        parameters={**F0ToVoice.info.parameters, "apart_cents": APART_CENTS},
        decimals=1,
    )

    def applies(self, run: RunDir) -> bool:
        return has_swaps(run)

    def measure(self, pair: Pair) -> Measured:
        check_swap(pair.clip)
        voice_hz, lips_hz = self.of_speaker(pair.clip.voice), self.of_speaker(pair.clip.speaker)
        check_apart(voice_hz, lips_hz)  # before the F0 of the speech, which takes long
        speech_hz = median_f0_hz(pair.degraded)
        moved = moved_share(speech_hz, voice_hz, lips_hz)
        details = {
            "f0_hz": round(speech_hz, 1),
            "voice_f0_hz": round(voice_hz, 1),
            "lips_f0_hz": round(lips_hz, 1),
            "moved": round(moved, 3),
            "chance": 50.0,
        }
        return Measured(100.0 * (moved > 0.5), details=details)


class VoiceFollows(Speaker):
    info = SpeakerSimilarity.info.variant(
        name="voice_follows",
        label="Voice follows face (ECAPA)",
        unit="%",
        definition=(
            "Percentage of swaps whose voice is closer to the face's speaker than to the lips' speaker, by "
            "the embeddings of the speaker similarity (ECAPA). Chance: 50 %."
        ),
        decimals=1,
        has_floor=False,
    )

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.swaps and super().wanted(settings)

    def applies(self, run: RunDir) -> bool:
        return has_swaps(run)

    def measure(self, pair: Pair) -> Measured:
        check_swap(pair.clip)
        found = self.contest(pair)
        lips = found.others.get(pair.clip.speaker)
        if lips is None:
            raise Unscorable(
                "no_enrollment", f"the run holds no other recording of {pair.clip.speaker}"
            )
        details = {"voice": round(found.own, 4), "lips": round(lips, 4), "chance": 50.0}
        return Measured(100.0 * (found.own > lips), details=details)


class VoiceFollowsByGe2e(ByGe2e, VoiceFollows):
    info = VoiceFollows.info.variant(
        name="voice_follows_ge2e",
        label="Voice follows face (GE2E)",
        definition=(
            "Percentage of swaps whose voice GE2E finds closer to the face's speaker than to the lips' "
            "speaker. Chance: 50 %."
        ),
        **SOURCE,
    )

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.swaps
