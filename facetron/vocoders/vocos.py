"""Vocos (Siuzdak, ICLR 2024), for published weights: a stack of ConvNeXt blocks at the rate of the mel
that ends in an inverse STFT.

Written from the architecture in gemelo-ai/vocos; parameters have the names of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

EPS = 1e-6
LOUDEST = 100.0
"""Largest magnitude of a bin, as published."""


@dataclass(frozen=True)
class VocosConfig:
    """The options that decide the shape of a generator; the spectrum's hop is a quarter of its size."""

    n_mels: int
    width: int
    inner: int
    layers: int
    n_fft: int

    @property
    def hop_samples(self) -> int:
        return self.n_fft // 4


def config_of(state: Mapping[str, Tensor]) -> VocosConfig:
    """The config whose generator has these tensors."""
    layers = 0
    while f"backbone.convnext.{layers}.gamma" in state:
        layers += 1
    embed, head = state["backbone.embed.weight"], state["head.out.weight"]
    inner = state["backbone.convnext.0.pwconv1.weight"].shape[0] if layers else 0
    return VocosConfig(embed.shape[1], embed.shape[0], inner, layers, head.shape[0] - 2)


class ConvNextBlock(nn.Module):
    """x + γ · F(x), F a depth-wise convolution, layer norm and two linear layers with a GELU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.pwconv1, self.pwconv2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, T) → the same shape."""
        y = self.norm(self.dwconv(x).transpose(1, 2))
        y = self.gamma * self.pwconv2(functional.gelu(self.pwconv1(y)))
        shifted: Tensor = x + y.transpose(1, 2)
        return shifted


class Backbone(nn.Module):
    """(B, n_mels, T) → (B, T, width)."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        self.embed = nn.Conv1d(config.n_mels, config.width, 7, padding=3)
        self.norm = nn.LayerNorm(config.width, eps=EPS)
        self.convnext = nn.ModuleList(
            ConvNextBlock(config.width, config.inner) for _ in range(config.layers)
        )
        self.final_layer_norm = nn.LayerNorm(config.width, eps=EPS)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.norm(self.embed(mel).transpose(1, 2)).transpose(1, 2)
        for block in self.convnext:
            x = block(x)
        made: Tensor = self.final_layer_norm(x.transpose(1, 2))
        return made


class Head(nn.Module):
    """(B, T, width) → (B, (T − 1) · hop): log magnitudes and phases of a spectrum, inverted."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        self.n_fft, self.hop_samples = config.n_fft, config.hop_samples
        self.out = nn.Linear(config.width, config.n_fft + 2)

    def forward(self, x: Tensor) -> Tensor:
        log_magnitude, phase = self.out(x).float().transpose(1, 2).chunk(2, dim=1)
        magnitude = log_magnitude.exp().clamp(max=LOUDEST)
        spectrum = torch.complex(magnitude * phase.cos(), magnitude * phase.sin())
        window = torch.hann_window(self.n_fft, device=x.device)
        return torch.istft(spectrum, self.n_fft, self.hop_samples, self.n_fft, window, center=True)


class Vocos(nn.Module):
    """The generator: (B, n_mels, T) log mel of centered frames → (B, 1, (T − 1) · hop) waveform."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone, self.head = Backbone(config), Head(config)

    def forward(self, mel: Tensor) -> Tensor:
        made: Tensor = self.head(self.backbone(mel))
        return made.unsqueeze(1)
