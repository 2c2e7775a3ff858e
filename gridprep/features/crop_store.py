"""File formats of crops, one file per clip, and writing them.

Which format is the default was decided by `python -m benchmarks --only crop-formats` (size, PSNR, time to
encode and to decode a whole clip); its table is in docs/formats.md. Reading them back, which
training needs too, is `manifests.pictures`.
"""

from __future__ import annotations

import io
import os
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput
from manifests.features import npy
from manifests.io import write_bytes
from manifests.pictures import Pictures, read_pictures
from manifests.specs import VIDEO_FPS

__all__ = ["CODECS", "Pictures", "encode", "read_pictures", "suffix_of", "write_pictures"]

_VIDEO: dict[str, tuple[str, str, str, dict[str, str]]] = {
    # name → FFmpeg codec, pixel format, suffix, options. yuv444p keeps lip color at full resolution.
    "h264-crf10": ("libx264", "yuv420p", ".mp4", {"crf": "10", "preset": "veryfast", "bf": "0"}),
    "h264-crf10-444": (
        "libx264",
        "yuv444p",
        ".mp4",
        {"crf": "10", "preset": "veryfast", "bf": "0"},
    ),
    "h264-crf14": ("libx264", "yuv420p", ".mp4", {"crf": "14", "preset": "veryfast", "bf": "0"}),
    "h264-crf18": ("libx264", "yuv420p", ".mp4", {"crf": "18", "preset": "veryfast", "bf": "0"}),
    "ffv1": ("ffv1", "bgr0", ".mkv", {}),
}
CODECS = (*_VIDEO, "mjpeg95", "mjpeg90", "jpeg95", "jpeg90", "png", "npy")


def suffix_of(codec: str) -> str:
    """File suffix of a codec. Raises `BadInput` for an unknown one."""
    if codec in _VIDEO:
        return _VIDEO[codec][2]
    if codec in ("mjpeg95", "mjpeg90"):
        return ".avi"
    if codec in ("jpeg95", "jpeg90"):
        return ".jpg"
    if codec in ("png", "npy"):
        return f".{codec}"
    raise BadInput(f"unknown crop format {codec!r}", f"use one of {', '.join(CODECS)}")


def encode(pictures: Pictures, codec: str, half_color: bool = False) -> bytes:
    """Encodes the pictures of one clip. The same pictures give the same bytes.

    Args:
        pictures: (T, H, W, 3) uint8 RGB with even H and W.
        codec: one of `CODECS`. The picture formats hold the clip as one tall strip.
        half_color: whether Motion JPEG stores color at half the resolution (4:2:0), for pictures that are
            enlarged out of such ones.
    """
    suffix_of(codec)
    if codec in _VIDEO:
        return _encode_video(pictures, codec)
    if codec.startswith("mjpeg"):
        return _encode_mjpeg(pictures, int(codec[5:]), half_color)
    if codec == "npy":
        return npy(pictures)
    strip = pictures.reshape(-1, *pictures.shape[2:])
    image = _jpeg(strip, int(codec[4:])) if codec != "png" else _image(strip, ".png", [])
    return image.tobytes()


def _image(rgb: Pictures, suffix: str, options: list[int]) -> NDArray[np.uint8]:
    """(N,) bytes of one picture."""
    ok, data = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    if not ok:
        raise BadInput(f"a picture of shape {rgb.shape} cannot be stored as {suffix}")
    return np.asarray(data, np.uint8)


def _jpeg(rgb: Pictures, quality: int, half_color: bool = False) -> NDArray[np.uint8]:
    # 4:4:4 as a rule, or red lips bleed into skin.
    sampling = (
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if half_color else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    )
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return _image(rgb, ".jpg", options)


def _encode_mjpeg(pictures: Pictures, quality: int, half_color: bool) -> bytes:
    """Motion JPEG in AVI: any player shows it, and libjpeg-turbo (through OpenCV) makes and reads
    its pictures several times faster than FFmpeg's own JPEG or H.264."""
    buffer, per_frame = io.BytesIO(), Fraction(1, VIDEO_FPS)
    with av.open(buffer, "w", format="avi", options={"fflags": "+bitexact"}) as out:
        stream: Any = out.add_stream("mjpeg", rate=VIDEO_FPS)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuvj420p" if half_color else "yuvj444p"
        for i, picture in enumerate(pictures):
            packet = av.Packet(_jpeg(picture, quality, half_color))
            packet.stream = stream
            packet.time_base = per_frame
            packet.pts = packet.dts = i
            packet.is_keyframe = True
            out.mux(packet)
    return buffer.getvalue()


def _encode_video(pictures: Pictures, codec: str) -> bytes:
    name, pixels, suffix, options = _VIDEO[codec]
    buffer = io.BytesIO()
    with av.open(
        buffer, "w", format=suffix[1:].replace("mkv", "matroska"), options={"fflags": "+bitexact"}
    ) as out:
        stream: Any = out.add_stream(name, rate=VIDEO_FPS, options=options)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.thread_count = 1  # more threads would change the bytes
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return buffer.getvalue()


def write_pictures(target: str | os.PathLike[str], pictures: Pictures, codec: str) -> None:
    """Atomically writes one clip's pictures."""
    write_bytes(target, encode(pictures, codec))
