"""The vocoder stage: HiFi-GAN on real mels (III, IV-A)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from facetron.model.config import ModelConfig
from facetron.model.discriminators import WaveDiscriminator
from facetron.model.excitation import Pitch, pitch_loss
from facetron.model.losses import mel_loss, spectral_loss
from facetron.model.vocoder import Vocoder
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch, Field
from facetron.train.pictures import Exhibit, mels_shown
from facetron.train.stage import Critics, FacetronStage, Made, Pairs, generator_loss, has_critics
from manifests.mel import mel_spectrogram
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
        return sounded(self.vocoder, batch["wave_mel"])


def sounded(vocoder: Vocoder, mel: Tensor) -> Made:
    """`wave` of a mel, and where there is a harmonic source its pitch, `octaves` and `voicing`."""
    if vocoder.pitch is None:
        return {"wave": vocoder(mel)}
    pitch = vocoder.pitch(mel)
    wave = vocoder(mel, vocoder.excite(mel, pitch))
    return {"wave": wave, "octaves": pitch.octaves, "voicing": pitch.voicing}


def wave_fields(vocoder: Vocoder) -> tuple[Field, ...]:
    """Targets with which `wave_losses` compares."""
    return ("wave",) if vocoder.pitch is None else ("wave", "pitch")


def wave_losses(
    critic: Critics | None, made: Made, batch: Batch, pairs: Pairs, config: ModelConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """L_Vocoder (IV-A) and, where they have weight, what is not in the paper: the distance of spectra
    and of the source's pitch."""
    weights = config.loss
    mel = wave_mel_loss(made["wave"], batch["wave"], config.mel_spec)
    loss, members = generator_loss(critic, "vocoder", pairs, mel, weights)
    if weights.spectra:
        members["vocoder_spectra"] = spectral_loss(made["wave"], batch["wave"])
        loss = loss + weights.spectra * members["vocoder_spectra"]
    if "octaves" in made:
        pitch = Pitch(made["octaves"], made["voicing"])
        wrong, members["vocoder_pitch_cents"] = pitch_loss(pitch, batch["wave_f0_hz"])
        loss = loss + weights.pitch * wrong
    return loss, members


class VocoderStage(FacetronStage):
    name = "vocoder"
    fields: tuple[Field, ...] = ("wave",)
    takes = ("vocoder", "wave_discriminator")
    monitor = "vocoder_mel"

    def __init__(self, config: ModelConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        model = Sounding(config)
        self.generator = model
        self.parts = {"vocoder": model.vocoder}
        self.fields = wave_fields(model.vocoder)
        if has_critics(config.loss):
            critic = WaveDiscriminator(config.vocoder)
            self.critic = Critics({"vocoder": critic}, config.mel_spec)
            self.parts["wave_discriminator"] = critic

    def pairs(self, made: Made, batch: Batch) -> Pairs:
        return {"vocoder": (batch["wave"], made["wave"])}

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        loss, members = wave_losses(self.critic, made, batch, pairs, self.config)
        return {"loss": loss, **members}

    def show(self, made: Made, batch: Batch, which: Sequence[int]) -> list[Exhibit]:
        """Whole clips, where training hears segments; their mels are those of the sound made."""
        picked, spec = list(which), self.config.mel_spec
        clips = [batch["clips"][i] for i in picked]
        waves = self.parts["vocoder"](batch["mel"][picked])
        mels = mel_spectrogram(waves.float().squeeze(1), spec)
        return mels_shown(clips, batch["mel"][picked], mels, waves, spec)
