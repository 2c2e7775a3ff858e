"""WORLD (Morise, Yokomori and Ozawa, 2016) at the sample rate of a build: what vid2voc predicts.

The features are computed once into a cache in the build's folder, `world/KEY/s1/bbaf2n.npz`; the key is
the fingerprint of everything that decides them. The library is the extra `world`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput
from manifests.features import npz, open_arrays
from manifests.io import write_bytes
from manifests.manifest import FeatureRow
from manifests.specs import Spec

Float = NDArray[np.float32]
Double = NDArray[np.float64]

LOWEST_HZ, HIGHEST_HZ = 71.0, 400.0
"""Range of DIO's search; the lower limit decides the length of CheapTrick's FFT as well."""


@dataclass(frozen=True)
class WorldSpec(Spec):
    """Everything that decides the features.

    Attributes:
        sample_rate_hz: of the sound.
        period_ms: between frames; 5 makes 8 of a video frame.
        points: of the log envelope, evenly spaced on a mel axis.
        quiet_ln: least natural logarithm of power, which digital silence is given.
        library: version of pyworld.
    """

    sample_rate_hz: int = 16_000
    period_ms: float = 5.0
    points: int = 60
    quiet_ln: float = -20.0
    library: str = ""

    @property
    def per_picture(self) -> int:
        """Frames of a video frame of 40 ms."""
        return round(40 / self.period_ms)

    @property
    def bands(self) -> int:
        """Aperiodicity bands, 3 kHz wide: 1 at 16 kHz, 5 at 44.1 and 50 kHz."""
        return int(min(15_000, self.sample_rate_hz / 2 - 3000) // 3000)

    @property
    def size(self) -> int:
        """Numbers of a frame: envelope, aperiodicity, log F0 and voicing."""
        return self.points + self.bands + 2


def spec_of(sample_rate_hz: int) -> WorldSpec:
    """The features at a sample rate by the library that is installed.

    Raises:
        BadInput: a rate without an aperiodicity band.
    """
    if sample_rate_hz < 12_000:
        raise BadInput(
            f"WORLD has no aperiodicity band at {sample_rate_hz} Hz", "use sound of 12 kHz or more"
        )
    return WorldSpec(sample_rate_hz=sample_rate_hz, library=_version())


def _version() -> str:
    for name in ("pyworld", "pyworld-prebuilt"):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return ""


def _pyworld() -> Any:
    return importlib.import_module("pyworld")


def analyze(wave: NDArray[np.floating[Any]], spec: WorldSpec) -> Float:
    """DIO with StoneMask, CheapTrick and D4C of (samples,) in ±1.

    Returns:
        (frames, spec.size): `points` natural logarithms of power, `bands` coded aperiodicities in dB,
        the natural logarithm of F0 (0 where unvoiced) and 1 where voiced. There are as many frames as
        whole periods fit the sound.
    """
    world, rate_hz = _pyworld(), spec.sample_rate_hz
    sound = np.ascontiguousarray(wave, np.float64)
    f0_hz, times_s = world.dio(
        sound, rate_hz, f0_floor=LOWEST_HZ, f0_ceil=HIGHEST_HZ, frame_period=spec.period_ms
    )
    f0_hz = world.stonemask(sound, f0_hz, times_s, rate_hz)
    power = world.cheaptrick(sound, f0_hz, times_s, rate_hz, f0_floor=LOWEST_HZ)
    noise = world.code_aperiodicity(world.d4c(sound, f0_hz, times_s, rate_hz), rate_hz)
    frames = round(len(sound) / rate_hz * 1000 / spec.period_ms)
    logs = np.maximum(np.log(np.maximum(power, 1e-300)), spec.quiet_ln)
    bins, points = _axes(power.shape[1], spec)
    coded = np.stack([np.interp(points, bins, row) for row in logs])
    voiced = f0_hz > 0
    pitch = np.log(np.where(voiced, f0_hz, 1.0))
    made = np.concatenate([coded, noise, pitch[:, None], voiced[:, None]], axis=1)
    return np.asarray(made[:frames], np.float32)


def sound_of(features: Float, spec: WorldSpec) -> Float:
    """(frames, spec.size) → (samples,) within ±1. A frame is voiced where the last number is over 0.5;
    its F0 is the median of five inside a voiced run."""
    world, rate_hz = _pyworld(), spec.sample_rate_hz
    values: Double = np.asarray(features, np.float64)
    fft = world.get_cheaptrick_fft_size(rate_hz, LOWEST_HZ)
    bins, points = _axes(fft // 2 + 1, spec)
    logs = np.stack([np.interp(bins, points, row) for row in values[:, : spec.points]])
    power = np.exp(np.clip(logs, spec.quiet_ln, 10.0))
    coded = np.ascontiguousarray(np.minimum(values[:, spec.points : spec.points + spec.bands], 0.0))
    noise = world.decode_aperiodicity(coded, rate_hz, fft)
    f0_hz = smoothed(np.exp(values[:, -2]), values[:, -1] > 0.5)
    sound = world.synthesize(f0_hz, np.ascontiguousarray(power), noise, rate_hz, spec.period_ms)
    samples = round(len(values) * spec.period_ms * rate_hz / 1000)
    sound = np.pad(sound[:samples], (0, max(0, samples - len(sound))))
    return np.asarray(np.clip(sound, -1, 1), np.float32)


def smoothed(f0_hz: Double, voiced: NDArray[np.bool_]) -> Double:
    """(frames,) with 0 where unvoiced, elsewhere the median of up to five frames of the voiced run."""
    found: Double = np.zeros(len(f0_hz))
    edges = np.flatnonzero(np.diff(voiced.astype(np.int8), prepend=0, append=0))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        for t in range(start, end):
            found[t] = np.median(f0_hz[max(start, t - 2) : min(end, t + 3)])
    clipped: Double = np.where(found > 0, np.clip(found, LOWEST_HZ, 2 * HIGHEST_HZ), 0.0)
    return clipped


@lru_cache(maxsize=8)
def _axes(n_bins: int, spec: WorldSpec) -> tuple[Double, Double]:
    """Returns the frequencies of the FFT's bins and of the points, both in mel."""
    bins_hz = np.linspace(0, spec.sample_rate_hz / 2, n_bins)
    bins = 2595 * np.log10(1 + bins_hz / 700)
    return bins, np.linspace(0, bins[-1], spec.points)


def cached(row: FeatureRow, spec: WorldSpec) -> Float:
    """The features of a row of a manifest, from its build's cache or computed into it. Those of shards are
    kept in the folder of the shards.

    Raises:
        BadInput: the sound cannot be read or has another rate, or the cache cannot be read or written.
    """
    path: Path = row.root / "world" / spec.fingerprint() / row.speaker / f"{row.stem}.npz"
    if path.is_file():
        with open_arrays(path, "delete it") as held:
            found: Float = held["features"]
        return found
    wave, rate_hz = row.audio()
    if rate_hz != spec.sample_rate_hz:
        raise BadInput(
            f"{row.path('audio')} has {rate_hz} Hz, not {spec.sample_rate_hz}",
            "build with the model's rate",
        )
    made = analyze(wave, spec)
    try:
        write_bytes(path, npz({"features": made}))
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written ({error}): features of WORLD are kept beside the clips",
            "make the folder writable, or copy it to one that is",
        ) from None
    return made
