"""A media file opened for the stages: its packets from the first byte to the last, damage counted.

Never seek. On GRID's MPEG-1 files a seek to 0 loses the first group of pictures (63 of 75 frames
arrive) and other readers shift everything by 12 frames; a file is read from its first byte to its
last instead. The container's own frame count is 0 or nonsense, so frames are counted as decoded.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import av.error

from manifests import mediafile
from manifests.errors import ClipError


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """An open container, to be read from its first byte to its last.

    Raises:
        ClipError: stage `decode`, reason `unreadable` (no permission, absent), `not_a_file` (a
            folder, a named pipe), `empty_file`, or `not_media` (no container FFmpeg knows, or
            reading it ended in an error).
    """
    try:
        with mediafile.opened(path) as container:
            yield container
    except mediafile.UnreadableMedia as error:
        raise ClipError("decode", error.reason, error.detail) from None


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
