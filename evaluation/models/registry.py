"""The recognizers that `--recognizer` knows, resolved when first used."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from evaluation.models.recognizer import Recognizer
from manifests.errors import BadInput
from manifests.records import RunClip

RECOGNIZERS: dict[str, str] = {
    "las": "evaluation.models.las_recognizer:LasRecognizer",
    "las-grammar": "evaluation.models.las_recognizer:LasGrammarRecognizer",
    "pocketsphinx": "evaluation.models.pocketsphinx:PocketSphinx",
    "transcripts": "evaluation.models.transcripts:TranscriptFiles",
    "whisper": "evaluation.models.whisper:Whisper",
    "speechbrain-pretrained": "evaluation.models.speechbrain_pretrained:SpeechBrainPretrained",
}
"""Name → "module:Class", called with the path that the user gave and the label of his transcripts."""

DEFAULT = "las"
"""Comes with the toolkit."""

GRAMMATICAL = {"las": "las-grammar"}
"""Recognizer → the same one along GRID's grammar, whose rates stand in a second column."""


GRID_ONLY = frozenset({"las", "las-grammar", "pocketsphinx"})
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


def clip_inputs(name: str, root: Path, clip: RunClip, *, of_recording: bool) -> list[Any]:
    """`Recognizer.clip_inputs` of the one that a stored score names, which may be of a newer version
    than this."""
    if name not in RECOGNIZERS:
        return [f"unknown recognizer {name}"]
    return create(name).clip_inputs(root, clip, of_recording=of_recording)


def heard_in_training(name: str, parameters: dict[str, Any]) -> frozenset[tuple[str, str]] | None:
    """(speaker, stem) of GRID's recordings that a recognizer was trained on; None where nobody says.

    Args:
        parameters: as a metric states them, with the sha256 of the weights.
    """
    if name == "pocketsphinx":
        return frozenset()
    if name not in ("las", "las-grammar"):
        return None
    from evaluation.models.las_recognizer import heard_in_training

    return heard_in_training(str(parameters.get("weights_sha256", "")))
