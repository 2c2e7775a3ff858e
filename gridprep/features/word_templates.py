"""Templates of the words of GRID, and a score of how well a sound fits the words of an alignment.

A template is the mean log-mel of a word at its place in the sentence, its duration divided into six
equal parts, 20 bands, each clip's own mean spectrum removed, each speaker weighted equally. The score
of a clip compares, for every slot of the grammar, the distance of the sound between two boundaries of
the alignment to the template of the word that should stand there with the mean distance to the other
words of that slot. A wrong sentence fits neither in its words nor in its times.

`python -m gridprep.features.make_word_templates BUILD …` made `word_templates.npz`.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from manifests.grammar import SLOTS, VOCABULARY
from manifests.records import WordSpan

Array = NDArray[np.float64]
Templates = Mapping[tuple[int, str], Array]
"""(slot, word) → (120,) template."""

PARTS = 6
BANDS = 20
FRAMES_PER_S = 50
FILE = "word_templates.npz"


def word_features(mel: NDArray[np.float32], words: Sequence[WordSpan]) -> list[Array]:
    """(120,) of each word: six parts of its time, 20 bands each.

    Args:
        mel: (80, frames) default log mel, 50 frames per second.
        words: with times in seconds.
    """
    bands = mel.reshape(BANDS, -1, mel.shape[1]).mean(1).astype(np.float64)
    bands = bands - bands.mean(1, keepdims=True)
    last = bands.shape[1]
    found = []
    for word in words:
        start = min(word.start_s * FRAMES_PER_S, last - 1.0)
        end = max(word.end_s * FRAMES_PER_S, start + PARTS)
        edges = np.linspace(start, end, PARTS + 1)
        parts = []
        for a, b in itertools.pairwise(edges.tolist()):
            first = min(int(a), last - 1)
            parts.append(bands[:, first : max(first + 1, min(int(np.ceil(b)), last))].mean(1))
        found.append(np.concatenate(parts))
    return found


@lru_cache(maxsize=1)
def templates() -> Templates:
    """The templates that come with the package."""
    data = (resources.files("gridprep.features") / FILE).read_bytes()
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return {
            (int(slot), str(word)): value.astype(np.float64)
            for slot, word, value in zip(
                stored["slots"], stored["words"], stored["templates"], strict=True
            )
        }


def words_score(
    mel: NDArray[np.float32], words: Sequence[WordSpan], known: Templates | None = None
) -> float | None:
    """Scores how much nearer the sound is to the words of an alignment than to others of their slots.

    Args:
        mel: (80, frames) default log mel of the clip.
        words: six, one per slot of the grammar.
        known: templates; those of the package by default.

    Returns:
        The mean over the slots of 1 − distance / mean distance of the others: around 0 for any other
        sentence, a third for the right one. None for words that are no sentence of GRID.
    """
    fits = len(words) == len(SLOTS) and all(
        word.word in slot.values() for word, slot in zip(words, VOCABULARY, strict=True)
    )
    if not fits:
        return None
    known = templates() if known is None else known
    gains = []
    for slot, (word, sound) in enumerate(zip(words, word_features(mel, words), strict=True)):
        distances = {
            other: float(np.linalg.norm(sound - known[slot, other]))
            for other in VOCABULARY[slot].values()
            if (slot, other) in known
        }
        own = distances.pop(word.word, None)
        if own is None or len(distances) < 2:
            continue
        gains.append(1 - own / (sum(distances.values()) / len(distances)))
    return float(np.mean(gains)) if gains else None
