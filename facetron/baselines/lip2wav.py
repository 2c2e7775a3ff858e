"""Lip2Wav: Prajwal, Mukhopadhyay, Namboodiri and Jawahar, "Learning Individual Speaking Styles for
Accurate Lip to Speech Synthesis", CVPR 2020. Lips to a mel, sequence to sequence.

Written from the authors' published code, whose decoder is Tacotron 2's. What differs here is listed by
`departures`; the front's zoneout and the decoder's are the same layer in it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.baselines.decoder_walk import Draws, Weights, walk
from facetron.baselines.eyes import (
    DEBUG_FACE,
    DEBUG_LIP,
    BaselineConfig,
    BaselineModel,
    BaselineStage,
    BaselineSynthesizer,
    Scale,
    eye_entries,
    joined,
    shared_departures,
)
from facetron.inventory import ModuleEntry
from facetron.model.config import LipConfig
from facetron.model.losses import mel_loss
from facetron.model.padding import of_each_length
from facetron.model.sizes import SMALL as FACETRON_SMALL
from facetron.options import presets_of
from facetron.systems import System, SystemConfig
from facetron.train import augment
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch
from facetron.train.lengths import averaged, mel_lengths
from facetron.train.pictures import Exhibit, mels_shown
from facetron.train.stage import Made, Pairs
from manifests.errors import BadInput
from manifests.manifest import Manifest
from manifests.precision import full_precision
from manifests.specs import CLIP_FRAMES

ALIGNED_PICTURES = 3.0
"""Largest mean distance of the attention's peak from the diagonal that counts as aligned: 0.12 s."""

PRENET_SEED = 0
"""Seed of the prenet's dropout wherever nothing is learned; one clip then always gives the same mel."""


@dataclass(frozen=True)
class Lip2WavConfig(BaselineConfig):
    """Options of Lip2Wav; the defaults are the code's at 96²."""

    lip: LipConfig = field(default_factory=lambda: LipConfig(input_px=96))
    channels: tuple[int, ...] = (24, 48, 96, 192, 384)
    """Channels of the blocks of its own front, each of which halves the picture."""
    encoder_units: int = 384
    """Units of the BiLSTM over the front, per direction."""
    decoder_units: int = 1024
    prenet: int = 256
    attention: int = 128
    filters: int = 32
    """Filters of the location layer, of kernel 31."""
    postnet: int = 512
    zoneout: float = 0.1
    forced_steps: int = 29_000
    """Steps in which the decoder is always given the true frame before."""
    falling_steps: int = 130_000
    """Steps after those, over which the share of true frames falls to 0 as a cosine."""
    guide: float = 0.0
    """Weight of guided attention (Tachibana et al., 2018). Not in the source; it finds the diagonal in
    minutes."""
    guide_steps: int = 0
    """Steps over which that weight falls to 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lip.input_px >> len(self.channels) < 3 and self.front == "own":
            raise BadInput(
                f"lip.input_px {self.lip.input_px} leaves no 3 px after {len(self.channels)} blocks",
                "give larger pictures or fewer channels",
            )
        if min(self.forced_steps, self.falling_steps, self.guide_steps) < 0:
            raise BadInput("a number of steps is below 0", "give 0 or more")


class FrontBlock(nn.Module):
    """A 3-D convolution that halves the picture, then two residual ones."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.first = _conv3d(before, after, kernel, 2)
        self.rest = nn.ModuleList(
            nn.Sequential(nn.Conv3d(after, after, 3, 1, 1), nn.BatchNorm3d(after)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.rest:
            x = torch.relu(layer(x) + x)
        return x


def _conv3d(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    padding = kernel // 2 if stride == 2 else 0
    return nn.Sequential(
        nn.Conv3d(before, after, kernel, (1, stride, stride), (kernel // 2, padding, padding)),
        nn.BatchNorm3d(after),
        nn.ReLU(),
    )


class Front(nn.Module):
    """Lip2Wav's own visual encoder, without its BiLSTM."""

    def __init__(self, config: Lip2WavConfig) -> None:
        super().__init__()
        widths = (config.lip.input_channels, *config.channels)
        self.blocks = nn.Sequential(
            *(
                FrontBlock(before, after, 5 if number == 0 else 3)
                for number, (before, after) in enumerate(itertools.pairwise(widths))
            )
        )
        self.last = _conv3d(widths[-1], widths[-1], 3, 3)
        self.size = widths[-1]

    def forward(self, lips: Tensor) -> Tensor:
        """(B, C, T, H, W) → (B, T, size)."""
        made: Tensor = self.last(self.blocks(lips)).mean((3, 4))
        return made.transpose(1, 2)


class ZoneoutCell(nn.Module):
    """An LSTM cell whose states keep a share of what they were (Krueger et al., 2017)."""

    def __init__(self, size_in: int, units: int, rate: float) -> None:
        super().__init__()
        self.cell, self.units, self.rate = nn.LSTMCell(size_in, units), units, rate

    def kept(self, steps: int, clips: int, like: Tensor) -> Tensor:
        """(S, 2, B, units) what the states h and c keep in each step: 0 or 1, drawn, in training, else
        the rate."""
        if not self.training or not self.rate:
            return like.new_full((steps, 2, clips, self.units), self.rate)
        drawn = torch.rand(steps, 2, clips, self.units, device=like.device)
        return (drawn < self.rate).to(like)

    @property
    def joined(self) -> tuple[Tensor, Tensor]:
        """Weight (4 units, inputs + units) and bias, of input and state in one."""
        cell = self.cell
        weight = torch.cat([cell.weight_ih, cell.weight_hh], dim=1)
        return weight, cell.bias_ih + cell.bias_hh


class Attention(nn.Module):
    """Location-sensitive attention over the cumulative weights (Chorowski et al., 2015)."""

    def __init__(self, query: int, memory: int, size: int, filters: int) -> None:
        super().__init__()
        self.query = nn.Linear(query, size, bias=False)
        self.memory = nn.Linear(memory, size, bias=False)
        self.location = nn.Conv1d(1, filters, 31, padding=15, bias=False)
        self.project = nn.Linear(filters, size)
        self.score = nn.Linear(size, 1, bias=False)

    @property
    def place(self) -> Tensor:
        """(size, 31) location layer and projection in one."""
        kernels = self.location.weight[:, 0]
        made: Tensor = self.project.weight @ kernels
        return made


class Decoded(nn.Module):
    """Encoder steps → a standardized mel: the BiLSTM, Tacotron 2's decoder and its postnet. A step of
    the decoder makes the mel frames of one picture.

    Attributes:
        true_share: share of decoder steps that are given the true frame before, in training.
    """

    def __init__(self, config: Lip2WavConfig, size: int) -> None:
        super().__init__()
        mels, units = config.mel_spec.n_mels, config.decoder_units
        memory = 2 * config.encoder_units
        self.per_step, self.n_mels = config.mels_per_picture, mels
        self.true_share = 1.0
        self.scale = Scale()
        self.encoder = nn.LSTM(size, config.encoder_units, batch_first=True, bidirectional=True)
        self.prenet = nn.ModuleList(
            [nn.Linear(mels, config.prenet), nn.Linear(config.prenet, config.prenet)]
        )
        memory += config.face_size
        self.first = ZoneoutCell(config.prenet + memory, units, config.zoneout)
        self.second = ZoneoutCell(units, units, config.zoneout)
        self.attention = Attention(units, memory, config.attention, config.filters)
        self.frame = nn.Linear(units + memory, self.per_step * mels)
        widths = (mels, *[config.postnet] * 5)
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(itertools.pairwise(widths)):
            layers += [nn.Conv1d(before, after, 5, padding=2), nn.BatchNorm1d(after)]
            layers += [nn.Tanh()] if number < 4 else []
            layers.append(nn.Dropout(0.5))
        self.postnet = nn.Sequential(*layers, nn.Conv1d(config.postnet, mels, 1))

    def forward(
        self, lips: Tensor, face: Tensor, wanted: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decodes as many steps as there are pictures.

        Args:
            lips: (B, T, size).
            face: (B, face_size).
            wanted: (B, n_mels, T · per_step), standardized; None lets it hear itself only.

        Returns:
            The mels before and after the postnet, (B, n_mels, T · per_step), and the attention
            (B, T steps, T pictures).
        """
        # Small products, step by step: half precision only costs time and digits here.
        with full_precision(lips.device):
            memory = joined(self.encoder(lips.float())[0], face.float())
            decoded, weights = self._walk(memory, wanted)
            before = decoded.flatten(1, 2).transpose(1, 2)
            return before, before + self.postnet(before), weights

    def _walk(self, memory: Tensor, wanted: Tensor | None) -> tuple[Tensor, Tensor]:
        clips, steps, _ = memory.shape
        forced = torch.zeros(steps, dtype=torch.bool)
        true = memory.new_zeros(clips, steps, self.n_mels)
        if wanted is not None and self.training:
            last = wanted.transpose(1, 2)[:, self.per_step - 1 :: self.per_step]
            true[:, 1:] = last[:, :-1]
            forced = torch.rand(steps) < self.true_share
        forced[0] = True  # the frame before the first is zeros
        kept = [cell.kept(steps, clips, memory) for cell in (self.first, self.second)]
        draws = Draws(self._drops(memory), torch.cat(kept, dim=1), forced.tolist())
        keys = self.attention.memory(memory)
        frames, weights = walk(memory, keys, true, self.weights(), draws)
        return frames.reshape(clips, steps, self.per_step, self.n_mels), weights

    def weights(self) -> Weights:
        """Returns the weights that the walk learns."""
        attention = self.attention
        one, two = cast(nn.Linear, self.prenet[0]), cast(nn.Linear, self.prenet[1])
        return Weights(
            one.weight, one.bias, two.weight, two.bias, *self.first.joined, *self.second.joined,
            attention.query.weight, attention.place, attention.project.bias,
            attention.score.weight[0], self.frame.weight, self.frame.bias,
        )  # fmt: skip

    def _drops(self, memory: Tensor) -> Tensor:
        """(T, 2, B or 1, prenet) what the prenet's dropout of 0.5 keeps, doubled. It is on at synthesis
        as well: there all clips have the same, drawn from a seed of its own."""
        clips, steps, _ = memory.shape
        width = self.prenet[0].out_features
        if self.training:
            drawn = torch.rand(steps, 2, clips, cast(int, width))
        else:
            generator = torch.Generator().manual_seed(PRENET_SEED)
            drawn = torch.rand(steps, 2, 1, cast(int, width), generator=generator)
        return (drawn < 0.5).to(memory) * 2


class Lip2Wav(BaselineModel):
    """Eyes and the decoder."""

    def __init__(self, config: Lip2WavConfig) -> None:
        super().__init__(config)
        self.decoder = Decoded(config, self.eyes.size)

    @classmethod
    def visual_encoder(cls, config: Lip2WavConfig) -> Front:
        return Front(config)

    @property
    def own(self) -> Mapping[str, nn.Module]:
        return {"decoder": self.decoder}

    def frames(self, lips: Tensor, face: Tensor) -> Tensor:
        """(B, T, per_step · n_mels) log mel."""
        after = self.decoder.scale.back(self.decoder(lips, face)[1])
        made: Tensor = after.transpose(1, 2).reshape(*lips.shape[:2], -1)
        return made

    def forward(self, batch: Batch) -> Made:
        lips, face = self.eyes.see(batch)
        wanted = self.decoder.scale(batch["mel"])
        before, after, weights = self.decoder(lips, face, wanted)
        return {"before": before, "after": after, "attention": weights, "wanted": wanted}


def off_diagonal(weights: Tensor) -> Tensor:
    """(B, steps, T) attention → (B,) mean distance in pictures of its peak from the diagonal."""
    steps, pictures = weights.shape[1:]
    diagonal = torch.arange(steps, device=weights.device) * (pictures / steps)
    return (weights.argmax(dim=-1) - diagonal).abs().mean(dim=1)


def guided(weights: Tensor, width: float = 0.2) -> Tensor:
    """Guided attention (Tachibana, Uenoyama and Aihara, 2018): the weight that lies off the diagonal."""
    steps, pictures = weights.shape[1:]
    n = torch.arange(steps, device=weights.device)[:, None] / steps
    t = torch.arange(pictures, device=weights.device)[None] / pictures
    return (weights * (1 - torch.exp(-((n - t) ** 2) / (2 * width**2)))).sum(-1).mean()


class Lip2WavStage(BaselineStage[Lip2WavConfig, Lip2Wav]):
    """Trains the whole; validation lets the decoder hear itself only."""

    name = "decoder"
    network = Lip2Wav
    reads = ("lips", "mel")
    learns = ("decoder",)
    monitor = "mel"

    def __init__(self, config: Lip2WavConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        self._guide = 0.0

    def survey(self, clips: Manifest) -> None:
        self.model.decoder.scale.survey(clips)

    def begin(self, step: int) -> None:
        config = self.config
        share = (step - config.forced_steps) / max(config.falling_steps, 1)
        self.model.decoder.true_share = 0.5 + 0.5 * math.cos(math.pi * min(max(share, 0.0), 1.0))
        left = 1 - step / config.guide_steps if config.guide_steps else 0.0
        self._guide = config.guide * max(left, 0.0)

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        """The code's: squares before and after the postnet, and absolute differences before it; `mel`
        is the distance of log mels as of all systems."""

        def compared(before: Tensor, after: Tensor, wanted: Tensor) -> Tensor:
            loss = (
                functional.mse_loss(before, wanted)
                + functional.mse_loss(after, wanted)
                + functional.l1_loss(before, wanted)
            )
            return torch.stack([loss, mel_loss(after, wanted)])

        lengths, attention = mel_lengths(batch), made["attention"]
        loss, mel = averaged(compared, lengths, made["before"], made["after"], made["wanted"])
        if lengths is None:
            parts = [(1.0, attention)]
        else:  # a clip attends as far as it goes, from its first step to its last
            frames, (steps, pictures) = made["wanted"].shape[2], attention.shape[1:]
            parts = [
                (
                    len(which) / len(lengths),
                    attention[which, : length * steps // frames, : length * pictures // frames],
                )
                for length, which in of_each_length(lengths)
            ]
        guide = torch.stack([share * guided(part) for share, part in parts]).sum()
        off = torch.stack([share * off_diagonal(part).mean() for share, part in parts]).sum()
        return {
            "loss": loss + self._guide * guide,
            "mel": mel * self.model.decoder.scale.deviation,
            "guide": guide,
            "attention_off_pictures": off,
        }

    def warnings(self, line: Mapping[str, Any]) -> list[str]:
        """Attention that does not follow the lips once the teacher leaves: what is said alone, as at
        synthesis, then has nothing to do with them, while the teacher's part of the loss still falls."""
        off = line.get("val_attention_off_pictures", line.get("train_attention_off_pictures"))
        if off is None or off <= ALIGNED_PICTURES or line["step"] < self.config.forced_steps:
            return []
        return [
            f"the attention does not follow the lips: its peak lies {off:.1f} pictures off the "
            f"diagonal, where {ALIGNED_PICTURES:g} are aligned; set guide and guide_steps, or let "
            "the teacher stay longer (forced_steps)"
        ]

    def show(self, made: Made, batch: Batch, which: Sequence[int]) -> list[Exhibit]:
        mel = self.model.decoder.scale.back(made["after"][list(which)])
        return mels_shown(batch, which, mel, self.config.mel_spec)


class Lip2WavSynthesizer(BaselineSynthesizer):
    system: ClassVar[str] = "lip2wav"
    network = Lip2Wav


PAPER = Lip2WavConfig()
SMALL = Lip2WavConfig(
    size="small",
    front="lip",
    speaker="face",
    lip=FACETRON_SMALL.lip,
    face=FACETRON_SMALL.face,
    channels=(8, 16, 32, 64),
    encoder_units=96,
    decoder_units=192,
    prenet=128,
    attention=32,
    filters=8,
    postnet=96,
    forced_steps=100,
    falling_steps=350,
    guide=8.0,
    guide_steps=400,
)
DEBUG = Lip2WavConfig(
    size="debug",
    lip=DEBUG_LIP,
    face=DEBUG_FACE,
    channels=(4, 4),
    encoder_units=4,
    decoder_units=8,
    prenet=8,
    attention=4,
    filters=2,
    postnet=4,
    forced_steps=1,
    falling_steps=2,
    guide=1.0,
    guide_steps=2,
)
PRESETS = presets_of((PAPER, SMALL, DEBUG))


def defaults(stage: str, config: SystemConfig) -> TrainConfig:
    """The code's Adam; a small model learns for minutes, with a rate that falls sooner."""
    return TrainConfig(
        epochs=100,
        batch_size=24,
        learning_rate=1e-3,
        lr_decay=1.0,
        betas=(0.9, 0.999),
        weight_decay=1e-7,
        clip_norm=1.0,
        augment=augment.NONE,
    )


def modules(config: Lip2WavConfig) -> dict[str, ModuleEntry]:
    """Lists the modules for `facetron info`."""
    says = "blocks of Conv3d with two residual ones, 5 at 96²; BiLSTM of 384, zoneout"
    lips_size = config.lip.embedding_size if config.front == "lip" else config.channels[-1]
    return {
        **eye_entries(config, Lip2Wav, says),
        "decoder": ModuleEntry(
            lambda: Decoded(config, lips_size),
            [(CLIP_FRAMES, lips_size), (config.face_size,)],
            "Tacotron 2: prenet 256-256 with dropout also at synthesis, two LSTMs of 1024, "
            "location-sensitive attention of 128, two frames a step, no stop token, postnet of 512",
            True,
        ),
    }


def departures(config: Lip2WavConfig) -> list[str]:
    lines = [
        *shared_departures(config),
        "a step makes the mel frames of a picture, 75 steps of 2 for 3 s, and the mel is standardized "
        "by the training clips; the code's mel has hop 200, pre-emphasis and Griffin-Lim",
        "the whole lip crop of the build, not the face of a detector",
        "zoneout of the decoder only; weight decay of 1e-7 in place of its L2 term",
    ]
    if config.guide:
        lines.append("guide: guided attention, falling to 0, which the source has not")
    return lines


SYSTEM = System(
    name="lip2wav",
    label="Lip2Wav",
    source="Prajwal et al.: Learning Individual Speaking Styles for Accurate Lip to Speech Synthesis, 2020",
    presets="facetron.baselines.lip2wav:PRESETS",
    stages={"decoder": "facetron.baselines.lip2wav:Lip2WavStage"},
    defaults="facetron.baselines.lip2wav:defaults",
    synthesizer="facetron.baselines.lip2wav:Lip2WavSynthesizer",
    parts=("lip", "front", "face", "decoder", "vocoder"),
    needed=("decoder",),
    inventory="facetron.baselines.lip2wav:modules",
    departures="facetron.baselines.lip2wav:departures",
)
