"""Choi, Park and Lee, "From Inference to Generation: End-to-end Fully Self-supervised Generation of Human
Face from Speech", ICLR 2020. Networks that learn which voice and face are one person's, then a
generator that is told the voice and draws the rest.

There is no code, and beside its introduction the paper could not be read: what stands in `departures`
as a choice is one. The generator is Wav2Pix's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

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
from facetron.model import encoders
from facetron.model.config import FaceConfig, ProsodyConfig
from facetron.model.discriminators import Judgment
from facetron.model.losses import same_names
from facetron.options import presets_of
from facetron.systems import System, SystemConfig
from facetron.train import augment
from facetron.train.batches import to_model
from facetron.train.config import TrainConfig
from facetron.train.critics import CONDITION, ConditionalCritics
from facetron.train.dataset import Batch
from facetron.train.observed import Observed
from facetron.train.stage import Made, Pairs, Stage
from manifests.errors import BadInput
from manifests.mel import mel_spectrogram
from manifests.precision import full_precision, product
from manifests.specs import CLIP_SECONDS

MATCHES = (2, 4, 10)
"""Faces to choose from in the measures of a validation."""
OTHER = "other"
"""Key in `Pairs` of the speech of another speaker, beside `CONDITION`."""
DRAWN = 3
"""Faces with drawn noise that are written beside the one with its mean."""


@dataclass(frozen=True)
class ChoiConfig(HeardConfig):
    """Options of Choi et al.; where the paper could not be read they are choices."""

    size: str = "paper"
    mel: str = "facetron"
    hears: Literal["wave", "mel"] = "wave"
    """What the speech encoder is given."""
    heard_s: float = 2.4
    """Seconds of speech; drawn at random in training, the middle ones otherwise."""
    wave_channels: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    wave_hidden: tuple[int, ...] = (256,)
    prosody: ProsodyConfig = field(default_factory=ProsodyConfig)
    """The encoder of mels."""
    face: FaceConfig = field(
        default_factory=lambda: FaceConfig(kind="residual", input_px=128, dropout=0.2)
    )
    """The face encoder of the matching."""
    scale: float = 10.0
    """Factor of the inner products at the start of the matching; it is learned."""
    noise: int = 128
    """Numbers of z."""
    blur: float = 0.0
    """Length of the noise added to c in training, as a share of its own, after StackGAN (Zhang et al.,
    2017): without it the c of a speaker of the training names one face, and z is left nothing to draw."""
    generator: tuple[int, ...] = (1024, 512, 256, 128, 64)
    """Channels at 4², 8², …; the picture has twice the side of the last."""
    normed: Literal["batch", "spectral"] = "batch"
    """Norm of the generator's layers."""
    critic: tuple[int, ...] = (64, 128, 256, 512, 1024)
    stability: Literal["r1", "spectral"] = "r1"
    """A penalty of the critic's gradient at real faces, or spectral norm."""
    penalty: float = 10.0
    """Weight of the former."""
    identity: float = 1.0
    """Weight of the relativistic identity loss: speech of the same person before that of another."""
    made_identity: float = 0.0
    """Of the same for the generator, over its own faces."""
    features: float = 0.0
    """Of the squared distance of the critic's maps, in the mean over a batch, for the generator."""

    def __post_init__(self) -> None:
        if 4 * 2 ** len(self.critic) != self.picture_px:
            raise BadInput(
                f"a generator of {self.picture_px} px with a critic of {4 * 2 ** len(self.critic)} px",
                "give both as many channels",
            )
        if self.prosody.embedding_size != self.face.embedding_size:
            raise BadInput(
                f"prosody.embedding_size {self.prosody.embedding_size} with face.embedding_size "
                f"{self.face.embedding_size}",
                "give both the same, or they cannot be compared",
            )
        least = min(self.penalty, self.identity, self.made_identity, self.features, self.blur)
        if least < 0 or self.scale <= 0 or self.noise < 1 or not 0 < self.heard_s <= CLIP_SECONDS:
            raise BadInput(
                "a weight below 0, a scale of 0, no noise, or speech of another length than a clip has",
                f"give weights of 0 or more, noise of 1 or more, and up to {CLIP_SECONDS:g} s",
            )

    @property
    def picture_px(self) -> int:
        """Side of a picture."""
        return picture_px(self.generator)

    @property
    def voice_size(self) -> int:
        """Numbers of the speech embedding c."""
        return self.face.embedding_size


def speech_encoder(config: ChoiConfig) -> nn.Module:
    """Builds the encoder of speech: Wav2Pix's of waveforms, or a prosody encoder of mels."""
    if config.hears == "wave":
        return WaveEncoder(
            config.wave_channels, config.wave_hidden, config.voice_size, config.heard_samples, 0.0
        )
    return cast(nn.Module, encoders.build("prosody", config.prosody, config.mel_spec.n_mels))


def heard(config: ChoiConfig, batch: Batch) -> Tensor:
    """Returns what the speech encoder is given of a batch of training."""
    found: Tensor = batch["wave"] if config.hears == "wave" else batch["wave_mel"]
    return found


class Matcher(nn.Module):
    """The inference networks: encoders of speech and of a face, on one unit sphere."""

    def __init__(self, config: ChoiConfig) -> None:
        super().__init__()
        self.config = config
        self.speech = speech_encoder(config)
        self.face = cast(nn.Module, encoders.build("face", config.face))
        self.log_scale = nn.Parameter(torch.tensor(math.log(config.scale)))

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"speech": self.speech, "face": self.face}

    def voice(self, speech: Tensor) -> Tensor:
        """(B, 1, samples) or (B, n_mels, T) → (B, E) of length 1."""
        return functional.normalize(self.speech(speech).float(), dim=-1)

    def forward(self, batch: Batch) -> Made:
        return {
            "voice": self.voice(heard(self.config, batch)),
            "face": self.face(to_model(batch["face"])).float(),
            "scale": self.log_scale.exp(),
        }


def matching_loss(voice: Tensor, face: Tensor, scale: Tensor, speakers: Sequence[str]) -> Tensor:
    """Symmetric cross-entropy: which of the batch's faces is the voice's, and the reverse.

    Args:
        voice, face: (B, E) of length 1, clip by clip.
        scale: of the inner products.
        speakers: B names. Other clips of the same speaker are no wrong answers and are left out.

    Example:
        >>> import torch
        >>> same = torch.eye(2)
        >>> float(matching_loss(same, same, torch.tensor(100.0), ["s1", "s2"])) < 1e-6
        True
    """
    logits = scale * product(voice, face.T)
    own = torch.eye(len(speakers), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(same_names(speakers, speakers, logits.device) & ~own, -torch.inf)
    truth = torch.arange(len(speakers), device=logits.device)
    both = functional.cross_entropy(logits, truth) + functional.cross_entropy(logits.T, truth)
    return both / 2


def k_way(likeness: Tensor, speakers: Sequence[str], k: int) -> float | None:
    """Returns how often the right one is chosen among k: itself and k − 1 clips of other speakers.

    Args:
        likeness: (N, N) of each voice (row) with each face (column); the diagonal belongs together.
        speakers: N names.

    Returns:
        The expected share over all ways to draw the others, by counting; None where a clip has fewer
        than k − 1 others. Equal likeness counts half.

    Example:
        >>> import torch
        >>> k_way(torch.tensor([[1.0, 0.0], [0.9, 0.5]]), ["s1", "s2"], 2)
        0.5
    """
    likeness = likeness.double()
    other = ~same_names(speakers, speakers, likeness.device)
    pool = int(other.sum(dim=1).min())
    if pool < k - 1:
        return None
    shares = []
    for row, allowed, i in zip(likeness, other, range(len(likeness)), strict=True):
        against = row[allowed]
        lower = float((against < row[i]).sum() + 0.5 * (against == row[i]).sum())
        # All k − 1 drawn without replacement must be lower.
        n = len(against)
        share = 1.0
        for drawn in range(k - 1):
            share *= max(lower - drawn, 0.0) / (n - drawn)
        shares.append(share)
    return float(np.mean(shares))


class _Pairs(Observed[tuple[Tensor, Tensor, list[str]]]):
    """Collects the embeddings of a validation for `k_way`."""

    def add(self, voices: Tensor, faces: Tensor, speakers: Sequence[str]) -> None:
        heard, seen = voices.detach().float().cpu(), faces.detach().float().cpu()
        self.notes.append((heard, seen, list(speakers)))

    def metrics(self) -> dict[str, float | None]:
        """Voice → face, by the number of faces; `mismatch` is the mean share that is not right."""
        notes = self.taken()
        if not notes:
            return {}
        voices, faces, names = zip(*notes, strict=True)
        speakers = [speaker for some in names for speaker in some]
        likeness = torch.cat(voices) @ torch.cat(faces).T
        found: dict[str, float | None] = {
            f"match_{k}": k_way(likeness, speakers, k) for k in MATCHES
        }
        known = [share for share in found.values() if share is not None]
        found["mismatch"] = 1 - float(np.mean(known)) if known else None
        return found


class MatchingStage(Stage[ChoiConfig]):
    """Trains the inference networks."""

    name = "matching"
    fields = ("wave", "face")
    takes = ("speech", "face")
    clips_per_speaker = 1

    def __init__(self, config: ChoiConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        self.model = Matcher(config)
        self.generator, self.parts = self.model, self.model.parts
        self._pairs = _Pairs()

    @property
    def segment_frames(self) -> int:
        return self.config.heard_frames

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        loss = matching_loss(made["voice"], made["face"], made["scale"], batch["speakers"])
        return {"loss": loss, "scale": made["scale"]}

    def observe(self, made: Made, batch: Batch) -> None:
        self._pairs.add(made["voice"], made["face"], batch["speakers"])

    def metrics(self) -> dict[str, float | None]:
        return self._pairs.metrics()


class ProjectionCritic(nn.Module):
    """ψ(φ) + ⟨V c, φ⟩ of a picture's features φ and a speech embedding c (Miyato and Koyama, 2018)."""

    def __init__(self, config: ChoiConfig) -> None:
        super().__init__()
        spectral = config.stability == "spectral"
        self.trunk = FaceTrunk(config.critic, spectral)
        size = config.critic[-1]
        self.psi: nn.Module = nn.Linear(size, 1)
        self.project: nn.Module = nn.Linear(config.voice_size, size, bias=False)
        if spectral:
            self.psi, self.project = spectral_norm(self.psi), spectral_norm(self.project)

    def forward(self, pictures: Tensor, voice: Tensor) -> list[Judgment]:
        """(B, 3, side, side), (B, E) → one score a picture, and the trunk's maps."""
        maps = self.trunk(pictures)
        seen = maps[-1].float().mean((2, 3))
        beside = self.project(voice.to(seen.dtype))
        score = self.psi(seen) + (beside * seen).sum(dim=1, keepdim=True)
        return [Judgment(score, maps)]


class RelativisticCritics(ConditionalCritics):
    """The relativistic losses: a real face is to look more real than a made one, and beside its own
    speech than beside another's."""

    def __init__(self, critic: ProjectionCritic, config: ChoiConfig) -> None:
        super().__init__({FACES: critic}, config.mel_spec)
        self.config = config

    def forward(self, pairs: Pairs) -> Tensor:
        config, critic, voice = self.config, self.critics[FACES], self.condition(pairs)
        real, made = pairs[FACES]
        punished = config.stability == "r1" and self.training
        with full_precision(real.device), torch.enable_grad():
            real = real.float().requires_grad_(punished)
            of_real = critic(real, voice)[0].score
            of_made = critic(made.detach().float(), voice)[0].score
            loss = functional.softplus(of_made - of_real).mean()
            if OTHER in pairs and config.identity:
                of_other = critic(real, pairs[OTHER][1])[0].score
                loss = loss + config.identity * functional.softplus(of_other - of_real).mean()
            if punished:
                (slope,) = torch.autograd.grad(of_real.sum(), real, create_graph=True)
                loss = loss + config.penalty / 2 * slope.square().flatten(1).sum(dim=1).mean()
            return loss

    def fool(self, pairs: Pairs) -> dict[str, Tensor]:
        """The generator's side, by name: adversarial, made_identity and features."""
        critic, voice = self.critics[FACES], self.condition(pairs)
        real, made = pairs[FACES]
        with torch.no_grad():
            (of_real,) = critic(real, voice)
        (of_made,) = critic(made, voice)
        found = {
            "adversarial": functional.softplus(of_real.score - of_made.score).mean(),
            "features": mean_features(of_real, of_made),
        }
        if OTHER in pairs:
            (of_other,) = critic(made, pairs[OTHER][1])
            found["made_identity"] = functional.softplus(of_other.score - of_made.score).mean()
        return found


class Drawing(nn.Module):
    """The frozen inference networks and the generator that is told what they hear, in training with
    `ChoiConfig.blur`."""

    def __init__(self, config: ChoiConfig) -> None:
        super().__init__()
        self.config = config
        self.matcher = Matcher(config).requires_grad_(False)
        self.generator = generator(config)

    def train(self, mode: bool = True) -> Drawing:
        """Frozen parts stay in evaluation mode."""
        super().train(mode)
        self.matcher.train(False)
        return self

    def draw(self, voice: Tensor, noise: Tensor) -> Tensor:
        """(B, E) of length 1 and (B, noise) → (B, 3, side, side) in ±1."""
        picture: Tensor = self.generator(torch.cat([told(voice), noise], dim=1))
        return picture

    def forward(self, batch: Batch) -> Made:
        """Draws noise in training; outside of it, its mean."""
        with torch.no_grad():
            voice = self.matcher.voice(heard(self.config, batch))
        noise = voice.new_zeros(len(voice), self.config.noise)
        if self.training:
            noise.normal_()
            # Of E numbers of this deviation, the length is `blur`.
            deviation = self.config.blur / math.sqrt(voice.shape[1])
            voice = functional.normalize(voice + deviation * torch.randn_like(voice), dim=1)
        return {"picture": self.draw(voice, noise), "voice": voice}


def told(voice: Tensor) -> Tensor:
    """(B, E) of length 1 → as generator and critic are told it: at the root of E its numbers are of the
    size of the noise's, and a critic's first projection of it is no zero."""
    return voice * math.sqrt(voice.shape[1])


def generator(config: ChoiConfig) -> FaceGenerator:
    """Wav2Pix's, of c and z, without dropout."""
    spectral = config.normed == "spectral"
    return FaceGenerator(config.voice_size + config.noise, config.generator, 0.0, spectral)


def sized(pictures: Tensor, side_px: int) -> Tensor:
    """(B, 3, H, W) at another side."""
    if pictures.shape[-1] == side_px:
        return pictures
    return functional.interpolate(
        pictures, (side_px, side_px), mode="bilinear", antialias=True
    ).clamp(-1, 1)


class GenerationStage(Stage[ChoiConfig]):
    """Trains the generator; what is heard is frozen. Validation asks the face encoder of the matching
    whose the faces are, which is easily pleased: a report asks another."""

    name = "generation"
    fields = ("wave", "face")
    needs = ("speech", "face")
    takes = ("generator", "critic")
    monitor = "mismatch"
    clips_per_speaker = 1

    def __init__(self, config: ChoiConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        self.model = Drawing(config)
        critic = ProjectionCritic(config)
        self.critics = RelativisticCritics(critic, config)
        self.generator, self.critic = self.model, self.critics
        self.parts = {
            **self.model.matcher.parts,
            "generator": self.model.generator,
            "critic": critic,
        }
        self._pairs = _Pairs()

    @property
    def segment_frames(self) -> int:
        return self.config.heard_frames

    def pairs(self, made: Made, batch: Batch) -> Pairs:
        real = sized(to_model(batch["face"]), self.config.picture_px)
        voice = told(made["voice"])
        found = {FACES: (real, made["picture"]), CONDITION: (voice, voice)}
        at = others(batch["speakers"])
        if at is not None:
            found[OTHER] = (voice[at], voice[at])
        return found

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        found = self.critics.fool(pairs)
        loss = found["adversarial"] + self.config.features * found["features"]
        if "made_identity" in found:
            loss = loss + self.config.made_identity * found["made_identity"]
        return {"loss": loss, **found}

    def observe(self, made: Made, batch: Batch) -> None:
        faces = sized(made["picture"].float(), self.config.face.input_px)
        self._pairs.add(made["voice"], self.model.matcher.face(faces), batch["speakers"])

    def metrics(self) -> dict[str, float | None]:
        return self._pairs.metrics()


@dataclass(frozen=True)
class ChoiPainter(FacePainter):
    """Draws four faces from the middle of a clip: one with z at its mean, three with drawn z."""

    system: ClassVar[str] = "choi"

    config: ChoiConfig
    model: Drawing

    @classmethod
    def load(
        cls, checkpoint: str | Path, device: str = "auto", seed: int = 0, dropout: bool = False
    ) -> ChoiPainter:
        weights = read_weights(checkpoint, cls.system, device)
        assert isinstance(weights.config, ChoiConfig)
        if dropout:
            raise BadInput(
                f"the generator of {weights.path} has no dropout to leave on",
                "leave out --dropout; its noise is drawn as it is",
            )
        config = weights.config
        model = unfilled(lambda: Drawing(config))
        weights.fill({"speech": model.matcher.speech, "generator": model.generator})
        if "face" in weights.info.parts:
            weights.fill({"face": model.matcher.face})
        model.requires_grad_(False).eval().to(weights.device)
        return cls(*identity(weights), seed, dropout, config, model)

    @property
    def side_px(self) -> int:
        return self.config.picture_px

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(f"z{number}" for number in range(1 + DRAWN))

    @torch.inference_mode()
    def embed_voice(self, wave: Float) -> Float:
        """A clip (samples,) → (E,) of length 1."""
        return np.asarray(self._voice(wave)[0].cpu().numpy(), np.float32)

    @torch.inference_mode()
    def embed_faces(self, stills: Pictures) -> Float:
        """Stills (N, H, W, 3) → (N, E) of length 1, to compare with voices by their inner products.

        Raises:
            BadInput: the checkpoint was exported without the part `face`.
        """
        if "face" not in self.info.parts:
            raise BadInput(f"{self.path} has no face encoder", "export it with the part face")
        seen = encoders.prepare("face", torch.from_numpy(stills), self.config.face)
        found = self.model.matcher.face(seen.to(self.device))
        return np.asarray(found.cpu().numpy(), np.float32)

    def _voice(self, wave: Float) -> Tensor:
        """(1, E)."""
        cut = self.middle(wave, self.config.heard_samples)
        if self.config.hears == "mel":
            cut = torch.from_numpy(
                np.asarray(mel_spectrogram(cut[0, 0].numpy(), self.config.mel_spec), np.float32)
            )[None]
        return self.model.matcher.voice(cut.to(self.device))

    @torch.inference_mode()
    def draw(self, wave: Float) -> list[Pictures]:
        voice = self._voice(wave)
        # Drawn on the CPU, so that all machines and clips have the same noise.
        drawn = torch.randn(
            DRAWN, self.config.noise, generator=torch.Generator().manual_seed(self.seed)
        )
        noise = torch.cat([torch.zeros(1, self.config.noise), drawn]).to(self.device)
        made = self.model.draw(voice.expand(len(noise), -1), noise)
        return [pixels(picture) for picture in made]


PAPER = ChoiConfig()
SMALL = ChoiConfig(
    size="small",
    hears="mel",
    prosody=ProsodyConfig(filters=(16, 16, 32, 32, 64, 64)),
    face=FaceConfig(kind="residual", input_px=96, dropout=0.2),
    noise=32,
    blur=0.5,
    generator=(128, 64, 48, 32),
    critic=(32, 64, 96, 128),
    penalty=1.0,
    made_identity=1.0,
    features=10.0,
)
DEBUG = ChoiConfig(
    size="debug",
    hears="mel",
    wave_channels=(2, 2, 4, 4, 4),
    wave_hidden=(4,),
    prosody=ProsodyConfig(filters=(2, 4), gru_size=8, embedding_size=8),
    face=FaceConfig(kind="residual", input_px=32, channels=(4, 6), embedding_size=8),
    noise=4,
    generator=(6, 4),
    critic=(4, 6),
)
PRESETS = presets_of((PAPER, SMALL, DEBUG))


def defaults(stage: str, config: SystemConfig) -> TrainConfig:
    """Matching as Facetron's face stage; the GAN with the betas and rate of the field's."""
    paper = config.size == "paper"
    if stage == "matching":
        return TrainConfig(
            epochs=100,
            batch_size=64 if paper else 29,
            learning_rate=2e-4 if paper else 1e-3,
            betas=(0.9, 0.999),
            weight_decay=0.01,
            clip_norm=5.0,
            patience=8,
            augment=augment.Augmentation(0.5, 0.03, 0.0, 0.08, 0.15, 0.0),
        )
    return TrainConfig(
        epochs=200,
        batch_size=64 if paper else 16,
        learning_rate=2e-4 if paper else 5e-4,
        lr_decay=1.0,
        betas=(0.0, 0.99),
        weight_decay=0.0,
        ema=0.99,
        augment=augment.NONE,
    )


def modules(config: ChoiConfig) -> dict[str, ModuleEntry]:
    """Lists the modules for `facetron info`."""
    side, spec = config.picture_px, config.mel_spec
    sound = (
        (1, config.heard_samples) if config.hears == "wave" else (spec.n_mels, config.heard_frames)
    )
    return {
        "speech encoder": ModuleEntry(
            lambda: speech_encoder(config), [sound], "an encoder of the raw waveform", True
        ),
        "face encoder": ModuleEntry(
            lambda: cast(nn.Module, encoders.build("face", config.face)),
            [(3, config.face.input_px, config.face.input_px)],
            "an encoder of a still; both learn the probability that voice and face are one person's",
        ),
        "generator": ModuleEntry(
            lambda: generator(config),
            [(config.voice_size + config.noise,)],
            "the speech embedding c and Gaussian noise z",
            True,
        ),
        "critic": ModuleEntry(
            lambda: ProjectionCritic(config),
            [(3, side, side), (config.voice_size,)],
            "takes the condition by projection; relativistic losses",
        ),
    }


def departures(config: ChoiConfig) -> list[str]:
    """Lists what could not be read, and what was chosen."""
    lines = [
        "the paper was read in its abstract and introduction only: all widths, sizes, lengths and "
        "rates are choices",
        f"the generator is Wav2Pix's, without dropout, with {config.normed} norm",
        "relativistic identity compares a real face beside its own speech and beside another's",
        "other clips of a speaker in a batch are no wrong answers of the matching",
    ]
    if config.hears == "mel":
        lines.append("hears=mel: Facetron's prosody encoder in the place of one of raw waveforms")
    if config.stability == "spectral":
        lines.append("stability=spectral: spectral norm of the critic in the place of R1")
    if config.blur:
        lines.append("blur: noise is added to the speech embedding while the generator learns")
    if config.made_identity:
        lines.append("made_identity: the identity loss for the generator's own faces as well")
    if config.features:
        lines.append("features: the critic's maps are matched in the mean over a batch")
    return lines


SYSTEM = System(
    name="choi",
    label="Choi et al.",
    source="Choi, Park and Lee: From Inference to Generation, 2020",
    presets="facetron.baselines.choi:PRESETS",
    stages={
        "matching": "facetron.baselines.choi:MatchingStage",
        "generation": "facetron.baselines.choi:GenerationStage",
    },
    defaults="facetron.baselines.choi:defaults",
    painter="facetron.baselines.choi:ChoiPainter",
    parts=("speech", "face", "generator"),
    needed=("speech", "generator"),
    inventory="facetron.baselines.choi:modules",
    departures="facetron.baselines.choi:departures",
)
