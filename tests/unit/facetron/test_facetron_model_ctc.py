"""CTC decoding against brute force, and a grammar that always holds."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from facetron.model.ctc import (
    VOCABULARY,
    Hypothesis,
    any_text,
    automaton,
    beam,
    decode,
    encode,
    greedy,
    grid_sentences,
    log_softmax,
)
from manifests.errors import BadInput
from manifests.grammar import sentence_of, stem_of

Logits = NDArray[np.float64]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def few_letters(seed: int, frames: int, letters: int = 3) -> Logits:
    """(1, T, 28) in which only the blank and the first letters are likely at all."""
    logits = np.full((1, frames, len(VOCABULARY)), -200.0)
    logits[:, :, : letters + 1] = rng(seed).normal(size=(1, frames, letters + 1)) * 2
    return logits


def all_texts(logits: Logits) -> dict[str, float]:
    """Probability of every text, by trying every alignment."""
    p = np.exp(log_softmax(logits))[0]
    likely = [c for c in range(p.shape[1]) if p[:, c].max() > 1e-60]
    texts: dict[str, float] = {}
    for path in itertools.product(likely, repeat=len(p)):
        joined = [c for c, _ in itertools.groupby(path)]
        text = decode([c for c in joined if c])
        texts[text] = texts.get(text, 0.0) + math.prod(p[t, c] for t, c in enumerate(path))
    return texts


def spelt(text: str, frames: int, seed: int = 0, clarity: float = 8.0) -> Logits:
    """(1, T, 28) of a clear speaker: every letter once, a blank behind it."""
    path = [c for letter in encode(text) for c in (letter, 0)]
    path += [0] * (frames - len(path))
    logits = rng(seed).normal(size=(1, frames, len(VOCABULARY)))
    logits[0, np.arange(frames), path] += clarity
    return logits


def test_vocabulary() -> None:
    assert len(VOCABULARY) == 28
    assert encode("a z") == [2, 1, 27]
    assert decode([0, 2, 0, 1, 27]) == "a z"
    with pytest.raises(BadInput, match="letters"):
        encode("a1")


def test_greedy_joins_repeats_and_keeps_doubles() -> None:
    path = encode("gg")[:1] + encode("reeen") + encode("n")
    logits = np.zeros((2, 9, 28))
    logits[0, np.arange(7), path] = 5
    logits[0, 7:, 0] = 5
    doubled = [*encode("gre"), 0, *encode("en"), 0, 0, 0]
    logits[1, np.arange(9), doubled] = 5
    assert greedy(logits) == ["gren", "green"]
    assert greedy(logits, np.array([3, 5])) == ["gre", "gree"]
    assert greedy(logits, np.array([0, 9])) == ["", "green"]


@pytest.mark.parametrize("seed", range(12))
def test_wide_beam_equals_brute_force(seed: int) -> None:
    logits = few_letters(seed, frames=5)
    texts = all_texts(logits)
    best = max(texts, key=lambda text: texts[text])
    (found,) = beam(logits, width=400)
    assert found.text == best
    assert found.log_probability == pytest.approx(math.log(texts[best]), abs=1e-9)


def test_beam_sums_alignments_where_greedy_takes_the_best_one() -> None:
    p = np.full((1, 2, 28), 1e-12)
    p[0, :, 0], p[0, :, 2] = 0.6, 0.4
    assert greedy(np.log(p)) == [""]
    (found,) = beam(np.log(p))
    assert found.text == "a"
    assert math.exp(found.log_probability) == pytest.approx(0.64)


def test_no_prefix_is_counted_twice() -> None:
    """Probabilities of a beam's best text never exceed brute force, at any width."""
    for seed, width in itertools.product(range(6), (1, 2, 3, 5, 8, 30)):
        logits = few_letters(100 + seed, frames=6, letters=2)
        (found,) = beam(logits, width=width)
        exact = all_texts(logits)[found.text]
        assert math.exp(found.log_probability) <= exact * (1 + 1e-9)


def test_a_clip_depends_on_its_own_frames_only() -> None:
    logits = rng(0).normal(size=(4, 30, 28)) * 3
    lengths = np.array([30, 21, 25, 22])
    for allowed in (None, grid_sentences()):
        together = beam(logits, lengths, 8, allowed)
        for i, n in enumerate(lengths):
            (alone,) = beam(logits[i : i + 1, :n], None, 8, allowed)
            assert alone.text == together[i].text
            assert alone.log_probability == pytest.approx(together[i].log_probability)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("frames", [20, 21, 33, 75])
def test_grammar_always_holds(seed: int, frames: int) -> None:
    logits = rng(seed).normal(size=(3, frames, 28)) * (1 + 5 * (seed % 3))
    for width in (1, 4, 16):
        for found in beam(logits, None, width, grid_sentences()):
            assert sentence_of(stem_of(found.text)) == found.text
            assert math.isfinite(found.log_probability)


def test_grammar_even_where_every_frame_says_blank() -> None:
    logits = np.zeros((1, 75, 28))
    logits[..., 0] = 1e4
    (found,) = beam(logits, None, 4, grid_sentences())
    assert stem_of(found.text)


@pytest.mark.parametrize("stem", ["bbaf2n", "lgwz3p", "prie7a", "swbx9s", "sgaazs"])
def test_clear_lips_are_read(stem: str) -> None:
    text = sentence_of(stem)
    logits = spelt(text, 75)
    assert greedy(logits) == [text]
    assert beam(logits)[0].text == text
    assert beam(logits, allowed=grid_sentences())[0].text == text


def test_grammar_corrects_unclear_lips() -> None:
    text = sentence_of("bbaf2n")
    wrong = {"greedy": 0, "grammar": 0}
    for seed in range(20):
        logits = spelt(text, 75, seed, clarity=3.5)
        wrong["greedy"] += greedy(logits)[0] != text
        wrong["grammar"] += beam(logits, None, 32, grid_sentences())[0].text != text
    assert wrong["grammar"] < wrong["greedy"]


def test_grammar_is_the_likeliest_sentence_of_a_small_language() -> None:
    """Three words over two letters: the beam against all alignments of each."""
    edges = np.full((6, len(VOCABULARY)), -1)
    a, b = 2, 3
    edges[0, a], edges[1, a], edges[0, b], edges[3, a], edges[1, b] = 1, 2, 3, 4, 5
    words = automaton(edges, np.array([False, False, True, False, True, True]))  # aa, ba, ab
    assert words.frames_needed[0].tolist() == [2] * 28
    assert int(words.frames_needed[1, a]) == 1
    assert int(words.frames_needed[3, b]) == 1
    for seed in range(10):
        logits = few_letters(seed, frames=5)
        texts = all_texts(logits)
        best = max(("aa", "ba", "ab"), key=lambda text: texts[text])
        (found,) = beam(logits, None, 50, words)
        assert found == Hypothesis(best, pytest.approx(math.log(texts[best])))


def test_doubled_letters_need_a_frame_between() -> None:
    edges = np.full((3, len(VOCABULARY)), -1)
    edges[0, 2], edges[1, 2] = 1, 2
    only_aa = automaton(edges, np.array([False, False, True]))
    assert int(only_aa.frames_needed[0, 0]) == 3
    assert int(only_aa.frames_needed[1, 2]) == 2
    (found,) = beam(rng(0).normal(size=(1, 3, 28)), None, 1, only_aa)
    assert found.text == "aa"
    with pytest.raises(BadInput, match="2 frames of lips; an allowed text needs at least 3"):
        beam(np.zeros((1, 2, 28)), None, 1, only_aa)


def test_grid_automaton() -> None:
    rules = grid_sentences()
    assert int(rules.frames_needed[0, 0]) == len("lay red at a one now")
    assert any_text().frames_needed.max() == 0
    paths = np.zeros(len(rules.accepting))
    paths[0] = 1
    total = 0.0
    for _ in range(40):
        total += paths[rules.accepting].sum()
        onward = np.zeros_like(paths)
        for state in np.flatnonzero(paths):
            for target in rules.next_state[state][rules.next_state[state] >= 0]:
                onward[target] += paths[state]
        paths = onward
    assert total == 64_000


def test_faults_are_named() -> None:
    good = np.zeros((2, 9, 28))
    with pytest.raises(BadInput, match="logits"):
        greedy(good[0])
    with pytest.raises(BadInput, match="logits"):
        beam(good[:, :, :27])
    with pytest.raises(BadInput, match="logits"):
        beam(good * np.nan)
    with pytest.raises(BadInput, match="width 0"):
        beam(good, width=0)
    for lengths in ([10, 9], [-1, 9], [9]):
        with pytest.raises(BadInput, match="lengths"):
            beam(good, np.array(lengths))
    assert beam(good[:0]) == []
    assert greedy(good[:0]) == []


def test_english_spells_apostrophes_and_its_letters_are_read_by_every_decoder() -> None:
    classes = encode("it's", "english")
    assert classes == [10, 21, 28, 20]
    assert encode("it's") == [10, 21, 20]
    logits = np.full((1, 8, 29), -20.0)
    for frame, letter in enumerate([10, 21, 0, 28, 28, 0, 20, 0]):
        logits[0, frame, letter] = 5
    assert greedy(logits) == ["it's"]
    assert beam(logits)[0].text == "it's"
    with pytest.raises(BadInput, match="no alphabet for the language 'klingon'"):
        encode("a", "klingon")
