"""BigVGAN (Lee et al., ICLR 2023), for published weights: HiFi-GAN with periodic activations that are
computed at twice the rate, so that they do not alias.

Written from the architecture in NVIDIA/BigVGAN; parameters and buffers have the names of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.model.hifigan import same_conv
from facetron.published.norms import weight_norm

DILATIONS = (1, 3, 5)
FILTER_SIZE, RATIO = 12, 2
TINY = 1e-9


@dataclass(frozen=True)
class BigVganConfig:
    """The options that decide the shape of a generator.

    Attributes:
        n_mels: bands of its mels.
        channels: initial channels, halved by every stage.
        kernels: of the transposed convolutions, twice their rates.
        block_kernels: of the parallel residual blocks of a stage.
        beta: whether an activation has a magnitude of its own beside its frequency (`snakebeta`).
        final_bias: version 1 ends with a bias and tanh, version 2 with neither, clipped.
    """

    n_mels: int
    channels: int
    kernels: tuple[int, ...]
    block_kernels: tuple[int, ...]
    beta: bool = True
    final_bias: bool = True

    @property
    def rates(self) -> tuple[int, ...]:
        return tuple(kernel // 2 for kernel in self.kernels)


def config_of(state: Mapping[str, Tensor]) -> BigVganConfig:
    """The config whose generator has these tensors, normed or folded."""

    def weight(name: str) -> Tensor:
        return state[f"{name}.weight_v"] if f"{name}.weight_v" in state else state[f"{name}.weight"]

    stages = 0
    while f"ups.{stages}.0.bias" in state:
        stages += 1
    blocks = 0
    while f"resblocks.{blocks}.convs1.0.bias" in state:
        blocks += 1
    branches = range(blocks // max(stages, 1))
    first = weight("conv_pre")
    return BigVganConfig(
        first.shape[1],
        first.shape[0],
        tuple(weight(f"ups.{n}.0").shape[-1] for n in range(stages)),
        tuple(weight(f"resblocks.{n}.convs1.0").shape[-1] for n in branches),
        "activation_post.act.beta" in state,
        "conv_post.bias" in state,
    )


class Snake(nn.Module):
    """x + sin²(x · eᵅ) / eᵝ by channel (Ziyin et al., 2020); without a β of its own, β = α."""

    def __init__(self, channels: int, beta: bool) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels)) if beta else None

    def forward(self, x: Tensor) -> Tensor:
        frequency = self.alpha.exp()[:, None]
        magnitude = frequency if self.beta is None else self.beta.exp()[:, None]
        return x + (x * frequency).sin().square() / (magnitude + TINY)


def kaiser_sinc() -> Tensor:
    """(1, 1, 12) low-pass filter at half the band, as published."""
    half, cutoff, half_width = FILTER_SIZE // 2, 0.5 / RATIO, 0.6 / RATIO
    attenuation = 2.285 * (half - 1) * torch.pi * 4 * half_width + 7.95
    shape = 0.1102 * (attenuation - 8.7)  # Kaiser's formula above 50 dB, and it is 51
    window = torch.kaiser_window(FILTER_SIZE, periodic=False, beta=shape)
    times = torch.arange(-half, half) + 0.5
    values = 2 * cutoff * window * torch.sinc(2 * cutoff * times)
    return (values / values.sum()).reshape(1, 1, -1)


class Up(nn.Module):
    """(B, C, T) → (B, C, 2 · T)."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", kaiser_sinc())

    def forward(self, x: Tensor) -> Tensor:
        channels, pad = x.shape[1], FILTER_SIZE // RATIO - 1
        x = functional.pad(x, (pad, pad), mode="replicate")
        kernel = self.filter.expand(channels, -1, -1)
        x = RATIO * functional.conv_transpose1d(x, kernel, stride=RATIO, groups=channels)
        edge = pad * RATIO + (FILTER_SIZE - RATIO) // 2
        return x[..., edge:-edge]


class LowPass(nn.Module):
    """(B, C, 2 · T) → (B, C, T)."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", kaiser_sinc())

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        x = functional.pad(x, (FILTER_SIZE // 2 - 1, FILTER_SIZE // 2), mode="replicate")
        kernel = self.filter.expand(channels, -1, -1)
        return functional.conv1d(x, kernel, stride=RATIO, groups=channels)


class Down(nn.Module):
    """`LowPass` under its published name."""

    def __init__(self) -> None:
        super().__init__()
        self.lowpass = LowPass()

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.lowpass(x)
        return made


class Activation(nn.Module):
    """`Snake` at twice the rate."""

    def __init__(self, channels: int, beta: bool) -> None:
        super().__init__()
        self.act, self.upsample, self.downsample = Snake(channels, beta), Up(), Down()

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.downsample(self.act(self.upsample(x)))
        return made


class AmpBlock(nn.Module):
    """Pairs of a dilated and a plain convolution, each after an `Activation`, with a shortcut."""

    def __init__(self, channels: int, kernel: int, beta: bool) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(same_conv(channels, channels, kernel, d) for d in DILATIONS)
        self.convs2 = nn.ModuleList(same_conv(channels, channels, kernel) for _ in DILATIONS)
        self.activations = nn.ModuleList(
            Activation(channels, beta) for _ in range(2 * len(DILATIONS))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) → the same shape."""
        acts: Sequence[Any] = list(self.activations)
        for n, (dilated, plain) in enumerate(zip(self.convs1, self.convs2, strict=True)):
            x = x + plain(acts[2 * n + 1](dilated(acts[2 * n](x))))
        return x


class BigVgan(nn.Module):
    """The generator: (B, n_mels, T) log mel → (B, 1, T · Π rates) waveform in ±1."""

    def __init__(self, config: BigVganConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.channels >> stage for stage in range(len(config.kernels) + 1)]
        self.conv_pre = same_conv(config.n_mels, widths[0], 7)
        self.ups = nn.ModuleList(
            nn.ModuleList(
                [
                    weight_norm(
                        nn.ConvTranspose1d(
                            before, after, kernel, rate, padding=(kernel - rate) // 2
                        )
                    )
                ]
            )
            for before, after, kernel, rate in zip(
                widths[:-1], widths[1:], config.kernels, config.rates, strict=True
            )
        )
        self.resblocks = nn.ModuleList(
            AmpBlock(width, kernel, config.beta)
            for width in widths[1:]
            for kernel in config.block_kernels
        )
        self.activation_post = Activation(widths[-1], config.beta)
        self.conv_post = weight_norm(nn.Conv1d(widths[-1], 1, 7, padding=3, bias=config.final_bias))

    def forward(self, mel: Tensor) -> Tensor:
        x, branches = self.conv_pre(mel), len(self.config.block_kernels)
        blocks: Sequence[Any] = list(self.resblocks)
        stages: Sequence[Any] = list(self.ups)
        for stage, up in enumerate(stages):
            x = up[0](x)
            parallel = blocks[stage * branches : (stage + 1) * branches]
            x = torch.stack([block(x) for block in parallel]).sum(0) / branches
        x = self.conv_post(self.activation_post(x))
        return torch.tanh(x) if self.config.final_bias else x.clamp(-1, 1)
