"""Interface between the training loop and its stages, and functions that several stages share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from facetron import systems
from facetron.model.config import LossConfig, ModelConfig
from facetron.model.discriminators import PerceptualDiscriminator
from facetron.model.losses import (
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    perceptual_discriminator_loss,
    perceptual_loss,
)
from facetron.systems import SystemConfig
from facetron.train.collapse import Embeddings
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch, Field
from facetron.train.lengths import LENGTHS, averaged
from facetron.train.mel_score import mel_estoi
from facetron.train.pictures import Exhibit
from manifests.manifest import Manifest
from manifests.specs import MelSpec

ConfigT = TypeVar("ConfigT", bound=SystemConfig)

Made = dict[str, Tensor]
"""What a generator made of a batch, by name."""

Pairs = dict[str, tuple[Tensor, Tensor]]
"""Name of a critic → (real, made) for it to tell apart."""


class Critics(nn.Module):
    """The discriminators of a stage. Its forward is their own loss, so that processes that train
    together (DDP) see one forward for one backward.

    Args:
        critics: by name. One with a perceptual head compares mels.
        spec: of those mels.
    """

    def __init__(self, critics: Mapping[str, nn.Module], spec: MelSpec) -> None:
        super().__init__()
        self.critics, self.spec = nn.ModuleDict(critics), spec

    def forward(self, pairs: Pairs) -> Tensor:
        """LSGAN, the discriminators' side, over all critics, and what a perceptual head is to learn:
        the score that `facetron.train.mel_score` measures."""
        losses = []
        for name, (real, made) in pairs.items():
            if not name.endswith(LENGTHS):
                lengths = lengths_of(name, pairs)
                told = partial(self._told, name)
                losses.append(averaged(told, lengths, real, made.detach()))
                if self.head(name) is not None:
                    scored = partial(self._scored, name)
                    losses.append(averaged(scored, lengths, real, made.detach()))
        return torch.stack(losses).sum()

    def _told(self, name: str, real: Tensor, made: Tensor) -> Tensor:
        critic = self.critics[name]
        return discriminator_loss(critic(real), critic(made))

    def _scored(self, name: str, real: Tensor, made: Tensor) -> Tensor:
        head = self.head(name)
        assert head is not None
        measured = mel_estoi(made, real, self.spec)
        return perceptual_discriminator_loss(head(made, real), measured, head(real, real))

    def head(self, name: str) -> PerceptualDiscriminator | None:
        """The perceptual head of a critic that has one."""
        found = getattr(self.critics[name], "perceptual", None)
        return found if isinstance(found, PerceptualDiscriminator) else None

    def against(self, name: str, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """The generator's side for one critic: (adversarial, feature matching)."""

        def both(real: Tensor, made: Tensor) -> Tensor:
            with torch.no_grad():
                of_real = self.critics[name](real)
            of_made = self.critics[name](made)
            return torch.stack([adversarial_loss(of_made), feature_loss(of_real, of_made)])

        adversarial, features = averaged(both, lengths_of(name, pairs), *pairs[name])
        return adversarial, features


def lengths_of(name: str, pairs: Pairs) -> Tensor | None:
    """(B,) how long the samples of a critic are; None where all are as long as the batch."""
    found = pairs.get(name + LENGTHS)
    return None if found is None else found[1]


def with_lengths(name: str, pair: tuple[Tensor, Tensor], lengths: Tensor | None) -> Pairs:
    """The samples of a critic, with their lengths where there are any."""
    return {name: pair} if lengths is None else {name: pair, name + LENGTHS: (lengths, lengths)}


class Stage(ABC, Generic[ConfigT]):
    """One training of a system; Facetron's are those of IV-A.

    Attributes:
        generator: everything that the stage learns or uses; its forward maps a batch to `Made`.
        critic: discriminators, or None.
        parts: name → module stored in checkpoints.
    """

    name: ClassVar[str]
    system: str = systems.DEFAULT
    """Name of the system; `facetron.train.run.create` sets it."""
    fields: tuple[Field, ...]
    needs: tuple[str, ...] = ()
    """Parts that must come from a checkpoint."""
    takes: tuple[str, ...] = ()
    """Parts that are taken from a checkpoint where one is given; without discriminators, the others."""
    teachers: ClassVar[tuple[str, ...]] = ()
    """Parts in `takes` that the stage only listens to; its losses do without those not given."""
    monitor: str = "loss"
    """The validation metric, smaller is better, that the best checkpoint is chosen by."""

    watched: ClassVar[str] = ""
    """Embeddings in `Made` whose collapse a validation measures (`facetron.train.collapse`)."""

    borrows: Mapping[str, str] = {}
    """Parts that may also come from a checkpoint of another system: part → its system."""

    def __init__(self, config: ConfigT, training: TrainConfig) -> None:
        self.config, self.training = config, training
        self.generator: nn.Module
        self.critic: Critics | None = None
        self.parts: dict[str, nn.Module] = {}
        self.given: frozenset[str] = frozenset()
        """Parts that came from a checkpoint, set by `start_from`."""
        self._embeddings = Embeddings(self.watched) if self.watched else None

    def start_from(self, given: frozenset[str]) -> None:
        """Takes note of the parts that came from checkpoints. Teachers that did not are no parts of
        this stage's checkpoints: their weights would be random."""
        self.given = given
        for part in set(self.teachers) - given:
            self.parts.pop(part, None)

    def survey(self, clips: Manifest) -> None:
        """Sees the training clips once before the first step, for statistics of what is learned.
        Whatever is kept of them lies in buffers of a part, so that it comes with a checkpoint."""

    def begin(self, step: int) -> None:
        """Told before every step how many came before it, for what changes over a training. It is
        a function of that number alone: a run that is taken up again is then the same."""

    @property
    def segment_frames(self) -> int:
        return self.training.segment_frames

    @property
    def clips_per_speaker(self) -> int:
        """Returns how many clips of each speaker a batch has, for losses that compare speakers; 0 draws
        clips without regard to whose they are."""
        return 0

    @property
    def reader(self) -> nn.Module | None:
        """The frozen lip encoder of a stage that only uses it: its embeddings may be computed
        beforehand (`train.lip_variants`), and come in batches as `reading` in place of `lips`."""
        return None

    def pairs(self, made: Made, batch: Batch) -> Pairs:
        """Returns the pairs that the discriminators compare; none without discriminators."""
        return {}

    @abstractmethod
    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        """Scalars to log, means over the clips; `loss` is the one to minimize."""

    def observe(self, made: Made, batch: Batch) -> None:
        """Sees every batch of a validation, for `metrics`."""
        if self._embeddings is not None:
            self._embeddings.add(made[self.watched], batch["speakers"])

    def metrics(self) -> dict[str, float | None]:
        """Returns the metrics of all batches observed since the last call; None marks a value
        that cannot be known."""
        return {} if self._embeddings is None else self._embeddings.metrics()

    def warnings(self, line: Mapping[str, Any]) -> list[str]:
        """Returns what has gone wrong although the loss need not show it, a sentence each.

        Args:
            line: the epoch's line of the log: `epoch`, `step`, and metrics by their name after
                `train_` or `val_`, None where one cannot be known.
        """
        return []

    def show(self, made: Made, batch: Batch, which: Sequence[int]) -> list[Exhibit]:
        """Returns the displayable parts of some clips of a validation batch."""
        return []


class FacetronStage(Stage[ModelConfig]):
    """A stage of Facetron, whose lip encoder is trained beforehand and then frozen (IV-A)."""

    @property
    def reader(self) -> nn.Module | None:
        return self.parts["lip"] if "lip" in self.needs and self.config.lip.frozen else None


def has_critics(weights: LossConfig) -> bool:
    """Returns whether discriminators are used: without a weight on their losses they would only
    cost time."""
    return bool(weights.adversarial or weights.features)


def generator_loss(
    critic: Critics | None, name: str, pairs: Pairs, mel: Tensor, weights: LossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """L_Decoder and L_Vocoder alike (IV-A): LSGAN + feature matching + L1 of mels, HiFi-GAN's
    weights, and MetricGAN's loss where there is a perceptual head; the L1 alone without critics.
    Returns the sum and its members; `…_estoi` is the score that the head is to predict, of what was
    made."""
    if critic is None:
        return weights.mel * mel, {f"{name}_mel": mel}
    adversarial, features = critic.against(name, pairs)
    total = weights.adversarial * adversarial + weights.features * features + weights.mel * mel
    members = {
        f"{name}_mel": mel,
        f"{name}_adversarial": adversarial,
        f"{name}_features": features,
    }
    head = critic.head(name)
    if head is not None:
        predicted = head

        def heard(real: Tensor, made: Tensor) -> Tensor:
            score = mel_estoi(made, real, critic.spec).mean()
            return torch.stack([perceptual_loss(predicted(made, real)), score])

        members[f"{name}_perceptual"], members[f"{name}_estoi"] = averaged(
            heard, lengths_of(name, pairs), *pairs[name]
        )
        total = total + weights.perceptual * members[f"{name}_perceptual"]
    return total, members
