"""Wav2Pix: Duarte, Roldán, Tubau, Escur, Pascual, Salvador, Mohedano, McGuinness, Torres and Giró-i-Nieto,
"Wav2Pix: Speech-conditioned Face Generation using Generative Adversarial Networks", ICASSP 2019. A
second of speech to a face, end to end.

Architecture and losses follow the description of the authors' published code, written anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.baselines.faces import (
    FACES,
    FaceGenerator,
    FaceTrunk,
    HeardConfig,
    WaveEncoder,
    mean_features,
    others,
    picture_px,
)
from facetron.checkpoints.checkpoint import unfilled
from facetron.drawing.base import (
    FacePainter,
    Float,
    Pictures,
    identity,
    pixels,
    read_weights,
)
from facetron.inventory import ModuleEntry
from facetron.model.config import FaceConfig
from facetron.model.discriminators import Judgment
from facetron.options import presets_of
from facetron.systems import System, SystemConfig
from facetron.train import augment
from facetron.train.batches import to_model
from facetron.train.config import TrainConfig
from facetron.train.critics import CONDITION, ConditionalCritics
from facetron.train.dataset import Batch
from facetron.train.stage import Made, Pairs, Stage
from manifests.errors import BadInput
from manifests.manifest import Manifest
from manifests.specs import CLIP_SECONDS

WRONG = "wrong"
"""Key in `Pairs` of real faces of other speakers, beside `FACES`."""
UNKNOWN = -1
"""Class of a speaker who is not among those of the training."""
REAL = 0.9
"""What the critic is to say of a real face with its own speech."""


@dataclass(frozen=True)
class Wav2PixConfig(HeardConfig):
    """Options of Wav2Pix; the defaults are those of the published code at 128²."""

    size: str = "paper"
    mel: str = "facetron"
    """Mel of the build: it decides the rate of the sound. No mel is read."""
    face: FaceConfig = field(default_factory=lambda: FaceConfig(kind="residual", input_px=128))
    """`input_px` is the side of the pictures; the rest shapes nothing."""
    heard_s: float = 1.0
    """Seconds of speech; drawn at random in training, the middle ones otherwise."""
    preemphasis: float = 0.95
    speech: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024)
    """Channels of the speech encoder's strided convolutions."""
    hidden: tuple[int, ...] = (256, 128)
    """Its fully connected layers but the last."""
    code: int = 128
    """Numbers of the speech code."""
    classes: int = 200
    """Units of the classifier's hidden layer."""
    speakers: int = 64
    """Largest number of speakers that the classifier can tell apart."""
    generator: tuple[int, ...] = (1024, 512, 256, 128, 64)
    """Channels at 4², 8², …; the picture has twice the side of the last."""
    dropout: float = 0.5
    """Dropout of the generator, in every layer but the last."""
    critic: tuple[int, ...] = (64, 128, 256, 512, 1024)
    adversarial: float = 1.0
    features: float = 100.0
    """Weight of the squared distance of the critic's maps, in the mean over a batch."""
    absolute: float = 50.0
    """Weight of the L1 distance of pixels."""
    identity: float = 20.0
    """Weight of the cross-entropy of the speaker."""

    def __post_init__(self) -> None:
        side = picture_px(self.generator)
        if self.face.input_px != side or 4 * 2 ** len(self.critic) != side:
            raise BadInput(
                f"face.input_px {self.face.input_px} with a generator of {side} px and a critic of "
                f"{4 * 2 ** len(self.critic)} px",
                "give generator and critic as many channels as doublings from 4 px to face.input_px",
            )
        if min(self.adversarial, self.features, self.absolute, self.identity) < 0:
            raise BadInput("a weight of a loss is below 0", "give 0 or more")
        if not 0 < self.heard_s <= CLIP_SECONDS or not 0 <= self.dropout < 1 or self.speakers < 2:
            raise BadInput(
                f"heard_s {self.heard_s:g}, dropout {self.dropout:g}, speakers {self.speakers}",
                f"give up to {CLIP_SECONDS:g} s, 0 to below 1, and 2 or more",
            )

    @property
    def picture_px(self) -> int:
        return self.face.input_px


class FaceCritic(nn.Module):
    """Judges a picture beside a speech code, which joins the last maps at every place."""

    def __init__(self, config: Wav2PixConfig) -> None:
        super().__init__()
        self.trunk = FaceTrunk(config.critic)
        self.judge = nn.Conv2d(config.critic[-1] + config.code, 1, 4)

    def forward(self, pictures: Tensor, code: Tensor) -> list[Judgment]:
        """(B, 3, side, side), (B, code) → one score a picture, and the trunk's maps."""
        maps = self.trunk(pictures)
        beside = code.to(maps[-1].dtype)[:, :, None, None].expand(-1, -1, *maps[-1].shape[2:])
        score = self.judge(torch.cat([maps[-1], beside], dim=1)).flatten(1)
        return [Judgment(score, maps)]


class FaceCritics(ConditionalCritics):
    """LSGAN with a third kind of pair: a real face of another person beside this speech."""

    def forward(self, pairs: Pairs) -> Tensor:
        code, critic = self.condition(pairs), self.critics[FACES]
        real, made = pairs[FACES]
        wanted = [(real, REAL), (made.detach(), 0.0)]
        if WRONG in pairs:
            wanted.append((pairs[WRONG][0], 0.0))
        scores = [(critic(pictures, code)[0].score.float() - aim) for pictures, aim in wanted]
        return torch.stack([score.square().mean() for score in scores]).sum()

    def against(self, name: str, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """The generator's side: (adversarial, squared distance of the maps' means over the batch)."""
        code, critic = self.condition(pairs), self.critics[name]
        real, made = pairs[name]
        with torch.no_grad():
            (of_real,) = critic(real, code)
        (of_made,) = critic(made, code)
        return (of_made.score.float() - 1).square().mean(), mean_features(of_real, of_made)


class Classifier(nn.Sequential):
    """Names the speaker of a code. The published code ends in a batch norm of the logits, which is left
    out."""

    def __init__(self, config: Wav2PixConfig) -> None:
        super().__init__(
            nn.Linear(config.code, config.classes),
            nn.BatchNorm1d(config.classes),
            nn.LeakyReLU(0.2),
            nn.Linear(config.classes, config.speakers),
        )


def speech_encoder(config: Wav2PixConfig) -> WaveEncoder:
    """The speech encoder of Wav2Pix."""
    return WaveEncoder(
        config.speech,
        config.hidden,
        config.code,
        config.heard_samples,
        config.preemphasis,
    )


def generator(config: Wav2PixConfig) -> FaceGenerator:
    """The generator of Wav2Pix."""
    return FaceGenerator(config.code, config.generator, config.dropout)


class Wav2Pix(nn.Module):
    """Speech encoder, generator, and the classifier that trains the encoder."""

    def __init__(self, config: Wav2PixConfig) -> None:
        super().__init__()
        self.speech, self.generator = speech_encoder(config), generator(config)
        self.classifier = Classifier(config)

    def draw(self, wave: Tensor) -> Tensor:
        """(B, 1, heard samples) → (B, 3, side, side) in ±1."""
        picture: Tensor = self.generator(self.speech(wave))
        return picture

    def forward(self, batch: Batch) -> Made:
        code = self.speech(batch["wave"])
        return {
            "picture": self.generator(code),
            "code": code,
            "logits": self.classifier(code),
        }


class PaintingStage(Stage[Wav2PixConfig]):
    """Trains the whole on a second of each clip and one of its stills."""

    name = "painting"
    fields = ("wave", "face")
    takes = ("speech", "generator", "classifier", "critic")
    monitor = "absolute"
    clips_per_speaker = 1

    def __init__(self, config: Wav2PixConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        self.model = Wav2Pix(config)
        critic = FaceCritic(config)
        self.critics = FaceCritics({FACES: critic}, config.mel_spec)
        self.generator, self.critic = self.model, self.critics
        self.parts = {
            "speech": self.model.speech,
            "generator": self.model.generator,
            "classifier": self.model.classifier,
            "critic": critic,
        }
        self._numbers: dict[str, int] = {}

    @property
    def segment_frames(self) -> int:
        return self.config.heard_frames

    def survey(self, clips: Manifest) -> None:
        """Numbers the speakers for the classifier."""
        names = sorted({row.speaker for row in clips})
        if len(names) > self.config.speakers:
            raise BadInput(
                f"{len(names)} speakers to train on, and a classifier of {self.config.speakers}",
                f"set speakers={len(names)}",
            )
        self._numbers = {name: number for number, name in enumerate(names)}

    def pairs(self, made: Made, batch: Batch) -> Pairs:
        real = to_model(batch["face"])
        found = {FACES: (real, made["picture"]), CONDITION: (made["code"], made["code"].detach())}
        at = others(batch["speakers"])
        if at is not None:
            found[WRONG] = (real[at], real[at])
        return found

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        config = self.config
        adversarial, features = self.critics.against(FACES, pairs)
        numbers = [self._numbers.get(name, UNKNOWN) for name in batch["speakers"]]
        owners = torch.tensor(numbers, device=made["logits"].device)
        logits = made["logits"].float()
        # The mean over no speaker at all would be no number.
        known = (owners != UNKNOWN).sum().clamp(min=1)
        named = functional.cross_entropy(logits, owners, ignore_index=UNKNOWN, reduction="sum")
        members = {
            "absolute": functional.l1_loss(made["picture"].float(), pairs[FACES][0]),
            "adversarial": adversarial,
            "features": features,
            "identity": named / known,
        }
        loss = torch.stack([getattr(config, name) * value for name, value in members.items()]).sum()
        wrong = (logits.argmax(dim=1) != owners).float().mean()
        return {"loss": loss, **members, "speaker_error": wrong}


@dataclass(frozen=True)
class Wav2PixPainter(FacePainter):
    """Draws one face from the middle second of a clip."""

    system: ClassVar[str] = "wav2pix"

    config: Wav2PixConfig
    model: Wav2Pix

    @classmethod
    def load(
        cls, checkpoint: str | Path, device: str = "auto", seed: int = 0, dropout: bool = False
    ) -> Wav2PixPainter:
        weights = read_weights(checkpoint, cls.system, device)
        assert isinstance(weights.config, Wav2PixConfig)
        config = weights.config
        model = unfilled(lambda: Wav2Pix(config))
        weights.fill({"speech": model.speech, "generator": model.generator})
        model.requires_grad_(False).eval()
        for module in model.generator.modules():
            if isinstance(module, nn.Dropout):
                module.train(dropout)
        return cls(*identity(weights), seed, dropout, config, model.to(weights.device))

    @property
    def side_px(self) -> int:
        return self.config.picture_px

    @torch.inference_mode()
    def draw(self, wave: Float) -> list[Pictures]:
        heard = self.middle(wave, self.config.heard_samples)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)  # dropout, where it is left on, is the same for all clips
            return [pixels(self.model.draw(heard.to(self.device))[0])]


PAPER = Wav2PixConfig()
SMALL = Wav2PixConfig(
    size="small",
    face=FaceConfig(kind="residual", input_px=64),
    speech=(16, 32, 64, 128, 128),
    generator=(128, 64, 48, 32),
    critic=(32, 64, 96, 128),
)
DEBUG = Wav2PixConfig(
    size="debug",
    face=FaceConfig(kind="residual", input_px=16),
    speech=(2, 2, 4, 4, 4),
    hidden=(8,),
    code=6,
    classes=4,
    speakers=4,
    generator=(6, 4),
    critic=(4, 6),
)
PRESETS = presets_of((PAPER, SMALL, DEBUG))


def defaults(stage: str, config: SystemConfig) -> TrainConfig:
    """The published code's; `small` learns faster."""
    paper = config.size == "paper"
    return TrainConfig(
        epochs=200,
        batch_size=64 if paper else 16,
        learning_rate=1e-4 if paper else 4e-4,
        critic_learning_rate=4e-4,
        lr_decay=1.0,
        betas=(0.5, 0.999),
        weight_decay=0.0,
        augment=augment.NONE,
    )


def modules(config: Wav2PixConfig) -> dict[str, ModuleEntry]:
    """Lists the modules for `facetron info`."""
    side = config.picture_px
    return {
        "speech encoder": ModuleEntry(
            lambda: speech_encoder(config),
            [(1, config.heard_samples)],
            "SEGAN's discriminator: Conv1d k15 stride 4, BN, LeakyReLU 0.3, channels 16 to 1024; "
            "4096 → 256 → 128 → 128",
            True,
        ),
        "generator": ModuleEntry(
            lambda: generator(config),
            [(config.code,)],
            "ConvT k4, 1024-512-256-128-64-3, spectral norm, dropout 0.5, ReLU, no batch norm; tanh",
            True,
        ),
        "classifier": ModuleEntry(
            lambda: Classifier(config), [(config.code,)], "Linear 200, BN, LeakyReLU 0.2, Linear 10"
        ),
        "critic": ModuleEntry(
            lambda: FaceCritic(config),
            [(3, side, side), (config.code,)],
            "Conv2d k4 stride 2, 64-128-256-512-1024, spectral norm, LeakyReLU 0.2; the code joins "
            "4 × 4; Conv 1 k4",
        ),
    }


def departures(config: Wav2PixConfig) -> list[str]:
    """Lists what differs from the published code."""
    return [
        "the wave is divided by its peak as a real number, where the code divides integers",
        "dropout and batch statistics are off when drawing; `facetron draw --dropout` leaves dropout on",
        "the second of speech is drawn at random in training, where the code takes the middle of four",
        "no batch norm of the classifier's logits; PyTorch's initialization of every layer",
        "wrong faces are those of the next clip of another speaker in the batch",
        "a second of speech is flattened to 1024 numbers; the code's 4096 are those of four seconds",
        "the code has 10 speakers; speakers here is the room for any number of them",
    ]


SYSTEM = System(
    name="wav2pix",
    label="Wav2Pix",
    source="Duarte et al.: Wav2Pix, Speech-conditioned Face Generation using GANs, 2019",
    presets="facetron.baselines.wav2pix:PRESETS",
    stages={"painting": "facetron.baselines.wav2pix:PaintingStage"},
    defaults="facetron.baselines.wav2pix:defaults",
    painter="facetron.baselines.wav2pix:Wav2PixPainter",
    parts=("speech", "generator"),
    needed=("speech", "generator"),
    inventory="facetron.baselines.wav2pix:modules",
    departures="facetron.baselines.wav2pix:departures",
)
