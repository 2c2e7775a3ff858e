"""Phonemes of GRID's words, and how long each lasts."""

from __future__ import annotations

import numpy as np
import pytest

from facetron.baselines.phonemes import (
    FEATURES,
    PAUSE,
    PHONEMES,
    TABLE,
    VOWELS,
    fitted,
    nearest_words,
    utterance,
)
from manifests.errors import BadInput
from manifests.grammar import WORDS
from manifests.records import WordSpan


def span(word: str, start_s: float, end_s: float) -> WordSpan:
    return WordSpan(word, start_s, end_s, 0, 1)


def test_the_table_is_what_espeak_says_of_grids_words() -> None:
    pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed")
    from manifests.espeak import LETTER_NAMES, speak

    assert set(TABLE) == set(WORDS)
    for word in ("a", "place", "seven", "x", "zero", "again", "four"):
        spelled = f"[[{LETTER_NAMES[word]}]]" if len(word) == 1 else word
        spoken = speak(spelled, "gmw/en", 170, 50, 30)
        assert " ".join(name.strip("'") for name, _ in spoken.phonemes) == TABLE[word]


def test_every_word_has_a_vowel_and_the_pause_is_none() -> None:
    assert len(PHONEMES) == 36
    assert PHONEMES[0] == PAUSE
    assert PAUSE not in VOWELS
    assert all(VOWELS & set(phones.split()) for phones in TABLE.values())


def test_features_name_the_phoneme_and_its_places() -> None:
    said = utterance(["bin", "blue"])
    made = said.features().numpy()
    assert made.shape == (len(said.phones), FEATURES)
    assert [PHONEMES[int(row[: len(PHONEMES)].argmax())] for row in made] == list(said.phones)
    vowel = said.phones.index("I")
    np.testing.assert_allclose(made[vowel, -7:], [1, 0.2, 0.2, 0.6, 0.5, 0.5, 2 / 6], atol=1e-6)
    assert made[0, -7:-3].tolist() == [0, 0, 0, 0]
    assert utterance([]).phones == (PAUSE,)
    assert utterance([]).features().shape == (1, FEATURES)


def test_phonemes_share_the_time_of_their_word_by_class() -> None:
    said = utterance(["bin", "x"])
    times = (span("bin", 0.2, 0.52), span("x", 0.6, 1.0))
    durations = said.durations(times, 60, 50).tolist()
    # _ | b I n | _ | E k s | _ of 16 and 20 frames, a vowel twice a consonant's share
    assert durations == [10, 4, 8, 4, 4, 10, 5, 5, 10]
    # An alignment that goes beyond the clip, or back, loses what is outside and no frame is counted
    # twice.
    crossed = said.durations((span("bin", 0.2, 0.7), span("x", 0.6, 9.0)), 60, 50)
    assert int(crossed.sum()) == 60
    assert int(crossed.min()) >= 0
    assert utterance([]).durations((), 60, 50).tolist() == [60]


def test_words_without_times_or_outside_grid_are_refused() -> None:
    with pytest.raises(BadInput, match="the times are of 'no words', and the sentence is 'bin x'"):
        utterance(["bin", "x"]).durations((), 60, 50)
    with pytest.raises(BadInput, match="'hello', 'w' is none of GRID's 51 words"):
        utterance(["bin", "hello", "w"])


def test_what_was_misread_is_the_nearest_word() -> None:
    assert nearest_words("lay gren wth q seve agan") == (
        "lay", "green", "with", "q", "seven", "again",
    )  # fmt: skip
    assert nearest_words("") == ()
    assert nearest_words(" ".join(WORDS)) == WORDS


def test_durations_fill_the_clip() -> None:
    pauses = np.array([True, False, False, True, False, True])
    told = np.array([10.0, 4.6, 4.6, 0.2, 3.0, 5.0])
    assert fitted(told, pauses, 40).tolist() == [10, 5, 4, 0, 3, 18]
    assert fitted(told, pauses, 18).tolist() == [6, 4, 5, 0, 3, 0]  # pauses give way first
    squeezed = fitted(told, pauses, 7)
    assert int(squeezed.sum()) == 7
    assert int(squeezed.min()) >= 0
    assert fitted(np.zeros(1), np.array([True]), 20).tolist() == [20]
    least = fitted(np.zeros(3), np.array([True, False, True]), 20).tolist()
    assert least == [0, 1, 19]
