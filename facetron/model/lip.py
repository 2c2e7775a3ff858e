"""Lip encoder (III, after LipNet; l_k of Eq. 1): silent lips → embeddings and letters, frame by frame."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from facetron.model.config import LipConfig
from facetron.model.ctc import vocabulary
from facetron.model.encoders import Sized
from facetron.model.padding import inside, normed
from manifests.errors import BadInput
from manifests.precision import full_precision

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601)."""

FRAMES_AT_ONCE = 15
"""Frames that `lip_input` turns into numbers of four bytes at once: they stay in a core's cache."""


class LipOutput(NamedTuple):
    """Attributes:
    embedding: (B, T, E), the l_k of Eq. 1.
    logits: (B, T, 28) before the softmax, for CTC over `facetron.model.ctc.vocabulary` of the language.
    """

    embedding: Tensor
    logits: Tensor


def lip_input(frames: Tensor, config: LipConfig) -> Tensor:
    """Stored crops → the encoder's input, the same in training and in synthesis.

    Args:
        frames: (..., T, H, W, 3) uint8 RGB, square.

    Returns:
        (..., C, T, H', W') float32, about ±1: gray if the config says so, and resized to its side.
    """
    if frames.ndim < 4 or frames.shape[-1] != 3 or frames.shape[-2] != frames.shape[-3]:
        raise BadInput(f"lips of shape {tuple(frames.shape)}", "pass (..., T, H, H, 3) RGB frames")
    stored, side = frames.shape[-2], config.input_px
    flat = frames.reshape(-1, stored, stored, 3)
    parts = [
        _planes(flat[start : start + FRAMES_AT_ONCE], config)
        for start in range(0, len(flat), FRAMES_AT_ONCE)
    ]
    channels = (config.input_channels, side, side)
    return torch.cat(parts).reshape(*frames.shape[:-3], *channels).movedim(-3, -4)


def _planes(frames: Tensor, config: LipConfig) -> Tensor:
    """(N, H, H, 3) uint8 → (N, C, H', W') about ±1."""
    if config.input_channels == 1:
        planes = (frames.float() @ torch.tensor(LUMA, device=frames.device)).unsqueeze(1)
    else:
        planes = frames.movedim(-1, 1).float()
    # The mean of gray levels is the gray level of the mean: the scale is left to the small pictures.
    return (_resized(planes, config.input_px) - 127.5) / 128


def _resized(planes: Tensor, side: int) -> Tensor:
    """(N, C, H, H) → (N, C, side, side): averaged down, interpolated up."""
    stored = planes.shape[-1]
    if stored == side:
        return planes
    if stored > side:
        means = _averaging(stored, side).to(planes.device)
        return means @ (planes @ means.T)
    return functional.interpolate(planes, (side, side), mode="bilinear", antialias=True)


@lru_cache(maxsize=8)
def _averaging(stored: int, side: int) -> Tensor:
    """(side, stored) weights of PyTorch's resizing by `area`, along one axis. As two products of
    matrices it takes half the time of `interpolate`, which is what the first epoch on a CPU waits
    for."""
    weights = torch.zeros(side, stored)
    for i in range(side):
        start, end = i * stored // side, -(-(i + 1) * stored // side)
        weights[i, start:end] = 1 / (end - start)
    return weights


class ConvStage(nn.Module):
    """Conv3d, batch norm if asked for, ReLU, channel-wise dropout, the residual block of the last
    stage, and spatial pooling."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int, int],
        stride: int,
        dropout: float,
        batch_norm: bool,
        residual: ResidualBlock | None = None,
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.conv = nn.Conv3d(channels_in, channels_out, kernel, (1, stride, stride), padding)
        self.norm = nn.BatchNorm3d(channels_out) if batch_norm else None
        self.dropout = nn.Dropout3d(dropout)
        self.residual = residual
        self.pool = nn.MaxPool3d((1, 2, 2))

    def forward(self, x: Tensor, own: Tensor | None) -> Tensor:
        """(B, C, T, H, W) → (B, C', T, H / 2 / stride, W / 2 / stride)."""
        x = self.conv(_kept(x, own))
        if self.residual is None:
            # A maximum passes through ReLU and dropout, to the same bits at a quarter of their cost.
            first: Tensor = self._shaped(self.pool(x), own)
            return first
        x = self.residual(self._shaped(x, own), own)
        pooled: Tensor = self.pool(x)
        return pooled

    def _shaped(self, x: Tensor, own: Tensor | None) -> Tensor:
        if self.norm is not None:
            x = normed(self.norm, x, own)
        shaped: Tensor = self.dropout(functional.relu(x))
        return shaped


class ResidualBlock(nn.Module):
    """The paper's block: x + 0.2 · F(x), F two convolutions 96 → 32 → 96 of kernel 3, stride 1,
    padding 1, with channel-wise dropout between them."""

    def __init__(self, channels: int, bottleneck: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.reduce = nn.Conv3d(channels, bottleneck, 3, padding=1)
        self.expand = nn.Conv3d(bottleneck, channels, 3, padding=1)
        self.dropout = nn.Dropout3d(dropout)
        self.scale = scale

    def forward(self, x: Tensor, own: Tensor | None) -> Tensor:
        """(B, C, T, H, W) → the same shape."""
        inner = self.dropout(functional.relu(self.reduce(_kept(x, own))))
        update: Tensor = self.expand(_kept(inner, own))
        return x + self.scale * update


def _kept(x: Tensor, own: Tensor | None) -> Tensor:
    """(B, C, T, H, W) with frames that are not in `own` (B, T) set to zero, which is what a convolution
    sees beyond the end of an unpadded clip."""
    return x if own is None else x * own[:, None, :, None, None]


class LipEncoder(Sized, nn.Module):
    """E_lip of Eq. 1: three Conv3d, the residual block, two Bi-GRUs, two fully connected layers.

    FC1's output is the lip embedding (or the Bi-GRU's, an option); FC2 predicts the letters that the
    encoder is trained on with CTC. It is the kind `lipnet` of `facetron.model.encoders`.
    """

    prepare = staticmethod(lip_input)

    def __init__(self, config: LipConfig) -> None:
        super().__init__()
        self.config = config
        c1, c2, c3 = config.channels
        drop, norm = config.conv_dropout, config.batch_norm
        residual = (
            ResidualBlock(c3, config.bottleneck, config.residual_scale, drop)
            if config.bottleneck
            else None
        )
        self.stages = nn.ModuleList(
            [
                ConvStage(config.input_channels, c1, (3, 5, 5), 2, drop, norm),
                ConvStage(c1, c2, (3, 5, 5), 1, drop, norm),
                ConvStage(c2, c3, (3, 3, 3), 1, drop, norm, residual),
            ]
        )
        hidden, layers = config.gru_hidden, config.gru_layers
        self.gru = nn.GRU(
            c3 * config.pooled_px**2,
            hidden,
            layers,
            batch_first=True,
            bidirectional=True,
            dropout=config.dropout if layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.fc1 = nn.Linear(2 * hidden, config.fc_size)
        self.fc2 = nn.Linear(config.fc_size, len(vocabulary(config.language)))
        self._initialize()
        # Channels last, here and in `forward`, halves the time of the convolutions on a CPU.
        self.stages.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    @staticmethod
    def keeps(config: LipConfig, stored_px: int) -> bool:
        """Returns whether stored crops are seen as they are."""
        return config.input_channels == 3 and config.input_px == stored_px

    @staticmethod
    def size_of(config: LipConfig) -> int:
        """Numbers in a frame's embedding."""
        return config.fc_size if config.embedding == "fc1" else 2 * config.gru_hidden

    def only_spelling(self) -> list[nn.Module]:
        """The layers that no loss of speech reaches, since the embedding lies before them."""
        return [self.fc2] if self.config.embedding == "fc1" else [self.fc1, self.fc2]

    def _initialize(self) -> None:
        """He's normal for what a ReLU follows, orthogonal for what recurs, as LipNet."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for name, weight in self.gru.named_parameters():
            for gate in weight.chunk(3):  # the reset, update and new gates lie in one tensor
                if name.startswith("weight_hh"):
                    nn.init.orthogonal_(gate)
                elif name.startswith("weight_ih"):
                    bound = math.sqrt(6 / (gate.shape[1] + gate.shape[0]))
                    nn.init.uniform_(gate, -bound, bound)
                else:
                    nn.init.zeros_(gate)
        nn.init.kaiming_normal_(self.fc1.weight, nonlinearity="relu")
        nn.init.zeros_(self.fc1.bias)

    def forward(self, lips: Tensor, lengths: Tensor | None = None) -> LipOutput:
        """Eq. 1: l_k = E_lip(X_k).

        Args:
            lips: (B, 3 or 1, T, H, W) as `lip_input` makes them, any T.
            lengths: (B,) frames of each clip where shorter ones were padded; None means all T.
                A clip's output does not depend on how far it was padded.

        Returns:
            `LipOutput`; its frames beyond the length of a clip have no meaning.

        Raises:
            BadInput: another shape than the config's.
        """
        self._check(lips, lengths)
        frames = lips.shape[2]
        if lengths is not None and int(lengths.min()) == frames:
            lengths = None  # nothing was padded: no masks, no packing
        own = None if lengths is None else inside(lengths, lips.transpose(1, 2))
        x = lips.contiguous(memory_format=torch.channels_last_3d)
        for stage in self.stages:
            x = stage(x, own)
        sequence = x.permute(0, 2, 1, 3, 4).flatten(2)  # (B, T, C · H · W)
        hidden = self.dropout(self._recur(sequence, lengths))
        embedding = self.fc1(hidden)
        logits = self.fc2(functional.relu(embedding))
        return LipOutput(embedding if self.config.embedding == "fc1" else hidden, logits)

    def _recur(self, sequence: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, T, features) → (B, T, 2 · hidden), in single precision always."""
        # cuDNN casts a recurrence to half precision whatever autocast was asked for, and overflows.
        with full_precision(sequence.device):
            if lengths is None:
                hidden: Tensor = self.gru(sequence.float())[0]
                return hidden
            packed = pack_padded_sequence(
                sequence.float(), lengths.cpu(), batch_first=True, enforce_sorted=False
            )
            padded, _ = pad_packed_sequence(
                self.gru(packed)[0], batch_first=True, total_length=sequence.shape[1]
            )
            return padded

    def _check(self, lips: Tensor, lengths: Tensor | None) -> None:
        side, channels = self.config.input_px, self.config.input_channels
        if lips.ndim != 5 or lips.shape[1] != channels or lips.shape[3:] != (side, side):
            raise BadInput(
                f"lips of shape {tuple(lips.shape)}",
                f"pass (batch, {channels}, frames, {side}, {side})",
            )
        if lengths is not None and (lengths.shape != lips.shape[:1] or int(lengths.min()) < 1):
            raise BadInput(
                f"lengths of shape {tuple(lengths.shape)} from {int(lengths.min())}",
                "give each clip one frame or more",
            )
