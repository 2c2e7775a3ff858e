"""Speaker similarity: the voice against the recordings of the run's speakers.

The target is the speaker whose face gave the voice (`voice` of a swap, else the speaker). Each
score is shown beside its floor, the score of the recordings, and beside chance.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.inputs.enrollment import (
    CLIPS,
    Enrolled,
    Enrollment,
    Trials,
    enrolled,
    enrollment_of,
    trials,
)
from evaluation.inputs.pairs import Array, Pair, Recording, RunDir, Unscorable
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import Measured, Metric, MetricInfo
from evaluation.models.ecapa import PARAMETERS, WEIGHTS, embedding_of
from evaluation.models.judges import GE2E
from evaluation.models.weights import weights_sha256
from evaluation.stats.pooling import equal_error_rates
from manifests.records import RunClip

CITATION = "Desplanques, Thienpondt, Demuynck (ECAPA-TDNN), Interspeech 2020"
DIGITS = 4
"""Below them lie the rounding of float32 and the number of threads."""
PAIRED_CLIPS = 5
"""Recordings of each speaker that a voice is paired with, evenly over those that are enrolled."""


def stated_parameters() -> dict[str, Any]:
    """Returns the parameters of network and features; `source` distinguishes scores of other weights."""
    sha256 = weights_sha256(WEIGHTS)
    return {**PARAMETERS, "weights_sha256": sha256, "source": sha256}


def speaker_embedding(samples: Array, rate_hz: int) -> NDArray[np.float64]:
    """Embedding of a voice, (96,) of unit length, by the toolkit's small ECAPA-TDNN (Desplanques et al.,
    2020), which was trained on GRID without s1, s2, s4 and s29.

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
        >>> metrics.speaker_embedding(speech, 16_000).shape
        (96,)
    """
    return embedding_of(Recording(samples, rate_hz))


def speaker_similarity(reference: Array, degraded: Array, rate_hz: int) -> float:
    """Cosine of two voices' embeddings, −1 to 1, higher is more alike. The metric of that name compares
    with the mean over several recordings of a speaker instead.

    Args:
        reference, degraded: samples of any lengths, as for `speaker_embedding`.
        rate_hz: of both.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> rng = np.random.default_rng(0)
        >>> speech = rng.standard_normal(32_000) * np.sin(np.arange(32_000) / 3000) ** 2 / 8
        >>> noisy = speech + 0.02 * rng.standard_normal(32_000)
        >>> round(metrics.speaker_similarity(speech, speech, 16_000), 3)
        1.0
    """
    one, other = (speaker_embedding(samples, rate_hz) for samples in (reference, degraded))
    return float(one @ other)


def equal_error_rate(own: ArrayLike, others: ArrayLike) -> float:
    """Equal error rate of a verification in percent: the rate at the threshold at which as many target
    trials are missed as others are accepted, interpolated linearly between thresholds. Chance is 50.

    Args:
        own: (n,) scores of target trials, higher for more alike, such as `speaker_similarity` of two
            recordings of one speaker.
        others: (m,) scores of trials with other speakers.

    Raises:
        ValueError: a side has no trial, or a score is not finite.

    Example:
        >>> from evaluation import metrics
        >>> metrics.equal_error_rate(own=[0.9, 0.8, 0.7, 0.4], others=[0.1, 0.2, 0.3, 0.5])
        25.0
        >>> metrics.equal_error_rate(own=[0.9, 0.8], others=[0.1, 0.2])
        0.0
    """
    sides = [np.asarray(side, dtype=np.float64).ravel() for side in (own, others)]
    scores = np.concatenate(sides)
    if not all(map(len, sides)) or not np.isfinite(scores).all():
        raise ValueError("an equal error rate needs finite scores of both kinds of trial")
    is_target = np.arange(len(scores)) < len(sides[0])
    trial = np.arange(len(scores))
    return float(equal_error_rates(scores, trial, is_target, np.ones((1, len(scores))))[0])


def speaker_accuracy(
    voices: ArrayLike, targets: Sequence[str], speakers: Mapping[str, ArrayLike]
) -> float:
    """Percentage of voices that are closer to their target speaker than to any other, by the cosine of
    embeddings; a tie is a miss. Chance is 100 divided by the number of speakers.

    Args:
        voices: (N, E) embeddings, such as those of `speaker_embedding`.
        targets: N names, the speaker whom each voice should resemble.
        speakers: name → embedding (E,) of the speaker, such as the mean over recordings.

    Raises:
        ValueError: no voice, fewer than two speakers, a target that is none of them, other shapes, or
            numbers that are not finite.

    Example:
        >>> from evaluation import metrics
        >>> speakers = {"s1": [1.0, 0.0], "s4": [0.0, 1.0]}
        >>> voices = [[0.9, 0.1], [0.8, 0.3], [0.2, 0.7], [0.6, 0.5]]
        >>> metrics.speaker_accuracy(voices, ["s1", "s1", "s4", "s4"], speakers)
        75.0
    """
    names = list(speakers)
    heard = np.asarray(voices, dtype=np.float64)
    known = np.asarray([speakers[name] for name in names], dtype=np.float64)
    if len(names) < 2 or not set(targets) <= set(names):
        raise ValueError("a speaker accuracy needs two speakers or more, the targets among them")
    if heard.shape != (len(targets), known.shape[-1]) or known.ndim != 2 or not len(heard):
        raise ValueError(f"voices of shape {heard.shape}, speakers of shape {known.shape}")
    if not (np.isfinite(heard).all() and np.isfinite(known).all()):
        raise ValueError("an embedding is not finite")
    # The length of a voice changes nothing about which speaker is the nearest.
    cosines = heard @ (known / np.linalg.norm(known, axis=1, keepdims=True)).T
    own = np.arange(len(heard)), np.array([names.index(target) for target in targets])
    mine = cosines[own]
    cosines[own] = -np.inf
    return float(100 * np.mean(mine > cosines.max(axis=1)))


class Speaker(Metric):
    """Base of the metrics that compare a voice with the run's speakers."""

    def __init__(self) -> None:
        parameters = {**self.network_parameters(), "enrollment_clips": CLIPS}
        self.info = type(self).info.variant(parameters=parameters)
        self.enrollment: Enrollment | None = None

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        """ECAPA judges by default where it errs less than GE2E, which is on SynthGRID alone, and where GE2E
        is absent."""
        return settings.synthgrid or not GE2E.found

    def network_parameters(self) -> dict[str, Any]:
        return stated_parameters()

    def heard(self, recording: Recording) -> NDArray[np.float64]:
        """Returns the embedding of a voice. Raises `Unscorable`."""
        return embedding_of(recording)

    def known(self, enrollment: Enrollment) -> dict[str, Enrolled]:
        """Returns the embeddings of the run's speakers."""
        return enrolled(enrollment)

    def for_run(self, run: RunDir) -> Metric:
        bound = copy.copy(self)
        bound.enrollment = enrollment_of(run)
        return bound

    def target(self, clip: RunClip) -> str:
        return clip.voice or clip.speaker

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        known = self.enrollment.sha256 if self.enrollment else ""
        return [self.target(clip), clip.clip_id, known]

    def trials(self, pair: Pair) -> Trials:
        """Cosines of the clip's voice with every speaker, computed once. Raises `Unscorable`."""
        voice = self.heard(pair.degraded)
        voices = self.voices()
        clip, target = pair.clip, self.target(pair.clip)
        key = f"speakers {self.info.parameters['source']}"
        return pair.once(key, lambda: trials(voice, target, clip.clip_id, voices))

    def voices(self) -> dict[str, Enrolled]:
        """Returns the run's speakers. Raises `Unscorable`."""
        if self.enrollment is None:
            raise Unscorable("no_enrollment", "no run with speakers to compare with was given")
        return self.known(self.enrollment)

    def contest(self, pair: Pair) -> Trials:
        """Returns `trials` where the run holds another speaker. Raises `Unscorable`."""
        found = self.trials(pair)
        if not found.others:
            raise Unscorable("one_speaker", "the run holds recordings of one speaker only")
        return found


class SpeakerSimilarity(Speaker):
    info = MetricInfo(
        name="speaker_similarity",
        label="Speaker sim. (ECAPA)",
        unit="",
        direction="higher",
        highest=1.0,
        definition=(
            "Cosine of the voice's embedding (a small ECAPA-TDNN trained on GRID without s1, s2, s4 "
            "and s29) with the mean embedding of the target speaker's other recordings in the "
            f"run, {CLIPS} at most; the target is the speaker whose face gave the voice. Chance: the "
            "mean cosine with the other speakers."
        ),
        citation=CITATION,
        license="Apache-2.0 (SpeechBrain)",
        group="voice",
        decimals=3,
        needs_reference=False,
        has_floor=True,
        libraries=("speechbrain", "torch"),
    )

    def measure(self, pair: Pair) -> Measured:
        found = self.trials(pair)
        details: dict[str, Any] = {"target": found.target}
        if found.others:
            details["chance"] = round(sum(found.others.values()) / len(found.others), DIGITS)
        return Measured(round(found.own, DIGITS), details=details)


class SpeakerAccuracy(Speaker):
    info = SpeakerSimilarity.info.variant(
        name="speaker_accuracy",
        label="Speaker ID (ECAPA)",
        unit="%",
        definition=(
            "Percentage of clips whose voice is closer to the target speaker than to any other speaker "
            "of the run, by the same embeddings. Chance: one of the run's speakers at random."
        ),
        decimals=1,
        has_floor=True,
    )

    def measure(self, pair: Pair) -> Measured:
        found = self.contest(pair)
        details = {
            "target": found.target,
            "nearest": found.nearest,
            "chance": round(100 / (1 + len(found.others)), DIGITS),
        }
        return Measured(100.0 * (found.nearest == found.target), details=details)


class SpeakerEer(Speaker):
    info = SpeakerSimilarity.info.variant(
        name="speaker_eer",
        label="Speaker EER (ECAPA)",
        unit="%",
        highest=100.0,
        direction="lower",
        definition=(
            "Equal error rate of the verification of the target speaker (one trial per clip) against "
            "the others (one trial per clip and speaker) by those cosines, with one threshold for the "
            "whole run. The score of a single clip is the percentage of other speakers that are at "
            "least as close. Chance: 50 %."
        ),
        decimals=1,
        pool="eer",
        has_floor=True,
    )

    def measure(self, pair: Pair) -> Measured:
        found = self.contest(pair)
        own = round(found.own, DIGITS)
        others = [round(value, DIGITS) for value in found.others.values()]
        nearer = 100.0 * sum(value >= own for value in others) / len(others)
        return Measured(nearer, details={"own": own, "others": others, "chance": 50.0})


def accuracy_definition(network: str) -> str:
    """Returns the definition that `SpeakerAccuracy` prints, of another network that hears the voices."""
    return (
        f"Percentage of clips whose voice {network} finds closer to the target speaker than to any other "
        "speaker of the run. Chance: one of the run's speakers at random."
    )


def pairwise_definition(network: str) -> str:
    """Returns the definition that `PairwiseEer` prints, of the network that hears the voices."""
    return (
        f"Equal error rate of pairwise verification by {network}: each voice against single recordings "
        f"of the target speaker and of all others, {PAIRED_CLIPS} of each, never its own, with one "
        "threshold for the whole run. The score of a single clip is the percentage of its pairs of "
        "a trial with the target and one with another speaker in which the other is at least as "
        "close. Chance: 50 %."
    )


class PairwiseEer(SpeakerEer):
    """Base of the equal error rates of a voice against single recordings."""

    def __init__(self) -> None:
        super().__init__()
        self.info = self.info.variant(
            parameters={**self.info.parameters, "paired_clips": PAIRED_CLIPS}
        )

    def measure(self, pair: Pair) -> Measured:
        self.contest(pair)  # raises where there is nobody to compare with
        voice, target = self.heard(pair.degraded), self.target(pair.clip)
        own: list[float] = []
        others: list[float] = []
        for speaker, known in self.voices().items():
            kept = [i for i, name in enumerate(known.clips) if name != pair.clip.clip_id]
            if kept:
                most = min(PAIRED_CLIPS, len(kept))
                chosen = np.linspace(0, len(kept) - 1, most).round().astype(int)
                cosines = known.embeddings[[kept[i] for i in chosen]] @ voice
                found = own if speaker == target else others
                found += [round(float(value), DIGITS) for value in cosines]
        if not others:
            raise Unscorable("one_speaker", "the run holds recordings of one speaker only")
        nearer = np.mean([[other >= mine for other in others] for mine in own])
        return Measured(100 * float(nearer), details={"own": own, "others": others, "chance": 50.0})
