"""Tells what the recognizer of a report heard in its training: a floor on clips that it learned by heart says
little about speech that it never heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.metrics.base import Metric
from evaluation.models import registry
from evaluation.scoring.run import ScoredRun
from manifests.ordering import natural


@dataclass(frozen=True)
class Heard:
    """
    Attributes:
        recognizer: its name.
        clips: of the report.
        heard: those of them whose recordings in GRID were trained on.
        speakers: of the report, of whom any recording in GRID was trained on.
        instead: recognizers of the toolkit that heard nothing of anybody in the report, where this one did.
    """

    recognizer: str
    clips: int
    heard: int
    speakers: tuple[str, ...]
    instead: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def sentence(self) -> str:
        told = (
            f"Heard in training by the recognizer {self.recognizer}: {self.heard} of {self.clips} "
        )
        told += f"clip{'' if self.clips == 1 else 's'}"
        if self.speakers:
            told += f", and other recordings of {', '.join(self.speakers)}"
        told += " (GRID's recordings of these names)"
        if self.instead:
            told += f"; --recognizer {' or '.join(self.instead)} heard none of these speakers"
        return f"{told}."


def heard_in_training(scored: Sequence[ScoredRun], metrics: Sequence[Metric]) -> list[Heard]:
    """Returns what each recognizer of the columns heard of the clips, where its card says it."""
    clips = {(clip.speaker, clip.stem) for item in scored for clip in item.run.clips}
    stated = {
        found["name"]: found
        for metric in metrics
        if isinstance(found := metric.info.parameters.get("recognizer"), dict)
    }
    told = []
    for name, parameters in stated.items():
        recordings = registry.heard_in_training(name, parameters)
        if recordings is None or not clips:
            continue
        speakers = {speaker for speaker, _ in clips} & {speaker for speaker, _ in recordings}
        told.append(
            Heard(
                name,
                len(clips),
                len(clips & recordings),
                tuple(sorted(speakers, key=natural)),
                registry.unheard({speaker for speaker, _ in clips}) if speakers else (),
            )
        )
    # The same network along the grammar heard the same.
    return list({(h.clips, h.heard, h.speakers): h for h in reversed(told)}.values())
