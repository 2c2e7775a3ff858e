"""Decodes the audio formats in which speech is published: wav of any rate and sample format, and all
that FFmpeg reads (webm with Opus, mov with float PCM, mp4 whose AAC claims three channels).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.mediafile import UnreadableMedia, best_stream, kind_of_file, opened, streams_of

LONGEST_S = 60.0
"""A longer file is no clip of one sentence."""
EXACT_AS_PCM16 = ("PCM_16", "PCM_U8", "PCM_S8", "ULAW", "ALAW")
INTEGER_SCALES = {"u8": 1 << 7, "s16": 1 << 15, "s32": 1 << 31, "s64": 1 << 63}


class Undecodable(Exception):
    """A file with no sound that can be read.

    Args:
        reason: short stable identifier.
        detail: one sentence.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True)
class Decoded:
    """A file's sound at its own rate.

    Attributes:
        samples: (n, channels) float64, full scale ±1 (float files may exceed it).
        rate_hz: as stored.
        codec: `wav PCM_16`, `webm opus`, …
        exact_as_pcm16: whether 16-bit PCM holds the samples without loss.
        notes: remarks on the decoding.
    """

    samples: NDArray[np.float64]
    rate_hz: int
    codec: str
    exact_as_pcm16: bool
    notes: tuple[str, ...] = field(default_factory=tuple)


def decode(path: Path) -> Decoded:
    """Reads a file by libsndfile, else by FFmpeg.

    Raises:
        Undecodable: `unreadable`, `no_audio`, `no_decoder`, `empty` or `too_long`.
    """
    import soundfile

    try:
        if kind := kind_of_file(path):  # a pipe would be waited on for ever
            raise Undecodable("unreadable", f"it is {kind}, not a file")
        with soundfile.SoundFile(path) as file:
            if file.frames > LONGEST_S * file.samplerate:
                raise _too_long(file.frames / file.samplerate)
            samples = file.read(dtype="float64", always_2d=True)
            codec = f"{file.format.lower()} {file.subtype}"
            # libsndfile reads what is there and tells only its log what the header promised.
            wrong = "(should be" in file.extra_info
            found = Decoded(
                samples,
                file.samplerate,
                codec,
                file.subtype in EXACT_AS_PCM16,
                ("its header states another length",) if wrong else (),
            )
    except soundfile.SoundFileError:
        found = _decode_by_ffmpeg(path)
    except OSError as error:
        raise Undecodable("unreadable", f"{error.strerror or error}") from None
    if not found.samples.size:
        raise Undecodable("empty", "the file holds no samples")
    return found


def _too_long(seconds: float) -> Undecodable:
    return Undecodable("too_long", f"{seconds:.0f} s are no clip (at most {LONGEST_S:.0f} s)")


def _decode_by_ffmpeg(path: Path) -> Decoded:
    try:
        with opened(path) as container:
            return _decode_best(container)
    except UnreadableMedia as error:
        if error.reason == "not_media":
            raise Undecodable(
                "unreadable", f"no sound file that FFmpeg knows ({error.why})"
            ) from None
        raise Undecodable("unreadable", error.why) from None


def _decode_best(container: Any) -> Decoded:
    """Returns the sound of an open container that a player would play."""
    import av.error

    streams = streams_of(container, "audio")
    stream = best_stream(container, "audio")
    if stream is None:
        raise (
            Undecodable("no_decoder", "its sound has a codec that FFmpeg cannot decode")
            if streams
            else Undecodable("no_audio", "the file has no sound")
        )
    notes = ["decoded by FFmpeg"]
    if len(streams) > 1:
        place = 1 + [s.index for s in streams].index(stream.index)
        notes.append(f"track {place} of {len(streams)}")
        if any(s.codec_context is None for s in streams):
            notes.append("passed over a track that FFmpeg cannot decode")
    codec = f"{container.format.name.split(',')[0]} {stream.codec_context.name}"
    claimed = int(stream.codec_context.channels)  # before the decoder corrects it
    pieces: list[NDArray[np.float64]] = []
    rate_hz = n = 0
    try:
        for frame in container.decode(stream):
            piece = _samples(frame)
            if pieces and (frame.rate, piece.shape[1]) != (rate_hz, pieces[0].shape[1]):
                notes.append("stopped where rate or channels change")
                break
            rate_hz, n = frame.rate, n + len(piece)
            if n > LONGEST_S * rate_hz:
                raise _too_long(n / rate_hz)
            pieces.append(piece)
    except av.error.FFmpegError:
        notes.append("damaged: kept what could be decoded")
    if not pieces:
        raise Undecodable("empty", "no sample could be decoded")
    samples = np.concatenate(pieces)
    if claimed and claimed != samples.shape[1]:
        notes.append(f"claims {claimed} channels, holds {samples.shape[1]}")
    return Decoded(samples, rate_hz, codec, exact_as_pcm16=False, notes=tuple(notes))


def _samples(frame: Any) -> NDArray[np.float64]:
    """(samples, channels) float64 of an audio frame in any of FFmpeg's sample formats."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, len(frame.layout.channels)).T
    scale = INTEGER_SCALES.get(frame.format.name.removesuffix("p"), 1)
    floats = values.astype(np.float64)
    if values.dtype == np.uint8:
        floats -= scale
    return np.asarray(floats.T / scale)
