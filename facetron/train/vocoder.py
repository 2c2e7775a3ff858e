"""The vocoder stage: HiFi-GAN on real mels (III, IV-A)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facetron.model.config import ModelConfig
from facetron.model.discriminators import WaveDiscriminator
from facetron.model.excitation import Pitch, pitch_loss
from facetron.model.losses import mel_loss, spectral_loss
from facetron.model.vocoder import Vocoder
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch, Field
from facetron.train.lengths import averaged, wave_lengths
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
    spec = config.mel_spec
    frames, samples = wave_lengths(batch), wave_lengths(batch, spec.hop_samples)

    def by_mels(made: Tensor, real: Tensor) -> Tensor:
        return wave_mel_loss(made, real, spec)

    mel = averaged(by_mels, samples, made["wave"], batch["wave"])
    loss, members = generator_loss(critic, "vocoder", pairs, mel, weights)
    if weights.spectra:
        members["vocoder_spectra"] = averaged(spectral_loss, samples, made["wave"], batch["wave"])
        loss = loss + weights.spectra * members["vocoder_spectra"]
    if "octaves" in made:

        def by_pitch(octaves: Tensor, voicing: Tensor, f0_hz: Tensor) -> Tensor:
            return torch.stack(pitch_loss(Pitch(octaves, voicing), f0_hz))

        wrong, members["vocoder_pitch_cents"] = averaged(
            by_pitch, frames, made["octaves"], made["voicing"], batch["wave_f0_hz"]
        )
        loss = loss + weights.pitch * wrong
    return loss, members


def wave_pair(made: Made, batch: Batch, config: ModelConfig) -> Pairs:
    """Returns the waveforms that the discriminators compare."""
    lengths = wave_lengths(batch, config.mel_spec.hop_samples)
    return with_lengths("vocoder", (batch["wave"], made["wave"]), lengths)


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
        return wave_pair(made, batch, self.config)

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        loss, members = wave_losses(self.critic, made, batch, pairs, self.config)
        return {"loss": loss, **members}

    def show(self, made: Made, batch: Batch, which: Sequence[int]) -> list[Exhibit]:
        """Whole clips, where training hears segments; their mels are those of the sound made."""
        spec = self.config.mel_spec
        waves = self.parts["vocoder"](batch["mel"][list(which)])
        mels = mel_spectrogram(waves.float().squeeze(1), spec)
        return mels_shown(batch, which, mels, spec, waves)
