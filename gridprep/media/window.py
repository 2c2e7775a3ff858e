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
"""A stream this far past the end of the part ends the reading, whatever the others still hold."""


@dataclass(frozen=True)
class Window:
    """The times [start_s, end_s) of a part, in seconds since the first picture of the file."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    def origin_s(self, stream: Any) -> float:
        """The start of the part on the file's own clock; `stream` is the video stream."""
        first = stream.start_time * stream.time_base if stream.start_time is not None else 0
        return float(first) + self.start_s

    def seek(self, container: Any, stream: Any) -> None:
        """Moves an open container to a key frame before the part, where that is exact."""
        at_s = self.origin_s(stream) - LEAD_S
        if self.start_s <= LEAD_S or not set(container.format.name.split(",")) & INDEXED:
            return
        try:
            container.seek(int(at_s / stream.time_base), stream=stream, backward=True)
        except av.error.FFmpegError:
            container.seek(0)

    def inside(self, frames: Iterator[Any], stream: Any, n_streams: int = 1) -> Iterator[Any]:
        """Those of the frames (PyAV's, of pictures and sound, in the order of the file) that belong to
        the part. Pictures are those on screen in it; pieces of sound may reach over its borders.

        Args:
            stream: the video stream.
            n_streams: how many streams `frames` come from: reading stops when all are past the end.
        """
        start_s = self.origin_s(stream)
        end_s = start_s + self.duration_s
        before: Any = None
        shown = False
        past: set[str] = set()
        for frame in frames:
            if frame.time is None:
                continue
            is_picture = isinstance(frame, av.VideoFrame)
            if frame.time >= end_s - HALF_FRAME_S * is_picture:
                past.add(type(frame).__name__)
                if len(past) >= n_streams or frame.time > end_s + PAST_S:
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
