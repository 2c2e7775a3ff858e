"""DNSMOS (Reddy, Gopal, Cutler, ICASSP 2021 and 2022): what listeners would say of speech, for noise
suppressors; Microsoft's two networks (MIT) as the wheel of speechmos 0.0.1.1 holds them.

Preparation and polynomials are those of that release: a sound shorter than 9.01 s is repeated until it
is longer (doubled each time), then heard in pieces of 9.01 s, a second apart, whose scores are averaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from evaluation.inputs.pairs import SCORING_RATE_HZ, Samples
from evaluation.models.judges import DNSMOS, DNSMOS_P808, DNSMOS_P835
from manifests.errors import BadInput, in_short
from manifests.mel import mel_basis, window
from manifests.specs import MelSpec
from manifests.wheels import WheelFile

PIECE_SAMPLES = int(9.01 * SCORING_RATE_HZ)
P808_SAMPLES = PIECE_SAMPLES - 160
SPEC = MelSpec(
    n_fft=321,
    win_samples=321,
    hop_samples=160,
    n_mels=120,
    fmin_hz=0.0,
    fmax_hz=8000.0,
    padding="center",
)
"""Its window and its filter bank alone."""
TOP_DB = 80.0
BATCH = 16
POLYNOMIALS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
"""From the network's outputs to opinions, highest power first."""


@dataclass(frozen=True)
class Opinions:
    """Mean opinions by P.835, 1 to 5: signal, background and overall."""

    sig: float
    bak: float
    ovrl: float


def p808(sound: Samples) -> float:
    """Overall opinion by P.808, 1 to 5, of a sound, (n,) mono at 16 kHz, full scale ±1.

    Raises:
        BadInput, MissingDependency: the network's file is damaged or missing.
    """
    session = _session(DNSMOS_P808)
    found: list[float] = []
    for some in _batches(sound):
        mels = np.stack([mel_db(piece[:P808_SAMPLES]) for piece in some])
        found += list(session.run(None, {"input_1": mels})[0][:, 0])
    return float(np.mean(found))


def p835(sound: Samples) -> Opinions:
    """Opinions by P.835 of a sound, (n,) mono at 16 kHz, full scale ±1. Its network takes over ten times
    as long as that of P.808.

    Raises:
        BadInput, MissingDependency: the network's file is damaged or missing.
    """
    session = _session(DNSMOS_P835)
    raw = [session.run(None, {"input_1": some})[0] for some in _batches(sound)]
    columns = np.concatenate(raw).astype(np.float64).T
    return Opinions(
        *(
            float(np.mean(np.polyval(POLYNOMIALS[name], values)))
            for name, values in zip(POLYNOMIALS, columns, strict=True)
        )
    )


def _batches(sound: Samples) -> Iterator[NDArray[np.float32]]:
    heard = pieces(np.clip(sound, -1, 1).astype(np.float32))
    for start in range(0, len(heard), BATCH):
        yield heard[start : start + BATCH]


def pieces(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, `PIECE_SAMPLES`)."""
    while len(sound) < PIECE_SAMPLES:
        sound = np.concatenate([sound, sound])
    hops = int(np.floor(len(sound) / SCORING_RATE_HZ) - 9.01) + 1
    starts = [k * SCORING_RATE_HZ for k in range(hops)]
    whole = [s for s in starts if s + PIECE_SAMPLES <= len(sound)]
    return np.stack([sound[s : s + PIECE_SAMPLES] for s in whole])


def mel_db(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) → (1 + (n − 1) // 160, 120): mel power in dB below the loudest cell, as (dB + 40) / 40."""
    padded = np.pad(piece.astype(np.float64), SPEC.n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, SPEC.n_fft)[:: SPEC.hop_samples]
    spectrum = fft.rfft(frames * window(SPEC), axis=-1)
    power = (spectrum.real**2 + spectrum.imag**2) @ mel_basis(SPEC).T
    level_db = 10 * np.log10(np.maximum(power, 1e-10))
    level_db = np.maximum(level_db - level_db.max(), -TOP_DB)
    return np.asarray((level_db + 40) / 40, dtype=np.float32)


@lru_cache(maxsize=2)
def _session(file: WheelFile) -> Any:
    """The network of a file, found and checked once a process."""
    return open_session(DNSMOS.find()[file])


def open_session(path: Path) -> Any:
    """Raises `BadInput` where the file holds no network."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # clips are scored side by side
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes, which it does not export
        raise BadInput(
            f"{path} holds no network ({in_short(error)})",
            f"delete it and run {DNSMOS.wheel.fetch}",
        ) from None
