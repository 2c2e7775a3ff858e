"""The vocoder stage: HiFi-GAN on real mels (III, IV-A)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from facetron.config import ModelConfig
from facetron.data import Batch, Field
from facetron.discriminators import WaveDiscriminator
from facetron.excitation import Pitch, pitch_loss
from facetron.losses import mel_loss, spectral_loss
from facetron.train.config import TrainConfig
from facetron.train.pictures import Exhibit, mels_shown
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
        mel = batch["wave_mel"]
        if self.vocoder.pitch is None:
            return {"wave": self.vocoder(mel)}
        pitch = self.vocoder.pitch(mel)
        wave = self.vocoder(mel, self.vocoder.excite(mel, pitch))
        return {"wave": wave, "octaves": pitch.octaves, "voicing": pitch.voicing}


class VocoderStage(Stage):
    name = "vocoder"
    fields: tuple[Field, ...] = ("wave",)
    takes: tuple[str, ...] = ("vocoder", "wave_discriminator")
    monitor = "vocoder_mel"

    def __init__(self, config: ModelConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        model, weights = Sounding(config), config.loss
        self.generator = model
        self.parts = {"vocoder": model.vocoder}
        if model.vocoder.pitch is not None:
            self.fields = ("wave", "pitch")
        if weights.adversarial or weights.features:
            critic = WaveDiscriminator(config.vocoder)
            self.critic = Critics({"vocoder": critic}, config.mel_spec)
            self.parts["wave_discriminator"] = critic
        else:
            self.takes = ("vocoder",)

    def pairs(self, made: Made, batch: Batch) -> Pairs:
        return {"vocoder": (batch["wave"], made["wave"])}

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        weights = self.config.loss
        mel = wave_mel_loss(made["wave"], batch["wave"], self.config.mel_spec)
        if self.critic is None:
            loss, members = weights.mel * mel, {"vocoder_mel": mel}
        else:
            loss, members = generator_loss(self.critic, "vocoder", pairs, mel, weights)
        if weights.spectra:
            members["vocoder_spectra"] = spectral_loss(made["wave"], batch["wave"])
            loss = loss + weights.spectra * members["vocoder_spectra"]
        if "octaves" in made:
            pitch = Pitch(made["octaves"], made["voicing"])
            wrong, members["vocoder_pitch_cents"] = pitch_loss(pitch, batch["wave_f0_hz"])
            loss = loss + weights.pitch * wrong
        return {"loss": loss, **members}

    def show(self, made: Made, batch: Batch, which: Sequence[int]) -> list[Exhibit]:
        """Whole clips, where training hears segments; their mels are those of the sound made."""
        picked, spec = list(which), self.config.mel_spec
        clips = [batch["clips"][i] for i in picked]
        waves = self.parts["vocoder"](batch["mel"][picked])
        mels = mel_spectrogram(waves.float().squeeze(1), spec)
        return mels_shown(clips, batch["mel"][picked], mels, waves, spec)
