"""The vocoder of the paper (III): HiFi-GAN, from a mel to a waveform.

Versions by name are in `facetron.model.sizes.VOCODERS`: V1, V2 and V3 at the paper's hop of 320, and as
published at hop 256 for the weights that go with the mel `hifigan-22k`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from facetron.model.config import VocoderConfig
from facetron.model.excitation import Pitch, PitchReader, excitation
from facetron.model.hifigan import Generator
from manifests.errors import BadInput, ToolkitError

LARGEST_LOG = 6.0
"""A bin's magnitude stays below e⁶, so that an unlucky step cannot blow a training up."""

NOISE_SEED = 0


class Vocoder(Generator):
    """HiFi-GAN's generator; its `state_dict` has the names and shapes of the published one.

    With `istft_hop` the last convolution gives the log magnitude and the phase of a short-time
    spectrum instead of samples, as in iSTFTNet: the cheapest way to the sound's fine structure,
    which is what costs on a CPU. With a harmonic `source` that spectrum is what pulses and noise
    (`facetron.model.excitation`) are multiplied by: magnitude and phase of the one, magnitude of the other.
    """

    def __init__(self, config: VocoderConfig) -> None:
        self.spec = config.mel_spec
        self.istft_hop = config.istft_hop
        stages = len(config.rates)
        harmonic = config.source == "harmonic"
        bins = 2 * config.istft_hop + 1
        super().__init__(
            self.spec.n_mels,
            (3 if harmonic else 2) * bins if config.istft_hop else 1,
            [config.channels >> stage for stage in range(stages + 1)],
            config.rates,
            config.kernels,
            config.mrf,
            config.resblock,
        )

        self.pitch = PitchReader(self.spec.n_mels) if harmonic else None

    def excite(self, mel: Tensor, pitch: Pitch | None = None) -> Tensor | None:
        """(B, n_mels, T) → the (B, 2, T · hop) that it shapes, with the `pitch` read from the mel, or
        that given; None without a source. The noise is the same for every clip, except in training.
        """
        if self.pitch is None:
            return None
        read = pitch or self.pitch(mel)
        size = (len(mel), mel.shape[-1] * self.spec.hop_samples)
        if self.training:
            noise = torch.randn(size, device=mel.device)
        else:
            # Drawn on the CPU, so that every device hears the same.
            seeded = torch.Generator().manual_seed(NOISE_SEED)
            noise = torch.randn(size[1], generator=seeded).to(mel.device).expand(size)
        # The pitch learns from its own loss: through the pulses' phase no gradient is of use.
        octaves, voiced = read.octaves.detach(), torch.sigmoid(2 * read.voicing.detach())
        return excitation(octaves, voiced, noise, self.spec.sample_rate_hz)

    def forward(self, mel: Tensor, excited: Tensor | None = None) -> Tensor:
        """(B, n_mels, T) log mel of `self.spec` → (B, 1, T · hop) waveform in ±1.

        Args:
            excited: of `excite`, for a part of a longer mel; else its own.
        """
        made = super().forward(mel)
        if self.istft_hop:
            made = self._from_spectrum(made, self.excite(mel) if excited is None else excited)
        wave = torch.tanh(made)
        if wave.shape[-1] != mel.shape[-1] * self.spec.hop_samples:
            raise ToolkitError(
                f"the vocoder made {wave.shape[-1]} samples of {mel.shape[-1]} mel frames",
                "choose kernels that are at least their rates",
            )
        return wave

    def _from_spectrum(self, made: Tensor, excited: Tensor | None) -> Tensor:
        """(B, 2 or 3 · bins, F): log magnitudes, phases, and with a source the log magnitudes of its
        noise → (B, 1, F · istft_hop)."""
        # One frame more at the start, as iSTFTNet has it: F + 1 frames span F hops.
        made = functional.pad(made.float(), (1, 0), mode="reflect")
        size = 4 * self.istft_hop
        window = torch.hann_window(size, device=made.device)
        if excited is None:
            log_magnitude, phase = made.chunk(2, dim=1)
            spectrum = _spectrum(log_magnitude, phase)
        else:
            log_magnitude, phase, log_noise = made.chunk(3, dim=1)
            pulses, noise = (
                torch.stft(part.float(), size, self.istft_hop, size, window, return_complex=True)
                for part in excited.unbind(1)
            )
            # Near −20 dB at first, as loud as speech; the noise well below the pulses.
            spectrum = pulses * _spectrum(log_magnitude - 3, phase)
            spectrum = spectrum + noise * (log_noise - 5).clamp(max=LARGEST_LOG).exp()
        if spectrum.is_meta:
            # `torch.istft` checks the values of its window, and on `meta` there are only shapes.
            return spectrum.real.new_empty(
                len(spectrum), 1, (spectrum.shape[2] - 1) * self.istft_hop
            )
        return torch.istft(spectrum, size, self.istft_hop, size, window).unsqueeze(1)

    def require(self, mel_fingerprint: str, what: str) -> None:
        """Raises `SpecMismatch` unless `what` has mels of exactly this vocoder's spec."""
        if not mel_fingerprint:
            raise BadInput(f"{what} does not record the parameters of its mels", "make it again")
        self.spec.require(mel_fingerprint, what)


def _spectrum(log_magnitude: Tensor, phase: Tensor) -> Tensor:
    magnitude = log_magnitude.clamp(max=LARGEST_LOG).exp()
    return torch.complex(magnitude * phase.cos(), magnitude * phase.sin())
