"""Our quality network: predicts PESQ's wide-band MOS-LQO without a reference.

The architecture follows NISQA (Mittag, Naderi, Chehadi, Möller, "NISQA: a deep CNN-self-attention
model for multidimensional speech quality prediction with crowdsourced datasets", Interspeech 2021):
a CNN over mel segments, self-attention over their sequence, attention pooling. Code, training data
and target are our own: it was trained on PESQ, not on listeners, and its scores are not NISQA's.
`evaluation/weights/quality.md` says on what it was trained and how well it does.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.inputs.pairs import SCORING_RATE_HZ, Samples
from evaluation.models.quality_net_features import (
    MEL,
    SEGMENT_FRAMES,
    as_tensor,
    levelled_mel,
    segments,
)
from evaluation.models.shipped import REMEDY, Tensors, open_shipped
from manifests.errors import BadInput, in_short

WEIGHTS = Path(__file__).parents[1] / "weights" / "quality.safetensors"
COUNTER = "num_batches_tracked"

CHANNELS = (16, 24, 32, 48, 48, 48)
POOL_AFTER = (1, 2, 4)
WIDTH, HEADS, LAYERS = 64, 4, 2
DROPOUT = 0.1
MAX_FRAMES = 6000
LOWEST, HIGHEST = 1.0, 4.65
"""The range of P.862.2: 1.02 to 4.64."""


class LengthUnfit(ValueError):
    """A clip that the network cannot take; `reason` is short and stable."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class SegmentCnn(nn.Module):
    """(n, 1, 48, 16) → (n, 64): six 3×3 convolutions, halved three times."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip((1, *CHANNELS), CHANNELS, strict=False), 1):
            if i >= 4:
                layers.append(nn.Dropout2d(DROPOUT))
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
            layers.append(nn.ReLU())
            if i in POOL_AFTER:
                layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(CHANNELS[-1] * (MEL.n_mels // 8) * (SEGMENT_FRAMES // 8), WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.out(self.layers(x).flatten(1)))


class AttentionPooling(nn.Module):
    """(B, n, 64) → (B, 64): each segment weighs as a small network of it says."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(2 * WIDTH, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return (torch.softmax(self.weigh(x), dim=1) * x).sum(dim=1)


class QualityNet(nn.Module):
    """Predicted MOS-LQO of clips of one length."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = SegmentCnn()
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 2 * WIDTH, DROPOUT, batch_first=True, norm_first=True
        )
        self.attention = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(WIDTH)
        self.pool = AttentionPooling()
        self.out = nn.Linear(WIDTH, 1)

    def forward(self, mels: Tensor) -> Tensor:
        """(B, 48, T) as `levelled_mel` gives them → (B,) within 1 to 4.65."""
        cut = segments(mels)
        batch, n = cut.shape[:2]
        features = self.cnn(cut.flatten(0, 1).unsqueeze(1)).view(batch, n, WIDTH)
        # Where a segment stands does not matter for how it sounds; neighbors are told by content.
        pooled = self.pool(self.norm(self.attention(features)))
        return LOWEST + (HIGHEST - LOWEST) * torch.sigmoid(self.out(pooled).squeeze(1))

    @torch.inference_mode()
    def quality(self, samples: Samples) -> tuple[float, float]:
        """(predicted MOS-LQO, active level in dBov) of (n,) samples at 16 kHz.

        Raises:
            LengthUnfit: fewer than 16 frames (0.15 s) or more than a minute.
            ValueError: digital silence.
        """
        n_frames = MEL.frames(len(samples))
        seconds = len(samples) / SCORING_RATE_HZ
        if n_frames < SEGMENT_FRAMES:
            raise LengthUnfit("too_short", f"{seconds:.2f} s; the network needs 0.15 s")
        if n_frames > MAX_FRAMES:
            raise LengthUnfit("too_long", f"{seconds:.0f} s; the network takes up to a minute")
        mel, level_dbov = levelled_mel(np.asarray(samples, dtype=np.float64))
        return float(self(as_tensor(mel).unsqueeze(0))), level_dbov


@lru_cache(maxsize=2)
def load_quality_net(path: Path = WEIGHTS) -> QualityNet:
    """The network with the weights of a file, ready to score.

    Raises:
        BadInput: absent, not the file of its card, or one of another network.
    """
    shipped = open_shipped(path)
    if shipped.metadata.get("mel") != MEL.fingerprint():
        raise BadInput(f"{path} was trained on another mel", REMEDY)
    network = QualityNet()
    stored = {name: torch.from_numpy(value) for name, value in shipped.tensors.items()}
    # Counters of batch normalization, which nobody uses, are not shipped.
    counters = {k: v for k, v in network.state_dict().items() if k.endswith(COUNTER)}
    try:
        network.load_state_dict({**counters, **stored}, strict=True)
    except RuntimeError as error:
        raise BadInput(f"{path} holds no quality network ({in_short(error)})", REMEDY) from None
    return network.eval()


def tensors_to_ship(network: QualityNet) -> Tensors:
    """The weights for `save_shipped`."""
    return {
        name: value.contiguous().numpy()
        for name, value in network.state_dict().items()
        if not name.endswith(COUNTER)
    }
