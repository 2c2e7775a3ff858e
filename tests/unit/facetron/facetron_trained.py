"""A checkpoint as a joint stage leaves it, of the debug size and with weights that nobody trained."""

from __future__ import annotations

from pathlib import Path

import torch

from facetron import options
from facetron.checkpoints import checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.model.config import ModelConfig
from facetron.model.facetron import FaceToSpeech
from facetron.model.prosody import ProsodyEncoder
from facetron.model.sizes import DEBUG

PARTS = ("lip", "face", "decoder", "vocoder", "prosody")
CROP = "0123456789abcdef"


def make_checkpoint(
    path: Path,
    speakers: tuple[str, ...] = ("s3",),
    parts: tuple[str, ...] = PARTS,
    config: ModelConfig = DEBUG,
    crop: str = CROP,
    mel: str = "",
    seed: int = 0,
) -> Path:
    """In half precision, as bundled weights are."""
    torch.manual_seed(seed)
    whole = FaceToSpeech(config)
    modules = {
        "lip": whole.facetron.lip,
        "face": whole.facetron.face,
        "decoder": whole.facetron.decoder,
        "vocoder": whole.vocoder,
        "prosody": ProsodyEncoder(config.prosody, config.mel_spec.n_mels),
    }
    tensors = checkpoint.named({part: modules[part] for part in parts})
    halves = {
        name: value.half() if value.is_floating_point() else value
        for name, value in tensors.items()
    }
    info = CheckpointInfo(
        stage="joint",
        config=options.to_dict(config),
        parts=parts,
        mel=mel or config.mel_spec.fingerprint(),
        crop=crop,
        speakers=speakers,
    )
    checkpoint.save(path, halves, info, words=False)
    return path
