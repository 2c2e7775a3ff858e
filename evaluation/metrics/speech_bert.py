"""SpeechBERTScore: how near each frame of the speech is to some frame of the recording, in the states of
a network that learned from speech alone.

Saeki, Maiti, Takamichi, Watanabe, Saruwatari, "SpeechBERTScore: reference-aware automatic evaluation of
speech generation leveraging NLP evaluation metrics", Interspeech 2024; values as those of
DiscreteSpeechMetrics 1.0.1. The order of the frames does not count, so neither does a shift in time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import Pair, Recording, Unscorable
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import Measured, Metric, MetricInfo
from evaluation.models import wavlm
from evaluation.models.weights import weights_sha256
from manifests.errors import BadInput

DIGITS = 5
"""Below them lie the rounding of float32 and the number of threads."""
LONGEST_S = 60.0
"""Attention over more takes gigabytes."""


def bert_scores(
    speech: NDArray[np.floating[Any]], recording: NDArray[np.floating[Any]]
) -> tuple[float, float, float]:
    """(precision, recall, F1) of BERTScore (Zhang et al., ICLR 2020) without its weights for rare words.

    Args:
        speech, recording: (T, D) and (T', D) states of frames.

    Returns:
        The mean over the speech's frames of the largest cosine with a frame of the recording, the same
        with the two exchanged, and their harmonic mean.

    Example:
        >>> import numpy as np
        >>> bert_scores(np.eye(2), np.eye(2)[:1])
        (0.5, 1.0, 0.6666666666666666)
    """
    one, other = (np.asarray(frames, dtype=np.float64) for frames in (speech, recording))
    one = one / np.linalg.norm(one, axis=1, keepdims=True)
    other = other / np.linalg.norm(other, axis=1, keepdims=True)
    cosines = one @ other.T
    precision, recall = float(cosines.max(axis=1).mean()), float(cosines.max(axis=0).mean())
    return precision, recall, 2 * precision * recall / (precision + recall)


class SpeechBertScore(Metric):
    info = MetricInfo(
        name="speechbertscore",
        label="SpeechBERTScore",
        unit="",
        direction="higher",
        highest=1.0,
        definition=(
            "Mean over the speech's frames (20 ms) of the largest cosine with a frame of the recording, "
            "in the states of one layer of the network that was given (precision). The order of frames "
            "does not count; strangers to the recording are alike at 0.6 and more, so read it beside "
            "the control."
        ),
        citation="Saeki et al., Interspeech 2024; DiscreteSpeechMetrics 1.0.1",
        license="Apache-2.0 (transformers; the network has its own)",
        libraries=("transformers", "torch"),
    )

    def __init__(self, folder: Path | None = None, layer: int | None = None) -> None:
        self.folder = folder
        sha256, heard, note = weights_sha256(folder), None, ""
        if folder is not None and folder.is_dir():
            config = wavlm.read_config(folder)
            heard = wavlm.layer_of(config, layer, folder)
            note = (
                f"SpeechBERTScore by layer {heard} of {config['num_hidden_layers']} of "
                f"{config['model_type']} {folder.name}."
            )
        self.layer = heard
        self.info = type(self).info.variant(
            parameters={"weights_sha256": sha256, "layer": heard, "source": sha256}, note=note
        )

    @classmethod
    def configured(cls, settings: Settings) -> Metric:
        if settings.speechbertscore_layer is not None and settings.speechbertscore_weights is None:
            raise BadInput(
                "--speechbertscore-layer without a network", "add --speechbertscore-weights FOLDER"
            )
        return cls(settings.speechbertscore_weights, settings.speechbertscore_layer)

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.speechbertscore_weights is not None

    def require(self) -> None:
        wavlm.require_folder(self.folder, "speechbertscore", "--speechbertscore-weights")
        super().require()

    def measure(self, pair: Pair) -> Measured:
        precision, recall, f1 = bert_scores(self._heard(pair.degraded), self._heard(pair.reference))
        details = {"recall": round(recall, DIGITS), "f1": round(f1, DIGITS)}
        return Measured(round(precision, DIGITS), details=details)

    def _heard(self, recording: Recording) -> NDArray[np.float32]:
        """(T, D), once for all systems that share the recording. Raises `Unscorable`."""
        folder, layer = self.folder, self.layer
        if folder is None or layer is None:
            raise Unscorable("no_weights", "no network was given")
        sound = recording.clip_sound(LONGEST_S)  # refuses silence
        key = f"frames {self.info.parameters['weights_sha256']} {layer}"
        return recording.once(key, lambda: wavlm.frames(folder, layer, sound.samples))
