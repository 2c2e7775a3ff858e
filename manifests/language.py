"""The normal form of what is said, by the language of a corpus: what a row's `sentence` is written in,
and the alphabet that a lip reader spells in.

`grid` is GRID's 51 words in lower case; `english` is lower case a to z with apostrophes, numbers
spelled out, as transcripts of LRS2 and LRS3 are compared.
"""

from __future__ import annotations

import re
import unicodedata

from manifests.errors import BadInput

GRID = "grid"
ENGLISH = "english"

ALPHABETS: dict[str, str] = {
    GRID: " abcdefghijklmnopqrstuvwxyz",
    ENGLISH: " abcdefghijklmnopqrstuvwxyz'",
}
"""Language → every character of a normal form; the space separates words."""

_APOSTROPHES = str.maketrans("’‘`´ʼ", "'''''")
_REMARK = re.compile(r"\{[^}]*\}|\[[^\]]*\]|<[^>]*>|\([^)]*\)")
"""`{NS}`, `[laughter]`, `<unk>`: what transcribers write that nobody says."""
_ONES = [
    "zero", "one", "two", "three", "four", "five", "six",
    "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:st|nd|rd|th)?")
_SYMBOLS = {"&": " and ", "%": " percent ", "+": " plus ", "@": " at "}


def alphabet(language: str) -> str:
    """The alphabet of a language. Raises `BadInput` for one that has none here."""
    if language not in ALPHABETS:
        raise BadInput(f"no alphabet for the language {language!r}", f"use {', '.join(ALPHABETS)}")
    return ALPHABETS[language]


def normalized(text: str, language: str) -> str:
    """The normal form of a text; "" where it is in another script.

    >>> normalized("It’s 21 O'CLOCK, {NS} on the 3rd — café!", "english")
    "it's twenty one o'clock on the third cafe"
    >>> normalized("  BIN blue ", "grid")
    'bin blue'
    """
    if language == ENGLISH:
        return _english(text)
    return " ".join(text.lower().split())


def _english(text: str) -> str:
    text = _REMARK.sub(" ", text.translate(_APOSTROPHES))
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    text = _NUMBER.sub(lambda match: f" {_number(match[0])} ", text.lower())
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    if any(c.isalpha() and not ("a" <= c <= "z") for c in plain):
        return ""
    words = (word.strip("'") for word in re.sub(r"[^a-z']+", " ", plain).split())
    return " ".join(word for word in words if word)


def _number(text: str) -> str:
    """Digits in words, as they are mostly read: `1,204` as a count, `007` and `3.14` digit by digit."""
    digits = text.rstrip("stndrh").replace(",", "")
    whole, _, fraction = digits.partition(".")
    if len(whole) > 9 or (len(whole) > 1 and whole[0] == "0"):
        said = " ".join(_ONES[int(digit)] for digit in whole)
    else:
        said = _cardinal(int(whole))
    if fraction:
        said += " point " + " ".join(_ONES[int(digit)] for digit in fraction)
    if text[-1].isalpha():
        head, _, last = said.rpartition(" ")
        ordinal = _ORDINALS.get(last) or (last[:-1] + "ie" if last[-1] == "y" else last) + "th"
        said = f"{head} {ordinal}".strip()
    return said


def _cardinal(value: int) -> str:
    for size, name in ((1_000_000, "million"), (1000, "thousand"), (100, "hundred")):
        if value >= size:
            rest = f" {_cardinal(value % size)}" if value % size else ""
            return f"{_cardinal(value // size)} {name}{rest}"
    if value < 20:
        return _ONES[value]
    return _TENS[value // 10 - 2] + (f" {_ONES[value % 10]}" if value % 10 else "")
