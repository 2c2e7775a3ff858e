"""Speaker embeddings by a small ECAPA-TDNN of SpeechBrain, and its features.

Desplanques, Thienpondt and Demuynck, "ECAPA-TDNN: emphasized channel attention, propagation and
aggregation in TDNN based speaker verification", Interspeech 2020. The network is
`speechbrain.lobes.models.ECAPA_TDNN`; the weights were trained here (`evaluation.training.speaker`)
and are named by the card beside them.

A clip of GRID is half pauses, whose noise tells the room and not the speaker, so only frames near the
loudest are heard. Every window is equally long: a padded batch would change the last frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.inputs.pairs import Recording, Samples, Unscorable
from evaluation.models.shipped import open_shipped
from evaluation.models.torchaudio_placeholder import ensure_torchaudio, forget_lazy_modules
from manifests.mel import mel_spectrogram
from manifests.specs import MelSpec

WEIGHTS = Path(__file__).parents[1] / "weights" / "speaker.safetensors"

SPEC = MelSpec(
    n_fft=512,
    win_samples=400,
    hop_samples=160,
    fmin_hz=60.0,
    fmax_hz=7600.0,
    padding="center",
    magnitude_eps=0.0,
    floor=1e-6,
)
"""80 bands every 10 ms from windows of 25 ms, as recipes for speakers have it."""
GATE_DB = 33.0
"""A frame this far below the loud ones (98th percentile) is a pause."""
CLICK_DB = 50.0
"""Where a frame stands out this far, it is a click in silence, and the rest is no speech."""
RANGE_LN = 8.0
"""Bands further below the loud frames' energy (70 dB) tell of rounding and noise gates only."""
LEAST_FRAMES = 25
"""Under a quarter of a second of speech tells nobody's voice."""
WINDOW_FRAMES = 150
MOST_WINDOWS = 8
BATCH = 64

PARAMETERS: dict[str, Any] = {
    "mel": SPEC.fingerprint(),
    "gate_db": GATE_DB,
    "click_db": CLICK_DB,
    "range_ln": RANGE_LN,
    "window_frames": WINDOW_FRAMES,
    "most_windows": MOST_WINDOWS,
}


@dataclass(frozen=True)
class Size:
    """Widths of the network; 0.6 M parameters by default."""

    channels: int = 128
    attention_channels: int = 64
    embedding: int = 96


def active_mel(samples: Samples) -> NDArray[np.float32]:
    """(T, 80) log-mel of the frames that hold speech, relative to the loud ones' energy.

    Args:
        samples: (n,) mono at 16 kHz.

    Raises:
        Unscorable: `too_little_speech`.
    """
    least = 4 * SPEC.n_fft
    padded = np.pad(samples, (0, max(0, least - len(samples))))
    mel = mel_spectrogram(padded, SPEC).astype(np.float64)
    energy_db = 10 * np.log10(np.square(np.exp(mel)).sum(axis=0))
    loud_db = float(np.percentile(energy_db, 98))
    heard = energy_db > max(loud_db - GATE_DB, float(energy_db.max()) - CLICK_DB)
    if heard.sum() < LEAST_FRAMES:
        raise Unscorable("too_little_speech", f"{heard.sum()} frames of 10 ms hold speech")
    relative = mel[:, heard] - loud_db * np.log(10) / 20
    return np.asarray(np.maximum(relative, -RANGE_LN).T, dtype=np.float32)


def normalized(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, 80) less each band's mean: what a line or a vocoder colors evenly is no speaker."""
    return np.asarray(mel - mel.mean(axis=0, keepdims=True))


def windows(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, 80) → (n, `WINDOW_FRAMES`, 80), evenly over the clip, short ones repeated."""
    if len(mel) < WINDOW_FRAMES:
        mel = np.tile(mel, (-(-WINDOW_FRAMES // len(mel)), 1))[:WINDOW_FRAMES]
    spare = len(mel) - WINDOW_FRAMES
    n = min(MOST_WINDOWS, 1 + -(-spare // (WINDOW_FRAMES // 2)))
    starts = np.linspace(0, spare, n).round().astype(int)
    return np.stack([normalized(mel[start : start + WINDOW_FRAMES]) for start in starts])


def build(size: Size) -> torch.nn.Module:
    """(B, T, 80) → (B, 1, embedding), untrained."""
    ensure_torchaudio()
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    forget_lazy_modules()

    wide = size.channels
    network: torch.nn.Module = ECAPA_TDNN(
        input_size=SPEC.n_mels,
        channels=[wide, wide, wide, wide, 3 * wide],
        attention_channels=size.attention_channels,
        lin_neurons=size.embedding,
    )
    return network


class Ecapa:
    """The network ready to listen."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network.eval()

    @torch.inference_mode()
    def embed(self, sounds: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Embeddings of unit length.

        Args:
            sounds: `active_mel` of each.

        Returns:
            (len(sounds), embedding): the direction of the mean over a clip's windows.
        """
        cut = [windows(mel) for mel in sounds]
        clip = np.repeat(np.arange(len(cut)), [len(c) for c in cut])
        heard = torch.from_numpy(np.concatenate(cut))
        found = torch.cat([self.network(part).squeeze(1) for part in torch.split(heard, BATCH)])
        unit = torch.nn.functional.normalize(found, dim=1).numpy().astype(np.float64)
        total = np.stack([unit[clip == i].mean(axis=0) for i in range(len(cut))])
        return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True))


@lru_cache(maxsize=2)
def load_ecapa(path: Path = WEIGHTS) -> Ecapa:
    """The network with the weights of a file that `evaluation.training.speaker` wrote.

    Raises:
        BadInput: no such file, or not the one that its card names.
    """
    shipped = open_shipped(path)
    network = build(Size(**shipped.metadata["size"]))
    network.load_state_dict({k: torch.from_numpy(v) for k, v in shipped.tensors.items()})
    return Ecapa(network)


def embedding_of(recording: Recording) -> NDArray[np.float64]:
    """(embedding,) of a recording, once for all metrics that ask. Raises `Unscorable`."""
    return recording.once("ecapa", lambda: load_ecapa().embed([active_mel(recording.samples)])[0])
