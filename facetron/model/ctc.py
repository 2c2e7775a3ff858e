"""Letters of the lip encoder (III): CTC (Graves et al., 2006), decoded greedily, by prefix beam search,
or by a beam over the sentences of GRID's grammar only.

Everything works on whole batches at once in NumPy. The beams of a batch are arrays (B, K); a prefix
is known by a 64-bit hash of its letters, so that the two ways to one prefix (a letter repeated, or
appended anew) are found by comparing numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput
from manifests.grammar import VOCABULARY as GRID_SLOTS
from manifests.language import ENGLISH, GRID, alphabet

BLANK = 0
ALPHABET = alphabet(GRID)
VOCABULARY: tuple[str, ...] = ("", *ALPHABET)
"""Class → text: the blank, then space, then a to z; 28 classes, those of GRID."""

_LETTERS: tuple[str, ...] = ("", *alphabet(ENGLISH))
"""The classes of English: GRID's, then the apostrophe."""

CLASSES = (len(VOCABULARY), len(_LETTERS))

Float = NDArray[np.float64]
Int = NDArray[np.int64]

HASH_STEP = np.uint64(0x9E3779B97F4A7C15)
HASH_START = np.uint64(0xD1B54A32D192ED03)


class Hypothesis(NamedTuple):
    """A decoded text and the natural logarithm of its probability, over all the alignments that
    the beam kept."""

    text: str
    log_probability: float


def vocabulary(language: str) -> tuple[str, ...]:
    """Class → text of a language, the blank first. Raises `BadInput` for an unknown one."""
    return ("", *alphabet(language))


def encode(text: str, language: str = GRID) -> list[int]:
    """Text → classes. Where the language has no apostrophe, "it's" is spelled "its". Raises `BadInput` for
    another letter outside the vocabulary."""
    letters = alphabet(language)
    text = text if "'" in letters else text.replace("'", "")
    classes = [letters.find(letter) + 1 for letter in text]
    if BLANK in classes:
        raise BadInput(f"{text!r} has letters that are not in a-z", "check the transcript")
    return classes


def decode(classes: list[int]) -> str:
    """Classes → text, blanks left out."""
    return "".join(_LETTERS[c] for c in classes)


@dataclass(frozen=True, eq=False)
class Automaton:
    """The texts that may be spelt.

    Attributes:
        next_state: (S, V) state after a letter, −1 where it may not follow. State 0 is the start.
        accepting: (S,) whether a text may end here.
        frames_needed: (S, V) fewest frames to an end, by the class of the frame before (a letter
            that repeats needs a blank between).
        weights: (S, V) what the log probability of a text gains by a letter, and by its end at
            `BLANK` (`facetron.model.letters`); None is nothing.
    """

    next_state: Int
    accepting: NDArray[np.bool_]
    frames_needed: Int
    weights: Float | None = None


def automaton(next_state: Int, accepting: NDArray[np.bool_]) -> Automaton:
    """Completes an `Automaton` with the frames that each state needs, by relaxation."""
    n_classes = next_state.shape[1]
    far = np.iinfo(np.int64).max // 4
    needed: Int = np.full(next_state.shape, far, dtype=np.int64)
    needed[accepting] = 0
    repeated = np.eye(n_classes, dtype=np.int64)
    while True:
        onward = np.where(
            next_state >= 0, 1 + needed[next_state, np.arange(n_classes)], far
        )  # (S, next letter)
        best = (onward[:, :, None] + repeated).min(axis=1)  # (S, letter before)
        relaxed: Int = np.minimum(needed, np.minimum(best, far))
        if np.array_equal(relaxed, needed):
            return Automaton(next_state, accepting, needed)
        needed = relaxed


@lru_cache(maxsize=2)
def any_text(classes: int = len(VOCABULARY)) -> Automaton:
    """Every text over the vocabulary of so many classes."""
    next_state = np.zeros((1, classes), dtype=np.int64)
    next_state[:, BLANK] = -1
    return automaton(next_state, np.ones(1, dtype=bool))


@lru_cache(maxsize=2)
def grid_sentences(several: bool = False) -> Automaton:
    """The 64,000 sentences of GRID: six tries of words in a row, joined by spaces.

    Args:
        several: allow several sentences in a row, with a space between them.
    """
    edges: list[dict[int, int]] = [{}]
    accepting: list[bool] = [False]

    def child(state: int, letter: int) -> int:
        if letter not in edges[state]:
            edges.append({})
            accepting.append(False)
            edges[state][letter] = len(edges) - 1
        return edges[state][letter]

    root = 0
    for slot, words in enumerate(GRID_SLOTS):
        ends = []
        for word in words.values():
            state = root
            for letter in encode(word):
                state = child(state, letter)
            ends.append(state)
        if slot == len(GRID_SLOTS) - 1:
            for state in ends:
                accepting[state] = True
                if several:
                    edges[state][encode(" ")[0]] = 0
        else:
            root = child(ends[0], encode(" ")[0])
            for state in ends[1:]:
                edges[state][encode(" ")[0]] = root
    next_state = np.full((len(edges), len(VOCABULARY)), -1, dtype=np.int64)
    for state, onward in enumerate(edges):
        for letter, target in onward.items():
            next_state[state, letter] = target
    return automaton(next_state, np.array(accepting))


def log_softmax(logits: NDArray[np.floating[Any]]) -> Float:
    """(B, T, V) → natural logarithms of probabilities; of such it changes nothing."""
    x = logits.astype(np.float64)
    if x.ndim != 3 or x.shape[2] not in CLASSES or not np.isfinite(x).all():
        raise BadInput(
            f"letters of shape {x.shape}", f"pass finite logits (clips, frames, {len(VOCABULARY)})"
        )
    x = x - x.max(axis=2, keepdims=True)
    return np.asarray(x - np.log(np.exp(x).sum(axis=2, keepdims=True)))


def _lengths(lengths: Int | None, shape: tuple[int, ...]) -> Int:
    if lengths is None:
        return np.full(shape[0], shape[1], dtype=np.int64)
    lengths = np.asarray(lengths, dtype=np.int64)
    if lengths.shape != shape[:1] or (lengths < 0).any() or (lengths > shape[1]).any():
        raise BadInput(
            f"lengths {lengths.tolist()} of {shape[0]} clips", f"give each 0 to {shape[1]} frames"
        )
    return lengths


def greedy(logits: NDArray[np.floating[Any]], lengths: Int | None = None) -> list[str]:
    """The likeliest class of every frame, repeats joined, blanks left out.

    Args:
        logits: (B, T, 28).
        lengths: (B,) frames of each clip; None is all of T.
    """
    if logits.ndim != 3 or logits.shape[2] not in CLASSES:
        raise BadInput(
            f"letters of shape {logits.shape}", f"pass logits (clips, frames, {len(VOCABULARY)})"
        )
    frames = _lengths(lengths, logits.shape)
    best = logits.argmax(axis=2)
    before = np.concatenate([np.full((len(best), 1), BLANK), best[:, :-1]], axis=1)
    inside = np.arange(best.shape[1]) < frames[:, None]
    kept = (best != BLANK) & (best != before) & inside
    return [decode(row[keep].tolist()) for row, keep in zip(best, kept, strict=True)]


def beam(
    logits: NDArray[np.floating[Any]],
    lengths: Int | None = None,
    width: int = 16,
    allowed: Automaton | None = None,
) -> list[Hypothesis]:
    """Prefix beam search: the likeliest text of each clip, summed over its alignments.

    Args:
        logits: (B, T, 28).
        lengths: (B,) frames of each clip; None is all of T.
        width: prefixes kept a clip.
        allowed: `grid_sentences()` for sentences of GRID only, a `letter_model` for a preference;
            None is any text. A prefix that
            could not be finished in the frames that are left is dropped, so what comes out is
            always complete.

    Raises:
        BadInput: another shape, no numbers, or a clip of too few frames for any allowed text.
    """
    log_p = log_softmax(logits)
    frames = _lengths(lengths, log_p.shape)
    rules = allowed or any_text(log_p.shape[2])
    # A grammar over fewer letters has no place for the last ones.
    log_p = log_p[:, :, : rules.next_state.shape[1]]
    least = int(rules.frames_needed[0, BLANK])
    if len(frames) and frames.min() < least:
        raise BadInput(
            f"{int(frames.min())} frames of lips", f"an allowed text needs at least {least}"
        )
    beams = _start(len(log_p), width)
    sources = np.zeros((log_p.shape[1], len(log_p), width), dtype=np.int32)
    letters = np.zeros_like(sources)
    for t in range(log_p.shape[1]):
        beams, sources[t], letters[t] = _advance(beams, log_p[:, t], frames - 1 - t, rules)
    if rules.weights is not None:
        ends = rules.weights[beams.state, BLANK]
        ended = (beams.ends_blank + ends, beams.ends_letter + ends)
        beams = beams._replace(ends_blank=ended[0], ends_letter=ended[1])
    return _read_out(beams, sources, letters)


class _Beams(NamedTuple):
    """K prefixes of each of B clips, all (B, K)."""

    hash: NDArray[np.uint64]
    parent: NDArray[np.uint64]  # hash without the last letter
    last: Int  # class of the last letter, BLANK where there is none
    state: Int
    ends_blank: Float  # log probability of the alignments that end in a blank
    ends_letter: Float

    @property
    def total(self) -> Float:
        return np.asarray(np.logaddexp(self.ends_blank, self.ends_letter))


def _start(clips: int, width: int) -> _Beams:
    if width < 1:
        raise BadInput(f"a beam of width {width}", "give at least 1")
    shape = (clips, width)
    ends_blank = np.full(shape, -np.inf)
    ends_blank[:, 0] = 0.0
    zeros = np.zeros(shape, dtype=np.int64)
    hashes: NDArray[np.uint64] = np.full(shape, HASH_START, dtype=np.uint64)
    return _Beams(hashes, np.invert(hashes), zeros, zeros, ends_blank, np.full(shape, -np.inf))


def _advance(
    beams: _Beams, log_p: Float, left: Int, rules: Automaton
) -> tuple[_Beams, NDArray[np.int32], NDArray[np.int32]]:
    """One frame: (B, V) into the beams. `left` (B,) frames follow; below 0 the clip is over.

    Returns:
        The new beams, the old beam that each came from, and the letter it appended (0 for none).
    """
    clips, width = beams.last.shape
    classes = log_p.shape[1]
    row, column = np.arange(clips)[:, None], np.arange(width)[None, :]
    total = beams.total

    # A beam stays: a blank, or its last letter once more.
    stay_blank = total + log_p[:, BLANK, None]
    stay_letter = beams.ends_letter + np.take_along_axis(log_p, beams.last, axis=1)
    # Or it takes a letter; the one it ends in only after a blank.
    base = np.repeat(total[:, :, None], classes, axis=2)
    base[row, column, beams.last] = beams.ends_blank
    longer = base + log_p[:, None, :]
    if rules.weights is not None:
        longer += rules.weights[beams.state]
    following = rules.next_state[beams.state]
    longer[following < 0] = -np.inf

    # What one beam becomes by a letter another may be already: one prefix, one beam.
    alive = total > -np.inf
    same = (beams.hash[:, :, None] == beams.parent[:, None, :]) & alive[:, :, None]
    clip, shorter, known = np.nonzero(same & alive[:, None, :])
    letter = beams.last[clip, known]
    stay_letter[clip, known] = np.logaddexp(stay_letter[clip, known], longer[clip, shorter, letter])
    longer[clip, shorter, letter] = -np.inf

    # Only what can still be finished.
    needed, room = rules.frames_needed, left[:, None]
    stay_blank[needed[beams.state, BLANK] > room] = -np.inf
    stay_letter[needed[beams.state, beams.last] > room] = -np.inf
    longer[needed[following, np.arange(classes)] > left[:, None, None]] = -np.inf

    stay = np.logaddexp(stay_blank, stay_letter)
    scores = np.concatenate([stay, longer.reshape(clips, width * classes)], axis=1)
    best = np.argpartition(-scores, width - 1, axis=1)[:, :width]
    stays = best < width
    source = np.where(stays, best, (best - width) // classes)
    letter = np.where(stays, BLANK, (best - width) % classes)
    with np.errstate(over="ignore"):  # a hash wraps around
        appended = beams.hash[row, source] * HASH_STEP + letter.astype(np.uint64)
    chosen = _Beams(
        np.where(stays, beams.hash[row, source], appended),
        np.where(stays, beams.parent[row, source], beams.hash[row, source]),
        np.where(stays, beams.last[row, source], letter),
        np.where(stays, beams.state[row, source], following[row, source, letter]),
        np.where(stays, stay_blank[row, source], -np.inf),
        np.where(stays, stay_letter[row, source], longer[row, source, letter]),
    )
    over = left[:, None] < 0
    kept = _Beams(*(np.where(over, old, new) for old, new in zip(beams, chosen, strict=True)))
    source, letter = np.where(over, column, source), np.where(over, BLANK, letter)
    return kept, source.astype(np.int32), letter.astype(np.int32)


def _read_out(
    beams: _Beams, sources: NDArray[np.int32], letters: NDArray[np.int32]
) -> list[Hypothesis]:
    """The best beam of each clip, read backwards through the beams it came from."""
    total = beams.total
    clips = np.arange(len(total))
    beam_of = total.argmax(axis=1) if len(total) else clips
    scores = total[clips, beam_of]
    spelt = np.zeros((len(sources), len(total)), dtype=np.int64)
    for t in range(len(sources) - 1, -1, -1):
        spelt[t] = letters[t, clips, beam_of]
        beam_of = sources[t, clips, beam_of]
    return [
        Hypothesis(decode(column.tolist()), float(score))
        for column, score in zip(spelt.T, scores, strict=True)
    ]
