"""Words as GRID spells them, and how a transcript differs from what was said.

Recognizers write the same sentence in many ways ("Bin blue at F2, now."), so both sides pass through
one normalizer before anything is counted. It is GRID's own: Whisper's English normalizer reads the
letter o before a digit as a zero and joins the two ("at o two" becomes "at 02"), which costs a word
in 4 % of GRID's sentences.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from manifests.grammar import SLOTS, VOCABULARY, WORDS
from manifests.language import ENGLISH, normalized

NORMALIZER = "grid-1"
"""Stands in every score that a normalized text decided; counted up when the rules change."""

ENGLISH_NORMALIZER = "english-1"
"""Stands in the details of a score of a sentence outside GRID's vocabulary."""

WHISPER_NORMALIZER = "whisper-english"
"""OpenAI's, of which `evaluation.models.whisper` knows where it lies."""

NORMALIZERS = {
    NORMALIZER: (
        "lower case, no punctuation, digits as words, z, zed, zee and 0 as GRID says them, the pauses "
        "sil and sp left out"
    ),
    ENGLISH_NORMALIZER: "lower case, no punctuation, numbers as English words",
    WHISPER_NORMALIZER: (
        "OpenAI's EnglishTextNormalizer: lower case, no punctuation, no fillers, contractions written "
        "out, American spelling, numbers as digits; the letter o before a digit becomes a zero and joins "
        "it, so that those sentences of GRID have five words"
    ),
}
"""What each does, for people."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PAUSES = ("sil", "sp")
LETTER_NAMES = {"zed": "z", "zee": "z"}


@lru_cache(maxsize=1 << 16)
def normalize(text: str) -> str:
    """The words of a transcript, lower case, one space between them.

    - punctuation goes, an apostrophe stays within its word; accents go;
    - letters and digits written together come apart, digits become words: `F2` → `f two`;
    - `0` and the code letter `z` are the word `zero`, except where a digit follows: there stands
      GRID's letter, so `02` and `0 2` are `o two`, and `z 2` is `z two`;
    - `zed` and `zee` are the letter `z`;
    - the alignments' pauses `sil` and `sp` are no words.
    """
    plain = unicodedata.normalize("NFKD", text).lower().replace("’", "'")
    tokens = [
        token
        for token in re.findall(r"\d|[^\W\d_]+(?:'[^\W\d_]+)*", _without_marks(plain))
        if token not in PAUSES
    ]
    words = []
    for token, following in zip(tokens, [*tokens, ""][1:], strict=True):
        before_digit = following.isdecimal() or following in DIGITS or following == "z"
        if token == "0":
            words.append("o" if before_digit else "zero")
        elif token.isdecimal():
            words.append(DIGITS[int(token)])
        elif token == "z":
            words.append("z" if before_digit else "zero")
        else:
            words.append(LETTER_NAMES.get(token, token))
    return " ".join(words)


def _without_marks(text: str) -> str:
    return "".join(char for char in text if not unicodedata.combining(char))


def fits_grammar(words: Sequence[str]) -> bool:
    """Returns whether normalized words are a sentence of GRID: six, each of its slot."""
    return len(words) == len(SLOTS) and all(
        word in slot.values() for word, slot in zip(words, VOCABULARY, strict=True)
    )


def in_vocabulary(words: Sequence[str]) -> bool:
    """Returns whether all normalized words are among GRID's 51."""
    return set(words) <= set(WORDS)


@dataclass(frozen=True)
class Counts:
    """The alignment of a hypothesis with its reference, in words or characters.

    Attributes:
        hits, substitutions, deletions: of the reference's units; together its length.
        insertions: units of the hypothesis beside them.
    """

    hits: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def length(self) -> int:
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate_percent(self) -> float:
        """Error rate; above 100 where a hypothesis is longer than its reference."""
        return 100 * self.errors / self.length


@dataclass(frozen=True)
class Comparison:
    """One alignment from which every rate is a view.

    Attributes:
        reference, hypothesis: normalized.
        words, characters: counts; characters include the spaces between words.
        heard: for each word of the reference the word heard in its place, "" where none was.
        normalizer: the one that both passed through.
    """

    reference: str
    hypothesis: str
    words: Counts
    characters: Counts
    heard: tuple[str, ...]
    normalizer: str = NORMALIZER

    @property
    def slots(self) -> dict[str, tuple[str, str]] | None:
        """Slot → (said, heard); None where the reference is no sentence of GRID's grammar."""
        said = self.reference.split()
        if not fits_grammar(said):
            return None
        return dict(zip(SLOTS, zip(said, self.heard, strict=True), strict=True))


def compare(reference: str, hypothesis: str) -> Comparison:
    """Aligns two texts after normalizing both, by the least number of errors (jiwer).

    A reference in GRID's words passes through GRID's normalizer with its hypothesis; another one through
    that for English (`manifests.language`), where numbers are words and z is no zero.

    Raises:
        ValueError: the reference has no words.
    """
    said, found, normalizer = normalize(reference), normalize(hypothesis), NORMALIZER
    if not in_vocabulary(said.split()):
        said, found = (normalized(text, ENGLISH) for text in (reference, hypothesis))
        normalizer = ENGLISH_NORMALIZER
    return compare_normalized(said, found, normalizer)


def compare_normalized(said: str, found: str, normalizer: str) -> Comparison:
    """Aligns two texts that a normalizer has made; otherwise as `compare`.

    Args:
        said, found: reference and hypothesis, one space between words.
        normalizer: its name.
    """
    import jiwer

    if not said:
        raise ValueError("the reference has no words")
    words = jiwer.process_words(said, found)
    characters = jiwer.process_characters(said, found)
    reference_words, hypothesis_words = said.split(), found.split()
    heard = [""] * len(reference_words)
    for chunk in words.alignments[0]:
        if chunk.type in ("equal", "substitute"):
            for offset in range(chunk.ref_end_idx - chunk.ref_start_idx):
                heard[chunk.ref_start_idx + offset] = hypothesis_words[chunk.hyp_start_idx + offset]
    return Comparison(said, found, _counts(words), _counts(characters), tuple(heard), normalizer)


def _counts(output: object) -> Counts:
    return Counts(
        *(
            int(getattr(output, name))
            for name in ("hits", "substitutions", "deletions", "insertions")
        )
    )


@dataclass(frozen=True)
class WordAlignment:
    """The words of a reference that were heard, and what was heard beside them.

    Attributes:
        correct: for each of the N words of the reference whether it was heard.
        inserted: (N + 1) words heard before each of them, and after the last.
    """

    correct: tuple[bool, ...]
    inserted: tuple[int, ...]

    @property
    def errors(self) -> int:
        return self.correct.count(False) + sum(self.inserted)


def align_words(reference: str, hypothesis: str) -> WordAlignment:
    """The alignment behind `compare`'s word counts, word by word. Both texts are normalized.

    Raises:
        ValueError: the reference has no words.
    """
    import jiwer

    said = normalize(reference)
    if not said:
        raise ValueError("the reference has no words")
    n = len(said.split())
    correct, inserted = [False] * n, [0] * (n + 1)
    for chunk in jiwer.process_words(said, normalize(hypothesis)).alignments[0]:
        if chunk.type == "equal":
            for i in range(chunk.ref_start_idx, chunk.ref_end_idx):
                correct[i] = True
        elif chunk.type == "insert":
            inserted[chunk.ref_start_idx] += chunk.hyp_end_idx - chunk.hyp_start_idx
    return WordAlignment(tuple(correct), tuple(inserted))
