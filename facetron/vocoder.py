"""The vocoder of the paper (III): HiFi-GAN, from a mel to a waveform.

Versions by name are in `facetron.sizes.VOCODERS`: V1, V2 and V3 at the paper's hop of 320, and as
published at hop 256 for the weights that go with the mel `hifigan-22k`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facetron.config import VocoderConfig
from facetron.hifigan import Generator
from manifests.errors import BadInput, ToolkitError


class Vocoder(Generator):
    """HiFi-GAN's generator; its `state_dict` has the names and shapes of the published one."""

    def __init__(self, config: VocoderConfig) -> None:
        self.spec = config.mel_spec
        stages = len(config.rates)
        super().__init__(
            self.spec.n_mels,
            1,
            [config.channels >> stage for stage in range(stages + 1)],
            config.rates,
            config.kernels,
            config.mrf,
            config.resblock,
        )

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, T) log mel of `self.spec` → (B, 1, T · hop) waveform in ±1."""
        wave = torch.tanh(super().forward(mel))
        if wave.shape[-1] != mel.shape[-1] * self.spec.hop_samples:
            raise ToolkitError(
                f"the vocoder made {wave.shape[-1]} samples of {mel.shape[-1]} mel frames",
                "choose kernels that are at least their rates",
            )
        return wave

    def require(self, mel_fingerprint: str, what: str) -> None:
        """Raises `SpecMismatch` unless `what` has mels of exactly this vocoder's spec."""
        if not mel_fingerprint:
            raise BadInput(f"{what} does not say what mels it has", "make it again")
        self.spec.require(mel_fingerprint, what)
