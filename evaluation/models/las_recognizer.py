"""The recognizers that come with the toolkit: LAS, trained on GRID and on synthetic speech, and the same
network trained without the speakers of the large-unseen protocol (`evaluation/weights/recognizer.md` and
`recognizer-unseen.md` say on what, and how well they read whom)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.inputs.pairs import Pair, Samples
from evaluation.models.las import UNSEEN_WEIGHTS, WEIGHTS, load_las
from evaluation.models.las_decoding import BEAM, CTC_WEIGHT, HEARD, decode
from evaluation.models.las_features import SPEC, features
from evaluation.models.recognizer import AcousticRecognizer, Training
from evaluation.models.shipped import card_of
from evaluation.models.weights import weights_sha256
from manifests.corpus_names import GRID, SYNTHGRID
from manifests.errors import MissingDependency
from manifests.io import read_json
from manifests.versions import library_version


class LasRecognizer(AcousticRecognizer):
    """Free decoding: any characters may come out."""

    name = "las"
    grammar = False
    weights = WEIGHTS
    trained = "trained on GRID"

    def __init__(self, path: Path | None = None, label: str = "") -> None:
        self.path = path or self.weights
        own = "" if path is None else f" {path.name}"
        self.label = f"LAS (SpeechBrain, {self.trained}){own}"
        self.parameters: dict[str, Any] = {
            "weights_sha256": weights_sha256(self.path),
            "mel": SPEC.fingerprint(),
            "decoding": f"beam {BEAM}, joint with CTC at {CTC_WEIGHT}",
            "versions": {name: library_version(name) for name in ("speechbrain", "torch")},
        }
        if self.grammar:
            self.label += ", decoded along GRID's grammar"
            self.parameters["decoding"] += ", along GRID's grammar"
        else:
            self.parameters["decoding"] += (
                f", nothing below {HEARD} by CTC, nor words it does without"
            )

    def require(self) -> None:
        if library_version("speechbrain") == "absent":
            raise MissingDependency(
                f"the recognizer {self.name} needs speechbrain",
                "pip install 'facetron-toolkit[eval]'",
            )
        load_las(self.path)

    def transcribe(self, sounds: Sequence[Samples]) -> list[str]:
        model = load_las(self.path)
        return [decode(model, self._listen(sound), grammar=self.grammar) for sound in sounds]

    def _listen(self, sound: Samples) -> Any:
        import torch

        with torch.inference_mode():
            return load_las(self.path).listen(torch.from_numpy(features(sound)).unsqueeze(0))

    def transcript(self, pair: Pair) -> str:
        recording = pair.degraded
        samples = recording.samples
        key = self.parameters["weights_sha256"]
        # Free and grammatical decoding share what was heard.
        states = recording.once(f"las {key}", lambda: self._listen(samples))
        return recording.once(
            f"transcript {self.name} {self.parameters}",
            lambda: decode(load_las(self.path), states, grammar=self.grammar),
        )


class LasGrammarRecognizer(LasRecognizer):
    """Only sentences of GRID can come out, which hides errors: never the first number to look at."""

    name = "las-grammar"
    grammar = True


class LasUnseenRecognizer(LasRecognizer):
    """Heard nothing of s1, s2, s4 and s29, whom the large-unseen protocol keeps from every model."""

    name = "las-unseen"
    weights = UNSEEN_WEIGHTS
    trained = "trained on GRID without s1, s2, s4, s29"


class LasUnseenGrammarRecognizer(LasUnseenRecognizer):
    """The same along GRID's grammar."""

    name = "las-unseen-grammar"
    grammar = True


ON_CARDS = {"real": GRID, "synth": SYNTHGRID}
"""Corpora as the cards name them."""


def clips_told(stems_by_speaker: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """(speaker, stem) of what a card tells of one corpus: speaker → stems with spaces between them."""
    return frozenset(
        (who, stem) for who, stems in stems_by_speaker.items() for stem in stems.split()
    )


def heard_in_training(weights_sha256: str) -> Training | None:
    """What the shipped weights were trained on, by their cards; None for others."""
    for path in (WEIGHTS, UNSEEN_WEIGHTS):
        card = read_json(card_of(path))
        if card["sha256"] == weights_sha256:
            return {
                corpus: None if (told := card["heard"].get(name)) is None else clips_told(told)
                for name, corpus in ON_CARDS.items()
            }
    return None
