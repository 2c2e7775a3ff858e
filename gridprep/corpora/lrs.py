"""LRS2 and LRS3: sentences of the BBC and of TED talks, each clip with a `.txt` beside it.

Afouras, Chung, Senior, Vinyals, Zisserman, "Deep Audio-Visual Speech Recognition", TPAMI 2019 (LRS2);
Afouras, Chung, Zisserman, "LRS3-TED", arXiv 1809.00496. Pictures 160×160 and 224×224 at 25 frames per
second.

    main/5535415699068794046/00001.mp4 .txt        LRS2: train, val, test by lists beside it
    pretrain/5535415699068794046/00001.mp4 .txt    LRS2 and LRS3, up to a minute and more
    trainval/0Fi83BHQsMA/00002.mp4 .txt            LRS3
    test/0Fi83BHQsMA/00002.mp4 .txt                LRS3

    Text:  WHEN YOU'RE COOKING CHIPS AT HOME           train.txt, val.txt, test.txt of LRS2:
    Conf:  4                                           5535415699068794046/00001 [NF | MV]
                                                       pretrain.txt likewise
    WORD START END ASDSCORE                        in pretrain, and in part elsewhere
    WHEN 0.10 0.22 8.1

(Text files: Facebook's AV-HuBERT and mpc001/auto_avsr read them so; the corpora themselves were not at
hand.) The folder of a clip is its video, which is taken for its speaker: LRS2's folders are programs, with
several speakers in them. A clip of `pretrain` is cut at pauses between its words into parts of up to
`MOST_S`, as auto_avsr's preparation cuts it into parts of up to 24 s.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from manifests.errors import BadInput, ClipError
from manifests.language import ENGLISH, normalized
from manifests.records import Clip, ClipFailure, WordSpan

MOST_S = 24.0
PAUSE_S = 0.04
"""A part ends in the middle between two words; beside the ends of the clip this much is left."""

_PLACE = re.compile(r"(?:.*/)?(main|pretrain|trainval|test|train)/([^/]+)/(\d{5,})\.mp4")
_SUBSETS = {"pretrain": "train", "trainval": "train", "train": "train", "test": "test"}
_HEAD = "WORD START END ASDSCORE"


@dataclass(frozen=True)
class TimedText:
    """A text file: what is said, and the words with their times in seconds, () where there are none."""

    text: str
    words: tuple[tuple[str, float, float], ...]


def parse(text: str, name: str) -> TimedText:
    """Parses a `.txt` of LRS. Raises `ClipError` (`alignment_garbled`)."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith("Text:"):
        raise ClipError("alignment", "alignment_garbled", f"{name} does not begin with `Text:`")
    words = []
    timed = False
    for number, line in enumerate(lines, 1):
        if line.strip() == _HEAD:
            timed = True
        elif timed and line.strip():
            parts = line.split()
            try:
                words.append((parts[0], float(parts[1]), float(parts[2])))
            except (ValueError, IndexError):
                raise ClipError(
                    "alignment",
                    "alignment_garbled",
                    f"{name}, line {number} is not `WORD START END ASDSCORE`: {line[:60]!r}",
                ) from None
    return TimedText(lines[0].removeprefix("Text:").strip(), tuple(words))


@dataclass(frozen=True)
class LrsRecipe(Recipe):
    """See the module."""

    def looks_like(self, root: str, names: Sequence[str]) -> bool:
        """Returns whether videos lie as `main/VIDEO/00001.mp4`, with a text beside one."""
        there = set(names)
        return any(
            _PLACE.fullmatch(name) and name.removesuffix(".mp4") + ".txt" in there for name in names
        )

    def find(self, root: str) -> Corpus:
        """The clips, those of `pretrain` in parts. Reads the text files of `pretrain`."""
        require_folder(root, "main, pretrain, trainval or test")
        lists = _lists(root)
        clips = UnorderedClips()
        failures: list[ClipFailure] = []
        seen: set[str] = set()  # of those in the lists
        n_videos = orphans = 0
        for entries in walk_folders(root):
            texts = {
                entry.base: entry.path
                for entry in entries
                if entry.name.lower().endswith(".txt") and entry.folder
            }
            for entry in entries:
                match = _PLACE.fullmatch(entry.relative)
                if match is None:
                    continue
                n_videos += 1
                part, video, number = match.groups()
                key = f"{video}/{number}"
                if key in lists:
                    seen.add(key)
                clip = Clip(
                    video,
                    f"{part}_{number}",
                    entry.path,
                    texts.pop(entry.base, ""),
                    subset=lists.get(key, "train") if part == "main" else _SUBSETS[part],
                )
                if part == "main" and lists and key not in lists:
                    why = f"{entry.relative} is in no list of LRS2"
                    failures.append(failed(clip, "unlisted", why))
                elif part == "pretrain" and clip.alignment:
                    _cut(clip, clips, failures)
                else:
                    clips.append(clip)
            orphans += len(texts)
        if not n_videos:
            raise BadInput(f"{root} holds no video of LRS", "give the folder that holds pretrain")
        for key, subset in lists.items():
            if key not in seen:
                video, _, number = key.partition("/")
                clip = Clip(video, f"main_{number}", os.path.join(root, "main", f"{key}.mp4"))
                failures.append(failed(clip, "absent", f"{key} is in the list {subset}, not here"))
        return ordered(root, clips, failures, orphan_alignments=orphans)

    def annotate(self, clip: Clip) -> Annotation:
        """The text of the file, or of the part that the clip is, with times where it has them."""
        if not clip.alignment:
            raise ClipError(
                "alignment", "alignment_missing", f"no {os.path.basename(clip.video)[:-4]}.txt"
            )
        found = parse(read_text(clip.alignment), clip.alignment)
        words = found.words
        text = found.text
        if clip.is_part:
            words = tuple(w for w in words if w[1] >= clip.start_s and w[2] <= clip.end_s)
            text = " ".join(word for word, _, _ in words)
        said = self.said(text)
        spans = _spans(words, clip.start_s)
        if " ".join(span.word for span in spans) != said.sentence:
            return replace(said, flags=(*said.flags, "no_word_times"))
        return replace(said, words=spans)


def _spans(words: Sequence[tuple[str, float, float]], start_s: float) -> tuple[WordSpan, ...]:
    spans = []
    for word, from_s, to_s in words:
        plain = normalized(word, ENGLISH)
        if plain and " " not in plain and to_s > from_s:
            spans.append(word_span(plain, round(from_s - start_s, 3), round(to_s - start_s, 3)))
    ends = [0.0, *(span.end_s for span in spans)]
    if any(span.start_s < end_s for span, end_s in zip(spans, ends, strict=False)):
        return ()
    return tuple(spans)


def _cut(clip: Clip, clips: UnorderedClips, failures: list[ClipFailure]) -> None:
    """Adds a clip of `pretrain`, in parts where it is longer than `MOST_S`."""
    try:
        words = parse(read_text(clip.alignment), clip.alignment).words
    except ClipError as error:
        failures.append(replace(failed(clip, error.reason, error.detail), stage=error.stage))
        return
    if not words or words[-1][2] <= MOST_S:
        clips.append(clip)
        return
    start_s = max(words[0][1] - PAUSE_S, 0.0)
    for i in range(1, len(words) + 1):
        last = i == len(words)
        if not last and words[i][2] - start_s <= MOST_S:
            continue
        end_s = words[i - 1][2] + PAUSE_S if last else (words[i - 1][2] + words[i][1]) / 2
        stem = f"{clip.stem}_{round(start_s * 1000):07d}"
        clips.append(replace(clip, stem=stem, start_s=round(start_s, 3), end_s=round(end_s, 3)))
        start_s = end_s


def _lists(root: str) -> dict[str, str]:
    """VIDEO/NUMBER → subset, from LRS2's lists in the folder or beside `main`."""
    found: dict[str, str] = {}
    for subset in ("train", "val", "test"):
        path = os.path.join(root, f"{subset}.txt")
        try:
            with open(path, encoding="utf-8") as file:
                for line in file:
                    if line.strip():
                        found[line.split()[0]] = subset
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{path} cannot be read ({error})", "check the list") from None
    return found


LRS = LrsRecipe(
    name="lrs",
    title="LRS2-BBC and LRS3-TED (Afouras, Chung, Zisserman et al., 2018)",
    source="robots.ox.ac.uk/~vgg/data/lip_reading; facebookresearch/av_hubert, mpc001/auto_avsr",
    checks=frozenset({"lips", "sound", "direction"}),
)
