"""The recognizers that `--recognizer` knows, resolved when first used."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from evaluation.models.recognizer import Recognizer, Training
from manifests.errors import BadInput
from manifests.records import RunClip

RECOGNIZERS: dict[str, str] = {
    "las": "evaluation.models.las_recognizer:LasRecognizer",
    "las-grammar": "evaluation.models.las_recognizer:LasGrammarRecognizer",
    "las-unseen": "evaluation.models.las_recognizer:LasUnseenRecognizer",
    "las-unseen-grammar": "evaluation.models.las_recognizer:LasUnseenGrammarRecognizer",
    "pocketsphinx": "evaluation.models.pocketsphinx:PocketSphinx",
    "transcripts": "evaluation.models.transcripts:TranscriptFiles",
    "whisper": "evaluation.models.whisper:Whisper",
    "speechbrain-pretrained": "evaluation.models.speechbrain_pretrained:SpeechBrainPretrained",
}
"""Name → "module:Class", called with the path that the user gave and the label of his transcripts."""

DEFAULT = "las"
"""Comes with the toolkit."""

GRAMMATICAL = {"las": "las-grammar", "las-unseen": "las-unseen-grammar"}
"""Recognizer → the same one along GRID's grammar, whose rates stand in a second column."""


OURS = frozenset({*GRAMMATICAL, *GRAMMATICAL.values()})
"""Those that come with the toolkit; their cards say what they heard."""

GRID_ONLY = OURS | {"pocketsphinx"}
"""Recognizers that know the 51 words of GRID and no other."""

ENGLISH = ("whisper", "speechbrain-pretrained", "transcripts")
"""Recognizers for any English sentence, and for whatever made the transcripts."""


def create(name: str, path: Path | None = None, label: str = "") -> Recognizer:
    """The recognizer of that name; nothing is loaded yet.

    Args:
        path: its weights, where it needs any.
        label: who made the transcripts, for `transcripts`.

    Raises:
        BadInput: an unknown name; the choices are listed.
    """
    if name not in RECOGNIZERS:
        raise BadInput(f"there is no recognizer {name!r}", f"choose from {', '.join(RECOGNIZERS)}")
    module, attribute = RECOGNIZERS[name].split(":")
    made: Recognizer = getattr(importlib.import_module(module), attribute)(path, label)
    return made


@cache
def _of_name(name: str) -> Recognizer:
    return create(name)


def clip_inputs(name: str, root: Path, clip: RunClip, *, of_recording: bool) -> list[Any]:
    """`Recognizer.clip_inputs` of the one that a stored score names, which may be of a newer version
    than this."""
    if name not in RECOGNIZERS:
        return [f"unknown recognizer {name}"]
    return _of_name(name).clip_inputs(root, clip, of_recording=of_recording)


def heard_in_training(name: str, parameters: dict[str, Any]) -> Training | None:
    """What a recognizer was trained on; None where nobody says.

    Args:
        parameters: as a metric states them, with the sha256 of the weights.
    """
    if name == "pocketsphinx":
        return {}
    if name not in OURS:
        return None
    from evaluation.models.las_recognizer import heard_in_training

    return heard_in_training(str(parameters.get("weights_sha256", "")))


def unheard(corpus: str, speakers: Collection[str]) -> tuple[str, ...]:
    """The recognizers of the toolkit, without a grammar, that heard nothing of these speakers of a corpus."""
    found = []
    for name in GRAMMATICAL:
        training = heard_in_training(name, create(name).parameters)
        recordings = None if training is None else training.get(corpus, frozenset())
        if recordings is not None and not {speaker for speaker, _ in recordings} & set(speakers):
            found.append(name)
    return tuple(found)
