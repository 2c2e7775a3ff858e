"""A video of any length, size and frame rate as the stages see a clip: frames at 25 fps, one by one.

`gridprep.media.decode` reads clips of three seconds with their sound. Here a file is decoded forwards
as often as it takes (`gridprep.media.frames`), and only the frames decoded last are kept: all of them
where the video is short.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridprep.media.frames import KEEP_BYTES, VideoReader, check_size
from gridprep.media.quality import RATE_TOLERANCE_FPS, measured_fps, shown_at_25_fps
from manifests.errors import BadInput, ClipError
from manifests.mediafile import as_shown
from manifests.specs import VIDEO_FPS

MAX_FPS = 240.0


REMEDIES = {
    "no_face": "give one in which a face is seen from the front, a twentieth of the picture high or more",
    "face_lost": "cut it to where the face is seen",
    "upside_down": "turn it (ffmpeg -i IN -vf hflip,vflip OUT)",
    "too_long": "cut it into parts",
    "too_large": "cut it into parts, or choose another backend with --landmarks",
    "size_changes": "encode it again at one size (ffmpeg -i IN -vf scale=1280:720 OUT.mp4), or cut it "
    "there",
    "too_few_faces": "give --who a smaller number",
    "no_decoder": "convert it to H.264 (ffmpeg -i IN OUT.mp4 on a machine that plays it)",
    "not_a_file": "give a file",
    "no_video": "give a file with pictures",
    "not_media": "check the file",
    "unreadable": "check the path",
    "empty_file": "fetch it again",
    "no_frames": "fetch it again",
}
"""Reason of a `ClipError` → what the user can do about the video."""


@contextmanager
def one_line(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns a `ClipError` into a `BadInput` of one line with a remedy for the user."""
    try:
        yield
    except ClipError as error:
        where = "" if os.fspath(path) in error.detail else f"{os.fspath(path)}: "
        raise BadInput(where + error.detail, REMEDIES.get(error.reason, "")) from None


class Footage:
    """The pictures of a file. Indexing gives RGB frames at 25 fps; going back costs decoding anew
    unless the frame is still kept.

    Args:
        path: any container that FFmpeg reads.
        max_s: longest duration that is accepted.
        keep_bytes: memory for decoded frames, in bytes.

    Attributes:
        fps: measured frame rate of the file, in frames per second.
        times_s: (N,) times of the file's own frames, the first at 0, rising.
        duration_s: time until the end of the last frame.
        start_s: time of the first frame in the file; None where the file's times make no sense, and
            frames are taken to come regularly.
        errors: packets that could not be decoded, and frames that the decoder marked as corrupt.

    Raises:
        ClipError: stage `decode`, as `gridprep.media.decode.decode`, or `no_video`,
            `no_decoder`, `no_frames`, `too_long`.
    """

    def __init__(
        self, path: str | os.PathLike[str], max_s: float, keep_bytes: int = KEEP_BYTES
    ) -> None:
        self.path = os.fspath(path)
        self._reader = VideoReader(path, keep_bytes, threads=True)
        self.errors = 0
        times_s = self._scan(max_s)
        self.start_s: float | None = float(times_s[0])
        self.fps = measured_fps(times_s, self._reader.stated_fps)
        if not 0 < self.fps <= MAX_FPS:
            self.fps = float(VIDEO_FPS)
        if not np.isfinite(times_s).all() or (np.diff(times_s) <= 0).any():
            times_s = np.arange(len(times_s)) / self.fps
            self.start_s = None
        self.times_s: NDArray[np.float64] = times_s - times_s[0]
        self.duration_s = float(self.times_s[-1]) + 1 / self.fps
        self._shown = self._at_25_fps()
        height, width = self._reader.rgb(0).shape[:2]
        self.shape: tuple[int, ...] = (len(self._shown), height, width, 3)

    @property
    def codec(self) -> str:
        """FFmpeg's name of the video codec."""
        return self._reader.codec

    def _scan(self, max_s: float) -> NDArray[np.float64]:
        """Times of all frames as the file states them, from decoding it once."""
        times_s: list[float] = []
        errors: list[str] = []
        size = (0, 0)
        for number, frame in enumerate(self._reader.decode(errors)):
            size = size if number else (frame.width, frame.height)
            check_size(self.path, size, frame)
            times_s.append(frame.time if frame.time is not None else np.nan)
            self.errors += bool(frame.is_corrupt)
            # Without times, or with times that stand still, the count has to do.
            if times_s[-1] - times_s[0] > max_s or number > max_s * MAX_FPS:
                raise ClipError("decode", "too_long", f"{self.path} is longer than {max_s:g} s")
        if not times_s:
            raise ClipError("decode", "no_frames", f"no frame of {self.path} could be decoded")
        self.errors += len(errors)
        return np.asarray(times_s, np.float64)

    def _at_25_fps(self) -> NDArray[np.intp]:
        """Which of the file's frames is shown in each frame of 25 fps."""
        steps = np.diff(self.times_s)
        if abs(self.fps - VIDEO_FPS) < RATE_TOLERANCE_FPS and (steps < 1.5 / VIDEO_FPS).all():
            return np.arange(len(self.times_s))
        return shown_at_25_fps(self.times_s, self.fps, self.duration_s)

    def __len__(self) -> int:
        return len(self._shown)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB at `index` / 25 s, upright. Cheap in rising order."""
        if not 0 <= index < len(self._shown):
            raise IndexError(index)
        return self._reader.rgb(int(self._shown[index]))

    def pictures(self) -> Iterator[tuple[float, Any]]:
        """Time in seconds and frame (PyAV's, upright and with square pixels) of all of the file's
        own frames."""
        for number, time_s in enumerate(self.times_s):
            yield float(time_s), as_shown(self._reader.frame(number), self._reader.aspect)

    def container(self) -> AbstractContextManager[Any]:
        """Opens the file anew for reading its packets. Raises `ClipError` as decoding does."""
        return self._reader.container()

    def close(self) -> None:
        """Frees the kept frames and the file; the next frame asked for opens it again."""
        self._reader.close()
