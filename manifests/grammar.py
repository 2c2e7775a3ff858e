"""GRID's grammar: six words per sentence, each encoded by one character of the stem.

Source: Cooke, Barker, Cunningham, Shao, JASA 120(5), 2006. command · color · preposition · letter ·
digit · adverb; 4·4·4·25·10·4 = 64,000 sentences over 51 words.
"""

from __future__ import annotations

import re

from manifests.errors import BadInput

SLOTS = ("command", "color", "preposition", "letter", "digit", "adverb")

VOCABULARY: tuple[dict[str, str], ...] = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {
        letter: letter for letter in "abcdefghijklmnopqrstuvxyz"
    },  # no w: its name has three syllables
    {
        "1": "one",
        "2": "two",
        "3": "three",
        "4": "four",
        "5": "five",
        "6": "six",
        "7": "seven",
        "8": "eight",
        "9": "nine",
        "z": "zero",
    },
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
"""Per slot: code letter in the stem → word."""

STEM_PATTERN = re.compile("[blps][bgrw][abiw][a-vx-z][1-9z][anps]")
WORDS = tuple(sorted({word for slot in VOCABULARY for word in slot.values()}))


def is_stem(text: str) -> bool:
    """Returns whether `text` is a GRID stem (`bbaf2n`)."""
    return STEM_PATTERN.fullmatch(text) is not None


def stem_in(name: str) -> str | None:
    """The stem that a file's name holds, in lower case; None where it holds none, or several.

    A name is taken apart at everything that is no letter and no digit.

    >>> stem_in("s1_bgah2p"), stem_in("id2_vcd_swwp2s"), stem_in("BBAF2N (1)"), stem_in("trailer")
    ('bgah2p', 'swwp2s', 'bbaf2n', None)
    """
    if is_stem(name):  # as nearly all names of a corpus are
        return name
    found = {part for part in re.split("[^a-z0-9]+", name.lower()) if is_stem(part)}
    return found.pop() if len(found) == 1 else None


def words_of(stem: str) -> tuple[str, ...]:
    """The six words that a stem encodes: `bbaf2n` → bin blue at f two now. Raises `BadInput`."""
    if not is_stem(stem):
        raise BadInput(f"{stem!r} is not a GRID stem", "stems look like bbaf2n")
    return tuple(slot[letter] for slot, letter in zip(VOCABULARY, stem, strict=True))


def sentence_of(stem: str) -> str:
    """The sentence that a stem encodes, words separated by one space."""
    return " ".join(words_of(stem))


def stem_of(sentence: str) -> str:
    """Inverse of `sentence_of`. Raises `BadInput` for a sentence outside the grammar."""
    words = sentence.lower().split()
    letters = []
    if len(words) == len(SLOTS):
        for slot, word in zip(VOCABULARY, words, strict=True):
            letters += [letter for letter, known in slot.items() if known == word]
    if len(letters) != len(SLOTS):
        raise BadInput(f"{sentence!r} is not a sentence of GRID's grammar", "check the transcript")
    return "".join(letters)
