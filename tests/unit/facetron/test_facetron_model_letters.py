"""The letter model: probabilities of letters, and a beam that is helped by them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from facetron.model.ctc import BLANK, Automaton, beam, decode, encode, log_softmax
from facetron.model.letters import letter_model, some_sentences
from manifests.errors import BadInput
from manifests.grammar import stem_of
from manifests.language import ENGLISH


def gain(model: Automaton, text: str) -> float:
    """What a text gains by a model, its end included."""
    assert model.weights is not None
    state, total = 0, 0.0
    for letter in encode(text):
        total += model.weights[state, letter]
        state = int(model.next_state[state, letter])
    return float(total + model.weights[state, BLANK])


def test_probabilities_are_those_of_witten_and_bell() -> None:
    model = letter_model(("ab", "aa"), order=2, weight=1.0, bonus=0.0)
    # Six symbols counted (a a a b and two ends) of three kinds, above 1/28 each.
    alone = {s: (n + 3 / 28) / 9 for s, n in (("a", 3), ("b", 1), ("", 2), ("c", 0))}
    after_a = {s: (n + 3 * alone[s]) / 6 for s, n in (("a", 1), ("b", 1), ("", 1), ("c", 0))}
    first = {s: (n + alone[s]) / 3 for s, n in (("a", 2), ("b", 0))}
    after_b = {"": (1 + alone[""]) / 2}
    assert gain(model, "ab") == pytest.approx(math.log(first["a"] * after_a["b"] * after_b[""]))
    assert gain(model, "aca") == pytest.approx(
        math.log(first["a"] * after_a["c"] * alone["a"] * after_a[""])
    )


def test_probabilities_sum_to_one_in_every_context() -> None:
    model = letter_model(("bin red", "it's"), order=4, weight=1.0, bonus=0.0, language=ENGLISH)
    assert model.weights is not None
    assert model.weights.shape == (len(model.accepting), 29)
    np.testing.assert_allclose(np.exp(model.weights).sum(axis=1), 1.0)
    assert (model.next_state[:, 1:] >= 0).all(), "no text is forbidden"


def test_a_beam_finds_the_best_sum_of_lips_and_letters() -> None:
    model = letter_model(("ab a", "b ab"), order=3, weight=0.7, bonus=0.4)
    rng = np.random.default_rng(3)
    for _ in range(8):
        logits = np.full((1, 5, 28), -200.0)
        logits[:, :, :4] = rng.normal(size=(1, 5, 4)) * 2
        p = np.exp(log_softmax(logits))[0]
        texts: dict[str, float] = {}
        for path in itertools.product(range(4), repeat=5):
            text = decode([c for c, _ in itertools.groupby(path) if c])
            texts[text] = texts.get(text, 0.0) + math.prod(p[t, c] for t, c in enumerate(path))
        scores = {text: math.log(p) + gain(model, text) for text, p in texts.items()}
        found = beam(logits, width=64, allowed=model)[0]
        assert found.text == max(scores, key=scores.__getitem__)
        assert found.log_probability == pytest.approx(scores[found.text])


def test_words_that_were_seen_are_preferred_and_others_can_be_read() -> None:
    model = letter_model(some_sentences())

    def read(text: str, doubt: float) -> str:
        """Clear lips, but for the third letter, which is rather a z."""
        logits = np.full((1, 60, 28), -6.0)
        for number, letter in enumerate(encode(text)):
            logits[0, 2 * number, letter] = 3.0
            logits[0, 2 * number + 1, BLANK] = 3.0
        logits[0, 2 * len(text) :, BLANK] = 3.0
        logits[0, 4, encode("z")[0]] = 3.0 + doubt
        return beam(logits, allowed=model)[0].text

    assert read("bin red at c two now", 0.5) == "bin red at c two now"
    assert read("bin red at c two now", 9.0) == "biz red at c two now"
    assert read("big dog", -9.0) == "big dog"


def test_sentences_of_grid() -> None:
    sentences = some_sentences()
    assert len(sentences) == 1000
    assert all(len(stem_of(sentence)) == 6 for sentence in sentences)
    with pytest.raises(BadInput, match="0 sentences"):
        letter_model(())
