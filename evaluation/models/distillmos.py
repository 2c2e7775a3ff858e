"""DistillMOS (Stahl and Gamper, "Distillation and pruning for scalable self-supervised
representation-based speech quality assessment", ICASSP 2025): its smallest published network, variant 7
(MIT), as the wheel of distillmos 0.9.1 holds it.

The package asks for torchaudio and transformers and needs neither, so these few lines are our own; the
names are those of its weights.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.inputs.pairs import SCORING_RATE_HZ, Samples
from evaluation.models.judges import DISTILLMOS, DISTILLMOS_WEIGHTS
from evaluation.models.weights import loaded

PIECE_SAMPLES = 122_880
HOP_SAMPLES = SCORING_RATE_HZ
WINDOW, STEP = 320, 160
FRAMES = 384
REACH = 8
"""Frames of the spectrum on either side that a column of the convolutions sees, rounded up."""
WIDTH, HEADS, LAYERS = 200, 8, 7
BATCH = 8


class _Spectrum(nn.Module):
    """(B, samples) → (B, 1280, frames / 2): compressed complex spectrum, six convolutions."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, bins = 2, WINDOW // 2 + 1
        for i in range(6):
            width, stride = min(64 * 2 ** max(i - 1, 0), 256), (2 if i else 1, 2 if i == 5 else 1)
            layers += [nn.Conv2d(before, width, 3, stride, (0, 1)), nn.LeakyReLU(0.1)]
            before, bins = width, (bins - 3) // stride[0] + 1
        self.size = before * bins
        self.cnn = nn.Sequential(*layers)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, sounds: Tensor) -> Tensor:
        pad = (WINDOW - STEP) // 2
        padded = nn.functional.pad(sounds, (pad, pad), mode="reflect")
        spectrum = torch.view_as_real(
            torch.stft(padded, WINDOW, STEP, WINDOW, self.window, center=False, return_complex=True)
        )
        magnitude = spectrum.square().sum(dim=-1, keepdim=True).sqrt().clip(1e-12)
        return torch.flatten(
            self.cnn((magnitude**0.3 * spectrum / magnitude).permute(0, 3, 1, 2)), 1, -2
        )


class _Positions(nn.Module):
    pe: Tensor

    def __init__(self) -> None:
        super().__init__()
        position = torch.arange(FRAMES).unsqueeze(1)
        rates = torch.exp(torch.arange(0, WIDTH, 2) * (-math.log(2 * FRAMES) / WIDTH))
        table = torch.zeros(1, FRAMES, WIDTH)
        table[0, :, 0::2], table[0, :, 1::2] = (
            torch.sin(position * rates),
            torch.cos(position * rates),
        )
        self.register_buffer("pe", table)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe


class _Transformer(nn.Module):
    """(B, T, size) → (B, T, 200)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size)
        self.position_encoding = _Positions()
        self.linear_proj = nn.Linear(size, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, 0.0, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear_proj(_over_channels(self.norm, x))
        found: Tensor = self.transformer_encoder(self.position_encoding(x))
        return found


class _Pool(nn.Module):
    """(B, T, 200) → (B, 1): a weighted mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(WIDTH, 2 * WIDTH)
        self.linear2 = nn.Linear(2 * WIDTH, 1)
        self.linear3 = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.softmax(self.linear2(torch.relu(self.linear1(x))), dim=1)
        found: Tensor = self.linear3((weight * x).sum(dim=1))
        return found


class _Head(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm_input = nn.BatchNorm1d(size)
        self.transformer = _Transformer(size)
        self.norm_trans = nn.BatchNorm1d(WIDTH)
        self.pool = _Pool()

    def forward(self, x: Tensor) -> Tensor:
        x = self.transformer(_over_channels(self.norm_input, x))
        return torch.sigmoid(self.pool(_over_channels(self.norm_trans, x)))


def _over_channels(norm: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = norm(x.transpose(1, 2)).transpose(1, 2)
    return found


class DistillMosNet(nn.Module):
    """(B, `PIECE_SAMPLES`) sounds at 16 kHz → (B,) opinions, 1 to 5."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = _Spectrum()
        self.transformer_pool_attn = _Head(self.cnn.size)
        self._of_zeros: Tensor | None = None

    def forward(self, sounds: Tensor, heard_samples: int = PIECE_SAMPLES) -> Tensor:
        """
        Args:
            heard_samples: where the zeros begin that fill the sounds; the convolutions see little more.
        """
        loudest = sounds.abs().amax(dim=1, keepdim=True)
        features = self.features(sounds / (loudest + 1e-8), heard_samples).permute(0, 2, 1)
        found: Tensor = 1 + 4 * self.transformer_pool_attn(features).squeeze(1)
        return found

    def features(self, sounds: Tensor, heard_samples: int) -> Tensor:
        """(B, 1024, 384). A column depends on `REACH` frames around it, so those of zeros alone are the
        same for all sounds and are computed once."""
        heard_frames = -(-(heard_samples + WINDOW) // STEP)
        seen_frames = 2 * (-(-(heard_frames + 2 * REACH) // 2))
        if seen_frames >= 2 * FRAMES:
            found: Tensor = self.cnn(sounds)
            return found
        kept = (seen_frames - REACH) // 2
        begin = self.cnn(sounds[:, : seen_frames * STEP])[..., :kept]
        if self._of_zeros is None:
            self._of_zeros = self.cnn(torch.zeros(1, PIECE_SAMPLES))
        end = self._of_zeros[..., kept:].expand(len(sounds), -1, -1)
        return torch.cat([begin, end], dim=-1)


def pieces(sound: Samples) -> Tensor:
    """(n, `PIECE_SAMPLES`): the sound with zeros behind it, or evenly cut, at most a second apart."""
    spare = len(sound) - PIECE_SAMPLES
    if spare <= 0:
        return torch.from_numpy(np.pad(sound, (0, -spare)).astype(np.float32))[None]
    count = math.ceil(spare / HOP_SAMPLES) + 1
    starts = [int(share * spare) for share in np.linspace(0, 1, count)]
    cut = np.stack([sound[s : s + PIECE_SAMPLES] for s in starts])
    return torch.from_numpy(cut.astype(np.float32))


@torch.inference_mode()
def opinion(sound: Samples) -> float:
    """Returns what the network says of a sound, (n,) mono at 16 kHz: the mean over its pieces.

    Raises:
        BadInput, MissingDependency: the weights are damaged or missing.
    """
    network = _network()
    heard = min(len(sound), PIECE_SAMPLES)
    found = torch.cat([network(some, heard) for some in torch.split(pieces(sound), BATCH)])
    return float(found.double().mean())


@lru_cache(maxsize=1)
def _network() -> DistillMosNet:
    """Found and checked once a process."""
    return load_distillmos(DISTILLMOS.find()[DISTILLMOS_WEIGHTS])


def load_distillmos(path: Path) -> DistillMosNet:
    """Raises `BadInput` where the file holds other weights."""
    return loaded(
        DistillMosNet(),
        path,
        "does not hold the weights of DistillMOS",
        f"delete it and run {DISTILLMOS.wheel.fetch}",
        "model",
    )
