"""Discriminators (III): HiFi-GAN's for waveforms as published, and for mels as the paper describes them.

A waveform has one channel; a mel has its bands as channels, so that both are (B, C, T) and the same
two networks judge either. Names of parameters are those of the published weights: `mpd` and `msd`
each hold `discriminators.N.convs.M` and `discriminators.N.conv_post`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.model.config import DiscriminatorConfig, MelDiscriminatorConfig, VocoderConfig
from facetron.model.hifigan import SLOPE
from facetron.published.norms import spectral_norm, weight_norm

PERIOD_KERNEL = 5


class Judgment(NamedTuple):
    """The answer of one discriminator.

    Attributes:
        score: (B, n), near 1 for what it takes for real, one value a place in time.
        features: the maps of all layers, for feature matching.
    """

    score: Tensor
    features: list[Tensor]


class PeriodDiscriminator(nn.Module):
    """Looks at every p-th frame: (B, C, T) folded to (B, C, T / p, p), convolved along T / p."""

    def __init__(self, config: DiscriminatorConfig, channels_in: int, period: int) -> None:
        super().__init__()
        self.period = period
        widths = (channels_in, *config.period_channels)
        padding = (PERIOD_KERNEL // 2, 0)
        self.convs = nn.ModuleList(
            weight_norm(
                nn.Conv2d(
                    before,
                    after,
                    (PERIOD_KERNEL, 1),
                    (config.period_stride if layer < config.period_strided else 1, 1),
                    padding,
                )
            )
            for layer, (before, after) in enumerate(pairwise(widths))
        )
        self.conv_post = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, x: Tensor) -> Judgment:
        """(B, C, T) → judgment; T is padded by reflection to a multiple of the period."""
        missing = -x.shape[-1] % self.period
        if missing:
            # Fewer frames than the period cannot be mirrored; then the last one is repeated.
            mode = "reflect" if missing < x.shape[-1] else "replicate"
            x = functional.pad(x, (0, missing), mode)
        x = x.reshape(*x.shape[:2], -1, self.period)
        return _judge(x, self.convs, self.conv_post)


class ScaleDiscriminator(nn.Module):
    """Looks at everything with long, grouped, strided convolutions."""

    def __init__(self, config: DiscriminatorConfig, channels_in: int, spectral: bool) -> None:
        super().__init__()
        widths = (channels_in, *config.scale_channels)
        layers = zip(
            widths[:-1],
            widths[1:],
            config.scale_kernels,
            config.scale_strides,
            config.scale_groups,
            strict=True,
        )
        convs = [
            nn.Conv1d(before, after, kernel, stride, kernel // 2, groups=groups)
            for before, after, kernel, stride, groups in layers
        ]
        post = nn.Conv1d(widths[-1], 1, 3, padding=1)
        normed = [spectral_norm(c) if spectral else weight_norm(c) for c in (*convs, post)]
        self.convs = nn.ModuleList(normed[:-1])
        self.conv_post = normed[-1]

    def forward(self, x: Tensor) -> Judgment:
        """(B, C, T) → judgment."""
        return _judge(x, self.convs, self.conv_post)


def _judge(x: Tensor, convs: nn.ModuleList, post: nn.Module) -> Judgment:
    features = []
    for conv in convs:
        x = functional.leaky_relu(conv(x), SLOPE)
        features.append(x)
    x = post(x)
    features.append(x)
    return Judgment(x.flatten(1), features)


class MultiPeriodDiscriminator(nn.Module):
    """MPD: one `PeriodDiscriminator` a period."""

    def __init__(self, config: DiscriminatorConfig, channels_in: int) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            PeriodDiscriminator(config, channels_in, period) for period in config.periods
        )

    def forward(self, x: Tensor) -> list[Judgment]:
        """(B, C, T) → a judgment a period."""
        return [discriminator(x) for discriminator in self.discriminators]


class MultiScaleDiscriminator(nn.Module):
    """MSD: the first scale sees the input and is spectrally normed, every further one sees it at
    half the rate of the one before and is weight-normed."""

    def __init__(self, config: DiscriminatorConfig, channels_in: int) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            ScaleDiscriminator(config, channels_in, spectral=scale == 0)
            for scale in range(config.scales)
        )

    def forward(self, x: Tensor) -> list[Judgment]:
        """(B, C, T) → a judgment a scale."""
        judgments = []
        for scale, discriminator in enumerate(self.discriminators):
            if scale > 0:
                x = functional.avg_pool1d(x, 4, 2, padding=2)
            judgments.append(discriminator(x))
        return judgments


class MelDiscriminator(nn.Module):
    """The paper's discriminators of mels (III): periods (2, 3, 5), scales of widths
    (80, 160, 240, 480, 960, 960), and on request the perceptual head beside them."""

    def __init__(self, config: MelDiscriminatorConfig, n_mels: int) -> None:
        super().__init__()
        self.mpd = MultiPeriodDiscriminator(config, n_mels)
        self.msd = MultiScaleDiscriminator(config, n_mels)
        self.perceptual = PerceptualDiscriminator(config) if config.perceptual else None

    def forward(self, mel: Tensor) -> list[Judgment]:
        """(B, n_mels, T) → judgments of MPD and MSD; the perceptual head is asked by itself,
        since it needs the real mel too."""
        return [*self.mpd(mel), *self.msd(mel)]


class WaveDiscriminator(nn.Module):
    """HiFi-GAN's discriminators of waveforms."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.mpd = MultiPeriodDiscriminator(config.discriminator, 1)
        self.msd = MultiScaleDiscriminator(config.discriminator, 1)

    def forward(self, wave: Tensor) -> list[Judgment]:
        """(B, 1, samples) → judgments."""
        return [*self.mpd(wave), *self.msd(wave)]


class PerceptualDiscriminator(nn.Module):
    """Predicts a quality score of a mel beside the real one (MetricGAN, Fu et al., 2019).

    Not in the paper but for a clause of its introduction ("motivated by a perceptual quality
    metric"); off by default. It is trained towards a metric scaled to 0 … 1, and the decoder
    towards a predicted 1.
    """

    def __init__(self, config: MelDiscriminatorConfig) -> None:
        super().__init__()
        widths = (2, *config.perceptual_channels)
        self.convs = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 5, 2, 2)) for before, after in pairwise(widths)
        )
        self.head = spectral_norm(nn.Linear(widths[-1], 1))

    def forward(self, mel: Tensor, real: Tensor) -> Tensor:
        """(B, n_mels, T) twice → (B,) predicted score in 0 … 1."""
        x = torch.stack([mel, real], dim=1)
        for conv in self.convs:
            x = functional.leaky_relu(conv(x), SLOPE)
        score: Tensor = torch.sigmoid(self.head(x.mean(dim=(2, 3)))).squeeze(1)
        return score
