"""The pictures of a file as they are to be shown: upright, with square pixels, of bounded size, and
one by one, so that memory does not grow with the picture or the length of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridprep.media.opening import decoded, opened
from gridprep.media.window import Window, WindowReader
from manifests.errors import ClipError
from manifests.mediafile import best_stream, pixel_aspect, streams_of, upright

KEEP_BYTES = 64_000_000
"""Memory for decoded frames in the codec's own format: 16 s of GRID, or 20 pictures of 1080 lines."""

KEEP_FRAMES = 8
"""Number of frames kept whatever their size: landmarks look back over a few frames at 25 fps."""

THREADS_FROM_PX = 640 * 480
"""Pictures with more pixels than this are decoded on several threads where that is allowed."""


def check_size(path: str, size: tuple[int, int], frame: Any) -> None:
    """Raises `ClipError` (`size_changes`) unless a frame is as large as the first one."""
    if (frame.width, frame.height) != size:
        when = f" at {frame.time:.2f} s" if frame.time is not None else ""
        raise ClipError(
            "decode",
            "size_changes",
            f"{path} changes its picture size{when} from {size[0]}×{size[1]} to "
            f"{frame.width}×{frame.height}",
        )


class VideoReader:
    """The frames of a file's video by their number, decoded forwards from the first byte as often as
    it takes, never seeking except to a `Window`. Going back costs decoding anew unless the frame is still
    kept.

    Args:
        path: any container that FFmpeg reads.
        keep_bytes: memory for decoded frames, in bytes.
        threads: whether large pictures may be decoded on several threads.
        window: the part of the file to read, whose first frame is number 0; None is all of it.

    Attributes:
        codec: FFmpeg's name of the codec, "" before anything was decoded.
        stated_fps: frame rate that the stream states, 0 if it states none.
        aspect: aspect ratio of the pixels; see `pixel_aspect`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        keep_bytes: int = KEEP_BYTES,
        threads: bool = False,
        window: Window | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self._window = window
        self.codec = ""
        self.stated_fps = 0.0
        self.aspect = Fraction(1)
        self._keep_bytes, self._threads = keep_bytes, threads
        self._kept: dict[int, Any] = {}
        self._kept_bytes = 0
        self._running: Iterator[Any] | None = None
        self._next = 0

    def decode(self, errors: list[str]) -> Iterator[Any]:
        """All frames (PyAV's), from the first byte to the last; each is kept for a while.

        Raises `ClipError` (stage `decode`): as `opened` does, or `no_video`, `no_decoder`.
        """
        with opened(self.path) as container:
            stream = video_stream(container, self.path)
            self.take_from(stream)
            context = stream.codec_context
            if self._threads and context.width * context.height > THREADS_FROM_PX:
                context.thread_type = "AUTO"
            else:
                context.thread_count = 1
            frames = decoded(container, [stream], errors)
            if self._window is not None:
                frames = WindowReader(self._window, container, stream).inside(frames)
            for number, frame in enumerate(frames):
                self.keep(number, frame)
                yield frame

    def take_from(self, stream: Any) -> None:
        """Notes codec, frame rate and pixel aspect of the stream."""
        self.codec = stream.codec_context.codec.canonical_name
        self.stated_fps = float(stream.average_rate or 0)
        self.aspect = pixel_aspect(stream)

    def keep(self, number: int, frame: Any) -> None:
        """Keeps a frame until there are `keep_bytes` of later ones."""
        if number in self._kept:
            self._kept_bytes -= _bytes_of(self._kept.pop(number))
        self._kept[number] = frame
        self._kept_bytes += _bytes_of(frame)
        while self._kept_bytes > self._keep_bytes and len(self._kept) > KEEP_FRAMES:
            oldest = next(iter(self._kept))
            self._kept_bytes -= _bytes_of(self._kept.pop(oldest))

    def frame(self, number: int) -> Any:
        """One frame (PyAV's). Raises `ClipError` where the file is no longer what it was."""
        if number in self._kept:
            return self._kept[number]
        if self._running is None or number < self._next:
            self._running, self._next = self.decode([]), 0
        for frame in self._running:
            self._next += 1
            if self._next > number:
                return frame
        raise ClipError("decode", "unreadable", f"{self.path} changed while it was being read")

    def rgb(self, number: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of one frame, as it is to be shown."""
        return upright(self.frame(number), self.aspect)

    def container(self) -> AbstractContextManager[Any]:
        """The file opened anew, for whoever wants its packets. Raises `ClipError` as decoding does."""
        return opened(self.path)

    def close(self) -> None:
        """Frees the kept frames and the file; the next frame asked for opens it again."""
        self._running = None
        self._kept.clear()
        self._kept_bytes = 0

    def __getstate__(self) -> dict[str, Any]:
        # Decoders cannot cross to another process; the path is all that it takes.
        return {**self.__dict__, "_running": None, "_kept": {}, "_kept_bytes": 0}


def video_stream(container: Any, path: str) -> Any:
    """The video stream to read. Raises `ClipError` (`decode`): `no_video`, `no_decoder`."""
    stream = best_stream(container, "video")
    if stream is not None:
        return stream
    if streams_of(container, "video"):
        raise ClipError(
            "decode", "no_decoder", f"{path} has pictures in a codec that FFmpeg cannot decode"
        )
    raise ClipError("decode", "no_video", f"{path} has no video stream")


def select(
    frames: NDArray[np.uint8] | Shown, indices: NDArray[np.intp]
) -> NDArray[np.uint8] | Shown:
    """Some of a clip's frames, in the order given; those of a `Shown` are not decoded by that."""
    return frames.only(indices) if isinstance(frames, Shown) else frames[indices]


def thinned(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3): every eighth pixel of every eighth line of an (H, W, 3) picture, which can be let go."""
    return picture[::8, ::8].copy()


class Shown(Sequence[NDArray[np.uint8]]):
    """Frames of a file in some order, each decoded when it is asked for.

    Indexing by a number gives (H, W, 3) uint8 RGB, by an array of numbers all of those at once.
    Cheap in rising order.

    Args:
        reader: reader of the file.
        numbers: (T,) numbers of these frames in the file.
        thin: (T, h, w, 3) of the frames, as `thinned` says, from a pass that was made anyway.

    Attributes:
        shape: (T, H, W, 3).
        thin: as given.
    """

    def __init__(
        self, reader: VideoReader, numbers: NDArray[np.intp], thin: NDArray[np.uint8]
    ) -> None:
        self._reader, self._numbers, self.thin = reader, numbers, thin
        height, width = reader.rgb(int(numbers[0])).shape[:2]
        self.shape: tuple[int, ...] = (len(numbers), height, width, 3)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any, /) -> Any:
        if isinstance(index, int | np.integer):
            if not 0 <= index < len(self._numbers):
                raise IndexError(index)
            return self._reader.rgb(int(self._numbers[index]))
        return np.stack([self._reader.rgb(int(n)) for n in self._numbers[index]])

    def only(self, indices: NDArray[np.intp]) -> Shown:
        """Some of these frames, in the order given; none is decoded yet."""
        chosen = Shown.__new__(Shown)
        chosen._reader, chosen._numbers = self._reader, self._numbers[indices]
        chosen.thin = self.thin[indices]
        chosen.shape = (len(chosen._numbers), *self.shape[1:])
        return chosen


def _bytes_of(frame: Any) -> int:
    return sum(plane.buffer_size for plane in frame.planes)
