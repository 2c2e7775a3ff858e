"""Videos for tests of speaking: H.264 as telephones and editors write it, and what lies in a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from gridprep.media.decode import decode


def write_h264(
    path: Path, frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], fps: float = 25
) -> Path:
    """A video without sound, with B frames; the suffix chooses the container."""
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(os.fspath(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "bf": "2"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def to_and_fro(frames: NDArray[np.uint8], n: int) -> list[NDArray[np.uint8]]:
    """As many frames as wanted, forwards and backwards, without a jump."""
    there_and_back = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    return [frames[there_and_back[i % len(there_and_back)]] for i in range(n)]


@dataclass(frozen=True)
class Found:
    """What a player finds in a file.

    Attributes:
        frames: (T, H, W, 3).
        times_s: (T,) of the frames, as stated.
        sound: (n,) mono.
        sound_start_s: against the first frame.
        codecs: `h264+aac`.
    """

    frames: NDArray[np.uint8]
    times_s: NDArray[np.float64]
    sound: NDArray[np.float32]
    rate_hz: int
    sound_start_s: float
    duration_s: float
    codecs: str


def played(path: Path) -> Found:
    media = decode(path)
    assert media.decode_errors == media.damaged_frames == 0
    with av.open(f"file:{path}") as container:
        duration_s = container.duration / av.time_base
    return Found(
        media.frames,
        media.frame_times_s,
        media.audio[:, 0],
        media.sample_rate_hz,
        media.audio_start_s,
        duration_s,
        media.codecs,
    )


def packets(path: Path) -> list[bytes]:
    """The video's packets as they lie in the file."""
    with av.open(f"file:{path}") as container:
        return [bytes(p) for p in container.demux(container.streams.video[0]) if p.size]
