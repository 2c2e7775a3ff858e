"""Writes clips in the file format of GRID: MPEG-1 video (GOP 12, no B frames) and MP2 sound in .mpg."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from manifests.io import atomic_path
from manifests.mediafile import file_url
from manifests.specs import VIDEO_FPS

QUALITY = 3
"""MPEG's quantizer scale, 2 best … 31; GRID's clips are about as large as 3 gives."""
LAMBDA_PER_QP = 118  # FF_QP2LAMBDA
AUDIO_BIT_RATE = 192_000
MP2_BLOCK_SAMPLES = 1152
DECODED_SAMPLES = 114 * MP2_BLOCK_SAMPLES
"""131,328 = 2.978 s, what decoding a GRID clip gives."""
CODEC_DELAY_SAMPLES = 481
"""Encoder and decoder of MP2 together put this much silence before the sound (measured by
cross-correlation). That many samples are left out at the start, so that sample i of the decoded sound
is sample i of what was given, and pictures and sound agree whether or not a player heeds time stamps."""


def write_mpg(
    path: str | os.PathLike[str],
    frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    samples: NDArray[np.int16] | None,
    rate_hz: int = 44_100,
    fps: float = VIDEO_FPS,
) -> None:
    """Writes a clip atomically. The same input gives the same bytes.

    Args:
        frames: (T, H, W, 3) uint8 RGB, or a sequence of (H, W, 3); none leaves the video out.
        samples: (n, 2) int16 or None for a clip without sound.
    """
    with (
        atomic_path(path) as temporary,
        av.open(file_url(temporary), "w", format="mpeg", options={"preload": "0"}) as container,
    ):
        rate = Fraction(fps).limit_denominator(1001)
        height, width = frames[0].shape[:2]
        video = container.add_stream("mpeg1video", rate=rate)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.gop_size = 12
        video.codec_context.max_b_frames = 0
        video.codec_context.thread_count = 1
        video.codec_context.options = {
            "flags": "+bitexact+qscale",
            "global_quality": str(LAMBDA_PER_QP * QUALITY),
            # MPEG-1 knows no 15 fps; the faulty clip that needs it is marked as such.
            "strict": "unofficial",
        }
        audio = None
        if samples is not None:
            audio = container.add_stream("mp2", rate=rate_hz, layout="stereo")
            audio.bit_rate = AUDIO_BIT_RATE
            audio.codec_context.options = {"flags": "+bitexact"}
        for index, image in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            picture.pts = index
            container.mux(video.encode(picture))
        container.mux(video.encode())
        if samples is not None and audio is not None:
            kept = np.ascontiguousarray(samples[CODEC_DELAY_SAMPLES:])
            sound = av.AudioFrame.from_ndarray(kept.reshape(1, -1), format="s16", layout="stereo")
            sound.sample_rate = rate_hz
            # The encoder counts its own delay as negative time; this brings the stream to 0.
            sound.pts = CODEC_DELAY_SAMPLES
            container.mux(audio.encode(sound))
            container.mux(audio.encode())
