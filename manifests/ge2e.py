"""GE2E: embeddings of voices by the network of Resemblyzer 0.1.4, whose weights lie in its wheel.

Wan, Wang, Papir and Lopez Moreno, "Generalized end-to-end loss for speaker verification", ICASSP 2018;
the implementation and the weights are Resemble AI's (github.com/resemble-ai/Resemblyzer, Apache-2.0):
three LSTMs of 256 over 40 mel bands, the last state through a linear layer and a ReLU, unit length.
The package itself is never imported (it needs webrtcvad and an old setuptools): the weights are found
as `manifests.wheels` finds files, checked and loaded without unpickling anything.

One thing differs from the original. It cuts out long pauses by the voice detector of WebRTC, a
compiled library; here a stretch of 30 ms holds voice where its level is within `GATE_DB` of the loud
ones, and all that follows (smoothing, dilation by six stretches) is the original's. `embed_trimmed`
without that step is equal to the original's `embed_utterance`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage

from manifests.errors import BadInput, in_short
from manifests.mel import mel_basis, window
from manifests.specs import MelSpec
from manifests.wheels import Wheel, WheelFile, find_files

FETCH = "facetron-eval judges fetch"
WHEEL = Wheel("Resemblyzer", "0.1.4", "the speaker judge GE2E", FETCH)
WEIGHTS = WheelFile(
    "ge2e-resemblyzer-0.1.4.pt",
    "resemblyzer/pretrained.pt",
    "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
    17_090_379,
)

RATE_HZ = 16_000
MELS = 40
HOP_SAMPLES = 160
SIZE = 256
"""Size of the embedding, and of each LSTM."""
LAYERS = 3
SPEC = MelSpec(
    sample_rate_hz=RATE_HZ, n_fft=400, win_samples=400, hop_samples=HOP_SAMPLES, n_mels=MELS,
    fmin_hz=0.0, fmax_hz=8000.0, padding="center",
)  # fmt: skip
"""Its window and its filter bank alone: the features are powers of mel bands, without a logarithm."""
PARTIAL_FRAMES = 160
"""An utterance is heard in pieces of 1.6 s."""
PARTIALS_PER_S = 1.3
LEAST_COVERAGE = 0.75
LEVEL_DBFS = -30.0
"""Quieter speech is amplified to this; louder speech stays as it is."""
STRETCH_SAMPLES = 480
SMOOTHED_STRETCHES = 8
LONGEST_PAUSE_STRETCHES = 6
GATE_DB = 20.0
"""A stretch this far below the loud ones (95th percentile) is a pause: of the gates tried, the one whose
embeddings of GRID came closest to those behind WebRTC's detector (mean cosine 0.987 over 80 clips)."""
BATCH = 128

PARAMETERS: dict[str, Any] = {
    "weights_sha256": WEIGHTS.sha256,
    "level_dbfs": LEVEL_DBFS,
    "gate_db": GATE_DB,
    "partial_frames": PARTIAL_FRAMES,
    "partials_per_s": PARTIALS_PER_S,
}
"""All that decides an embedding."""

Samples = NDArray[np.float64]


class Ge2e(torch.nn.Module):
    """The network, under the names of the original's weights."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(MELS, SIZE, LAYERS, batch_first=True)
        self.linear = torch.nn.Linear(SIZE, SIZE)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        """Embeddings of unit length and without negative values; differentiable.

        Args:
            mels: (B, frames, 40) powers of mel bands, as `mel_of` gives them; 160 frames in training.

        Returns:
            (B, 256).
        """
        _, (hidden, _) = self.lstm(mels)
        return torch.nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)


def load_ge2e(path: Path | None = None) -> Ge2e:
    """The network with its published weights, in evaluation mode and frozen.

    Args:
        path: the file of weights; None for the one that the cache or an installed wheel holds.

    Raises:
        BadInput: the file is another one.
        MissingDependency: the weights are nowhere; the message says how to fetch them.
    """
    return _loaded(path if path is not None else find_weights())


@lru_cache(maxsize=2)
@torch.inference_mode(False)  # whoever asks first: gradients must pass through the frozen network
def _loaded(path: Path) -> Ge2e:
    content = _read(path)
    network = Ge2e()
    known = network.state_dict()
    try:
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        # The file also holds the two scalars of the training's loss.
        network.load_state_dict({k: v for k, v in saved["model_state"].items() if k in known})
    except Exception as error:  # whatever torch raises for a file that is not its own
        raise BadInput(
            f"{path} does not hold the weights of GE2E ({in_short(error)})",
            f"delete it and run {FETCH}",
        ) from None
    return network.eval().requires_grad_(False)


def find_weights() -> Path:
    """The file of weights, checked by its SHA-256. Raises as `manifests.wheels.find_files`."""
    return find_files(WHEEL, [WEIGHTS])[WEIGHTS]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}", f"run {FETCH}") from None


def mel_of(wave: Samples) -> NDArray[np.float32]:
    """(n,) samples at 16 kHz → (1 + n // 160, 40) powers of mel bands, as the original's librosa makes
    them: windows of 25 ms every 10 ms, centered, zeros beyond the ends."""
    padded = np.pad(np.asarray(wave, np.float64), SPEC.n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, SPEC.n_fft)[::HOP_SAMPLES]
    spectrum = fft.rfft(frames * window(SPEC), axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    return np.asarray(power @ mel_basis(SPEC).T, dtype=np.float32)


def leveled(wave: Samples) -> Samples:
    """The wave at `LEVEL_DBFS` where it is quieter; silence stays silence."""
    rms = float(np.sqrt(np.mean(np.square(wave)))) if len(wave) else 0.0
    gain = 10 ** (LEVEL_DBFS / 20) / rms if rms > 0 else 1.0
    return wave * gain if gain > 1 else wave


def without_pauses(wave: Samples) -> Samples:
    """The wave (16 kHz) without its pauses, where they are longer than 0.2 s; whole stretches of 30 ms."""
    n = len(wave) // STRETCH_SAMPLES
    stretches = wave[: n * STRETCH_SAMPLES].reshape(n, STRETCH_SAMPLES)
    power = np.square(stretches).mean(axis=1)
    if n == 0 or not power.max() > 0:
        return wave[:0]
    level_db = 10 * np.log10(np.maximum(power, 1e-20))
    voiced = level_db > np.percentile(level_db, 95) - GATE_DB
    # A moving mean over eight stretches, three before and four after, then both ends widened.
    before = (SMOOTHED_STRETCHES - 1) // 2
    padded = np.pad(voiced.astype(float), (before, SMOOTHED_STRETCHES // 2))
    mean = np.convolve(padded, np.ones(SMOOTHED_STRETCHES) / SMOOTHED_STRETCHES, "valid")
    kept = ndimage.binary_dilation(
        np.round(mean).astype(bool), np.ones(LONGEST_PAUSE_STRETCHES + 1)
    )
    return np.asarray(stretches[kept].reshape(-1))


def partials(n_samples: int) -> list[int]:
    """First mel frames of the pieces in which `n_samples` are heard, each `PARTIAL_FRAMES` long."""
    frames = -(-(n_samples + 1) // HOP_SAMPLES)
    step = round(RATE_HZ / PARTIALS_PER_S / HOP_SAMPLES)
    starts = list(range(0, max(1, frames - PARTIAL_FRAMES + step + 1), step))
    covered = (n_samples - starts[-1] * HOP_SAMPLES) / (PARTIAL_FRAMES * HOP_SAMPLES)
    return starts[:-1] if covered < LEAST_COVERAGE and len(starts) > 1 else starts


@dataclass(frozen=True)
class Voice:
    """What is heard of one sound.

    Attributes:
        pieces: (n, 160, 40) mel powers.
        speech_s: length of the sound without its pauses.
    """

    pieces: NDArray[np.float32]
    speech_s: float


def voice_of(wave: Samples, rate_hz: int, *, trim: bool = True) -> Voice:
    """Levels a sound, takes out its pauses and cuts it.

    Args:
        wave: (n,) mono of full scale ±1.
        rate_hz: of the wave, which is brought to 16 kHz.
        trim: False hears the pauses as well.

    Raises:
        BadInput: another shape, or NaN or infinite samples.
    """
    heard = np.asarray(wave, np.float64)
    if heard.ndim != 1 or not np.isfinite(heard).all():
        raise BadInput(
            f"a wave of shape {heard.shape}, or with NaN", "pass (n,) finite mono samples"
        )
    if rate_hz != RATE_HZ:
        import soxr

        heard = soxr.resample(heard, rate_hz, RATE_HZ, quality="HQ")
    heard = leveled(heard)
    if trim:
        heard = without_pauses(heard)
    starts = partials(len(heard))
    last = (starts[-1] + PARTIAL_FRAMES) * HOP_SAMPLES
    mel = mel_of(np.pad(heard, (0, max(0, last - len(heard)))))
    return Voice(np.stack([mel[k : k + PARTIAL_FRAMES] for k in starts]), len(heard) / RATE_HZ)


@torch.inference_mode()
def embed_voices(voices: Sequence[Voice], network: Ge2e | None = None) -> NDArray[np.float64]:
    """(len(voices), 256) embeddings of unit length, the pieces of all voices in batches."""
    network = network or load_ge2e()
    owner = np.repeat(np.arange(len(voices)), [len(voice.pieces) for voice in voices])
    pieces = torch.from_numpy(np.concatenate([voice.pieces for voice in voices]))
    device = next(network.parameters()).device
    found = torch.cat([network(part.to(device)).cpu() for part in torch.split(pieces, BATCH)])
    each = found.numpy().astype(np.float64)
    mean = np.stack([each[owner == k].mean(axis=0) for k in range(len(voices))])
    return np.asarray(mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12))


def embed(wave: Samples, rate_hz: int, *, trim: bool = True) -> NDArray[np.float64]:
    """(256,) embedding of a voice, of unit length.

    Args:
        wave: (n,) mono of full scale ±1.
        rate_hz: of the wave, which is brought to 16 kHz.
        trim: False hears the pauses as well.

    Raises:
        BadInput: a wave that is no sound.
        MissingDependency: the weights are nowhere; the message says how to fetch them.

    Example:
        >>> import numpy as np
        >>> wave = np.random.default_rng(0).standard_normal(32_000) / 20
        >>> embed(wave, 16_000).shape  # doctest: +SKIP
        (256,)
    """
    return np.asarray(embed_voices([voice_of(wave, rate_hz, trim=trim)])[0])
