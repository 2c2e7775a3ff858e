"""CREMA-D: 91 actors saying twelve sentences in six emotions, 7,442 clips.

Cao, Cooper, Keutmann, Gur, Nenkova, Verma, IEEE Transactions on Affective Computing 5(4), 2014;
github.com/CheyneyComputerScience/CREMA-D.

    VideoFlash/1001_DFA_ANG_XX.flv     actor, sentence, emotion, intensity; 480×360, 29.97 frames per second
    VideoDemographics.csv              ActorID,Age,Sex,Race,Ethnicity

(The repository's README states the names, the sentences and the table; the videos were not at hand. A clone
without Git LFS holds pointers of some hundred bytes in place of the videos, which become failures.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gridprep.corpora.base import (
    Corpus,
    Recipe,
    any_named,
    failed,
    ordered,
    require_folder,
    walk,
)
from manifests.errors import BadInput
from manifests.records import Clip, ClipFailure
from manifests.tables import read_table

SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{2})")
DEMOGRAPHICS = "VideoDemographics.csv"


@dataclass(frozen=True)
class CremadRecipe(Recipe):
    """See the module."""

    def looks_like(self, root: str, names: Sequence[str]) -> bool:
        """Returns whether videos are named `1001_DFA_ANG_XX`."""
        return any_named(names, _NAME)

    def find(self, root: str) -> Corpus:
        """The clips with sentence and gender by their names."""
        require_folder(root, "VideoFlash")
        genders: dict[str, str] = {}
        clips: list[Clip] = []
        failures: list[ClipFailure] = []
        for entry in walk(root):
            if entry.junk:
                continue
            if entry.name == DEMOGRAPHICS:
                genders = _genders(entry.path)
            match = _NAME.fullmatch(entry.base)
            if not entry.is_video or match is None:
                continue
            clip = Clip(match[1], entry.base, entry.path, transcript=SENTENCES.get(match[2], ""))
            if clip.transcript:
                clips.append(clip)
            else:
                why = f"{entry.relative}: {match[2]} is none of the twelve sentences"
                failures.append(failed(clip, "not_a_stem", why))
        if not clips:
            raise BadInput(f"{root} holds no video of CREMA-D", "give the folder with VideoFlash")
        clips = [replace(clip, gender=genders.get(clip.speaker, "")) for clip in clips]
        return ordered(root, clips, failures)


def _genders(path: str) -> dict[str, str]:
    lines = read_table(Path(path), ("actorid", "sex")).lines
    sexes = ((line["actorid"], line["sex"].lower()) for line in lines)
    return {actor: sex for actor, sex in sexes if sex in ("male", "female")}


CREMAD = CremadRecipe(
    name="cremad",
    title="CREMA-D (Cao, Cooper, Keutmann, Gur, Nenkova, Verma, IEEE TAC 5(4), 2014)",
    source="github.com/CheyneyComputerScience/CREMA-D, README and VideoDemographics.csv",
)
