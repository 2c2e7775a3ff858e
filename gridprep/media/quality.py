"""Checks and repairs of a decoded clip: frame count, frame rate, gray and black frames, sound.

Decisions (docs/formats.md has them as a table): a clip of GRID is 75 frames at 25 fps. One or two frames
too few are completed by repeating the one before, one or two too many are cut, both flagged. Another frame
rate above 25 is resampled by time and flagged, one below is refused. Gray, black or more missing frames, or
no usable sound, make the clip a failure: its features would look fine and be wrong. What other corpora
expect is said by `gridprep.media.expectation`: there a clip has any length, and its sound is as long as its
pictures, 640 samples a frame at 16 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import soxr
from numpy.typing import NDArray

from gridprep.media.decode import Media
from gridprep.media.expectation import GRID_CLIP, ClipExpectation
from gridprep.media.frames import Shown, select
from gridprep.media.scenes import scene_cuts, thumbnail
from manifests.audio import to_mono
from manifests.errors import ClipError
from manifests.specs import VIDEO_FPS, AudioSpec

TOLERATED_FRAMES = 2
"""Number of frames by which a clip may be too short or too long."""

MIN_SIDE_PX = 100

RATE_TOLERANCE_FPS = 0.1
"""Difference from 25 fps up to which the frames of a clip are taken one by one."""

PLAIN_STD = 6.0
"""A picture with a standard deviation under this shows nothing. (A real GRID frame has 50 to 80.)"""

RECOVERED_SHARE = 0.75
"""After a lost key frame the picture builds up from gray; it counts as recovered when its contrast
reaches this share of the clip's median."""

BLACK_MEAN = 40.0
COLORED = 20.0
"""Spread of the mean red, green and blue above which plain frames are not called gray."""
MIN_SOUND_SHARE = 2.5 / 3
"""Least duration of the sound, as a share of that of the pictures."""
MIN_SAMPLE_RATE_HZ = 8000
SILENT_DBFS = -60.0
MAX_DAMAGED_FRAMES = 5


@dataclass(frozen=True)
class CheckedVideo:
    """The checked frames of a clip at 25 fps, with the repairs that were made.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB, 75 of GRID; see `Media.frames`.
        flags: repairs and oddities.
        qc: numbers for the manifest row.
    """

    frames: NDArray[np.uint8] | Shown
    flags: tuple[str, ...]
    qc: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckedAudio:
    """The checked sound at the spec's rate and length, with the repairs that were made.

    Attributes:
        samples: (N,) float32 mono.
        samples_added: zeros appended on the right.
    """

    samples: NDArray[np.float32]
    samples_added: int
    flags: tuple[str, ...]
    qc: dict[str, object] = field(default_factory=dict)


def plain_frames(
    frames: NDArray[np.uint8] | Shown,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Finds frames that show nothing: (T,) bool, and the mean gray level (T,) of each frame.

    A frame is plain when its contrast is under `PLAIN_STD`, whatever its color. If any is, the frames
    around it that have not yet recovered (see `RECOVERED_SHARE`) count too: after a lost key frame,
    eleven more are ghosts.
    """
    return _plain(_thin(frames))


def _thin(frames: NDArray[np.uint8] | Shown) -> NDArray[np.uint8]:
    """(T, h, w, 3) of all frames, as `thinned` says."""
    if isinstance(frames, Shown):
        return frames.thin
    # Color by color: copied pixel by pixel, three bytes each, it takes four times as long.
    return np.stack([frames[:, ::8, ::8, color] for color in range(frames.shape[3])], axis=-1)


def _plain(thin: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    found = [cv2.meanStdDev(picture) for picture in thin]
    means, deviations = (np.array([each[k] for each in found])[..., 0] for k in (0, 1))
    contrast = deviations.mean(-1)
    plain = contrast < PLAIN_STD
    if plain.any() and not plain.all():
        weak = contrast < RECOVERED_SHARE * np.median(contrast[~plain])
        # Grow each plain run over its weak neighbors, forwards: pictures recover in time order.
        for i in range(1, len(plain)):
            plain[i] |= plain[i - 1] and weak[i]
    return plain, means.mean(-1)


def _ranges(mask: NDArray[np.bool_]) -> str:
    """`0-11, 40` of a boolean mask."""
    indices = np.flatnonzero(mask)
    runs = np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1)
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs if len(r))


def check_video(media: Media, expected: ClipExpectation = GRID_CLIP) -> CheckedVideo:
    """Brings the pictures to 25 fps and to the expected number of frames, or raises `ClipError` (stage
    `decode`).

    Reasons: `no_video`, `no_decoder`, `no_frames`, `too_small`, `frame_rate`, `frame_count`, `too_short`,
    `too_long`, `grey_frames`, `black_frames`, `damaged_bitstream`.
    """
    frames = media.frames
    if "video" in media.undecodable:
        raise ClipError(
            "decode", "no_decoder", "the pictures have a codec that FFmpeg cannot decode"
        )
    if not media.has_video:
        raise ClipError("decode", "no_video", "the file has no video stream")
    if len(frames) == 0:
        raise ClipError(
            "decode",
            "no_frames",
            "no frame could be decoded: the file is damaged or cut off",
            {"decode_errors": media.decode_errors},
        )
    flags: list[str] = []
    height, width = frames.shape[1:3]
    qc: dict[str, object] = {
        "source_frames": len(frames),
        "source_fps": round(media.fps, 3),
        "source_size": f"{width}x{height}",
        "codecs": media.codecs,
    }
    if min(height, width) < MIN_SIDE_PX:
        raise ClipError("decode", "too_small", f"pictures are {width}×{height}", qc)
    if expected.usual_sizes_px and (width, height) not in expected.usual_sizes_px:
        flags.append("unusual_size")
    if media.pixel_aspect != 1:
        flags.append("pixels_squared")
        qc["pixel_aspect"] = round(float(media.pixel_aspect), 4)
    if media.quarter_turns or media.mirrored:
        flags.append("picture_turned")
        qc["turned_degrees"] = 90 * media.quarter_turns
        if media.mirrored:
            qc["mirrored"] = True
    if 2 * media.interlaced_frames > len(frames):
        flags.append("interlaced")
    frames, rate_flags = _to_25_fps(media, qc, expected)
    flags += rate_flags
    if media.decode_errors or media.damaged_frames:
        qc |= {"decode_errors": media.decode_errors, "damaged_frames": media.damaged_frames}
        flags.append("damaged_bitstream")
    missing = expected.frames - len(frames) if expected.frames else 0
    if abs(missing) > TOLERATED_FRAMES:
        cause = "; the file breaks off or is damaged" if media.decode_errors else ""
        raise ClipError(
            "decode", "frame_count", f"{len(frames)} frames, not {expected.frames}{cause}", qc
        )
    _check_duration(len(frames) / VIDEO_FPS, expected, qc)
    if media.damaged_frames > MAX_DAMAGED_FRAMES:
        raise ClipError(
            "decode", "damaged_bitstream", f"{media.damaged_frames} frames are damaged", qc
        )
    if missing > 0:
        frames = _completed(frames, media.frame_times_s, expected.frames)
        flags.append("frames_repeated")
        qc["frames_repeated"] = missing
    elif missing < 0:
        frames = select(frames, np.arange(expected.frames))
        flags.append("frames_cut")
        qc["frames_cut"] = -missing
    thin = _thin(frames)
    plain, level = _plain(thin)
    if plain.any():
        black = bool(level[plain].mean() < BLACK_MEAN)
        # The first of a run is plain itself, the ones after it may show ghosts.
        colors = frames[int(np.argmax(plain))].mean((0, 1))
        gray = "plain gray" if np.ptp(colors) < COLORED else "of one plain color"
        what = "black" if black else gray
        raise ClipError(
            "decode",
            "black_frames" if black else "grey_frames",
            f"{int(plain.sum())} of {len(frames)} frames are {what} ({_ranges(plain)})",
            {
                **qc,
                "plain_frames": int(plain.sum()),
                "mean_level": round(float(level[plain].mean()), 1),
            },
        )
    cuts = scene_cuts(thumbnail(thin))
    if cuts:
        flags.append("scene_cut")
        qc["scene_cut_frames"] = list(cuts)
    return CheckedVideo(frames, tuple(flags), qc)


def _check_duration(seconds: float, expected: ClipExpectation, qc: dict[str, object]) -> None:
    if seconds < expected.least_s:
        raise ClipError(
            "decode", "too_short", f"{seconds:.2f} s, at least {expected.least_s:g} s needed", qc
        )
    if seconds > expected.most_s:
        raise ClipError(
            "decode",
            "too_long",
            f"{seconds:.2f} s, at most {expected.most_s:g} s: list its parts with start_s and end_s, "
            "which `gridprep segment` finds at silences",
            qc,
        )


def _completed(
    frames: NDArray[np.uint8] | Shown, times_s: NDArray[np.float64], wanted: int
) -> NDArray[np.uint8] | Shown:
    """Completes a few frames less to the `wanted` number: each stays on screen until the next one's time.

    Where a frame was lost in mid-clip its place shows in the times; repeating the last one instead
    would put all later pictures ahead of the sound. Times that make no sense are passed over.
    """
    places = np.arange(len(frames))
    if len(times_s) == len(frames) and np.isfinite(times_s).all():
        timed = np.round(times_s * VIDEO_FPS).astype(np.int64)
        if (np.diff(timed) > 0).all() and timed[0] == 0 and timed[-1] < wanted:
            places = timed
    shown = np.searchsorted(places, np.arange(wanted), side="right") - 1
    return select(frames, shown)


def measured_fps(times_s: NDArray[np.float64], stated_fps: float) -> float:
    """Frame rate in frames per second, measured by the frame times (T,): the rate that a container
    states is often wrong."""
    steps = np.diff(times_s)
    measured = 1 / float(np.median(steps)) if len(steps) and np.median(steps) > 0 else stated_fps
    if not np.isfinite(measured) or measured <= 0:
        measured = stated_fps or float(VIDEO_FPS)
    return measured


def shown_at_25_fps(
    times_s: NDArray[np.float64], fps: float, duration_s: float
) -> NDArray[np.intp]:
    """Which of the frames that come at `times_s` (T,) is on screen at each 40 ms of `duration_s`.

    Args:
        fps: the frames' own rate.
    """
    wanted_s = np.arange(round(duration_s * VIDEO_FPS)) / VIDEO_FPS
    shown = np.searchsorted(times_s, wanted_s + 0.5 / fps) - 1
    return np.clip(shown, 0, len(times_s) - 1)


def _to_25_fps(
    media: Media, qc: dict[str, object], expected: ClipExpectation
) -> tuple[NDArray[np.uint8] | Shown, list[str]]:
    """Frames at 25 fps: as they are, or the one on screen at each 40 ms."""
    times_s = media.frame_times_s
    measured = measured_fps(times_s, media.fps)
    qc["source_fps"] = round(measured, 3)
    # Where the number of frames is known a lost one is put back by it; elsewhere by the times.
    gaps = not expected.frames and bool((np.diff(times_s) > 1.5 / VIDEO_FPS).any())
    if abs(measured - VIDEO_FPS) < RATE_TOLERANCE_FPS and not (_more_than_25_fps(times_s) or gaps):
        return media.frames, []
    if measured < expected.least_fps - RATE_TOLERANCE_FPS * (not expected.frames):
        raise ClipError(
            "decode",
            "frame_rate",
            f"{measured:.2f} frames per second, at least {expected.least_fps:g} needed",
            qc,
        )
    duration_s = len(media.frames) / measured
    if np.isfinite(times_s).all() and (np.diff(times_s) > 0).all():
        duration_s = (
            float(times_s[-1]) + 1 / measured
        )  # where the rate varies the count says little
    shown = shown_at_25_fps(times_s, measured, duration_s)
    return select(media.frames, shown), ["fps_resampled"]


def _more_than_25_fps(times_s: NDArray[np.float64]) -> bool:
    """Whether there are clearly more frames than 25 per second, although most of them come at that
    rate: telephones vary it."""
    if not np.isfinite(times_s).all() or (np.diff(times_s) <= 0).any():
        return False
    regular = 1 + float(np.ptp(times_s)) * VIDEO_FPS
    return bool(len(times_s) > regular + TOLERATED_FRAMES)


def resampled(mono: NDArray[np.float32], source_hz: int, target_hz: int) -> NDArray[np.float32]:
    """(n,) samples at another rate, by soxr's high quality."""
    if source_hz == target_hz:
        return np.ascontiguousarray(mono, np.float32)
    return np.asarray(soxr.resample(mono, source_hz, target_hz, quality="HQ"), np.float32)


def check_audio(
    media: Media, spec: AudioSpec, expected: ClipExpectation = GRID_CLIP, n_frames: int = 0
) -> CheckedAudio:
    """Brings the sound to the spec, on the time axis of the video, or raises `ClipError` (`audio`).

    Args:
        n_frames: frames of the checked video; the sound is made as long where the spec has no length
            of its own.

    Reasons: `no_audio`, `no_decoder`, `audio_short`, `audio_silent`, `audio_rate`, `audio_nan`,
    `audio_start`.
    """
    if "audio" in media.undecodable:
        raise ClipError("audio", "no_decoder", "the sound has a codec that FFmpeg cannot decode")
    if not media.has_audio:
        raise ClipError("audio", "no_audio", "the file has no sound")
    rate = media.sample_rate_hz
    evidence: dict[str, object] = {"source_rate_hz": rate, "source_samples": len(media.audio)}
    if len(media.audio) == 0:
        raise ClipError("audio", "no_audio", "no sound could be decoded", evidence)
    if not np.isfinite(media.audio).all():
        raise ClipError("audio", "audio_nan", "the sound holds NaN or infinite values", evidence)
    if rate < MIN_SAMPLE_RATE_HZ:
        raise ClipError("audio", "audio_rate", f"the sound has {rate} Hz", evidence)
    if abs(media.audio_start_s) > expected.most_sound_start_s:
        raise ClipError(
            "audio",
            "audio_start",
            f"the sound begins {media.audio_start_s:.2f} s after the picture",
            evidence,
        )
    mixed = to_mono(media.audio)
    samples = resampled(mixed.samples, rate, spec.sample_rate_hz)
    flags: list[str] = []
    if mixed.kept < mixed.channels:
        flags.append("channels_cancel" if mixed.cancelled else "channel_silent")
    if rate < spec.sample_rate_hz:
        flags.append("audio_upsampled")
    shift = round(media.audio_start_s * spec.sample_rate_hz)
    if abs(shift) > spec.sample_rate_hz // 1000:
        # The container starts the sound late or early; GRID's own files start both at 0.
        samples = (
            np.concatenate([np.zeros(shift, np.float32), samples])
            if shift > 0
            else samples[-shift:]
        )
        flags.append("audio_shifted")
    if media.audio_gap_samples:
        flags.append("audio_gap")
    seconds = len(samples) / spec.sample_rate_hz
    evidence["source_seconds"] = round(seconds, 3)
    wanted = spec.clip_samples or n_frames * spec.sample_rate_hz // VIDEO_FPS
    if len(samples) < MIN_SOUND_SHARE * wanted:
        raise ClipError(
            "audio",
            "audio_short",
            f"{seconds:.2f} s of sound for {wanted / spec.sample_rate_hz:.3g} s of picture",
            evidence,
        )
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    rms_dbfs = 20 * np.log10(max(level, 1e-10))
    if rms_dbfs < SILENT_DBFS:
        raise ClipError(
            "audio", "audio_silent", f"the sound is silent ({rms_dbfs:.0f} dBFS)", evidence
        )
    added = wanted - len(samples)
    if added < 0:
        if -added > spec.sample_rate_hz * TOLERATED_FRAMES / VIDEO_FPS:
            flags.append("audio_cut")
        samples = samples[:wanted]
    fitted = np.pad(samples, (0, max(added, 0)))
    clipped = float(np.mean(np.abs(fitted) >= 0.999))
    if clipped > 0.001:
        flags.append("audio_clipped")
    qc: dict[str, object] = {
        "source_rate_hz": rate,
        "rms_dbfs": round(float(rms_dbfs), 2),
        "peak": round(float(np.abs(fitted).max()), 4),
    }
    if media.audio_delay_samples:
        qc["audio_delay_samples"] = media.audio_delay_samples
    if media.audio_gap_samples:
        qc["audio_gap_s"] = round(media.audio_gap_samples / rate, 3)
    return CheckedAudio(fitted, max(added, 0), tuple(flags), qc)
