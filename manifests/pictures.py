"""Reading stored crops: pictures on disk → arrays, the one decoder of whoever takes features.

Readers always decode from the first frame: nothing here seeks. Which formats there are, and writing
them, is gridprep's.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput
from manifests.mediafile import UnreadableMedia, best_stream, opened

Pictures = NDArray[np.uint8]
"""(T, H, W, 3) uint8 RGB."""


def read_pictures(path: str | os.PathLike[str]) -> Pictures:
    """Reads any of the formats: (T, H, W, 3) uint8 RGB.

    Strips are cut into squares: T = height / width.

    Raises `BadInput` naming the file when it is absent or damaged.
    """
    path = os.fspath(path)
    try:
        if path.endswith(".npy"):
            return np.asarray(np.load(path, allow_pickle=False), np.uint8)
        if path.endswith((".jpg", ".png")):
            return _read_strip(path)
        return _read_video(path)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise BadInput(
            f"{path} cannot be read ({error})", "run `gridprep check BUILD --repair`"
        ) from None


def _read_strip(path: str) -> Pictures:
    import cv2

    strip = cv2.imread(path, cv2.IMREAD_COLOR)
    if strip is None or strip.shape[0] % strip.shape[1]:
        raise ValueError("not a strip of square pictures")
    side = strip.shape[1]
    rgb = cv2.cvtColor(strip, cv2.COLOR_BGR2RGB)
    return np.asarray(rgb.reshape(-1, side, side, 3), np.uint8)


def _read_video(path: str) -> Pictures:
    try:
        with opened(path) as container:
            stream = best_stream(container, "video")
            if stream is None:
                raise ValueError("no pictures")
            if stream.codec_context.name == "mjpeg":
                packets = [bytes(p) for p in container.demux(stream) if p.size]
                return np.stack([_decode_jpeg(p) for p in packets])
            stream.codec_context.thread_count = 1
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
    except UnreadableMedia as error:
        raise ValueError(error.why) from None
    if not frames:
        raise ValueError("no frames")
    return np.stack(frames)


def _decode_jpeg(data: bytes) -> Pictures:
    import cv2

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("a damaged picture")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
