"""The evaluation's own face encoder: a picture of a face to 64 numbers, and what is read from them.

A small residual network (He et al., "Deep residual learning for image recognition", CVPR 2016) on the
oval of the face. Hair, clothes and background tell GRID's speakers apart without any face, so nothing
outside the oval is seen. It was trained here (`evaluation.training.face`) to tell speakers apart and
to say the law of SynthGRID; a logistic regression on its numbers says woman or man, a ridge regression
the pitch and the length of the vocal tract that belong to a face of SynthGRID.

Pictures are squares that are framed as the face stills of a build, of any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.models.shipped import open_shipped

WEIGHTS = Path(__file__).parents[1] / "weights" / "face.safetensors"
Picture = NDArray[np.uint8]
"""(H, H, 3) uint8 RGB."""
Embeddings = NDArray[np.float64]

SIDE_PX = 64
OVAL = (0.5, 0.52, 0.29, 0.39)
"""Center x and y, half width and half height in sides of a face still: chin to hairline, by the mean face
that stills are warped to."""
EDGE_PX = 2.0
"""Width over which the oval fades, in pixels of `SIDE_PX`."""
BATCH = 64
LAW = ("ln_f0", "tract_place")
"""What the ridge regression says: ln F0 in ln Hz, and the place of the vocal tract's length in ±1."""

PARAMETERS: dict[str, Any] = {"side_px": SIDE_PX, "oval": list(OVAL), "edge_px": EDGE_PX}


@dataclass(frozen=True)
class Size:
    """Widths of the network; 0.3 M parameters by default."""

    channels: tuple[int, ...] = (16, 24, 48, 96, 96)
    embedding: int = 64


class Residual(nn.Module):
    """x' + F(x): F two 3 × 3 convolutions of normalized, rectified input; x' follows the stride."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.ReLU(),
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
            nn.Conv2d(before, after, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) → (B, after, H / stride, W / stride)."""
        out: Tensor = self.shortcut(x) + self.body(x)
        return out


class FaceNetwork(nn.Module):
    """(B, 3, `SIDE_PX`, `SIDE_PX`) of `prepared` → (B, embedding) of unit length."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        first, *rest = size.channels
        self.stem = nn.Conv2d(3, first, 5, 2, 2, bias=False)
        self.blocks = nn.Sequential(
            *(
                Residual(before, after, stride=1 if i == 0 else 2)
                for i, (before, after) in enumerate(pairwise((first, *rest)))
            )
        )
        self.head = nn.Sequential(
            nn.BatchNorm2d(rest[-1]), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.project = nn.Linear(rest[-1], size.embedding)

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, embedding)."""
        found: Tensor = self.project(self.head(self.blocks(self.stem(faces))))
        return nn.functional.normalize(found, dim=1)


@lru_cache(maxsize=2)
def oval(side_px: int = SIDE_PX) -> NDArray[np.float32]:
    """(side, side) 1 inside the oval of the face and 0 outside, faded over `EDGE_PX`."""
    x, y, half_width, half_height = (side_px * part for part in OVAL)
    down, right = np.mgrid[:side_px, :side_px] + 0.5
    radius = np.hypot((right - x) / half_width, (down - y) / half_height)
    inside_px = (1 - radius) * min(half_width, half_height)
    return np.asarray(np.clip(inside_px / EDGE_PX + 0.5, 0, 1), np.float32)


def prepared(pictures: Sequence[Picture]) -> Tensor:
    """(n, 3, `SIDE_PX`, `SIDE_PX`) in ±1, gray outside the oval.

    Args:
        pictures: squares of any sizes.
    """
    small = [
        picture
        if picture.shape[0] == SIDE_PX
        else cv2.resize(
            picture,
            (SIDE_PX, SIDE_PX),
            interpolation=cv2.INTER_AREA if picture.shape[0] > SIDE_PX else cv2.INTER_LINEAR,
        )
        for picture in pictures
    ]
    values = (np.stack(small).astype(np.float32) - 127.5) / 127.5 * oval()[..., None]
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))


def linear(values: Embeddings, numbers: dict[str, NDArray[Any]], name: str) -> Embeddings:
    """(n, E) → (n, outputs) by the numbers `NAME.weight` (outputs, E) and `NAME.bias` (outputs,)."""
    return np.asarray(values @ numbers[f"{name}.weight"].T + numbers[f"{name}.bias"])


@dataclass(frozen=True)
class FaceJudge:
    """The network and the regressions ready to look.

    Attributes:
        network: in evaluation mode.
        numbers: `gender.*` and `law.*` of the regressions, float64; empty while they are not fitted.
    """

    network: FaceNetwork
    numbers: dict[str, NDArray[Any]]

    @torch.inference_mode()
    def embed(self, pictures: Sequence[Picture]) -> Embeddings:
        """(n, embedding) of unit length.

        Args:
            pictures: (H, H, 3) uint8 RGB each, framed as face stills.
        """
        parts = [
            self.network(prepared(pictures[start : start + BATCH]))
            for start in range(0, len(pictures), BATCH)
        ]
        return np.asarray(torch.cat(parts).numpy().astype(np.float64))

    def female(self, embeddings: Embeddings) -> NDArray[np.float64]:
        """(n, E) → (n,) probability of a woman's face."""
        logit = linear(embeddings, self.numbers, "gender")[:, 0]
        return np.asarray(1 / (1 + np.exp(-np.clip(logit, -50, 50))))

    def law(self, embeddings: Embeddings) -> Embeddings:
        """(n, E) → (n, 2) `LAW` of the voice that SynthGRID's rule gives to the face."""
        return linear(embeddings, self.numbers, "law")


@lru_cache(maxsize=2)
def load_face(path: Path = WEIGHTS) -> FaceJudge:
    """The network with the weights of a file that `evaluation.training.face` wrote.

    Raises:
        BadInput: no such file, or not the one that its card names.
    """
    shipped = open_shipped(path)
    size = shipped.metadata["size"]
    network = FaceNetwork(Size(tuple(size["channels"]), size["embedding"])).eval()
    mine = {k: torch.from_numpy(v) for k, v in shipped.tensors.items() if not _fitted(k)}
    network.load_state_dict(mine)
    numbers = {k: v.astype(np.float64) for k, v in shipped.tensors.items() if _fitted(k)}
    return FaceJudge(network, numbers)


def _fitted(name: str) -> bool:
    return name.startswith(("gender.", "law."))


def about(size: Size) -> dict[str, Any]:
    """Returns what the header of the weights says."""
    return {"network": "evaluation.models.face", "size": asdict(size), "pictures": PARAMETERS}
