"""Confidence of readings, the verdict on lips that do not speak GRID, and faces that are known."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from facetron.checkpoints import bundled
from facetron.checkpoints.checkpoint import read_info
from facetron.model import ctc
from facetron.synthesis import confidence
from facetron.synthesis.confidence import Calibration, check_readings

SENTENCE = "bin blue at f two now"


def spelt(text: str, sure: float = 0.95, frames: int = 75) -> NDArray[np.float64]:
    """(frames, 28) log probabilities that spell a text, each letter followed by blanks."""
    rest = (1 - sure) / (len(ctc.VOCABULARY) - 1)
    values = np.full((frames, len(ctc.VOCABULARY)), rest)
    classes = np.full(frames, ctc.BLANK)
    classes[2 : 2 + 2 * len(text) : 2] = ctc.encode(text)
    values[np.arange(frames), classes] = sure
    return np.log(values)


CALIBRATION = Calibration(
    word_weights=(4.0, 8.0, 0.0),
    threshold=-0.2,
    kept=0.97,
    rejected={"silence": 1.0},
    clips=10,
    words=60,
    subset="test",
    voices={"s1": (1.0, 0.0, 0.0), "s4": (0.0, 2.0, 0.0)},
    same_voice=0.9,
    swap={"swap_near": 0.2},
)


def test_a_sentence_of_grid_is_likely_and_another_is_not() -> None:
    said, other = confidence.sentence_scores([spelt(SENTENCE), spelt("we like tea and cake")])
    assert said == pytest.approx(math.log(0.95), abs=0.02)
    assert other < -0.5


def test_long_lips_may_speak_several_sentences() -> None:
    twice = np.concatenate([spelt(SENTENCE), spelt(" place red in x nine soon")])
    (score,) = confidence.sentence_scores([twice])
    assert score == pytest.approx(math.log(0.95), abs=0.02)
    one = ctc.beam(twice[None], allowed=ctc.grid_sentences())[0].log_probability / len(twice)
    assert one < score - 0.3


def test_lips_too_short_for_a_sentence() -> None:
    check = check_readings([spelt("no", frames=8)], CALIBRATION)[0]
    assert check.score == confidence.LEAST_LOG_P
    assert not check.is_grid


def test_words_are_as_certain_as_their_letters() -> None:
    log_probs = spelt(SENTENCE)
    unsure = spelt(SENTENCE, sure=0.5)
    log_probs[10:20] = unsure[10:20]  # the letters of "blue"
    words = confidence.word_certainties(log_probs)
    assert [word for word, _ in words] == SENTENCE.split()
    assert dict(words)["bin"] == pytest.approx(math.log(0.95))
    assert dict(words)["blue"] == pytest.approx(math.log(0.5))
    check = check_readings([log_probs], CALIBRATION)[0]
    shares = dict(check.words)
    assert shares["blue"] == pytest.approx(1 / (1 + math.exp(-(4 + 8 * math.log(0.5)))))
    assert shares["bin"] > 0.97
    assert check.confidence == pytest.approx(np.mean(list(shares.values())))
    assert ctc.greedy(log_probs[None]) == [SENTENCE]


def test_nothing_read_is_trusted_not_at_all() -> None:
    check = check_readings([spelt("")], CALIBRATION)[0]
    assert (check.confidence, check.words) == (0.0, ())
    assert not check.is_grid
    assert "does not look like GRID speech" in confidence.reading_note(check)


def test_grid_speech_needs_no_warning() -> None:
    assert confidence.reading_note(check_readings([spelt(SENTENCE)], CALIBRATION)[0]) == ""


def test_known_and_unknown_faces() -> None:
    known = confidence.face_notes(np.array([0.0, 0.5, 0.05]), CALIBRATION)
    assert len(known) == 1
    assert "like that of s4" in known[0]
    unknown = confidence.face_notes(np.array([1.0, 1.0, 1.0]), CALIBRATION)
    assert len(unknown) == 1
    assert "unlike all 2 speakers" in unknown[0]


def test_what_is_told_of_a_clip() -> None:
    face, calibrated = np.array([1.0, 1.0, 1.0]), CALIBRATION
    check = check_readings([spelt("")], CALIBRATION)[0]
    told = confidence.notes_of(check, calibrated, face, sees_faces=True, other=True)
    assert "does not look like GRID speech" in told[0]
    assert "unlike all 2 speakers" in told[1]
    assert "hardly follows the face" in told[2]
    assert "20%" in told[2]
    own = confidence.notes_of(check, calibrated, face, sees_faces=True, other=False)
    assert own == told[:2]
    follows = dataclasses.replace(CALIBRATION, swap={"swap_near": 0.8})
    assert confidence.faces_ignored(follows, sees_faces=True) == ""
    blind = confidence.notes_of(None, None, face, sees_faces=False, other=True)
    assert blind == (confidence.UNMEASURED, confidence.NO_FACE)
    assert confidence.notes_of(None, None, face, sees_faces=False, other=False) == blind[:1]


def test_the_domain_of_weights() -> None:
    info = read_info(bundled.resolve("grid-s1"))
    told = confidence.domain(info)
    assert told == "10 speakers (s1, s2, s3, s4, s5, s30, s31, s32, …) saying GRID's 51 words"
    other = dataclasses.replace(info, speakers=("a",), sentences=("hello world", "bin blue"))
    assert confidence.domain(other) == "1 speaker (a) saying words of other corpora than GRID"


def test_a_calibration_is_used_as_it_is_read() -> None:
    read = Calibration.from_dict(json.loads(json.dumps(CALIBRATION.to_dict())))
    face = np.array([0.0, 0.5, 0.05])
    assert confidence.nearest_voice(face, read) == confidence.nearest_voice(face, CALIBRATION)
    logs = [spelt(SENTENCE)]
    assert check_readings(logs, read) == check_readings(logs, CALIBRATION)
    assert read.swap == CALIBRATION.swap
