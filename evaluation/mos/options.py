"""Options of a listening test: its size and parts; the paper's two tests as presets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from evaluation.mos.scales import SCALES
from manifests.errors import BadInput

TITLE = "Listening test"
CONSENT = """\
You are invited to take part in a listening test on computer-made speech. You will listen to short \
recordings and answer one question about each.

Taking part is voluntary. You may stop at any time, without giving a reason, by closing the page. \
There are no risks beyond those of listening to speech at a comfortable volume.

Your answers are stored under a number, not under your name, together with the times of your \
answers and the type of your browser. They stay in this browser until you send them.
"""


@dataclass(frozen=True)
class DesignOptions:
    """
    Attributes:
        parts: keys of `SCALES`.
        subjects: number of listeners.
        speakers: names of speakers; empty for `n_speakers` of them.
        n_speakers: number of speakers, drawn with genders in balance; None takes all.
        clips_per_speaker: number of clips per speaker; None takes all.
        n_clips: number of clips in all, speakers in turn; None where `clips_per_speaker` decides.
        swapped: take only the clips whose face is another speaker's.
        per_subject: sentences that each subject hears, a balanced subset; None for all.
        blocks: times that each subject hears each of their sentences, each time by another
            system, a block after the other; 0 for as many as there are systems.
        practice, traps, golds, repeats: control trials in each part.
        reference: whether the recordings are a hidden reference.
        anchor: whether a degraded sound is a hidden low anchor.
        headphones: whether six trials check for headphones first.
        max_plays: number of times that a sound may be played; 0 for no limit.
        level_dbov: active speech level (ITU-T P.56) of everything played.
        title, consent: texts of the page, plain.
        seed: seed of all random choices.
    """

    parts: tuple[str, ...] = ("mos",)
    subjects: int = 15
    speakers: tuple[str, ...] = ()
    n_speakers: int | None = None
    clips_per_speaker: int | None = None
    n_clips: int | None = None
    swapped: bool = False
    per_subject: int | None = None
    blocks: int = 1
    practice: int = 4
    traps: int = 2
    golds: int = 2
    repeats: int = 4
    reference: bool = True
    anchor: bool = True
    headphones: bool = True
    max_plays: int = 0
    level_dbov: float = -26.0
    title: str = TITLE
    consent: str = CONSENT
    seed: int = 0

    def check(self) -> None:
        """Raises `BadInput` for invalid options."""
        unknown = [part for part in self.parts if part not in SCALES]
        if unknown or not self.parts or len(set(self.parts)) < len(self.parts):
            raise BadInput(
                f"the parts {', '.join(map(repr, self.parts)) or '(none)'} are not usable",
                f"choose each at most once from {', '.join(SCALES)}",
            )
        if not 1 <= self.subjects <= 999:
            raise BadInput(f"{self.subjects} is no usable number of subjects", "choose 1 to 999")
        for name in ("practice", "traps", "golds", "repeats", "blocks", "max_plays", "seed"):
            if getattr(self, name) < 0:
                raise BadInput(f"{name} is {getattr(self, name)}", "choose 0 or more")
        for name in ("n_speakers", "clips_per_speaker", "n_clips", "per_subject"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadInput(f"{name} is {value}", "choose 1 or more")
        if not -50 <= self.level_dbov <= -15:
            raise BadInput(
                f"a speech level of {self.level_dbov:g} dBov is not usable", "choose -50 to -15"
            )
        if not self.title.strip() or not self.consent.strip():
            raise BadInput("title or consent is empty", "give both a text")


PRESETS: dict[str, DesignOptions] = {
    # Section V-A: ten samples a speaker, four speakers, fifteen subjects.
    "paper": DesignOptions(n_speakers=4, clips_per_speaker=10),
    # Section VI-A: thirty samples whose lips and identity are different speakers'.
    "paper-swaps": DesignOptions(parts=("mos", "smos_speaker"), n_clips=30, swapped=True),
    # Everything that the runs share, a subset of forty sentences a subject.
    "all": DesignOptions(),
}


def from_preset(name: str, **changes: Any) -> DesignOptions:
    """A preset with some options changed; None means unchanged."""
    given = {key: value for key, value in changes.items() if value is not None}
    if "n_clips" in given:
        given.setdefault("clips_per_speaker", None)
    elif "clips_per_speaker" in given:
        given["n_clips"] = None
    if given.get("speakers"):
        given["n_speakers"] = None
    options = dataclasses.replace(PRESETS[name], **given)
    options.check()
    return options
