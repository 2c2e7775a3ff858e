"""Frozen descriptions of features. A spec is the identity of an extractor: equal specs mean that
features may be mixed, and `fingerprint()` is what rows, checkpoints and run directories store.

After lhotse's idea that the configuration *is* the extractor; unlike HiFi-GAN's mel cache, whose key
left out n_fft and rate, the fingerprint covers every field.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from manifests.errors import BadInput, SpecMismatch

VIDEO_FPS = 25
CLIP_FRAMES = 75
CLIP_SECONDS = CLIP_FRAMES / VIDEO_FPS
ALIGN_UNITS_PER_SECOND = 25_000
"""GRID `.align` files count in 1/25000 s (1000 units are one video frame)."""

SpecT = TypeVar("SpecT", bound="Spec")


@dataclass(frozen=True)
class Spec:
    """Base of all specs: plain values only, so that the JSON form is canonical."""

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls: type[SpecT], values: dict[str, Any]) -> SpecT:
        """Inverse of `to_dict`. Raises `BadInput` for a field that this version does not know."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise BadInput(
                f"{cls.__name__} has no field {', '.join(unknown)}", "use the version that wrote it"
            )
        return cls(**{name: _frozen(value) for name, value in values.items()})

    def fingerprint(self) -> str:
        """16 hex digits over the class name and every field."""
        return _fingerprint(self)

    def require(self, other_fingerprint: str, what: str) -> None:
        """Raises `SpecMismatch` unless `what` was made with exactly this spec."""
        if other_fingerprint != self.fingerprint():
            raise SpecMismatch(
                f"{what} has {type(self).__name__} {other_fingerprint}, "
                f"but {self.fingerprint()} is needed",
                "rebuild it with the same parameters",
            )


def _frozen(value: Any) -> Any:
    """JSON's lists as tuples, at any depth: a spec can be compared and hashed."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@cache
def _fingerprint(spec: Spec) -> str:
    text = json.dumps([type(spec).__name__, spec.to_dict()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class AudioSpec(Spec):
    """Mono PCM cut or right-padded to the clip's length.

    The default is the paper's 16 kHz (V) and GRID's length; 3 s are 48,000 samples.

    Example:
        >>> from manifests import AudioSpec
        >>> spec = AudioSpec()
        >>> spec.clip_samples / spec.sample_rate_hz
        3.0
        >>> spec.require(AudioSpec(sample_rate_hz=22_050).fingerprint(), "another build")
        Traceback (most recent call last):
        ...
        manifests.errors.SpecMismatch: another build has AudioSpec ...
    """

    sample_rate_hz: int = 16_000
    clip_samples: int = 48_000
    """0: as long as the pictures, `frames · sample_rate_hz / 25`, for corpora whose clips have any
    length."""
    downmix: Literal["mean"] = "mean"
    """Channels are averaged: ffmpeg's `-ac 1` to float is 1.414 times too loud."""
    resampler: Literal["soxr_hq"] = "soxr_hq"


@dataclass(frozen=True)
class MelSpec(Spec):
    """Everything that decides a log-mel value. Presets live in `manifests.mel.PRESETS`.

    Steps, in order: high-pass, peak normalization, pre-emphasis, clip to [-1, 1], padding, Hann STFT,
    magnitude `sqrt(re² + im² + magnitude_eps)`, mel filter bank, `log` with `floor`, then
    `value * scale + offset`, then optional clipping.

    Example:
        >>> from manifests import MelSpec
        >>> mel = MelSpec(hop_samples=160)
        >>> mel.frames(48_000), mel.frame_rate_hz
        (300, 100.0)
        >>> mel == MelSpec.from_dict(mel.to_dict()), mel.fingerprint() == MelSpec().fingerprint()
        (True, False)
    """

    sample_rate_hz: int = 16_000
    n_fft: int = 1024
    win_samples: int = 1024
    hop_samples: int = 320
    n_mels: int = 80
    fmin_hz: float = 0.0
    fmax_hz: float = 8000.0
    padding: Literal["hop", "center"] = "hop"
    """`hop`: reflect by (n_fft - hop) / 2 on both sides, T = samples / hop (HiFi-GAN).
    `center`: reflect by n_fft / 2, T = samples / hop + 1 (librosa)."""
    magnitude_eps: float = 1e-9
    log: Literal["ln", "db"] = "ln"
    floor: float = 1e-5
    highpass_hz: float = 0.0
    """0 is off; else a 7th-order Butterworth run forwards and backwards (VCA-GAN)."""
    peak: float = 0.0
    """0 is off; else the clip is scaled so that its largest absolute sample is this."""
    preemphasis: float = 0.0
    clip_audio: bool = False
    scale: float = 1.0
    offset: float = 0.0
    clip_min: float | None = None
    clip_max: float | None = None

    def frames(self, n_samples: int) -> int:
        """Mel frames of `n_samples` samples."""
        return n_samples // self.hop_samples + (1 if self.padding == "center" else 0)

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate_hz / self.hop_samples


@dataclass(frozen=True)
class LandmarkSpec(Spec):
    """Detection and cleaning of landmarks.

    Example:
        >>> from manifests import LandmarkSpec
        >>> LandmarkSpec().fingerprint() == LandmarkSpec(every=1).fingerprint()
        False
    """

    backend: str = "facemesh"
    every: int = 2
    """Landmarks on every k-th frame (and between, where the mouth turns fast), the rest
    interpolated; 1 is every frame. With 2, 99.97 % of the crop centers of real clips move by less than
    half a pixel (`benchmarks --only landmark-steps`)."""
    smooth_sigma_frames: float = 3.5
    """Gaussian over the eyes-and-nose points, as wide as the field's 12-frame mean, but symmetric."""
    options: tuple[tuple[str, str], ...] = ()
    """Backend options that change the points, as sorted (name, value) pairs."""


@dataclass(frozen=True)
class CropSpec(Spec):
    """Geometry and storage of lip and face crops (paper III: lips 144×144).

    A similarity warp brings the stable points (eyes, nose) onto the mean face in a
    `reference_px`² frame; 144² cut at 384² shows what 96² shows at 256² (auto_avsr), so
    pretrained lip readers can be fed by downsizing.

    Example:
        >>> from manifests import CropSpec
        >>> spec = CropSpec(lips_px=96)
        >>> 75 // spec.face_every, spec == CropSpec()
        (15, False)
    """

    reference_px: int = 384
    lips_px: int = 144
    face_px: int = 160
    face_every: int = 5
    """A face still is stored of every k-th frame: 5 keeps 15 of the 75."""
    mouth_sigma_frames: float = 1.5
    """Gaussian over the mouth-center track that the lip crop follows; 0 follows every frame."""
    lips_codec: str = "mjpeg90"
    face_codec: str = "jpeg90"
