"""The mel's own intelligibility score, and the head that learns to predict it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from facetron_build import make_build
from pystoi import stoi
from scipy.stats import spearmanr

from facetron.checkpoints import checkpoint
from facetron.model.sizes import model_config
from facetron.train.decoder import mel_critic
from facetron.train.mel_score import _third_octaves, mel_estoi
from facetron.train.run import train
from facetron.train.stage import Critics, generator_loss
from manifests.errors import BadInput
from manifests.mel import DEFAULT, PRESETS, mel_spectrogram

PERCEPTUAL = ("mel_discriminator.perceptual=true",)


def speech(seed: int, n_samples: int = 48_000) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Syllables of changing pitch and color: modulated harmonics, which is all the score looks at."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(n_samples) / 16_000
    pitch_hz = 120 * 2 ** np.interp(time_s, np.arange(8) * 0.45, rng.uniform(-0.5, 0.5, 8))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / 16_000
    sound = np.zeros(n_samples)
    for k in range(1, 30):
        level = np.interp(time_s, np.arange(31) * 0.1, rng.uniform(0, 1, 31) ** 3 / k)
        sound += level * np.sin(k * phase)
    return (0.1 * sound).astype(np.float32)


def logs(*sounds: np.ndarray[tuple[int], np.dtype[np.float32]]) -> torch.Tensor:
    return torch.stack([torch.from_numpy(mel_spectrogram(sound)) for sound in sounds])


def test_ranks_noise_as_estoi_does() -> None:
    rng, clean = np.random.default_rng(0), [speech(seed) for seed in range(4)]
    pairs = []
    for sound in clean:
        for snr_db in (-10, -5, 0, 5, 15):
            noise = rng.standard_normal(len(sound)).astype(np.float32)
            noise *= np.sqrt((sound**2).mean() / 10 ** (snr_db / 10) / (noise**2).mean())
            pairs.append((sound, sound + noise))
    true = [stoi(real, made, 16_000, extended=True) for real, made in pairs]
    real, made = (logs(*sounds) for sounds in zip(*pairs, strict=True))
    assert spearmanr(true, mel_estoi(made, real, DEFAULT).numpy())[0] > 0.9


def test_bounds() -> None:
    real = logs(speech(0), speech(1))
    same = mel_estoi(real, real, DEFAULT)
    assert same.tolist() == pytest.approx([1, 1], abs=1e-4)
    louder = mel_estoi(real + 1.5, real, DEFAULT)
    assert louder.tolist() == pytest.approx([1, 1], abs=1e-4)
    other = mel_estoi(real.flip(0), real, DEFAULT)
    assert bool((other < 0.35).all())
    noise = mel_estoi(torch.randn(2, 80, 150), real, DEFAULT)
    assert bool(((noise >= 0) & (noise < 0.25)).all())
    flat = torch.full_like(real, float(np.log(DEFAULT.floor)))
    assert mel_estoi(flat, real, DEFAULT).tolist() == [0, 0]
    assert mel_estoi(real, flat, DEFAULT).tolist() == [0, 0]
    assert bool(torch.isfinite(mel_estoi(torch.full_like(real, 1e9), real, DEFAULT)).all())


def test_silence_around_the_speech_says_nothing() -> None:
    sound = speech(3)
    sound[:16_000] = 0
    real = logs(sound)
    made = real.clone()
    made[:, :, :40] = torch.randn(80, 40) - 8
    assert float(mel_estoi(made, real, DEFAULT)) > 0.9
    made[:, :, 90:130] = torch.randn(80, 40) - 2
    assert float(mel_estoi(made, real, DEFAULT)) < 0.8


def test_third_octaves_of_the_mel() -> None:
    bands = _third_octaves(DEFAULT)
    assert bands.sum(axis=1).tolist() == [1, 1, 2, 2, 2, 3, 4, 4, 6, 6, 6, 6, 6, 6, 6]
    assert bands.sum(axis=0).max() == 1


@pytest.mark.parametrize("name", ["vca-gan", "lip2wav"])
def test_other_mels_have_a_score_too(name: str) -> None:
    spec = PRESETS[name]
    real = torch.from_numpy(mel_spectrogram(speech(0), spec))[None]
    other = torch.from_numpy(mel_spectrogram(speech(1), spec))[None]
    assert float(mel_estoi(real, real, spec)) == pytest.approx(1, abs=1e-3)
    assert float(mel_estoi(other, real, spec)) < 0.35


def test_what_is_refused() -> None:
    with pytest.raises(BadInput, match="mels of shapes"):
        mel_estoi(torch.zeros(1, 80, 50), torch.zeros(1, 80, 51), DEFAULT)
    with pytest.raises(BadInput, match="at least 19"):
        mel_estoi(torch.zeros(1, 80, 18), torch.zeros(1, 80, 18), DEFAULT)


def test_the_head_learns_the_score_and_the_mel_follows_it() -> None:
    config = model_config("debug", sets=[*PERCEPTUAL, "mel_discriminator.perceptual_channels=8,8"])
    torch.manual_seed(0)
    critics = Critics({"decoder": mel_critic(config)}, config.mel_spec)
    head = critics.head("decoder")
    assert head is not None
    real = logs(*(speech(seed) for seed in range(8)))
    optimizer = torch.optim.Adam(critics.parameters(), 0.01)
    shares = torch.linspace(0, 1, 8)[:, None, None]
    generator = torch.Generator().manual_seed(1)

    def made() -> torch.Tensor:
        noise = torch.randn(real.shape, generator=generator) * 2 - 4
        return real * (1 - shares) + noise * shares

    for _ in range(40):
        optimizer.zero_grad()
        critics({"decoder": (real, made())}).backward()
        optimizer.step()
    head.eval()
    mixed = made().requires_grad_()
    predicted, measured = head(mixed, real), mel_estoi(mixed, real, DEFAULT)
    assert spearmanr(predicted.detach(), measured)[0] > 0.8
    _, members = generator_loss(
        critics, "decoder", {"decoder": (real, mixed)}, torch.zeros(()), config.loss
    )
    assert float(members["decoder_estoi"]) == pytest.approx(float(measured.mean()), abs=1e-5)
    assert float(members["decoder_perceptual"].detach()) == pytest.approx(
        float((1 - predicted).square().mean().detach()), rel=1e-4
    )
    (gradient,) = torch.autograd.grad(members["decoder_perceptual"], mixed)
    assert float(gradient.abs().max()) > 0


def test_stages_train_with_the_head(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=3)
    sets = (
        *PERCEPTUAL, "train.epochs=2", "train.batch_size=4", "train.segment_frames=16",
        "train.loggers=csv",
    )  # fmt: skip
    train("all", build, tmp_path / "runs", "debug", sets=sets)
    for stage in ("decoder", "joint"):
        path = tmp_path / "runs" / stage / "last.safetensors"
        info, tensors = checkpoint.load(path)
        assert any(name.startswith("mel_discriminator.perceptual.") for name in tensors)
        for line in info.history:
            for name in ("train_decoder", "val_decoder"):
                assert 0 <= line[f"{name}_estoi"] <= 1
                assert 0 <= line[f"{name}_perceptual"] <= 1
        assert "train_vocoder_perceptual" not in info.history[0]
