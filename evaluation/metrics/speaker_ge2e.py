"""Speakers by GE2E, a network that was trained on thousands of speakers and none of GRID's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.enrollment import Enrolled, Enrollment, enrolled_by_ge2e
from evaluation.inputs.pairs import Recording
from evaluation.inputs.settings import Settings
from evaluation.metrics.speaker import (
    PairwiseEer,
    Speaker,
    SpeakerAccuracy,
    SpeakerEer,
    SpeakerSimilarity,
    accuracy_definition,
    pairwise_definition,
)
from evaluation.models.ge2e import LEAST_S, embedding_of
from evaluation.models.judges import GE2E
from manifests.ge2e import PARAMETERS

SOURCE: dict[str, Any] = {
    "citation": "Wan, Wang, Papir, Lopez Moreno (GE2E), ICASSP 2018; Resemblyzer 0.1.4",
    "license": "Apache-2.0 (Resemblyzer, code and weights)",
    "libraries": ("torch",),
}


class ByGe2e(Speaker):
    """Base of the metrics by GE2E; stands before the metric of ECAPA whose measure it takes over."""

    judge = GE2E

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return True

    def network_parameters(self) -> dict[str, Any]:
        return {**PARAMETERS, "least_s": LEAST_S, "source": PARAMETERS["weights_sha256"]}

    def heard(self, recording: Recording) -> NDArray[np.float64]:
        return embedding_of(recording)

    def known(self, enrollment: Enrollment) -> dict[str, Enrolled]:
        return enrolled_by_ge2e(enrollment)


class Ge2eSimilarity(ByGe2e, SpeakerSimilarity):
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


class Ge2eAccuracy(ByGe2e, SpeakerAccuracy):
    info = SpeakerAccuracy.info.variant(
        name="ge2e_accuracy",
        label="Speaker ID (GE2E)",
        definition=accuracy_definition("GE2E"),
        **SOURCE,
    )


class Ge2eEer(ByGe2e, PairwiseEer):
    info = SpeakerEer.info.variant(
        name="ge2e_eer",
        label="Speaker EER (GE2E)",
        definition=pairwise_definition("GE2E"),
        **SOURCE,
    )
