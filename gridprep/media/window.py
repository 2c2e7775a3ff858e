"""A part of a long file by its times: where decoding starts, and which frames and sound belong to it.

The rest of the toolkit never seeks, since MPEG program streams, GRID's container, lose pictures by it.
A file of an hour cut into 300 clips would be decoded 300 times, though. Containers with an index (MP4,
MOV, Matroska) seek to a key frame exactly; others are decoded from the first byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import av.error

INDEXED = frozenset({"mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm"})
"""FFmpeg's names of containers that seek exactly."""

LEAD_S = 1.0
"""Decoding starts this much before the part: a sound codec needs a few packets to settle."""

HALF_FRAME_S = 0.02
PAST_S = 5.0
"""Pictures this far past the end of the part end the reading, whatever sound is still to come."""


@dataclass(frozen=True)
class Window:
    """The times [start_s, end_s) of a part, in seconds since the first picture of the file."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Its length."""
        return self.end_s - self.start_s


class WindowReader:
    """The frames of a part of an open container.

    Args:
        window: the part.
        container: just opened; it is moved to a key frame before the part where that is exact.
        stream: its video stream.

    Attributes:
        start_s: the start of the part on the file's own clock. Where the file is read from its first
            byte it is known for certain when the first picture has come.
    """

    def __init__(self, window: Window, container: Any, stream: Any) -> None:
        first_s = stream.start_time * stream.time_base if stream.start_time is not None else 0
        self.start_s = float(first_s) + window.start_s
        self._window = window
        self._moved = self._seek(container, stream)

    def _seek(self, container: Any, stream: Any) -> bool:
        if self._window.start_s <= LEAD_S or not set(container.format.name.split(",")) & INDEXED:
            return False
        try:
            at = int((self.start_s - LEAD_S) / stream.time_base)
            container.seek(at, stream=stream, backward=True)
        except av.error.FFmpegError:
            container.seek(0)
            return False
        return True

    def inside(self, frames: Iterator[Any], n_streams: int = 1) -> Iterator[Any]:
        """Those of the frames (PyAV's, of pictures and sound, in the order of the file) that belong to
        the part. Pictures are those on screen in it; pieces of sound may reach over its borders.

        Args:
            n_streams: how many streams `frames` come from: reading stops when all are past the end.
        """
        before: Any = None
        shown, first = False, not self._moved
        past: set[bool] = set()
        for frame in frames:
            if frame.time is None:
                continue
            is_picture = isinstance(frame, av.VideoFrame)
            if is_picture and first:
                # Some containers state a start that is not that of the first picture.
                self.start_s, first = float(frame.time) + self._window.start_s, False
            start_s, end_s = self.start_s, self.start_s + self._window.duration_s
            if frame.time >= end_s - HALF_FRAME_S * is_picture:
                past.add(is_picture)
                if len(past) >= n_streams or (is_picture and frame.time > end_s + PAST_S):
                    break
            elif not is_picture:
                if frame.time + frame.samples / max(frame.sample_rate, 1) > start_s:
                    yield frame
            elif frame.time < start_s - HALF_FRAME_S:
                before = frame
            else:
                if not shown and before is not None and frame.time > start_s + HALF_FRAME_S:
                    yield before
                shown = True
                yield frame
        if not shown and before is not None:
            yield before
