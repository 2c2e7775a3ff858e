"""UTMOS (Saeki et al., "UTMOS: UTokyo-SaruLab system for VoiceMOS challenge 2022", Interspeech 2022):
the network of its strong learner without phonemes, written anew, so that the file of weights that
SpeechMOS publishes (`utmos22_strong_step7459_v1.pt`, MIT) can be loaded by path without anybody's code.

A wav2vec 2.0 BASE (Baevski et al., NeurIPS 2020) hears the wave as it is, nothing normalized; constant
vectors for a domain and a listener stand beside each of its frames; a bidirectional LSTM and two linear
layers give every frame an opinion, and their mean is that of the clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.inputs.pairs import Samples
from evaluation.models.weights import loaded

CONVOLUTIONS = ((10, 5), *[(3, 2)] * 4, *[(2, 2)] * 2)
"""(kernel, stride) of the layers that turn samples into frames of 20 ms."""
SCALE, MIDDLE = 2.0, 3.0
"""What the network gives is an opinion of 1 to 5 as (opinion − 3) / 2."""


@dataclass(frozen=True)
class UtmosSize:
    """Widths of the network; the published one by default (103 M parameters)."""

    channels: int = 512
    width: int = 768
    heads: int = 12
    inner: int = 3072
    layers: int = 12
    positions: int = 128
    groups: int = 16
    embedding: int = 128
    hidden: int = 512
    projection: int = 2048


class _Samples(nn.Module):
    """(B, n) samples → (B, T, channels)."""

    def __init__(self, size: UtmosSize) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList()
        before = 1
        for i, (kernel, stride) in enumerate(CONVOLUTIONS):
            conv = nn.Conv1d(before, size.channels, kernel, stride, bias=False)
            norm = nn.Identity() if i else nn.GroupNorm(size.channels, size.channels)
            # The place between them is dropout's in the checkpoint's names.
            self.conv_layers.append(nn.Sequential(conv, nn.Identity(), norm, nn.GELU()))
            before = size.channels

    def forward(self, sounds: Tensor) -> Tensor:
        x = sounds.unsqueeze(1)
        for layer in self.conv_layers:
            x = layer(x)
        return x.transpose(1, 2)


class _Positions(nn.Module):
    """(B, T, width) → what a frame's place adds: a wide convolution whose weights are a direction and,
    for each place of the kernel, a length (Salimans and Kingma, NeurIPS 2016)."""

    def __init__(self, size: UtmosSize) -> None:
        super().__init__()
        self.kernel, self.groups = size.positions, size.groups
        self.weight_g = nn.Parameter(torch.ones(1, 1, size.positions))
        self.weight_v = nn.Parameter(
            torch.ones(size.width, size.width // size.groups, size.positions)
        )
        self.bias = nn.Parameter(torch.zeros(size.width))

    def forward(self, x: Tensor) -> Tensor:
        length = self.weight_v.norm(dim=(0, 1), keepdim=True)
        found = nn.functional.conv1d(
            x.transpose(1, 2),
            self.weight_v * (self.weight_g / length),
            self.bias,
            padding=self.kernel // 2,
            groups=self.groups,
        )
        # An even kernel gives one frame too many.
        return nn.functional.gelu(found[:, :, : x.shape[1]]).transpose(1, 2)


class _Attention(nn.Module):
    def __init__(self, size: UtmosSize) -> None:
        super().__init__()
        self.heads = size.heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            self.add_module(name, nn.Linear(size.width, size.width))

    def forward(self, x: Tensor) -> Tensor:
        def split(name: str) -> Tensor:
            found: Tensor = self.get_submodule(name)(x)
            return found.reshape(*found.shape[:2], self.heads, -1).transpose(1, 2)

        heard = nn.functional.scaled_dot_product_attention(
            split("q_proj"), split("k_proj"), split("v_proj")
        )
        found: Tensor = self.get_submodule("out_proj")(heard.transpose(1, 2).flatten(2))
        return found


class _Layer(nn.Module):
    """A layer of the transformer, normalized after each of its halves."""

    def __init__(self, size: UtmosSize) -> None:
        super().__init__()
        self.self_attn = _Attention(size)
        self.self_attn_layer_norm = nn.LayerNorm(size.width)
        self.fc1 = nn.Linear(size.width, size.inner)
        self.fc2 = nn.Linear(size.inner, size.width)
        self.final_layer_norm = nn.LayerNorm(size.width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.self_attn_layer_norm(x + self.self_attn(x))
        found: Tensor = self.final_layer_norm(x + self.fc2(nn.functional.gelu(self.fc1(x))))
        return found


class _Context(nn.Module):
    def __init__(self, size: UtmosSize) -> None:
        super().__init__()
        self.pos_conv = nn.Sequential(_Positions(size))
        self.layer_norm = nn.LayerNorm(size.width)
        self.layers = nn.ModuleList(_Layer(size) for _ in range(size.layers))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x + self.pos_conv(x))
        for layer in self.layers:
            x = layer(x)
        return x


class _Wav2Vec2(nn.Module):
    """(B, n) samples at 16 kHz → (B, T, width)."""

    def __init__(self, size: UtmosSize) -> None:
        super().__init__()
        self.feature_extractor = _Samples(size)
        self.layer_norm = nn.LayerNorm(size.channels)
        self.post_extract_proj = nn.Linear(size.channels, size.width)
        self.encoder = _Context(size)
        # Of its training alone; the checkpoint holds it.
        self.mask_emb = nn.Parameter(torch.zeros(size.width))

    def forward(self, sounds: Tensor) -> Tensor:
        frames = self.layer_norm(self.feature_extractor(sounds))
        found: Tensor = self.encoder(self.post_extract_proj(frames))
        return found


class Utmos(nn.Module):
    """(B, n) sounds at 16 kHz → (B,) opinions, about 1 to 5 and not clipped."""

    def __init__(self, size: UtmosSize = UtmosSize()) -> None:
        super().__init__()
        self.wav2vec2 = _Wav2Vec2(size)
        self.domain_emb = nn.Parameter(torch.zeros(1, size.embedding))
        self.judge_emb = nn.Parameter(torch.zeros(1, size.embedding))
        heard = size.width + 2 * size.embedding
        self.blstm = nn.LSTM(heard, size.hidden, batch_first=True, bidirectional=True)
        self.projection = nn.Sequential(
            nn.Linear(2 * size.hidden, size.projection), nn.ReLU(), nn.Linear(size.projection, 1)
        )

    def forward(self, sounds: Tensor) -> Tensor:
        frames: Tensor = self.wav2vec2(sounds)
        constant = torch.cat([self.domain_emb, self.judge_emb], dim=1)
        beside = constant.unsqueeze(1).expand(len(frames), frames.shape[1], -1)
        states, _ = self.blstm(torch.cat([frames, beside], dim=2))
        opinions: Tensor = self.projection(states)
        return opinions.mean(dim=(1, 2)) * SCALE + MIDDLE

    @torch.inference_mode()
    def opinion(self, samples: Samples) -> float:
        """Returns the opinion of (n,) mono samples at 16 kHz, at least the 400 that the convolutions see at
        once."""
        heard = torch.from_numpy(np.asarray(samples, dtype=np.float32))
        return float(self(heard.unsqueeze(0)))


@lru_cache(maxsize=1)
def load_utmos(path: Path, size: UtmosSize = UtmosSize()) -> Utmos:
    """The network with the weights of a file, ready to score. Runs no code of the file.

    Raises:
        BadInput: no such file, or not the weights of this network.
    """
    return loaded(
        Utmos(size),
        path,
        "does not hold the weights of UTMOS's strong learner",
        "give SpeechMOS's utmos22_strong_step7459_v1.pt",
    )
