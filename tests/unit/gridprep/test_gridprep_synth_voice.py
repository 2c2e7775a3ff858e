"""SynthGRID's speech and the mouth that goes with it."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from gridprep.synth.speakers import synthetic_speaker
from gridprep.synth.visemes import PHONEMES, POSE_NAMES, VISEMES, mouth_poses
from gridprep.synth.voice import CLIP_SAMPLES, track_f0, utter
from manifests.espeak import speak, spelled
from manifests.grammar import VOCABULARY, words_of

LETTERS = VOCABULARY[3]


def test_every_word_has_known_sounds() -> None:
    digits, adverbs = list(VOCABULARY[4]), list(VOCABULARY[5])
    for k, letter in enumerate(LETTERS):
        stem = f"{'blps'[k % 4]}{'bgrw'[k % 4]}{'abiw'[k // 4 % 4]}{letter}{digits[k % 10]}"
        stem += adverbs[k % 4]
        person = synthetic_speaker("s1", 0)
        said = utter(person, stem, np.random.default_rng(0))
        assert [word for word, _, _ in said.words] == list(words_of(stem))
        unknown = {p.name for p in said.phonemes} - set(PHONEMES)
        assert not unknown, (stem, unknown)


def test_letters_are_spoken_as_names() -> None:
    sounds = {}
    for letter in "aziw"[:3]:
        said = speak(spelled(f"bba{letter}2n"), "en", 170, 50, 40)
        start_s, end_s = said.words_s[3:5]
        sounds[letter] = [n.strip("'") for n, at in said.phonemes if start_s <= at < end_s]
    assert sounds["a"] == ["eI"]
    assert sounds["z"] == ["z", "E", "d"]
    assert sounds["i"] == ["aI"]


def test_speech_does_not_depend_on_what_was_said_before() -> None:
    first = speak("bin blue at f two now", "en+m1", 180, 40, 50)
    speak("set white with s seven please", "en+f2", 150, 80, 30)
    again = speak("bin blue at f two now", "en+m1", 180, 40, 50)
    assert np.array_equal(first.samples, again.samples)
    assert first.phonemes == again.phonemes


@pytest.mark.parametrize("speaker", ["s1", "s13", "s4", "s23"])
def test_f0_is_the_speakers(speaker: str) -> None:
    person = synthetic_speaker(speaker, 0)
    medians = []
    for stem in ("lgaf5p", "srwz9n"):
        said = utter(person, stem, np.random.default_rng(1))
        mono = librosa.resample(said.samples.mean(1) / 32768, orig_sr=44_100, target_sr=16_000)
        f0_hz, _, _ = librosa.pyin(
            mono, fmin=0.5 * person.voice.f0_hz, fmax=2 * person.voice.f0_hz, sr=16_000
        )
        medians.append(np.nanmedian(f0_hz))
        own_hz = np.median(said.f0_hz[said.f0_hz > 0])
        assert own_hz == pytest.approx(person.voice.f0_hz, rel=0.06)
    assert np.mean(medians) == pytest.approx(person.voice.f0_hz, rel=0.05)


def test_tracker_on_a_tone() -> None:
    time = np.arange(16_000) / 16_000
    tone = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 8))
    f0_hz = track_f0(np.asarray(tone), 16_000, 120.0, 0.02)
    assert np.allclose(f0_hz[2:-3], 130, rtol=0.01)
    assert not track_f0(np.zeros(16_000), 16_000, 120.0, 0.02).any()


def test_utterance_fills_three_seconds() -> None:
    said = utter(synthetic_speaker("s2", 0), "bwwz7a", np.random.default_rng(2))
    assert said.samples.shape == (CLIP_SAMPLES, 2)
    assert said.samples.dtype == np.int16
    assert not np.array_equal(said.samples[:, 0], said.samples[:, 1])
    assert np.abs(said.samples).max() < 32_767
    starts = [a for _, a, _ in said.words]
    ends = [b for _, _, b in said.words]
    assert starts[1:] == ends[:-1]
    assert starts[0] > 0.1
    assert ends[-1] < 2.9
    assert said.f0_hz.shape == (150,)
    outside = np.abs(said.samples[: int((starts[0] - 0.05) * 44_100)]).max()
    assert outside < 100


def test_mouth_follows_the_sounds() -> None:
    said = utter(synthetic_speaker("s1", 0), "bbap2n", np.random.default_rng(3))
    poses, visemes = mouth_poses(list(said.phonemes))
    assert poses.shape == (75, len(POSE_NAMES))
    assert visemes.shape == (75,)
    gap = poses[:, POSE_NAMES.index("gap")]
    middle = {}
    for phoneme in said.phonemes:
        frame = int((phoneme.start_s + phoneme.end_s) / 2 * 25)
        middle.setdefault(phoneme.name, []).append(gap[frame])
    assert max(middle["p"]) < 0.05  # the letter's /p/ closes the lips
    assert max(middle["aU"]) > 0.4  # "now" opens them
    assert poses[int(said.phonemes[4].start_s * 25) :, POSE_NAMES.index("round")].max() > 0.6
    silent = int(said.words[-1][2] * 25) + 5
    assert gap[silent:].max() < 0.05


def test_visemes_are_complete() -> None:
    used = {viseme for names in PHONEMES.values() for viseme in names}
    assert used <= set(VISEMES)
    assert all(len(v.pose) == len(POSE_NAMES) for v in VISEMES.values())
