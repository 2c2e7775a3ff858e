"""Pictures and sounds of real clips as the demo page stores them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from scipy import signal

from facetron.demo.video import encoded, read_sound, source_pictures, write_mp4
from gridprep.media.decode import decode
from manifests.io import sha256_file
from manifests.records import ManifestRow


@pytest.mark.parametrize("pattern", ["**/*.mpg", "**/*.mkv"])
def test_a_real_clip_stays_in_step(real_grid: Path, tmp_path: Path, pattern: str) -> None:
    video = next(iter(sorted(real_grid.glob(pattern))), None)
    if video is None:
        pytest.skip(f"no {pattern} among the real clips")
    rate_hz = 16_000
    row = ManifestRow(
        "s1", "male", video.stem, "", "test", (), {}, 75, 48_000, rate_hz, 150, 0, (), {},
        video.relative_to(real_grid).as_posix(), sha256_file(video), {},
    )  # fmt: skip
    pictures = source_pictures(row, real_grid)
    assert pictures is not None
    # The same frames as the features were made of.
    np.testing.assert_array_equal(pictures, decode(str(video)).frames)
    assert pictures.shape == (75, 288, 360, 3)
    rng = np.random.default_rng(0)
    written = rng.standard_normal(48_000).astype(np.float32) * 0.05
    written = signal.lfilter([1], [1, -0.9], written).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", written, rate_hz)
    sound, _ = read_sound(tmp_path / "a.wav")
    write_mp4(tmp_path / "a.mp4", encoded(pictures), sound, rate_hz)
    assert (tmp_path / "a.mp4").stat().st_size < 250_000
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    with av.open(str(tmp_path / "a.mp4")) as container:
        heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    difference = frames.astype(int) - pictures
    assert 10 * np.log10(255**2 / (difference**2).mean()) > 32
    lag = signal.correlate(heard[:48_000], sound, method="fft").argmax() - 47_999
    assert lag == 0
    assert source_pictures(replace(row, source_sha256="0"), real_grid) is None
