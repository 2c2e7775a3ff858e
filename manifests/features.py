"""Reads the stored features of a clip: sound, mel, F0 and energy, landmarks. Pictures are read by
`manifests.pictures`. Makes the files of arrays.

Every reader raises `BadInput` in one line that names the file, where it is absent, damaged or holds
something else.
"""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput
from manifests.records import Landmarks, Prosody

REMEDY = "run `gridprep build` again"

Path = str | os.PathLike[str]


@contextlib.contextmanager
def _one_line(path: Path, remedy: str = REMEDY) -> Iterator[None]:
    """Turns an error while reading a file into a `BadInput` of one line."""
    try:
        yield
    except FileNotFoundError:
        raise BadInput(f"{os.fspath(path)} does not exist", remedy) from None
    except (OSError, EOFError, LookupError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise BadInput(f"{os.fspath(path)} cannot be read ({error})", remedy) from None


def read_sound(
    path: Path, remedy: str = REMEDY, content: bytes | None = None
) -> tuple[NDArray[np.float32], int]:
    """Samples and rate of a mono sound file.

    Args:
        content: the bytes of the file, where they lie elsewhere than at its path.

    Returns:
        ((samples,) float32 in ±1, sample rate in Hz). PCM16 is divided by 32768.

    Raises:
        BadInput: absent, damaged, empty, or of several channels.
    """
    import soundfile

    with _one_line(path, remedy):
        # libsndfile says "System error" and no more
        if content is None and not os.path.exists(path):
            raise FileNotFoundError
        samples, rate_hz = soundfile.read(_source(path, content), dtype="float32")
    if samples.ndim != 1 or not len(samples):
        raise BadInput(f"{os.fspath(path)} holds {samples.shape}, not mono samples", remedy)
    return samples, int(rate_hz)


def _source(path: Path, content: bytes | None) -> Path | io.BytesIO:
    return path if content is None else io.BytesIO(content)


def read_mel(path: Path, content: bytes | None = None) -> NDArray[np.floating[Any]]:
    """A mel as it is stored, (n_mels, T) floating point; `content` as in `read_sound`.

    Raises:
        BadInput: absent, damaged, or no array of floating-point numbers.
    """
    with _one_line(path):
        mel = np.load(_source(path, content), allow_pickle=False)
    if not isinstance(mel, np.ndarray) or not np.issubdtype(mel.dtype, np.floating):
        raise BadInput(f"{os.fspath(path)} is no mel", REMEDY)
    return mel


@contextlib.contextmanager
def open_arrays(
    path: Path, remedy: str = REMEDY, content: bytes | None = None
) -> Iterator[np.lib.npyio.NpzFile]:
    """An .npz whose arrays are read as they are asked for, without unpickling anything; `content` as in
    `read_sound`.

    Raises:
        BadInput: absent, damaged, no .npz, or without an array that is asked for.
    """
    with _one_line(path, remedy):
        stored = np.load(_source(path, content), allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("one array, no .npz")
        with stored:
            yield stored


def npz(arrays: Mapping[str, Any]) -> bytes:
    """An .npz in memory, for `manifests.io.write_bytes`: NumPy's own writers lose the errno of a full
    disk."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array: NDArray[Any]) -> bytes:
    """A .npy in memory, as `npz`."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def read_prosody(path: Path, content: bytes | None = None) -> Prosody:
    """F0 and energy of a clip, frame by frame with its mel; `content` as in `read_sound`.

    Raises:
        BadInput: absent, damaged, or an archive of something else.
    """
    with open_arrays(path, content=content) as stored:
        return Prosody(stored["f0_hz"], stored["voiced"], stored["energy"])


def read_landmarks(path: Path, content: bytes | None = None) -> Landmarks:
    """The named points of a clip, (T, N, 2) in pixels of the source video; `content` as in `read_sound`.

    Raises:
        BadInput: absent, damaged, or an archive of something else.
    """
    with open_arrays(path, content=content) as stored:
        return Landmarks(
            points_px=stored["points_px"],
            found=stored["found"],
            faces=stored["faces"],
            backend=str(stored["backend"]),
            choice=str(stored["choice"]),
            names=tuple(stored["names"].tolist()),
        )
