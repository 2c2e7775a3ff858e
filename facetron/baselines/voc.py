"""vid2voc: Michelsanti, Slizovskaia, Haro, Gómez, Tan and Jensen, "Vocoder-Based Speech Synthesis from
Silent Videos", Interspeech 2020. Lips to the features of the vocoder WORLD, and to text beside them.

Written from the paper's abstract and figure, and from a published notebook that follows its table; what
could be read in neither is an option and stands in `departures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from facetron.baselines import world
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
from facetron.model import ctc
from facetron.model.config import LipConfig
from facetron.model.losses import ctc_loss
from facetron.model.sizes import SMALL as FACETRON_SMALL
from facetron.options import presets_of
from facetron.synthesis.base import Spoken, texts_of
from facetron.systems import System, SystemConfig
from facetron.train import augment
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch
from facetron.train.lengths import averaged
from facetron.train.stage import Made, Pairs
from manifests.errors import BadInput
from manifests.manifest import Manifest
from manifests.mel import mel_spectrogram
from manifests.precision import full_precision
from manifests.specs import CLIP_FRAMES

LETTERS = len(ctc.VOCABULARY)


@dataclass(frozen=True)
class VocConfig(BaselineConfig):
    """Options of vid2voc; the defaults are the notebook's, with the mouth of 128² and the text branch
    (vid2voc-M-VSR)."""

    lip: LipConfig = field(default_factory=lambda: LipConfig(input_px=128, input_channels=1))
    channels: tuple[int, ...] = (64, 128, 256, 512)
    front_size: int = 128
    context: int = 7
    """Video frames of the first kernel."""
    hidden: int = 128
    bidirectional: bool = False
    dropout: float = 0.2
    envelope: tuple[int, ...] = (256, 512)
    """Layers of the spectral envelope's decoder before the last."""
    noise: tuple[int, ...] = (128, 64)
    """Layers of the aperiodicity's decoder before the last."""
    text: bool = True
    """The text branch (VSR)."""
    envelope_weight: float = 600.0
    noise_weight: float = 50.0
    pitch_weight: float = 10.0
    voicing_weight: float = 10.0
    text_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.front_size, *self.channels) < 1 or not 0 <= self.dropout < 1:
            raise BadInput("a layer without units, or a dropout outside 0 … 1", "give 1 or more")
        if self.context % 2 == 0:
            raise BadInput(f"context {self.context} has no middle frame", "give an odd number")

    @property
    def world(self) -> world.WorldSpec:
        return world.spec_of(self.mel_spec.sample_rate_hz)


class Features(nn.Module):
    """The GRU over the lips and a decoder for each of WORLD's features, all scaled to 0 … 1 by the
    training clips, and the logits of letters."""

    low: Tensor
    high: Tensor

    def __init__(self, config: VocConfig, size: int) -> None:
        super().__init__()
        spec = config.world
        self.spec, self.text = spec, config.text
        self.register_buffer("low", torch.zeros(spec.size))
        self.register_buffer("high", torch.ones(spec.size))
        inputs = size + config.face_size
        self.gru = nn.GRU(
            inputs, config.hidden, batch_first=True, bidirectional=config.bidirectional
        )
        width = config.hidden * (1 + config.bidirectional)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(config.dropout)
        each = spec.per_picture
        self.envelope = _mlp(width, config.envelope, spec.points * each)
        self.noise = _mlp(width, config.noise, spec.bands * each)
        self.pitch, self.voicing = nn.Linear(width, each), nn.Linear(width, each)
        self.letters = nn.Linear(width, LETTERS) if config.text else None

    def survey(self, clips: Manifest) -> None:
        """Takes the limits of the features from clips, those of F0 from voiced frames only."""
        low = np.full(self.spec.size, np.inf)
        high = np.full(self.spec.size, -np.inf)
        for row in clips:
            found = world.cached(row, self.spec)
            voiced = found[found[:, -1] > 0.5]
            for values, span in ((found, np.s_[:-2]), (voiced, np.s_[-2:-1])):
                if len(values):
                    low[span] = np.minimum(low[span], values[:, span].min(axis=0))
                    high[span] = np.maximum(high[span], values[:, span].max(axis=0))
        low[-1], high[-1] = 0, 1
        if not np.isfinite(low).all():
            raise BadInput("no training clip has a voiced frame", "train on clips of speech")
        self.low.copy_(torch.from_numpy(low))
        self.high.copy_(torch.from_numpy(np.maximum(high, low + 1e-3)))

    def scaled(self, features: Tensor) -> Tensor:
        """(…, size) of WORLD → 0 … 1 within the limits."""
        return (features - self.low) / (self.high - self.low)

    def back(self, scaled: Tensor) -> Tensor:
        return scaled * (self.high - self.low) + self.low

    def forward(self, lips: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, size) and (B, face_size) → scaled features (B, T · per_picture, spec.size) and logits
        (B, T, letters or 0)."""
        with full_precision(lips.device):
            hidden, _ = self.gru(joined(lips.float(), face.float()))
            hidden = torch.relu(self.norm(hidden.transpose(1, 2))).transpose(1, 2)
            hidden = self.dropout(hidden)
            each = self.spec.per_picture
            voicing = torch.sigmoid(self.voicing(hidden))[..., None]
            parts = [
                _by_frame(self.envelope, hidden, (each, self.spec.points)),
                _by_frame(self.noise, hidden, (each, self.spec.bands)),
                torch.sigmoid(self.pitch(hidden))[..., None],
                voicing,
            ]
            features = torch.cat(parts, dim=-1).flatten(1, 2)
            if self.letters is None:
                return features, hidden.new_zeros(*hidden.shape[:2], 0)
            return features, self.letters(hidden)


def _mlp(size: int, widths: Sequence[int], out: int) -> nn.ModuleList:
    layers: list[nn.Module] = []
    for width in widths:
        layers.append(nn.Sequential(nn.Linear(size, width), _FrameNorm(width), nn.ReLU()))
        size = width
    return nn.ModuleList([*layers, nn.Linear(size, out)])


class _FrameNorm(nn.BatchNorm1d):
    """Batch norm of (B, T, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def _by_frame(layers: nn.ModuleList, hidden: Tensor, shape: tuple[int, int]) -> Tensor:
    for layer in layers:
        hidden = layer(hidden)
    return hidden.reshape(*hidden.shape[:2], *shape)


class Voc(BaselineModel):
    """Eyes and the features' decoders."""

    def __init__(self, config: VocConfig) -> None:
        super().__init__(config)
        self.features = Features(config, self.eyes.size)

    @classmethod
    def visual_encoder(cls, config: VocConfig) -> ConvFront:
        return ConvFront(
            config.lip, config.channels, config.front_size, config.context, config.dropout
        )

    @property
    def own(self) -> Mapping[str, nn.Module]:
        return {"features": self.features}

    def frames(self, lips: Tensor, face: Tensor) -> Tensor:
        """(B, T, per_picture · spec.size + letters): WORLD's features, then log probabilities."""
        scaled, logits = self.features(lips, face)
        features = self.features.back(scaled)
        each = features.reshape(*logits.shape[:2], -1)
        return torch.cat([each, logits.log_softmax(-1)], dim=-1)

    def forward(self, batch: Batch) -> Made:
        lips, face = self.eyes.see(batch)
        scaled, logits = self.features(lips, face)
        return {"features": scaled, "logits": logits}


class VocStage(BaselineStage[VocConfig, Voc]):
    """Trains the whole."""

    name = "features"
    network = Voc
    reads = ("lips", "text", "world")
    learns = ("features",)
    monitor = "features"

    def survey(self, clips: Manifest) -> None:
        self.model.features.survey(clips)

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        """The notebook's squares, F0 over voiced frames only, and CTC, divided by the sum of their
        weights."""
        config, spec = self.config, self.model.features.spec
        frames = min(made["features"].shape[1], batch["world"].shape[1])
        ends = (spec.points, spec.points + spec.bands)
        lengths = batch.get("world_lengths")
        if lengths is not None:
            lengths = lengths.clamp(max=frames)

        def compared(found: Tensor, wanted: Tensor, voiced: Tensor) -> Tensor:
            """(5,) of (B, size, T) features and (B, T) voicing: the members, and the share of frames whose
            voicing is wrong."""
            error = (found - wanted).square()
            return torch.stack(
                [
                    error[:, : ends[0]].mean(),
                    error[:, ends[0] : ends[1]].mean(),
                    (error[:, -2] * voiced).sum() / voiced.sum().clamp(min=1),
                    error[:, -1].mean(),
                    ((found[:, -1] > 0.5) != (voiced > 0.5)).float().mean(),
                ]
            )

        *means, wrong = averaged(
            compared,
            lengths,
            made["features"][:, :frames].transpose(1, 2),
            self.model.features.scaled(batch["world"][:, :frames]).transpose(1, 2),
            batch["world"][:, :frames, -1],
        )
        members = dict(zip(("envelope", "noise", "pitch", "voicing"), means, strict=True))
        weights = {
            "envelope": config.envelope_weight,
            "noise": config.noise_weight,
            "pitch": config.pitch_weight,
            "voicing": config.voicing_weight,
        }
        whole = sum(weights.values()) + (config.text_weight if config.text else 0)
        features = torch.stack([weights[name] * value for name, value in members.items()]).sum()
        loss = features
        if config.text:
            clips, pictures = made["logits"].shape[:2]
            heard = torch.full((clips,), pictures)
            if lengths is not None:
                heard = lengths // self.config.world.per_picture
            members["text"] = ctc_loss(
                made["logits"],
                batch.get("lengths", heard),
                batch["targets"],
                batch["target_lengths"],
            )
            loss = loss + config.text_weight * members["text"]
        return {"loss": loss / whole, "features": features / whole, **members, "vuv_error": wrong}


class VocSynthesizer(BaselineSynthesizer):
    system: ClassVar[str] = "voc"
    network = Voc

    def spoken(self, frames: Tensor) -> list[Spoken]:
        """WORLD's sound, and the text branch's letters."""
        assert isinstance(self.config, VocConfig)
        spec = self.config.world
        features, logits = np.split(frames.numpy(), [spec.per_picture * spec.size], axis=2)
        texts = [""] * len(frames)
        if logits.shape[2]:
            texts = texts_of(np.asarray(logits, np.float32), self.decoding, self.info)
        made = []
        for clip, text in zip(features, texts, strict=True):
            wave = world.sound_of(clip.reshape(-1, spec.size), spec)
            mel = mel_spectrogram(wave, self.config.mel_spec)
            made.append(Spoken(np.asarray(mel, np.float32), wave, text))
        return made


PAPER = VocConfig()
SMALL = VocConfig(
    size="small",
    front="lip",
    speaker="face",
    lip=FACETRON_SMALL.lip,
    face=FACETRON_SMALL.face,
    channels=(16, 32, 64, 128),
    hidden=192,
    bidirectional=True,
)
DEBUG = VocConfig(
    size="debug",
    lip=DEBUG_LIP,
    face=DEBUG_FACE,
    channels=(2, 4),
    front_size=6,
    context=3,
    hidden=8,
    envelope=(8,),
    noise=(4,),
)
PRESETS = presets_of((PAPER, SMALL, DEBUG))


def defaults(stage: str, config: SystemConfig) -> TrainConfig:
    """The notebook's; `small` learns faster."""
    return TrainConfig(
        epochs=100,
        batch_size=16,
        learning_rate=1e-4 if config.size == "paper" else 1e-3,
        lr_decay=0.98,
        betas=(0.5, 0.9),
        weight_decay=0.0,
        clip_norm=5.0,
        patience=25,
        augment=augment.NONE,
    )


def modules(config: VocConfig) -> dict[str, ModuleEntry]:
    """Lists the modules for `facetron info`."""
    says = (
        "Conv3d 64-128-256-512, first kernel of 7 frames, BN, ReLU, dropout 0.2; Conv3d 128, tanh"
    )
    size = config.lip.embedding_size if config.front == "lip" else config.front_size
    return {
        **eye_entries(config, Voc, says),
        "features": ModuleEntry(
            lambda: Features(config, size),
            [(CLIP_FRAMES, size), (config.face_size,)],
            "GRU of 128; decoders of the envelope (60 × 8 a picture), aperiodicity, F0, voicing; letters",
            True,
        ),
    }


def departures(config: VocConfig) -> list[str]:
    spec = config.world
    lines = [
        *shared_departures(config)[1:],
        f"WORLD at {spec.sample_rate_hz} Hz with {spec.bands} band(s) of aperiodicity, not at 50 kHz "
        "with 5",
        "decoders are the notebook's fully connected layers, where the paper draws transposed "
        "convolutions; the envelope's ends linear",
        "F0 is learned on voiced frames as a logarithm, and not multiplied by the voicing",
        "text_weight 1 is our choice",
    ]
    if config.bidirectional:
        lines.append("bidirectional: the GRU reads both ways")
    return lines


SYSTEM = System(
    name="voc",
    label="Voc-based",
    source="Michelsanti et al.: Vocoder-Based Speech Synthesis from Silent Videos, 2020",
    presets="facetron.baselines.voc:PRESETS",
    stages={"features": "facetron.baselines.voc:VocStage"},
    defaults="facetron.baselines.voc:defaults",
    synthesizer="facetron.baselines.voc:VocSynthesizer",
    parts=("lip", "front", "face", "features"),
    needed=("features",),
    inventory="facetron.baselines.voc:modules",
    departures="facetron.baselines.voc:departures",
)
