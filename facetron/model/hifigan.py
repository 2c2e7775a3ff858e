"""Generator of HiFi-GAN (Kong, Kim and Bae, 2020; [13] in III): the decoder and the vocoder are both one.

Each stage upsamples by a transposed convolution, then averages parallel residual blocks of different
kernels and dilations (multi-receptive field fusion, MRF). The names of the parameters are those of
the published weights: `conv_pre`, `ups.N`, `resblocks.N.convs1.M`, `conv_post`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.model.config import Mrf
from facetron.published.norms import weight_norm
from manifests.errors import BadInput

SLOPE = 0.1
LAST_SLOPE = 0.01
"""Before `conv_post` the original leaves PyTorch's default slope; its weights expect it."""


def same_conv(channels_in: int, channels_out: int, kernel: int, dilation: int = 1) -> nn.Conv1d:
    """A weight-normed convolution over time that keeps the length; `kernel` is odd.

    The original means to start it at N(0, 0.01), but writes to a tensor that its weight norm
    overwrites, so its published results started at PyTorch's default, and so does this.
    """
    padding = dilation * (kernel - 1) // 2
    return weight_norm(
        nn.Conv1d(channels_in, channels_out, kernel, padding=padding, dilation=dilation)
    )


class ResBlock1(nn.Module):
    """Pairs of a dilated and a plain convolution, each pair with a shortcut."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(same_conv(channels, channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(same_conv(channels, channels, kernel) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) → the same shape."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            y = dilated(functional.leaky_relu(x, SLOPE))
            x = x + plain(functional.leaky_relu(y, SLOPE))
        return x


class ResBlock2(nn.Module):
    """The light kind: dilated convolutions, each with a shortcut."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(same_conv(channels, channels, kernel, d) for d in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) → the same shape."""
        for dilated in self.convs:
            x = x + dilated(functional.leaky_relu(x, SLOPE))
        return x


class Generator(nn.Module):
    """Turns a sequence of vectors into one that is exactly Π rates as long.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        channels: initial channels, then those after each stage.
        rates: upsampling of each stage.
        kernels: of the transposed convolutions, each at least its rate.
        mrf: (kernel, dilations) of each parallel residual block.
        resblock: 1 or 2, their type.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        channels: Sequence[int],
        rates: Sequence[int],
        kernels: Sequence[int],
        mrf: Mrf,
        resblock: int,
    ) -> None:
        super().__init__()
        self.rates = tuple(rates)
        self.branches = len(mrf)
        self.conv_pre = same_conv(channels_in, channels[0], 7)
        self.ups = nn.ModuleList(
            weight_norm(
                nn.ConvTranspose1d(before, after, kernel, rate, padding=(kernel - rate) // 2)
            )
            for before, after, rate, kernel in zip(
                channels[:-1], channels[1:], rates, kernels, strict=True
            )
        )
        block = ResBlock1 if resblock == 1 else ResBlock2
        self.resblocks = nn.ModuleList(
            block(width, kernel, dilations) for width in channels[1:] for kernel, dilations in mrf
        )
        self.conv_post = same_conv(channels[-1], channels_out, 7)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, T) → (B, channels_out, T · Π rates), unbounded."""
        if x.ndim != 3 or x.shape[1] != self.conv_pre.in_channels:
            raise BadInput(
                f"{type(self).__name__} was given the shape {tuple(x.shape)}",
                f"pass (batch, {self.conv_pre.in_channels}, frames)",
            )
        x = self.conv_pre(x)
        for stage, (up, rate) in enumerate(zip(self.ups, self.rates, strict=True)):
            frames = x.shape[-1] * rate
            x = _cropped(up(functional.leaky_relu(x, SLOPE)), frames, first=stage % 2 == 1)
            x = self._fuse(x, stage)
        out: Tensor = self.conv_post(functional.leaky_relu(x, LAST_SLOPE))
        return out

    def _fuse(self, x: Tensor, stage: int) -> Tensor:
        """MRF: the mean of the stage's residual blocks, (B, C, T) → (B, C, T)."""
        start = stage * self.branches
        total = self.resblocks[start](x)
        for block in list(self.resblocks)[start + 1 : start + self.branches]:
            total = total + block(x)
        return torch.div(total, self.branches)


def _cropped(x: Tensor, frames: int, first: bool) -> Tensor:
    """(B, C, frames or frames + 1) → (B, C, frames).

    Where kernel minus rate is odd no padding fits and a frame is left over, half of it before and
    half after. Stages take turns in dropping the last and the `first`, so that the halves cancel.
    """
    extra = x.shape[-1] - frames
    return x.narrow(-1, extra if first else 0, frames) if extra else x
