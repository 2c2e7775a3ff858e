"""The smallest system that can be registered, in one file: grey lips, a linear layer, a mel.

It shows what a system has to bring, and that nothing else of the project need be changed for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from facetron.inventory import ModuleEntry
from facetron.model import encoders
from facetron.model.config import LipConfig, mel_spec
from facetron.model.losses import mel_loss
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
from facetron.systems import System, SystemConfig
from facetron.train import augment
from facetron.train.batches import to_model
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch
from facetron.train.stage import Made, Pairs, Stage
from facetron.vocoders.registry import AUTO
from manifests.specs import MelSpec


@dataclass(frozen=True)
class ToyConfig:
    size: str = "paper"
    mel: str = "facetron"
    lip: LipConfig = field(default_factory=lambda: LipConfig(input_px=16, input_channels=1))
    width: int = 32

    @property
    def mel_spec(self) -> MelSpec:
        return mel_spec(self.mel)


SIZES = {
    "paper": ToyConfig(),
    "small": ToyConfig("small", width=16),
    "debug": ToyConfig("debug", width=4),
}
PRESETS = {"": SIZES}


class ToyModel(nn.Module):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.spec = config.mel_spec
        self.into = nn.Linear(config.lip.input_px**2, config.width)
        self.out = nn.Linear(config.width, 2 * self.spec.n_mels)

    def forward(self, lips: Tensor) -> Tensor:
        """(B, 1, T, H, W) → (B, n_mels, 2 · T)."""
        hidden = torch.tanh(self.into(lips[:, 0].flatten(2)))
        frames: Tensor = self.out(hidden).unflatten(-1, (2, -1)).flatten(1, 2)
        return frames.transpose(1, 2)


class Mapping(nn.Module):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.toy = ToyModel(config)

    def forward(self, batch: Batch) -> Made:
        return {"mel": self.toy(to_model(batch["lips"]))}


class ToyStage(Stage[ToyConfig]):
    name = "toy"
    fields = ("lips", "mel")
    takes = ("toy",)

    def __init__(self, config: ToyConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        model = Mapping(config)
        self.generator, self.parts = model, {"toy": model.toy}

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        return {"loss": mel_loss(made["mel"], batch["mel"])}


def defaults(stage: str, config: SystemConfig) -> TrainConfig:
    return TrainConfig(epochs=2, learning_rate=1e-3, augment=augment.NONE)


@dataclass(frozen=True)
class ToySynthesizer(SpeechSynthesizer):
    system: ClassVar[str] = "toy"

    config: ToyConfig
    model: ToyModel

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        vocoder: str = AUTO,
        device: str = "auto",
        decoding: Decoding = "greedy",
        seed: int = 0,
    ) -> ToySynthesizer:
        weights = read_weights(checkpoint, cls.system, device, decoding)
        assert isinstance(weights.config, ToyConfig)
        model = ToyModel(weights.config)
        weights.fill({"toy": model})
        model.requires_grad_(False).eval()
        voice = choose_vocoder(checkpoint, weights, vocoder)
        return cls(*identity(weights), voice, decoding, seed, weights.config, model)

    def speak_alike(self, lips: Sequence[Pictures], faces: Sequence[Float]) -> list[Spoken]:
        spoken = []
        for clip in lips:
            batch = encoders.prepare("lip", torch.from_numpy(clip), self.config.lip)[None]
            mel = self.model(batch)[0].numpy()
            spoken.append(Spoken(mel, self.sounds([mel])[0], ""))
        return spoken


def modules(config: ToyConfig) -> dict[str, ModuleEntry]:
    side = config.lip.input_px
    return {"toy": ModuleEntry(lambda: ToyModel(config), [(1, 75, side, side)], "a test", True)}


def departures(config: ToyConfig) -> list[str]:
    return []


SYSTEM = System(
    name="toy",
    label="Toy",
    source="A test",
    presets="toy_system:PRESETS",
    stages={"toy": "toy_system:ToyStage"},
    defaults="toy_system:defaults",
    synthesizer="toy_system:ToySynthesizer",
    parts=("toy",),
    needed=("toy",),
    inventory="toy_system:modules",
    departures="toy_system:departures",
)
