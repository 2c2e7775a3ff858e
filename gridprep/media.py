"""Decoding clips: the only place where the project reads audio-video files (PyAV, one pass).

Never seek. On GRID's MPEG-1 files a seek to 0 loses the first group of pictures (63 of 75 frames
arrive) and other readers shift everything by 12 frames; a file is read from its first byte to its
last instead. The container's own frame count is 0 or nonsense, so frames are counted as decoded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import av
import av.error
import av.logging
import numpy as np
from numpy.typing import NDArray

from manifests.errors import ClipError

VIDEO_SUFFIXES = (".mpg", ".mpeg", ".mp4", ".mkv", ".avi", ".mov")

MAX_FRAMES = 10_000
"""A clip of GRID has 75; this stops a forged file from filling the memory."""


@dataclass(frozen=True)
class Media:
    """What one pass over a file gave.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB, as decoded, or (0, 0, 0, 3) when not asked for or absent.
        frame_times_s: (T,) presentation times, first frame at 0.
        fps: average rate that the stream states, 0 when unknown.
        audio: (N, C) float32 in [-1, 1], or (0, 0).
        sample_rate_hz: of `audio`, 0 when there is none.
        audio_start_s: when the sound begins, relative to the first frame.
        has_video, has_audio: whether the container has such a stream.
        damaged_frames: frames that the decoder marked as corrupt.
        decode_errors: packets that could not be decoded, and were skipped.
        codecs: `mpeg1video+mp2`.
    """

    frames: NDArray[np.uint8]
    frame_times_s: NDArray[np.float64]
    fps: float
    audio: NDArray[np.float32]
    sample_rate_hz: int
    audio_start_s: float
    has_video: bool
    has_audio: bool
    damaged_frames: int
    decode_errors: int
    codecs: str


def _rgb(frame: Any) -> NDArray[np.uint8]:
    image: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    return image


def _pcm(frame: Any) -> NDArray[np.float32]:
    """(samples, channels) float32 of an audio frame in any of FFmpeg's sample formats."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif np.issubdtype(samples.dtype, np.integer):
        samples = samples.astype(np.float32) / float(-np.iinfo(samples.dtype).min)
    pcm: NDArray[np.float32] = np.ascontiguousarray(samples.T, dtype=np.float32)
    return pcm


def decode(path: str | os.PathLike[str], video: bool = True, audio: bool = True) -> Media:
    """Reads a file from start to end in one pass.

    Args:
        path: any container FFmpeg reads.
        video, audio: which streams to decode; an unwanted one costs nothing.

    Raises:
        ClipError: stage `decode`, reason `unreadable` (no permission, absent), `empty_file`,
            `not_media` (no container FFmpeg knows) or `too_long`. A damaged packet inside a readable
            file is no error: it is counted.
    """
    path = os.fspath(path)
    try:
        if os.path.getsize(path) == 0:
            raise ClipError("decode", "empty_file", f"{path} has no bytes")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ClipError("decode", "unreadable", f"{path}: {error.strerror}") from None
    # FFmpeg writes its complaints to standard error from C; they would tear the progress bar.
    av.logging.set_level(None)
    try:
        with av.open(path, metadata_errors="ignore") as container:
            return _decode(container, path, video, audio)
    except (av.error.FFmpegError, UnicodeError, ValueError) as error:
        raise ClipError(
            "decode", "not_media", f"{path} is not a video that FFmpeg can read ({error})"
        ) from None


def _decode(container: Any, path: str, want_video: bool, want_audio: bool) -> Media:
    video_stream = container.streams.video[0] if container.streams.video else None
    audio_stream = container.streams.audio[0] if container.streams.audio else None
    wanted = [
        stream
        for stream, want in ((video_stream, want_video), (audio_stream, want_audio))
        if stream is not None and want
    ]
    codecs = "+".join(s.codec_context.name for s in (video_stream, audio_stream) if s is not None)
    frames: list[NDArray[np.uint8]] = []
    times_s: list[float] = []
    pcm: list[NDArray[np.float32]] = []
    audio_start_s = 0.0
    damaged = errors = rate_hz = 0
    if wanted:
        for stream in wanted:
            # One thread a worker process is fastest, and frame threading would reorder errors.
            stream.codec_context.thread_count = 1
        packets = container.demux(wanted)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.error.FFmpegError:
                errors += 1  # a truncated file ends here: what came before is kept
                break
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                errors += 1
                continue
            for frame in decoded:
                if packet.stream is video_stream:
                    if len(frames) >= MAX_FRAMES:
                        raise ClipError(
                            "decode", "too_long", f"{path} has over {MAX_FRAMES} frames"
                        )
                    damaged += bool(frame.is_corrupt)
                    frames.append(_rgb(frame))
                    times_s.append(frame.time if frame.time is not None else np.nan)
                else:
                    if not pcm:
                        audio_start_s = frame.time or 0.0
                        rate_hz = frame.sample_rate
                    pcm.append(_pcm(frame))
    fps = float(video_stream.average_rate or 0) if video_stream is not None else 0.0
    sizes = {f.shape for f in frames}
    if len(sizes) > 1:
        raise ClipError("decode", "size_changes", f"{path} changes its picture size in mid-clip")
    frame_times = np.asarray(times_s, np.float64)
    start_s = float(frame_times[0]) if len(frame_times) and np.isfinite(frame_times[0]) else 0.0
    return Media(
        frames=np.stack(frames) if frames else np.zeros((0, 0, 0, 3), np.uint8),
        frame_times_s=frame_times - start_s,
        fps=fps,
        audio=np.concatenate(pcm) if pcm else np.zeros((0, 0), np.float32),
        sample_rate_hz=rate_hz,
        audio_start_s=audio_start_s - start_s if frames else audio_start_s,
        has_video=video_stream is not None,
        has_audio=audio_stream is not None,
        damaged_frames=damaged,
        decode_errors=errors,
        codecs=codecs,
    )
