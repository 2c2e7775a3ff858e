"""Face encoder (III, after FaceNet; f of Eq. 1 and 5): one still of a face → an embedding of the voice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.model.config import FaceConfig
from facetron.model.encoders import Sized
from facetron.model.inception_resnet import InceptionResnetV1
from facetron.model.vgg import Vgg19
from manifests.errors import BadInput


def face_input(stills: Tensor, config: FaceConfig) -> Tensor:
    """Stored stills → the encoder's input: (x − 127.5) / 128 as facenet-pytorch, resized if need be.

    Args:
        stills: (..., H, W, 3) uint8 RGB, square.

    Returns:
        (..., 3, H', W') float32.
    """
    if stills.ndim < 3 or stills.shape[-1] != 3 or stills.shape[-2] != stills.shape[-3]:
        raise BadInput(f"faces of shape {tuple(stills.shape)}", "pass (..., H, H, 3) RGB stills")
    pixels = ((stills.float() - 127.5) / 128).movedim(-1, -3)
    side = config.input_px
    if pixels.shape[-1] == side:
        return pixels
    flat = pixels.reshape(-1, *pixels.shape[-3:])
    flat = functional.interpolate(flat, (side, side), mode="bilinear", antialias=True)
    return flat.reshape(*pixels.shape[:-2], side, side)


class FaceEncoder(Sized, nn.Module):
    """E_face of Eq. 1 and 5: f on the unit sphere.

    Three trunks: `inception_resnet_v1`, the network that the name FaceNet stands for in public code,
    `residual`, a small one for CPUs, and `vgg19`, which Face2Speech sees with.
    """

    prepare = staticmethod(face_input)

    def __init__(self, config: FaceConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk: InceptionResnetV1 | Vgg19 | ResidualTrunk
        if config.kind == "inception_resnet_v1":
            self.trunk = InceptionResnetV1(config.dropout)
        elif config.kind == "vgg19":
            self.trunk = Vgg19(config.dropout)
        else:
            self.trunk = ResidualTrunk(config.channels, config.dropout)
        self.project = nn.Linear(self.trunk.size, config.embedding_size)

    @staticmethod
    def keeps(config: FaceConfig, stored_px: int) -> bool:
        """Returns whether stored stills are seen as they are."""
        return config.input_px == stored_px

    def forward(self, faces: Tensor) -> Tensor:
        """Eq. 1 and 5: f = E_face(X).

        Args:
            faces: (B, 3, H, W) as `face_input` makes them, one still a clip.

        Returns:
            (B, embedding_size), each of length 1.

        Raises:
            BadInput: another shape than the config's.
        """
        side = self.config.input_px
        if faces.ndim != 4 or faces.shape[1:] != (3, side, side):
            raise BadInput(
                f"faces of shape {tuple(faces.shape)}", f"pass (batch, 3, {side}, {side})"
            )
        return functional.normalize(self.project(self.trunk(faces)), dim=-1)


class ResidualTrunk(nn.Module):
    """A small residual CNN with pooling, batch norm and dropout: (B, 3, H, W) → (B, channels[-1])."""

    def __init__(self, channels: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.size = channels[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels[0], 5, 2, 2, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )
        widths = (channels[0], *channels)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(before, after, stride=1 if layer == 0 else 2)
                for layer, (before, after) in enumerate(pairwise(widths))
            )
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, faces: Tensor) -> Tensor:
        x: Tensor = self.dropout(self.pool(self.blocks(self.stem(faces))).flatten(1))
        return x


class ResidualBlock(nn.Module):
    """ReLU(x + F(x)), F two 3×3 convolutions with batch norm; the shortcut follows the stride."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = (
            nn.Identity()
            if channels_in == channels_out and stride == 1
            else nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C', H / stride, W / stride)."""
        return torch.relu(self.shortcut(x) + self.body(x))
