"""NISQA-TTS with the official weights against the values of the official code."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from evaluation.metrics.naturalness import OFFICIAL_SHA256
from evaluation.models.nisqa import NisqaTts, load_nisqa
from evaluation.models.weights import weights_sha256
from gridprep.media.decode import decode

DATA = Path(
    os.environ.get("GRIDPREP_REAL_DATA", Path(__file__).parents[3] / "shared" / "data" / "grid")
)
WEIGHTS = DATA.parent / "nisqa" / "nisqa_tts.tar"
SYSTEMS = DATA.parent / "systems" / "visual-voice-memory"
RATE_HZ = 16_000

pytestmark = pytest.mark.skipif(
    not WEIGHTS.is_file(), reason=f"no official weights: {WEIGHTS} is not there"
)


@pytest.fixture(scope="module")
def network() -> NisqaTts:
    assert weights_sha256(WEIGHTS) == OFFICIAL_SHA256
    return load_nisqa(WEIGHTS)


def test_golden_values(network: NisqaTts) -> None:
    noise = np.random.RandomState(0).randn(3 * RATE_HZ) * 0.1
    assert network.naturalness(np.zeros(3 * RATE_HZ), RATE_HZ) == pytest.approx(1.9087, abs=1e-3)
    assert network.naturalness(noise, RATE_HZ) == pytest.approx(2.3322, abs=1e-3)


@pytest.mark.skipif(not SYSTEMS.is_dir(), reason=f"{SYSTEMS} is not there")
@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ("s1_bbbf7s", 3.25903), ("s1_sgib9s", 4.03465), ("s2_brwg8a", 3.22839),
        ("s4_lgbf6s", 4.81597), ("s29_bgar1s", 4.24420),
    ],
)  # fmt: skip
def test_real_speech_scores_as_in_the_official_code(
    network: NisqaTts, clip: str, expected: float
) -> None:
    sound, rate_hz = soundfile.read(SYSTEMS / clip / "ground_truth.wav")
    assert network.naturalness(sound, rate_hz) == pytest.approx(expected, abs=1e-3)


@pytest.mark.skipif(not (DATA / "original").is_dir(), reason=f"no real clips in {DATA}")
def test_recordings_are_no_fives(network: NisqaTts) -> None:
    values = []
    for path in sorted((DATA / "original" / "s1").glob("*.mpg"))[:20]:
        media = decode(path, video=False)
        sound = soxr.resample(media.audio.mean(axis=1), media.sample_rate_hz, RATE_HZ, "HQ")
        values.append(network.naturalness(sound, RATE_HZ))
    assert 1.3 < min(values) < 2.2
    assert 3.2 < np.mean(values) < 3.6
    assert max(values) < 4.6
