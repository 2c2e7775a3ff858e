"""Contents of the cards of the demo page, one card per clip; `page.html` renders them."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

from facetron.demo.clips import Shown
from facetron.demo.video import Sound
from manifests.grammar import WORDS
from manifests.specs import VIDEO_FPS

MEDIA = "media"
"""Folder of the page's files."""


@dataclass(frozen=True)
class Side:
    """One video of a card: its name, its sound, and the files made of it.

    Attributes:
        label: what a screen reader says of it.
    """

    name: str
    sound: Sound
    rate_hz: int
    file: str
    mel: str
    label: str


@dataclass(frozen=True)
class TimedWord:
    """A word under a mel, with its place in percent of the clip's duration."""

    text: str
    left: float
    width: float


@dataclass(frozen=True)
class ReadLine:
    """The text that a system read: (word, whether it is wrong) in order; how many are wrong and how far
    the system trusts the text."""

    label: str
    words: tuple[tuple[str, bool], ...]
    verdict: str


@dataclass(frozen=True)
class Card:
    """A clip on the page.

    Attributes:
        whose, tags, stem: whose clip it is.
        voice, still: of a swap: the speaker whose face it has, and the picture of it.
        said, read: the sentence, and what each system read from the lips.
        sides: its videos.
        poster, width, height: the picture before a video plays; "" where there is only sound.
        times: the words under a mel; the sentence is read out elsewhere.
    """

    whose: str
    tags: tuple[str, ...]
    stem: str
    voice: str
    still: str
    said: str
    read: tuple[ReadLine, ...]
    sides: tuple[Side, ...]
    poster: str
    width: int
    height: int
    times: tuple[TimedWord, ...]


def duration_s(item: Shown) -> float:
    """Duration of the clip; 0 where its features are not known."""
    return item.row.video_frames / VIDEO_FPS if item.row else 0.0


def label_of(name: str, item: Shown) -> str:
    """Returns the accessible label of a video or sound."""
    clip = item.clip
    return f"{name}, {clip.speaker}: {clip.sentence or clip.stem}"


def times(item: Shown) -> tuple[TimedWord, ...]:
    """Returns the words at their places under a mel."""
    if item.row is None:
        return ()
    whole_s = duration_s(item)
    return tuple(
        TimedWord(
            word.word, 100 * word.start_s / whole_s, 100 * (word.end_s - word.start_s) / whole_s
        )
        for word in item.row.words
    )


def whose(item: Shown) -> tuple[str, tuple[str, ...]]:
    """Returns (the speaker of the clip, tags for gender and for seen or unseen)."""
    clip = item.clip
    seen = {True: "seen", False: "unseen", None: ""}[item.seen]
    told, tags = f"Speaker {clip.speaker}", [clip.gender, seen]
    if item.swapped:
        genders = {
            row.speaker: row.gender for row in (item.build.rows if item.build else {}).values()
        }
        face = f"{clip.voice} ({genders[clip.voice]})" if clip.voice in genders else clip.voice
        told = f"Lips of {clip.speaker} ({clip.gender}), face of {face}"
        tags = [f"{seen} face" if seen else ""]
    return told, tuple(tag for tag in tags if tag)


def read_lines(item: Shown) -> tuple[ReadLine, ...]:
    """Returns the text that each system read from the lips, and how far it trusts it."""
    several = sum(bool(clip.transcript) for _, clip in item.made) > 1
    lines = []
    for run, clip in item.made:
        if clip.transcript:
            words, verdict = compared(item.clip.sentence, clip.transcript)
            told = [verdict] if verdict else []
            if clip.confidence is not None:
                told.append(f"confidence {clip.confidence:.0%}")
            if clip.in_domain is False:
                told.append("does not look like GRID speech")
            if clip.in_domain is not None and (strange := unknown_words(item.clip.sentence)):
                told.append(f"the weights do not know {strange}")
            label = f"read, {run.info.name}" if several else "read from the lips"
            lines.append(ReadLine(label, words, "; ".join(told)))
    return tuple(lines)


def unknown_words(said: str) -> str:
    """Returns what weights that know GRID's words alone cannot read in a sentence, "" where they know
    it all.

    >>> unknown_words("bin blue hello now"), unknown_words("bin blue now")
    ('1 of these 4 words (hello)', '')
    """
    words = said.split()
    strange = sorted({word for word in words if word not in WORDS})
    if not strange:
        return ""
    shown = ", ".join(strange[:3]) + (", …" if len(strange) > 3 else "")
    return f"{sum(word not in WORDS for word in words)} of these {len(words)} words ({shown})"


def compared(said: str, read: str) -> tuple[tuple[tuple[str, bool], ...], str]:
    """Compares a hypothesis with the reference: ((word, whether it is wrong) …, a verdict in words).

    >>> compared("bin blue now", "bin red now")
    ((('bin', False), ('red', True), ('now', False)), '1 of 3 words wrong')
    """
    truth, words = said.split(), read.split()
    if not truth:
        return ((read, False),), ""
    parts, errors = [], 0
    for tag, a, b, c, d in SequenceMatcher(None, truth, words, autojunk=False).get_opcodes():
        text = " ".join(words[c:d])
        if tag != "equal":
            errors += max(b - a, d - c)
        if text:
            parts.append((text, tag != "equal"))
    verdict = "no word wrong" if not errors else f"{errors} of {len(truth)} words wrong"
    return tuple(parts), verdict
