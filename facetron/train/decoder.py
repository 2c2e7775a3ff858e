"""The decoder stage: lips and a face become a mel (IV-A): LSGAN + feature matching + 45 · L1."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from facetron.model.config import ModelConfig
from facetron.model.discriminators import MelDiscriminator
from facetron.model.facetron import Facetron
from facetron.model.losses import mel_loss
from facetron.train.batches import to_model
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch
from facetron.train.pictures import Exhibit, mels_shown
from facetron.train.stage import Critics, Made, Pairs, Stage, generator_loss, has_critics


def mel_critic(config: ModelConfig) -> MelDiscriminator:
    """The discriminators of mels, with the perceptual head where the config asks for it."""
    return MelDiscriminator(config.mel_discriminator, config.mel_spec.n_mels)


def still_reader(facetron: Facetron) -> None:
    """Fixes the layers of the lip encoder that only spell: no loss of speech reaches them, and
    processes that train together would wait for their gradients."""
    lip = facetron.lip
    lip.fc2.requires_grad_(False)
    if lip.config.embedding == "gru":
        lip.fc1.requires_grad_(False)


def lips_read(facetron: Facetron, batch: Batch) -> Tensor:
    """(B, T, E) lip embeddings: those read beforehand, where the batch has them."""
    if "reading" in batch:
        beforehand: Tensor = batch["reading"].float()
        return beforehand
    return facetron.read_lips(to_model(batch["lips"])).embedding


class Speaking(nn.Module):
    """Eq. 1 to 3 on a batch."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.facetron = Facetron(config)
        still_reader(self.facetron)

    def forward(self, batch: Batch) -> Made:
        face = self.facetron.see_face(to_model(batch["face"]))
        return {"mel": self.facetron.speak(lips_read(self.facetron, batch), face)}


class DecoderStage(Stage):
    """Trains the decoder and, with it, the face encoder; the lip encoder too where it is not
    frozen."""

    name = "decoder"
    fields = ("lips", "face", "mel")
    needs = ("lip",)
    takes = ("face", "decoder", "mel_discriminator")
    monitor = "decoder_mel"

    def __init__(self, config: ModelConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        model = Speaking(config)
        self.generator = model
        self.parts = {
            "lip": model.facetron.lip,
            "face": model.facetron.face,
            "decoder": model.facetron.decoder,
        }
        if has_critics(config.loss) or config.mel_discriminator.perceptual:
            critic = mel_critic(config)
            self.critic = Critics({"decoder": critic}, config.mel_spec)
            self.parts["mel_discriminator"] = critic

    def pairs(self, made: Made, batch: Batch) -> Pairs:
        return {"decoder": (batch["mel"], made["mel"])}

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        mel = mel_loss(made["mel"], batch["mel"])
        loss, members = generator_loss(self.critic, "decoder", pairs, mel, self.config.loss)
        return {"loss": loss, **members}

    def show(self, made: Made, batch: Batch, which: Sequence[int]) -> list[Exhibit]:
        """The mels, said by Griffin-Lim: there is no vocoder yet."""
        picked = list(which)
        clips = [batch["clips"][i] for i in picked]
        real, mel = batch["mel"][picked], made["mel"][picked]
        return mels_shown(clips, real, mel, None, self.config.mel_spec)
