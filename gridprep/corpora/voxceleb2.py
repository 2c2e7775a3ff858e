"""VoxCeleb2: face tracks of 6,112 celebrities from interviews, 224×224 at 25 frames per second.

Chung, Nagrani, Zisserman, "VoxCeleb2: Deep Speaker Recognition", Interspeech 2018;
robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html.

    dev/mp4/id00012/21Uxsk56VDQ/00001.mp4      speaker, YouTube video, utterance
    test/mp4/id00017/01dfn2spqyE/00001.mp4
    vox2_meta.csv                              VoxCeleb2 ID ,VGGFace2 ID ,Gender,Set

(Layout: the page above, and public readers of `vox2_meta.csv`: Gender is m or f, Set dev or test; the
corpus itself was not at hand.) Nobody wrote down what is said. `dev` is train; nothing is val.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gridprep.corpora.base import Corpus, Recipe, ordered, require_folder, walk
from gridprep.corpora.stored_clips import StoredClips
from manifests.errors import BadInput
from manifests.records import Clip
from manifests.tables import read_table

_PLACE = re.compile(r"(?:(?:.*/)?(dev|test)/)?(?:.*/)?(id\d{5})/([^/]{11})/(\d{5,})\.mp4")
META = "vox2_meta.csv"
_GENDERS = {"m": "male", "f": "female"}
_SUBSETS = {"dev": "train", "test": "test", "": ""}


@dataclass(frozen=True)
class VoxCeleb2Recipe(Recipe):
    """See the module."""

    def looks_like(self, root: str, names: Sequence[str]) -> bool:
        """Returns whether videos lie as `id00012/21Uxsk56VDQ/00001.mp4`."""
        return any(_PLACE.fullmatch(name) for name in names)

    def find(self, root: str) -> Corpus:
        """The face tracks, with gender and set by `vox2_meta.csv` where it is there."""
        require_folder(root, "dev or test")
        meta: dict[str, tuple[str, str]] = {}
        found = StoredClips.of(_tracks(root, meta))
        if not found:
            raise BadInput(f"{root} holds no video of VoxCeleb2", "give the folder with dev")
        return ordered(root, (_described(clip, meta) for clip in found), [])


def _tracks(root: str, meta: dict[str, tuple[str, str]]) -> Iterator[Clip]:
    """The face tracks as they are met, with the set that their path names; what is known of the speakers
    is added to `meta`."""
    for entry in walk(root):
        if entry.name == META:
            meta.clear()
            meta.update(_meta(entry.path))
        elif not entry.junk and (match := _PLACE.fullmatch(entry.relative)):
            part, speaker, video, number = match.groups()
            yield Clip(speaker, f"{video}_{number}", entry.path, subset=_SUBSETS[part or ""])


def _described(clip: Clip, meta: dict[str, tuple[str, str]]) -> Clip:
    gender, where = meta.get(clip.speaker, ("", ""))
    return replace(clip, gender=gender, subset=clip.subset or _SUBSETS[where])


def _meta(path: str) -> dict[str, tuple[str, str]]:
    """Speaker → (gender, dev or test)."""
    table = read_table(Path(path), ("voxceleb2_id", "gender", "set"))
    return {
        line["voxceleb2_id"]: (
            _GENDERS.get(line["gender"].lower(), ""),
            line["set"].lower() if line["set"].lower() in _SUBSETS else "",
        )
        for line in table.lines
    }


VOXCELEB2 = VoxCeleb2Recipe(
    name="voxceleb2",
    title="VoxCeleb2 (Chung, Nagrani, Zisserman, Interspeech 2018)",
    source="robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html",
)
