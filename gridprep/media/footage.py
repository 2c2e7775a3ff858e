"""A video of any length, size and frame rate as the stages see a clip: frames at 25 fps, one by one.

`gridprep.media.decode` holds a whole clip in memory, which three seconds of GRID are small enough for. Here
a file is decoded forwards as often as it takes (never seeking), and only the frames decoded last are
kept: all of them where the video is short.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridprep.media.decode import decoded, opened, rgb_of
from gridprep.media.quality import RATE_TOLERANCE_FPS, measured_fps, shown_at_25_fps
from manifests.errors import ClipError
from manifests.specs import VIDEO_FPS

KEEP_BYTES = 64_000_000
"""Of decoded frames, as the codec holds them: 16 s of GRID, or 20 pictures of 1080 lines."""

KEEP_FRAMES = 8
"""Kept whatever their size: landmarks look back over a few frames at 25 fps."""

MAX_FPS = 240.0
THREADS_FROM_PX = 640 * 480
"""Pictures of more pixels are decoded on several threads."""


class Footage:
    """The pictures of a file. Indexing gives RGB frames at 25 fps; going back costs decoding anew
    unless the frame is still kept.

    Args:
        path: any container that FFmpeg reads.
        max_s: longest duration that is accepted.
        keep_bytes: of decoded frames.

    Attributes:
        fps: the file's own frames a second, as measured.
        times_s: (N,) times of the file's own frames, the first at 0, rising.
        duration_s: until the last frame has been shown.
        codec: FFmpeg's name of the video codec.
        start_s: time of the first frame in the file; None where the file's times make no sense, and
            frames are taken to come regularly.
        errors: packets that could not be decoded, and frames that the decoder marked as corrupt.

    Raises:
        ClipError: stage `decode`, as `gridprep.media.decode.decode`, or `no_video`, `no_frames`,
            `size_changes`, `too_long`.
    """

    def __init__(
        self, path: str | os.PathLike[str], max_s: float, keep_bytes: int = KEEP_BYTES
    ) -> None:
        self.path = os.fspath(path)
        self._keep_bytes = keep_bytes
        self._kept: dict[int, Any] = {}
        self._kept_bytes = 0
        self._running: Iterator[Any] | None = None
        self._next = 0
        self.codec = ""
        self.errors = 0
        self._stated_fps = 0.0
        times_s = self._scan(max_s)
        self.start_s: float | None = float(times_s[0])
        self.fps = measured_fps(times_s, self._stated_fps)
        if not 0 < self.fps <= MAX_FPS:
            self.fps = float(VIDEO_FPS)
        if not np.isfinite(times_s).all() or (np.diff(times_s) <= 0).any():
            times_s = np.arange(len(times_s)) / self.fps
            self.start_s = None
        self.times_s: NDArray[np.float64] = times_s - times_s[0]
        self.duration_s = float(self.times_s[-1]) + 1 / self.fps
        self._shown = self._at_25_fps()
        height, width = self._rgb(0).shape[:2]
        self.shape: tuple[int, ...] = (len(self._shown), height, width, 3)

    def _scan(self, max_s: float) -> NDArray[np.float64]:
        """Times of all frames as the file states them, from decoding it once."""
        times_s: list[float] = []
        sizes = set()
        for number, frame in enumerate(self._decode(count_errors=True)):
            self._keep(number, frame)
            times_s.append(frame.time if frame.time is not None else np.nan)
            sizes.add((frame.width, frame.height))
            self.errors += bool(frame.is_corrupt)
            # Without times, or with times that stand still, the count has to do.
            if times_s[-1] - times_s[0] > max_s or number > max_s * MAX_FPS:
                raise ClipError("decode", "too_long", f"{self.path} is longer than {max_s:g} s")
            if len(sizes) > 1:
                raise ClipError(
                    "decode", "size_changes", f"{self.path} changes its picture size in mid-clip"
                )
        if not times_s:
            raise ClipError("decode", "no_frames", f"no frame of {self.path} could be decoded")
        return np.asarray(times_s, np.float64)

    def _at_25_fps(self) -> NDArray[np.intp]:
        """Which of the file's frames is shown in each frame of 25 fps."""
        steps = np.diff(self.times_s)
        if abs(self.fps - VIDEO_FPS) < RATE_TOLERANCE_FPS and (steps < 1.5 / VIDEO_FPS).all():
            return np.arange(len(self.times_s))
        return shown_at_25_fps(self.times_s, self.fps, self.duration_s)

    def _decode(self, count_errors: bool = False) -> Iterator[Any]:
        """The file's own frames, from its first byte to its last."""
        errors: list[str] = []
        with opened(self.path) as container:
            if not container.streams.video:
                raise ClipError("decode", "no_video", f"{self.path} has no video stream")
            stream = container.streams.video[0]
            self.codec = stream.codec_context.codec.canonical_name
            self._stated_fps = float(stream.average_rate or 0)
            if stream.codec_context.width * stream.codec_context.height > THREADS_FROM_PX:
                stream.codec_context.thread_type = "AUTO"
            else:
                stream.codec_context.thread_count = 1
            yield from decoded(container, [stream], errors)
        if count_errors:
            self.errors += len(errors)

    def _keep(self, number: int, frame: Any) -> None:
        if number in self._kept:
            self._kept_bytes -= _bytes_of(self._kept.pop(number))
        self._kept[number] = frame
        self._kept_bytes += _bytes_of(frame)
        while self._kept_bytes > self._keep_bytes and len(self._kept) > KEEP_FRAMES:
            oldest = next(iter(self._kept))
            self._kept_bytes -= _bytes_of(self._kept.pop(oldest))

    def _frame(self, number: int) -> Any:
        """One of the file's own frames."""
        if number in self._kept:
            return self._kept[number]
        if self._running is None or number < self._next:
            self._running, self._next = self._decode(), 0
        for frame in self._running:
            self._keep(self._next, frame)
            self._next += 1
            if self._next > number:
                return frame
        raise ClipError("decode", "unreadable", f"{self.path} changed while it was being read")

    def _rgb(self, number: int) -> NDArray[np.uint8]:
        return upright(self._frame(number))

    def __len__(self) -> int:
        return len(self._shown)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB at `index` / 25 s, upright. Cheap in rising order."""
        if not 0 <= index < len(self._shown):
            raise IndexError(index)
        return self._rgb(int(self._shown[index]))

    def pictures(self) -> Iterator[tuple[float, Any]]:
        """Time in seconds and decoded frame (PyAV's, not rotated) of all of the file's own frames."""
        for number, time_s in enumerate(self.times_s):
            yield float(time_s), self._frame(number)

    def container(self) -> AbstractContextManager[Any]:
        """The file opened anew, for whoever wants its packets. Raises `ClipError` as decoding does."""
        return opened(self.path)

    def close(self) -> None:
        """Frees the kept frames and the file; the next frame asked for opens it again."""
        self._running = None
        self._kept.clear()
        self._kept_bytes = 0


def _bytes_of(frame: Any) -> int:
    return sum(plane.buffer_size for plane in frame.planes)


def upright(frame: Any) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a decoded frame as it is to be shown: telephones film lying on their
    side and write down how to turn the picture."""
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb_of(frame), turns))
