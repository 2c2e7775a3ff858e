"""Options of the model: one dataclass per module, every choice that the paper leaves open an option.

The defaults are the paper's model (`paper`); `facetron.model.sizes` has the other sizes. A tuple that
belongs to stages of a network has one entry per stage. Sections III and IV are the paper's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from facetron.model import encoders
from manifests.errors import BadInput
from manifests.language import alphabet
from manifests.mel import PRESETS as MELS
from manifests.specs import VIDEO_FPS, MelSpec

ResBlock = Literal[1, 2]
Mrf = tuple[tuple[int, tuple[int, ...]], ...]
"""Multi-receptive field fusion: (kernel, dilations) of each parallel residual block."""

MRF: dict[int, Mrf] = {
    1: ((3, (1, 3, 5)), (7, (1, 3, 5)), (11, (1, 3, 5))),
    2: ((3, (1, 2)), (5, (2, 6)), (7, (3, 12))),
}
"""HiFi-GAN's own kernels and dilations: residual blocks of type 1 (its V1, V2) and 2 (its V3)."""


@dataclass(frozen=True)
class LipConfig:
    """Lip encoder (III), after LipNet."""

    kind: str = "lipnet"
    """A name in `facetron.model.encoders.LIP`. The other options are those of `lipnet`, but for
    `dropout`, `frozen`, and the field of view of another kind in `input_px` and `input_channels`."""
    input_px: int = 144
    input_channels: Literal[1, 3] = 3
    """3 for color, 1 for gray."""
    channels: tuple[int, ...] = (32, 64, 96)
    bottleneck: int = 32
    """Inner channels of the residual block ("96-32" is read as 96→32→96); 0 leaves it out."""
    residual_scale: float = 0.2
    conv_dropout: float = 0.5
    """Channel-wise, after every convolution."""
    dropout: float = 0.5
    batch_norm: bool = False
    """After every convolution. Not in the paper: training takes a tenth of the steps, which is what a
    CPU can do."""
    gru_hidden: int = 256
    gru_layers: int = 2
    embedding: Literal["fc1", "gru"] = "fc1"
    """What the decoder is given: the first fully connected layer's output, or the Bi-GRU's."""
    fc_size: int = 512
    frozen: bool = True
    """In the decoder's and the joint stage the lip encoder stays as its own stage left it (IV-A)."""
    language: str = "grid"
    """`grid` spells in a to z, `english` with apostrophes as well (`manifests.language`)."""
    width: int = 0
    """Width of the transformer of `av-hubert`, `av-hubert-large` and `auto-avsr`, a multiple of 64; 0 is the
    published one, and likewise the layers."""
    layers: int = 0

    def __post_init__(self) -> None:
        encoders.require("lip", self.kind)
        alphabet(self.language)
        _positive("lip", input_px=self.input_px, gru_hidden=self.gru_hidden, fc_size=self.fc_size)
        _positive("lip", gru_layers=self.gru_layers, channels=min(self.channels, default=0))
        if len(self.channels) != 3 or self.bottleneck < 0:
            raise BadInput(
                f"lip.channels {list(self.channels)} with bottleneck {self.bottleneck}",
                "give three channel counts and a bottleneck of 0 or more",
            )
        side = encoders.LIP_VIEWS_PX.get(self.kind)
        if side and (self.input_px, self.input_channels) != (side, 1):
            raise BadInput(
                f"lip.kind {self.kind} with input_px {self.input_px} and input_channels "
                f"{self.input_channels}",
                f"start from its own options with lip={self.kind}",
            )
        if self.width % 64 or min(self.width, self.layers) < 0:
            raise BadInput(
                f"lip.width {self.width} with lip.layers {self.layers}",
                "give a multiple of 64 and 1 or more, or 0 for the published ones",
            )
        if self.pooled_px < 1:
            raise BadInput(
                f"lip.input_px {self.input_px} is too small for the pooling", "give 16 or more"
            )

    @property
    def pooled_px(self) -> int:
        """Side of the maps after the stride of the first convolution and three poolings."""
        return (self.input_px + 1) // 2 // 2 // 2 // 2

    @property
    def embedding_size(self) -> int:
        """Number of values per frame, which the kind decides."""
        return int(encoders.encoder_class("lip", self.kind).size_of(self))


@dataclass(frozen=True)
class FaceConfig:
    """Face encoder (III), after FaceNet."""

    kind: str = "inception_resnet_v1"
    """A name in `facetron.model.encoders.FACE`."""
    input_px: int = 160
    channels: tuple[int, ...] = (24, 48, 96, 160)
    """Channels of the stages of `residual`; the other kinds have their own."""
    dropout: float = 0.6
    embedding_size: int = 128
    """128 beside a lip embedding of 512 makes the decoder's 640 channels."""

    def __post_init__(self) -> None:
        encoders.require("face", self.kind)
        _positive("face", input_px=self.input_px, embedding_size=self.embedding_size)
        _positive("face", channels=min(self.channels, default=0))
        least_px = {"inception_resnet_v1": 80, "vgg19": 32}.get(self.kind, 1)
        if self.input_px < least_px:
            raise BadInput(
                f"face.input_px {self.input_px} is too small for the pooling",
                f"give {least_px} or more",
            )


GE2E_SIZE = 256
"""Numbers in an embedding of GE2E."""


@dataclass(frozen=True)
class ProsodyConfig:
    """Prosody encoder (IV-A), Mellotron's reference encoder and its global style tokens (GST)."""

    kind: str = "gru"
    """A name in `facetron.model.encoders.PROSODY`. The embedding is the GRU's state (`gru`), the mixture
    of style tokens projected to its size (`gst`), or that of a speaker encoder pretrained on thousands
    of speakers (`ge2e`), of which the other options shape nothing."""
    filters: tuple[int, ...] = (32, 32, 64, 64, 128, 128)
    gru_size: int = 128
    tokens: int = 10
    heads: int = 8
    style_size: int = 256
    embedding_size: int = 128

    def __post_init__(self) -> None:
        encoders.require("prosody", self.kind)
        if self.kind == "ge2e" and self.embedding_size != GE2E_SIZE:
            raise BadInput(
                f"prosody.kind ge2e with prosody.embedding_size {self.embedding_size}",
                f"set prosody.embedding_size and face.embedding_size to {GE2E_SIZE}",
            )
        _positive("prosody", gru_size=self.gru_size, tokens=self.tokens, heads=self.heads)
        _positive("prosody", filters=min(self.filters, default=0), size=self.embedding_size)
        if self.style_size % self.heads:
            raise BadInput(
                f"prosody.style_size {self.style_size} is not a multiple of prosody.heads {self.heads}",
                "give a multiple of the heads",
            )


@dataclass(frozen=True)
class DecoderConfig:
    """Decoder (III), a light HiFi-GAN generator from embeddings to a mel."""

    channels: tuple[int, ...] = (640, 320, 160, 80)
    """The paper's initial 640, halved by each of the three stages as in HiFi-GAN."""
    rates: tuple[int, ...] = (1, 1, 2)
    kernels: tuple[int, ...] = (16, 16, 4)
    resblock: ResBlock = 1
    resblock_kernels: tuple[int, ...] = ()
    """Empty: HiFi-GAN's own for this type of residual block; likewise the dilations."""
    resblock_dilations: tuple[tuple[int, ...], ...] = ()
    output: Literal["linear", "tanh"] = "linear"
    """A log mel is unbounded; `tanh` is for mels scaled to ±1, such as the preset `vca-gan`."""

    def __post_init__(self) -> None:
        _check_stages("decoder", self.rates, self.kernels, len(self.channels) - 1, self.mrf)
        _positive("decoder", channels=min(self.channels))

    @property
    def mrf(self) -> Mrf:
        return _mrf("decoder", self.resblock, self.resblock_kernels, self.resblock_dilations)

    @property
    def upsampling(self) -> int:
        """Mel frames per video frame."""
        return math.prod(self.rates)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Multi-period (MPD) and multi-scale (MSD) discriminators; the defaults are HiFi-GAN's, for
    waveforms."""

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    period_channels: tuple[int, ...] = (32, 128, 512, 1024, 1024)
    period_stride: int = 3
    period_strided: int = 4
    """How many of the layers of a period discriminator have that stride, from the first on."""
    scales: int = 3
    scale_channels: tuple[int, ...] = (128, 128, 256, 512, 1024, 1024, 1024)
    scale_kernels: tuple[int, ...] = (15, 41, 41, 41, 41, 41, 5)
    scale_strides: tuple[int, ...] = (1, 2, 2, 4, 4, 1, 1)
    scale_groups: tuple[int, ...] = (1, 4, 16, 16, 16, 16, 1)

    def __post_init__(self) -> None:
        layers = (self.scale_channels, self.scale_kernels, self.scale_strides, self.scale_groups)
        if len({len(layer) for layer in layers}) != 1 or not self.scale_channels:
            raise BadInput(
                "scale_channels, scale_kernels, scale_strides, scale_groups differ in length",
                "give one entry per layer",
            )
        inputs = (1, *self.scale_channels[:-1])
        for before, after, groups in zip(
            inputs, self.scale_channels, self.scale_groups, strict=True
        ):
            if before % groups or after % groups:
                raise BadInput(
                    f"{groups} groups do not divide {before} → {after} channels",
                    "change scale_groups (the first is 1) or scale_channels",
                )
        if not self.periods or min(self.periods) < 1 or self.scales < 1:
            raise BadInput(
                f"periods {list(self.periods)} with {self.scales} scales", "give at least one each"
            )


@dataclass(frozen=True)
class MelDiscriminatorConfig(DiscriminatorConfig):
    """Discriminators of mels (III): mel bands are the channels of their input."""

    periods: tuple[int, ...] = (2, 3, 5)
    scale_channels: tuple[int, ...] = (80, 160, 240, 480, 960, 960)
    scale_kernels: tuple[int, ...] = (15, 41, 41, 41, 41, 5)
    period_strided: int = 3
    scale_strides: tuple[int, ...] = (1, 2, 2, 2, 2, 1)
    """The paper names no strides. HiFi-GAN's, for waveforms, leave a mel of 150 frames 3, 2 and 1 scores
    of a scale and one per phase of a period; these leave 10, 5 and 3, and two or three. HiFi-GAN's are
    `mel_discriminator=hifigan-strides`."""
    scale_groups: tuple[int, ...] = (1, 4, 16, 16, 16, 1)
    perceptual: bool = False
    """Adds a head that predicts a quality score, MetricGAN's way: the introduction's criterion
    "motivated by a perceptual quality metric", which the paper never specifies. The score is
    `facetron.train.mel_score`'s."""
    perceptual_channels: tuple[int, ...] = (16, 32, 64, 64)


@dataclass(frozen=True)
class VocoderConfig:
    """HiFi-GAN from a mel to a waveform; the default is its V1 at hop 320."""

    mel: str = "facetron"
    """Name of the preset of the mels that it takes; its rates multiply to that mel's hop."""
    channels: int = 512
    """Initial channels, halved by every stage."""
    rates: tuple[int, ...] = (5, 4, 4, 2, 2)
    kernels: tuple[int, ...] = (11, 8, 8, 4, 4)
    istft_hop: int = 0
    """Samples between the frames of an inverse STFT that ends the network in place of its fastest
    stages (iSTFTNet, Kaneko et al., ICASSP 2022); 0 is HiFi-GAN's own end, a waveform."""
    source: Literal["none", "harmonic"] = "none"
    """`harmonic`: a source of pulses, at the pitch that a small network reads from the mel, and of
    noise, which the inverse STFT's spectrum filters (`facetron.model.excitation`). Not in the paper;
    it learns on two cores."""
    resblock: ResBlock = 1
    resblock_kernels: tuple[int, ...] = ()
    resblock_dilations: tuple[tuple[int, ...], ...] = ()
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)

    def __post_init__(self) -> None:
        _check_stages("vocoder", self.rates, self.kernels, len(self.rates), self.mrf)
        hop = math.prod(self.rates) * (self.istft_hop or 1)
        if hop != self.mel_spec.hop_samples:
            raise BadInput(
                f"vocoder.rates {list(self.rates)} and istft_hop {self.istft_hop} multiply to {hop}",
                f"choose rates that multiply to {self.mel_spec.hop_samples}, {self.mel}'s hop",
            )
        if self.source == "harmonic" and not self.istft_hop:
            raise BadInput(
                "vocoder.source=harmonic needs an inverse STFT", "give vocoder.istft_hop as well"
            )
        if self.channels >> len(self.rates) < 1:
            raise BadInput(
                f"vocoder.channels {self.channels} are too few to halve in each stage",
                "give more",
            )

    @property
    def mel_spec(self) -> MelSpec:
        return mel_spec(self.mel)

    @property
    def mrf(self) -> Mrf:
        return _mrf("vocoder", self.resblock, self.resblock_kernels, self.resblock_dilations)


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses and the direction of Eq. 5."""

    mel: float = 45.0
    """Weight of the L1 distance of mels, HiFi-GAN's."""
    features: float = 2.0
    """Weight of the feature matching, HiFi-GAN's."""
    adversarial: float = 1.0
    cs: float = 1.0
    contrastive: float = 0.0
    """Weight of the contrastive term beside the cosine of Eq. 5 (`losses.contrastive_loss`), in the face,
    decoder and joint stages. Not in the paper; it cannot be met by one point for all speakers."""
    temperature: float = 0.1
    """Temperature of the contrastive terms."""
    swap: float = 0.0
    """Weight of clips synthesized with the face of another speaker, in the decoder and joint stages, which
    must sound like the owner of the face (`facetron.train.swap`). Not in the paper."""
    words: float = 0.0
    """Weight of a listener that must recognize the words of the mels made, in the decoder and joint stages
    (`facetron.train.listener`). It knows the words of GRID. Not in the paper."""
    cs_direction: Literal["one_minus_cosine", "literal"] = "one_minus_cosine"
    """`literal` minimizes CS(f, p) as Eq. 5 prints it, which pushes the two apart."""
    perceptual: float = 1.0
    pitch: float = 1.0
    """Weight of a vocoder's pitch, where it has a harmonic source (`excitation.pitch_loss`)."""
    spectra: float = 0.0
    """Weight of the distance of the waveforms' spectra at several resolutions (`losses.spectral_loss`). Not
    in the paper. With `adversarial` and `features` 0 a vocoder trains without discriminators, ten
    times as many steps in the same time, which is what two cores need."""


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides the shape of the whole model."""

    size: str = "paper"
    """The preset that the config started from."""
    mel: str = "facetron"
    """Name of the mel preset that the decoder makes."""
    lip: LipConfig = field(default_factory=LipConfig)
    face: FaceConfig = field(default_factory=FaceConfig)
    prosody: ProsodyConfig = field(default_factory=ProsodyConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    mel_discriminator: MelDiscriminatorConfig = field(default_factory=MelDiscriminatorConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    i2i: Literal["candidate", "literal", "mean", "random"] = "candidate"
    """Nothing depends on it: synthesis chooses the face (`--face`, `facetron.model.i2i`). It stays because
    the options of checkpoints, and the identity of trainings that are taken up again, have it."""

    def __post_init__(self) -> None:
        if self.prosody.embedding_size != self.face.embedding_size:
            raise BadInput(
                f"prosody.embedding_size {self.prosody.embedding_size} beside "
                f"face.embedding_size {self.face.embedding_size}",
                "make them equal: Eq. 5 compares the two",
            )
        rate_hz = self.mel_spec.frame_rate_hz
        if self.decoder.upsampling * VIDEO_FPS != rate_hz:
            raise BadInput(
                f"decoder.rates {list(self.decoder.rates)} make "
                f"{self.decoder.upsampling * VIDEO_FPS} mel frames per second",
                f"choose rates for the {rate_hz:g} frames per second of the mel {self.mel}",
            )

    @property
    def mel_spec(self) -> MelSpec:
        return mel_spec(self.mel)

    @property
    def condition_size(self) -> int:
        """Channels of c_k = concat(l_k, f), Eq. 2."""
        return self.lip.embedding_size + self.face.embedding_size


def mels_per_picture(name: str) -> int:
    """Mel frames of a video frame, of a mel preset. Raises `BadInput` where they are no whole number."""
    rate_hz = mel_spec(name).frame_rate_hz
    if rate_hz % VIDEO_FPS:
        raise BadInput(
            f"the mel {name} has {rate_hz:g} frames per second, no multiple of {VIDEO_FPS}",
            "choose a mel with a whole number of frames per picture, such as facetron",
        )
    return round(rate_hz / VIDEO_FPS)


def mel_spec(name: str) -> MelSpec:
    """The spec of a mel preset. Raises `BadInput` for an unknown name."""
    if name not in MELS:
        raise BadInput(f"there is no mel {name!r}", f"choose one of {', '.join(MELS)}")
    return MELS[name]


def _mrf(
    section: str, resblock: int, kernels: tuple[int, ...], dilations: tuple[tuple[int, ...], ...]
) -> Mrf:
    if not kernels and not dilations:
        return MRF[resblock]
    if len(kernels) != len(dilations):
        raise BadInput(
            f"{section}.resblock_kernels and resblock_dilations differ in length",
            "give one entry per residual block to both, or to neither",
        )
    return tuple(zip(kernels, dilations, strict=True))


def _check_stages(
    section: str, rates: tuple[int, ...], kernels: tuple[int, ...], stages: int, mrf: Mrf
) -> None:
    if not len(rates) == len(kernels) == stages or not rates:
        raise BadInput(
            f"{section}: {len(rates)} rates, {len(kernels)} kernels, {stages} stages of channels",
            "give one entry per stage, and the decoder's channels one more",
        )
    if any(rate < 1 or kernel < rate for rate, kernel in zip(rates, kernels, strict=True)):
        raise BadInput(
            f"{section}.kernels {list(kernels)} with rates {list(rates)}",
            "choose rates of 1 or more and kernels at least as long",
        )
    if any(kernel % 2 == 0 or not dilations for kernel, dilations in mrf):
        raise BadInput(f"{section}: residual blocks {mrf}", "choose odd kernels, some dilations")


def _positive(section: str, **values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise BadInput(f"{section}.{name} is {value}", "give at least 1")
