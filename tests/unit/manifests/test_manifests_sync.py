"""The offset between picture and sound, on signals whose offset is known."""

from __future__ import annotations

import numpy as np
import pytest

from manifests.mel import mel_spectrogram
from manifests.records import POINT_NAMES
from manifests.sync import (
    CONFIDENT_MARGIN,
    MAX_LAG_FRAMES,
    SPEECH_RANGE,
    AvOffset,
    av_offset,
    lip_height_px,
    loudness,
)

SYLLABLES = (14, 19, 26, 31, 39, 44, 52)
"""Video frames at which the mouth is widest; uneven, as speech is."""


def movement(shift_frames: float = 0.0, width_frames: float = 1.6) -> np.ndarray:
    """(75,) one bump a syllable."""
    at = np.arange(75)[:, None] - shift_frames - np.array(SYLLABLES)
    return np.exp(-((at / width_frames) ** 2)).sum(1)


def noise(seed: int, size: float) -> np.ndarray:
    return size * np.random.default_rng(seed).standard_normal(75)


@pytest.mark.parametrize("shift", [-8, -5, -2, -1, 0, 1, 3, 6, 8])
def test_finds_the_shift_of_the_sound(shift: int) -> None:
    found = av_offset(movement() + noise(1, 0.05), movement(shift) + noise(2, 0.05))
    assert found.frames == pytest.approx(shift, abs=0.3)
    assert found.correlation > 0.9
    assert found.confident


def test_positive_means_that_the_sound_comes_after_the_lips() -> None:
    lips, sound = np.zeros(75), np.zeros(75)
    lips[[20, 33, 41]] = 1
    sound[[24, 37, 45]] = 1
    assert av_offset(lips, sound).frames == pytest.approx(4, abs=0.2)
    assert av_offset(sound, lips).frames == pytest.approx(-4, abs=0.2)


@pytest.mark.parametrize("shift", [-1.5, -0.4, 0.25, 0.5, 2.3])
def test_fractions_of_a_frame(shift: float) -> None:
    assert av_offset(movement(), movement(shift)).frames == pytest.approx(shift, abs=0.15)


def plateau(start: float, end: float, height: float) -> np.ndarray:
    """(75,) high between two times, with soft edges."""
    t = np.arange(75)
    return height / (1 + np.exp(-(t - start) / 2)) - height / (1 + np.exp(-(t - end) / 2))


def test_the_sentence_as_a_whole_does_not_count() -> None:
    # Lips part early, for a breath, and come to rest early; the sentence is loud to its end.
    lips, sound = movement() + plateau(3, 43, 6), movement(1) + plateau(12, 55, 4)
    lags = range(-10, 11)
    plain = [
        np.corrcoef(lips[max(0, -k) : 75 - max(0, k)], sound[max(0, k) : 75 - max(0, -k)])[0, 1]
        for k in lags
    ]
    assert lags[int(np.argmax(plain))] >= 6  # what a plain correlation makes of it
    assert av_offset(lips, sound).frames == pytest.approx(1, abs=0.5)


def test_units_do_not_matter() -> None:
    lips, sound = movement() + noise(3, 0.1), movement(2) + noise(4, 0.1)
    found, scaled = av_offset(lips, sound), av_offset(7 + 30 * lips, 0.01 * sound - 60)
    assert scaled.frames == pytest.approx(found.frames, abs=1e-6)
    assert scaled.correlation == pytest.approx(found.correlation, abs=1e-6)
    assert scaled.margin == pytest.approx(found.margin, abs=1e-6)


def test_a_rhythm_without_end_is_a_toss_up_and_says_so() -> None:
    # One syllable every 6 frames: shifting by 6 fits as well, only the cost of the lag decides.
    rhythm = np.sin(2 * np.pi * np.arange(75) / 6)
    found = av_offset(rhythm, rhythm)
    assert abs(found.frames) < 0.2
    assert found.margin < 0.25
    assert av_offset(movement(), movement()).margin > found.margin + 0.2


def test_unrelated_signals_are_not_confident() -> None:
    found = [av_offset(noise(seed, 1.0), noise(seed + 1000, 1.0)) for seed in range(200)]
    assert np.mean([f.confident for f in found]) < 0.1
    assert all(abs(f.frames) <= MAX_LAG_FRAMES for f in found)
    assert np.median([f.correlation for f in found]) < 0.35


@pytest.mark.parametrize(
    ("lips", "sound"),
    [
        (np.full(75, 12.0), movement()),
        (movement(), np.full(75, -5.0)),
        (movement()[:20], movement()[:20]),
        (np.zeros(0), np.zeros(0)),
    ],
    ids=["lips rest", "silence", "too few frames", "nothing"],
)
def test_nothing_to_go_by_is_zero_without_confidence(lips: np.ndarray, sound: np.ndarray) -> None:
    assert av_offset(lips, sound) == AvOffset(0.0, 0.0, 0.0)
    assert not AvOffset(0.0, 0.0, 0.0).confident


def test_longer_signals_are_cut_to_the_shorter() -> None:
    sound = np.append(movement(2), np.full(9, 3.0))
    assert av_offset(movement(), sound) == av_offset(movement(), movement(2))


def test_margin_decides_on_confidence() -> None:
    assert AvOffset(1.0, 0.4, CONFIDENT_MARGIN).confident
    assert not AvOffset(1.0, 0.9, CONFIDENT_MARGIN - 0.01).confident


def test_lip_height_is_between_the_outer_edges() -> None:
    points = np.zeros((3, len(POINT_NAMES), 2), np.float32)
    points[:, POINT_NAMES.index("lip_top_outer")] = (10, 20)
    points[:, POINT_NAMES.index("lip_bottom_outer")] = [(10, 30), (13, 24), (10, 20)]
    points[:, POINT_NAMES.index("lip_bottom_inner")] = (99, 99)
    assert lip_height_px(points).tolist() == [10.0, 5.0, 0.0]


def test_loudness_is_on_video_frames_and_knows_silence() -> None:
    mel = np.full((80, 150), -11.0)
    mel[:, 40:60] = 0.0  # video frames 20 to 29
    found = loudness(mel)
    assert found.shape == (75,)
    assert found[20:30] == pytest.approx(0.0)
    assert found[:20] == pytest.approx(-SPEECH_RANGE)
    # What lies deeper than the range makes no difference, neither does gain.
    assert loudness(np.where(mel < -1, mel - 3, mel)) == pytest.approx(found)
    assert loudness(mel + 2) == pytest.approx(found + 2)


def test_a_vowel_is_louder_than_a_hiss_of_equal_power() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(48_000) / 16_000
    vowel = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 60))
    hiss = np.convolve(rng.standard_normal(48_000), [1, -2, 1], "same")
    sound = np.where(t < 1.5, vowel / np.std(vowel), hiss / np.std(hiss)) * 0.05
    found = loudness(mel_spectrogram(sound))
    assert found[10:30].mean() > found[45:65].mean()


def test_moving_the_sound_moves_the_estimate() -> None:
    # From samples on: bursts of a buzz, and the mouth open when they sound.
    t = np.arange(48_000) / 16_000
    buzz = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 40))
    at_s = (np.array(SYLLABLES) + 0.5) / 25
    swell = np.exp(-(((t[:, None] - at_s) / 0.05) ** 2)).sum(1)
    sound = 0.1 * buzz * swell + 1e-4 * np.random.default_rng(5).standard_normal(48_000)
    for frames in (-4, 0, 3):
        moved = np.roll(sound, 640 * frames)
        found = av_offset(movement(), loudness(mel_spectrogram(moved)))
        assert found.frames == pytest.approx(frames, abs=0.35)
        assert found.confident
