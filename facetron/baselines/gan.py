"""The GAN-based system: Vougioukas, Ma, Petridis and Pantic, "Video-Driven Speech Reconstruction using
Generative Adversarial Networks", Interspeech 2019. Silent video to a waveform without features between.

The paper has no code, and its text could not be read in full: what stands in `departures` as a choice is
one. The visual front and the strides follow the same author's published encoders.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.baselines.eyes import (
    DEBUG_FACE,
    DEBUG_LIP,
    BaselineConfig,
    BaselineModel,
    BaselineStage,
    BaselineSynthesizer,
    ConvFront,
    eye_entries,
    joined,
    shared_departures,
)
from facetron.inventory import ModuleEntry
from facetron.model.config import LipConfig
from facetron.model.losses import spectral_loss
from facetron.model.padding import inside
from facetron.model.sizes import SMALL as FACETRON_SMALL
from facetron.options import presets_of
from facetron.synthesis.base import Spoken
from facetron.systems import System, SystemConfig
from facetron.train import augment
from facetron.train.config import TrainConfig
from facetron.train.critics import WassersteinCritics
from facetron.train.dataset import Batch
from facetron.train.lengths import averaged, wave_lengths
from facetron.train.stage import Made, Pairs, with_lengths
from facetron.train.vocoder import wave_mel_loss
from manifests.errors import BadInput
from manifests.mel import mel_spectrogram
from manifests.precision import full_precision
from manifests.specs import CLIP_FRAMES, VIDEO_FPS


@dataclass(frozen=True)
class GanConfig(BaselineConfig):
    """Options of the GAN-based system at 16 kHz, where the paper's is 50 kHz."""

    lip: LipConfig = field(default_factory=lambda: LipConfig(input_px=128))
    channels: tuple[int, ...] = (64, 128, 256, 512)
    front_size: int = 256
    context: int = 7
    hidden: int = 256
    decoder: tuple[int, ...] = (512, 256, 128, 64, 32, 16)
    """Channels before each of six transposed convolutions."""
    strides: tuple[int, ...] = (5, 4, 4, 4, 2, 2)
    """Strides of those; they multiply to two video frames of sound, of which neighbors share a half."""
    critic: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Channels of the critic's strided convolutions."""
    adversarial: float = 1.0
    """0 trains without a critic."""
    penalty: float = 10.0
    """Weight of the penalty of the critic's gradient."""
    absolute: float = 150.0
    """Weight of the L1 distance of waveforms."""
    variation: float = 120.0
    """Weight of the total variation."""
    spectra: float = 70.0
    """Weight of the distance of spectra at several resolutions, in the place of a speech encoder's maps."""
    level: float = 0.0
    """Weight of the distance of levels: |ln| of the ratio of a clip's root mean squares. Not in the source.
    Most lines of a spectrum lie between two harmonics, and distances of lines are content with those, so
    that what is said whispers and is too quiet."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.strides) != len(self.decoder) or math.prod(self.strides) != 2 * self.hop:
            raise BadInput(
                f"strides {list(self.strides)} with {len(self.decoder)} channels",
                f"give one stride for each, which multiply to {2 * self.hop}",
            )
        weights = (self.adversarial, self.penalty, self.absolute, self.variation, self.spectra)
        if min(*weights, self.level) < 0:
            raise BadInput("a weight of a loss is below 0", "give 0 or more")

    @property
    def hop(self) -> int:
        """Samples of a video frame."""
        return self.mel_spec.sample_rate_hz // VIDEO_FPS


class FrameDecoder(nn.Module):
    """A code → two video frames of waveform."""

    def __init__(self, config: GanConfig, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = (size, *config.decoder[1:], 1)
        for number, ((before, after), stride) in enumerate(
            zip(pairwise(widths), config.strides, strict=True)
        ):
            # Kernels of twice the stride, but the first, whose input is one sample long.
            kernel, padding, more = 2 * stride, (stride + 1) // 2, stride % 2
            if number == 0:
                kernel, padding, more = stride, 0, 0
            layers.append(nn.ConvTranspose1d(before, after, kernel, stride, padding, more))
            layers += [nn.Tanh()] if after == 1 else [nn.BatchNorm1d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        """(N, size) → (N, 2 · hop) in ±1."""
        made: Tensor = self.body(codes[:, :, None])
        return made[:, 0]


class Waves(nn.Module):
    """Lips → windowed stretches of waveform, one a picture: a GRU and the frame decoder."""

    window: Tensor

    def __init__(self, config: GanConfig, size: int) -> None:
        super().__init__()
        self.hop = config.hop
        self.gru = nn.GRU(size + config.face_size, config.hidden, batch_first=True)
        self.code = nn.Linear(config.hidden, config.decoder[0])
        self.frame = FrameDecoder(config, config.decoder[0])
        self.register_buffer("window", torch.hann_window(2 * config.hop))

    def forward(self, lips: Tensor, face: Tensor) -> Tensor:
        """(B, T, size) and (B, face_size) → (B, T, 2 · hop)."""
        return self.stretches(self.codes(lips, face))

    def codes(self, lips: Tensor, face: Tensor) -> Tensor:
        """(B, T, decoder[0]), of the whole clip."""
        with full_precision(lips.device):
            hidden, _ = self.gru(joined(lips.float(), face.float()))
            codes: Tensor = torch.relu(self.code(hidden))
            return codes

    def stretches(self, codes: Tensor, own: Tensor | None = None) -> Tensor:
        """(B, T, decoder[0]) → (B, T, 2 · hop), faded in and out so that neighbors add up to one.

        Args:
            own: (B, T) which of the codes are a clip's own. Others give silence, and no batch norm sees
                them; None is all.
        """
        if own is None:
            whole: Tensor = self.frame(codes.flatten(0, 1)).float() * self.window
            return whole.reshape(*codes.shape[:2], -1)
        said: Tensor = self.frame(codes[own]).float() * self.window
        made: Tensor = said.new_zeros(*own.shape, said.shape[-1])
        made[own] = said
        return made


def overlapped(stretches: Tensor) -> Tensor:
    """Adds up (B, T, 2 · hop), each half over the next → (B, 1, T · hop): stretch t is centered on
    video frame t, and what reaches beyond the clip is cut off."""
    clips, frames, length = stretches.shape
    hop = length // 2
    folded = stretches.new_zeros(clips, frames + 1, hop)
    folded[:, :-1] += stretches[..., :hop]
    folded[:, 1:] += stretches[..., hop:]
    whole = folded.flatten(1)
    start = hop // 2
    return whole[:, None, start : start + frames * hop]


class WaveCritic(nn.Module):
    """1-D convolutions over a second of sound, then one number, of any length."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((1, *config.critic)):
            layers += [nn.Conv1d(before, after, 16, 4, 6), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.Conv1d(config.critic[-1], 1, 3, 1, 1))

    def forward(self, wave: Tensor) -> Tensor:
        """(B, 1, samples) → (B,)."""
        scores: Tensor = self.body(wave)
        return scores.mean((1, 2))


class Gan(BaselineModel):
    """The generator."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__(config)
        self.waves = Waves(config, self.eyes.size)

    @classmethod
    def visual_encoder(cls, config: GanConfig) -> ConvFront:
        return ConvFront(config.lip, config.channels, config.front_size, config.context, 0.0)

    @property
    def own(self) -> Mapping[str, nn.Module]:
        return {"waves": self.waves}

    def frames(self, lips: Tensor, face: Tensor) -> Tensor:
        """(B, T, 2 · hop), windowed stretches that `overlapped` adds up."""
        made: Tensor = self.waves(lips, face)
        return made

    def forward(self, batch: Batch) -> Made:
        """Sound of the batch's segment of a second: codes of the whole clip, stretches of those
        pictures only that reach into it."""
        lips, face = self.eyes.see(batch)
        codes = self.waves.codes(lips, face)
        samples, hop = batch["wave"].shape[-1], self.waves.hop
        # (B,) first sample of the segment, and the picture before the one that it lies in.
        start = batch["wave_start"] * (codes.shape[1] * hop // batch["mel"].shape[-1])
        first = start // hop - 1
        count = samples // hop + 3
        pictures = first[:, None] + torch.arange(count, device=start.device)
        lengths = batch["lengths"][:, None] if "lengths" in batch else codes.shape[1]
        own = (pictures >= 0) & (pictures < lengths)
        at = pictures.clamp(0, codes.shape[1] - 1)
        picked = codes.gather(1, at[..., None].expand(-1, -1, codes.shape[2]))
        sound = overlapped(self.waves.stretches(picked, own))[:, 0]
        ahead = (start - first * hop)[:, None] + torch.arange(samples, device=start.device)
        return {"wave": sound.gather(1, ahead)[:, None]}


class GanStage(BaselineStage[GanConfig, Gan]):
    """Trains the generator against the critic, on a second of each clip."""

    name = "waves"
    network = Gan
    reads = ("lips", "wave")
    learns = ("waves", "critic")
    monitor = "mel"

    def __init__(self, config: GanConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        self.critics: WassersteinCritics | None = None
        if config.adversarial:
            critic = WaveCritic(config)
            self.critics = WassersteinCritics({"waves": critic}, config.mel_spec, config.penalty)
            self.critic = self.critics
            self.parts["critic"] = critic

    @property
    def segment_frames(self) -> int:
        """A second."""
        return round(self.config.mel_spec.frame_rate_hz)

    def pairs(self, made: Made, batch: Batch) -> Pairs:
        if self.critic is None:
            return {}
        return with_lengths("waves", (batch["wave"], made["wave"]), self._lengths(batch))

    def _lengths(self, batch: Batch) -> Tensor | None:
        """(B,) samples of each clip's segment; None where none is padded."""
        return wave_lengths(batch, self.config.mel_spec.hop_samples)

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        config, wave, real = self.config, made["wave"], batch["wave"]
        lengths = self._lengths(batch)
        members = {
            "absolute": averaged(functional.l1_loss, lengths, wave, real),
            "variation": averaged(lambda x: (x[..., 1:] - x[..., :-1]).abs().mean(), lengths, wave),
            "spectra": averaged(spectral_loss, lengths, wave, real),
        }
        loss = (
            config.absolute * members["absolute"]
            + config.variation * members["variation"]
            + config.spectra * members["spectra"]
        )
        if self.critics is not None:
            members["adversarial"] = self.critics.score("waves", wave, lengths)
            loss = loss + config.adversarial * members["adversarial"]
        said, meant = (_power(sound, lengths).clamp(min=1e-6) for sound in (wave, real))
        members["level"] = 0.5 * (said / meant).log().abs().mean()
        loss = loss + config.level * members["level"]
        members["level_db"] = 10 * (said.mean() / meant.mean()).log10()
        by_mels = partial(wave_mel_loss, spec=config.mel_spec)
        return {"loss": loss, "mel": averaged(by_mels, lengths, wave, real), **members}


def _power(sound: Tensor, lengths: Tensor | None) -> Tensor:
    """(B,) mean squares of (B, 1, samples), of each clip's own samples."""
    square = sound.float().square()[:, 0]
    own = inside(lengths, square)
    return (square * own).sum(1) / own.sum(1)


class GanSynthesizer(BaselineSynthesizer):
    system: ClassVar[str] = "gan"
    network = Gan

    def spoken(self, frames: Tensor) -> list[Spoken]:
        made = []
        for wave in overlapped(frames)[:, 0].numpy():
            sound = np.asarray(np.clip(wave, -1, 1), np.float32)
            mel = np.asarray(mel_spectrogram(sound, self.config.mel_spec), np.float32)
            made.append(Spoken(mel, sound, ""))
        return made


PAPER = GanConfig()
SMALL = GanConfig(
    size="small",
    front="lip",
    speaker="face",
    lip=FACETRON_SMALL.lip,
    face=FACETRON_SMALL.face,
    channels=(16, 32, 64, 128),
    front_size=128,
    hidden=128,
    decoder=(128, 96, 64, 48, 32, 24),
    critic=(16, 32, 64, 128),
    level=100.0,
)
DEBUG = GanConfig(
    size="debug",
    lip=DEBUG_LIP,
    face=DEBUG_FACE,
    channels=(2, 4),
    front_size=6,
    context=3,
    hidden=8,
    decoder=(8, 6, 4, 4, 3, 2),
    critic=(2, 4),
)
PRESETS = presets_of((PAPER, SMALL, DEBUG))


def defaults(stage: str, config: SystemConfig) -> TrainConfig:
    """Adam with the betas of the field's GANs."""
    paper = config.size == "paper"
    return TrainConfig(
        epochs=200,
        batch_size=16 if paper else 8,
        learning_rate=1e-4 if paper else 1e-3,
        lr_decay=0.99,
        betas=(0.5, 0.9),
        weight_decay=0.0,
        critic_steps=5 if paper else 1,
        augment=augment.NONE,
    )


def modules(config: GanConfig) -> dict[str, ModuleEntry]:
    """Lists the modules for `facetron info`."""
    size = config.lip.embedding_size if config.front == "lip" else config.front_size
    return {
        **eye_entries(config, Gan, "Conv3d over a few frames, strided; colour"),
        "generator": ModuleEntry(
            lambda: Waves(config, size),
            [(CLIP_FRAMES, size), (config.face_size,)],
            "GRU; six transposed convolutions make one audio frame a picture, overlapping by half",
            True,
        ),
        "critic": ModuleEntry(
            lambda: WaveCritic(config), [(1, config.mel_spec.sample_rate_hz)], "1-D CNN over 1 s"
        ),
    }


def departures(config: GanConfig) -> list[str]:
    lines = [
        *shared_departures(config)[1:],
        "16 kHz in place of 50 kHz; widths, strides and kernels are our choice",
        "spectra at several resolutions in the place of the speech encoder's maps (perceptual loss)",
        "weights of the losses are quoted from memory of the paper: 150 L1, 120 variation, 70 perceptual",
    ]
    if config.level:
        lines.append(
            "level: the distance of levels as well, for what is said is too quiet without it"
        )
    return lines


SYSTEM = System(
    name="gan",
    label="GAN-based",
    source="Vougioukas et al.: Video-Driven Speech Reconstruction using GANs, 2019",
    presets="facetron.baselines.gan:PRESETS",
    stages={"waves": "facetron.baselines.gan:GanStage"},
    defaults="facetron.baselines.gan:defaults",
    synthesizer="facetron.baselines.gan:GanSynthesizer",
    parts=("lip", "front", "face", "waves"),
    needed=("waves",),
    inventory="facetron.baselines.gan:modules",
    departures="facetron.baselines.gan:departures",
)
