"""Auto-AVSR (Ma et al., ICASSP 2023) as a lip encoder: its visual front end and its conformer.

Written from the architecture in mpc001/auto_avsr (whose encoder is ESPnet's): front end with SiLU, a
projection, and twelve conformer layers with relative positions. Parameters have the names of the
published weights; its decoder and its own CTC over word pieces are left behind. `letters` is ours.
"""

from __future__ import annotations

import math

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

WIDTH, LAYERS, HEAD_SIZE, KERNEL = 768, 12, 64, 31
NORM_EPS = 1e-12


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=NORM_EPS)


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.w_1, self.w_2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.w_2(self.dropout(torch.relu(self.w_1(x))))
        return made


class RelativeAttention(nn.Module):
    """Self-attention with relative positions (Dai et al., 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads, self.head_size = width // HEAD_SIZE, HEAD_SIZE
        self.linear_q, self.linear_k = nn.Linear(width, width), nn.Linear(width, width)
        self.linear_v, self.linear_out = nn.Linear(width, width), nn.Linear(width, width)
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(self.heads, HEAD_SIZE))
        self.pos_bias_v = nn.Parameter(torch.empty(self.heads, HEAD_SIZE))
        nn.init.xavier_uniform_(self.pos_bias_u)
        nn.init.xavier_uniform_(self.pos_bias_v)

    def forward(self, x: Tensor, positions: Tensor, real: Tensor | None) -> Tensor:
        """(B, T, width), (2 · T − 1, width), (B, T) or None → (B, T, width)."""
        q, k, v, p = (
            made.unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for made in (
                self.linear_q(x),
                self.linear_k(x),
                self.linear_v(x),
                self.linear_pos(positions),
            )
        )
        by_content = (q + self.pos_bias_u[:, None]) @ k.transpose(-2, -1)
        by_place = _shifted((q + self.pos_bias_v[:, None]) @ p.transpose(-2, -1))
        scores = (by_content + by_place) / math.sqrt(self.head_size)
        if real is not None:
            scores = scores.masked_fill(~real[:, None, None, :], -math.inf)
        made: Tensor = self.linear_out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return made


def _shifted(scores: Tensor) -> Tensor:
    """(B, heads, T, 2 · T − 1), by distance from T − 1 to −(T − 1) → (B, heads, T, T), by place."""
    frames = scores.shape[-2]
    padded = functional.pad(scores, (1, 0))
    turned = padded.reshape(*scores.shape[:2], 2 * frames, frames)[:, :, 1:]
    return turned.reshape(scores.shape)[..., :frames]


class ConvolutionModule(nn.Module):
    """A gated point-wise, a depth-wise and a point-wise convolution over time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pointwise_cov1 = nn.Conv1d(width, 2 * width, 1)
        self.depthwise_conv = nn.Conv1d(
            width, width, KERNEL, padding=(KERNEL - 1) // 2, groups=width
        )
        self.norm = nn.BatchNorm1d(width)
        self.pointwise_cov2 = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        made = functional.glu(self.pointwise_cov1(x.transpose(1, 2)), dim=1)
        if real is not None:  # as beyond the end of an unpadded clip
            made = made * real[:, None].to(made)
        made = functional.silu(self.norm(self.depthwise_conv(made)))
        back: Tensor = self.pointwise_cov2(made).transpose(1, 2)
        return back


class Layer(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward, each with a shortcut."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = RelativeAttention(width)
        self.feed_forward = FeedForward(width, dropout)
        self.feed_forward_macaron = FeedForward(width, dropout)
        self.conv_module = ConvolutionModule(width)
        self.norm_ff, self.norm_ff_macaron = _norm(width), _norm(width)
        self.norm_mha, self.norm_conv, self.norm_final = _norm(width), _norm(width), _norm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, positions: Tensor, real: Tensor | None) -> Tensor:
        x = x + self.dropout(self.feed_forward_macaron(self.norm_ff_macaron(x))) / 2
        x = x + self.dropout(self.self_attn(self.norm_mha(x), positions, real))
        x = x + self.dropout(self.conv_module(self.norm_conv(x), real))
        x = x + self.dropout(self.feed_forward(self.norm_ff(x))) / 2
        made: Tensor = self.norm_final(x)
        return made


class Conformer(nn.Module):
    """ESPnet's `ConformerEncoder`."""

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.encoders = nn.ModuleList(Layer(width, dropout) for _ in range(layers))
        self.after_norm = _norm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        """(B, T, width), (B, T) or None → (B, T, width)."""
        positions = self.dropout(relative_positions(x.shape[1], self.width).to(x))
        x = self.dropout(x * math.sqrt(self.width))
        for layer in self.encoders:
            x = layer(x, positions, real)
        made: Tensor = self.after_norm(x)
        return made


def relative_positions(frames: int, width: int) -> Tensor:
    """(2 · frames − 1, width) sines and cosines of the distances frames − 1 … −(frames − 1)."""
    distances = torch.arange(frames - 1, -frames, -1, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * -(math.log(1e4) / width))
    return torch.stack([(distances * rates).sin(), (distances * rates).cos()], dim=-1).flatten(1)


class AutoAvsrLips(PublishedLips):
    """E_lip of Eq. 1 by Auto-AVSR: the embedding of a frame is the conformer's output."""

    def __init__(self, config: LipConfig) -> None:
        super().__init__()
        self.config = config
        width = self.size_of(config)
        self.frontend = VisualFrontEnd("swish")
        self.proj_encoder = nn.Linear(SIZE, width)
        self.encoder = Conformer(width, config.layers or LAYERS, config.dropout)
        self.letters = nn.Linear(width, len(vocabulary(config.language)))

    @staticmethod
    def size_of(config: LipConfig) -> int:
        """Numbers in a frame's embedding."""
        return config.width or WIDTH

    def forward(self, lips: Tensor, lengths: Tensor | None = None) -> LipOutput:
        """Eq. 1; see `facetron.model.lip.LipEncoder.forward`. Lips (B, 1, T, 88, 88) of `prepare`."""
        real = real_frames(lips, lengths)
        x = self.proj_encoder(self.frontend(normalized(lips, real)))
        embedding = self.encoder(x, real)
        return LipOutput(embedding, self.letters(embedding))
