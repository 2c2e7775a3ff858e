"""Mel, prosody and Griffin-Lim on real clips of GRID."""

import os
from pathlib import Path

import numpy as np
import pytest
import soxr

from facetron.vocoders.griffin_lim import GriffinLim
from gridprep.features.prosody import prosody
from gridprep.media.decode import decode
from manifests.mel import PRESETS, mel_spectrogram

DATA = Path(
    os.environ.get("GRIDPREP_REAL_DATA", Path(__file__).parents[3] / "shared" / "data" / "grid")
)
CLIPS = ("s1/bbal8p", "s2/bbal6s", "s31/bbac3s", "s33/bbai7a", "s4/bbal4s", "s5/bbafzp")

pytestmark = pytest.mark.skipif(
    not (DATA / "original").is_dir(), reason=f"no real clips in {DATA} (set GRIDPREP_REAL_DATA)"
)


@pytest.fixture(scope="module")
def sounds() -> np.ndarray:
    """(clips, 48000) float32 at 16 kHz, padded with zeros."""
    found = []
    for clip in CLIPS:
        media = decode(DATA / "original" / f"{clip}.mpg", video=False)
        mono = media.audio.mean(axis=1)
        sound = soxr.resample(mono, media.sample_rate_hz, 16_000, quality="HQ")[:48_000]
        found.append(np.pad(sound, (0, 48_000 - len(sound))))
    return np.stack(found).astype(np.float32)


def silent_frames(clip: str) -> np.ndarray:
    """(150,) bool: well inside the silence before and after the sentence."""
    t = (np.arange(150) * 320 + 160) / 16_000
    silent = np.zeros(150, dtype=bool)
    for line in (DATA / "alignments" / f"{clip}.align").read_text().split("\n"):
        if line.endswith("sil"):
            start, end = (int(x) / 25_000 for x in line.split()[:2])
            silent |= (t > (start + 0.1 if start else 0)) & (t < (end - 0.1 if end < 2.97 else 3))
    return silent


@pytest.mark.parametrize("name", PRESETS)
def test_torch_equals_numpy_on_speech(sounds: np.ndarray, name: str) -> None:
    import torch

    spec = PRESETS[name]
    audio = sounds
    if spec.sample_rate_hz != 16_000:
        audio = np.stack([soxr.resample(x, 16_000, spec.sample_rate_hz) for x in sounds])
    mel = mel_spectrogram(audio, spec)
    assert mel.shape == (len(CLIPS), 80, spec.frames(audio.shape[1]))
    np.testing.assert_allclose(mel, mel_spectrogram(torch.from_numpy(audio), spec), atol=1e-4)


def test_f0_agrees_with_pyin_and_leaves_silence_unvoiced(sounds: np.ndarray) -> None:
    import librosa

    ours, theirs, silent = [], [], []
    for clip, sound in zip(CLIPS, sounds, strict=True):
        ours.append(prosody(sound).f0_hz)
        padded = np.pad(sound.astype(np.float64), 352)  # the same grid as the mel's
        f0_hz, _, _ = librosa.pyin(
            padded, fmin=60, fmax=400, sr=16_000, frame_length=1024, hop_length=320, center=False
        )
        theirs.append(f0_hz[:150])
        silent.append(silent_frames(clip))
    a, b, quiet = np.concatenate(ours), np.concatenate(theirs), np.concatenate(silent)
    both = np.isfinite(a) & np.isfinite(b)
    cents = np.abs(1200 * np.log2(a[both] / b[both]))
    assert both.mean() > 0.25
    assert np.mean(cents > 315) < 0.02  # gross errors: off by a fifth of the pitch
    assert np.median(cents) < 12
    assert np.isfinite(a[quiet]).mean() < 0.02
    assert np.isfinite(a[quiet]).mean() < np.isfinite(b[quiet]).mean()


def test_griffin_lim_is_intelligible(sounds: np.ndarray) -> None:
    from pystoi import stoi

    vocoder = GriffinLim(PRESETS["facetron"])
    scores, levels_db = [], []
    for sound in sounds:
        made = vocoder(mel_spectrogram(sound), np.random.default_rng(0), 48_000)
        scores.append(stoi(sound, made, 16_000))
        levels_db.append(20 * np.log10(made.std() / sound.std()))
    assert np.mean(scores) > 0.91
    assert np.abs(levels_db).max() < 3
