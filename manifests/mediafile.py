"""Opens media files: the only module through which the three programs reach FFmpeg.

A path reaches FFmpeg as a file and never as a URL, whatever its name looks like
(`2024-01-01T12:30:45.mp4` reads like a protocol); only regular files are opened, since a pipe would
be waited on for ever; and of several tracks the one is taken that a player would play, among those
that can be decoded.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["video", "audio"]

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


TRIED_PACKETS = 100
"""Number of packets that are tried before a track counts as one that cannot be decoded."""

LONGEST_SIDE_PX = 1920
"""Largest side of a picture in pixels; larger pictures are reduced to it while reading."""

SQUARE_WITHIN = Fraction(1, 200)
MOST_OBLONG = 5
"""Largest pixel aspect ratio that is accepted; a larger one is taken for an error in the file."""


class UnreadableMedia(Exception):
    """A file that cannot be opened, or holds no media that FFmpeg can read.

    Args:
        reason: `unreadable` (absent, no permission), `not_a_file`, `empty_file` or `not_media`.
        detail: one sentence that names the file.
        why: message of the system or of FFmpeg, without the file's name.
    """

    def __init__(self, reason: str, detail: str, why: str = "") -> None:
        self.reason, self.detail, self.why = reason, detail, why or detail
        super().__init__(f"{reason}: {detail}")


def kind_of_file(path: str | os.PathLike[str]) -> str:
    """ "" for a regular file (or a link to one), else what it is, such as `a named pipe`.

    Raises `OSError` where nothing is there.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return ""
    return next((name for test, name in _KINDS if test(mode)), "no regular file")


def file_url(path: str | os.PathLike[str]) -> str:
    """A path as FFmpeg takes it for a file, whatever characters it holds."""
    return f"file:{os.fspath(path)}"


def _options() -> dict[str, Any]:
    import av

    # FFmpeg takes a text file for a playlist if it looks like one; it must not call anywhere.
    options: dict[str, Any] = {"options": {"protocol_whitelist": "file"}}
    if int(av.__version__.split(".")[0]) < 19:
        # Titles that are not UTF-8 are no reason to refuse a clip; PyAV 19 dropped the option.
        options["metadata_errors"] = "ignore"
    return options


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], content: bytes | None = None) -> Iterator[Any]:
    """An open PyAV container, to be read from its first byte to its last.

    Args:
        content: the bytes of the file, where they lie elsewhere than at its path.

    Raises:
        UnreadableMedia: see there; also where reading inside the `with` ends in an error of FFmpeg.
    """
    import av
    import av.error
    import av.logging

    path = os.fspath(path)
    if content is None:
        _check_readable(path)
    # FFmpeg writes its complaints to standard error from C; they would tear the progress bar.
    av.logging.set_level(None)
    try:
        source = file_url(path) if content is None else io.BytesIO(content)
        with av.open(source, **_options()) as container:
            yield container
    except (av.error.FFmpegError, UnicodeError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)  # FFmpeg's own would repeat the path
        raise UnreadableMedia(
            "not_media", f"{path} is not a video that FFmpeg can read ({why})", why
        ) from None


def _check_readable(path: str) -> None:
    try:
        kind = kind_of_file(path)
        if kind:
            raise UnreadableMedia("not_a_file", f"{path} is {kind}, not a file", f"is {kind}")
        if os.path.getsize(path) == 0:
            raise UnreadableMedia("empty_file", f"{path} has no bytes", "has no bytes")
        with open(path, "rb"):
            pass
    except OSError as error:
        why = error.strerror or str(error)
        raise UnreadableMedia("unreadable", f"{path}: {why}", why) from None


def streams_of(container: Any, kind: Kind) -> list[Any]:
    """The streams of a kind in the order of the file; a cover picture is no video."""
    import av.stream

    cover = av.stream.Disposition.attached_pic
    return [s for s in getattr(container.streams, kind) if not s.disposition & cover]


def best_stream(container: Any, kind: Kind) -> Any:
    """The stream that a player plays, or None where there is none that can be decoded.

    FFmpeg's choice (`av_find_best_stream`: the default track, then the one with the most data) where
    it can be decoded; else the first of the default tracks that can, else the first of all.
    """
    import av.stream

    usable = [stream for stream in streams_of(container, kind) if stream.codec_context is not None]
    if len(usable) < 2:
        return usable[0] if usable else None
    best = container.streams.best(kind)
    default = av.stream.Disposition.default

    def rank(stream: Any) -> tuple[bool, bool, int]:
        is_best = best is not None and stream.index == best.index
        return not is_best, not stream.disposition & default, stream.index

    ranked = sorted(usable, key=rank)
    return next((s for s in ranked if _gives_a_frame(container.name, s.index)), ranked[0])


def _gives_a_frame(url: str, index: int) -> bool:
    """Returns whether a stream of a file can be decoded, tried on its first packets."""
    import av
    import av.error

    with contextlib.suppress(av.error.FFmpegError), av.open(url, **_options()) as container:
        stream = container.streams[index]
        for number, packet in enumerate(container.demux(stream)):
            with contextlib.suppress(av.error.FFmpegError):
                if packet.decode():
                    return True
            if number == TRIED_PACKETS:
                break
    return False


def pixel_aspect(stream: Any) -> Fraction:
    """Width of a pixel over its height, 1 where the file does not say or says nonsense."""
    stated = stream.sample_aspect_ratio
    if not stated or not Fraction(1, MOST_OBLONG) <= stated <= MOST_OBLONG:
        return Fraction(1)
    return Fraction(1) if abs(stated - 1) <= SQUARE_WITHIN else Fraction(stated)


def shown_size(
    width: int, height: int, aspect: Fraction, longest_px: int = LONGEST_SIDE_PX
) -> tuple[int, int]:
    """(width, height) of a stored picture when its pixels are square: the side along which they are
    too long is stretched, so that nothing is lost; then both are reduced until neither is over
    `longest_px`."""
    if aspect == 1 and max(width, height) <= longest_px:
        return width, height  # the usual case, asked for every frame
    if aspect > 1:
        wide, high = Fraction(width) * aspect, Fraction(height)
    else:
        wide, high = Fraction(width), Fraction(height) / aspect
    zoom = min(Fraction(1), Fraction(longest_px) / max(wide, high))
    return max(round(wide * zoom), 1), max(round(high * zoom), 1)


def way_up(frame: Any) -> tuple[int, bool]:
    """How a stored picture is to be shown, as its file says: telephones film lying on their side, and
    front cameras mirrored, and write down what players are to do about it.

    Returns: quarter turns, counter-clockwise, that make it upright; and whether left and right are
    exchanged before that.
    """
    try:
        stated = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18 does not know all kinds, such as the EXIF of cameras' JPEGs
        return round(frame.rotation / 90) % 4, False
    if stated is None:
        return 0, False
    matrix = np.frombuffer(bytes(stated)[:36], np.int32).astype(np.float64)
    across, down = (matrix[0], matrix[1]), (matrix[3], matrix[4])
    mirrored = across[0] * down[1] < across[1] * down[0]
    turn = math.atan2(across[1], -across[0]) if mirrored else math.atan2(-across[1], across[0])
    return round(turn / (math.pi / 2)) % 4, bool(mirrored)


def _shown(rgb: NDArray[np.uint8], frame: Any) -> NDArray[np.uint8]:
    """A view of a frame's picture (H, W, 3), turned and mirrored as `way_up` says."""
    turns, mirrored = way_up(frame)
    if mirrored:
        rgb = rgb[:, ::-1]
    return np.rot90(rgb, turns) if turns else rgb


_of_thread = threading.local()


def converted(frame: Any, **how: Any) -> Any:
    """A frame (PyAV's) in another size or format.

    By one converter a thread, which starts no threads of its own: `frame.reformat` and
    `frame.to_ndarray(format=…)` make one for every frame, with threads for every processor, which takes
    four times as long as to convert it.

    Args:
        how: as `av.VideoFrame.reformat` takes it.
    """
    from av.video.reformatter import VideoReformatter

    if not hasattr(_of_thread, "converter"):
        _of_thread.converter = VideoReformatter()
    return _of_thread.converter.reformat(frame, threads=1, **how)


def rgb_of(frame: Any) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a decoded frame (PyAV's) as it is stored."""
    return np.asarray(converted(frame, format="rgb24").to_ndarray(), np.uint8)


def upright(frame: Any, aspect: Fraction = Fraction(1)) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a decoded frame as it is to be shown.

    Args:
        frame: a frame of PyAV.
        aspect: aspect ratio of its pixels, as from `pixel_aspect`.
    """
    return np.ascontiguousarray(upright_view(frame, aspect))


def upright_view(frame: Any, aspect: Fraction = Fraction(1)) -> NDArray[np.uint8]:
    """Does what `upright` does, but for whoever copies the picture anyway: it is not contiguous where the
    converter pads its lines."""
    size = shown_size(frame.width, frame.height, aspect)
    if size == (frame.width, frame.height):
        rgb = rgb_of(frame)
    else:
        # Cubic where it is enlarged; reduced, pixels must be averaged or fine patterns alias.
        how = "AREA" if aspect == 1 else "BICUBIC"
        width, height = size
        rgb = converted(
            frame, width=width, height=height, format="rgb24", interpolation=how
        ).to_ndarray()
    return _shown(rgb, frame)


def as_shown(frame: Any, aspect: Fraction = Fraction(1)) -> Any:
    """A decoded frame (PyAV's) turned upright and with square pixels, however large; itself where it
    is so already."""
    width, height = shown_size(frame.width, frame.height, aspect, 1 << 20)
    square = frame
    if (width, height) != (frame.width, frame.height):
        square = converted(frame, width=width, height=height, interpolation="BICUBIC")
    if way_up(frame) == (0, False):
        return square
    import av

    rgb = np.ascontiguousarray(_shown(rgb_of(square), frame))
    shown: Any = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    # Whoever encodes it goes back by the matrix that its colors came from.
    shown.colorspace, shown.color_trc = frame.colorspace, frame.color_trc
    shown.color_primaries = frame.color_primaries
    return shown
