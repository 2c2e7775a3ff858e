"""Prosody encoder (IV-A, Mellotron's; p of Eq. 5): a mel → an embedding of the voice, which the face
encoder learns to predict.

Names of parameters are Mellotron's (`encoder.convs.N`, `encoder.bns.N`, `encoder.gru`, `stl.embed`,
`stl.attention.W_query`). Its code folds a (B, 80, T) mel into (B, 1, T, 80) by `view`, without a
transpose, which scrambles bands and frames (NVIDIA/mellotron, pull request 94); here it is
transposed, so its weights, trained on scrambled mels, can start a fine-tuning but do not fit as is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from facetron.model.config import ProsodyConfig
from facetron.model.encoders import HearsMels
from facetron.model.padding import inside, normed
from manifests.errors import BadInput
from manifests.precision import full_precision


class ReferenceEncoder(nn.Module):
    """Reference encoder: six 3×3 convolutions of stride 2, then the last state of a GRU."""

    def __init__(self, filters: Sequence[int], gru_size: int, n_mels: int) -> None:
        super().__init__()
        widths = (1, *filters)
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, 2, 1) for before, after in pairwise(widths)
        )
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for width in filters)
        bands = n_mels
        for _ in filters:
            bands = (bands + 1) // 2
        self.gru = nn.GRU(filters[-1] * bands, gru_size, batch_first=True)

    def forward(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, n_mels, T), (B,) frames of each clip where shorter ones were padded → (B, gru_size)."""
        x = mel.transpose(1, 2).unsqueeze(1)  # (B, 1, T, n_mels)
        own = None
        if lengths is not None:
            lengths = lengths.to(mel.device)
            own = inside(lengths, x[:, 0])
            x = x * own[:, None, :, None]
        for conv, bn in zip(self.convs, self.bns, strict=True):
            x = conv(x)
            if lengths is not None:
                lengths = (lengths + 1) // 2
                own = inside(lengths, x[:, 0])
            x = torch.relu(normed(bn, x, own))
            if own is not None:
                x = x * own[:, None, :, None]
        sequence = x.transpose(1, 2).flatten(2)  # (B, T / 64, C · bands)
        # cuDNN casts a recurrence to half precision whatever autocast was asked for, and overflows.
        with full_precision(sequence.device):
            states, last = self.gru(sequence.float())
        state: Tensor = last.squeeze(0)
        if lengths is not None:
            state = states[torch.arange(len(states), device=states.device), lengths - 1]
        return state


class StyleTokens(nn.Module):
    """GST (Wang et al., 2018): the query's mixture of learned tokens, by multi-head attention."""

    def __init__(self, query_size: int, tokens: int, heads: int, style_size: int) -> None:
        super().__init__()
        self.embed = nn.Parameter(torch.randn(tokens, style_size // heads) * 0.5)
        self.attention = TokenAttention(query_size, style_size // heads, style_size, heads)

    def forward(self, query: Tensor) -> Tensor:
        """(B, query_size) → (B, style_size)."""
        style: Tensor = self.attention(query, torch.tanh(self.embed))
        return style


class TokenAttention(nn.Module):
    """Scaled dot-product attention of one query over the tokens."""

    def __init__(self, query_size: int, key_size: int, size: int, heads: int) -> None:
        super().__init__()
        self.heads, self.key_size = heads, key_size
        self.W_query = nn.Linear(query_size, size, bias=False)
        self.W_key = nn.Linear(key_size, size, bias=False)
        self.W_value = nn.Linear(key_size, size, bias=False)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """(B, query_size), (tokens, key_size) → (B, size)."""
        q = self.W_query(query).unflatten(-1, (self.heads, -1))
        k = self.W_key(keys).unflatten(-1, (self.heads, -1))
        v = self.W_value(keys).unflatten(-1, (self.heads, -1))
        scores = torch.einsum("bhd,nhd->bhn", q, k) / math.sqrt(self.key_size)
        mixed: Tensor = torch.einsum("bhn,nhd->bhd", scores.softmax(dim=-1), v)
        return mixed.flatten(1)


class ProsodyEncoder(HearsMels, nn.Module):
    """E_prosody of Eq. 5. `gru`: the reference encoder's state; `gst`: the style that it picks,
    projected to the size of a face embedding."""

    def __init__(self, config: ProsodyConfig, n_mels: int) -> None:
        super().__init__()
        self.config, self.n_mels = config, n_mels
        self.encoder = ReferenceEncoder(config.filters, config.gru_size, n_mels)
        size = config.gru_size
        self.stl: StyleTokens | None = None
        if config.kind == "gst":
            self.stl = StyleTokens(size, config.tokens, config.heads, config.style_size)
            size = config.style_size
        self.project: nn.Module = (
            nn.Identity()
            if size == config.embedding_size
            else nn.Linear(size, config.embedding_size)
        )

    def forward(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Eq. 5: p = E_prosody(M).

        Args:
            mel: (B, n_mels, T) log mel.
            lengths: (B,) frames of each clip where shorter ones were padded. A clip's embedding does
                not depend on the padding.

        Returns:
            (B, embedding_size), of any length: Eq. 5 looks at directions only.

        Raises:
            BadInput: another number of bands.
        """
        if mel.ndim != 3 or mel.shape[1] != self.n_mels:
            raise BadInput(
                f"a mel of shape {tuple(mel.shape)}", f"pass (batch, {self.n_mels}, frames)"
            )
        state = self.encoder(mel, lengths)
        if self.stl is not None:
            state = self.stl(state)
        embedding: Tensor = self.project(state)
        return embedding
