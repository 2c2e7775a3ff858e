"""VGG19 (Simonyan and Zisserman, ICLR 2015, configuration E) without its last layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""(channels, convolutions) between poolings."""
POOLED_PX = 7
HIDDEN = 4096


class Vgg19(nn.Module):
    """(B, 3, H, W), H and W of 32 or more, → (B, 4096).

    The maps are averaged to 7 × 7 before the fully connected layers, as torchvision does, so that
    pictures other than 224² fit as well.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.size = HIDDEN
        layers: list[nn.Module] = []
        before = 3
        for width, convolutions in WIDTHS:
            for _ in range(convolutions):
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(POOLED_PX)
        self.hidden = nn.Sequential(
            nn.Linear(before * POOLED_PX**2, HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
        )

    def forward(self, faces: Tensor) -> Tensor:
        made: Tensor = self.hidden(torch.flatten(self.pool(self.features(faces)), 1))
        return made
