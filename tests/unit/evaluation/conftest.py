"""Speech-like sound and run directories, made in a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from manifests.io import write_json, write_jsonl
from manifests.records import RunClip, RunInfo

RATE_HZ = 16_000


def speechlike(
    seed: int = 0, seconds: float = 3.0, f0_hz: float = 120.0, rate_hz: int = RATE_HZ
) -> NDArray[np.float64]:
    """Six syllables of a buzzing source through moving resonances, breath noise between them."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate_hz)
    t = np.arange(n) / rate_hz
    contour = f0_hz * 2 ** (0.25 * np.sin(2 * np.pi * 0.5 * t + rng.uniform(0, 6)) - 0.05 * t)
    phase = 2 * np.pi * np.cumsum(contour) / rate_hz
    peaks = [
        np.interp(t, np.linspace(0, seconds, 9), rng.uniform(low, high, 9))
        for low, high in ((300, 800), (1000, 2300), (2400, 3200))
    ]
    sound = np.zeros(n)
    for harmonic in range(1, int(0.45 * RATE_HZ / f0_hz)):
        frequency = harmonic * contour
        gain = sum(np.exp(-(((frequency - peak) / 250) ** 2)) for peak in peaks) + 0.02
        sound += gain * np.sin(harmonic * phase)
    envelope = np.zeros(n)
    for k in range(6):
        center = seconds * (k + 0.7 + 0.2 * rng.uniform(-1, 1)) / 6.6
        envelope += np.exp(-(((t - center) / 0.12) ** 4))
    sound = sound * envelope + 0.004 * rng.standard_normal(n)
    return 0.5 * sound / np.abs(sound).max()


def write_run(
    root: Path,
    *,
    name: str = "Model",
    kind: str = "model",
    speakers: tuple[str, ...] = ("s1", "s2"),
    stems: tuple[str, ...] = ("bbaf2n", "lgbf6s"),
    change: Callable[[NDArray[np.float64], int], NDArray[np.float64]] | None = None,
    seconds: float = 1.2,
    n_expected: int | None = None,
    split: str = "large-unseen",
) -> Path:
    """A run of speech-like clips; `change(reference, index)` makes the synthesized one."""
    clips = []
    references = root.parent / "recordings"
    (root / "wavs").mkdir(parents=True)
    references.mkdir(exist_ok=True)
    for s, speaker in enumerate(speakers):
        for k, stem in enumerate(stems):
            index = s * len(stems) + k
            reference = speechlike(index, seconds, f0_hz=110 + 40 * s)
            sound = change(reference, index) if change else reference
            file = f"{speaker}_{stem}.wav"
            soundfile.write(references / file, reference, RATE_HZ)
            soundfile.write(root / "wavs" / file, sound, RATE_HZ)
            clips.append(
                RunClip(
                    speaker,
                    stem,
                    "bin blue at f two now",
                    "male",
                    f"wavs/{file}",
                    f"../recordings/{file}",
                )
            )
    write_jsonl(root / "clips.jsonl", "run-clips", clips)
    expected = len(clips) if n_expected is None else n_expected
    info = RunInfo(name, kind, split, "test", RATE_HZ, expected)
    write_json(root / "run.json", info.to_dict())
    return root


def noisy(sound: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(1000 + index)
    return 0.7 * sound + 0.02 * rng.standard_normal(len(sound))


@pytest.fixture
def make_sound() -> Callable[..., NDArray[np.float64]]:
    return speechlike


@pytest.fixture
def make_run() -> Callable[..., Path]:
    return write_run


@pytest.fixture
def add_noise() -> Callable[[NDArray[np.float64], int], NDArray[np.float64]]:
    return noisy
