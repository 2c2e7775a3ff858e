"""Text as Face2Speech is given it: the phonemes of GRID's 51 words, their features, and their times.

The table is what espeak-ng says for each word in British English, letters by their names, without the
marks of stress: one pronunciation a word, so that synthesis needs no espeak-ng. Between two words, and
at both ends of a sentence, stands a pause, which may last no time at all.

Alignments give the times of words. Inside a word the phonemes share its time, a vowel twice as much as
a consonant; a model that learns from that need not be told more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from manifests.errors import BadInput
from manifests.grammar import WORDS
from manifests.records import WordSpan

PAUSE = "_"
TABLE: dict[str, str] = {
    "a": "eI", "again": "a# g E n", "at": "a t", "b": "b i:", "bin": "b I n", "blue": "b l u:",
    "by": "b aI", "c": "s i:", "d": "d i:", "e": "i:", "eight": "eI t", "f": "E f",
    "five": "f aI v", "four": "f o@", "g": "dZ i:", "green": "g r i: n", "h": "eI tS", "i": "aI",
    "in": "I n", "j": "dZ eI", "k": "k eI", "l": "E l", "lay": "l eI", "m": "E m", "n": "E n",
    "nine": "n aI n", "now": "n aU", "o": "oU", "one": "w 0 n", "p": "p i:", "place": "p l eI s",
    "please": "p l i: z", "q": "k j u:", "r": "A:", "red": "r E d", "s": "E s", "set": "s E t",
    "seven": "s E v @ n", "six": "s I k s", "soon": "s u: n", "t": "t i:", "three": "T r i:",
    "two": "t u:", "u": "j u:", "v": "v i:", "white": "w aI t", "with": "w I D", "x": "E k s",
    "y": "w aI", "z": "z E d", "zero": "z i@ r oU",
}  # fmt: skip
"""Word → phonemes, as espeak-ng writes them."""

PHONEMES = (PAUSE, *sorted({phone for phones in TABLE.values() for phone in phones.split()}))
VOWELS = frozenset(phone for phone in PHONEMES if phone[0] in "aAeEiIoOu0@")
NUMBERS = 7
FEATURES = len(PHONEMES) + NUMBERS
"""Numbers of a phoneme: which it is, whether it is a vowel, and its places; see `Utterance.features`."""


@dataclass(frozen=True)
class Utterance:
    """A sentence as phonemes.

    Attributes:
        words: the words, each in `TABLE`; none is a pause alone.
        phones: names of the phonemes, pauses among them.
        spans: (P, 2) indices of the first and the last phoneme of the word of each; of a pause itself.
    """

    words: tuple[str, ...]
    phones: tuple[str, ...]
    spans: NDArray[np.int64]

    @property
    def pauses(self) -> NDArray[np.bool_]:
        """(P,) which phonemes are pauses."""
        return np.array([phone == PAUSE for phone in self.phones])

    def features(self) -> Tensor:
        """(P, FEATURES) float32: which phoneme, whether it is a vowel, its place among those of its
        word from both ends, their number, and the place of its word in the sentence from both ends
        and their number, all of the order of 1."""
        made = np.zeros((len(self.phones), FEATURES), np.float32)
        words = max(len(self.words), 1)
        word = -1
        for at, (phone, (first, last)) in enumerate(zip(self.phones, self.spans, strict=True)):
            made[at, PHONEMES.index(phone)] = 1
            pause = phone == PAUSE
            word += not pause and at == first
            places = (0, 0, 0) if pause else (at - first, last - at, last - first + 1)
            numbers = [phone in VOWELS, *(place / 5 for place in places)]
            numbers += [(word + 1) / words, (words - word - 1) / words, words / 6]
            made[at, -NUMBERS:] = numbers
        return torch.from_numpy(made)

    def durations(self, spans: Sequence[WordSpan], frames: int, rate_hz: float) -> Tensor:
        """(P,) int64, frames of each phoneme by the times of the words, `frames` in all.

        Args:
            spans: of the words, in their order.
            frames: of the clip.
            rate_hz: frames per second.

        Raises:
            BadInput: the words with times are not those of the sentence.
        """
        if tuple(span.word for span in spans) != self.words:
            raise BadInput(
                f"the times are of {' '.join(span.word for span in spans) or 'no words'!r}, and the "
                f"sentence is {' '.join(self.words)!r}",
                "build the clip again with its alignment",
            )
        edges = np.array([time for span in spans for time in (span.start_s, span.end_s)])
        edges = np.maximum.accumulate(np.clip(np.round(edges * rate_hz), 0, frames))
        found = np.zeros(len(self.phones), np.int64)
        starts = [
            at for at, (first, _) in enumerate(self.spans) if not self.pauses[at] and at == first
        ]
        for number, first in enumerate(starts):
            start, end = edges[2 * number : 2 * number + 2]
            inside = slice(first, self.spans[first, 1] + 1)
            shares = np.array([1 + (phone in VOWELS) for phone in self.phones[inside]])
            bounds = np.round(start + (end - start) * np.cumsum(shares) / shares.sum())
            found[inside] = np.diff(bounds, prepend=start)
        gaps = np.diff([0, *edges, frames])[::2]
        found[self.pauses] = gaps
        return torch.from_numpy(found)


def utterance(words: Sequence[str]) -> Utterance:
    """The phonemes of a sentence.

    Raises:
        BadInput: a word is none of GRID's.

    Example:
        >>> utterance(["bin", "x"]).phones
        ('_', 'b', 'I', 'n', '_', 'E', 'k', 's', '_')
    """
    unknown = sorted({word for word in words if word not in TABLE})
    if unknown:
        raise BadInput(
            f"{', '.join(map(repr, unknown))} is none of GRID's {len(TABLE)} words",
            "give a sentence of these",
        )
    phones, spans = [PAUSE], [(0, 0)]
    for word in words:
        spoken = TABLE[word].split()
        first = len(phones)
        spans += [(first, first + len(spoken) - 1)] * len(spoken)
        phones += [*spoken, PAUSE]
        spans.append((len(phones) - 1,) * 2)
    return Utterance(tuple(words), tuple(phones), np.array(spans, np.int64))


def nearest_words(text: str) -> tuple[str, ...]:
    """Each word of a reading as the one of GRID's 51 that it is most likely meant to be: the fewest
    letters apart.

    Example:
        >>> nearest_words("bim blu at f twoo now")
        ('bin', 'blue', 'at', 'f', 'two', 'now')
    """
    found = []
    for word in text.split():
        best = process.extractOne(word, WORDS, scorer=Levenshtein.distance)
        assert best is not None, "no limit of the distance was given"
        found.append(str(best[0]))
    return tuple(found)


def fitted(durations: NDArray[np.float64], pauses: NDArray[np.bool_], frames: int) -> Tensor:
    """Durations as whole frames that fill a clip.

    A phoneme lasts at least a frame. What is left of the clip is the last pause's; where too little is
    left, the last pause is shortened first, then the first, then everything alike.

    Args:
        durations: (P,) frames, of 0 or more.
        pauses: (P,) which are pauses; the first and the last are.
        frames: of the clip, 1 or more.

    Returns:
        (P,) int64, `frames` in all.

    Example:
        >>> fitted(np.array([3.0, 2.2, 2.2, 9.0]), np.array([True, False, False, True]), 9).tolist()
        [3, 2, 2, 2]
    """
    wanted = np.maximum(durations, np.where(pauses, 0.0, 1.0))
    wanted[-1] = 0
    excess = wanted.sum() - frames
    if excess > 0:
        wanted[0] -= min(excess, wanted[0])
    if wanted.sum() > frames:
        wanted *= frames / wanted.sum()
    edges = np.minimum(np.round(np.cumsum(wanted)), frames).astype(np.int64)
    edges[-1] = frames
    return torch.from_numpy(np.diff(edges, prepend=0))
