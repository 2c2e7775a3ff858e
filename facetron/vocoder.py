"""The vocoder of the paper (III): HiFi-GAN, from a mel to a waveform.

Versions by name are in `facetron.sizes.VOCODERS`: V1, V2 and V3 at the paper's hop of 320, and as
published at hop 256 for the weights that go with the mel `hifigan-22k`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from facetron.config import VocoderConfig
from facetron.hifigan import Generator
from manifests.errors import BadInput, ToolkitError

LARGEST_LOG = 6.0
"""A bin's magnitude stays below e⁶, so that an unlucky step cannot blow a training up."""


class Vocoder(Generator):
    """HiFi-GAN's generator; its `state_dict` has the names and shapes of the published one.

    With `istft_hop` the last convolution gives the log magnitude and the phase of a short-time
    spectrum instead of samples, as in iSTFTNet: the cheapest way to the sound's fine structure,
    which is what costs on a CPU.
    """

    def __init__(self, config: VocoderConfig) -> None:
        self.spec = config.mel_spec
        self.istft_hop = config.istft_hop
        stages = len(config.rates)
        super().__init__(
            self.spec.n_mels,
            4 * config.istft_hop + 2 if config.istft_hop else 1,
            [config.channels >> stage for stage in range(stages + 1)],
            config.rates,
            config.kernels,
            config.mrf,
            config.resblock,
        )

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, T) log mel of `self.spec` → (B, 1, T · hop) waveform in ±1."""
        made = super().forward(mel)
        wave = torch.tanh(self._from_spectrum(made) if self.istft_hop else made)
        if wave.shape[-1] != mel.shape[-1] * self.spec.hop_samples:
            raise ToolkitError(
                f"the vocoder made {wave.shape[-1]} samples of {mel.shape[-1]} mel frames",
                "choose kernels that are at least their rates",
            )
        return wave

    def _from_spectrum(self, made: Tensor) -> Tensor:
        """(B, 2 · bins, F): log magnitudes, then phases → (B, 1, F · istft_hop)."""
        # One frame more at the start, as iSTFTNet has it: F + 1 frames span F hops.
        made = functional.pad(made.float(), (1, 0), mode="reflect")
        log_magnitude, phase = made.chunk(2, dim=1)
        magnitude = log_magnitude.clamp(max=LARGEST_LOG).exp()
        spectrum = torch.complex(magnitude * phase.cos(), magnitude * phase.sin())
        size = 4 * self.istft_hop
        window = torch.hann_window(size, device=made.device)
        return torch.istft(spectrum, size, self.istft_hop, size, window).unsqueeze(1)

    def require(self, mel_fingerprint: str, what: str) -> None:
        """Raises `SpecMismatch` unless `what` has mels of exactly this vocoder's spec."""
        if not mel_fingerprint:
            raise BadInput(f"{what} does not say what mels it has", "make it again")
        self.spec.require(mel_fingerprint, what)
