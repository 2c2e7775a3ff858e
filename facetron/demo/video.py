"""Writes small videos that every browser plays: H.264 and AAC in MP4 (browsers do not play MPEG-1)."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from manifests.errors import BadInput
from manifests.io import atomic_path, sha256_file
from manifests.mediafile import (
    UnreadableMedia,
    as_shown,
    best_stream,
    file_url,
    opened,
    pixel_aspect,
)
from manifests.pictures import Pictures, read_pictures
from manifests.records import ManifestRow
from manifests.specs import VIDEO_FPS

Sound = NDArray[np.float32]
"""(n,) within ±1."""

WIDEST_PX = 480
CRF, BIT_RATE = 23, 96_000
AAC_RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
RETIMED = frozenset({"frames_repeated", "frames_cut", "fps_resampled", "damaged_bitstream"})
"""Flags of clips whose features are on another time axis than the pictures of their source."""


def source_pictures(row: ManifestRow, corpus: Path | None) -> Pictures | None:
    """Returns the pictures (T, H, W, 3) of a clip's source video, or None where they are not available
    in step with the features (no corpus, a changed file, frames that gridprep had to repair)."""
    if corpus is None or not row.source_path or RETIMED & set(row.flags):
        return None
    path = corpus / row.source_path
    if not path.is_file() or sha256_file(path) != row.source_sha256:
        return None
    frames = _decoded(path)
    return frames if len(frames) == row.video_frames else None


def lip_pictures(row: ManifestRow, root: Path) -> Pictures | None:
    """Returns the lip crops of a clip's features, or None where the manifest names none.

    Raises `BadInput` where the file cannot be read.
    """
    return read_pictures(root / row.paths["lips"]) if "lips" in row.paths else None


def _decoded(path: Path) -> Pictures:
    frames = []
    try:
        with opened(path) as container:
            stream = best_stream(container, "video")
            if stream is None:
                raise BadInput(f"{path} has no video frame that can be decoded", "fetch it again")
            stream.codec_context.thread_count = 1
            aspect = pixel_aspect(stream)
            for frame in container.decode(stream):
                shown = as_shown(frame, aspect)
                width, height = _even(shown.width, shown.height)
                frames.append(shown.to_ndarray(format="rgb24", width=width, height=height))
    except UnreadableMedia as error:
        raise BadInput(f"{path} cannot be decoded ({error.why})", "fetch it again") from None
    return np.stack(frames) if frames else np.zeros((0, 2, 2, 3), np.uint8)


def _even(width: int, height: int) -> tuple[int, int]:
    """Returns pictures of a size that H.264 allows, not wider than `WIDEST_PX`."""
    while width > WIDEST_PX:
        width, height = width // 2, height // 2
    return width - width % 2, height - height % 2


def read_sound(path: Path) -> tuple[Sound, int]:
    """Reads a sound as ((n,) mono, rate in Hz). Raises `BadInput` where it is unreadable or empty."""
    try:
        sound, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise BadInput(f"{path} cannot be read ({error})", "make the run again") from None
    if not len(sound):
        raise BadInput(f"{path} is empty", "make the run again")
    return np.ascontiguousarray(np.nan_to_num(sound.mean(axis=1))), int(rate_hz)


@dataclass(frozen=True)
class Film:
    """Pictures encoded once, for several sounds: an MP4 file of H.264 without sound."""

    data: bytes


def encoded(pictures: Pictures) -> Film:
    """Encodes (T, H, W, 3) RGB at 25 frames per second, H and W even. The same pictures give the same
    bytes."""
    import av

    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4", options={"fflags": "+bitexact"}) as out:
        # With B frames, or slower presets, the bytes differ from run to run.
        options = {"crf": str(CRF), "preset": "veryfast", "bf": "0"}
        video: Any = out.add_stream("libx264", rate=VIDEO_FPS, options=options)
        video.height, video.width = pictures.shape[1:3]
        video.pix_fmt = "yuv420p"
        video.codec_context.thread_count = 1  # more threads would change the bytes
        for number, picture in enumerate(pictures):
            frame: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, VIDEO_FPS)
            out.mux(video.encode(frame))
        out.mux(video.encode())
    return Film(memory.getvalue())


def write_mp4(path: Path, film: Film | None, sound: Sound, rate_hz: int) -> None:
    """Atomically writes a clip with its sound, level as it is. The same input gives the same bytes.

    Args:
        path: ends in `.mp4`, or `.m4a` without pictures.
        film: of `encoded`.
    """
    import av

    sound, rate_hz = _at_a_rate_of_aac(sound, rate_hz)
    flags = {"fflags": "+bitexact", "movflags": "+faststart"}
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(path))
        out = stack.enter_context(av.open(file_url(temporary), "w", format="mp4", options=flags))
        silent: Any = None
        if film is not None:
            silent = stack.enter_context(av.open(io.BytesIO(film.data))).streams.video[0]
            video: Any = out.add_stream_from_template(silent)
        audio: Any = out.add_stream("aac", rate=rate_hz, layout="mono")
        audio.bit_rate = BIT_RATE
        audio.codec_context.options = {"flags": "+bitexact"}
        if silent is not None:
            for packet in silent.container.demux(silent):
                if packet.dts is not None:  # the last is empty
                    packet.stream = video
                    out.mux(packet)
        heard: Any = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        heard.sample_rate, heard.pts = rate_hz, 0
        heard.time_base = Fraction(1, rate_hz)
        out.mux(audio.encode(heard))
        out.mux(audio.encode())


def _at_a_rate_of_aac(sound: Sound, rate_hz: int) -> tuple[Sound, int]:
    if rate_hz not in AAC_RATES_HZ:
        import soxr

        wanted_hz = next((rate for rate in AAC_RATES_HZ if rate > rate_hz), AAC_RATES_HZ[-1])
        sound = np.asarray(soxr.resample(sound, rate_hz, wanted_hz, quality="HQ"), np.float32)
        rate_hz = wanted_hz
    return np.ascontiguousarray(sound.clip(-1, 1), np.float32), rate_hz
