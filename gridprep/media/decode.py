"""Decoding clips: the only place where the project reads audio-video files (PyAV, one pass).

Never seek. On GRID's MPEG-1 files a seek to 0 loses the first group of pictures (63 of 75 frames
arrive) and other readers shift everything by 12 frames; a file is read from its first byte to its
last instead. The container's own frame count is 0 or nonsense, so frames are counted as decoded.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import av.error
import av.logging
import numpy as np
from numpy.typing import NDArray

from manifests.errors import ClipError

_LENIENT: dict[str, str] = (
    {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
)
"""Titles that are not UTF-8 are no reason to refuse a clip; PyAV 19 dropped the option and the fuss."""

VIDEO_SUFFIXES = (".mpg", ".mpeg", ".mp4", ".mkv", ".avi", ".mov")

MAX_FRAMES = 1000
MAX_PICTURE_BYTES = 1_000_000_000
MAX_SOUND_S = 600.0
"""A clip of GRID has 75 frames and 3 s; these stop a film named as a clip from filling the memory."""

MIN_GAP_S = 0.01
"""Containers round their times to about 1 ms; a lost packet of sound is 24 ms."""


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
        audio_gap_samples: zeros in `audio` where packets were lost, so that what follows stays in time.
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
    audio_gap_samples: int
    has_video: bool
    has_audio: bool
    damaged_frames: int
    decode_errors: int
    codecs: str


def rgb_of(frame: Any) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a decoded frame, as stored: its rotation is not applied."""
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


@dataclass(frozen=True)
class _Sound:
    """A decoded piece of sound: presentation time or None, rate, (N, C) samples."""

    time_s: float | None
    rate_hz: int
    pcm: NDArray[np.float32]


def _join(pieces: list[_Sound]) -> tuple[NDArray[np.float32], int, float, int, int]:
    """(samples (N, C), rate, start in seconds, zeros put into gaps, pieces that were replaced).

    A lost packet leaves a gap in the times, which is filled with silence: closing up would move all
    later sound ahead of the lips. A piece of another rate or number of channels than most is a damaged
    packet that decoded by accident, and is silenced.
    """
    if not pieces:
        return np.zeros((0, 0), np.float32), 0, 0.0, 0, 0
    forms = Counter((p.rate_hz, p.pcm.shape[1]) for p in pieces)
    (rate_hz, channels), regular = forms.most_common(1)[0]
    start_s = pieces[0].time_s or 0.0
    joined: list[NDArray[np.float32]] = []
    n = gaps = 0
    for piece in pieces:
        if piece.time_s is not None:
            late_s = piece.time_s - start_s - n / rate_hz
            if late_s > MIN_GAP_S and piece.time_s - start_s < MAX_SOUND_S:
                missing = round(late_s * rate_hz)
                joined.append(np.zeros((missing, channels), np.float32))
                gaps += missing
                n += missing
        if (piece.rate_hz, piece.pcm.shape[1]) == (rate_hz, channels):
            joined.append(piece.pcm)
        else:
            same_time = round(len(piece.pcm) / piece.rate_hz * rate_hz)
            joined.append(np.zeros((same_time, channels), np.float32))
        n += len(joined[-1])
    return np.concatenate(joined), rate_hz, start_s, gaps, len(pieces) - regular


def _video_start_s(frame_times_s: NDArray[np.float64], stream: Any) -> float:
    """When the pictures start, also where they were not decoded: the sound's start is relative to it,
    and must be the same whether or not the pictures are wanted."""
    if len(frame_times_s) and np.isfinite(frame_times_s[0]):
        return float(frame_times_s[0])
    if stream is not None and stream.start_time is not None and stream.time_base:
        return float(stream.start_time * stream.time_base)
    return 0.0


def _check_length(path: str, frames: int, picture_bytes: int, sound_s: float) -> None:
    if frames > MAX_FRAMES:
        what = f"over {MAX_FRAMES} frames"
    elif picture_bytes > MAX_PICTURE_BYTES:
        what = f"over {MAX_PICTURE_BYTES / 1e9:.0f} GB of pictures"
    elif sound_s > MAX_SOUND_S:
        what = f"over {MAX_SOUND_S:.0f} s of sound"
    else:
        return
    raise ClipError("decode", "too_long", f"{path} has {what}: it is no clip of GRID")


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """An open container, to be read from its first byte to its last.

    Raises:
        ClipError: stage `decode`, reason `unreadable` (no permission, absent), `empty_file`, or
            `not_media` (no container FFmpeg knows, or reading it ended in an error).
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
        # FFmpeg takes a text file for a playlist if it looks like one; it must not call anywhere.
        only_files = {"protocol_whitelist": "file"}
        with av.open(path, options=only_files, **_LENIENT) as container:
            yield container
    except (av.error.FFmpegError, UnicodeError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)  # FFmpeg's own would repeat the path
        raise ClipError(
            "decode", "not_media", f"{path} is not a video that FFmpeg can read ({why})"
        ) from None


def decoded(container: Any, streams: list[Any], errors: list[str]) -> Iterator[Any]:
    """Frames of some streams in the order of the file. Damaged packets are skipped.

    Args:
        errors: grows by a line for every packet that could not be decoded, and by one where the
            file cannot be read on (what came before is given out).
    """
    packets = container.demux(streams)
    broken = False
    while not broken:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except av.error.FFmpegError as error:
            errors.append(str(error))
            broken = True
        try:
            frames = (
                [f for stream in streams for f in stream.codec_context.decode(None)]
                if broken
                else packet.decode()
            )
        except av.error.FFmpegError as error:
            errors.append(str(error))
            continue
        yield from frames


def decode(path: str | os.PathLike[str], video: bool = True, audio: bool = True) -> Media:
    """Reads a file from start to end in one pass.

    Args:
        path: any container FFmpeg reads.
        video, audio: which streams to decode; an unwanted one costs nothing.

    Raises:
        ClipError: stage `decode`, reason `unreadable` (no permission, absent), `empty_file`,
            `not_media` (no container FFmpeg knows), `too_long` or `size_changes`. A damaged packet
            inside a readable file is no error: it is counted.
    """
    with opened(path) as container:
        return _decode(container, os.fspath(path), video, audio)


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
    sound: list[_Sound] = []
    errors: list[str] = []
    picture_bytes = damaged = 0
    sound_s = 0.0
    for stream in wanted:
        # One thread a worker process is fastest, and frame threading would reorder errors.
        stream.codec_context.thread_count = 1
    for frame in decoded(container, wanted, errors) if wanted else ():
        if isinstance(frame, av.VideoFrame):
            frames.append(rgb_of(frame))
            times_s.append(frame.time if frame.time is not None else np.nan)
            damaged += bool(frame.is_corrupt)
            picture_bytes += frames[-1].nbytes
        else:
            sound.append(_Sound(frame.time, frame.sample_rate, _pcm(frame)))
            sound_s += frame.samples / max(frame.sample_rate, 1)
        _check_length(path, len(frames), picture_bytes, sound_s)
    fps = float(video_stream.average_rate or 0) if video_stream is not None else 0.0
    sizes = {f.shape for f in frames}
    if len(sizes) > 1:
        raise ClipError("decode", "size_changes", f"{path} changes its picture size in mid-clip")
    frame_times = np.asarray(times_s, np.float64)
    start_s = _video_start_s(frame_times, video_stream)
    pcm, rate_hz, audio_start_s, gap_samples, changed = _join(sound)
    return Media(
        frames=np.stack(frames) if frames else np.zeros((0, 0, 0, 3), np.uint8),
        frame_times_s=frame_times - start_s,
        fps=fps,
        audio=pcm,
        sample_rate_hz=rate_hz,
        audio_start_s=audio_start_s - start_s if sound else 0.0,
        audio_gap_samples=gap_samples,
        has_video=video_stream is not None,
        has_audio=audio_stream is not None,
        damaged_frames=damaged,
        decode_errors=len(errors) + changed,
        codecs=codecs,
    )
