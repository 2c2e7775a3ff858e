"""Reads pictures: stored crops as arrays (the decoder for all users of features), and pictures given by
the user. Writes single pictures with the key of what they were made from.

Readers of crops always decode from the first frame: nothing here seeks. Which formats of crops there are, and
writing them, is gridprep's.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput
from manifests.io import atomic_path
from manifests.mediafile import UnreadableMedia, best_stream, kind_of_file, opened, rgb_of

Pictures = NDArray[np.uint8]
"""(T, H, W, 3) uint8 RGB."""


def read_pictures(path: str | os.PathLike[str], content: bytes | None = None) -> Pictures:
    """Reads any of the formats: (T, H, W, 3) uint8 RGB.

    Strips are cut into squares: T = height / width.

    Args:
        content: the bytes of the file, where they lie elsewhere than at its path.

    Raises `BadInput` naming the file when it is absent or damaged.
    """
    path = os.fspath(path)
    try:
        if path.endswith(".npy"):
            source = path if content is None else io.BytesIO(content)
            return np.asarray(np.load(source, allow_pickle=False), np.uint8)
        if path.endswith((".jpg", ".png")):
            return _read_strip(path, content)
        return _read_video(path, content)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise BadInput(
            f"{path} cannot be read ({error})", "run `gridprep check BUILD --repair`"
        ) from None


def _read_strip(path: str, content: bytes | None) -> Pictures:
    import cv2

    if content is None:
        strip = cv2.imread(path, cv2.IMREAD_COLOR)
    else:
        strip = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if strip is None or strip.shape[0] % strip.shape[1]:
        raise ValueError("not a strip of square pictures")
    side = strip.shape[1]
    rgb = cv2.cvtColor(strip, cv2.COLOR_BGR2RGB)
    return np.asarray(rgb.reshape(-1, side, side, 3), np.uint8)


def _read_video(path: str, content: bytes | None) -> Pictures:
    try:
        with opened(path, content) as container:
            stream = best_stream(container, "video")
            if stream is None:
                raise ValueError("no pictures")
            if stream.codec_context.name == "mjpeg":
                packets = [bytes(p) for p in container.demux(stream) if p.size]
                return _decode_jpegs(packets)
            stream.codec_context.thread_count = 1
            frames = [rgb_of(f) for f in container.decode(stream)]
    except UnreadableMedia as error:
        raise ValueError(error.why) from None
    if not frames:
        raise ValueError("no frames")
    return np.stack(frames)


def _decode_jpegs(packets: Sequence[bytes]) -> Pictures:
    """Pictures of one size, each decoded to its place in one array."""
    import cv2

    # Older versions of OpenCV cannot give RGB at once.
    as_rgb: int | None = getattr(cv2, "IMREAD_COLOR_RGB", None)
    pictures: Pictures | None = None
    for number, packet in enumerate(packets):
        data = np.frombuffer(packet, np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR if as_rgb is None else as_rgb)
        if picture is None:
            raise ValueError("a damaged picture")
        if pictures is None:
            pictures = np.empty((len(packets), *picture.shape), np.uint8)
        if picture.shape != pictures.shape[1:]:
            raise ValueError("pictures of different sizes")
        pictures[number] = picture if as_rgb is not None else picture[..., ::-1]
    if pictures is None:
        raise ValueError("no pictures")
    return pictures


HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif"})
"""Brands of HEIC (pictures of telephones) and AVIF, which use the container of MP4. FFmpeg takes such
files for videos, and a tile of a large picture for the whole."""

CONVERT = "convert it to JPEG or PNG"
WITH_HEIF = f"{CONVERT}, or pip install 'facetron-toolkit[heic]'"


def is_heif(path: str | os.PathLike[str]) -> bool:
    """Returns whether a file is a single picture in HEIF's container, as HEIC and AVIF are.

    Raises `OSError` where it cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS


def read_picture(path: str | os.PathLike[str]) -> Pictures | None:
    """A picture that a user gives, in any format: (H, W, 3) uint8 RGB, turned as its EXIF says.

    HEIC is read by the optional library pillow-heif.

    Returns: None where the file is no picture, or a moving one.

    Raises:
        BadInput: the file is absent, is no regular file, cannot be read, is cut off, or is a picture that
            nobody here can decode.
    """
    path = os.fspath(path)
    try:
        if kind := kind_of_file(path):
            raise BadInput(f"{path} is {kind}, not a file", "give a file")
        heif = is_heif(path)
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist", "check the path") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})", "check the file") from None
    from PIL import Image, ImageOps, UnidentifiedImageError

    if heif:
        with contextlib.suppress(ImportError):
            from pillow_heif import register_heif_opener

            register_heif_opener()
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            # Large pictures are welcome; those that are too large for it are left to OpenCV.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            if image.format == "GIF" and getattr(image, "n_frames", 1) > 1:
                return None
            if image.mode in EIGHT_BITS:
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        unknown = isinstance(error, (UnidentifiedImageError, Image.DecompressionBombError))
        if not (heif or unknown):
            why = f"{path} is a picture that cannot be read ({error})"
            raise BadInput(why, f"fetch it again, or {CONVERT}") from None
    if heif:
        raise BadInput(f"{path} is a HEIC or AVIF picture that cannot be read here", WITH_HEIF)
    return _read_by_opencv(path)


EIGHT_BITS = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
)
"""Modes of Pillow that it turns into RGB as they look; of others it would cut off what is bright."""


def _read_by_opencv(path: str) -> Pictures | None:
    import cv2

    try:
        bgr = cv2.imread(path, cv2.IMREAD_COLOR)
    except cv2.error:  # of more than 2³⁰ pixels
        bgr = None
    return None if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


KEY = "Comment"
"""Keyword of the PNG's text chunk that holds the key."""


def write_picture(path: Path, picture: Pictures, key: str = "") -> None:
    """Atomically writes a PNG with `key` in a text chunk of the file.

    Args:
        picture: (H, W, 3) uint8 RGB.

    Raises `BadInput` for anything else.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise BadInput(
            f"the picture for {path} has shape {picture.shape} of {picture.dtype}",
            "pass (H, W, 3) uint8",
        )
    words = PngInfo()
    if key:
        words.add_text(KEY, key)
    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(picture)).save(temporary, "PNG", pnginfo=words)


def picture_key(path: Path, side_px: int) -> str:
    """The key that a square picture was written with; "" where it is absent, damaged, of another size
    or from elsewhere."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return str(image.info.get(KEY, "")) if image.size == (side_px, side_px) else ""
    except (OSError, ValueError, SyntaxError):
        return ""
