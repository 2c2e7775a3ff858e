"""Griffin-Lim on synthetic speech: the sound's mel is the mel it was given."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from facetron_trained import make_checkpoint

from facetron.vocoders.griffin_lim import GriffinLim
from facetron.vocoders.registry import VOCODERS, create
from manifests.errors import BadInput, SpecMismatch
from manifests.mel import PRESETS, mel_spectrogram

DEFAULT = PRESETS["facetron"]


def speechlike(rate_hz: int = 16_000, seconds: float = 3.0) -> np.ndarray:
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    phase = 2 * np.pi * np.cumsum(140 + 30 * np.sin(2 * np.pi * 0.8 * t)) / rate_hz
    tone = sum(np.sin(k * phase) / k for k in range(1, 15))
    noise = np.random.Generator(np.random.PCG64(5)).standard_normal(len(t))
    return 0.15 * np.maximum(0, np.sin(2 * np.pi * t)) ** 2 * tone + 0.002 * noise


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", PRESETS)
def test_sound_has_the_mel_it_was_made_from(name: str) -> None:
    spec = PRESETS[name]
    audio = speechlike(spec.sample_rate_hz)
    mel = mel_spectrogram(audio, spec)
    sound = GriffinLim(spec)(mel, rng(), len(audio))
    assert sound.shape == audio.shape
    assert sound.dtype == np.float32
    assert np.abs(sound).max() <= 1
    difference = mel_spectrogram(sound, spec) - mel
    if spec.peak:  # the spec forgets the level
        difference -= np.median(difference)
    assert np.abs(difference).mean() < 0.02 * np.ptp(mel)
    if not spec.peak:
        assert sound.std() == pytest.approx(audio.std(), rel=0.25)


def test_finding_the_magnitude_beats_the_pseudo_inverse() -> None:
    mel = mel_spectrogram(speechlike())
    errors = {
        magnitude: np.abs(
            mel_spectrogram(GriffinLim(DEFAULT, 60, magnitude=magnitude)(mel, rng())) - mel
        ).mean()
        for magnitude in ("mel", "pinv")
    }
    assert errors["mel"] < 0.5 * errors["pinv"]


def test_seed_decides_every_sample() -> None:
    mel = mel_spectrogram(speechlike(seconds=0.5))
    vocoder = GriffinLim(DEFAULT, iterations=5)
    np.testing.assert_array_equal(vocoder(mel, rng(1)), vocoder(mel, rng(1)))
    assert not np.array_equal(vocoder(mel, rng(1)), vocoder(mel, rng(2)))


def test_sound_is_not_shifted_in_time() -> None:
    # librosa's grid lies half a hop beside ours: a click would come 10 ms early.
    audio = np.zeros(48000)
    audio[20000:20040] = np.hanning(40)
    sound = GriffinLim(DEFAULT)(mel_spectrogram(audio), rng())
    center = (np.arange(48000) * sound.astype(float) ** 2).sum() / (sound.astype(float) ** 2).sum()
    assert center == pytest.approx(20020, abs=60)


def test_length_is_exact() -> None:
    mel = mel_spectrogram(speechlike())
    vocoder = GriffinLim(DEFAULT, iterations=1)
    assert len(vocoder(mel, rng())) == 48000
    assert len(vocoder(mel, rng(), 47000)) == 47000
    padded = vocoder(mel, rng(), 48100)
    assert len(padded) == 48100
    assert not padded[48000:].any()


def test_loud_prediction_is_scaled_not_clipped() -> None:
    sound = GriffinLim(DEFAULT, iterations=2)(mel_spectrogram(speechlike()) + 6, rng())
    assert np.abs(sound).max() == pytest.approx(0.999, abs=1e-3)


def test_silence_is_silent() -> None:
    sound = GriffinLim(DEFAULT, iterations=5)(mel_spectrogram(np.zeros(48000)), rng())
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() < 1e-3


@pytest.mark.parametrize(
    ("mel", "message"),
    [
        (np.zeros((150, 80)), "shape"),
        (np.zeros((1, 80, 150)), "shape"),
        (np.full((80, 150), np.nan), "NaN"),
        (np.zeros((80, 1)), "too short"),
    ],
)
def test_bad_mel_is_refused(mel: np.ndarray, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        GriffinLim(DEFAULT)(mel, rng())


@pytest.mark.parametrize("options", [{"iterations": 0}, {"momentum": 2.0}, {"magnitude": "best"}])
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        GriffinLim(DEFAULT, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", VOCODERS)
def test_every_registered_vocoder_keeps_the_contract(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {}
    if name != "griffin-lim":
        options["checkpoint"] = make_checkpoint(tmp_path / "model.safetensors")
    vocoder = create(name, DEFAULT, **options)
    assert vocoder.sample_rate_hz == 16_000
    assert vocoder.label
    mel = mel_spectrogram(speechlike(seconds=0.4))
    first, second = vocoder(mel, rng(), 6400), vocoder(mel, rng(), 6400)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (6400,)
    assert first.dtype == np.float32
    changed = dataclasses.replace(DEFAULT, fmin_hz=20.0)
    if name.startswith("hifigan"):
        with pytest.raises(SpecMismatch):
            create(name, changed, **options)
    else:  # `published` bridges from one mel to another
        assert create(name, changed, **options).parameters() != vocoder.parameters()


def test_unknown_vocoder_lists_the_choices() -> None:
    with pytest.raises(BadInput, match="griffin-lim"):
        create("wavenet", DEFAULT)
