"""WAVs that the programs write."""

from __future__ import annotations

import errno
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from manifests.audio import to_mono, write_wav
from manifests.features import npy, npz
from manifests.io import write_bytes


@pytest.mark.parametrize("encoding", ["PCM_16", "FLOAT"])
def test_equal_sound_is_equal_bytes_without_a_time_of_writing(
    tmp_path: Path, encoding: Any
) -> None:
    sound = 0.5 * np.sin(np.arange(1600) / 20)
    write_wav(tmp_path / "a.wav", sound, 16_000, encoding=encoding)
    content = (tmp_path / "a.wav").read_bytes()
    assert b"PEAK" not in content
    assert len(content) < 1600 * (2 if encoding == "PCM_16" else 4) + 100
    np.testing.assert_allclose(soundfile.read(tmp_path / "a.wav")[0], sound, atol=1e-4)


def test_channels_are_averaged_where_they_sound() -> None:
    left, right = np.array([0.5, -0.5, 0.25]), np.array([0.1, 0.1, -0.1])
    both = to_mono(np.stack([left, right], axis=1))
    np.testing.assert_allclose(both.samples, (left + right) / 2)
    assert (both.channels, both.kept, both.cancelled) == (2, 2, False)
    one = to_mono(np.stack([0 * left, right], axis=1))
    np.testing.assert_array_equal(one.samples, right)
    assert (one.channels, one.kept, one.cancelled) == (2, 1, False)
    none = to_mono(np.zeros((3, 2)))
    assert (none.samples == 0).all()
    assert none.kept == 2
    assert np.isnan(to_mono(np.stack([left, np.full(3, np.nan)], axis=1)).samples).all()


def test_of_channels_that_cancel_each_other_the_loudest_is_taken() -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 5000)
    found = to_mono(np.stack([0 * sound, -0.9 * sound, sound], axis=1))
    np.testing.assert_array_equal(found.samples, sound)
    assert (found.channels, found.kept, found.cancelled) == (3, 1, True)
    opposite = to_mono(np.stack([sound, -0.5 * sound], axis=1))
    np.testing.assert_allclose(opposite.samples, sound / 4)


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_an_average_of_channels_is_numpys_to_the_bit(channels: int) -> None:
    sound = np.random.default_rng(channels).normal(0, 0.3, (5000, channels)).astype(np.float32)
    np.testing.assert_array_equal(to_mono(sound).samples, sound.mean(axis=1, dtype=np.float32))


def test_a_full_disk_is_told_as_such_and_leaves_what_was_there(tmp_path: Path) -> None:
    """libsndfile's own error is `System error`, and NumPy's has no number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name, write in (
        ("x.wav", lambda path: write_wav(path, np.zeros(16_000), 16_000)),
        ("x.npy", lambda path: write_bytes(path, npy(np.zeros(16_000)))),
        ("x.npz", lambda path: write_bytes(path, npz({"a": np.zeros(16_000)}))),
    ):
        (tmp_path / name).write_text("as it was")
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            with pytest.raises(OSError, match="too large") as caught:
                write(tmp_path / name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (caught.value.errno, caught.value.filename) == (
            errno.EFBIG,
            str(tmp_path / name),
        )
        assert (tmp_path / name).read_text() == "as it was"
    assert len(list(tmp_path.iterdir())) == 3
