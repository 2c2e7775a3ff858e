"""The model beside the paper: what the paper says of each module, and where a config departs from it.

Sections are the paper's. This is the one place that lists the departures; `facetron info` prints it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import nn

from facetron.inventory import ModuleEntry, Shape
from facetron.model import encoders
from facetron.model.config import ModelConfig
from facetron.model.decoder import Decoder
from facetron.model.discriminators import (
    MultiPeriodDiscriminator,
    MultiScaleDiscriminator,
    PerceptualDiscriminator,
)
from facetron.model.sizes import PAPER, PRESETS
from facetron.model.vocoder import Vocoder
from manifests.specs import CLIP_FRAMES, CLIP_SECONDS, CropSpec

PAPER_SAYS = {
    "lip encoder": "III: 144×144 lips, 3 Conv3d, residual block 96-32 of kernel 3 with channel-wise "
    "dropout, spatial pooling and scale 0.2, 2-layer Bi-GRU, 2 FC, CTC",
    "face encoder": "III: after FaceNet: residual blocks of 2-D CNNs, pooling, dropout, batch norm; "
    "one of the 75 frames at random",
    "prosody encoder": "IV-A: Mellotron's, pre-trained, then fine-tuned",
    "decoder": "III: light HiFi-GAN, rates (1, 1, 2), kernels (16, 16, 4), 640 initial channels",
    "mel MPD": "III: periods (2, 3, 5)",
    "mel MSD": "III: convolutions of (80, 160, 240, 480, 960, 960)",
    "mel perceptual": 'I: "motivated by a perceptual quality metric", no more',
    "vocoder": "III: HiFi-GAN",
    "wave MPD": "III: HiFi-GAN's",
    "wave MSD": "III: HiFi-GAN's",
}
"""Section and statement; the paper gives no parameter counts."""

PLANNED: dict[str, tuple[float, float, str]] = {
    "lip encoder": (14.3, 55.7, "the plan counts the Bi-GRU's 2.0 GFLOP twice"),
    "face encoder": (23.5, 2.84, "0.07 M more: the projection 512 → 128"),
    "prosody encoder": (
        0.49,
        0.03,
        "the plan has the style tokens too, which prosody.kind=gst adds (with 0.03 M of projection)",
    ),
    "decoder": (24.0, 3.7, ""),
    "mel MPD": (24.7, 0.18, "the plan has HiFi-GAN's strides"),
    "mel MSD": (
        19.2,
        0.10,
        "the plan has HiFi-GAN's strides, and its GFLOP are those of the first of the three scales",
    ),
    "vocoder": (13.1, 48.0, ""),
}
"""Million parameters and GFLOP per clip, counted independently while the model was planned at the
paper's scale, and why a count here differs."""

SPEAKING = ("lip encoder", "face encoder", "decoder", "vocoder")
"""The modules that synthesis needs; the others only train them."""

READINGS = (
    "Eq. 5 is minimized as 1 − CS(f, p): as printed it would push face and prosody apart "
    "(loss.cs_direction)",
    "Eq. 6 has ‖f_N^Ave − f‖ in its numerator, as the method that it cites; as printed the numerator "
    "holds no f (i2i); its ½ before the arg max is left out, so that the embedding keeps its length",
    "the prosody encoder learns here, by rebuilding speech from its words, unless weights are given "
    "with --from; the paper fine-tunes Mellotron's pretrained one",
    f"the face is one of the {len(range(0, CLIP_FRAMES, CropSpec().face_every))} stills that a build "
    f"stores of each clip, drawn at random; the paper draws from all {CLIP_FRAMES} frames",
    "the decoder drops the frame that a kernel of 16 at rate 1 adds, so that 75 video frames give 150 "
    "mel frames",
)
"""How every size reads what the paper leaves open or prints otherwise."""

GENTLER = (
    "the discriminators of mels have gentler strides than HiFi-GAN's, which leave 150 frames 1 to 3 scores; "
    "the paper names none (mel_discriminator=hifigan-strides)"
)

WITHOUT_TOKENS = (
    "the prosody embedding is the state of Mellotron's reference encoder, without its style tokens "
    "(prosody.kind=gst)"
)
WITHOUT_PERCEPTION = (
    'the discriminators have no criterion "motivated by a perceptual quality metric": the introduction '
    "names it, nothing says what it is (mel_discriminator.perceptual=true is our reading)"
)

NOT_IN_PAPER = {
    "lip.batch_norm": "batch norm after the convolutions of the lips",
    "vocoder.istft_hop": "an inverse STFT ends the vocoder (iSTFTNet)",
    "vocoder.source": "the vocoder has a harmonic source",
    "loss.contrastive": "a contrastive term beside the cosine of Eq. 5",
    "loss.swap": "clips with the face of another speaker in training",
    "loss.words": "a listener that must recognize the words of the mels made, in training",
    "loss.spectra": "a loss of the waveforms' spectra",
    "mel_discriminator.perceptual": "a head that predicts a quality score, our reading of the introduction",
}
"""Options that add what the paper has not."""


def departures(config: ModelConfig) -> list[str]:
    """Returns where a config differs from the paper, a line each: first what is added, then every
    option with another value than the paper's or our reading of it, then how the paper is read."""
    changed = list(_differences(config, PAPER))
    added = [f"{name}: {NOT_IN_PAPER[name]}" for name, _, _ in changed if name in NOT_IN_PAPER]
    other = [
        f"{name}: {_plain(ours)}, where the paper's model has {_plain(theirs)}"
        for name, ours, theirs in changed
        if name not in NOT_IN_PAPER
    ]
    mel, printed = config.mel_discriminator, PRESETS["mel_discriminator"]["hifigan-strides"]
    gentle = (mel.period_strided, mel.scale_strides) != (
        printed.period_strided,
        printed.scale_strides,
    )
    apart = ((gentle, GENTLER), (config.prosody.kind == "gru", WITHOUT_TOKENS))
    missing = (not mel.perceptual, WITHOUT_PERCEPTION)
    readings = (*READINGS, *(text for holds, text in (*apart, missing) if holds))
    return [*(f"not in the paper: {line}" for line in added), *other, *readings]


def _differences(ours: Any, theirs: Any, section: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted option, our value, the paper's) of all options that differ."""
    found: list[tuple[str, Any, Any]] = []
    for entry in dataclasses.fields(ours):
        name = f"{section}{entry.name}"
        one, other = getattr(ours, entry.name), getattr(theirs, entry.name)
        if dataclasses.is_dataclass(one):
            found += _differences(one, other, f"{name}.")
        elif one != other and name != "size":
            found.append((name, one, other))
    return found


def _plain(value: Any) -> str:
    return ", ".join(map(_plain, value)) or "none" if isinstance(value, tuple) else str(value)


def face_encoder(config: ModelConfig) -> nn.Module:
    """E_face of a config, with fresh weights."""
    made: nn.Module = encoders.build("face", config.face)
    return made


def prosody_encoder(config: ModelConfig) -> nn.Module:
    """E_prosody of a config, with fresh weights."""
    made: nn.Module = encoders.build("prosody", config.prosody, config.mel_spec.n_mels)
    return made


def modules(config: ModelConfig) -> dict[str, ModuleEntry]:
    """Every module of a config, in the order of the data's walk, beside the paper's words."""
    as_planned = {name: decides for name, (decides, _, _) in _parts(PAPER).items()}
    return {
        name: ModuleEntry(
            build,
            shapes,
            PAPER_SAYS[name],
            name in SPEAKING,
            *(
                (PLANNED[name][:2], PLANNED[name][2])
                if name in PLANNED and decides == as_planned[name]
                else (None, "")
            ),
        )
        for name, (decides, build, shapes) in _parts(config).items()
    }


Part = tuple[Any, Callable[[], nn.Module], list[Shape]]


def _parts(config: ModelConfig) -> dict[str, Part]:
    """Name → (the options that decide it, how to build it, shapes of its inputs for a clip)."""
    lip, face, mel, vocoder = config.lip, config.face, config.mel_spec, config.vocoder
    mel_shape = (mel.n_mels, CLIP_FRAMES * config.decoder.upsampling)
    vocoder_frames = round(CLIP_SECONDS * vocoder.mel_spec.frame_rate_hz)
    wave_shape = (1, vocoder_frames * vocoder.mel_spec.hop_samples)
    of_mels, of_waves = config.mel_discriminator, vocoder.discriminator
    lips_shape = (lip.input_channels, CLIP_FRAMES, lip.input_px, lip.input_px)
    parts: dict[str, Part] = {
        "lip encoder": (lip, lambda: encoders.build("lip", lip), [lips_shape]),
        "face encoder": (face, lambda: face_encoder(config), [(3, face.input_px, face.input_px)]),
        "prosody encoder": (config.prosody, lambda: prosody_encoder(config), [mel_shape]),
        "decoder": (
            (config.decoder, config.condition_size),
            lambda: Decoder(config.decoder, config.condition_size, mel.n_mels),
            [(config.condition_size, CLIP_FRAMES)],
        ),
        "mel MPD": (of_mels, lambda: MultiPeriodDiscriminator(of_mels, mel.n_mels), [mel_shape]),
        "mel MSD": (of_mels, lambda: MultiScaleDiscriminator(of_mels, mel.n_mels), [mel_shape]),
        "vocoder": (
            vocoder,
            lambda: Vocoder(vocoder),
            [(vocoder.mel_spec.n_mels, vocoder_frames)],
        ),
        "wave MPD": (of_waves, lambda: MultiPeriodDiscriminator(of_waves, 1), [wave_shape]),
        "wave MSD": (of_waves, lambda: MultiScaleDiscriminator(of_waves, 1), [wave_shape]),
    }
    if of_mels.perceptual:
        parts["mel perceptual"] = (
            of_mels,
            lambda: PerceptualDiscriminator(of_mels),
            [mel_shape, mel_shape],
        )
    return parts
