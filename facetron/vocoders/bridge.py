"""Mels of one spec as mels of another: what lets a vocoder speak that was trained on other mels.

A mel band is a mean over frequency of the spectrum's magnitude per Hz, taken with a window of the
spec's length. So the bridge reads the magnitude per Hz at the centers of the bands, interpolates it
(its logarithm) between them and between the frames' centers, and averages it by the other spec's
filters. What lies above the band of the given mel stays silent. Nothing is learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from manifests.errors import SpecMismatch
from manifests.mel import frame_centers_samples, invert, mel_basis
from manifests.specs import MelSpec

Float = NDArray[np.float32]

SHARPENINGS = 2
"""How often what was read between the centers of bands is corrected by what those bands then average
to: without it, averaging again would smooth the spectrum."""


@dataclass(frozen=True)
class VocoderMel:
    """The options that decide the mels that a vocoder was trained on: natural logarithms of magnitudes.

    Attributes:
        sample_rate_hz, n_fft, hop_samples, n_mels, fmin_hz, fmax_hz: as in `MelSpec`; the window is as
            long as `n_fft`.
        scale: `slaney`, filters of unit area as librosa's; `htk`, filters of unit height on the
            scale of HTK, as torchaudio's by default.
        floor: least magnitude.
        centered: whether a frame's center is at its start (one frame more) or half a hop later.
    """

    sample_rate_hz: int
    n_fft: int
    hop_samples: int
    n_mels: int
    fmin_hz: float
    fmax_hz: float
    scale: Literal["slaney", "htk"] = "slaney"
    floor: float = 1e-5
    centered: bool = False

    @classmethod
    def of(cls, spec: MelSpec) -> VocoderMel:
        """The same of a `MelSpec`. Raises `SpecMismatch` for one that filters or scales otherwise."""
        plain = MelSpec(
            spec.sample_rate_hz, spec.n_fft, spec.n_fft, spec.hop_samples, spec.n_mels,
            spec.fmin_hz, spec.fmax_hz, spec.padding, spec.magnitude_eps, floor=spec.floor,
        )  # fmt: skip
        if spec != plain:
            raise SpecMismatch(
                "the vocoder takes mels that are filtered or scaled in a way of their own",
                "give it mels of its own spec",
            )
        return cls(
            spec.sample_rate_hz, spec.n_fft, spec.hop_samples, spec.n_mels, spec.fmin_hz,
            spec.fmax_hz, "slaney", spec.floor, spec.padding == "center",
        )  # fmt: skip

    @property
    def bins_hz(self) -> NDArray[np.float64]:
        bins = np.arange(self.n_fft // 2 + 1, dtype=np.float64)
        return bins * (self.sample_rate_hz / self.n_fft)

    def filters(self) -> NDArray[np.float64]:
        """(n_mels, n_fft // 2 + 1)."""
        if self.scale == "slaney":
            spec = MelSpec(
                self.sample_rate_hz, self.n_fft, self.n_fft, self.hop_samples, self.n_mels,
                self.fmin_hz, self.fmax_hz,
            )  # fmt: skip
            return mel_basis(spec)
        low, high = (2595 * math.log10(1 + hz / 700) for hz in (self.fmin_hz, self.fmax_hz))
        edges = 700 * (10 ** (np.linspace(low, high, self.n_mels + 2) / 2595) - 1)
        lower, center, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
        rising = (self.bins_hz - lower) / (center - lower)
        falling = (upper - self.bins_hz) / (upper - center)
        return np.asarray(np.maximum(0, np.minimum(rising, falling)))

    def frames(self, seconds: float) -> int:
        """Frames of a sound of this length, the last one filled up."""
        hops = math.ceil(seconds * self.sample_rate_hz / self.hop_samples - 1e-6)
        return hops + self.centered

    def centers_s(self, frames: int) -> NDArray[np.float64]:
        """(frames,) time of the center of each frame."""
        offset = 0 if self.centered else self.hop_samples / 2
        return (np.arange(frames) * self.hop_samples + offset) / self.sample_rate_hz


def bridge(mel: NDArray[np.floating[Any]], spec: MelSpec, to: VocoderMel) -> Float:
    """Converts a log mel.

    Args:
        mel: (n_mels, T) of `spec`.
        to: the mels to make.

    Returns:
        (to.n_mels, T') log mel, T' frames that span the same time.

    Raises:
        BadInput: another number of bands, or NaN or infinite values.
    """
    logs = np.log(invert(mel, spec).astype(np.float64))
    read, average, given, gain = _maps(spec, to)
    seconds = logs.shape[1] * spec.hop_samples / spec.sample_rate_hz
    given_s = frame_centers_samples(logs.shape[1], spec) / spec.sample_rate_hz
    wanted_s = to.centers_s(to.frames(seconds))
    timed = np.stack([np.interp(wanted_s, given_s, band) for band in logs])
    wanted = timed + gain
    log_per_hz = read @ wanted
    for _ in range(SHARPENINGS):
        seen = np.log(np.maximum(given @ np.exp(log_per_hz), spec.floor))
        log_per_hz += read @ (wanted - seen)
    per_hz = np.exp(log_per_hz)
    per_hz[to.bins_hz > spec.fmax_hz] = 0.0
    return np.log(np.maximum(average @ per_hz, to.floor)).astype(np.float32)


@lru_cache(maxsize=8)
def _maps(spec: MelSpec, to: VocoderMel) -> tuple[NDArray[np.float64], ...]:
    """(bins, n_mels) that reads logarithms at bins, (to.n_mels, bins) and (n_mels, bins) that average
    magnitudes per Hz to bands of the one and the other, and (n_mels, 1) to add before."""
    basis, width_hz = mel_basis(spec), spec.sample_rate_hz / spec.n_fft
    bins_hz = np.arange(spec.n_fft // 2 + 1) * width_hz
    total = basis.sum(1)
    centers_hz = (basis @ bins_hz) / total
    places = np.interp(to.bins_hz, centers_hz, np.arange(len(centers_hz)))
    lower = np.minimum(places.astype(int), len(centers_hz) - 2)
    read = np.zeros((len(places), len(centers_hz)))
    rows = np.arange(len(places))
    read[rows, lower], read[rows, lower + 1] = 1 - (places - lower), places - lower
    # A filter over few bins has not quite unit area; and what emphasized the sound is taken back.
    gain = -np.log(total * width_hz)
    if spec.preemphasis:
        angles = 2j * np.pi * centers_hz / spec.sample_rate_hz
        gain -= np.log(np.abs(1 - spec.preemphasis * np.exp(-angles)))
    gain += _window_gain(spec, to)
    step_hz = to.sample_rate_hz / to.n_fft
    same_bands = replace(
        to, n_mels=spec.n_mels, fmin_hz=spec.fmin_hz, fmax_hz=spec.fmax_hz, scale="slaney"
    ).filters()
    area = same_bands.sum(1, keepdims=True)
    given = np.where(area > 0, same_bands / np.where(area > 0, area, 1), read.T)
    return read, to.filters() * step_hz, given, gain[:, None]


def _window_gain(spec: MelSpec, to: VocoderMel) -> float:
    """Returns how much louder, in natural logarithms, a window makes speech per Hz. Tones grow with the
    window's samples, noise with their power 3/2 over the root of the rate; speech is between, three
    quarters of the way, as measured on recordings of GRID (what is left is below 0.2 dB)."""
    samples = math.log(to.n_fft / spec.win_samples)
    tones = samples
    noise = 1.5 * samples - 0.5 * math.log(to.sample_rate_hz / spec.sample_rate_hz)
    return 0.25 * tones + 0.75 * noise
