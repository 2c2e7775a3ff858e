"""Decoding of clips: pictures, sound and their times in one pass over a file.

What is needed of a clip of GRID is held in memory at once; the pictures of a larger one are decoded
anew when they are asked for (`gridprep.media.frames`), so that memory does not grow with the picture.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from gridprep.media.frames import Shown, VideoReader, check_size, thinned
from gridprep.media.opening import decoded, opened
from gridprep.media.window import Window, WindowReader
from manifests.errors import ClipError
from manifests.mediafile import best_stream, pixel_aspect, streams_of, upright_view, way_up
from manifests.specs import CLIP_FRAMES

VIDEO_SUFFIXES = (".mpg", ".mpeg", ".mp4", ".mkv", ".avi", ".mov")

MAX_FRAMES = 1000
MAX_FPS = 240
MAX_SOUND_S = 600.0
"""A clip of GRID has 75 frames and 3 s; these stop a film named as a clip from filling the memory."""

WHOLE_BYTES = 100_000_000
"""Pictures of a clip up to so many bytes are held as one array: 75 frames of 720×576 are 93 MB."""

AVI_DELAY_SAMPLES = {"mp3": 1105, "aac": 1024, "mp2": 481, "ac3": 256, "eac3": 256}
"""Silence that encoder and decoder put before the sound (measured by cross-correlation with what was
encoded). Other containers have a place for it, in an edit list or in the times; AVI has none, and
its sound would come up to 25 ms late."""

MIN_GAP_S = 0.01
"""Containers round their times to about 1 ms; a lost packet of sound is 24 ms."""


@dataclass(frozen=True)
class Media:
    """The result of decoding a file in one pass.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB as they are to be shown (upright, square pixels), or
            (0, 0, 0, 3) when not asked for or absent. Those of a large clip are a `Shown`, which
            decodes each when it is asked for.
        frame_times_s: (T,) presentation times, first frame at 0.
        fps: average rate that the stream states, 0 when unknown.
        audio: (N, C) float32 in [-1, 1], or (0, 0).
        sample_rate_hz: of `audio`, 0 when there is none.
        audio_start_s: when the sound begins, relative to the first frame.
        audio_gap_samples: zeros in `audio` where packets were lost, so that what follows stays in time.
        has_video, has_audio: whether the container has such a stream that can be decoded.
        damaged_frames: frames that the decoder marked as corrupt.
        interlaced_frames: frames whose odd and even lines are of two times, as the file says.
        decode_errors: packets that could not be decoded, and were skipped.
        codecs: `mpeg1video+mp2`.
        undecodable: kinds (`video`, `audio`) that have streams, but none that FFmpeg can decode.
        pixel_aspect: width of a stored pixel over its height; 1 where pixels are square.
        quarter_turns: counter-clockwise, by which the stored pictures were turned upright.
        mirrored: whether left and right were exchanged before that, as the file says.
        audio_delay_samples: samples of codec delay (silence) that were cut off before `audio`.
    """

    frames: NDArray[np.uint8] | Shown
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
    undecodable: tuple[str, ...] = ()
    pixel_aspect: Fraction = Fraction(1)
    quarter_turns: int = 0
    mirrored: bool = False
    interlaced_frames: int = 0
    audio_delay_samples: int = 0


def pcm_of(frame: Any) -> NDArray[np.float32]:
    """(samples, channels) float32 of an audio frame in any of FFmpeg's sample formats."""
    if frame.format.name == "s16p":
        # What GRID's own sound decodes to, a hundred frames a clip: the way below takes five times as
        # long, to the same values.
        pcm = np.empty((frame.samples, len(frame.planes)), np.float32)
        for channel, plane in enumerate(frame.planes):
            pcm[:, channel] = np.frombuffer(plane, np.int16, frame.samples)
        pcm *= np.float32(1 / 32768)
        return pcm
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    if samples.dtype == np.float32:
        return np.asarray(samples.T)
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif np.issubdtype(samples.dtype, np.integer):
        samples = samples.astype(np.float32) / float(-np.iinfo(samples.dtype).min)
    return np.ascontiguousarray(samples.T, dtype=np.float32)


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
    return (
        np.ascontiguousarray(np.concatenate(joined)),
        rate_hz,
        start_s,
        gaps,
        len(pieces) - regular,
    )


def _video_start_s(frame_times_s: NDArray[np.float64], stream: Any) -> float:
    """When the pictures start, also where they were not decoded: the sound's start is relative to it,
    and must be the same whether or not the pictures are wanted."""
    if len(frame_times_s) and np.isfinite(frame_times_s[0]):
        return float(frame_times_s[0])
    if stream is not None and stream.start_time is not None and stream.time_base:
        return float(stream.start_time * stream.time_base)
    return 0.0


def _check_length(
    path: str, times_s: list[float], sound_s: float, window: Window | None, most_s: float
) -> None:
    """Raises `ClipError` (`too_long`). Without `most_s` the bounds are those of GRID."""
    frames = len(times_s)
    if window is not None:
        return
    if most_s:
        if frames > most_s * MAX_FPS or (frames and times_s[-1] - times_s[0] > most_s + 1):
            raise ClipError(
                "decode",
                "too_long",
                f"{path} is longer than {most_s:g} s: list its parts with start_s and end_s, which "
                "`gridprep segment` finds at silences",
            )
        return
    if frames > MAX_FRAMES:
        what = f"over {MAX_FRAMES} frames"
    elif sound_s > MAX_SOUND_S:
        what = f"over {MAX_SOUND_S:.0f} s of sound"
    else:
        return
    raise ClipError("decode", "too_long", f"{path} has {what}: it is no clip of GRID")


class _Pictures:
    """Gathers the pictures of a pass: all of them, or small ones where those would be too many bytes."""

    def __init__(self, path: str, window: Window | None) -> None:
        self.reader = VideoReader(path, window=window)
        self.times_s: list[float] = []
        self.damaged = self.interlaced = 0
        self.way_up = 0, False
        self._size: tuple[int, int] = (0, 0)
        self._whole: NDArray[np.uint8] | None = None
        self._too_large = False
        self._thin: list[NDArray[np.uint8]] = []

    def add(self, frame: Any) -> None:
        """Takes the next frame (PyAV's)."""
        number = len(self.times_s)
        if number == 0:
            self._size, self.way_up = (frame.width, frame.height), way_up(frame)
        check_size(self.reader.path, self._size, frame)
        self.times_s.append(frame.time if frame.time is not None else np.nan)
        self.damaged += bool(frame.is_corrupt)
        self.interlaced += bool(frame.interlaced_frame)
        picture = upright_view(frame, self.reader.aspect)
        if not self._too_large and max(number + 1, CLIP_FRAMES) * picture.nbytes > WHOLE_BYTES:
            if self._whole is not None:
                self._thin = [thinned(earlier) for earlier in self._whole[:number]]
            self._whole, self._too_large = None, True
        if self._too_large:
            self._thin.append(thinned(picture))
            return
        if self._whole is None:
            self._whole = np.empty((CLIP_FRAMES, *picture.shape), np.uint8)
        elif number == len(self._whole):
            longer = np.empty((2 * number, *picture.shape), np.uint8)
            longer[:number] = self._whole
            self._whole = longer
        # Put in its place while it is in the processor's cache.
        self._whole[number] = picture

    def frames(self) -> NDArray[np.uint8] | Shown:
        """All gathered pictures."""
        if not self.times_s:
            return np.zeros((0, 0, 0, 3), np.uint8)
        if self._whole is None:
            return Shown(self.reader, np.arange(len(self.times_s)), np.stack(self._thin))
        return self._whole[: len(self.times_s)]


def decode(
    path: str | os.PathLike[str],
    video: bool = True,
    audio: bool = True,
    window: Window | None = None,
    most_s: float = 0.0,
) -> Media:
    """Reads a file, or a part of it, in one pass.

    Args:
        path: any container FFmpeg reads. Of several tracks the one is taken that a player would
            play, among those that can be decoded.
        video, audio: which streams to decode; an unwanted one costs nothing.
        window: the part to read; times of the result start at its start. None is the whole file.
        most_s: longest duration that is accepted, in seconds; 0 is the bound for a clip of GRID.

    Raises:
        ClipError: stage `decode`, reason as `gridprep.media.opening.opened` says, or `too_long` or
            `size_changes`. A damaged packet inside a readable file is no error: it is counted.
    """
    with opened(path) as container:
        return _decode(container, os.fspath(path), video, audio, window, most_s)


def _decode(
    container: Any,
    path: str,
    want_video: bool,
    want_audio: bool,
    window: Window | None,
    most_s: float,
) -> Media:
    video_stream, audio_stream = best_stream(container, "video"), best_stream(container, "audio")
    streams = {"video": video_stream, "audio": audio_stream}
    wanted = [
        stream
        for stream, want in ((video_stream, want_video), (audio_stream, want_audio))
        if stream is not None and want
    ]
    codecs = "+".join(s.codec_context.name for s in streams.values() if s is not None)
    pictures = _Pictures(path, window)
    sound: list[_Sound] = []
    errors: list[str] = []
    sound_s = 0.0
    for stream in wanted:
        # One thread a worker process is fastest, and frame threading would reorder errors.
        stream.codec_context.thread_count = 1
    if video_stream is not None:
        pictures.reader.take_from(video_stream)
    frames = decoded(container, wanted, errors) if wanted else iter(())
    part = None
    if window is not None and video_stream is not None:
        part = WindowReader(window, container, video_stream)
        frames = part.inside(frames, len(wanted))
    for frame in frames:
        if isinstance(frame, av.VideoFrame):
            pictures.add(frame)
        else:
            sound.append(_Sound(frame.time, frame.sample_rate, pcm_of(frame)))
            sound_s += frame.samples / max(frame.sample_rate, 1)
        _check_length(path, pictures.times_s, sound_s, window, most_s)
    frame_times = np.asarray(pictures.times_s, np.float64)
    start_s = _video_start_s(frame_times, video_stream)
    start_s = part.start_s if part is not None else start_s
    pcm, rate_hz, audio_start_s, gap_samples, changed = _join(sound)
    delay = 0
    if sound and container.format.name == "avi":
        delay = AVI_DELAY_SAMPLES.get(audio_stream.codec_context.codec.canonical_name, 0)
    pcm, audio_start_s = pcm[delay:], audio_start_s - start_s
    if part is not None and audio_start_s < 0:  # a packet reaches over the start of the part
        pcm, audio_start_s = pcm[round(-audio_start_s * rate_hz) :], 0.0
    return Media(
        frames=pictures.frames(),
        frame_times_s=frame_times - start_s,
        fps=pictures.reader.stated_fps,
        audio=pcm,
        sample_rate_hz=rate_hz,
        audio_start_s=audio_start_s if sound else 0.0,
        audio_gap_samples=gap_samples,
        has_video=video_stream is not None,
        has_audio=audio_stream is not None,
        damaged_frames=pictures.damaged,
        decode_errors=len(errors) + changed,
        codecs=codecs,
        undecodable=tuple(
            kind
            for kind in ("video", "audio")
            if streams[kind] is None and streams_of(container, kind)
        ),
        pixel_aspect=pixel_aspect(video_stream) if video_stream is not None else Fraction(1),
        quarter_turns=pictures.way_up[0],
        mirrored=pictures.way_up[1],
        interlaced_frames=pictures.interlaced,
        audio_delay_samples=delay,
    )
