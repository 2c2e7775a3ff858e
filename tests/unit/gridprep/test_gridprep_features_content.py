"""Checks of content: each finds what it is for, and leaves a healthy clip alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from gridprep.features.content import (
    check_direction,
    check_lips,
    check_sound,
    dropout_samples,
    face_pattern,
    lip_motion,
    longest_run,
    voice_pattern,
)
from gridprep.features.word_templates import templates, word_features, words_score
from manifests.errors import ClipError
from manifests.grammar import VOCABULARY, words_of
from manifests.mel import mel_spectrogram
from manifests.records import WordSpan

FRAMES, SIDE, RATE_HZ = 75, 144, 16_000
FOUND = np.arange(FRAMES) % 2 == 0
WORDS = tuple(
    WordSpan(word, 0.4 + 0.35 * i, 0.75 + 0.35 * i, 10 + 9 * i, 19 + 9 * i)
    for i, word in enumerate(words_of("bbaf2n"))
)


def mouth() -> NDArray[np.uint8]:
    """(75, 144, 144, 3) of a dark ellipse that opens and closes before smooth skin, with the noise
    of a camera."""
    rng = np.random.default_rng(0)
    frames = []
    for t in range(FRAMES):
        picture = np.full((SIDE, SIDE), 170, np.float32)
        height = 10 + 8 * np.sin(t / 3)
        cv2.ellipse(picture, (72, 72), (40, int(height) + 4), 0, 0, 360, 90, -1)
        cv2.ellipse(picture, (72, 72), (34, int(height)), 0, 0, 360, 40, -1)
        picture = cv2.GaussianBlur(picture, (0, 0), 3) + rng.normal(0, 2, picture.shape)
        frames.append(np.repeat(picture.clip(0, 255).astype(np.uint8)[:, :, None], 3, 2))
    return np.stack(frames)


@pytest.fixture(scope="module")
def lips() -> NDArray[np.uint8]:
    return mouth()


def test_a_healthy_mouth_passes(lips: NDArray[np.uint8]) -> None:
    report = check_lips(lip_motion(lips), FOUND)
    assert report.flags == ()
    assert report.qc["lips_still_frames"] == 0
    assert report.qc["face_unseen_frames"] == 2


def test_longest_run() -> None:
    assert longest_run(np.array([True, True, False, True])) == (0, 2)
    assert longest_run(np.zeros(3, np.bool_)) == (0, 0)
    assert longest_run(np.ones(3, np.bool_)) == (0, 3)
    assert longest_run(np.zeros(0, np.bool_)) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "reason", "detail"),
    [
        ("noise", "noise_frames", "12 of 75 lip crops are noise (from frame 30)"),
        ("hidden", "lips_hidden", "30 of 75 lip crops show no mouth (from frame 20)"),
        ("frozen", "frozen_frames", "stands still for 55 frames (from frame 20)"),
    ],
)
def test_ruined_pictures_are_failures(
    lips: NDArray[np.uint8], kind: str, reason: str, detail: str
) -> None:
    ruined = lips.copy()
    if kind == "noise":
        rng = np.random.default_rng(1)
        ruined[30:42] = rng.integers(0, 255, ruined[30:42].shape, dtype=np.uint8)
    elif kind == "hidden":
        ruined[20:50] = 128
    else:
        ruined[20:] = ruined[20]
    with pytest.raises(ClipError) as caught:
        check_lips(lip_motion(ruined), FOUND)
    assert (caught.value.stage, caught.value.reason) == ("content", reason)
    assert detail in caught.value.detail


def test_small_oddities_are_flags(lips: NDArray[np.uint8]) -> None:
    still = lips.copy()
    still[20:27] = still[20]
    assert check_lips(lip_motion(still), FOUND).flags == ("frames_frozen",)
    seen = FOUND.copy()
    seen[30:38] = False
    assert check_lips(lip_motion(lips), seen).flags == ("face_unseen",)
    seen[10:40] = False
    with pytest.raises(ClipError, match="no face is seen for 3"):
        check_lips(lip_motion(lips), seen)
    with pytest.raises(ClipError, match="no face is seen for 75"):
        check_lips(lip_motion(lips), np.zeros(FRAMES, np.bool_))


def said(words: tuple[WordSpan, ...], at_s: float = 0.0) -> NDArray[np.float32]:
    """An (80, 150) log mel that says the words by their templates, at the times of `WORDS`."""
    mel = np.zeros((80, 150), np.float32)
    for i, (word, span) in enumerate(zip(words, WORDS, strict=True)):
        parts = templates()[i, word.word].reshape(6, 20)
        first = round((span.start_s + at_s) * 50)
        frames = np.repeat(parts, 3, axis=0)[:17]
        mel[:, first : first + 17] = np.repeat(frames, 4, axis=1).T
    return mel


def spans(stem: str) -> tuple[WordSpan, ...]:
    return tuple(
        WordSpan(word, w.start_s, w.end_s, w.start_frame, w.end_frame)
        for word, w in zip(words_of(stem), WORDS, strict=True)
    )


def noise() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.1, 3 * RATE_HZ).astype(np.float32)


def test_templates_hold_the_whole_grammar() -> None:
    assert set(templates()) == {(i, w) for i, slot in enumerate(VOCABULARY) for w in slot.values()}
    assert all(value.shape == (120,) for value in templates().values())


def test_words_are_found_where_they_are_said() -> None:
    score = words_score(said(WORDS), WORDS)
    assert score is not None
    assert score > 0.2
    report = check_sound(noise(), RATE_HZ, said(WORDS), WORDS)
    assert report.flags == ()
    assert report.qc["words_score"] == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize("stem", ["lwiz9s", "srwx5p"])
def test_another_sentence_is_a_failure(stem: str) -> None:
    with pytest.raises(ClipError, match="the sound does not say 'bin blue at f two now'") as caught:
        check_sound(noise(), RATE_HZ, said(spans(stem)), WORDS)
    assert caught.value.reason == "words_not_said"


def test_words_of_no_grammar_are_not_judged() -> None:
    free = (WordSpan("hello", 0.1, 0.5, 2, 13),)
    assert words_score(said(WORDS), free) is None
    assert "words_score" not in check_sound(noise(), RATE_HZ, said(WORDS), free).qc
    short = word_features(said(WORDS)[:, :20], WORDS)
    assert len(short) == 6, "words beyond the end of the sound do not crash"
    assert all(np.isfinite(f).all() for f in short)


def test_dropouts_count_inside_the_sentence_only() -> None:
    sound = noise()
    sound[: RATE_HZ // 4] = 0
    assert dropout_samples(sound, WORDS, RATE_HZ)[1] < 16
    sound[RATE_HZ : RATE_HZ + 800] = 0
    assert dropout_samples(sound, WORDS, RATE_HZ) == (RATE_HZ, 800)
    assert check_sound(sound, RATE_HZ, said(WORDS), WORDS).flags == ("sound_gap",)
    sound[RATE_HZ : 2 * RATE_HZ] = 0
    with pytest.raises(
        ClipError, match=r"1\.00 s of digital silence inside .*at 1\.00 s"
    ) as caught:
        check_sound(sound, RATE_HZ, said(WORDS), WORDS)
    assert caught.value.reason == "sound_dropout"
    assert dropout_samples(sound, (), RATE_HZ) == (0, 0)


def test_lips_that_fit_backwards_are_flagged() -> None:
    syllables = np.repeat(np.random.default_rng(3).uniform(0, 1, 25), 6)
    loud = np.convolve(syllables, np.hanning(7) / 3, mode="same")
    height = loud.reshape(75, 2).mean(1) * 5 + 10
    assert check_direction(height, loud).flags == ()
    assert check_direction(height[::-1].copy(), loud).flags == ("lips_backwards",)


def test_patterns_are_small_and_need_a_voice() -> None:
    stills = np.random.default_rng(0).integers(0, 255, (3, 160, 160, 3), dtype=np.uint8)
    assert face_pattern(stills).shape == (144,)
    mel = mel_spectrogram(noise())
    assert voice_pattern(mel, np.zeros(150, np.bool_)) is None
    voice = voice_pattern(mel, np.ones(150, np.bool_))
    assert voice is not None
    assert voice.shape == (20,)
    assert voice.mean() == pytest.approx(0, abs=1e-9)
