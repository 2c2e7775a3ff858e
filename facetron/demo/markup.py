"""A clip of the demo page as HTML. Every text from outside passes through `html.escape`."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from facetron.demo.clips import Shown
from facetron.demo.video import Sound
from manifests.specs import VIDEO_FPS

MEDIA = "media"
"""Folder of the page's files."""

esc = html.escape


@dataclass(frozen=True)
class Side:
    """One video of a card: its name, its sound, and the files made of it."""

    name: str
    sound: Sound
    rate_hz: int
    file: str
    mel: str


def duration_s(item: Shown) -> float:
    """Of the clip; 0 where its features are not known."""
    return item.row.video_frames / VIDEO_FPS if item.row else 0.0


def figure(side: Side, item: Shown, poster: str, shape: Sequence[int] | None) -> str:
    """One video with its mel and words; without pictures (no `shape`) a sound player."""
    clip = item.clip
    label = f"{side.name}, {clip.speaker}: {clip.sentence or clip.stem}"
    source = f'src="{MEDIA}/{side.file}" aria-label="{esc(label)}"'
    if shape is None:
        player = f'<audio controls preload="metadata" {source}></audio>'
    else:
        player = (
            f'<div class="screen"><video controls playsinline preload="none" poster="{MEDIA}/{poster}" '
            f'width="{shape[2]}" height="{shape[1]}" {source}></video></div>'
        )
    return (
        f'<figure><figcaption title="{esc(side.name)}">{esc(side.name)}</figcaption>{player}'
        f'<div class="mel"><img src="{MEDIA}/{side.mel}" loading="lazy" '
        f'alt="log-mel of {esc(label)}"><i></i></div>{_times(item)}</figure>'
    )


def _times(item: Shown) -> str:
    """The words at their places under a mel; the sentence is read out elsewhere."""
    if item.row is None or not item.row.words:
        return ""
    whole_s = duration_s(item)
    places = "".join(
        f'<li style="left:{100 * word.start_s / whole_s:.2f}%;'
        f'width:{100 * (word.end_s - word.start_s) / whole_s:.2f}%">{esc(word.word)}</li>'
        for word in item.row.words
    )
    return f'<ol class="times" aria-hidden="true">{places}</ol>'


def facts(item: Shown) -> str:
    """Whose clip it is."""
    clip = item.clip
    seen = {True: "seen", False: "unseen", None: ""}[item.seen]
    whose, tags = f"Speaker {clip.speaker}", [clip.gender, seen]
    if item.swapped:
        genders = {
            row.speaker: row.gender for row in (item.build.rows if item.build else {}).values()
        }
        face = f"{clip.voice} ({genders[clip.voice]})" if clip.voice in genders else clip.voice
        whose = f"Lips of {clip.speaker} ({clip.gender}), face of {face}"
        tags = [f"{seen} face" if seen else ""]
    told = "".join(f' <span class="tag">{esc(tag)}</span>' for tag in tags if tag)
    return f'<h3>{esc(whose)}{told}</h3><p class="facts">{esc(clip.stem)}</p>'


def words(item: Shown) -> str:
    """What was said, and what each system read from the lips."""
    said = item.clip.sentence
    lines = [f"<dt>said</dt><dd>{esc(said)}</dd>"] if said else []
    several = sum(bool(clip.transcript) for _, clip in item.made) > 1
    for run, clip in item.made:
        if clip.transcript:
            label = f"read, {run.info.name}" if several else "read from the lips"
            lines.append(f"<dt>{esc(label)}</dt><dd>{compared(said, clip.transcript)}</dd>")
    return f'<dl class="words-of">{"".join(lines)}</dl>' if lines else ""


def compared(said: str, read: str) -> str:
    """What was read, its wrong words marked, and how many are wrong or missing."""
    truth, words = said.split(), read.split()
    if not truth:
        return esc(read)
    parts, errors = [], 0
    for tag, a, b, c, d in SequenceMatcher(None, truth, words, autojunk=False).get_opcodes():
        text = esc(" ".join(words[c:d]))
        if tag != "equal":
            errors += max(b - a, d - c)
            text = f"<mark>{text}</mark>" if text else ""
        parts.append(text)
    verdict = "no word wrong" if not errors else f"{errors} of {len(truth)} words wrong"
    return f"{' '.join(part for part in parts if part)} <small>({verdict})</small>"
