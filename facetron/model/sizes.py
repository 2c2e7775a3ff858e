"""Sizes of the model by name, and how a config comes about: size ← YAML ← `--set`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from facetron import options
from facetron.model import encoders
from facetron.model.config import (
    DecoderConfig,
    DiscriminatorConfig,
    FaceConfig,
    LipConfig,
    MelDiscriminatorConfig,
    ModelConfig,
    ProsodyConfig,
    VocoderConfig,
)

V1 = VocoderConfig()
V2 = VocoderConfig(channels=128, rates=(8, 5, 4, 2), kernels=(16, 11, 8, 4))
V3 = VocoderConfig(channels=256, rates=(8, 8, 5), kernels=(16, 16, 11), resblock=2)
SOURCE = VocoderConfig(
    channels=256, rates=(4,), kernels=(8,), istft_hop=80, resblock=2, source="harmonic"
)
"""HiFi-GAN with a harmonic source and an inverse STFT: learns in minutes on two cores what V3 does not
learn in a day; see `VocoderConfig.source`."""
V1_FROM_22K = replace(V1, rates=(8, 5, 4, 2), kernels=(16, 11, 8, 4))
"""V1 in as many stages as the published one, so that its weights can start a training at hop 320: all
but two of the upsampling layers fit."""
V1_22K = VocoderConfig("hifigan-22k", 512, (8, 8, 2, 2), (16, 16, 4, 4))
V2_22K = replace(V1_22K, channels=128)
V3_22K = VocoderConfig("hifigan-22k", 256, (8, 8, 4), (16, 16, 8), resblock=2)

PAPER = ModelConfig()

SMALL = ModelConfig(
    size="small",
    lip=LipConfig(
        input_px=56,
        input_channels=1,
        channels=(16, 32, 64),
        bottleneck=16,
        conv_dropout=0.1,
        dropout=0.3,
        batch_norm=True,
        gru_hidden=128,
        fc_size=256,
    ),
    face=FaceConfig(kind="residual", dropout=0.2),
    prosody=ProsodyConfig(filters=(16, 16, 32, 32, 64, 64)),
    decoder=DecoderConfig(channels=(160, 128, 112, 96), resblock=2),
    mel_discriminator=MelDiscriminatorConfig(
        period_channels=(32, 64, 128, 128),
        period_strided=3,
        scale_channels=(64, 64, 128, 128, 256, 256),
        scale_strides=(1, 2, 2, 2, 2, 1),
        perceptual_channels=(8, 16, 32, 32),
    ),
    vocoder=replace(
        SOURCE,
        discriminator=DiscriminatorConfig(
            period_channels=(16, 32, 64, 128, 128),
            scales=2,
            scale_channels=(32, 32, 64, 128, 128, 128, 128),
        ),
    ),
)
"""Small variant that trains on two cores: 56² gray lips, a lip encoder of about a million parameters,
about five million in all modules that synthesis needs. `facetron info --size small` lists where it
departs from the paper. Its discriminators are small too; they are not shipped."""

DEBUG = ModelConfig(
    size="debug",
    lip=LipConfig(
        input_px=16,
        input_channels=1,
        channels=(4, 4, 6),
        bottleneck=2,
        gru_hidden=8,
        fc_size=12,
    ),
    face=FaceConfig(kind="residual", input_px=32, channels=(4, 6), embedding_size=8),
    prosody=ProsodyConfig(
        filters=(2, 4, 4), gru_size=8, tokens=4, heads=2, style_size=8, embedding_size=8
    ),
    decoder=DecoderConfig(
        channels=(12, 8, 8, 8), resblock=2, resblock_kernels=(3,), resblock_dilations=((1, 2),)
    ),
    mel_discriminator=MelDiscriminatorConfig(
        periods=(2, 3),
        period_channels=(4, 6),
        period_strided=1,
        scales=2,
        scale_channels=(4, 8),
        scale_kernels=(5, 9),
        scale_strides=(1, 2),
        scale_groups=(1, 4),
        perceptual_channels=(2, 4),
    ),
    vocoder=VocoderConfig(
        channels=16,
        rates=(8, 8, 5),
        kernels=(16, 16, 11),
        resblock=2,
        resblock_kernels=(3,),
        resblock_dilations=((1, 2),),
        discriminator=DiscriminatorConfig(
            periods=(2, 3),
            period_channels=(2, 4),
            period_strided=1,
            scales=2,
            scale_channels=(4, 8),
            scale_kernels=(5, 9),
            scale_strides=(1, 4),
            scale_groups=(1, 4),
        ),
    ),
)
"""For tests: the real code at a thousandth of the cost."""

SIZES: dict[str, ModelConfig] = {"paper": PAPER, "small": SMALL, "debug": DEBUG}

VOCODERS: dict[str, VocoderConfig] = {
    "v1": V1,
    "v2": V2,
    "v3": V3,
    "v1-from-22k": V1_FROM_22K,
    "v1-22k": V1_22K,
    "v2-22k": V2_22K,
    "v3-22k": V3_22K,
}
"""HiFi-GAN's three versions at the paper's hop of 320 and, for published weights, as published."""

LIPS: dict[str, LipConfig] = {
    kind: LipConfig(kind=kind, input_px=side, input_channels=1, dropout=0.1)
    for kind, side in encoders.LIP_VIEWS_PX.items()
}
"""Lip encoders that others published, as `--set lip=NAME`."""

SECTIONS = ("lip", "face", "prosody", "decoder", "mel_discriminator", "vocoder")

PRESETS = options.presets_of(list(SIZES.values()), SECTIONS)
PRESETS["vocoder"] = {**PRESETS["vocoder"], **VOCODERS}
PRESETS["lip"] = {**PRESETS["lip"], **LIPS}
PRESETS["mel_discriminator"] = {
    **PRESETS["mel_discriminator"],
    "hifigan-strides": replace(
        PAPER.mel_discriminator, period_strided=4, scale_strides=(1, 2, 2, 4, 4, 1)
    ),
}


def model_config(
    size: str | None = None, file: Path | None = None, sets: Sequence[str] = ()
) -> ModelConfig:
    """The options of a Facetron from its sizes; see `facetron.options.configure`."""
    config: ModelConfig = options.configure(PRESETS, size, file, sets)
    return config
