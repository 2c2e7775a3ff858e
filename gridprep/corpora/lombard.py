"""Lombard GRID: GRID's sentences in quiet and in noise, seen from the front and from the side.

Alghamdi, Maddock, Marxer, Barker, Brown, "A corpus of audio-visual Lombard speech with frontal and
profile views", JASA 143(6), 2018; spandh.dcs.shef.ac.uk/avlombard. 54 speakers, 100 utterances each.

    lombardgrid/front/s2_l_bbim3a.mov      speaker s2, Lombard (l) or plain (p), GRID's sentence code
    lombardgrid/side/s2_l_bbim3a.mov
    lombardgrid/audio/s2_l_bbim3a.wav
    lombardgrid/alignment/s2_l_bbim3a.json {"s2_l_bbim3a": [{"phone", "offset", "duration"}, …]}

Files whose speaker said something else are named for it: `s46_p_gbszs_WRONG_sgbszs` says sgbszs, and
`s27_l_bah2s_WRONG_#sil` says nothing. (Layout and these names: several public scripts that prepare it, among
them `step1_prepare_lombardgrid.py` and a `preprocess_lombard.py`; the corpus itself was not at hand.) Its
speakers are not GRID's: `s2` here is `lombard-s2` in a build. The front view is taken, with the sound of
the video; frame rates vary around 24. Of times, words are put together from phones where these state their
place in a word as Kaldi writes it (`ih_I`), and left out elsewhere.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gridprep.corpora.base import (
    OPEN_SUFFIXES,
    Annotation,
    Corpus,
    Recipe,
    failed,
    ordered,
    require_folder,
    walk,
    word_span,
)
from manifests.errors import BadInput, ClipError
from manifests.grammar import is_stem, sentence_of, words_of
from manifests.language import GRID
from manifests.records import Clip, ClipFailure, WordSpan

_NAME = re.compile(r"(s\d+)_([lp])_([a-z0-9]+)(?:_WRONG_(.+))?", re.IGNORECASE)
_PLACE = re.compile(r"(.+)_([BIES])")


@dataclass(frozen=True)
class LombardRecipe(Recipe):
    """See the module."""

    def looks_like(self, root: str, names: Sequence[str]) -> bool:
        """Returns whether half of the videos are named `sN_l_CODE` or `sN_p_CODE`."""
        videos = [n for n in names if n.lower().endswith(OPEN_SUFFIXES)]
        return (
            0 < len(videos) <= 2 * sum(_NAME.match(os.path.basename(n)) is not None for n in videos)
        )

    def find(self, root: str) -> Corpus:
        """The front views, or all videos where no folder is called `front`."""
        require_folder(root, "front and alignment")
        videos, alignments = [], {}
        for entry in walk(root):
            if entry.junk:
                continue
            if entry.name.lower().endswith(".json"):
                alignments[entry.base.lower()] = entry.path
            elif entry.is_video and _NAME.match(entry.base):
                videos.append(entry)
        if not videos:
            raise BadInput(f"{root} holds no video of Lombard GRID", "give the folder with front/")
        front = [v for v in videos if v.folder.split("/")[-1].lower() == "front"]
        clips: list[Clip] = []
        failures: list[ClipFailure] = []
        for video in front or videos:
            match = _NAME.fullmatch(video.base)
            speaker, kind, code, other = match.groups() if match else (video.base, "", "", "")
            said = (other or code).lower()
            clip = Clip(
                f"lombard-{speaker.lower()}",
                f"{kind.lower()}_{said}" if is_stem(said) else video.base.replace("#", ""),
                video.path,
                alignments.get(video.base.lower(), ""),
            )
            if not is_stem(said):
                why = f"{video.relative}: {said!r} is no sentence of GRID"
                failures.append(failed(clip, "not_a_stem", why))
            else:
                clips.append(clip)
        used = {clip.alignment for clip in clips}
        orphans = sum(path not in used for path in alignments.values())
        return ordered(root, clips, failures, orphan_alignments=orphans)

    def annotate(self, clip: Clip) -> Annotation:
        """The sentence of the code, with times where the alignment has them."""
        stem = clip.stem.partition("_")[2]
        if not clip.alignment:
            return Annotation(sentence_of(stem), flags=("no_word_times",))
        words = _words(clip.alignment, words_of(stem))
        return Annotation(sentence_of(stem), words, flags=() if words else ("no_word_times",))


def _words(path: str, said: tuple[str, ...]) -> tuple[WordSpan, ...]:
    """Times of the words from those of their phones; () where the phones do not say where words end, or
    are not those of six words. Raises `ClipError`."""
    try:
        with open(path, encoding="utf-8") as file:
            (phones,) = json.load(file).values()
        spans: list[tuple[float, float]] = []
        for phone in phones:
            place = _PLACE.fullmatch(str(phone["phone"]))
            if place is None:
                continue
            start_s = float(phone["offset"])
            end_s = start_s + float(phone["duration"])
            if place[2] in "BS":
                spans.append((start_s, end_s))
            elif spans:
                spans[-1] = (spans[-1][0], end_s)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClipError(
            "alignment", "alignment_garbled", f"{path} is no list of phones ({error})"
        ) from None
    if len(spans) != len(said):
        return ()
    return tuple(word_span(word, *span) for word, span in zip(said, spans, strict=True))


LOMBARD = LombardRecipe(
    name="lombard-grid",
    title="Lombard GRID (Alghamdi, Maddock, Marxer, Barker, Brown, JASA 143(6), 2018)",
    source="spandh.dcs.shef.ac.uk/avlombard, and scripts that prepare it",
    language=GRID,
)
