"""Words that sound like a word of GRID, read as that word.

A recognizer of general English writes "are too" where somebody says the letter r and the digit two, and
cannot know better. The pairs are those of the CMU Pronouncing Dictionary (BSD-2-Clause) that a recognizer
may write: names and abbreviations are left out, and so is what sounds like two of GRID's words ("ay").
"""

from __future__ import annotations

from evaluation.inputs.text import normalize

VERSION = "cmudict-1"
"""Stands in every score that the table decided; counted up when it changes."""

SOUND_LIKE: dict[str, tuple[str, ...]] = {
    "bin": ("been",),
    "set": ("sette",),
    "lay": ("lei", "ley"),
    "blue": ("blew", "bleu"),
    "green": ("greene",),
    "red": ("read", "redd"),
    "white": ("wight", "whyte"),
    "by": ("buy", "bye"),
    "in": ("inn",),
    "with": ("withe",),
    "b": ("be", "bee"),
    "c": ("see", "sea"),
    "d": ("dee",),
    "e": ("ee",),
    "g": ("gee",),
    "i": ("eye", "aye"),
    "j": ("jay",),
    "k": ("kay", "quay", "cay"),
    "l": ("el", "ell", "elle"),
    "m": ("em",),
    "n": ("en",),
    "o": ("oh", "owe", "eau"),
    "p": ("pea", "pee"),
    "q": ("queue", "cue"),
    "r": ("are", "our", "ar"),
    "s": ("es", "ess"),
    "t": ("tea", "tee"),
    "u": ("you", "ewe", "yew"),
    "v": ("vee",),
    "x": ("ex",),
    "y": ("why", "wye"),
    "one": ("won",),
    "two": ("to", "too"),
    "four": ("for", "fore"),
    "eight": ("ate",),
    "please": ("pleas",),
}
"""Word of GRID → what sounds the same and is written otherwise."""

_MEANT = {written: word for word, alike in SOUND_LIKE.items() for written in alike}


def projected(text: str) -> str:
    """A transcript, normalized, with each word that sounds like one of GRID's read as that one.

    Example:
        >>> projected("Bin blue at are too, know!")
        'bin blue at r two know'
    """
    return " ".join(_MEANT.get(word, word) for word in normalize(text).split())
