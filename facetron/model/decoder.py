"""The decoder of the paper (III): a light HiFi-GAN generator from embeddings to a mel."""

from __future__ import annotations

import torch
from torch import Tensor

from facetron.model.config import DecoderConfig
from facetron.model.hifigan import Generator
from manifests.errors import ToolkitError


class Decoder(Generator):
    """G_decoder of Eq. 3: rates (1, 1, 2), kernels (16, 16, 4), initially 640 channels.

    A log mel is unbounded, so by default nothing follows the last convolution. A kernel of 16 at
    rate 1 cannot be padded evenly and would add a frame in each of two stages
    (75 → 76 → 77 → 154): those frames are dropped, and 75 video frames give exactly 150 mel frames.
    """

    def __init__(self, config: DecoderConfig, channels_in: int, n_mels: int) -> None:
        super().__init__(
            channels_in,
            n_mels,
            config.channels,
            config.rates,
            config.kernels,
            config.mrf,
            config.resblock,
        )
        self.upsampling = config.upsampling
        self.bounded = config.output == "tanh"

    def forward(self, conditions: Tensor) -> Tensor:
        """Eq. 3: M̂ = G_decoder(C).

        Args:
            conditions: (B, lip + face channels, L video frames), the c_k of Eq. 2.

        Returns:
            (B, n_mels, 2 · L) log mel.

        Raises:
            BadInput: another shape of input.
        """
        mel = super().forward(conditions)
        expected = conditions.shape[-1] * self.upsampling
        if mel.shape[-1] != expected:
            raise ToolkitError(
                f"the decoder made {mel.shape[-1]} mel frames of {conditions.shape[-1]} video "
                f"frames, not {expected}",
                "choose kernels that are at least their rates",
            )
        return torch.tanh(mel) if self.bounded else mel
