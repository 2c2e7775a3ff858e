"""The mel against its originals' formulas, written out again here with librosa and torch.stft, and
against constants, so that no later change moves a feature unnoticed."""

import dataclasses
import math

import librosa
import numpy as np
import pytest
import torch
from scipy import signal

from manifests.errors import BadInput
from manifests.mel import PRESETS, frame_centers_samples, invert, mel_basis, mel_spectrogram
from manifests.specs import MelSpec


def speechlike(rate_hz: int, seconds: float = 3.0, seed: int = 7) -> np.ndarray:
    """A gliding harmonic tone with a syllable's rise and fall, over noise (float32)."""
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    phase = 2 * np.pi * np.cumsum(130 + 40 * np.sin(2 * np.pi * 0.7 * t)) / rate_hz
    tone = sum(np.sin(k * phase) / k for k in range(1, 12))
    envelope = np.maximum(0, np.sin(2 * np.pi * 1.5 * t)) ** 2
    noise = np.random.Generator(np.random.PCG64(seed)).standard_normal(len(t))
    return (0.2 * envelope * tone + 0.003 * noise).astype(np.float32)


def hifigan_formula(audio: np.ndarray, spec: MelSpec) -> np.ndarray:
    basis = librosa.filters.mel(
        sr=spec.sample_rate_hz, n_fft=spec.n_fft, n_mels=80, fmin=0, fmax=8000
    )
    y = torch.from_numpy(audio)[None]
    pad = int((spec.n_fft - spec.hop_samples) / 2)
    y = torch.nn.functional.pad(y[:, None], (pad, pad), mode="reflect")[:, 0]
    stft = torch.stft(
        y,
        spec.n_fft,
        hop_length=spec.hop_samples,
        win_length=spec.win_samples,
        window=torch.hann_window(spec.win_samples),
        center=False,
        return_complex=True,
    )
    magnitude = torch.sqrt(torch.view_as_real(stft).pow(2).sum(-1) + 1e-9)
    return torch.log(torch.clamp(torch.from_numpy(basis) @ magnitude, min=1e-5))[0].numpy()


def vca_gan_formula(audio: np.ndarray) -> np.ndarray:
    b, a = signal.butter(7, 55.0 / 8000, "high")
    y = signal.filtfilt(b, a, audio)
    y = y / np.abs(y).max() * 0.9
    y = signal.lfilter([1, -0.97], [1], y)
    y = torch.clamp(torch.FloatTensor(y)[None], min=-1, max=1)
    y = torch.nn.functional.pad(y[:, None], (320, 320), mode="reflect")[:, 0]
    window = torch.from_numpy(signal.get_window("hann", 640, fftbins=True)).float()
    magnitude = torch.stft(y, 640, 160, window=window, center=False, return_complex=True).abs()
    basis = librosa.filters.mel(sr=16000, n_fft=640, n_mels=80, fmin=55.0, fmax=7500.0)
    mel = torch.log(torch.clamp(torch.from_numpy(basis) @ magnitude, min=1e-5))[0].numpy()
    floor = math.log(1e-5)
    return (mel - floor) / (-floor / 2) - 1


def lip2wav_formula(audio: np.ndarray) -> np.ndarray:
    y = signal.lfilter([1, -0.97], [1], audio)
    spectrum = librosa.stft(y=y, n_fft=800, hop_length=200, win_length=800, pad_mode="reflect")
    basis = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    level = 20 * np.log10(np.maximum(np.exp(-100 / 20 * np.log(10)), basis @ np.abs(spectrum))) - 20
    return np.clip(8.0 * ((level + 100) / 100) - 4.0, -4.0, 4.0)


FORMULAS = {
    "facetron": lambda x: hifigan_formula(x, PRESETS["facetron"]),
    "hifigan-22k": lambda x: hifigan_formula(x, PRESETS["hifigan-22k"]),
    "vca-gan": vca_gan_formula,
    "lip2wav": lip2wav_formula,
}
FRAMES = {"facetron": 150, "hifigan-22k": 258, "vca-gan": 301, "lip2wav": 241}


@pytest.mark.parametrize("name", PRESETS)
def test_preset_equals_its_original(name: str) -> None:
    audio = speechlike(PRESETS[name].sample_rate_hz)
    mel = mel_spectrogram(audio, PRESETS[name])
    assert mel.shape == (80, FRAMES[name])
    assert mel.dtype == np.float32
    # The originals compute in float32, which shows in the quietest bands only. (NumPy 2 keeps it
    # where NumPy 1 went on in double precision: vca-gan's pre-emphasis.)
    np.testing.assert_allclose(mel, FORMULAS[name](audio), atol=1e-3)
    assert np.abs(mel - FORMULAS[name](audio)).mean() < 3e-5


@pytest.mark.parametrize(
    ("name", "mean", "points"),
    [
        ("facetron", -5.0650, [-5.6663, -6.0357, -5.8162]),
        ("hifigan-22k", -5.3241, [-5.6669, -2.7704, -6.0661]),
        ("vca-gan", 0.0690, [-0.4080, -0.4136, 0.1896]),
        ("lip2wav", -1.7618, [-3.2115, -0.9972, -1.2074]),
    ],
)
def test_pinned_numbers(name: str, mean: float, points: list[float]) -> None:
    mel = mel_spectrogram(speechlike(PRESETS[name].sample_rate_hz), PRESETS[name])
    assert float(mel.mean()) == pytest.approx(mean, abs=2e-4)
    assert [float(mel[b, t]) for b, t in ((0, 0), (10, 60), (79, 140))] == pytest.approx(
        points, abs=1e-3
    )


@pytest.mark.parametrize("name", PRESETS)
def test_torch_equals_numpy(name: str) -> None:
    audio = np.stack([speechlike(PRESETS[name].sample_rate_hz, seed=s) for s in (1, 2)])
    expected = mel_spectrogram(audio, PRESETS[name])
    tensor = torch.from_numpy(audio)
    for shaped in (tensor, tensor[None], tensor[0]):
        mel = mel_spectrogram(shaped, PRESETS[name])
        assert mel.dtype == torch.float32
        assert mel.shape == (*shaped.shape[:-1], 80, FRAMES[name])
    np.testing.assert_allclose(mel_spectrogram(tensor, PRESETS[name]), expected, atol=1e-4)
    np.testing.assert_allclose(mel_spectrogram(audio[1], PRESETS[name]), expected[1], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "step"),
    # The high-pass filter's rounding noise drowns smaller steps.
    [("facetron", 1e-4), ("vca-gan", 1e-3), ("lip2wav", 1e-4)],
)
def test_torch_gradient_matches_finite_differences(name: str, step: float) -> None:
    spec = PRESETS[name]
    generator = torch.Generator().manual_seed(0)
    # Loud noise, where the logarithm bends little within a step.
    audio = (0.1 * torch.randn(3200, generator=generator, dtype=torch.float64)).requires_grad_()
    weights = torch.randn((80, spec.frames(audio.numel())), generator=generator)
    direction = torch.randn(audio.shape, generator=generator, dtype=torch.float64)
    (mel_spectrogram(audio, spec) * weights).sum().backward()
    assert audio.grad is not None
    with torch.no_grad():
        up, down = (
            (mel_spectrogram(audio + s * direction, spec).double() * weights).sum()
            for s in (step, -step)
        )
    assert float((up - down) / (2 * step)) == pytest.approx(
        float((audio.grad * direction).sum()), rel=0.05
    )


@pytest.mark.parametrize("name", PRESETS)
def test_silence_is_finite_and_has_a_finite_gradient(name: str) -> None:
    spec = PRESETS[name]
    audio = torch.zeros(spec.sample_rate_hz, requires_grad=True)
    mel = mel_spectrogram(audio, spec)
    mel.sum().backward()
    assert torch.isfinite(mel).all()
    assert audio.grad is not None
    assert torch.isfinite(audio.grad).all()
    assert np.isfinite(mel_spectrogram(np.zeros(spec.sample_rate_hz), spec)).all()
    assert mel_spectrogram(np.zeros(48000))[0, 0] == pytest.approx(math.log(1e-5))


def test_autocast_does_not_reach_the_mel() -> None:
    audio = torch.from_numpy(speechlike(16000))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mel = mel_spectrogram(audio)
    torch.testing.assert_close(mel, mel_spectrogram(audio))


def test_first_use_in_inference_mode_leaves_gradients_possible() -> None:
    spec = dataclasses.replace(MelSpec(), fmin_hz=33.0)  # used nowhere else, so not cached yet
    with torch.inference_mode():
        mel_spectrogram(torch.zeros(16000), spec)
    audio = torch.from_numpy(speechlike(16000)).requires_grad_()
    mel_spectrogram(audio, spec).sum().backward()
    assert audio.grad is not None


def test_one_clip_is_exactly_150_frames_and_frames_agree_with_the_spec() -> None:
    for n_samples in (48000, 47999, 16000, 1500):
        for spec in PRESETS.values():
            mel = mel_spectrogram(np.zeros(n_samples, dtype=np.float32) + 0.01, spec)
            assert mel.shape[1] == spec.frames(n_samples)
    assert PRESETS["facetron"].frames(48000) == 150


def test_frame_centers_are_where_a_click_shows() -> None:
    for spec in (PRESETS["facetron"], PRESETS["lip2wav"]):
        centers = frame_centers_samples(150, spec)
        audio = np.zeros(48000)
        audio[centers[70]] = 0.5
        energy = np.exp(mel_spectrogram(audio, dataclasses.replace(spec, clip_max=None))).sum(0)
        assert energy.argmax() == 70
        assert energy[69] == pytest.approx(energy[71], rel=0.02)
    assert frame_centers_samples(2).tolist() == [160, 480]


@pytest.mark.parametrize("spec", PRESETS.values(), ids=PRESETS)
def test_basis_is_librosas(spec: MelSpec) -> None:
    expected = librosa.filters.mel(
        sr=spec.sample_rate_hz,
        n_fft=spec.n_fft,
        n_mels=80,
        fmin=spec.fmin_hz,
        fmax=spec.fmax_hz,
        dtype=np.float64,
    )
    np.testing.assert_allclose(mel_basis(spec), expected, atol=1e-12)


def test_the_cache_knows_every_parameter() -> None:
    # HiFi-GAN's key held fmax alone: another n_fft then got a basis of the wrong shape.
    audio = speechlike(16000)
    for change in ({"n_fft": 512, "win_samples": 512}, {"fmin_hz": 50.0}, {"n_mels": 40}):
        spec = dataclasses.replace(MelSpec(), **change)
        mel = mel_spectrogram(audio, spec)
        assert mel.shape == (spec.n_mels, 150)
        np.testing.assert_allclose(mel_spectrogram(torch.from_numpy(audio), spec), mel, atol=1e-4)
    assert len({spec.fingerprint() for spec in PRESETS.values()}) == len(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_invert_gives_the_magnitude_back(name: str) -> None:
    spec = PRESETS[name]
    plain = dataclasses.replace(spec, scale=1.0, offset=0.0, log="ln", clip_min=None, clip_max=None)
    audio = speechlike(spec.sample_rate_hz)
    expected = np.exp(mel_spectrogram(audio, plain))
    inverse = invert(mel_spectrogram(audio, spec), spec)
    assert inverse.dtype == np.float32
    inside = expected > 1e-3  # Lip2Wav's clip at -80 dB takes away what is below
    np.testing.assert_allclose(inverse[inside], expected[inside], rtol=1e-3)


def test_invert_keeps_a_wild_prediction_finite() -> None:
    assert np.isfinite(invert(np.full((80, 3), 1e6), PRESETS["facetron"])).all()
    assert np.isfinite(invert(np.full((80, 3), -1e6), PRESETS["facetron"])).all()


@pytest.mark.parametrize("mel", [np.zeros((40, 150)), np.zeros(80), np.zeros((80, 0))])
def test_invert_refuses_another_shape(mel: np.ndarray) -> None:
    with pytest.raises(BadInput, match="shape"):
        invert(mel)


def test_invert_refuses_nan() -> None:
    with pytest.raises(BadInput, match="NaN"):
        invert(np.full((80, 150), np.nan))


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(48000, dtype=np.int16), "int16"),
        (np.full(48000, 12000.0), "32768"),
        (np.full(48000, np.nan), "NaN"),
        (np.full(48000, np.inf, dtype=np.float32), "infinite"),
        (np.zeros(352), "too short"),
        (np.zeros(0), "too short"),
        (np.float64(0.5), "float64"),
        (torch.zeros(48000, dtype=torch.int16), "int16"),
        (torch.zeros(100), "too short"),
        ([0.0] * 48000, "list"),
    ],
)
def test_bad_audio_is_refused(audio: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        mel_spectrogram(audio)  # type: ignore[type-var]


@pytest.mark.parametrize(
    "change",
    [{"fmax_hz": 9000.0}, {"fmin_hz": 8000.0}, {"win_samples": 2048}, {"hop_samples": 321}],
)
def test_impossible_spec_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        mel_spectrogram(np.zeros(48000), dataclasses.replace(MelSpec(), **change))
