"""Clips, alignments and corpora that the tests make themselves, in GRID's form.

Import as `from clips import tiny_clip`: pytest puts this folder on the path (its `conftest.py`).
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from gridprep.corpora.alignment import AlignedToken, format_alignment
from manifests.grammar import words_of

CODECS = {
    ".mpg": ("mpeg", "mpeg1video", "mp2", "s16", "yuv420p"),
    ".mp4": ("mp4", "mpeg4", "aac", "fltp", "yuv420p"),
    ".mkv": ("matroska", "mpeg4", "flac", "s16", "yuv420p"),
    ".avi": ("avi", "mjpeg", "pcm_s16le", "s16", "yuvj420p"),
}
"""Suffix → container, video codec, audio codec, sample format, pixel format."""

GRID_SOUND_S = 2.978
"""What the sound of a GRID clip lasts; the pictures last 3 s."""


def pictures(
    frames: int = 75, size: tuple[int, int] = (360, 288), seed: int = 0
) -> NDArray[np.uint8]:
    """(T, H, W, 3) coarse colored noise that drifts sideways, so that every frame differs and a
    frame's place in the clip can be told from it (`place_of`)."""
    width, height = size
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 235, (height // 12 + 1, width // 12 + 1, 3), np.uint8)
    still = np.repeat(np.repeat(coarse, 12, 0), 12, 1)[:height, :width]
    clip = np.stack([np.roll(still, 2 * t, axis=1) for t in range(frames)])
    # A bar along the top says which frame it is: t / 80 of the width is white, the rest black.
    bar = np.arange(width)[None] < np.arange(frames)[:, None] * width / 80
    clip[:, :16] = np.where(bar, 235, 20)[:, None, :, None]
    return clip


def place_of(frame: NDArray[np.uint8]) -> int:
    """Which frame of `pictures` this is, read from the bar along its top."""
    return round(float((frame[4:12].mean((0, 2)) > 128).mean()) * 80)


def tone(seconds: float = GRID_SOUND_S, rate_hz: int = 44_100, level: float = 0.2) -> NDArray[Any]:
    """(N, 2) float: 220 Hz left and 330 Hz right, swelling like speech does."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * t)
    return level * np.stack([np.sin(2 * np.pi * f * t) * swell for f in (220, 330)], axis=1)


def tiny_clip(
    path: str | os.PathLike[str],
    frames: int | NDArray[np.uint8] = 75,
    fps: float = 25,
    size: tuple[int, int] = (360, 288),
    audio: bool | NDArray[Any] = True,
    rate_hz: int = 44_100,
    seed: int = 0,
    start_s: float = 0.0,
    audio_start_s: float = 0.0,
    skip_frames: tuple[int, ...] = (),
) -> Path:
    """Writes a small clip; the suffix chooses the container (`CODECS`). About 0.1 s.

    Args:
        frames: how many of `pictures`, or (T, H, W, 3) of one's own; 0 leaves the video out.
        audio: `tone`, none, or (N, 2) float samples of one's own.
        start_s: where the clip's times begin.
        audio_start_s: how much later than the pictures the sound begins.
        skip_frames: these are left out, and leave a gap in the times.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    container_format, video_codec, audio_codec, sample_format, pixel_format = CODECS[
        path.suffix.lower()
    ]
    images = frames
    if isinstance(frames, int):
        images = pictures(frames, size, seed) if frames else ()
    sound = tone(rate_hz=rate_hz) if audio is True else audio
    options = {"preload": "0"} if container_format == "mpeg" else {}
    with av.open(str(path), "w", format=container_format, options=options) as container:
        video = stream = None
        rate = Fraction(fps).limit_denominator(1001)
        if len(images):
            video = container.add_stream(video_codec, rate=rate)
            video.height, video.width = images[0].shape[:2]
            video.pix_fmt = pixel_format
            video.codec_context.gop_size = 12
            video.codec_context.max_b_frames = 0
            video.codec_context.thread_count = 1
            # MPEG-1 knows no 15 fps and MJPEG no limited range; the tests need both.
            video.codec_context.options = {"qmin": "2", "qmax": "4", "strict": "unofficial"}
        if sound is not False:
            stream = container.add_stream(audio_codec, rate=rate_hz, layout="stereo")
        for t, image in enumerate(images):
            if t in skip_frames or video is None:
                continue
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            picture.pts, picture.time_base = t + round(start_s * fps), 1 / rate
            container.mux(video.encode(picture))
        if video is not None:
            container.mux(video.encode())
        if stream is not None:
            _encode_sound(
                container,
                stream,
                np.asarray(sound),
                rate_hz,
                sample_format,
                start_s + audio_start_s,
            )
    return path


def _encode_sound(
    container: Any, stream: Any, sound: NDArray[Any], rate_hz: int, sample_format: str, at_s: float
) -> None:
    if sample_format == "fltp":
        samples = np.ascontiguousarray(sound.T, dtype=np.float32)
    else:
        whole = np.clip(np.round(sound * 32767), -32768, 32767).astype(np.int16)
        samples = np.ascontiguousarray(whole).reshape(1, -1)
    at = round(at_s * rate_hz)
    if stream.codec_context.name == "mp2":
        # Encoder and decoder put 481 samples of silence in front, at negative times; GRID has none.
        samples, at = samples[:, 481 * 2 :], at + 481
    frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout="stereo")
    frame.sample_rate = rate_hz
    frame.pts, frame.time_base = at, Fraction(1, rate_hz)
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def alignment_text(stem: str, first_units: int = 12_000, word_units: int = 8_000) -> str:
    """A `.align` file that spells a stem: silence, six words of equal length, silence to 74500."""
    tokens = [AlignedToken(0, first_units, "sil")]
    for word in words_of(stem):
        tokens.append(AlignedToken(tokens[-1].end_units, tokens[-1].end_units + word_units, word))
    tokens.append(AlignedToken(tokens[-1].end_units, 74_500, "sil"))
    return format_alignment(tokens)


def write_alignment(path: str | os.PathLike[str], stem: str, line_end: str = "\n") -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(alignment_text(stem).replace("\n", line_end).encode())
    return path
