"""What a config amounts to: every module's shapes, parameters and arithmetic, beside the paper.

Modules are built on PyTorch's `meta` device, so that nothing is allocated and nothing computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from facetron.model.config import ModelConfig
from facetron.model.decoder import Decoder
from facetron.model.discriminators import (
    Judgment,
    MultiPeriodDiscriminator,
    MultiScaleDiscriminator,
    PerceptualDiscriminator,
)
from facetron.model.face import FaceEncoder
from facetron.model.lip import LipEncoder
from facetron.model.prosody import ProsodyEncoder
from facetron.model.sizes import PAPER
from facetron.model.vocoder import Vocoder
from manifests.specs import CLIP_FRAMES, CLIP_SECONDS

Shape = tuple[int, ...]

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
    "mel MPD": (24.7, 0.18, ""),
    "mel MSD": (19.2, 0.10, "the plan's GFLOP are those of the first of the three scales"),
    "vocoder": (13.1, 48.0, ""),
}
"""Million parameters and GFLOP a clip, counted independently while the model was planned at the
paper's scale, and why a count here differs."""

SPEAKING = ("lip encoder", "face encoder", "decoder", "vocoder")
"""The modules that synthesis needs; the others only train them."""


@dataclass(frozen=True)
class ModuleRow:
    """One module of a config.

    Attributes:
        name: as in `PAPER_SAYS`.
        input_shapes: without the batch.
        output_shapes: without the batch; of a discriminator its scores.
        parameters: how many.
        gflop: 10⁹ operations (two a multiply-add) forward for one clip of 3 s; convolutions and
            matrix products only.
        planned: million parameters and GFLOP planned, where the config is the paper's; else None.
    """

    name: str
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    parameters: int
    gflop: float
    planned: tuple[float, float] | None = None


def inventory(config: ModelConfig) -> list[ModuleRow]:
    """A row a module, in the order of the data's walk."""
    rows = []
    as_planned = _modules(PAPER)
    for name, (section, build, shapes) in _modules(config).items():
        module, outputs, gflop = measured(build, shapes)
        as_paper = name in PLANNED and section == as_planned[name][0]
        rows.append(
            ModuleRow(
                name,
                tuple(shapes),
                outputs,
                sum(p.numel() for p in module.parameters()),
                gflop,
                PLANNED[name][:2] if as_paper else None,
            )
        )
    return rows


Entry = tuple[Any, Callable[[], nn.Module], Sequence[Shape]]


def _modules(config: ModelConfig) -> dict[str, Entry]:
    """Name → (what decides it, how to build it, shapes of its inputs for a clip)."""
    lip, face, mel, vocoder = config.lip, config.face, config.mel_spec, config.vocoder
    mel_shape = (mel.n_mels, CLIP_FRAMES * config.decoder.upsampling)
    vocoder_frames = round(CLIP_SECONDS * vocoder.mel_spec.frame_rate_hz)
    wave_shape = (1, vocoder_frames * vocoder.mel_spec.hop_samples)
    of_mels, of_waves = config.mel_discriminator, vocoder.discriminator
    modules: dict[str, Entry] = {
        "lip encoder": (
            lip,
            lambda: LipEncoder(lip),
            [(lip.input_channels, CLIP_FRAMES, lip.input_px, lip.input_px)],
        ),
        "face encoder": (face, lambda: FaceEncoder(face), [(3, face.input_px, face.input_px)]),
        "prosody encoder": (
            config.prosody,
            lambda: ProsodyEncoder(config.prosody, mel.n_mels),
            [mel_shape],
        ),
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
        modules["mel perceptual"] = (
            of_mels,
            lambda: PerceptualDiscriminator(of_mels),
            [mel_shape, mel_shape],
        )
    return modules


def measured(
    build: Callable[[], nn.Module], shapes: Sequence[Shape]
) -> tuple[nn.Module, tuple[Shape, ...], float]:
    """Builds a module without memory and runs it once.

    Returns:
        The module (on `meta`), the shapes of its outputs without the batch, GFLOP of one item.
    """
    with torch.device("meta"):
        module = build().eval()
        inputs = [torch.empty(1, *shape) for shape in shapes]
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        output = module(*inputs)
    return module, tuple(_shapes(output)), counter.get_total_flops() / 1e9


def _shapes(output: Any) -> list[Shape]:
    if isinstance(output, Tensor):
        return [tuple(output.shape[1:])]
    if isinstance(output, Judgment):
        return _shapes(output.score)
    return [shape for item in output for shape in _shapes(item)]
