"""Media files as telephones, cameras and editors write them, made here: oblong pixels, several tracks,
tracks that nobody can decode, codecs that few players take.

Import as `from odd_media import …`; it lies beside `clips.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.stream
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pictures:
    """A video track.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB as they are stored.
        aspect: width over height of a pixel, as the file states it.
        default: whether it is marked as the one to be played.
    """

    frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
    codec: str = "libx264"
    pixels: str = "yuv420p"
    aspect: Fraction = Fraction(1)
    fps: float = 25
    default: bool = True
    tag: str = ""
    times_s: Sequence[float] = ()
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast"})


@dataclass(frozen=True)
class Sound:
    """An audio track: (N,) mono within ±1."""

    samples: NDArray[Any]
    codec: str = "aac"
    rate_hz: int = 44_100
    default: bool = True
    start_s: float = 0.0


def write(path: Path, *tracks: Pictures | Sound) -> Path:
    """Writes the tracks in their order; the suffix chooses the container."""
    with av.open(f"file:{path}", "w") as out:
        made = [_stream(out, track) for track in tracks]
        for stream, track in zip(made, tracks, strict=True):
            if isinstance(track, Sound):
                out.mux(stream.encode(_sound_frame(track)))
            else:
                for number, picture in enumerate(track.frames):
                    out.mux(stream.encode(_picture_frame(track, number, picture)))
            out.mux(stream.encode())
    return path


def _stream(out: Any, track: Pictures | Sound) -> Any:
    if isinstance(track, Sound):
        stream = out.add_stream(track.codec, rate=track.rate_hz, layout="mono")
    else:
        rate = Fraction(track.fps).limit_denominator(1001)
        stream = out.add_stream(track.codec, rate=rate, options=track.options)
        stream.height, stream.width = track.frames[0].shape[:2]
        stream.pix_fmt = track.pixels
        stream.codec_context.sample_aspect_ratio = track.aspect
        if track.tag:
            stream.codec_context.codec_tag = track.tag
        if track.times_s:
            stream.codec_context.time_base = Fraction(1, 90_000)
    default = av.stream.Disposition.default
    stream.disposition = default if track.default else av.stream.Disposition(0)
    return stream


def _picture_frame(track: Pictures, number: int, picture: NDArray[np.uint8]) -> Any:
    frame: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    if track.times_s:
        frame.pts, frame.time_base = round(track.times_s[number] * 90_000), Fraction(1, 90_000)
    else:
        frame.pts = number
        frame.time_base = 1 / Fraction(track.fps).limit_denominator(1001)
    return frame


def _sound_frame(track: Sound) -> Any:
    samples = np.ascontiguousarray(track.samples[None], np.float32)
    frame: Any = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate, frame.time_base = track.rate_hz, Fraction(1, track.rate_hz)
    frame.pts = round(track.start_s * track.rate_hz)
    return frame


def renamed_codec(path: Path, old: bytes, new: bytes) -> Path:
    """Renames the codec of the first track of that codec in a .mov: `sowt` (PCM) to `apac`, say, which
    FFmpeg names and has no decoder for, as it is with `evc1` for pictures; `dvh1` is taken for
    another codec that gives no frame."""
    data = bytearray(path.read_bytes())
    at = data.index(old, data.index(b"stsd"))
    data[at : at + 4] = new
    path.write_bytes(data)
    return path


def squeezed(frames: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """(T, H, width, 3): pictures stored narrower than they are to be shown."""
    import cv2

    return np.stack(
        [cv2.resize(f, (width, f.shape[0]), interpolation=cv2.INTER_AREA) for f in frames]
    )


def turned_in_the_header(path: Path, degrees: int, mirrored: bool = False) -> Path:
    """Writes into an .mp4 that players are to turn its pictures by so many degrees, counter-clockwise, and
    before that to exchange left and right."""
    data = bytearray(path.read_bytes())
    upright = _matrix(1, 0, 0, 1)
    turn = np.rint([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    (x, y), left = turn.astype(int).tolist(), -1 if mirrored else 1
    at = data.index(upright, data.index(b"tkhd"))
    data[at : at + 36] = _matrix(left * x, -left * y, y, x)
    path.write_bytes(data)
    return path


def _matrix(a: int, b: int, c: int, d: int) -> bytes:
    """The matrix of a track as MP4 has it."""
    return struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
