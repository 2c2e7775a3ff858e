"""TCD-TIMIT: 62 speakers reading TIMIT's sentences, 1920×1080 at 29.97 frames per second.

Harte, Gillen, "TCD-TIMIT: An audio-visual corpus of continuous speech", IEEE Transactions on Multimedia
17(5), 2015; sigmedia.tcd.ie. 59 volunteers (`01M`, `08F`: the letter is the gender) and three professional
lip speakers (`Lipspkr1`–`3`, women).

    volunteers/01M/Clips/straightcam/sa1.mp4      and 30degcam/, 30 degrees from the side
    lipspeakers/Lipspkr1/Clips/straightcam/sa1.mp4
    …/straightcam/SA1.txt                         TIMIT's prompt: `0 46797 She had your dark suit …`
    volunteer_labelfiles.mlf                      phones by HTK, headed "…/01M/Clips/straightcam/sa1.rec"

(Folders, gender letters, frame rate and label files: public scripts that read it, among them
matthijsvk/multimodalSR; the corpus itself was not at hand.) The straight camera is taken. The text is that
of the prompt beside the clip, in `SA1.txt` or `sa1.txt`, with TIMIT's two leading numbers or without; a clip
without one is a row without a sentence. Phones have no words, so there are no word times.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gridprep.corpora.base import (
    OPEN_SUFFIXES,
    Annotation,
    Corpus,
    Recipe,
    ordered,
    require_folder,
    walk,
)
from gridprep.corpora.text_files import read_text
from manifests.errors import BadInput
from manifests.records import Clip

_CLIP = re.compile(r"(?:.*/)?(\d\d[MF]|Lipspkr\d)/(?:.*/)?straightcam", re.IGNORECASE)


@dataclass(frozen=True)
class TcdTimitRecipe(Recipe):
    """See the module."""

    def looks_like(self, root: str, names: Sequence[str]) -> bool:
        """Returns whether a video lies in `01M/…/straightcam`."""
        return any(
            name.lower().endswith(OPEN_SUFFIXES) and _CLIP.fullmatch(os.path.dirname(name))
            for name in names
        )

    def find(self, root: str) -> Corpus:
        """The clips of the straight camera."""
        require_folder(root, "volunteers and lipspeakers")
        texts: dict[tuple[str, str], str] = {}
        videos = []
        for entry in walk(root):
            if entry.junk or not (match := _CLIP.fullmatch(entry.folder)):
                continue
            if entry.is_video:
                videos.append((entry, match[1]))
            elif entry.name.lower().endswith(".txt"):
                texts[entry.folder, entry.base.lower()] = entry.path
        if not videos:
            raise BadInput(
                f"{root} holds no video of TCD-TIMIT", "give the folder that holds volunteers"
            )
        clips = [
            Clip(
                speaker.upper() if speaker[0].isdigit() else speaker,
                video.base.lower(),
                video.path,
                texts.get((video.folder, video.base.lower()), ""),
                gender="male" if speaker[2:3].upper() == "M" else "female",
            )
            for video, speaker in videos
        ]
        used = {clip.alignment for clip in clips}
        orphans = sum(path not in used for path in texts.values())
        return ordered(root, clips, [], orphan_alignments=orphans)

    def annotate(self, clip: Clip) -> Annotation:
        """The prompt."""
        if not clip.alignment:
            return Annotation(flags=("no_text",))
        lines = read_text(clip.alignment).splitlines()
        pieces = [re.sub(r"^\s*\d+\s+\d+\s+", "", line) for line in lines]
        return self.said(" ".join(pieces))


TCD_TIMIT = TcdTimitRecipe(
    name="tcd-timit",
    title="TCD-TIMIT (Harte, Gillen, IEEE Transactions on Multimedia 17(5), 2015)",
    source="sigmedia.tcd.ie, and scripts that read it",
)
