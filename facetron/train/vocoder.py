"""The vocoder stage: HiFi-GAN on real mels (III, IV-A)."""

from __future__ import annotations

from torch import Tensor, nn

from facetron.config import ModelConfig
from facetron.data import Batch
from facetron.discriminators import WaveDiscriminator
from facetron.losses import mel_loss
from facetron.train.config import TrainConfig
from facetron.train.stage import Critics, Made, Pairs, Stage, generator_loss
from facetron.vocoder import Vocoder
from gridprep.mel import mel_spectrogram
from manifests.specs import MelSpec


def wave_mel_loss(made: Tensor, real: Tensor, spec: MelSpec) -> Tensor:
    """L1 between the log mels of (B, 1, samples) waveforms, the last sample's edge alike in both."""
    mels = [mel_spectrogram(wave.float().squeeze(1), spec) for wave in (made, real)]
    return mel_loss(*mels)


class Sounding(nn.Module):
    """A segment of a real mel → its waveform."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.vocoder = Vocoder(config.vocoder)
        self.vocoder.require(config.mel_spec.fingerprint(), f"the mel {config.mel!r}")

    def forward(self, batch: Batch) -> Made:
        return {"wave": self.vocoder(batch["wave_mel"])}


class VocoderStage(Stage):
    name = "vocoder"
    fields = ("wave",)
    takes = ("vocoder", "wave_discriminator")
    monitor = "vocoder_mel"

    def __init__(self, config: ModelConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        model, critic = Sounding(config), WaveDiscriminator(config.vocoder)
        self.generator, self.critic = model, Critics({"vocoder": critic})
        self.parts = {"vocoder": model.vocoder, "wave_discriminator": critic}

    def pairs(self, made: Made, batch: Batch) -> Pairs:
        return {"vocoder": (batch["wave"], made["wave"])}

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        assert self.critic is not None
        mel = wave_mel_loss(made["wave"], batch["wave"], self.config.mel_spec)
        loss, members = generator_loss(self.critic, "vocoder", pairs, mel, self.config.loss)
        return {"loss": loss, **members}
