"""Sound files that the programs write, and the key that they carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from manifests.errors import BadInput
from manifests.io import atomic_path

ADD_PEAK_CHUNK = 0x1050
"""libsndfile's SFC_SET_ADD_PEAK_CHUNK."""


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
    with (
        atomic_path(path) as temporary,
        soundfile.SoundFile(temporary, "w", rate_hz, 1, encoding, format="WAV") as file,
    ):
        # libsndfile's chunk of peaks holds the time of writing: equal sound would be other bytes.
        soundfile._snd.sf_command(file._file, ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)
        if key:
            file.comment = key
        file.write(stored)


def wav_key(path: Path, n_samples: int) -> str:
    """The key that a wav was written with; "" where it is absent, damaged, of another length or
    from elsewhere."""
    try:
        with soundfile.SoundFile(path) as file:
            return str(file.comment) if file.frames == n_samples else ""
    except (soundfile.SoundFileError, OSError):
        return ""
