"""Muxing: the video stream of a file with another sound track, in an .mp4 that browsers play.

Video packets are copied where every player supports them, else encoded as H.264. Times count from the
first frame, with which the sound starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput
from manifests.io import atomic_path, check_writable
from manifests.mediafile import UnreadableMedia, best_stream, file_url, opened

SUFFIXES = (".mp4", ".m4v")
COPIED = {"h264": "", "hevc": "hvc1"}
"""Codec → the tag that it must have to be copied, "" for any. MPEG-4 ASP, VP9, AV1, MPEG-1 and -2 are
allowed in MP4 too, but QuickTime or browsers refuse them there, as they do HEVC tagged `hev1`."""
COPIED_PIXELS = frozenset({"yuv420p", "yuvj420p"})
"""Eight bits, color at half size: hardly a player decodes 4:2:2 or ten bits of H.264."""

CRF = 18
BIT_RATE = 96_000
"""The most that AAC can use for one channel at 16 kHz."""
CLOCK_HZ = 90_000
MAX_REORDERED = 16
"""Pictures that H.264 may hold back at most."""
SOUND_PIECE_SAMPLES = 8192
LIMITED_RANGE = 1
"""FFmpeg's number for brightness from 16 to 235, which every player takes H.264 to have; JPEG's and many
telephones' goes from 0 to 255."""
COMMENT = "The speech is synthetic: made by facetron from the silent picture."


class PictureSource(Protocol):
    """Protocol of the video to mux, such as a `gridprep.media.footage.Footage`.

    Attributes:
        fps: frames per second.
        start_s: time of the first picture in the file, None where its times are unusable.
        errors: damaged packets and frames.
    """

    @property
    def codec(self) -> str: ...
    @property
    def fps(self) -> float: ...
    @property
    def start_s(self) -> float | None: ...
    @property
    def errors(self) -> int: ...

    def container(self) -> AbstractContextManager[Any]:
        """The file, opened to be read from its start (PyAV's)."""
        ...

    def pictures(self) -> Iterator[tuple[float, Any]]:
        """Seconds since the first picture, rising, and frame (PyAV's), upright and with square
        pixels."""
        ...


class _NotCopyable(Exception):
    """Raised where the packets of a video cannot be copied."""


def check_target(out: Path) -> None:
    """Raises `BadInput` where a result could not be written to `out`, `OSError` where the folder
    cannot be written to. Costs nothing, so it comes before long work."""
    if out.suffix.lower() not in SUFFIXES:
        raise BadInput(
            f"{out} is not the name of an MP4 file", f"end it in {' or '.join(SUFFIXES)}"
        )
    if out.is_dir():
        raise BadInput(f"{out} is a folder", "name a file")
    check_writable(out)


def write_mp4(source: PictureSource, sound: NDArray[np.float32], rate_hz: int, out: Path) -> bool:
    """Atomically writes a video with the pictures of `source` and the sound (samples,) in ±1.

    Returns:
        Whether the pictures were copied, and not encoded again.

    Raises:
        OSError: the disk is full or cannot be written to; a file that was there still is.
        BadInput: what was written cannot be read back whole.
    """
    import av.error

    start_s = source.start_s if source.codec in COPIED and source.errors == 0 else None
    copied = start_s is not None
    with atomic_path(out) as temporary:
        try:
            try:
                if start_s is not None:
                    frames = _write(temporary, sound, rate_hz, _Copy(source, start_s))
            except _NotCopyable:
                copied = False
            if not copied:
                frames = _write(temporary, sound, rate_hz, _Encode(source))
        except av.error.FFmpegError as error:
            number = getattr(error, "errno", 0)
            if isinstance(error, OSError) and number > 0:
                # FFmpeg's own names the temporary file, or nothing, and cannot be changed.
                raise OSError(number, os.strerror(number), str(out)) from None
            raise BadInput(f"{out} cannot be written ({error})", "choose another --out") from None
        _check(temporary, frames, len(sound), out)
    return copied


class _Copy:
    """Copies the video packets of a file, with times counted from its first picture.

    Args:
        start_s: time of the first picture in the file.
    """

    def __init__(self, source: PictureSource, start_s: float) -> None:
        self._source, self._start_s = source, start_s

    def packets(self, out: Any) -> Iterator[tuple[float, Any]]:
        """Seconds and packets. Adds the stream to `out`. Raises `_NotCopyable`."""
        import av.error

        with self._source.container() as container:
            video = best_stream(container, "video")
            if not played_everywhere(video):
                raise _NotCopyable("pictures that many players refuse")
            try:
                made = out.add_stream_from_template(video, opaque=True)
                if tag := COPIED[video.codec_context.codec.canonical_name]:
                    made.codec_context.codec_tag = tag
            except (ValueError, av.error.FFmpegError) as error:
                raise _NotCopyable(str(error)) from None
            for packet in self._decodable(container.demux(video)):
                start = round(self._start_s / packet.time_base)
                packet.pts -= start
                packet.dts -= start
                packet.stream = made
                yield float(packet.dts * packet.time_base), packet

    def _decodable(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Packets with both their times. Matroska leaves out when the first ones are to be decoded,
        if later ones are shown before them; they are put a picture apart before the others."""
        first: list[Any] = []
        timed = False
        for packet in packets:
            if packet.size == 0:
                continue
            if packet.pts is None or (packet.dts is None and (timed or len(first) > MAX_REORDERED)):
                raise _NotCopyable("a packet without a time")
            if not timed and not first and not packet.is_keyframe:
                raise _NotCopyable("the first picture builds upon another one")
            if packet.dts is None:
                first.append(packet)
                continue
            step = round(1 / self._source.fps / packet.time_base)
            for before, early in enumerate(reversed(first), 1):
                early.dts = packet.dts - before * step
            yield from first
            yield packet
            first, timed = [], True
        if first:
            raise _NotCopyable("packets without a time")


def played_everywhere(stream: Any) -> bool:
    """Returns whether players and browsers support a video stream (PyAV's) in an .mp4 without encoding."""
    context = stream.codec_context
    tag = COPIED.get(context.codec.canonical_name)
    if tag is None or context.pix_fmt not in COPIED_PIXELS:
        return False
    return not tag or context.codec_tag == tag


class _Encode:
    """Encodes the pictures of a source as H.264."""

    def __init__(self, source: PictureSource) -> None:
        self._source = source

    def packets(self, out: Any) -> Iterator[tuple[float, Any]]:
        """Seconds and packets. Adds the stream to `out`."""
        fps = self._source.fps
        stream: Any = None
        time_s = 0.0
        for time_s, frame in self._source.pictures():
            if stream is None:
                options = {"crf": str(CRF), "preset": "veryfast"}
                rate = Fraction(fps).limit_denominator(1001)
                stream = out.add_stream("libx264", rate=rate, options=options)
                # 4:2:0, which alone is played everywhere, needs even sides.
                stream.width, stream.height = (max(n - n % 2, 2) for n in _size(frame))
                stream.pix_fmt = "yuv420p"
                stream.codec_context.sample_aspect_ratio = Fraction(1)
                stream.codec_context.time_base = Fraction(1, CLOCK_HZ)
                _same_colors(stream.codec_context, frame)
            frame = frame.reformat(
                stream.width, stream.height, "yuv420p", dst_color_range=LIMITED_RANGE
            )
            frame.pict_type = 0  # or the source's key frames would be the encoder's
            frame.pts, frame.time_base = round(time_s * CLOCK_HZ), Fraction(1, CLOCK_HZ)
            yield from self._timed(stream.encode(frame), time_s)
        yield from self._timed(stream.encode(), time_s)

    def _timed(self, packets: list[Any], time_s: float) -> Iterator[tuple[float, Any]]:
        for packet in packets:
            packet.duration = round(CLOCK_HZ / self._source.fps)  # the last one is shown as long
            yield time_s, packet


def _size(frame: Any) -> tuple[int, int]:
    return frame.width, frame.height


def _same_colors(context: Any, frame: Any) -> None:
    """Tells players what the numbers of the pictures mean, or they would guess, and show those of
    telephones (BT.2020) pale."""
    context.color_range = LIMITED_RANGE
    context.color_primaries = frame.color_primaries
    context.color_trc = frame.color_trc
    context.colorspace = frame.colorspace


def _write(path: Path, sound: NDArray[np.float32], rate_hz: int, pictures: _Copy | _Encode) -> int:
    """Writes the file and returns how many pictures it has. Sound and pictures come in turns, or the
    muxer would hold all of one until the other came."""
    import av

    frames, fed = 0, 0
    options = {"movflags": "+faststart"}
    with av.open(file_url(path), "w", format="mp4", options=options) as out:
        out.metadata["comment"] = COMMENT
        stream: Any = None
        for time_s, packet in pictures.packets(out):
            if stream is None:
                stream = out.add_stream("aac", rate=rate_hz, layout="mono")
                stream.bit_rate = BIT_RATE
            while fed < len(sound) and fed <= time_s * rate_hz:
                fed = _feed(out, stream, sound, fed, rate_hz)
            out.mux(packet)
            frames += 1
        while fed < len(sound):
            fed = _feed(out, stream, sound, fed, rate_hz)
        out.mux(stream.encode())
    return frames


def _feed(out: Any, stream: Any, sound: NDArray[np.float32], fed: int, rate_hz: int) -> int:
    """Encodes the next piece of sound; returns the number of samples that have been."""
    import av

    piece = sound[fed : fed + SOUND_PIECE_SAMPLES].clip(-1, 1)
    frame: Any = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(piece[None], np.float32), format="fltp", layout="mono"
    )
    frame.sample_rate, frame.time_base, frame.pts = rate_hz, Fraction(1, rate_hz), fed
    out.mux(stream.encode(frame))
    return fed + len(piece)


def _check(path: Path, frames: int, samples: int, out: Path) -> None:
    """Raises `BadInput` unless the file can be read back with all that went into it: FFmpeg does not
    report every write that failed."""
    found = {"video": 0, "audio": 0}
    try:
        with opened(path) as container:
            for packet in container.demux():
                if packet.size:
                    found[packet.stream.type] += 1 if packet.stream.type == "video" else 1024
    except (UnreadableMedia, KeyError):
        found = {"video": 0, "audio": 0}
    if found["video"] < frames or found["audio"] < samples:
        raise BadInput(f"{out} could not be written whole", "free space, or choose another --out")
