"""The parts of a model that are timed one by one, with inputs of 3 s clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facetron.model import ctc
from facetron.model.config import ModelConfig
from facetron.model.face import face_input
from facetron.model.facetron import FaceToSpeech
from facetron.model.lip import lip_input
from facetron.published.norms import remove_norms
from facetron.vocoders.griffin_lim import GriffinLim
from manifests.specs import CLIP_FRAMES, CropSpec

SENTENCE = "bin blue at f two now"


class Subject(NamedTuple):
    """Attributes:
    name: in tables.
    run: called with the inputs.
    inputs: (clips, device) → what it is called with.
    module: of PyTorch; None for what computes with NumPy on the CPU, one core at a time.
    batches: whether several clips go together.
    """

    name: str
    run: Callable[..., object]
    inputs: Callable[[int, torch.device], tuple[Any, ...]]
    module: nn.Module | None
    batches: bool = True


class LipsToWave(nn.Module):
    """Everything between stored crops and sound."""

    def __init__(self, model: FaceToSpeech) -> None:
        super().__init__()
        self.model = model

    def forward(self, lips: Tensor, stills: Tensor) -> Tensor:
        """(B, T, H, H, 3) and (B, H, H, 3), both uint8 → (B, 1, samples)."""
        config = self.model.facetron.config
        seen = lip_input(lips, config.lip), face_input(stills, config.face)
        wave: Tensor = self.model(*seen).wave
        return wave


def subjects(config: ModelConfig) -> dict[str, Subject]:
    """By name, with weights that nobody trained, which cost as much as any."""
    torch.manual_seed(0)
    model = FaceToSpeech(config)
    remove_norms(model)
    model.eval()
    net, lip, face, spec = model.facetron, config.lip, config.face, config.mel_spec
    crop, frames = CropSpec(), CLIP_FRAMES
    lips = (lip.input_channels, frames, lip.input_px, lip.input_px)
    mel = (spec.n_mels, frames * config.decoder.upsampling)
    whole = LipsToWave(model)
    parts = [
        _module("lip encoder", net.lip, lips),
        _module("face encoder", net.face, (3, face.input_px, face.input_px)),
        _module("decoder", net.decoder, (config.condition_size, frames)),
        _module("vocoder", model.vocoder, mel),
        Subject("lips to wave", whole, lambda n, where: _crops(n, frames, crop, where), whole),
        Subject("CTC greedy", ctc.greedy, _letters, None),
        Subject("CTC beam", ctc.beam, _letters, None),
        Subject("CTC grammar", _grammar, _letters, None),
        Subject(
            "Griffin-Lim",
            GriffinLim(spec),
            lambda n, where: (_quiet_mel(mel), np.random.default_rng(0)),
            None,
            batches=False,
        ),
    ]
    return {part.name: part for part in parts}


def _module(name: str, module: nn.Module, shape: tuple[int, ...]) -> Subject:
    def inputs(n: int, where: torch.device) -> tuple[Tensor]:
        return (torch.randn(n, *shape, generator=torch.Generator().manual_seed(0)).to(where),)

    return Subject(name, module, inputs, module)


def _crops(n: int, frames: int, crop: CropSpec, where: torch.device) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    sides = (n, frames, crop.lips_px, crop.lips_px, 3), (n, crop.face_px, crop.face_px, 3)
    lips, stills = (torch.randint(256, s, generator=rng, dtype=torch.uint8) for s in sides)
    return lips.to(where), stills.to(where)


def _letters(n: int, _where: torch.device) -> tuple[NDArray[np.float32]]:
    """(n, T, 28) logits as sure as those of a reader that is right nine times in ten."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(n, CLIP_FRAMES, len(ctc.VOCABULARY))).astype(np.float32)
    classes = np.array(ctc.encode(SENTENCE))
    frames = np.linspace(5, CLIP_FRAMES - 5, len(classes)).astype(int)
    said = np.zeros(CLIP_FRAMES, np.int64)
    said[frames] = classes
    logits[:, np.arange(CLIP_FRAMES), said] += 5
    return (logits,)


def _grammar(logits: NDArray[np.float32]) -> object:
    return ctc.beam(logits, allowed=ctc.grid_sentences())


def _quiet_mel(shape: tuple[int, int]) -> NDArray[np.float32]:
    """(n_mels, T) log mel of noise at a low level."""
    return np.random.default_rng(0).normal(-6, 1, shape).astype(np.float32)
