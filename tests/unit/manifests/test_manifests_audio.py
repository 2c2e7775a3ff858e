"""WAVs that the programs write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from manifests.audio import write_wav


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
