"""Intelligibility of a synthesized mel beside the real one, computed from mels alone: the target of
the perceptual head.

ESTOI (Jensen and Taal, 2016) correlates the envelopes of third-octave bands over 384 ms, rows and
then columns normalized, frames of silence left out. Here the same is computed on the mel: its bands
are summed into third octaves, its frames are as far apart as the mel's (20 ms, not 12.8 ms), and the
phase plays no part, so the numbers are ours, not ESTOI's, and higher. Measured on 60 real clips, each
in white noise of −10 to 20 dB and out of Griffin-Lim from a mel blurred over 1 to 15 frames: rank
correlation with ESTOI 0.98 (0.96 in noise, 0.96 blurred).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from manifests.errors import BadInput
from manifests.mel import mel_basis
from manifests.precision import full_precision
from manifests.specs import MelSpec

BANDS, LOWEST_HZ = 15, 150.0
"""ESTOI's third octaves: centers 150 Hz · 2^(k/3)."""
SEGMENT_S = 0.384
QUIET = 10 ** (-40 / 20)
"""Frames that are 40 dB or more below the clip's loudest say nothing."""
TINY = 1e-8


def mel_estoi(made: Tensor, real: Tensor, spec: MelSpec) -> Tensor:
    """Correlation of short-time band envelopes, both (B, n_mels, T) log mels of `spec`.

    Returns:
        (B,) in 0 … 1, without gradient: 1 for the real mel itself at any level. A clip whose real mel
        is silent throughout gets 0.

    Raises:
        BadInput: mels of different shapes, or shorter than a segment.
    """
    frames = round(SEGMENT_S * spec.frame_rate_hz)
    if made.shape != real.shape or real.ndim != 3 or real.shape[1] != spec.n_mels:
        raise BadInput(
            f"mels of shapes {tuple(made.shape)} and {tuple(real.shape)}",
            f"pass two of (batch, {spec.n_mels}, frames)",
        )
    if real.shape[2] < frames:
        raise BadInput(f"mels of {real.shape[2]} frames", f"pass at least {frames}")
    with torch.no_grad(), full_precision(real.device):
        spoken, heard = _envelopes(real, spec), _envelopes(made, spec)
        energy = spoken.square().sum(dim=1)  # (B, T)
        loud = energy > energy.amax(dim=1, keepdim=True) * QUIET**2
        loud &= energy.amax(dim=1, keepdim=True) > BANDS * (10 * spec.floor) ** 2
        a, b = (_normalized(x.unfold(2, frames, 1)) for x in (spoken, heard))
        alike = (a * b).sum(dim=1)  # (B, segments, frames): correlation of each frame's bands
        weight = loud.unfold(1, frames, 1).to(alike.dtype)
        score = (alike * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2)).clamp(min=1)
        return score.clamp(0, 1)


def _envelopes(mel: Tensor, spec: MelSpec) -> Tensor:
    """(B, n_mels, T) log mel → (B, BANDS, T) magnitudes in third octaves."""
    values = (mel.float() - spec.offset) / spec.scale
    if spec.log == "db":
        values = values * (np.log(10) / 20)
    magnitude = values.clamp(max=25.0).exp()  # a wild prediction must stay a number
    bands = torch.from_numpy(_third_octaves(spec)).to(mel.device)
    return torch.einsum("kn,bnt->bkt", bands, magnitude.square()).sqrt()


@lru_cache(maxsize=8)
def _third_octaves(spec: MelSpec) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(BANDS, n_mels): which mel bands lie in which third octave, by their middle."""
    basis = mel_basis(spec)
    bins_hz = np.linspace(0, spec.sample_rate_hz / 2, basis.shape[1])
    middles_hz = basis @ bins_hz / np.maximum(basis.sum(axis=1), 1e-12)
    number = np.rint(3 * np.log2(np.maximum(middles_hz, 1) / LOWEST_HZ))
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = (
        number[None] == np.arange(BANDS)[:, None]
    ).astype(np.float32)
    return found


def _normalized(segments: Tensor) -> Tensor:
    """(B, BANDS, segments, frames): each band over time, then each frame over the bands, to mean 0
    and length 1."""
    for axis in (3, 1):
        segments = segments - segments.mean(dim=axis, keepdim=True)
        length = torch.linalg.vector_norm(segments, dim=axis, keepdim=True)
        segments = segments / length.clamp(min=TINY)
    return segments
