"""Inception-ResNet v1 with the names and shapes of facenet-pytorch's weights.

Written from the architecture (Szegedy et al., 2016, and the FaceNet of public code): a stem, five
blocks at 35² (scale 0.17), a reduction, ten at 17² (0.10), a reduction, five at 8² (0.20) and one
without its ReLU, mean pooling, dropout 0.6, 1792 → 512, batch norm, length 1. The sizes in the
names are those of 299² images; at 160² the maps are 17², 8² and 3².
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Kernel = tuple[int, int]
Layer = tuple[int, Kernel, int, Kernel]
"""Output channels, kernel, stride, padding of one convolution of a branch."""

BN_EPS = 1e-3
"""TensorFlow's, in which the weights were trained."""


class BasicConv2d(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: Kernel, stride: int, padding: Kernel
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels_out, eps=BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


def conv(
    channels_in: int, channels_out: int, side: int, stride: int = 1, padding: int = 0
) -> BasicConv2d:
    """`BasicConv2d` with a square kernel."""
    return BasicConv2d(channels_in, channels_out, (side, side), stride, (padding, padding))


def branch(channels_in: int, layers: Sequence[Layer]) -> nn.Module:
    """One convolution, or several in a row."""
    convs = []
    for channels_out, kernel, stride, padding in layers:
        convs.append(BasicConv2d(channels_in, channels_out, kernel, stride, padding))
        channels_in = channels_out
    return convs[0] if len(convs) == 1 else nn.Sequential(*convs)


def point(channels: int) -> Layer:
    """A 1×1 convolution."""
    return (channels, (1, 1), 1, (0, 0))


def square(channels: int) -> Layer:
    """A 3×3 convolution that keeps the size."""
    return (channels, (3, 3), 1, (1, 1))


def halving(channels: int) -> Layer:
    """A 3×3 convolution of stride 2 without padding."""
    return (channels, (3, 3), 2, (0, 0))


def cross(channels: int, length: int) -> list[Layer]:
    """1 × length, then length × 1."""
    pad = length // 2
    return [(channels, (1, length), 1, (0, pad)), (channels, (length, 1), 1, (pad, 0))]


class InceptionBlock(nn.Module):
    """ReLU(x + scale · F(x)), F parallel branches joined by a 1×1 convolution."""

    def __init__(
        self, channels: int, branches: Sequence[Sequence[Layer]], scale: float, relu: bool = True
    ) -> None:
        super().__init__()
        self.scale, self.relu, self.n_branches = scale, relu, len(branches)
        for index, layers in enumerate(branches):
            self.add_module(f"branch{index}", branch(channels, layers))
        self.conv2d = nn.Conv2d(sum(layers[-1][0] for layers in branches), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = [getattr(self, f"branch{index}")(x) for index in range(self.n_branches)]
        x = x + self.scale * self.conv2d(torch.cat(parts, dim=1))
        return torch.relu(x) if self.relu else x


class Reduction(nn.Module):
    """Halves the maps: parallel branches and a max pooling, side by side."""

    def __init__(self, channels: int, branches: Sequence[Sequence[Layer]]) -> None:
        super().__init__()
        self.n_branches = len(branches)
        for index, layers in enumerate(branches):
            self.add_module(f"branch{index}", branch(channels, layers))

    def forward(self, x: Tensor) -> Tensor:
        parts = [getattr(self, f"branch{index}")(x) for index in range(self.n_branches)]
        return torch.cat([*parts, functional.max_pool2d(x, 3, 2)], dim=1)


def block35() -> InceptionBlock:
    branches = [[point(32)], [point(32), square(32)], [point(32), square(32), square(32)]]
    return InceptionBlock(256, branches, 0.17)


def block17() -> InceptionBlock:
    return InceptionBlock(896, [[point(128)], [point(128), *cross(128, 7)]], 0.10)


def block8(scale: float = 0.20, relu: bool = True) -> InceptionBlock:
    return InceptionBlock(1792, [[point(192)], [point(192), *cross(192, 3)]], scale, relu)


class InceptionResnetV1(nn.Module):
    """(B, 3, 160, 160) → (B, 512) of length 1.

    Its `state_dict` loads facenet-pytorch's; the classifier `logits` that those files carry for
    their own training is passed over.
    """

    size = 512

    def __init__(self, dropout: float = 0.6) -> None:
        super().__init__()
        self.conv2d_1a = conv(3, 32, 3, stride=2)
        self.conv2d_2a = conv(32, 32, 3)
        self.conv2d_2b = conv(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = conv(64, 80, 1)
        self.conv2d_4a = conv(80, 192, 3)
        self.conv2d_4b = conv(192, 256, 3, stride=2)
        self.repeat_1 = nn.Sequential(*(block35() for _ in range(5)))
        self.mixed_6a = Reduction(256, [[halving(384)], [point(192), square(192), halving(256)]])
        self.repeat_2 = nn.Sequential(*(block17() for _ in range(10)))
        self.mixed_7a = Reduction(
            896,
            [
                [point(256), halving(384)],
                [point(256), halving(256)],
                [point(256), square(256), halving(256)],
            ],
        )
        self.repeat_3 = nn.Sequential(*(block8() for _ in range(5)))
        self.block8 = block8(scale=1.0, relu=False)
        self.avgpool_1a = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.last_linear = nn.Linear(1792, self.size, bias=False)
        self.last_bn = nn.BatchNorm1d(self.size, eps=BN_EPS)
        self.register_load_state_dict_pre_hook(_drop_logits)  # type: ignore[no-untyped-call]

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 512) of length 1."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(faces)))
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(self.maxpool_3a(x))))
        x = self.mixed_6a(self.repeat_1(x))
        x = self.mixed_7a(self.repeat_2(x))
        x = self.block8(self.repeat_3(x))
        x = self.dropout(self.avgpool_1a(x).flatten(1))
        return functional.normalize(self.last_bn(self.last_linear(x)), dim=1)


def _drop_logits(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in ("logits.weight", "logits.bias"):
        state.pop(prefix + name, None)
