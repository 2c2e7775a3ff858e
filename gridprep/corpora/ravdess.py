"""RAVDESS: 24 actors speaking and singing two sentences in eight emotions.

Livingstone, Russo, PLoS ONE 13(5), 2018, e0196391; Zenodo record 1188976.

    Video_Speech_Actor_01/Actor_01/01-01-06-01-02-01-12.mp4     1280×720, 29.97 frames per second

The name is modality (01 full-AV, 02 video only, 03 audio only), vocal channel (01 speech, 02 song), emotion,
intensity, statement (01 "Kids are talking by the door", 02 "Dogs are sitting by the door"), repetition, actor
(odd: male, even: female), as the Zenodo record says; the videos were not at hand. Video without sound (02)
is left out, and counted among the unlisted files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

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

STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
_NAME = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")
FULL_AV, VIDEO_ONLY = "01", "02"


@dataclass(frozen=True)
class RavdessRecipe(Recipe):
    """See the module."""

    def looks_like(self, root: str, names: Sequence[str]) -> bool:
        """Returns whether videos are named by seven pairs of digits."""
        return any_named(names, _NAME)

    def find(self, root: str) -> Corpus:
        """The clips with pictures and sound."""
        require_folder(root, "Video_Speech_Actor_01, …")
        clips: list[Clip] = []
        failures: list[ClipFailure] = []
        silent: list[str] = []
        for entry in walk(root):
            match = _NAME.fullmatch(entry.base)
            if entry.junk or not entry.is_video or match is None:
                continue
            modality, _, _, _, statement, _, actor = match.groups()
            if modality == VIDEO_ONLY:
                silent.append(entry.relative)
                continue
            clip = Clip(
                f"actor-{actor}",
                entry.base,
                entry.path,
                transcript=STATEMENTS.get(statement, ""),
                gender="male" if int(actor) % 2 else "female",
            )
            if modality == FULL_AV and clip.transcript:
                clips.append(clip)
            else:
                why = f"{entry.relative}: modality {modality}, statement {statement} is not known"
                failures.append(failed(clip, "not_a_stem", why))
        if not clips and not failures:
            raise BadInput(f"{root} holds no video of RAVDESS with sound", "give its folder")
        return ordered(root, clips, failures, unlisted=tuple(silent))


RAVDESS = RavdessRecipe(
    name="ravdess",
    title="RAVDESS (Livingstone, Russo, PLoS ONE 13(5), 2018)",
    source="Zenodo record 1188976",
)
