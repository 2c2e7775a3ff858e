"""AV-HuBERT (Shi et al., ICLR 2022) as a lip encoder: its visual half, fed with no sound.

Written from the architecture in facebookresearch/av_hubert and the transformer of fairseq that it
uses: visual front end, projection, a concatenation with the (absent) sound's features, layer norm,
projection, and a transformer that normalizes first, with a convolution for positions. Parameters have
the names of the published weights, but for the weight norm of that convolution, which is folded into
it when they are read (`facetron.published.families`). `letters` is ours: the classes of CTC.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.model.config import LipConfig
from facetron.model.ctc import vocabulary
from facetron.model.lip import LipOutput
from facetron.model.visual_frontend import (
    SIZE,
    PublishedLips,
    VisualFrontEnd,
    normalized,
    real_frames,
)

SIZES = {"av-hubert": (768, 12), "av-hubert-large": (1024, 24)}
"""Kind → width and layers of the transformer."""

HEAD_SIZE = 64
POSITION_KERNEL, POSITION_GROUPS = 128, 16


def width_and_layers(config: LipConfig) -> tuple[int, int]:
    """Width and number of layers of the transformer: the published ones unless the options say
    otherwise."""
    width, layers = SIZES[config.kind]
    return config.width or width, config.layers or layers


class Attention(nn.Module):
    """Self-attention under fairseq's names."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = width // HEAD_SIZE, dropout
        self.k_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.q_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        """(B, T, width), (B, T) or None → (B, T, width)."""
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mask = None if real is None else real[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(q, k, v, mask, dropout)
        made: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return made


class Layer(nn.Module):
    """A layer of the transformer, normalized first."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(width, dropout)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        x = x + self.dropout(self.self_attn(self.self_attn_layer_norm(x), real))
        inner = functional.gelu(self.fc1(self.final_layer_norm(x)))
        made: Tensor = x + self.dropout(self.fc2(inner))
        return made


class Transformer(nn.Module):
    """fairseq's `TransformerEncoder`: positions by a convolution, layers, layer norm."""

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.pos_conv = nn.Conv1d(
            width, width, POSITION_KERNEL, padding=POSITION_KERNEL // 2, groups=POSITION_GROUPS
        )
        self.layers = nn.ModuleList(Layer(width, dropout) for _ in range(layers))
        self.layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        """(B, T, width), (B, T) or None → (B, T, width)."""
        if real is not None:
            x = x * real[..., None].to(x)
        # The kernel is even: of the frame more that it makes the last is dropped.
        positions = self.pos_conv(x.transpose(1, 2))[..., :-1].transpose(1, 2)
        x = self.dropout(x + functional.gelu(positions))
        for layer in self.layers:
            x = layer(x, real)
        made: Tensor = self.layer_norm(x)
        return made


class _Video(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.resnet = VisualFrontEnd("prelu")
        self.proj = nn.Linear(SIZE, width)

    def forward(self, lips: Tensor) -> Tensor:
        made: Tensor = self.proj(self.resnet(lips))
        return made


class AvHubertLips(PublishedLips):
    """E_lip of Eq. 1 by AV-HuBERT: the embedding of a frame is the transformer's output."""

    def __init__(self, config: LipConfig) -> None:
        super().__init__()
        self.config = config
        width, layers = width_and_layers(config)
        self.feature_extractor_video = _Video(width)
        self.layer_norm = nn.LayerNorm(2 * width)
        self.post_extract_proj = nn.Linear(2 * width, width)
        self.encoder = Transformer(width, layers, config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.letters = nn.Linear(width, len(vocabulary(config.language)))

    @staticmethod
    def size_of(config: LipConfig) -> int:
        """Numbers in a frame's embedding."""
        return width_and_layers(config)[0]

    def forward(self, lips: Tensor, lengths: Tensor | None = None) -> LipOutput:
        """Eq. 1; see `facetron.model.lip.LipEncoder.forward`. Lips (B, 1, T, 88, 88) of `prepare`."""
        real = real_frames(lips, lengths)
        seen = self.feature_extractor_video(normalized(lips, real))
        both = torch.cat([torch.zeros_like(seen), seen], dim=-1)  # the sound's half comes first
        x = self.dropout(self.post_extract_proj(self.layer_norm(both)))
        embedding = self.encoder(x, real)
        return LipOutput(embedding, self.letters(embedding))
