"""The decoder stage (IV-A, L_Decoder): from lips and a face to a mel; LSGAN, feature matching, L1."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from facetron.model.config import LossConfig, ModelConfig
from facetron.model.discriminators import MelDiscriminator
from facetron.model.excitation import PitchReader
from facetron.model.facetron import Facetron
from facetron.model.losses import mel_loss
from facetron.model.prosody import ProsodyEncoder
from facetron.train.batches import to_model
from facetron.train.collapse import Embeddings
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch
from facetron.train.face import Teacher, face_losses
from facetron.train.lengths import averaged, mel_lengths
from facetron.train.listener import heard, listener_of, require_words, word_losses
from facetron.train.pictures import Exhibit, mels_shown
from facetron.train.stage import (
    Critics,
    FacetronStage,
    Made,
    Pairs,
    generator_loss,
    has_critics,
    with_lengths,
)
from facetron.train.swap import PitchTeacher, SwapValidation, partners, swap_losses
from manifests.errors import BadInput
from manifests.manifest import Manifest


def mel_critic(config: ModelConfig) -> MelDiscriminator:
    """Builds the discriminators of mels, with the perceptual head where the config has it."""
    return MelDiscriminator(config.mel_discriminator, config.mel_spec.n_mels)


def still_reader(facetron: Facetron) -> None:
    """Freezes the layers of the lip encoder that only predict letters: no loss of speech reaches them,
    and processes that train together would wait for their gradients."""
    for layer in facetron.lip.only_spelling():
        layer.requires_grad_(False)


def lips_read(facetron: Facetron, batch: Batch) -> Tensor:
    """Returns (B, T, E) lip embeddings: precomputed ones, where the batch has them."""
    if "reading" in batch:
        beforehand: Tensor = batch["reading"].float()
        return beforehand
    return facetron.read_lips(to_model(batch["lips"]), batch["lengths"]).embedding


class Speaking(nn.Module):
    """Computes Eq. 1 to 3 on a batch."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.facetron = Facetron(config)
        still_reader(self.facetron)
        self.teacher = Teacher(config)
        self.pitch = PitchTeacher(config.vocoder)
        self.swaps = config.loss.swap > 0
        self.listener = listener_of(config)

    def forward(self, batch: Batch) -> Made:
        face = self.facetron.see_face(to_model(batch["face"]))
        lips = lips_read(self.facetron, batch)
        made: Made = {
            "mel": self.facetron.speak(lips, face),
            "face": face,
            "lip": lips,
            "prosody": self.teacher(batch["mel"], mel_lengths(batch)),
            **(swapped(self.facetron, lips, face, batch) if self.swaps else {}),
        }
        return made | heard(self.listener, batch["mel"], made)


def swapped(facetron: Facetron, lips: Tensor, face: Tensor, batch: Batch) -> Made:
    """`swapped`: the mels of a batch's lips with the faces of their `partners`."""
    return {"swapped": facetron.speak(lips, face[partners(batch["speakers"])])}


def voice_losses(
    made: Made,
    batch: Batch,
    prosody: ProsodyEncoder,
    reader: PitchReader | None,
    weights: LossConfig,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the losses that tie the voice to the face: Eq. 5 with its contrastive term, and those of
    swapped faces, where they have weight, as the weighted sum and its terms."""
    loss, members = face_losses(made, batch, weights)
    if weights.swap:
        swap = swap_losses(
            made["swapped"],
            batch["mel"],
            batch["speakers"],
            prosody,
            reader,
            weights.temperature,
            mel_lengths(batch),
        )
        loss = loss + weights.swap * (swap["swap_voice"] + 4 * swap["swap_pitch"])
        members |= swap
    return loss, members


def monitored(mel: Tensor, voice: dict[str, Tensor]) -> Tensor:
    """Returns the value that chooses the best checkpoint where swapped faces have weight: it
    combines a distance of mels with how little the voice follows the face (`voice_losses`)."""
    return mel + 0.1 * voice["swap_voice"] + voice["swap_pitch"]


class VoiceStage(FacetronStage):
    """Base of the stages that give a face its voice: whether embeddings stay apart and voices follow
    faces is measured in every validation. A stage sets `_swaps`."""

    _swaps: SwapValidation

    def __init__(self, config: ModelConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        self._seen = Embeddings("face")
        if config.loss.swap:
            self.monitor = "chosen"

    def survey(self, clips: Manifest) -> None:
        if self.config.loss.words:
            require_words(clips)

    def observe(self, made: Made, batch: Batch) -> None:
        self._seen.add(made["face"], batch["speakers"])
        self._swaps.add(made["lip"], made["face"], batch["mel"], batch["speakers"])

    def metrics(self) -> dict[str, float | None]:
        return self._seen.metrics() | self._swaps.metrics()


class DecoderStage(VoiceStage):
    """Trains the decoder and, with it, the face encoder; the lip encoder too where it is not
    frozen."""

    name = "decoder"
    fields = ("lips", "face", "mel")
    needs = ("lip",)
    takes = ("prosody", "vocoder", "face", "decoder", "mel_discriminator", "listener")
    teachers = ("prosody", "vocoder")
    monitor = "decoder_mel"

    def __init__(self, config: ModelConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        model = Speaking(config)
        self.generator = model
        self.parts = {
            "lip": model.facetron.lip,
            "face": model.facetron.face,
            "decoder": model.facetron.decoder,
            "prosody": model.teacher.prosody,
            "vocoder": model.pitch.vocoder,
        }
        if model.listener is not None:
            self.parts["listener"] = model.listener
        self._swaps = SwapValidation(model.facetron, None)
        if has_critics(config.loss) or config.mel_discriminator.perceptual:
            critic = mel_critic(config)
            self.critic = Critics({"decoder": critic}, config.mel_spec)
            self.parts["mel_discriminator"] = critic

    def pairs(self, made: Made, batch: Batch) -> Pairs:
        return with_lengths("decoder", (batch["mel"], made["mel"]), mel_lengths(batch))

    def start_from(self, given: frozenset[str]) -> None:
        super().start_from(given)
        if self.config.loss.swap and "prosody" not in given:
            raise BadInput(
                "loss.swap compares voices by a prosody encoder, and no checkpoint has one",
                "give the checkpoint of the stage prosody with --from",
            )
        if "vocoder" in given:
            model = self.generator
            assert isinstance(model, Speaking)
            self._swaps.reader = model.pitch.vocoder.pitch

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        weights = self.config.loss
        mel = averaged(mel_loss, mel_lengths(batch), made["mel"], batch["mel"])
        loss, members = generator_loss(self.critic, "decoder", pairs, mel, weights)
        words, of_words = word_losses(made, batch, weights.words)
        loss, members = loss + words, members | of_words
        if "prosody" in self.given:
            model = self.generator
            assert isinstance(model, Speaking)
            reader = self._swaps.reader
            voice, more = voice_losses(made, batch, model.teacher.prosody, reader, weights)
            loss, members = loss + voice, members | more
            if weights.swap:
                members["chosen"] = monitored(mel, more)
        return {"loss": loss, **members}

    def show(self, made: Made, batch: Batch, which: Sequence[int]) -> list[Exhibit]:
        """Returns the mels, with waveforms by Griffin-Lim, since there is no vocoder yet."""
        return mels_shown(batch, which, made["mel"][list(which)], self.config.mel_spec)
