"""The bundled vocoder on recordings that it was not trained on, beside Griffin-Lim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray
from pystoi import stoi

from facetron.checkpoints import bundled
from facetron.vocoders import registry as vocoders
from facetron.vocoders.neural import RefinedVocoder
from gridprep.media.decode import decode
from manifests.mel import DEFAULT, mel_spectrogram
from manifests.splits import frozen

CLIPS = 10
RATE_HZ = DEFAULT.sample_rate_hz


def recordings(grid: Path) -> list[NDArray[np.float32]]:
    """Held-out clips of s1, evenly spaced over their names."""
    held_out = [stem for speaker, stem in frozen.load("all-seen").clips("test") if speaker == "s1"]
    paths = [grid / "compact" / "s1" / f"{stem}.mkv" for stem in sorted(held_out)]
    paths = [path for path in paths if path.is_file()]
    if len(paths) < CLIPS:
        pytest.skip(f"{grid} holds {len(paths)} held-out clips of s1")
    found = []
    for path in paths[:: len(paths) // CLIPS][:CLIPS]:
        media = decode(path, video=False)
        mono = media.audio.mean(axis=1)
        found.append(soxr.resample(mono, media.sample_rate_hz, RATE_HZ, "HQ").astype(np.float32))
    return found


def scores(vocoder: vocoders.Vocoder, sounds: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Means of (L1 of the log mel, STOI) of what a vocoder makes of the mels of recordings."""
    rows = []
    for sound in sounds:
        mel = mel_spectrogram(sound)
        made = vocoder(mel, np.random.default_rng(0), len(sound))
        distance = np.abs(np.asarray(mel_spectrogram(made)) - np.asarray(mel)).mean()
        rows.append((distance, stoi(sound, made, RATE_HZ)))
    return np.asarray(np.mean(rows, axis=0))


@pytest.mark.skipif("grid-s1" not in bundled.names(), reason="no bundled weights in this checkout")
def test_it_beats_griffin_lim_in_mel_and_stoi(real_grid: Path) -> None:
    sounds = recordings(real_grid)
    refined = RefinedVocoder(DEFAULT, "grid-s1")
    lim = vocoders.create("griffin-lim", DEFAULT, iterations=refined.rounds)
    its_mel, its_stoi = scores(refined, sounds)
    other_mel, other_stoi = scores(lim, sounds)
    assert its_mel < 0.8 * other_mel
    assert its_stoi > other_stoi
