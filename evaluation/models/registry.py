"""The recognisers that `--recogniser` knows, resolved when first used."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from evaluation.models.recogniser import Recogniser
from manifests.errors import BadInput
from manifests.records import RunClip

RECOGNISERS: dict[str, str] = {
    "las": "evaluation.models.las_recogniser:LasRecogniser",
    "las-grammar": "evaluation.models.las_recogniser:LasGrammarRecogniser",
    "transcripts": "evaluation.models.transcripts:TranscriptFiles",
    "whisper": "evaluation.models.whisper:Whisper",
    "speechbrain-pretrained": "evaluation.models.speechbrain_pretrained:SpeechBrainPretrained",
}
"""Name → "module:Class", called with the path that the user gave and the label of his transcripts."""

DEFAULT = "las"
"""Comes with the toolkit."""

GRAMMATICAL = {"las": "las-grammar"}
"""Recogniser → the same one along GRID's grammar, whose rates stand in a second column."""


def create(name: str, path: Path | None = None, label: str = "") -> Recogniser:
    """The recogniser of that name; nothing is loaded yet.

    Args:
        path: its weights, where it needs any.
        label: who made the transcripts, for `transcripts`.

    Raises:
        BadInput: an unknown name; the choices are listed.
    """
    if name not in RECOGNISERS:
        raise BadInput(f"there is no recogniser {name!r}", f"choose from {', '.join(RECOGNISERS)}")
    module, attribute = RECOGNISERS[name].split(":")
    made: Recogniser = getattr(importlib.import_module(module), attribute)(path, label)
    return made


def clip_inputs(name: str, root: Path, clip: RunClip, *, of_recording: bool) -> list[Any]:
    """`Recogniser.clip_inputs` of the one that a stored score names, which may be of a newer version
    than this."""
    if name not in RECOGNISERS:
        return [f"unknown recogniser {name}"]
    return create(name).clip_inputs(root, clip, of_recording=of_recording)
