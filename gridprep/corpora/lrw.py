"""LRW: 500 words of the BBC's news, 29 frames each with the word in their middle.

Chung, Zisserman, "Lip Reading in the Wild", ACCV 2016; robots.ox.ac.uk/~vgg/data/lip_reading/lrw1.html.

    lipread_mp4/ABOUT/train/ABOUT_00001.mp4     256×256, 25 frames per second, 1.16 s
    lipread_mp4/ABOUT/train/ABOUT_00001.txt     … Duration: 0.53 seconds   (of the word)

(Layout: the page above and the public loaders of it, mpc001/Lipreading_using_Temporal_Convolutional_Networks
among them; the corpus itself was not at hand.) Nobody says who speaks: each word stands as a speaker of its
own, so that speakers of a build are no persons. Words have times from `Duration`, around the middle of the
clip; the other words around them are not written down.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gridprep.corpora.base import (
    Annotation,
    Corpus,
    Recipe,
    failed,
    ordered,
    require_folder,
    walk_folders,
    word_span,
)
from gridprep.corpora.stored_clips import UnorderedClips
from gridprep.corpora.text_files import read_text
from gridprep.media.expectation import ClipExpectation
from manifests.errors import BadInput, ClipError
from manifests.records import Clip, ClipFailure
from manifests.specs import VIDEO_FPS

FRAMES = 29
_PLACE = re.compile(r"(?:.*/)?([A-Z]+)/(train|val|test)/\1_\d+\.(?:mp4|mpg)")
_DURATION = re.compile(r"Duration:\s*([\d.]+)\s*seconds", re.IGNORECASE)


@dataclass(frozen=True)
class LrwRecipe(Recipe):
    """See the module."""

    def looks_like(self, root: str, names: Sequence[str]) -> bool:
        """Returns whether videos lie as `WORD/train/WORD_00001.mp4`."""
        return any(_PLACE.fullmatch(name) for name in names)

    def find(self, root: str) -> Corpus:
        """The clips with their subset; a video elsewhere is a failure."""
        require_folder(root, "ABOUT, ABSOLUTELY, …")
        clips = UnorderedClips()
        failures: list[ClipFailure] = []
        orphans = 0
        for entries in walk_folders(root):
            texts = {entry.base: entry.path for entry in entries if entry.name.endswith(".txt")}
            for entry in entries:
                if not entry.is_video:
                    continue
                match = _PLACE.fullmatch(entry.relative)
                if match is None:
                    clip = Clip("?", entry.base, entry.path)
                    why = f"{entry.relative} does not lie as WORD/train/WORD_00001.mp4"
                    failures.append(failed(clip, "unlisted", why))
                    continue
                stem, text = f"{match[2]}_{entry.base}", texts.pop(entry.base, "")
                clips.append(Clip(match[1].lower(), stem, entry.path, text, subset=match[2]))
            orphans += len(texts)
        if not clips:
            raise BadInput(f"{root} holds no video of LRW", "give the folder lipread_mp4")
        return ordered(root, clips, failures, orphan_alignments=orphans)

    def annotate(self, clip: Clip) -> Annotation:
        """The word, around the middle of the clip for as long as the text file says."""
        word = clip.speaker
        if not clip.alignment:
            return Annotation(word, flags=("no_word_times",))
        match = _DURATION.search(read_text(clip.alignment))
        length_s = FRAMES / VIDEO_FPS
        duration_s = float(match[1]) if match and match[1].count(".") <= 1 else 0.0
        if not 0 < duration_s <= length_s:
            raise ClipError(
                "alignment",
                "alignment_garbled",
                f"{clip.alignment} states no duration between 0 and {length_s:.2f} s",
            )
        start_s = (length_s - duration_s) / 2
        return Annotation(word, (word_span(word, start_s, start_s + duration_s),))


LRW = LrwRecipe(
    name="lrw",
    title="LRW (Chung, Zisserman, ACCV 2016)",
    source="robots.ox.ac.uk/~vgg/data/lip_reading/lrw1.html",
    expected=ClipExpectation(frames=FRAMES, usual_sizes_px=((256, 256),), least_fps=25.0),
    checks=frozenset({"lips", "sound", "direction"}),
)
