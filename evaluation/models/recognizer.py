"""The interface of speech recognizers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from evaluation.inputs.pairs import Pair, Samples
from manifests.records import RunClip

Training = Mapping[str, frozenset[tuple[str, str]] | None]
"""Corpus (`manifests.corpus_names`) → (speaker, stem) of its recordings that were trained on, None where
nobody recorded which; nothing was heard of a corpus that is not named."""


class Recognizer(Protocol):
    """Gives the text of a clip. Travels to worker processes, so it holds no loaded model.

    Attributes:
        name: as in the registry.
        label: what tables print: which model, of what size.
        parameters: everything that changes its text: weights' sha256, decoding, versions.
    """

    name: str
    label: str
    parameters: dict[str, Any]

    def require(self) -> None:
        """Raises `MissingDependency` (one line: what is absent and how to give it)."""

    def transcript(self, pair: Pair) -> str:
        """Raw text of what is scored, the system's speech or, for `pair.floor`, the recording; "" where
        nothing was recognized.

        Raises:
            Unscorable: the sound or the text is absent.
        """

    def clip_inputs(self, root: Path, clip: RunClip, *, of_recording: bool) -> list[Any]:
        """Everything else that decides a clip's text, beside the sound and `parameters`: plain values."""


class AcousticRecognizer(ABC):
    """A recognizer that listens; subclasses turn sounds into texts."""

    name: str
    label: str
    parameters: dict[str, Any]

    @abstractmethod
    def require(self) -> None: ...

    @abstractmethod
    def transcribe(self, sounds: Sequence[Samples]) -> list[str]:
        """Texts of sounds, each (n,) mono at 16 kHz."""

    def transcript(self, pair: Pair) -> str:
        recording = pair.degraded
        # Systems of one group share the recording, and all metrics of a clip its text.
        key = f"transcript {self.name} {self.parameters}"
        return recording.once(key, lambda: self.transcribe([recording.samples])[0])

    def clip_inputs(self, root: Path, clip: RunClip, *, of_recording: bool) -> list[Any]:
        return []
