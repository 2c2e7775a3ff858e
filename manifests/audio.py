"""Sound files that the programs write, and the key that they carry; several channels as one."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from manifests.errors import BadInput
from manifests.io import write_bytes

ADD_PEAK_CHUNK = 0x1050
"""libsndfile's SFC_SET_ADD_PEAK_CHUNK."""

SILENT_CHANNEL_DBFS = -70.0
"""A channel below this carries nothing."""
CANCELLED_DB = -20.0
"""A mean of channels that is this much below them: they are one sound and its negative."""

FloatT = TypeVar("FloatT", bound=np.floating[Any])


@dataclass(frozen=True)
class Mono(Generic[FloatT]):
    """Several channels as one.

    Attributes:
        samples: (n,), of the channels' type.
        channels: how many there were.
        kept: how many of them `samples` is the mean of.
        cancelled: whether the others were left out because the mean of all would be next to nothing.
    """

    samples: NDArray[FloatT]
    channels: int
    kept: int
    cancelled: bool = False


def to_mono(sound: NDArray[FloatT]) -> Mono[FloatT]:
    """Averages the channels that carry sound.

    A silent channel (of a stereo file with one side, or of 5.1 with a voice in the middle) is left out:
    averaged in, it would only lower the level. Of channels that cancel each other, as a balanced line
    into a stereo input does, the loudest one is taken. NaN counts as sound, so that it is seen.

    Args:
        sound: (n, channels).
    """
    channels = sound.shape[1]
    if channels == 1:
        return Mono(sound[:, 0], 1, 1)
    with np.errstate(invalid="ignore", over="ignore"):
        power = np.array([_power(sound[:, channel]) for channel in range(channels)])
        sounding = ~(power < 10 ** (SILENT_CHANNEL_DBFS / 10))
        kept = sound[:, sounding] if sounding.any() and not sounding.all() else sound
        if kept.shape[1] == 2:
            # A sum of two columns: a mean over pairs takes twenty times as long, to the same values.
            mean = kept[:, 0] + kept[:, 1]
            mean *= sound.dtype.type(0.5)
        else:
            mean = kept.mean(axis=1, dtype=sound.dtype)
        level = _power(mean)
        if sounding.any() and level < 10 ** (CANCELLED_DB / 10) * power[sounding].mean():
            return Mono(sound[:, int(power.argmax())].copy(), channels, 1, cancelled=True)
    return Mono(mean, channels, kept.shape[1])


def _power(samples: NDArray[np.floating[Any]]) -> float:
    """Mean square of (n,) samples, 0 of none. A product takes a tenth of the time of squares and their
    mean, and a clip of two channels has three of them."""
    return float(np.dot(samples, samples)) / max(len(samples), 1)


def write_wav(
    path: Path,
    sound: NDArray[np.floating[Any]],
    rate_hz: int,
    key: str = "",
    *,
    encoding: Literal["PCM_16", "FLOAT"] = "PCM_16",
) -> None:
    """Atomically writes a mono WAV with `key` in the file's comment.

    Args:
        sound: (samples,) in ±1; 16-bit files clip what lies beyond.
        encoding: 16-bit integers, or 32-bit floats where those would lose something.

    Raises:
        BadInput: not mono, empty, or, for 16 bits, NaN or infinite samples.
    """
    whole = encoding == "PCM_16"
    if sound.ndim != 1 or sound.size == 0 or (whole and not np.isfinite(sound).all()):
        raise BadInput(
            f"sound for {path} has shape {sound.shape} or NaN or infinite samples",
            "check its source",
        )
    stored: NDArray[Any] = sound.astype(np.float32)
    if whole:
        # By hand: libsndfile scales floats by 32767, which changes samples that were 16 bit.
        scaled = np.rint(sound.astype(np.float64) * 32768)
        stored = np.clip(scaled, -32768, 32767).astype(np.int16)
    memory = io.BytesIO()  # libsndfile tells nothing of what is wrong with a disk
    with soundfile.SoundFile(memory, "w", rate_hz, 1, encoding, format="WAV") as file:
        # libsndfile's chunk of peaks holds the time of writing: equal sound would be other bytes.
        soundfile._snd.sf_command(file._file, ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)
        if key:
            file.comment = key
        file.write(stored)
    write_bytes(path, memory.getvalue())


def wav_key(path: Path, n_samples: int) -> str:
    """The key that a wav was written with; "" where it is absent, damaged, of another length or
    from elsewhere."""
    try:
        with soundfile.SoundFile(path) as file:
            return str(file.comment) if file.frames == n_samples else ""
    except (soundfile.SoundFileError, OSError):
        return ""
