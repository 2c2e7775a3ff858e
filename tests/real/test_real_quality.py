"""The metric `quality` on real recordings and published systems: the orders that must hold."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from evaluation.models.quality_net import QualityNet, load_quality_net
from evaluation.training.quality_degradations import FAMILIES, degrade

DATA = Path(
    os.environ.get("GRIDPREP_REAL_DATA", Path(__file__).parents[3] / "shared" / "data" / "grid")
)
SYSTEMS = DATA.parent / "systems" / "visual-voice-memory"
RATE_HZ = 16_000

pytestmark = pytest.mark.skipif(not SYSTEMS.is_dir(), reason=f"{SYSTEMS} is not there")


@pytest.fixture(scope="module")
def network() -> QualityNet:
    return load_quality_net()


def sounds(name: str) -> list[NDArray[np.float64]]:
    found = []
    for folder in sorted(SYSTEMS.iterdir()):
        sound, rate_hz = soundfile.read(folder / f"{name}.wav")
        found.append(soxr.resample(sound, rate_hz, RATE_HZ, "HQ") if rate_hz != RATE_HZ else sound)
    return found


def test_recordings_are_above_every_system(network: QualityNet) -> None:
    """Speakers s1, s2, s4 and s29, whom the network was not trained on."""
    values = {
        name: np.array([network.quality(sound)[0] for sound in sounds(name)])
        for name in ("ground_truth", "ours_wavenet", "ours_griffin_lim", "lip2wav")
    }
    recordings = values.pop("ground_truth")
    assert recordings.mean() > 4
    # A WaveNet's sound is clean, whatever it says; Griffin-Lim's is not (Lip2Wav's is by it, too).
    for name, below in (("ours_wavenet", 0.4), ("ours_griffin_lim", 1.5), ("lip2wav", 1.5)):
        found = values[name]
        assert found.mean() < recordings.mean() - below, name
        assert (found < recordings).all(), name


@pytest.mark.parametrize("name", [n for n in FAMILIES if n != "replaced"])
def test_more_damage_scores_less(network: QualityNet, name: str) -> None:
    """Trained families and left-out ones alike, on the mean of three clips."""
    clips = sounds("ground_truth")[::3]
    means = [
        np.mean(
            [
                network.quality(degrade(clip, [name], strength, np.random.default_rng(k)))[0]
                for k, clip in enumerate(clips)
            ]
        )
        for strength in (0.05, 0.5, 1.0)
    ]
    assert means[0] > means[1] - 0.15
    assert means[1] > means[2] - 0.15
    assert means[0] > means[2] + 0.4
