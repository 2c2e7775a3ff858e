"""GE2E as the teacher of Eq. 5: its features from our mels, its network, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import fft
from torch.nn import functional

from facetron.model.config import ProsodyConfig
from facetron.model.ge2e import BANDS, LEVEL_DBFS, PIECE_FRAMES, Ge2eVoice
from manifests.errors import BadInput
from manifests.mel import mel_basis, mel_spectrogram, window

CONFIG = ProsodyConfig("ge2e", embedding_size=256)


@pytest.fixture(scope="module")
def voice() -> Ge2eVoice:
    torch.manual_seed(0)
    return Ge2eVoice(CONFIG, 80).eval()


def glide(seconds: float, level: float) -> np.ndarray:
    """A voice-like sound: harmonics of a gliding pitch, with a little noise."""
    t = np.arange(round(16_000 * seconds)) / 16_000
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(3 * t)) / 16_000
    sound = sum(np.sin(k * phase) / k for k in range(1, 30))
    noise = np.random.default_rng(0).standard_normal(len(t))
    mixed = np.asarray(sound + 0.05 * noise)
    return mixed * level / np.sqrt(np.mean(mixed**2))


def original_features(wave: np.ndarray) -> np.ndarray:
    """(frames, 40) as Resemblyzer's librosa makes them, after its leveling to -30 dBFS."""
    rms = np.sqrt(np.mean(wave**2))
    wave = wave * max(10 ** (LEVEL_DBFS / 20) / rms, 1)
    padded = np.pad(wave, 200)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160]
    return np.abs(fft.rfft(frames * window(BANDS), axis=-1)) ** 2 @ mel_basis(BANDS).T


@pytest.mark.parametrize("level", [0.002, 0.2], ids=["quiet", "loud"])
def test_features_are_close_to_the_original_ones(voice: Ge2eVoice, level: float) -> None:
    wave = glide(3.0, level)
    mel = torch.from_numpy(mel_spectrogram(wave))[None]
    ours = voice.features(mel)[0].numpy()
    theirs = original_features(wave)[: len(ours)]
    assert ours.shape == (300, 40)
    logs = [np.log(values + 1e-9).ravel() for values in (ours, theirs)]
    assert np.corrcoef(*logs)[0, 1] > 0.95
    assert np.median(ours / theirs) == pytest.approx(1, abs=0.25)


def test_pieces_are_averaged(voice: Ge2eVoice) -> None:
    mel = torch.from_numpy(mel_spectrogram(glide(3.0, 0.1)))[None]
    heard = voice.features(mel)
    starts = (0, 70, 140)
    pieces = torch.cat([heard[:, s : s + PIECE_FRAMES] for s in starts])
    state = voice.lstm(pieces)[1][0][-1]
    each = functional.normalize(torch.relu(voice.linear(state)), dim=-1)
    expected = functional.normalize(each.mean(0, keepdim=True), dim=-1)
    torch.testing.assert_close(voice(mel), expected)


def test_short_and_many(voice: Ge2eVoice) -> None:
    mel = torch.from_numpy(mel_spectrogram(glide(0.5, 0.1)))[None]
    found = voice(mel.expand(2, -1, -1))
    assert found.shape == (2, 256)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(found[0], found[1])


def test_a_mel_learns_through_it(voice: Ge2eVoice) -> None:
    mel = torch.from_numpy(mel_spectrogram(glide(1.0, 0.1)))[None].requires_grad_()
    voice(mel)[0, :8].sum().backward()
    assert mel.grad is not None
    assert bool(torch.isfinite(mel.grad).all())
    assert float(mel.grad.abs().sum()) > 0


def test_other_mels_and_sizes_are_refused(voice: Ge2eVoice) -> None:
    with pytest.raises(BadInput, match="mels of 40 bands"):
        Ge2eVoice(CONFIG, 40)
    with pytest.raises(BadInput, match="embedding_size 128"):
        ProsodyConfig("ge2e")
    with pytest.raises(BadInput, match=r"a mel of shape \(1, 40, 9\)"):
        voice(torch.zeros(1, 40, 9))
