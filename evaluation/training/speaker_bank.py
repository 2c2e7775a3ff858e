"""Training data of the speaker network: mels of real and synthetic speakers, some of them degraded.

GRID's few real speakers in reach are made more: a recording played faster or slower has another pitch
and another vocal tract, so it is another speaker, a class of its own (as in the recipes of VoxCeleb).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from evaluation.inputs.pairs import SCORING_RATE_HZ, Samples
from evaluation.models.ecapa import active_mel
from evaluation.training.quality_degradations import degrade
from manifests.console import Progress
from manifests.io import read_manifest
from manifests.records import ManifestRow

REAL_SPEEDS = {1.0: 40, 0.84: 14, 0.92: 14, 1.09: 14, 1.19: 14}
SYNTHETIC_SPEEDS = {1.0: 14, 0.9: 7, 1.12: 7}
"""Speed → mels of each speaker at that speed."""
HARMS = (
    "white_noise", "colored_noise", "hum", "quantization", "low_pass", "high_pass",
    "reverberation", "griffin_lim", "mel_blur", "mel_noise", "phase_noise", "spectral_holes",
)  # fmt: skip
UNHARMED = 0.35
"""Share of mels that are left as recorded."""
STRONGEST = 0.45
HELD_OUT_CLIPS = 2
"""Clips of every speaker, beside those outside the training subset, that are never trained on."""


@dataclass(frozen=True)
class Build:
    """Recordings of a build, by what may be done with them.

    Attributes:
        root: the build's folder.
        learnt, held_out: speaker → rows. Whoever has too few clips is held out whole.
    """

    root: Path
    learnt: dict[str, tuple[ManifestRow, ...]]
    held_out: dict[str, tuple[ManifestRow, ...]]

    def sound(self, row: ManifestRow) -> Samples:
        """(n,) float64 at 16 kHz."""
        samples, rate_hz = soundfile.read(self.root / row.paths["audio"], dtype="float64")
        if rate_hz != SCORING_RATE_HZ:
            raise ValueError(f"{row.clip_id} is at {rate_hz} Hz")
        return np.asarray(samples)


@dataclass(frozen=True)
class Voice:
    """A class of the training: a speaker at a speed, with mels.

    Attributes:
        speaker: `real s3` or `synthetic s3`.
        speed: 1.0 as recorded.
        mels: (T, 80) each.
    """

    speaker: str
    speed: float
    mels: tuple[NDArray[np.float32], ...]


def read_build(root: Path, unheard: Sequence[str] = ()) -> Build:
    """Rows by speaker; those of `unheard` speakers are held out, whatever the split says."""
    learnt: dict[str, list[ManifestRow]] = {}
    held_out: dict[str, list[ManifestRow]] = {}
    rows = read_manifest(root)[1]
    for speaker in sorted({row.speaker for row in rows}):
        mine = sorted((r for r in rows if r.speaker == speaker), key=lambda r: r.stem)
        train = [r for r in mine if r.subset == "train" and speaker not in unheard]
        kept = train[:-HELD_OUT_CLIPS]
        if kept:
            learnt[speaker] = kept
        held_out[speaker] = [r for r in mine if r not in kept]
    return Build(
        root,
        {speaker: tuple(rows) for speaker, rows in learnt.items()},
        {speaker: tuple(rows) for speaker, rows in held_out.items()},
    )


def voices(
    build: Build, origin: str, speeds: dict[float, int], rng: np.random.Generator
) -> list[Voice]:
    """Every speaker of a build at every speed; clips are drawn in turn, each harmed anew."""
    found = []
    with Progress(len(build.learnt) * len(speeds), f"{origin} voices") as bar:
        for speaker, rows in build.learnt.items():
            for speed, count in speeds.items():
                drawn = [rows[i] for i in rng.permutation(len(rows))[:count]]
                mels = []
                for i in range(count):
                    sound = build.sound(drawn[i % len(drawn)])
                    if speed != 1.0:
                        sound = soxr.resample(sound, SCORING_RATE_HZ * speed, SCORING_RATE_HZ)
                    mels.append(active_mel(harmed(sound, rng)))
                found.append(Voice(f"{origin} {speaker}", speed, tuple(mels)))
                bar.update(1)
    return found


def harmed(sound: Samples, rng: np.random.Generator) -> Samples:
    """(n,) → (n,): as recorded, or with one or two degradations that leave the voice there."""
    if rng.random() < UNHARMED:
        return sound
    names = rng.choice(len(HARMS), size=rng.integers(1, 3), replace=False)
    return degrade(sound, [HARMS[i] for i in names], float(rng.uniform(0.05, STRONGEST)), rng)
