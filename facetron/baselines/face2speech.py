"""Face2Speech: Goto, Onishi, Saito, Tachibana and Mori, "Face2Speech: towards multi-speaker
text-to-speech synthesis using an embedding vector predicted from a face image", Interspeech 2020.

Text and a face → speech in a voice that suits the face. A speech encoder learns to tell speakers apart,
a text-to-speech model is given its embeddings, and a face encoder learns to give the same. The text may
also be what a trained lip encoder reads: lip reading followed by text-to-speech, in the voice of the face.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.baselines import phonemes
from facetron.baselines.eyes import DEBUG_FACE
from facetron.baselines.text_to_speech import (
    PLACES,
    AcousticModel,
    DurationModel,
    TextToSpeech,
    TtsConfig,
    spread,
)
from facetron.baselines.voices import (
    Similarity,
    VoiceConfig,
    VoiceEncoder,
    fixed_centroid_loss,
    ge2e_loss,
)
from facetron.checkpoints.checkpoint import unfilled
from facetron.inventory import ModuleEntry
from facetron.model import encoders
from facetron.model.config import FaceConfig, mel_spec, mels_per_picture
from facetron.model.face import FaceEncoder
from facetron.model.padding import embedded, inside
from facetron.model.sizes import SMALL as FACETRON_SMALL
from facetron.options import presets_of
from facetron.synthesis.base import (
    Decoding,
    Durations,
    Float,
    Pictures,
    SpeechSynthesizer,
    Spoken,
    TextFrom,
    choose_vocoder,
    identity,
    read_weights,
)
from facetron.synthesis.synthesizer import Synthesizer
from facetron.systems import System, SystemConfig
from facetron.train import augment
from facetron.train.batches import to_model
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch
from facetron.train.lengths import mel_lengths
from facetron.train.pictures import Exhibit, mels_shown
from facetron.train.stage import Made, Pairs, Stage
from facetron.vocoders.registry import AUTO
from manifests.errors import BadInput
from manifests.manifest import Manifest
from manifests.records import ManifestRow
from manifests.specs import CLIP_FRAMES, MelSpec

READER = "synthgrid"
"""Weights that read the lips where none are named."""


@dataclass(frozen=True)
class Face2SpeechConfig:
    """Options of Face2Speech."""

    size: str = "paper"
    mel: str = "facetron"
    """Name of the mel preset, the one that all rows of a table share."""
    prosody: VoiceConfig = field(default_factory=VoiceConfig)
    """The speech encoder."""
    tts: TtsConfig = field(default_factory=TtsConfig)
    face: FaceConfig = field(
        default_factory=lambda: FaceConfig(kind="vgg19", dropout=0.5, embedding_size=256)
    )
    utterances: int = 4
    """M, clips of each speaker in a batch of the stages `ge2e` and `face`; N, the speakers, are
    `train.batch_size` divided by it."""
    leave_out: bool = False
    """GE2E's centroids leave the utterance itself out, as in Wan et al."""

    def __post_init__(self) -> None:
        if self.prosody.embedding_size != self.face.embedding_size:
            raise BadInput(
                f"prosody.embedding_size {self.prosody.embedding_size} beside face.embedding_size "
                f"{self.face.embedding_size}",
                "make them equal: the face takes the speech's place",
            )
        if self.utterances < 1:
            raise BadInput(f"utterances is {self.utterances}", "give 1 or more")
        mels_per_picture(self.mel)

    @property
    def mel_spec(self) -> MelSpec:
        return mel_spec(self.mel)


# --- stages ----------------------------------------------------------------------------------------


def text_to_speech(config: Face2SpeechConfig) -> TextToSpeech:
    """Builds the text-to-speech model."""
    return TextToSpeech(config.tts, config.prosody.embedding_size, config.mel_spec.n_mels)


class Hearing(nn.Module):
    """The speech encoder and what turns its cosines into GE2E's similarities."""

    def __init__(self, config: Face2SpeechConfig) -> None:
        super().__init__()
        self.voice = VoiceEncoder(config.prosody, config.mel_spec.n_mels)
        self.similarity = Similarity()

    def forward(self, batch: Batch) -> Made:
        mel = batch["mel"]
        return {"prosody": self.voice.drawn(mel) if self.training else self.voice(mel)}


class VoiceStage(Stage[Face2SpeechConfig]):
    """Trains the speech encoder to tell speakers apart."""

    name = "ge2e"
    fields = ("mel",)
    takes = ("prosody",)
    watched = "prosody"

    def __init__(self, config: Face2SpeechConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        self.model = Hearing(config)
        self.generator, self.parts = self.model, {"prosody": self.model.voice}

    @property
    def clips_per_speaker(self) -> int:
        return self.config.utterances

    def survey(self, clips: Manifest) -> None:
        self.model.voice.scale.survey(clips)

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        similarity = self.model.similarity
        loss = ge2e_loss(made["prosody"], batch["speakers"], similarity, self.config.leave_out)
        return {"loss": loss}


class FrozenVoice(nn.Module):
    """A trained speech encoder, in evaluation mode whatever mode the rest is in."""

    def __init__(self, config: Face2SpeechConfig) -> None:
        super().__init__()
        self.voice = VoiceEncoder(config.prosody, config.mel_spec.n_mels)
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> FrozenVoice:
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, n_mels, T), of which (B,) frames are a clip's own → (B, E)."""
        return embedded(self.voice, lengths, mel)


class Speaking(nn.Module):
    """Text-to-speech in the voice that the speech encoder hears in the recording."""

    def __init__(self, config: Face2SpeechConfig) -> None:
        super().__init__()
        self.noise = config.tts.voice_noise
        self.teacher = FrozenVoice(config)
        self.tts = text_to_speech(config)

    def forward(self, batch: Batch) -> Made:
        """`told` (B, P) ln(1 + frames); `mel` (B, n_mels, T) standardized, of the true durations."""
        voice = self.teacher(batch["mel"], mel_lengths(batch))
        if self.training and self.noise:
            voice = functional.normalize(voice + self.noise * torch.randn_like(voice), dim=-1)
        phones, counts, durations = (batch[n] for n in ("phones", "phone_count", "durations"))
        index, places = spread(durations, batch["phone_spans"], batch["mel"].shape[2])
        return {
            "told": self.tts.duration(phones, voice, counts),
            "mel": self.tts.acoustic(phones, index, places, voice, counts),
        }


class TtsStage(Stage[Face2SpeechConfig]):
    """Trains the duration model and the acoustic model."""

    name = "tts"
    fields = ("mel", "phones")
    needs = ("prosody",)
    takes = ("tts",)
    monitor = "mel"

    def __init__(self, config: Face2SpeechConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        self.model = Speaking(config)
        self.generator = self.model
        self.parts = {"prosody": self.model.teacher.voice, "tts": self.model.tts}

    def survey(self, clips: Manifest) -> None:
        self.model.tts.scale.survey(clips)

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        """Squares of the durations' logarithms and of the mel, as Face2Speech's; `duration` is in
        frames, `mel` the absolute error in the mel's units."""
        durations, scale = batch["durations"], self.model.tts.scale
        own = inside(batch["phone_count"], durations).float()
        told, wanted = made["told"], durations.float().log1p()
        duration = ((told - wanted).square() * own).sum() / own.sum()
        away = ((told.expm1() - durations).abs() * own).sum() / own.sum()
        heard = inside(durations.sum(1), made["mel"].transpose(1, 2)).float()
        count = heard.sum() * made["mel"].shape[1]
        error = (made["mel"] - scale(batch["mel"].float())) * heard[:, None]
        squares, absolute = error.square().sum() / count, error.abs().sum() / count
        loss = squares + self.config.tts.absolute * absolute + duration
        return {"loss": loss, "mel": absolute * scale.deviation, "duration": away}

    def show(self, made: Made, batch: Batch, which: Sequence[int]) -> list[Exhibit]:
        mel = self.model.tts.scale.back(made["mel"][list(which)])
        return mels_shown(batch, which, mel, self.config.mel_spec)


class Seeing(nn.Module):
    """The face encoder, beside the centroids of the speakers' speech."""

    centroids: Tensor

    def __init__(self, config: Face2SpeechConfig) -> None:
        super().__init__()
        self.face: FaceEncoder = encoders.build("face", config.face)
        self.teacher = FrozenVoice(config)
        self.similarity = Similarity()
        # Made anew from the recordings whenever a training begins.
        self.register_buffer(
            "centroids", torch.zeros(1, config.prosody.embedding_size), persistent=False
        )

    def forward(self, batch: Batch) -> Made:
        return {"face": self.face(to_model(batch["face"])).float()}


class FaceStage(Stage[Face2SpeechConfig]):
    """Trains the face encoder with SGE2E."""

    name = "face"
    fields = ("face",)
    needs = ("prosody",)
    takes = ("face",)
    watched = "face"

    def __init__(self, config: Face2SpeechConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        self.model = Seeing(config)
        self.generator = self.model
        self.parts = {"prosody": self.model.teacher.voice, "face": self.model.face}
        self._names: tuple[str, ...] = ()

    @property
    def clips_per_speaker(self) -> int:
        return self.config.utterances

    def survey(self, clips: Manifest) -> None:
        """Embeds all speech of the training clips: a centroid is the mean of all of a speaker's."""
        sums: dict[str, Tensor] = {}
        for row in clips:
            mel = torch.from_numpy(np.asarray(row.mel(), np.float32))[None]
            heard = self.model.teacher(mel)[0]
            sums[row.speaker] = sums.get(row.speaker, torch.zeros_like(heard)) + heard
        self._names = tuple(sorted(sums))
        means = torch.stack([functional.normalize(sums[name], dim=-1) for name in self._names])
        self.model.centroids = means

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        """SGE2E over all speakers of the training, and the share of faces that are nearest to the
        speech of their own. A face of nobody among them counts nothing."""
        model, names = self.model, self._names
        known = [at for at, speaker in enumerate(batch["speakers"]) if speaker in names]
        face = made["face"][known]
        owner = torch.tensor(
            [names.index(batch["speakers"][at]) for at in known], device=face.device
        )
        if not known:
            nothing = made["face"].sum() * 0
            return {"loss": nothing, "nearest": nothing.detach()}
        loss = fixed_centroid_loss(face, owner, model.centroids, model.similarity)
        nearest = (face @ model.centroids.T).argmax(dim=1)
        return {"loss": loss, "nearest": (nearest == owner).float().mean()}


# --- synthesis -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Face2SpeechSynthesizer(SpeechSynthesizer):
    """A trained Face2Speech ready to speak; make it with `load`.

    Attributes:
        config: of the model.
        face: the face encoder.
        tts: the text-to-speech model.
        text_from: where the text comes from.
        durations_from: where its timing comes from.
        reader: weights of Facetron that read the text, where it comes from the lips.
    """

    system: ClassVar[str] = "face2speech"

    config: Face2SpeechConfig
    face: nn.Module
    tts: TextToSpeech
    text_from: TextFrom = "given"
    durations_from: Durations = "predicted"
    reader: str = READER

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        vocoder: str = AUTO,
        device: str = "auto",
        decoding: Decoding = "greedy",
        seed: int = 0,
    ) -> Face2SpeechSynthesizer:
        """See `SpeechSynthesizer.load`."""
        weights = read_weights(checkpoint, cls.system, device, decoding)
        assert isinstance(weights.config, Face2SpeechConfig)
        config = weights.config
        face = unfilled(lambda: encoders.build("face", config.face))
        tts = unfilled(lambda: text_to_speech(config))
        weights.fill({"face": face, "tts": tts})
        for module in (face, tts):
            module.requires_grad_(False).eval().to(weights.device)
        voice = choose_vocoder(checkpoint, weights, vocoder)
        return cls(*identity(weights), voice, decoding, seed, config, face, tts)

    def told(
        self, text: TextFrom | None, durations: Durations | None, reader: str | None
    ) -> Face2SpeechSynthesizer:
        """See `SpeechSynthesizer.told`."""
        text = text or self.text_from
        if text == "given" and reader:
            raise BadInput(
                f"the text is given, so that {reader} has nothing to read", "give --text lips"
            )
        if text == "lips" and durations == "reference":
            raise BadInput(
                "the recording's times are of the words that were said, not of those that were read",
                "leave out --durations reference",
            )
        made = replace(
            self,
            text_from=text,
            durations_from=durations or self.durations_from,
            reader=reader or self.reader,
        )
        if text == "lips":
            made._eyes.require((), made.reader)  # loads it now, for errors before the first clip
        return made

    @cached_property
    def _eyes(self) -> Synthesizer:
        """Returns the reader of the lips."""
        return Synthesizer.load(
            self.reader, "griffin-lim", str(self.device), self.decoding, self.seed
        )

    @property
    def notes(self) -> tuple[str, ...]:
        source = "text given"
        if self.text_from == "lips":
            source = f"text from the lips by {Path(self.reader).stem}, {self.decoding}"
        return (source, *(["durations given"] if self.durations_from == "reference" else []))

    @property
    def told_parameters(self) -> Mapping[str, Any]:
        found: dict[str, Any] = {"text": self.text_from, "durations": self.durations_from}
        if self.text_from == "lips":
            # Words are the nearest of the table's: the phonemes of no others are known.
            found |= {"reader": Path(self.reader).name, "reader_sha256": self._eyes.sha256}
        return found

    def told_key(self, row: ManifestRow) -> tuple[Any, ...]:
        key: list[Any] = sorted(self.told_parameters.items())
        if self.text_from == "given":
            key.append(row.sentence)
        if self.durations_from == "reference":
            key.append([[span.word, span.start_s, span.end_s] for span in row.words])
        return tuple(key)

    def seen(self, speaker: str) -> bool:
        """Returns whether a speaker was in its training, or in that of the weights that read the lips."""
        read = self.text_from == "lips" and self._eyes.seen(speaker)
        return read or super().seen(speaker)

    def require(self, rows: Iterable[ManifestRow], what: str | Path) -> None:
        """Also raises `BadInput` where the text is given and a row's has unknown words, or no times
        although they are asked for."""
        rows = tuple(rows)
        super().require(rows, what)
        if self.text_from == "lips":
            self._eyes.require(rows, what)
            return
        for row in rows:
            try:
                self._said(row)
            except BadInput as error:
                raise BadInput(
                    f"{what}: {row.clip_id}: {error.problem}",
                    "give --text lips, or a manifest of GRID's sentences with their alignments",
                ) from None

    def _said(self, row: ManifestRow) -> tuple[phonemes.Utterance, Tensor | None]:
        """The text of a row, and its durations where they are those of the recording."""
        said = phonemes.utterance(row.sentence.split())
        if not said.words:
            raise BadInput("there is no sentence", "give one")
        if self.durations_from == "predicted":
            return said, None
        rate_hz = self.config.mel_spec.frame_rate_hz
        return said, said.durations(row.words, row.mel_frames, rate_hz)

    @property
    def face_size(self) -> int:
        return self.config.face.embedding_size

    def see_faces(self, stills: Tensor) -> Tensor:
        seen: Tensor = self.face(encoders.prepare("face", stills, self.config.face).to(self.device))
        return seen

    @torch.inference_mode()
    def speak_rows(
        self, lips: Sequence[Pictures], faces: Sequence[Float], rows: Sequence[ManifestRow]
    ) -> list[Spoken]:
        if self.text_from == "lips":
            return self.speak_many(lips, faces)
        told = [(*self._said(row), "") for row in rows]
        return self.by_length(
            lips,
            faces,
            lambda some: self._say(
                [told[i] for i in some], len(lips[some[0]]), [faces[i] for i in some]
            ),
        )

    def speak_alike(self, lips: Sequence[Pictures], faces: Sequence[Float]) -> list[Spoken]:
        """Says what `reader` reads from the lips: nobody gives a text here."""
        readings = self._eyes.read_many(lips)
        told = [
            (phonemes.utterance(phonemes.nearest_words(reading.text)), None, reading.text)
            for reading in readings
        ]
        made = self._say(told, len(lips[0]), faces)
        checks = self._eyes.checks(readings)
        return [replace(spoken, check=check) for spoken, check in zip(made, checks, strict=True)]

    def _say(
        self,
        told: Sequence[tuple[phonemes.Utterance, Tensor | None, str]],
        pictures: int,
        faces: Sequence[Float],
    ) -> list[Spoken]:
        """Says sentences in the voices of faces, in clips of so many video frames: each with its
        durations, where they are known, and the text that was read."""
        frames = pictures * mels_per_picture(self.config.mel)
        mels: list[Float] = []
        for (said, durations, _), face in zip(told, faces, strict=True):
            voice = torch.from_numpy(np.asarray(face, np.float32)).to(self.device)
            if durations is None:
                durations = self.tts.durations(said, voice, frames)
            mels.append(self.tts.say(said, durations, voice).cpu().numpy())
        waves = self.sounds(mels)
        return [
            Spoken(mel, wave, text)
            for mel, wave, (_, _, text) in zip(mels, waves, told, strict=True)
        ]


# --- sizes and registry ----------------------------------------------------------------------------

PAPER = Face2SpeechConfig()
SMALL = Face2SpeechConfig(
    size="small",
    prosody=VoiceConfig(hidden=128, embedding_size=64),
    tts=TtsConfig(
        width=96, convs=2, hidden=128, layers=2, duration_hidden=48, duration_layers=1,
        dropout=0.1, absolute=1.0, voice_noise=0.05,
    ),
    face=replace(FACETRON_SMALL.face, embedding_size=64),
    leave_out=True,
)  # fmt: skip
DEBUG = Face2SpeechConfig(
    size="debug",
    prosody=VoiceConfig(hidden=8, layers=1, embedding_size=8, cut_frames=40),
    tts=TtsConfig(
        width=8, convs=1, hidden=8, layers=1, duration_hidden=4, duration_layers=1, absolute=1.0
    ),
    face=DEBUG_FACE,
    utterances=1,
)
PRESETS = presets_of((PAPER, SMALL, DEBUG))


def defaults(stage: str, config: SystemConfig) -> TrainConfig:
    """Face2Speech's; `small` learns faster."""
    assert isinstance(config, Face2SpeechConfig)
    paper = config.size == "paper"
    base = TrainConfig(
        betas=(0.9, 0.999), weight_decay=0.0, clip_norm=3.0, augment=augment.NONE,
        lr_decay=1.0 if paper else 0.97,
    )  # fmt: skip
    if stage == "ge2e":
        return replace(
            base,
            epochs=500 if paper else 60,
            batch_size=32 * config.utterances if paper else 64,
            learning_rate=1e-5 if paper else 1e-3,
        )
    if stage == "tts":
        return replace(base, epochs=40, batch_size=16, learning_rate=1e-4 if paper else 1e-3)
    flips = replace(augment.NONE, flip=0.5)
    return replace(
        base,
        epochs=124 if paper else 40,
        batch_size=32 * config.utterances if paper else 64,
        learning_rate=2e-3 if paper else 1e-3,
        augment=flips if paper else replace(flips, shift=0.03, brightness=0.08, contrast=0.15),
    )


def face_encoder(config: Face2SpeechConfig) -> nn.Module:
    """Builds the encoder for `facetron embed` and `facetron info`."""
    return cast(nn.Module, encoders.build("face", config.face))


def speech_encoder(config: Face2SpeechConfig) -> nn.Module:
    """Builds the encoder for `facetron embed` and `facetron info`."""
    return VoiceEncoder(config.prosody, config.mel_spec.n_mels)


def modules(config: Face2SpeechConfig) -> dict[str, ModuleEntry]:
    """Lists the modules for `facetron info`."""
    mels, bands = CLIP_FRAMES * mels_per_picture(config.mel), config.mel_spec.n_mels
    size, px = config.prosody.embedding_size, config.face.input_px
    phones = len(phonemes.utterance(["place", "white", "with", "x", "seven", "please"]).phones)
    return {
        "speech encoder": ModuleEntry(
            lambda: speech_encoder(config),
            [(bands, mels)],
            "40 log mels of window 400 and hop 160, 160 frames; three LSTMs of 768, linear 256, length 1",
        ),
        "duration model": ModuleEntry(
            lambda: DurationModel(config.tts, size),
            [(phones, phonemes.FEATURES), (size,)],
            "420 linguistic features a phoneme and the embedding; three BiLSTMs of 512; frames",
            True,
        ),
        "acoustic model": ModuleEntry(
            lambda: AcousticModel(config.tts, size, bands),
            [(phones, phonemes.FEATURES), (mels,), (mels, PLACES), (size,)],
            "425 linguistic features a frame and the embedding; three BiLSTMs of 512; 127 values of "
            "WORLD a frame",
            True,
        ),
        "face encoder": ModuleEntry(
            lambda: face_encoder(config), [(3, px, px)], "VGG19 with 256 outputs", True
        ),
    }


def departures(config: Face2SpeechConfig) -> list[str]:
    lines = [
        f"mels of {config.mel_spec.sample_rate_hz} Hz, said by the vocoder that all rows share, in the "
        "place of WORLD's 40 mel-cepstra, log F0, aperiodicity and voicing with their deltas",
        "phonemes of GRID's 51 words from a table, their identity and places in the place of 420 "
        "linguistic features; inside a word they share its time by class",
        f"the speech encoder hears the same mel, {config.prosody.cut_frames} frames at once; its "
        "training speakers are those of the manifest, not VoxCeleb2's 5,993",
        "durations are learned as ln(1 + frames); inputs are not scaled to 0.01 … 0.99",
        "SGE2E compares with the centroids of all training speakers, not of those in the batch; its w "
        "stays above 0 by construction",
        "the authors' Japanese paper and poster of the same system were read, the Interspeech text not",
    ]
    if config.face.kind != "vgg19":
        lines.append(f"face.kind={config.face.kind}: a trunk for CPUs")
    if config.leave_out:
        lines.append("leave_out: centroids without the utterance itself, as in Wan et al.")
    if config.tts.convs:
        lines.append("tts.convs: convolutions over the phonemes before the recurrences")
    if config.tts.absolute or config.tts.voice_noise or config.tts.dropout:
        lines.append(
            "tts.absolute, voice_noise, dropout: absolute errors beside squares, noise on the embedding"
        )
    return lines


SYSTEM = System(
    name="face2speech",
    label="Face2Speech",
    source="Goto et al.: Face2Speech, towards multi-speaker text-to-speech synthesis using an embedding "
    "vector predicted from a face image, 2020",
    presets="facetron.baselines.face2speech:PRESETS",
    stages={
        "ge2e": "facetron.baselines.face2speech:VoiceStage",
        "tts": "facetron.baselines.face2speech:TtsStage",
        "face": "facetron.baselines.face2speech:FaceStage",
    },
    defaults="facetron.baselines.face2speech:defaults",
    synthesizer="facetron.baselines.face2speech:Face2SpeechSynthesizer",
    parts=("prosody", "face", "tts", "vocoder"),
    needed=("face", "tts"),
    inventory="facetron.baselines.face2speech:modules",
    departures="facetron.baselines.face2speech:departures",
    encoders={
        "face": "facetron.baselines.face2speech:face_encoder",
        "prosody": "facetron.baselines.face2speech:speech_encoder",
    },
)
