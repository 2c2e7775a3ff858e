"""Tells what the recognizer of a report heard in its training: a floor on clips that it learned by heart says
little about speech that it never heard. GRID and SynthGRID have clips of the same names, so that clips
count as those of their corpus alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.inputs.build_files import corpus_name
from evaluation.metrics.base import Metric
from evaluation.models import registry
from evaluation.models.recognizer import Training
from evaluation.scoring.run import ScoredRun
from manifests.corpus_names import GRID, LABELS
from manifests.ordering import natural

Clips = frozenset[tuple[str, str]]
"""(speaker, stem)."""


@dataclass(frozen=True)
class Heard:
    """What a recognizer heard of a report's clips of one corpus.

    Attributes:
        recognizer: its name.
        corpus: one of `manifests.corpus_names.LABELS`; "" where it is not known whose clips they are.
            The counts are then those of GRID's clips of the same names.
        clips: of the report, of this corpus.
        heard: those of them whose recordings were trained on; None where its card does not say which.
        speakers: of the report, of whom any recording of the corpus was trained on.
        instead: recognizers of the toolkit that heard nothing of anybody in the report, where this one did.
    """

    recognizer: str
    corpus: str
    clips: int
    heard: int | None
    speakers: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def sentence(self) -> str:
        clips = f"{self.clips} clip{'' if self.clips == 1 else 's'}"
        told = f"Heard in training by the recognizer {self.recognizer}: "
        if self.heard is None:
            return (
                f"{told}some of {LABELS[self.corpus]}; which of these {clips} is not on its card."
            )
        if self.corpus:
            told += f"{self.heard} of {clips} of {LABELS[self.corpus]}"
        else:
            told += f"not known, since the corpus of {clips} is not; {self.heard} if it is GRID"
        if self.speakers:
            told += f", and other recordings of {', '.join(self.speakers)}"
        if self.instead:
            told += f"; --recognizer {' or '.join(self.instead)} heard none of these speakers"
        return f"{told}."


def heard_in_training(scored: Sequence[ScoredRun], metrics: Sequence[Metric]) -> list[Heard]:
    """Returns what each recognizer of the columns heard of the clips, corpus by corpus, where its card
    says it."""
    of_corpus = clips_by_corpus(scored)
    stated = {
        found["name"]: found
        for metric in metrics
        if isinstance(found := metric.info.parameters.get("recognizer"), dict)
    }
    told = []
    for name, parameters in stated.items():
        training = registry.heard_in_training(name, parameters)
        if training is not None:
            told += [_heard(name, training, *found) for found in of_corpus.items()]
    # The same network along the grammar heard the same.
    unique = {(h.corpus, h.clips, h.heard, h.speakers): h for h in reversed(told)}
    return list(unique.values())


def clips_by_corpus(scored: Sequence[ScoredRun]) -> dict[str, Clips]:
    """Corpus, "" for unknown, → the clips of the runs. A clip of several runs is known where one knows it:
    the runs of a report hold the same recordings."""
    whose: dict[tuple[str, str], str] = {}
    for item in scored:
        corpus = corpus_name(item.run)
        for clip in item.run.clips:
            name = (clip.speaker, clip.stem)
            whose[name] = whose.get(name) or corpus
    return {
        corpus: frozenset(name for name, of in whose.items() if of == corpus)
        for corpus in sorted(set(whose.values()), key=lambda name: (not name, name))
    }


def _heard(name: str, training: Training, corpus: str, clips: Clips) -> Heard:
    meant = corpus or GRID
    recordings = training.get(meant, frozenset())
    if recordings is None:
        return Heard(name, corpus, len(clips), None)
    there = {speaker for speaker, _ in clips}
    speakers = there & {speaker for speaker, _ in recordings}
    return Heard(
        name,
        corpus,
        len(clips),
        len(clips & recordings),
        tuple(sorted(speakers, key=natural)),
        registry.unheard(meant, there) if speakers else (),
    )
