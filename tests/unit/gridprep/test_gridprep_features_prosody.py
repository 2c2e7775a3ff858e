"""F0 and energy on signals whose pitch is known."""

import numpy as np
import pytest

from gridprep.features.prosody import ProsodySpec, prosody
from manifests.errors import BadInput
from manifests.features import read_prosody
from manifests.mel import PRESETS, frame_centers_samples

RATE_HZ = 16_000


def voice(f0_hz: np.ndarray, seed: int = 3, noise: float = 0.002) -> np.ndarray:
    """A buzz with formant-like weights that follows (samples,) Hz; 0 Hz is a pause."""
    phase = 2 * np.pi * np.cumsum(f0_hz) / RATE_HZ
    sound = np.zeros(len(f0_hz))
    for k in range(1, 30):
        weight = np.exp(-(((k * f0_hz - 600) / 500) ** 2)) + 0.1 / k
        sound += weight * np.sin(k * phase) * (k * f0_hz < 7000)
    generator = np.random.Generator(np.random.PCG64(seed))
    return 0.15 * sound * (f0_hz > 0) + noise * generator.standard_normal(len(f0_hz))


@pytest.mark.parametrize(("low", "high"), [(75, 120), (110, 160), (180, 260), (250, 380)])
def test_follows_a_glide_within_ten_cents(low: float, high: float) -> None:
    t = np.linspace(0, 1, 48000)
    truth = low + (high - low) * 0.5 * (1 - np.cos(2 * np.pi * t))
    found = prosody(voice(truth))
    assert found.f0_hz.shape == found.voiced.shape == found.energy.shape == (150,)
    assert found.f0_hz.dtype == found.energy.dtype == np.float32
    inner = slice(2, -2)
    assert found.voiced[inner].all()
    cents = 1200 * np.log2(found.f0_hz[inner] / truth[frame_centers_samples(150)][inner])
    assert np.abs(cents).mean() < 5
    assert np.abs(cents).max() < 30


def test_voicing_follows_the_pauses() -> None:
    f0_hz = np.full(48000, 140.0)
    f0_hz[:12000] = 0
    f0_hz[24000:30000] = 0
    f0_hz[40000:] = 0
    found = prosody(voice(f0_hz))
    truth = f0_hz[frame_centers_samples(150)] > 0
    assert (found.voiced != truth).sum() <= 6  # one frame at each edge
    assert np.isnan(found.f0_hz[~found.voiced]).all()
    assert np.isfinite(found.f0_hz[found.voiced]).all()


def test_noise_and_silence_are_unvoiced() -> None:
    generator = np.random.Generator(np.random.PCG64(0))
    noise = 0.1 * generator.standard_normal(48000)
    assert prosody(noise).voiced.mean() < 0.05
    for silence in (np.zeros(48000), np.full(48000, 0.3)):
        found = prosody(silence)
        assert not found.voiced.any()
        assert np.isnan(found.f0_hz).all()


def test_quiet_hum_beside_speech_is_silence() -> None:
    # What pyin calls voiced: a faint periodic hum before the sentence.
    f0_hz = np.full(48000, 150.0)
    sound = voice(f0_hz, noise=0.0)
    sound[:24000] *= 0.005
    found = prosody(sound)
    assert found.voiced[:70].mean() < 0.1
    assert found.voiced[80:-3].all()


def test_energy_is_the_root_mean_square() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(48000) / RATE_HZ)
    tone[24000:] = 0
    found = prosody(tone)
    assert found.energy[10:70] == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)
    assert found.energy[80:] == pytest.approx(0, abs=1e-7)


def test_gain_does_not_change_the_pitch() -> None:
    sound = voice(np.full(48000, 120.0))
    loud, soft = prosody(sound), prosody(sound * 0.01)
    np.testing.assert_allclose(loud.f0_hz, soft.f0_hz, rtol=1e-4)
    np.testing.assert_allclose(loud.energy * 0.01, soft.energy, rtol=1e-4)


@pytest.mark.parametrize("name", ["facetron", "hifigan-22k", "vca-gan", "lip2wav"])
def test_shares_the_mels_grid(name: str) -> None:
    spec = PRESETS[name]
    t = np.arange(3 * spec.sample_rate_hz) / spec.sample_rate_hz
    sound = 0.1 * sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 8))
    found = prosody(sound, spec)
    assert len(found.f0_hz) == spec.frames(len(sound))
    assert np.nanmedian(found.f0_hz) == pytest.approx(150, rel=1e-3)


def test_arrays_go_through_a_file(tmp_path) -> None:
    found = prosody(voice(np.full(48000, 120.0)))
    np.savez(tmp_path / "prosody.npz", **found.to_arrays())
    back = read_prosody(tmp_path / "prosody.npz")
    for name, array in found.to_arrays().items():
        np.testing.assert_array_equal(getattr(back, name), array)


def test_spec_has_a_fingerprint() -> None:
    assert ProsodySpec().fingerprint() != ProsodySpec(fmin_hz=75.0).fingerprint()


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros((2, 48000)), "shape"),
        (np.zeros(48000, dtype=np.int16), "int16"),
        (np.zeros(0), "shape"),
        (np.zeros(100), "less than one frame"),
        (np.full(48000, np.nan), "NaN"),
    ],
)
def test_bad_audio_is_refused(audio: np.ndarray, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        prosody(audio)


def test_impossible_range_is_refused() -> None:
    with pytest.raises(BadInput, match="F0 range"):
        prosody(np.zeros(48000), spec=ProsodySpec(fmin_hz=400.0, fmax_hz=60.0))
