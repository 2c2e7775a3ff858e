"""The joint stage (IV-A, Eq. 4): lip encoder, face encoder, decoder and vocoder, end to end."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facetron.model.config import ModelConfig
from facetron.model.discriminators import WaveDiscriminator
from facetron.model.facetron import FaceToSpeech
from facetron.model.losses import mel_loss, total_loss
from facetron.train.batches import to_model
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch, Field
from facetron.train.decoder import (
    VoiceStage,
    lips_read,
    mel_critic,
    monitored,
    still_reader,
    swapped,
    voice_losses,
)
from facetron.train.face import Teacher
from facetron.train.lengths import averaged, mel_lengths
from facetron.train.listener import heard, listener_of, word_losses
from facetron.train.pictures import Exhibit, mels_shown
from facetron.train.stage import (
    Critics,
    Made,
    Pairs,
    generator_loss,
    has_critics,
    with_lengths,
)
from facetron.train.swap import SwapValidation
from facetron.train.vocoder import sounded, wave_fields, wave_losses, wave_pair


class EndToEnd(nn.Module):
    """Computes a mel from lips and a face, and a waveform from a segment of it, with f and p of Eq. 5."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.whole = FaceToSpeech(config)
        still_reader(self.whole.facetron)
        self.teacher = Teacher(config)
        self.swaps = config.loss.swap > 0
        self.listener = listener_of(config)

    def forward(self, batch: Batch) -> Made:
        facetron = self.whole.facetron
        face = facetron.see_face(to_model(batch["face"]))
        lips = lips_read(facetron, batch)
        mel = facetron.speak(lips, face)
        length = batch["wave_mel"].shape[-1]
        frames = batch["wave_start"][:, None] + torch.arange(length, device=mel.device)
        segment = mel.gather(2, frames[:, None].expand(-1, mel.shape[1], -1))
        made: Made = {
            "mel": mel,
            "face": face,
            "lip": lips,
            "prosody": self.teacher(batch["mel"], mel_lengths(batch)),
            **(swapped(facetron, lips, face, batch) if self.swaps else {}),
            **sounded(self.whole.vocoder, segment),
        }
        return made | heard(self.listener, batch["mel"], made)


class JointStage(VoiceStage):
    name = "joint"
    fields: tuple[Field, ...] = ("lips", "face", "mel", "wave")
    needs = ("lip", "face", "prosody", "decoder", "vocoder")
    takes = ("mel_discriminator", "wave_discriminator", "listener")
    monitor = "vocoder_mel"

    def __init__(self, config: ModelConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        model = EndToEnd(config)
        facetron = model.whole.facetron
        self.generator = model
        self.fields = ("lips", "face", "mel", *wave_fields(model.whole.vocoder))
        self.parts = {
            "lip": facetron.lip,
            "face": facetron.face,
            "prosody": model.teacher.prosody,
            "decoder": facetron.decoder,
            "vocoder": model.whole.vocoder,
        }
        if model.listener is not None:
            self.parts["listener"] = model.listener
        if has_critics(config.loss) or config.mel_discriminator.perceptual:
            mels, waves = mel_critic(config), WaveDiscriminator(config.vocoder)
            self.critic = Critics({"decoder": mels, "vocoder": waves}, config.mel_spec)
            self.parts |= {"mel_discriminator": mels, "wave_discriminator": waves}
        self._swaps = SwapValidation(facetron, model.whole.vocoder.pitch)

    def pairs(self, made: Made, batch: Batch) -> Pairs:
        return {
            **with_lengths("decoder", (batch["mel"], made["mel"]), mel_lengths(batch)),
            **wave_pair(made, batch, self.config),
        }

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        """Eq. 4."""
        weights = self.config.loss
        mel = averaged(mel_loss, mel_lengths(batch), made["mel"], batch["mel"])
        decoder, of_decoder = generator_loss(self.critic, "decoder", pairs, mel, weights)
        vocoder, of_vocoder = wave_losses(self.critic, made, batch, pairs, self.config)
        model = self.generator
        assert isinstance(model, EndToEnd)
        prosody, reader = model.teacher.prosody, model.whole.vocoder.pitch
        voice, of_voice = voice_losses(made, batch, prosody, reader, weights)
        words, of_words = word_losses(made, batch, weights.words)
        loss = total_loss(decoder, voice, vocoder) + words
        if weights.swap:
            of_voice["chosen"] = monitored(of_vocoder["vocoder_mel"], of_voice)
        return {"loss": loss, **of_voice, **of_decoder, **of_vocoder, **of_words}

    def show(self, made: Made, batch: Batch, which: Sequence[int]) -> list[Exhibit]:
        """Returns the decoder's mels, and the vocoder's waveforms of whole clips."""
        mel = made["mel"][list(which)].float()
        return mels_shown(batch, which, mel, self.config.mel_spec, self.parts["vocoder"](mel))
