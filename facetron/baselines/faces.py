"""The parts that the systems that draw share: the waveform that they hear, the face that they draw, and
what their critics see. Architecture by Wav2Pix (Duarte et al., ICASSP 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from facetron.model.config import mel_spec
from facetron.model.discriminators import Judgment
from facetron.train.swap import partners
from manifests.specs import MelSpec

FACES = "faces"
"""Key in `Pairs` of (real faces, made ones)."""


class HeardConfig:
    """What the options of a system that draws say of the speech that it hears."""

    mel: str
    heard_s: float

    @property
    def mel_spec(self) -> MelSpec:
        return mel_spec(self.mel)

    @property
    def heard_frames(self) -> int:
        """Mel frames of the speech heard."""
        return round(self.heard_s * self.mel_spec.frame_rate_hz)

    @property
    def heard_samples(self) -> int:
        return self.heard_frames * self.mel_spec.hop_samples


def picture_px(channels: Sequence[int]) -> int:
    """Side of what a generator with such channels makes."""
    return int(4 * 2 ** len(channels))


class WaveEncoder(nn.Module):
    """A stretch of waveform → a code: SEGAN's discriminator as an encoder, strided convolutions over
    the samples and three fully connected layers.

    Args:
        channels: of each convolution.
        hidden: of each fully connected layer but the last.
        size: numbers of the code.
        samples: length of the waveform.
        preemphasis: 0 is off.
    """

    def __init__(
        self,
        channels: Sequence[int],
        hidden: Sequence[int],
        size: int,
        samples: int,
        preemphasis: float,
    ) -> None:
        super().__init__()
        self.preemphasis, self.samples = preemphasis, samples
        layers: list[nn.Module] = []
        for before, after in pairwise((1, *channels)):
            layers += [
                nn.ConstantPad1d((6, 7), 0.0),
                nn.Conv1d(before, after, 15, 4, bias=False),
                nn.BatchNorm1d(after),
                nn.LeakyReLU(0.3),
            ]
            samples = (samples - 2) // 4 + 1
        self.body = nn.Sequential(*layers)
        full: list[nn.Module] = []
        widths = (channels[-1] * samples, *hidden)
        for before, after in pairwise(widths):
            full += [nn.Linear(before, after), nn.ReLU()]
        self.full = nn.Sequential(*full, nn.Linear(widths[-1], size))

    def forward(self, wave: Tensor) -> Tensor:
        """(B, 1, samples) of any level → (B, size)."""
        # True division: the published code divides integers, which leaves -1, 0 and 1 of a wave.
        wave = wave / wave.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5)
        if self.preemphasis:
            wave = torch.cat(
                [wave[..., :1], wave[..., 1:] - self.preemphasis * wave[..., :-1]], dim=-1
            )
        code: Tensor = self.full(self.body(wave).flatten(1))
        return code


class FaceGenerator(nn.Module):
    """A code → a picture: transposed convolutions from 1 × 1.

    Args:
        size: numbers of the code.
        channels: at 4², 8² and so on.
        dropout: after every layer but the last two, whose noise would be seen.
        spectral: spectral norm of every layer, as in the published code; else batch norm of every layer
            but the last, which has a bias (Radford et al., 2016: DCGAN).
    """

    def __init__(
        self, size: int, channels: Sequence[int], dropout: float, spectral: bool = True
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise((size, *channels))):
            stride = (1, 0) if number == 0 else (2, 1)
            layer: nn.Module = nn.ConvTranspose2d(before, after, 4, *stride, bias=False)
            layers += [spectral_norm(layer)] if spectral else [layer, nn.BatchNorm2d(after)]
            if dropout and number < len(channels) - 1:
                layers.append(nn.Dropout(dropout))
            layers.append(nn.ReLU())
        last: nn.Module = nn.ConvTranspose2d(channels[-1], 3, 4, 2, 1, bias=not spectral)
        layers.append(spectral_norm(last) if spectral else last)
        self.body = nn.Sequential(*layers, nn.Tanh())

    def forward(self, code: Tensor) -> Tensor:
        """(B, size) → (B, 3, side, side) in ±1."""
        picture: Tensor = self.body(code[:, :, None, None])
        return picture


class FaceTrunk(nn.Module):
    """The critics' convolutions: a picture → maps of every layer, the last 4 × 4."""

    def __init__(self, channels: Sequence[int], spectral: bool = True) -> None:
        super().__init__()
        made = [
            nn.Conv2d(before, after, 4, 2, 1, bias=False)
            for before, after in pairwise((3, *channels))
        ]
        self.layers = nn.ModuleList(spectral_norm(layer) if spectral else layer for layer in made)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """(B, 3, side, side) → (B, channels, side / 2, side / 2), …, (B, channels, 4, 4)."""
        maps = []
        for layer in self.layers:
            pictures = functional.leaky_relu(layer(pictures), 0.2)
            maps.append(pictures)
        return maps


def mean_features(real: Judgment, made: Judgment) -> Tensor:
    """Feature matching of Salimans et al. (2016): squared distance of the means over the batch of the
    critic's last maps."""
    wanted = real.features[-1].float().mean(0).detach()
    return functional.mse_loss(made.features[-1].float().mean(0), wanted)


def others(speakers: Sequence[str]) -> list[int] | None:
    """Returns for each clip of a batch the next one of another speaker; None where all have one speaker."""
    return partners(speakers) if len(set(speakers)) > 1 else None
