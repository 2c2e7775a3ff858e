"""The parts that the systems beside Facetron share: how they see a clip, are trained and speak.

Each is trained on the features of a manifest and says its mels with the same vocoder, so that a table
compares models and not their surroundings. `front: own` is a system's own visual encoder, `front: lip`
the frozen lip encoder of a trained Facetron, whose embeddings `train.lip_variants` reads once.
`speaker: face` gives it Facetron's face encoder, frozen where a checkpoint brings one; it is how a
system without a speaker of its own is compared fairly with Facetron.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from facetron.checkpoints.checkpoint import unfilled
from facetron.inventory import ModuleEntry
from facetron.model import encoders
from facetron.model.config import FaceConfig, LipConfig, mel_spec, mels_per_picture
from facetron.synthesis.base import (
    Decoding,
    Float,
    Pictures,
    SpeechSynthesizer,
    Spoken,
    choose_vocoder,
    identity,
    read_weights,
)
from facetron.synthesis.windows import WINDOW_FRAMES, Blend, windows
from facetron.systems import DEFAULT as FACETRON
from facetron.train.batches import to_model
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch, Field
from facetron.train.stage import Stage
from facetron.vocoders.registry import AUTO
from manifests.errors import BadInput
from manifests.manifest import Manifest
from manifests.specs import CLIP_FRAMES, MelSpec

Front = Literal["own", "lip"]
Speaker = Literal["none", "face"]

DEBUG_LIP = LipConfig(input_px=16, input_channels=1)
DEBUG_FACE = FaceConfig(kind="residual", input_px=32, channels=(4, 6), embedding_size=8)
"""Pictures of the size `debug` of every system."""


@dataclass(frozen=True)
class BaselineConfig:
    """Options that every system beside Facetron has."""

    size: str = "paper"
    mel: str = "facetron"
    """Name of the mel preset, the one that all rows of a table share."""
    front: Front = "own"
    speaker: Speaker = "none"
    """`face`: the embedding of a still joins the lips. Not in the sources."""
    lip: LipConfig = field(default_factory=LipConfig)
    """`input_px` and `input_channels` are the pictures of either front, the rest is the lip encoder's."""
    face: FaceConfig = field(default_factory=FaceConfig)

    def __post_init__(self) -> None:
        mels_per_picture(self.mel)

    @property
    def mel_spec(self) -> MelSpec:
        return mel_spec(self.mel)

    @property
    def mels_per_picture(self) -> int:
        """Mel frames of a video frame."""
        return mels_per_picture(self.mel)

    @property
    def face_size(self) -> int:
        """Numbers of the face embedding, 0 without one."""
        return self.face.embedding_size if self.speaker == "face" else 0


ConfigT = TypeVar("ConfigT", bound=BaselineConfig)
ModelT = TypeVar("ModelT", bound="BaselineModel")


class ConvFront(nn.Module):
    """Visual encoder of strided convolutions, after vid2voc and the encoders of Vougioukas et al.: the
    first convolution spans `context` frames, each halves the picture, the last takes what is left.

    Args:
        channels: one entry a convolution but the last.
        size: numbers of a frame.
        context: frames of the first kernel, odd.
        dropout: channel-wise, after every convolution.
    """

    def __init__(
        self, config: LipConfig, channels: Sequence[int], size: int, context: int, dropout: float
    ) -> None:
        super().__init__()
        self.size = size
        layers: list[nn.Module] = []
        before: int = config.input_channels
        side = config.input_px
        for number, width in enumerate(channels):
            frames = context if number == 0 else 1
            layers += [
                nn.Conv3d(
                    before, width, (frames, 4, 4), (1, 2, 2), (frames // 2, 1, 1), bias=False
                ),
                nn.BatchNorm3d(width),
                nn.ReLU(),
                nn.Dropout3d(dropout),
            ]
            before, side = width, side // 2
        if side < 1:
            raise BadInput(
                f"pictures of {config.input_px} px are too small for {len(channels)} halvings",
                "give larger lip.input_px",
            )
        self.body = nn.Sequential(*layers, nn.Conv3d(before, size, (1, side, side)), nn.Tanh())

    def forward(self, lips: Tensor) -> Tensor:
        """(B, C, T, H, W) about ±1 → (B, T, size)."""
        made: Tensor = self.body(lips)
        return made.flatten(2).transpose(1, 2)


class Eyes(nn.Module):
    """Sees a clip: its lips with the system's own front or a trained lip encoder, and its face.

    Args:
        config: of the system.
        own: builds the system's own front, which has a `size`.
    """

    def __init__(self, config: BaselineConfig, own: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.config = config
        self.front: nn.Module | None = None
        self.lip: nn.Module | None = None
        self.face: nn.Module | None = None
        if config.front == "lip":
            self.lip = encoders.build("lip", config.lip).requires_grad_(False)
            self.size = config.lip.embedding_size
        else:
            self.front = own()
            self.size = int(cast(Any, self.front).size)
        if config.speaker == "face":
            self.face = encoders.build("face", config.face)
        self.train(self.training)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Returns its parts in a checkpoint: name → module."""
        found = {"front": self.front, "lip": self.lip, "face": self.face}
        return {name: module for name, module in found.items() if module is not None}

    def train(self, mode: bool = True) -> Eyes:
        """Frozen parts stay in evaluation mode."""
        super().train(mode)
        for module in self.parts.values():
            if not any(p.requires_grad for p in module.parameters()):
                module.train(False)
        return self

    def see(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """A batch of training → (B, T, size) of the lips and (B, face_size) of the face."""
        if "reading" in batch:
            lips = batch["reading"].float()
        else:
            lips = self.read(to_model(batch["lips"]), batch["lengths"])
        if self.face is None:
            return lips, lips.new_zeros(len(lips), 0)
        return lips, self.face(to_model(batch["face"])).to(lips.dtype)

    def read(self, lips: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, C, T, H, W) about ±1 → (B, T, size). A trained lip encoder sees none of the padding of clips
        with `lengths` (B,)."""
        if self.lip is not None:
            read: Tensor = self.lip(lips, lengths).embedding
            return read
        assert self.front is not None
        seen: Tensor = self.front(lips)
        return seen


def joined(lips: Tensor, face: Tensor) -> Tensor:
    """(B, T, L) and (B, F) → (B, T, L + F), the face beside every frame."""
    return torch.cat([lips, face[:, None].expand(-1, lips.shape[1], -1)], dim=-1)


class Scale(nn.Module):
    """Standardizes mels by the mean and deviation of the training clips, which lie in a checkpoint."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def survey(self, clips: Manifest) -> None:
        """Measures the mels of the clips."""
        count, total, squares = 0, 0.0, 0.0
        for row in clips:
            mel = np.asarray(row.mel(), np.float64)
            count, total, squares = count + mel.size, total + mel.sum(), squares + (mel**2).sum()
        mean = total / count
        self.mean.fill_(mean)
        self.deviation.fill_(max(squares / count - mean**2, 1e-6) ** 0.5)

    def forward(self, mel: Tensor) -> Tensor:
        return (mel - self.mean) / self.deviation

    def back(self, scaled: Tensor) -> Tensor:
        return scaled * self.deviation + self.mean


class BaselineModel(nn.Module):
    """A system as its stages train it and its synthesizer uses it. A subclass builds its own modules
    after these, so that one seed gives one set of weights.

    Attributes:
        eyes: what it sees with.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.eyes = Eyes(config, lambda: self.visual_encoder(config))

    @classmethod
    @abstractmethod
    def visual_encoder(cls, config: Any) -> nn.Module:
        """The system's own front, which has a `size`: (B, C, T, H, W) → (B, T, size)."""

    @property
    @abstractmethod
    def own(self) -> Mapping[str, nn.Module]:
        """Its part of a checkpoint beside those of `eyes`: name → module."""

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Returns its parts in a checkpoint: name → module."""
        return {**self.eyes.parts, **self.own}

    @abstractmethod
    def frames(self, lips: Tensor, face: Tensor) -> Tensor:
        """(B, T, eyes.size) and (B, face_size) → (B, T, K): everything that it makes of each video
        frame, in such a form that overlapping windows of a long clip can be cross-faded."""


class BaselineStage(Stage[ConfigT], Generic[ConfigT, ModelT]):
    """A stage of a system that sees with `Eyes`. Lips of a trained Facetron it needs, a face of one it
    takes and then leaves as it is. A stage without eyes is a plain `Stage`.

    Attributes:
        network: class of the model, which the subclass names; its forward maps a batch to `Made`.
        reads: fields beside the still, which is read where `speaker` is `face`.
        learns: the system's own parts, taken from a checkpoint to go on with.
        of_facetron: parts that may come from a checkpoint of Facetron.
    """

    network: type[ModelT]
    reads: ClassVar[tuple[Field, ...]]
    learns: ClassVar[tuple[str, ...]] = ()
    of_facetron: ClassVar[tuple[str, ...]] = ("lip", "face")

    def __init__(self, config: ConfigT, training: TrainConfig) -> None:
        super().__init__(config, training)
        self.model: ModelT = self.network(config)
        self.generator, self.parts = self.model, self.model.parts
        seen: tuple[Field, ...] = ("face",) if config.speaker == "face" else ()
        self.fields = (*self.reads, *seen)
        eyes = self.model.eyes.parts
        self.borrows = {part: FACETRON for part in self.of_facetron if part in eyes}
        self.needs = (*self.needs, *(part for part in ("lip",) if part in eyes))
        taken = ("front", "face", *self.learns)
        self.takes = tuple(part for part in taken if part not in self.needs)

    def start_from(self, given: frozenset[str]) -> None:
        super().start_from(given)
        if "face" in given and "face" in self.borrows:
            self.parts["face"].requires_grad_(False).eval()

    @property
    def reader(self) -> nn.Module | None:
        return self.parts.get("lip")


SynthesizerT = TypeVar("SynthesizerT", bound="BaselineSynthesizer")


@dataclass(frozen=True)
class BaselineSynthesizer(SpeechSynthesizer):
    """A trained `BaselineModel` ready to speak; make it with `load`. A subclass names its `system` and
    the class of its model, `network`, and turns what that makes into sound where it is no mel."""

    network: ClassVar[type[BaselineModel]]

    config: BaselineConfig
    model: BaselineModel

    @classmethod
    def load(
        cls: type[SynthesizerT],
        checkpoint: str | Path,
        vocoder: str = AUTO,
        device: str = "auto",
        decoding: Decoding = "greedy",
        seed: int = 0,
    ) -> SynthesizerT:
        """See `SpeechSynthesizer.load`."""
        weights = read_weights(checkpoint, cls.system, device, decoding)
        assert isinstance(weights.config, BaselineConfig)
        model = unfilled(lambda: cls.network(weights.config))
        weights.fill(model.parts)
        model.requires_grad_(False).eval().to(weights.device)
        voice = choose_vocoder(checkpoint, weights, vocoder)
        return cls(*identity(weights), voice, decoding, seed, weights.config, model)

    def spoken(self, frames: Tensor) -> list[Spoken]:
        """(B, T, K) of `BaselineModel.frames`, clips of one length → speech. Here they are log mels, in the
        order of time (K = mels_per_picture · n_mels), and the vocoder says them."""
        per, bands = self.config.mels_per_picture, self.config.mel_spec.n_mels
        mels = frames.reshape(len(frames), -1, bands).transpose(1, 2).numpy()
        assert mels.shape[2] == frames.shape[1] * per
        made = [np.ascontiguousarray(mel, np.float32) for mel in mels]
        waves = self.sounds(made)
        return [Spoken(mel, wave, "") for mel, wave in zip(made, waves, strict=True)]

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns what a table must say of the row beside the system's name."""
        found = ["lips as Facetron's"] if self.config.front == "lip" else []
        if self.config.speaker == "face":
            found.append("with the face")
        return tuple(found)

    @property
    def face_encoder(self) -> nn.Module | None:
        return self.model.eyes.face

    @property
    def face_size(self) -> int:
        return self.config.face_size

    def see_faces(self, stills: Tensor) -> Tensor:
        face = self.model.eyes.face
        assert face is not None
        seen: Tensor = face(encoders.prepare("face", stills, self.config.face).to(self.device))
        return seen

    def speak_alike(self, lips: Sequence[Pictures], faces: Sequence[Float]) -> list[Spoken]:
        # A batch is worth nothing to the recurrences, and clips alone give the same bits in any.
        made = [self._frames(clip, face) for clip, face in zip(lips, faces, strict=True)]
        return self.spoken(torch.stack(made))

    def _frames(self, clip: Pictures, face: Float) -> Tensor:
        """(T, K) of a clip of any length, on the CPU."""
        seen = encoders.prepare("lip", torch.from_numpy(clip), self.config.lip)[None]
        voice = torch.from_numpy(np.asarray(face, np.float32))[None, : self.config.face_size]
        voice = voice.to(self.device)

        def of(span: Tensor) -> Tensor:
            lips = self.model.eyes.read(span.to(self.device))
            return self.model.frames(lips, voice)[0].float().cpu()

        if len(clip) <= WINDOW_FRAMES:
            return of(seen)
        blend: Blend | None = None
        for start, end in windows(len(clip)):
            made = of(seen[:, :, start:end])
            blend = blend or Blend(len(clip), made.shape[1])
            blend.add(start, made)
        assert blend is not None
        return blend.result()


def eye_entries(
    config: BaselineConfig, network: type[BaselineModel], says: str
) -> dict[str, ModuleEntry]:
    """The modules of `Eyes` for `facetron info`; `says` are the source's words on the front."""
    lip, face = config.lip, config.face
    lips = [(lip.input_channels, CLIP_FRAMES, lip.input_px, lip.input_px)]
    found = {}
    if config.front == "lip":
        found["lip encoder"] = ModuleEntry(
            lambda: cast(nn.Module, encoders.build("lip", lip)), lips, "(Facetron's, frozen)", True
        )
    else:
        found["visual encoder"] = ModuleEntry(
            lambda: network.visual_encoder(config), lips, says, True
        )
    if config.speaker == "face":
        found["face encoder"] = ModuleEntry(
            lambda: cast(nn.Module, encoders.build("face", face)),
            [(3, face.input_px, face.input_px)],
            "(Facetron's, frozen)",
            True,
        )
    return found


def shared_departures(config: BaselineConfig) -> list[str]:
    """Lists what departs from any source."""
    spec = config.mel_spec
    lines = [
        f"the house's sound: {spec.sample_rate_hz} Hz, said by the vocoder that all rows share"
    ]
    if config.front == "lip":
        lines.append("front=lip: a trained lip encoder of Facetron, frozen, reads the lips")
    if config.speaker == "face":
        lines.append("speaker=face: a face encoder of Facetron gives the voice")
    return lines
