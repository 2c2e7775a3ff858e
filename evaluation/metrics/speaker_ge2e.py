"""Speakers by GE2E, a network that was trained on thousands of speakers and none of GRID's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.enrollment import Enrolled, Enrollment, enrolled_by_ge2e
from evaluation.inputs.pairs import Pair, Recording, Unscorable
from evaluation.metrics.base import Measured
from evaluation.metrics.speaker import (
    DIGITS,
    Speaker,
    SpeakerAccuracy,
    SpeakerEer,
    SpeakerSimilarity,
)
from evaluation.models.ge2e import LEAST_S, embedding_of
from evaluation.models.judges import GE2E
from manifests.ge2e import PARAMETERS

SOURCE: dict[str, Any] = {
    "citation": "Wan, Wang, Papir, Lopez Moreno (GE2E), ICASSP 2018; Resemblyzer 0.1.4",
    "license": "Apache-2.0 (Resemblyzer, code and weights)",
    "libraries": ("torch",),
}
PAIRED_CLIPS = 5
"""Recordings of each speaker that a voice is paired with, evenly over those that are enrolled."""


class _ByGe2e(Speaker):
    judge = GE2E

    def network_parameters(self) -> dict[str, Any]:
        return {**PARAMETERS, "least_s": LEAST_S, "source": PARAMETERS["weights_sha256"]}

    def heard(self, recording: Recording) -> NDArray[np.float64]:
        return embedding_of(recording)

    def known(self, enrollment: Enrollment) -> dict[str, Enrolled]:
        return enrolled_by_ge2e(enrollment)


class Ge2eSimilarity(_ByGe2e, SpeakerSimilarity):
    info = SpeakerSimilarity.info.variant(
        name="ge2e_similarity",
        label="Speaker sim. (GE2E)",
        definition=(
            "Cosine of the voice's embedding by GE2E, an independent network, with the mean embedding "
            "of the target speaker's other recordings in the run, at most 25; the target is the "
            "speaker whose face gave the voice. Its embeddings have no negative values, so that "
            "strangers are alike at about 0.6. Chance: the mean cosine with the other speakers."
        ),
        **SOURCE,
    )


class Ge2eAccuracy(_ByGe2e, SpeakerAccuracy):
    info = SpeakerAccuracy.info.variant(
        name="ge2e_accuracy",
        label="Speaker ID (GE2E)",
        definition=(
            "Percentage of clips whose voice GE2E finds closer to the target speaker than to any other "
            "speaker of the run. Chance: one of the run's speakers at random."
        ),
        **SOURCE,
    )


class Ge2eEer(_ByGe2e, SpeakerEer):
    info = SpeakerEer.info.variant(
        name="ge2e_eer",
        label="Speaker EER (GE2E)",
        definition=(
            "Equal error rate of pairwise verification by GE2E: each voice against single recordings "
            f"of the target speaker and of all others, {PAIRED_CLIPS} of each, never its own, with one "
            "threshold for the whole run. The score of a single clip is the percentage of its pairs of "
            "a trial with the target and one with another speaker in which the other is at least as "
            "close. Chance: 50 %."
        ),
        **SOURCE,
    )

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
