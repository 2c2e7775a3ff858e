"""Harmonic source excitation of the vocoder: pulses at a pitch that is read from the mel, and noise.

A neural source-filter model: the source is a sum of harmonics of F0, in closed form, and white noise;
the network is the filter, which shapes both (Wang, Takaki and Yamagishi, ICASSP 2019). As in HiFTNet
(Li, Han, Jiang and Mesgarani, 2023) a small network reads F0 and voicing from the mel. A vocoder
without a source has to place every glottal pulse by itself, which takes it about a million steps;
with one it learns in some thousand steps on two cores, and mels with blurred harmonics still sound
voiced. Not in the paper.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.model.hifigan import SLOPE
from manifests.precision import full_precision

MIDDLE_HZ = 150.0
"""Pitches are counted in octaves from here; it lies between typical pitches of men and women."""
OCTAVES = 2.0
"""Pitches are clamped to so many octaves around `MIDDLE_HZ`: 37.5 to 600 Hz."""
HIGHEST_SHARE = 0.95
"""Share of half the sampling rate up to which harmonics are made, so that none is aliased."""
CENTS = 1200.0


class Pitch(NamedTuple):
    """Attributes:
    octaves: (B, T) of each mel frame, above `MIDDLE_HZ`; anything where nothing is voiced.
    voicing: (B, T) logits.
    """

    octaves: Tensor
    voicing: Tensor


class PitchReader(nn.Module):
    """Reads F0 and voicing from a log mel. Always in single precision: half precision resolves a pitch
    to 0.4 % of an octave only."""

    def __init__(self, n_mels: int, channels: int = 128) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(
            n_mels
        )  # log mels lie around −5, and those of other specs elsewhere
        self.convs = nn.ModuleList(
            nn.Conv1d(n_in, channels, 5, padding=2) for n_in in (n_mels, channels, channels)
        )
        self.last = nn.Conv1d(channels, 2, 1)

    def forward(self, mel: Tensor) -> Pitch:
        """(B, n_mels, T) → (B, T) each."""
        with full_precision(mel.device):
            x = self.norm(mel.float())
            for conv in self.convs:
                x = functional.leaky_relu(conv(x), SLOPE)
            octaves, voicing = self.last(x).unbind(1)
        return Pitch(octaves.clamp(-OCTAVES, OCTAVES), voicing)


def excitation(pitch: Tensor, voiced: Tensor, noise: Tensor, rate_hz: int) -> Tensor:
    """Pulses and noise, a channel each, both of power about one.

    Args:
        pitch: (B, T) octaves above `MIDDLE_HZ`.
        voiced: (B, T) how much of the pulses is heard, 0 to 1.
        noise: (B, samples), T times the hop.
        rate_hz: of the samples.

    Returns:
        (B, 2, samples). The pulses are Σ cos(kφ) over all harmonics k below `HIGHEST_SHARE` of half
        the rate, in closed form.
    """
    samples = noise.shape[-1]
    f0_hz = MIDDLE_HZ * torch.exp2(_stretched(pitch, samples))
    # Cycles in double precision: ten minutes are 10⁵ of them.
    cycles = torch.cumsum(f0_hz.double() / rate_hz, dim=1).remainder(1).float()
    harmonics = torch.floor(HIGHEST_SHARE * rate_hz / 2 / f0_hz)
    phase = 2 * math.pi * cycles
    below = 2 * torch.sin(phase / 2)
    at_pulse = below.abs() < 1e-3
    ratio = torch.sin((harmonics + 0.5) * phase) / torch.where(at_pulse, 1, below) - 0.5
    pulses = torch.where(at_pulse, harmonics, ratio) * torch.sqrt(2 / harmonics)
    return torch.stack([pulses * _stretched(voiced, samples), noise], dim=1)


def _stretched(values: Tensor, samples: int) -> Tensor:
    """(B, T) at the frames' centers → (B, samples), straight lines between."""
    return functional.interpolate(
        values.float()[:, None], size=samples, mode="linear", align_corners=False
    )[:, 0]


def pitch_loss(read: Pitch, f0_hz: Tensor) -> tuple[Tensor, Tensor]:
    """Returns how wrong a pitch was read.

    Args:
        read: of T frames.
        f0_hz: (B, T), NaN where nothing is voiced.

    Returns:
        The loss (cross entropy of voicing plus four times the distance in octaves), and the mean
        distance in cents over voiced frames, 0 without any.
    """
    voiced = torch.isfinite(f0_hz) & (f0_hz > 0)
    octaves = torch.log2(torch.where(voiced, f0_hz, MIDDLE_HZ) / MIDDLE_HZ)
    distance = ((read.octaves - octaves).abs() * voiced).sum() / voiced.sum().clamp(min=1)
    voicing = functional.binary_cross_entropy_with_logits(read.voicing, voiced.float())
    return voicing + 4 * distance, CENTS * distance.detach()
