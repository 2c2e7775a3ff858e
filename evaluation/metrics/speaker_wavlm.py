"""Speakers by WavLM with a head for their verification, the measure that papers of speech synthesis print,
from a folder that the user has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.enrollment import Enrolled, Enrollment, enrolled_by_wavlm
from evaluation.inputs.pairs import Recording, Unscorable
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import Metric
from evaluation.metrics.speaker import (
    PairwiseEer,
    Speaker,
    SpeakerAccuracy,
    SpeakerEer,
    SpeakerSimilarity,
    accuracy_definition,
    pairwise_definition,
)
from evaluation.models import wavlm
from evaluation.models.weights import weights_sha256

SOURCE: dict[str, Any] = {
    "citation": "Chen et al. (WavLM), IEEE JSTSP 16(6), 2022",
    "license": "Apache-2.0 (transformers; the network has its own)",
    "libraries": ("transformers", "torch"),
}


class _ByWavlm(Speaker):
    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        super().__init__()
        if folder is not None:
            self.info = self.info.variant(note=f"Speakers by WavLM: {folder.name}.")

    @classmethod
    def configured(cls, settings: Settings) -> Metric:
        return cls(settings.wavlm_weights)

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.wavlm_weights is not None

    def network_parameters(self) -> dict[str, Any]:
        sha256 = weights_sha256(self.folder)
        return {"weights_sha256": sha256, "least_s": wavlm.LEAST_S, "source": sha256}

    def require(self) -> None:
        wavlm.require_folder(self.folder, self.info.name, "--wavlm-weights")
        assert self.folder is not None
        wavlm.check_verifier(wavlm.read_config(self.folder), self.folder)
        super().require()

    def heard(self, recording: Recording) -> NDArray[np.float64]:
        folder = self.folder
        if folder is None:
            raise Unscorable("no_weights", "no network was given")
        key = f"wavlm {self.info.parameters['weights_sha256']}"
        return recording.once(key, lambda: wavlm.embed_voice(folder, recording.samples))

    def known(self, enrollment: Enrollment) -> dict[str, Enrolled]:
        if self.folder is None:
            raise Unscorable("no_weights", "no network was given")
        return enrolled_by_wavlm(enrollment, self.folder)


class WavlmSimilarity(_ByWavlm, SpeakerSimilarity):
    info = SpeakerSimilarity.info.variant(
        name="wavlm_similarity",
        label="Speaker sim. (WavLM)",
        definition=(
            "Cosine of the voice's embedding by the network that was given (WavLM with a head for "
            "speakers) with the mean embedding of the target speaker's other recordings in the run, at "
            "most 25; the target is the speaker whose face gave the voice. Papers that compare with one "
            "recording print lower values. Chance: the mean cosine with the other speakers."
        ),
        **SOURCE,
    )


class WavlmAccuracy(_ByWavlm, SpeakerAccuracy):
    info = SpeakerAccuracy.info.variant(
        name="wavlm_accuracy",
        label="Speaker ID (WavLM)",
        definition=accuracy_definition("WavLM"),
        **SOURCE,
    )


class WavlmEer(_ByWavlm, PairwiseEer):
    info = SpeakerEer.info.variant(
        name="wavlm_eer",
        label="Speaker EER (WavLM)",
        definition=pairwise_definition("WavLM"),
        **SOURCE,
    )
