"""Stems and sentences."""

from __future__ import annotations

import itertools

import pytest

from manifests import grammar
from manifests.errors import BadInput


def test_a_known_stem_reads_as_its_sentence() -> None:
    assert grammar.sentence_of("bbaf2n") == "bin blue at f two now"
    assert grammar.words_of("swwzza") == ("set", "white", "with", "z", "zero", "again")


def test_grammar_has_64000_sentences_of_51_words() -> None:
    assert len(grammar.WORDS) == 51
    codes = itertools.product(*(slot for slot in grammar.VOCABULARY))
    stems = {"".join(letters) for letters in codes}
    assert len(stems) == 64_000
    assert all(grammar.is_stem(stem) for stem in stems)


def test_stem_and_sentence_are_inverse() -> None:
    for stem in ("bbaf2n", "lgizzp", "prwx9s", "sbba1a"):
        assert grammar.stem_of(grammar.sentence_of(stem)) == stem
    assert grammar.stem_of("Bin BLUE at f two now") == "bbaf2n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bbaf2",
        "bbaf2nn",
        "bbaw2n",
        "bbaf0n",
        "xbaf2n",
        "bbaf2z",
        "BBAF2N",
        "bbaf2n\n",
        "bbafü2n",
    ],
)
def test_what_is_no_stem(text: str) -> None:
    assert not grammar.is_stem(text)
    with pytest.raises(BadInput, match="not a GRID stem"):
        grammar.words_of(text)


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "bin blue at f two",
        "bin blue at w two now",
        "blue bin at f two now",
        "bin blue at f ten now",
    ],
)
def test_what_is_no_sentence(sentence: str) -> None:
    with pytest.raises(BadInput, match="not a sentence"):
        grammar.stem_of(sentence)
