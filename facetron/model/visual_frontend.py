"""Visual front end of AV-HuBERT and of Auto-AVSR: a 3-D convolution over time and a ResNet-18 per frame.

Written from the architecture that both share (Stafylakis and Tzimiropoulos, 2017); names and shapes
are those of their published weights: `frontend3D.N`, `trunk.layerN.M.conv1`, `…relu1`,
`…downsample.0`. AV-HuBERT's activations are PReLU, which have weights; Auto-AVSR's are SiLU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from facetron.model.config import LipConfig
from facetron.model.encoders import Sized
from facetron.model.lip import lip_input
from facetron.model.padding import inside
from manifests.errors import BadInput

REGION_PX, VIEW_PX = 96, 88
"""Side of the mouth region that both cut out of a face warped to 256², and of its center that their
networks see."""

MEAN, DEVIATION = 0.421, 0.165
"""Mean and deviation of their gray levels in 0 … 1."""

SIZE = 512
"""Numbers that the front end gives of a frame."""

REGION = LipConfig(input_px=REGION_PX, input_channels=1)
"""Options with which `lip_input` shows the whole region."""

Relu = Literal["prelu", "swish"]


def view_of(frames: Tensor, config: LipConfig) -> Tensor:
    """Stored crops → what the published lip readers see, still about ±1.

    Our crops are cut at 1.5 times their scale (`CropSpec`), so that the whole crop, gray and reduced
    to 96², shows their mouth region; the network sees its center of 88².

    Args:
        frames: (..., T, H, W, 3) uint8 RGB, square.

    Returns:
        (..., 1, T, 88, 88) float32, (pixel − 127.5) / 128.
    """
    edge = (REGION_PX - VIEW_PX) // 2
    region = lip_input(frames, REGION)
    return region[..., edge : edge + VIEW_PX, edge : edge + VIEW_PX].contiguous()


class PublishedLips(Sized, nn.Module):
    """Base of the published lip readers.

    Attributes:
        letters: the layer that spells, of our own.
    """

    prepare = staticmethod(view_of)
    letters: nn.Linear

    def only_spelling(self) -> list[nn.Module]:
        """The layers that no loss of speech reaches."""
        return [self.letters]


def normalized(lips: Tensor, real: Tensor | None) -> Tensor:
    """(B, 1, T, 88, 88) about ±1 → their scale; frames that only pad a batch become zero, which is
    what the convolution over time sees beyond the end of an unpadded clip.

    Raises:
        BadInput: another shape.
    """
    if lips.ndim != 5 or lips.shape[1] != 1 or lips.shape[3:] != (VIEW_PX, VIEW_PX):
        raise BadInput(
            f"lips of shape {tuple(lips.shape)}",
            f"pass (batch, 1, frames, {VIEW_PX}, {VIEW_PX})",
        )
    scaled = ((lips * 128 + 127.5) / 255 - MEAN) / DEVIATION
    return scaled if real is None else scaled * real[:, None, :, None, None].to(scaled)


def real_frames(lips: Tensor, lengths: Tensor | None) -> Tensor | None:
    """(B, T) bool, which frames are no padding; None where all are."""
    frames = lips.shape[2]
    if lengths is None or int(lengths.min()) == frames:
        return None
    if lengths.shape != lips.shape[:1] or int(lengths.min()) < 1:
        raise BadInput(
            f"lengths of shape {tuple(lengths.shape)} from {int(lengths.min())}",
            "give each clip one frame or more",
        )
    return inside(lengths, lips.transpose(1, 2))


def _activation(kind: Relu, channels: int) -> nn.Module:
    return nn.PReLU(channels) if kind == "prelu" else nn.SiLU()


class BasicBlock(nn.Module):
    """ReLU(x + F(x)), F two 3×3 convolutions with batch norm; the shortcut follows the stride."""

    def __init__(self, before: int, after: int, stride: int, relu: Relu) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu1 = _activation(relu, after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu2 = _activation(relu, after)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        made: Tensor = self.relu1(self.bn1(self.conv1(x)))
        out: Tensor = self.relu2(self.bn2(self.conv2(made)) + shortcut)
        return out


class ResNet18(nn.Module):
    """The trunk: four layers of two blocks, then the mean over the picture."""

    def __init__(self, relu: Relu) -> None:
        super().__init__()
        widths = (64, 64, 128, 256, 512)
        for n in range(1, 5):
            before, after = widths[n - 1], widths[n]
            first = BasicBlock(before, after, 1 if n == 1 else 2, relu)
            self.add_module(f"layer{n}", nn.Sequential(first, BasicBlock(after, after, 1, relu)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 64, H, W) → (N, 512)."""
        layers: list[Callable[[Tensor], Tensor]] = [getattr(self, f"layer{n}") for n in range(1, 5)]
        for layer in layers:
            x = layer(x)
        return x.mean((2, 3))


class VisualFrontEnd(nn.Module):
    """(B, 1, T, 88, 88) as `normalized` gives them → (B, T, 512)."""

    def __init__(self, relu: Relu) -> None:
        super().__init__()
        self.frontend3D = nn.Sequential(
            nn.Conv3d(1, 64, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False),
            nn.BatchNorm3d(64),
            _activation(relu, 64),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        self.trunk = ResNet18(relu)

    def forward(self, lips: Tensor) -> Tensor:
        x = self.frontend3D(lips).transpose(1, 2)
        made: Tensor = self.trunk(x.flatten(0, 1))
        return made.reshape(*x.shape[:2], SIZE)
