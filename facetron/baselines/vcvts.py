"""VCVTS: Wang, Yang, Su, Liu, Yu and Meng, "VCVTS: Multi-speaker Video-to-Speech synthesis via
cross-modal knowledge transfer from voice conversion", ICASSP 2022.

A voice conversion system first learns discrete units of speech; then a network names the units from the
lips. Written from the paper's abstract and from published code of its content encoder (VQMIVC, VQ-CPC).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

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
    Scale,
    Speaker,
    eye_entries,
    joined,
    shared_departures,
)
from facetron.inventory import ModuleEntry
from facetron.model import encoders
from facetron.model.config import LipConfig, ProsodyConfig
from facetron.model.losses import mel_loss
from facetron.model.padding import embedded, inside
from facetron.model.sizes import SMALL as FACETRON_SMALL
from facetron.options import presets_of
from facetron.systems import System, SystemConfig
from facetron.train import augment
from facetron.train.batches import to_model
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch, Field
from facetron.train.lengths import averaged, mel_lengths
from facetron.train.observed import Observed
from facetron.train.pictures import Exhibit, mels_shown
from facetron.train.stage import Made, Pairs, Stage
from manifests.errors import BadInput
from manifests.manifest import Manifest
from manifests.precision import full_precision, product
from manifests.specs import CLIP_FRAMES

COLLAPSED = 15.0
"""Perplexity below which a codebook is told to have collapsed (the words of GRID alone have twice as many
phonemes), or a quarter of the codes, where that is less."""

MIDDLE_HZ = 150.0
"""F0 is learned in octaves from here."""


@dataclass(frozen=True)
class VcvtsConfig(BaselineConfig):
    """Options of VCVTS; the defaults are VQMIVC's, with a codebook of 512 × 64."""

    speaker: Speaker = "face"
    """At synthesis the face stands for the reference encoder, which the stage `face` taught it."""
    lip: LipConfig = field(default_factory=lambda: LipConfig(input_px=96, input_channels=1))
    prosody: ProsodyConfig = field(default_factory=ProsodyConfig)
    """Options of the reference encoder, which hears another clip of the speaker."""
    channels: tuple[int, ...] = (64, 128, 256, 512)
    front_size: int = 512
    content: int = 512
    """Width of the content encoder."""
    codes: int = 512
    code_size: int = 64
    decay: float = 0.999
    commitment: float = 0.25
    plain_steps: int = 0
    """Steps without quantization, after which the codebook is filled with what the encoder makes."""
    refill: float = 0.0
    """A code whose share of the units is below this part of an equal share is given an output of the
    encoder instead. VQ-CPC and VQMIVC leave it alone, and their codebook may collapse."""
    context: int = 256
    """Units of CPC's LSTM."""
    cpc_steps: int = 6
    cpc_negatives: int = 10
    decoder: int = 512
    decoder_units: int = 1024
    postnet: int = 512
    pitch: bool = True
    """A pitch predictor, whose F0 and voicing the decoder is given."""
    pitch_units: int = 256
    reader_units: int = 512
    """Units of the BiGRU that names units of speech from lips."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.speaker != "face":
            raise BadInput("vcvts without a face has no voice", "leave speaker=face")
        if self.prosody.embedding_size != self.face.embedding_size:
            raise BadInput(
                f"prosody.embedding_size {self.prosody.embedding_size} beside "
                f"face.embedding_size {self.face.embedding_size}",
                "make them equal: the face takes the reference's place",
            )
        if not 0 < self.decay < 1 or min(self.codes, self.cpc_steps, self.cpc_negatives) < 1:
            raise BadInput(
                "decay, codes, cpc_steps or cpc_negatives out of range", "give 1 or more"
            )


class Content(nn.Module):
    """The content encoder before quantization, and CPC over the quantized units."""

    def __init__(self, config: VcvtsConfig) -> None:
        super().__init__()
        width = config.content
        self.conv = nn.Conv1d(config.mel_spec.n_mels, width, 3, 1, 1, bias=False)
        layers: list[nn.Module] = []
        for _ in range(4):
            layers += [nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width, bias=False)]
        layers += [nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, config.code_size)]
        self.body = nn.Sequential(*layers)
        self.context = nn.LSTM(config.code_size, config.context, batch_first=True)
        self.ahead = nn.ModuleList(
            nn.Linear(config.context, config.code_size) for _ in range(config.cpc_steps)
        )
        self.negatives = config.cpc_negatives

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, T) standardized → (B, T, code_size)."""
        made: Tensor = self.body(self.conv(mel).transpose(1, 2))
        return made

    def predictive_loss(self, units: Tensor) -> Tensor:
        """CPC (van den Oord et al., 2018) of (B, T, code_size): which of some units of the clip comes
        so many steps later."""
        seen, _ = self.context(units)
        frames, size = units.shape[1:]
        losses = []
        for ahead, predict in enumerate(self.ahead, 1):
            if frames <= ahead:
                break
            guess = predict(seen[:, :-ahead])
            right = units[:, ahead:]
            drawn = torch.randint(frames, (len(units), frames - ahead, self.negatives))
            clip = torch.arange(len(units))[:, None, None]
            choices = torch.cat([right[:, :, None], units[clip, drawn]], dim=2)
            scores = torch.einsum("btc,btnc->btn", guess, choices) / size**0.5
            target = torch.zeros(scores.shape[:2], dtype=torch.long, device=scores.device)
            losses.append(functional.cross_entropy(scores.flatten(0, 1), target.flatten()))
        return torch.stack(losses).mean()


class Codebook(nn.Module):
    """Vector quantization with a codebook of moving averages (van den Oord et al., 2017).

    Attributes:
        fresh: the codes are to be filled with outputs of the encoder by the next batch.
        quantizes: whether units are taken from the codebook, or left as they are.
    """

    table: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, config: VcvtsConfig) -> None:
        super().__init__()
        table = torch.randn(config.codes, config.code_size)
        self.register_buffer("table", table)
        self.register_buffer("counts", torch.ones(config.codes))
        self.register_buffer("sums", table.clone())
        self.decay, self.refill = config.decay, config.refill
        self.quantizes, self.fresh = True, False

    def nearest(self, made: Tensor) -> Tensor:
        """(B, T, code_size) → (B, T) the nearest codes."""
        flat = made.flatten(0, 1)
        far = (self.table**2).sum(1) - 2 * product(flat, self.table.T)
        return far.argmin(dim=1).view(made.shape[:2])

    def forward(self, made: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, code_size), and (B,) frames that are a clip's own → units with the gradient of what they
        were taken for, their codes (B, T), and the commitment loss. In training the codebook learns, from
        no padding."""
        if not self.quantizes:
            codes = torch.zeros(made.shape[:2], dtype=torch.long, device=made.device)
            return made, codes, made.new_zeros(())
        own = inside(lengths, made)
        if self.training and self.fresh:
            self._fill(made[own])
        codes = self.nearest(made.detach())
        if self.training:
            self._learn(made.detach()[own], codes[own])
        units = self.table[codes]
        commitment = averaged(
            functional.mse_loss, lengths, made.transpose(1, 2), units.detach().transpose(1, 2)
        )
        return made + (units - made).detach(), codes, commitment

    @torch.no_grad()
    def _fill(self, flat: Tensor) -> None:
        """Fills the codes from (N, code_size) outputs of the encoder."""
        self.table.copy_(flat[torch.randint(len(flat), (len(self.table),))])
        self.sums.copy_(self.table)
        self.counts.fill_(1.0)
        self.fresh = False

    @torch.no_grad()
    def _learn(self, flat: Tensor, owner: Tensor) -> None:
        """Learns from (N, code_size) outputs of the encoder and the codes (N,) that they were taken for."""
        number = len(self.table)
        counted = torch.bincount(owner, minlength=number).to(flat)
        added = torch.zeros_like(self.sums).index_add_(0, owner, flat)
        self.counts.mul_(self.decay).add_(counted, alpha=1 - self.decay)
        self.sums.mul_(self.decay).add_(added, alpha=1 - self.decay)
        whole = self.counts.sum()
        smooth = (self.counts + 1e-5) / (whole + number * 1e-5) * whole
        self.table.copy_(self.sums / smooth[:, None])
        if self.refill:
            idle = self.counts < self.refill * whole / number
            drawn = flat[torch.randint(len(flat), (number,))]
            self.table[idle] = drawn[idle]
            self.counts[idle] = whole / number
            self.sums[idle] = drawn[idle] * (whole / number)


def perplexity(codes: Tensor, number: int) -> float:
    """Returns how many codes are in use: e to the entropy of their shares; 1 is a collapsed codebook."""
    shares = torch.bincount(codes.flatten(), minlength=number).float()
    shares = shares / shares.sum().clamp(min=1)
    return float(torch.special.entr(shares).sum().exp())


class Speech(nn.Module):
    """Units and a voice → a standardized mel: the codebook, the pitch predictor, decoder and postnet."""

    def __init__(self, config: VcvtsConfig) -> None:
        super().__init__()
        mels, width, units = config.mel_spec.n_mels, config.decoder, config.decoder_units
        self.codebook, self.scale = Codebook(config), Scale()
        size = config.code_size + config.face.embedding_size
        self.pitch: nn.Module | None = None
        if config.pitch:
            self.pitch = nn.GRU(size, config.pitch_units, batch_first=True, bidirectional=True)
            self.pitch_out = nn.Linear(2 * config.pitch_units, 2)
            size += 2
        widths = (size, width, width, width)
        self.convs = nn.Sequential(
            *(
                nn.Sequential(nn.Conv1d(a, b, 5, padding=2), nn.BatchNorm1d(b), nn.ReLU())
                for a, b in pairwise(widths)
            )
        )
        self.recurrent = nn.GRU(width, units, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * units, mels)
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(pairwise((mels, *[config.postnet] * 4, mels))):
            layers += [nn.Conv1d(a, b, 5, padding=2), nn.BatchNorm1d(b)]
            layers += [nn.Tanh()] if number < 4 else []
        self.postnet = nn.Sequential(*layers)

    def forward(
        self, units: Tensor, voice: Tensor, pitch: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Args:
            units: (B, T, code_size).
            voice: (B, E).
            pitch: (B, T, 2) octaves from `MIDDLE_HZ`, 0 where unvoiced, and voicing; None predicts.

        Returns:
            (B, n_mels, T) before and after the postnet, and the predicted (B, T, 2): octaves and
            the logit of voicing; (B, T, 0) without a predictor.
        """
        with full_precision(units.device):
            heard = joined(units.float(), voice.float())
            told = heard.new_zeros(*heard.shape[:2], 0)
            if self.pitch is not None:
                told = self.pitch_out(self.pitch(heard)[0])
                if pitch is None:
                    voiced = (told[..., 1:] > 0).float()
                    pitch = torch.cat([told[..., :1] * voiced, voiced], dim=-1)
                heard = torch.cat([heard, pitch], dim=-1)
            made, _ = self.recurrent(self.convs(heard.transpose(1, 2)).transpose(1, 2))
            before = self.out(made).transpose(1, 2)
            return before, before + self.postnet(before), told


class Reader(nn.Module):
    """Lip2Ind: lips → logits of the units, some a picture."""

    def __init__(self, config: VcvtsConfig, size: int) -> None:
        super().__init__()
        self.per = config.mels_per_picture
        self.recurrent = nn.GRU(
            size, config.reader_units, 2, batch_first=True, bidirectional=True, dropout=0.1
        )
        self.out = nn.Linear(2 * config.reader_units, self.per * config.codes)

    def forward(self, lips: Tensor) -> Tensor:
        """(B, T, size) → (B, T · per, codes)."""
        with full_precision(lips.device):
            logits: Tensor = self.out(self.recurrent(lips.float())[0])
            return logits.reshape(len(logits), lips.shape[1] * self.per, -1)


class Vcvts(BaselineModel):
    """All of it; synthesis needs neither `content` nor `reference`."""

    def __init__(self, config: VcvtsConfig) -> None:
        super().__init__(config)
        self.reader = Reader(config, self.eyes.size)
        self.speech = Speech(config)

    @classmethod
    def visual_encoder(cls, config: VcvtsConfig) -> ConvFront:
        return ConvFront(config.lip, config.channels, config.front_size, 5, 0.1)

    @property
    def own(self) -> Mapping[str, nn.Module]:
        return {"reader": self.reader, "speech": self.speech}

    def frames(self, lips: Tensor, face: Tensor) -> Tensor:
        """(B, T, per · n_mels) log mel of the likeliest units."""
        mel = self.say(self.reader(lips).argmax(dim=-1), face)
        return mel.transpose(1, 2).reshape(*lips.shape[:2], -1)

    def say(self, codes: Tensor, voice: Tensor) -> Tensor:
        """(B, T) codes and (B, E) → (B, n_mels, T) log mel."""
        after: Tensor = self.speech(self.speech.codebook.table[codes], voice)[1]
        return self.speech.scale.back(after)


def reference_encoder(config: VcvtsConfig) -> nn.Module:
    """Builds the encoder that hears whose voice it is."""
    made: nn.Module = encoders.build("prosody", config.prosody, config.mel_spec.n_mels)
    return made


class Converting(nn.Module):
    """Voice conversion: a mel → units → a mel, in the voice of another clip of the speaker."""

    def __init__(self, config: VcvtsConfig) -> None:
        super().__init__()
        self.content, self.reference = Content(config), reference_encoder(config)
        self.speech = Speech(config)

    def forward(self, batch: Batch) -> Made:
        scale = self.speech.scale
        wanted = scale(batch["mel"])
        lengths = mel_lengths(batch)
        units, codes, commitment = self.speech.codebook(self.content(wanted).float(), lengths)
        voice = functional.normalize(self.reference(scale(batch["other"])).float(), dim=-1)
        pitch = _pitch(batch["wave_f0_hz"]) if "wave_f0_hz" in batch else None
        before, after, told = self.speech(units, voice, pitch if self.training else None)
        cpc = units.new_zeros(())
        if self.training:
            cpc = averaged(
                lambda own: self.content.predictive_loss(own.transpose(1, 2)),
                lengths,
                units.transpose(1, 2),
            )
        made = {
            "before": before, "after": after, "told": told, "wanted": wanted, "codes": codes,
            "commitment": commitment, "cpc": cpc, "voice": voice,
        }  # fmt: skip
        return made if pitch is None else {**made, "pitch": pitch}


def _pitch(f0_hz: Tensor) -> Tensor:
    """(B, T) Hz, NaN where unvoiced → (B, T, 2) octaves and voicing."""
    voiced = torch.isfinite(f0_hz)
    octaves = torch.where(voiced, torch.log2(f0_hz / MIDDLE_HZ), torch.zeros_like(f0_hz))
    return torch.stack([octaves, voiced.float()], dim=-1)


class ConversionStage(Stage[VcvtsConfig]):
    """Trains everything but the lips and the face, on sound alone."""

    name = "conversion"
    fields: tuple[Field, ...] = ("mel", "other")
    takes = ("content", "reference", "speech")
    watched = "voice"
    monitor = "mel"

    def __init__(self, config: VcvtsConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        self.model = Converting(config)
        self.generator = self.model
        self.parts = {
            "content": self.model.content,
            "reference": self.model.reference,
            "speech": self.model.speech,
        }
        if config.pitch:
            self.fields = ("mel", "other", "pitch")
        self._codes: Observed[Tensor] = Observed()

    @property
    def segment_frames(self) -> int:
        return CLIP_FRAMES * self.config.mels_per_picture

    def survey(self, clips: Manifest) -> None:
        self.model.speech.scale.survey(clips)

    def begin(self, step: int) -> None:
        book = self.model.speech.codebook
        book.quantizes = step >= self.config.plain_steps
        book.fresh = step == self.config.plain_steps

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        wanted, config = made["wanted"], self.config
        lengths = mel_lengths(batch)

        def compared(before: Tensor, after: Tensor, wanted: Tensor) -> Tensor:
            rebuilt = sum_of_distances(before, wanted) + sum_of_distances(after, wanted)
            return torch.stack([rebuilt, mel_loss(after, wanted)])

        rebuilt, mel = averaged(compared, lengths, made["before"], made["after"], wanted)
        members = {
            "mel": mel * self.model.speech.scale.deviation,
            "cpc": made["cpc"],
            "commitment": made["commitment"],
        }
        loss = rebuilt + made["cpc"] + config.commitment * made["commitment"]
        if "pitch" in made:

            def told(octaves: Tensor, logits: Tensor, true: Tensor, voiced: Tensor) -> Tensor:
                away = ((octaves - true).abs() * voiced).sum() / voiced.sum().clamp(min=1)
                wrong = functional.binary_cross_entropy_with_logits(logits, voiced)
                return torch.stack([away, wrong])

            members["octaves"], members["voicing"] = averaged(
                told, lengths, *made["told"].unbind(-1), *made["pitch"].unbind(-1)
            )
            loss = loss + members["octaves"] + members["voicing"]
        return {"loss": loss, **members}

    def observe(self, made: Made, batch: Batch) -> None:
        own = inside(mel_lengths(batch), made["codes"])
        self._codes.notes.append(made["codes"][own].cpu())
        super().observe(made, batch)

    def metrics(self) -> dict[str, float | None]:
        """`perplexity` of the codebook, near 1 where it has collapsed, None before it is in use."""
        codes = self._codes.taken()
        used = perplexity(torch.cat(codes), self.config.codes) if codes else None
        if not self.model.speech.codebook.quantizes:
            used = None
        return {"perplexity": used, **super().metrics()}

    def warnings(self, line: Mapping[str, Any]) -> list[str]:
        """A codebook of which a few units say everything."""
        used = line.get("val_perplexity")
        least = min(COLLAPSED, self.config.codes / 4)
        if used is None or used >= least:
            return []
        return [
            f"the codebook has collapsed: a perplexity of {used:.1f} units of {self.config.codes}, "
            f"where {least:g} is little; raise refill or plain_steps"
        ]

    def show(self, made: Made, batch: Batch, which: Sequence[int]) -> list[Exhibit]:
        mel = self.model.speech.scale.back(made["after"][list(which)])
        return mels_shown(batch, which, mel, self.config.mel_spec)


def sum_of_distances(made: Tensor, wanted: Tensor) -> Tensor:
    """VQMIVC's L1 and squares of a mel."""
    return functional.l1_loss(made, wanted) + functional.mse_loss(made, wanted)


class Naming(nn.Module):
    """A face → the voice that the reference encoder hears of its speaker."""

    def __init__(self, config: VcvtsConfig) -> None:
        super().__init__()
        self.face: nn.Module = encoders.build("face", config.face)
        self.reference = reference_encoder(config).requires_grad_(False)
        self.scale = Scale()

    def train(self, mode: bool = True) -> Naming:
        super().train(mode)
        self.reference.train(False)
        return self

    def forward(self, batch: Batch) -> Made:
        mel = self.scale(batch["mel"])
        heard = embedded(self.reference, mel_lengths(batch), mel).float()
        return {
            "face": self.face(to_model(batch["face"])),
            "voice": functional.normalize(heard, dim=-1),
        }


class FaceStage(Stage[VcvtsConfig]):
    """Teaches the face encoder the voice of the reference encoder, which is frozen."""

    name = "face"
    fields = ("face", "mel")
    needs = ("reference",)
    takes = ("face",)
    watched = "face"

    def __init__(self, config: VcvtsConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        self.model = Naming(config)
        self.generator = self.model
        self.parts = {"face": self.model.face, "reference": self.model.reference}

    def survey(self, clips: Manifest) -> None:
        self.model.scale.survey(clips)

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        cosine = functional.cosine_similarity(made["face"].float(), made["voice"], dim=-1)
        return {"loss": (1 - cosine).mean()}


class Reading(Vcvts):
    """Lips → units, beside those of the recording's own mel; the reader learns, and its front."""

    def __init__(self, config: VcvtsConfig) -> None:
        super().__init__(config)
        self.content = Content(config).requires_grad_(False)
        self.speech.requires_grad_(False)
        assert self.eyes.face is not None
        self.eyes.face.requires_grad_(False)

    @property
    def own(self) -> Mapping[str, nn.Module]:
        return {**super().own, "content": self.content}

    def train(self, mode: bool = True) -> Reading:
        super().train(mode)
        for frozen in (self.content, self.speech):
            frozen.train(False)
        return self

    def forward(self, batch: Batch) -> Made:
        lips, face = self.eyes.see(batch)
        speech = self.speech
        logits = self.reader(lips)
        made = {
            "logits": logits,
            "codes": speech.codebook.nearest(self.content(speech.scale(batch["mel"])).float()),
        }
        if not self.training:
            made["mel"] = self.say(logits.argmax(dim=-1), face)
        return made


class UnitsStage(BaselineStage[VcvtsConfig, Reading]):
    """Trains Lip2Ind on the units of a frozen content encoder."""

    name = "reader"
    network = Reading
    reads = ("lips", "mel")
    needs = ("content", "speech", "face")
    learns = ("reader",)
    of_facetron = ("lip",)
    monitor = "units"

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        logits, codes, lengths = made["logits"].transpose(1, 2), made["codes"], mel_lengths(batch)
        loss = averaged(functional.cross_entropy, lengths, logits, codes)
        own = inside(lengths, codes)
        said = (codes != codes[own].mode().values) & own  # the commonest is silence
        right = (logits.argmax(dim=1) == codes) & said
        members = {"units": loss, "right": right.sum() / said.sum().clamp(min=1)}
        if "mel" in made:
            members["mel"] = averaged(mel_loss, lengths, made["mel"], batch["mel"])
        return {"loss": loss, **members}

    def show(self, made: Made, batch: Batch, which: Sequence[int]) -> list[Exhibit]:
        return mels_shown(batch, which, made["mel"][list(which)], self.config.mel_spec)


class VcvtsSynthesizer(BaselineSynthesizer):
    system: ClassVar[str] = "vcvts"
    network = Vcvts


PAPER = VcvtsConfig()
SMALL = VcvtsConfig(
    size="small",
    front="lip",
    lip=FACETRON_SMALL.lip,
    face=FACETRON_SMALL.face,
    prosody=FACETRON_SMALL.prosody,
    channels=(16, 32, 64, 128),
    front_size=128,
    content=192,
    codes=128,
    decay=0.95,
    plain_steps=60,
    refill=0.1,
    context=96,
    decoder=192,
    decoder_units=96,
    postnet=96,
    pitch_units=48,
    reader_units=128,
)
DEBUG = VcvtsConfig(
    size="debug",
    lip=DEBUG_LIP,
    face=DEBUG_FACE,
    prosody=ProsodyConfig(
        filters=(2, 4, 4), gru_size=8, tokens=4, heads=2, style_size=8, embedding_size=8
    ),
    channels=(2, 4),
    front_size=6,
    content=8,
    codes=8,
    code_size=4,
    decay=0.5,
    plain_steps=1,
    refill=0.1,
    context=4,
    decoder=8,
    decoder_units=4,
    postnet=4,
    pitch=False,
    reader_units=4,
)
PRESETS = presets_of((PAPER, SMALL, DEBUG))


def defaults(stage: str, config: SystemConfig) -> TrainConfig:
    """VQMIVC's Adam with a warm-up for the conversion."""
    paper = config.size == "paper"
    return TrainConfig(
        epochs=500 if paper and stage == "conversion" else 100,
        batch_size=256 if paper and stage == "conversion" else 16,
        learning_rate=1e-3,
        lr_decay=0.995 if paper else 0.97,
        warmup_steps=2000 if paper else 20,
        betas=(0.9, 0.999),
        weight_decay=0.0,
        clip_norm=5.0,
        augment=augment.NONE,
    )


def modules(config: VcvtsConfig) -> dict[str, ModuleEntry]:
    """Lists the modules for `facetron info`."""
    size = config.lip.embedding_size if config.front == "lip" else config.front_size
    mels = CLIP_FRAMES * config.mels_per_picture
    bands, voice = config.mel_spec.n_mels, config.face.embedding_size
    return {
        **eye_entries(config, Vcvts, "Conv3d and ResNet-18"),
        "content encoder": ModuleEntry(
            lambda: Content(config),
            [(bands, mels)],
            "Conv1d 80 → 512, four linear layers with layer norm, codebook 512 × 64, CPC of 6 steps",
        ),
        "reference encoder": ModuleEntry(
            lambda: reference_encoder(config), [(bands, mels)], "AdaIN-VC's speaker encoder"
        ),
        "speech": ModuleEntry(
            lambda: Speech(config),
            [(mels, config.code_size), (voice,)],
            "pitch predictor; LSTM 512, three Conv1d 512, two LSTMs of 1024, Tacotron's postnet",
            True,
        ),
        "reader": ModuleEntry(
            lambda: Reader(config, size), [(CLIP_FRAMES, size)], "names the units from lips", True
        ),
    }


def departures(config: VcvtsConfig) -> list[str]:
    lines = [
        *(line for line in shared_departures(config) if not line.startswith("speaker=face")),
        "a face encoder that learned the reference encoder's voices stands for it at synthesis; the "
        "paper is given reference speech",
        "one unit a mel frame of 20 ms; the reference encoder is Facetron's prosody encoder",
        "the decoder is three convolutions and a BiGRU; visual front, pitch predictor and reader are "
        "our choice where the abstract says nothing",
    ]
    if config.refill or config.plain_steps:
        lines.append("plain_steps, refill: a codebook that starts from the encoder and is refilled")
    if not config.pitch:
        lines.append("pitch: no pitch predictor")
    return lines


SYSTEM = System(
    name="vcvts",
    label="VCVTS",
    source="Wang et al.: VCVTS, multi-speaker video-to-speech synthesis via cross-modal knowledge "
    "transfer from voice conversion, 2022",
    presets="facetron.baselines.vcvts:PRESETS",
    stages={
        "conversion": "facetron.baselines.vcvts:ConversionStage",
        "face": "facetron.baselines.vcvts:FaceStage",
        "reader": "facetron.baselines.vcvts:UnitsStage",
    },
    defaults="facetron.baselines.vcvts:defaults",
    synthesizer="facetron.baselines.vcvts:VcvtsSynthesizer",
    parts=("lip", "front", "face", "speech", "reader", "vocoder"),
    needed=("face", "speech", "reader"),
    inventory="facetron.baselines.vcvts:modules",
    departures="facetron.baselines.vcvts:departures",
)
