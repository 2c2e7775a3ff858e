"""What is repaired and what is refused, on frames and samples made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from clips import pictures, place_of, tone
from numpy.typing import NDArray

from gridprep.media.decode import Media
from gridprep.media.quality import check_audio, check_video, plain_frames, resampled
from manifests.errors import ClipError
from manifests.specs import AudioSpec

SPEC = AudioSpec()


def media(frames: NDArray[np.uint8] | None = None, fps: float = 25, **changes: Any) -> Media:
    images = pictures() if frames is None else frames
    clip = Media(
        frames=images,
        frame_times_s=np.arange(len(images)) / fps,
        fps=fps,
        audio=tone().astype(np.float32),
        sample_rate_hz=44_100,
        audio_start_s=0.0,
        audio_gap_samples=0,
        has_video=True,
        has_audio=True,
        damaged_frames=0,
        decode_errors=0,
        codecs="mpeg1video+mp2",
    )
    return replace(clip, **changes)


def video_error(clip: Media) -> ClipError:
    with pytest.raises(ClipError) as caught:
        check_video(clip)
    assert caught.value.stage == "decode"
    return caught.value


def audio_error(clip: Media) -> ClipError:
    with pytest.raises(ClipError) as caught:
        check_audio(clip, SPEC)
    assert caught.value.stage == "audio"
    return caught.value


def places(frames: NDArray[np.uint8]) -> list[int]:
    return [place_of(frame) for frame in frames]


def test_a_sound_clip_is_left_alone() -> None:
    clip = media()
    checked = check_video(clip)
    assert checked.frames is clip.frames
    assert checked.flags == ()
    assert checked.qc == {
        "source_frames": 75,
        "source_fps": 25.0,
        "source_size": "360x288",
        "codecs": "mpeg1video+mp2",
    }


@pytest.mark.parametrize("missing", [1, 2])
def test_a_short_clip_is_completed_by_its_last_frame(missing: int) -> None:
    checked = check_video(media(pictures(75 - missing)))
    assert checked.flags == ("frames_repeated",)
    assert checked.qc["frames_repeated"] == missing
    assert places(checked.frames) == [*range(75 - missing), *[74 - missing] * missing]


def test_a_frame_lost_in_mid_clip_is_repeated_in_its_place() -> None:
    """So that what follows stays in time with the sound."""
    kept = [t for t in range(75) if t not in (30, 50)]
    clip = media(pictures()[kept], frame_times_s=np.array(kept) / 25)
    checked = check_video(clip)
    expected = list(range(75))
    expected[30], expected[50] = 29, 49
    assert places(checked.frames) == expected


@pytest.mark.parametrize(
    "times_s",
    [np.full(74, np.nan), np.zeros(74), np.arange(74) / 25 * 3, np.arange(74)[::-1] / 25.0],
    ids=["none", "all the same", "beyond the clip", "backwards"],
)
def test_times_that_make_no_sense_are_passed_over(times_s: NDArray[Any]) -> None:
    clip = media(pictures(74), frame_times_s=times_s)
    if np.nanmax(np.diff(times_s), initial=0) > 0.1:
        assert video_error(clip).reason == "frame_rate"
    else:
        assert places(check_video(clip).frames) == [*range(74), 73]


@pytest.mark.parametrize("extra", [1, 2])
def test_a_long_clip_is_cut(extra: int) -> None:
    checked = check_video(media(pictures(75 + extra)))
    assert checked.flags == ("frames_cut",)
    assert places(checked.frames) == list(range(75))


@pytest.mark.parametrize("frames", [1, 60, 72, 78, 80])
def test_other_lengths_are_refused(frames: int) -> None:
    error = video_error(media(pictures(frames)))
    assert error.reason == "frame_count"
    assert error.detail == f"{frames} frames, not 75"
    assert error.evidence["source_frames"] == frames


def test_a_cut_off_file_says_so() -> None:
    error = video_error(media(pictures(40), decode_errors=1))
    assert "breaks off or is damaged" in error.detail


def test_50_fps_is_resampled_by_time() -> None:
    checked = check_video(media(np.repeat(pictures(), 2, axis=0), fps=50))
    assert checked.flags == ("fps_resampled",)
    assert checked.qc["source_fps"] == 50
    assert places(checked.frames) == list(range(75))


def test_30_fps_is_resampled_by_time() -> None:
    checked = check_video(media(pictures()[np.arange(90) * 25 // 30], fps=30))
    assert len(checked.frames) == 75
    assert np.abs(np.array(places(checked.frames)) - np.arange(75)).max() <= 1


def test_the_frames_are_believed_not_the_container() -> None:
    clip = media(fps=25)
    assert check_video(replace(clip, fps=50.0)).flags == ()
    assert check_video(replace(clip, fps=0.0)).flags == ()


@pytest.mark.parametrize("fps", [15, 24])
def test_lower_rates_are_refused(fps: float) -> None:
    assert video_error(media(pictures(fps * 3), fps=fps)).reason == "frame_rate"


def test_sizes() -> None:
    assert check_video(media(pictures(size=(720, 576)))).flags == ()
    assert check_video(media(pictures(size=(320, 240)))).flags == ("unusual_size",)
    assert video_error(media(pictures(size=(64, 48)))).reason == "too_small"


def test_no_pictures() -> None:
    none = np.zeros((0, 0, 0, 3), np.uint8)
    assert video_error(media(none, has_video=False)).reason == "no_video"
    assert video_error(media(none)).reason == "no_frames"


def test_damage() -> None:
    assert check_video(media(damaged_frames=5)).flags == ("damaged_bitstream",)
    assert check_video(media(decode_errors=1)).flags == ("damaged_bitstream",)
    assert video_error(media(damaged_frames=6)).reason == "damaged_bitstream"


@pytest.mark.parametrize(
    ("color", "reason", "says"),
    [
        ((128, 128, 128), "grey_frames", "12 of 75 frames are plain gray (0-11)"),
        ((0, 0, 0), "black_frames", "12 of 75 frames are black (0-11)"),
        ((255, 255, 255), "grey_frames", "plain gray"),
        ((0, 135, 0), "grey_frames", "of one plain color"),  # a decoder's empty picture
    ],
)
def test_plain_frames_are_refused(color: tuple[int, ...], reason: str, says: str) -> None:
    frames = pictures()
    frames[:12] = color
    error = video_error(media(frames))
    assert error.reason == reason
    assert says in error.detail
    assert error.evidence["plain_frames"] == 12


def test_one_plain_frame_in_the_middle_is_found() -> None:
    frames = pictures()
    frames[40] = 128
    assert "1 of 75 frames are plain gray (40)" in video_error(media(frames)).detail


def test_plainness_is_that_of_every_eighth_pixel() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 131, 203, 3)).astype(np.uint8)
    thin = frames[:, ::8, ::8].astype(np.float64)
    _, level = plain_frames(frames)
    np.testing.assert_allclose(level, thin.mean((1, 2, 3)), rtol=1e-12)


def test_ghosts_after_a_lost_key_frame_count_as_plain() -> None:
    """Real clips: grey, then eleven pictures that build up to 0.6 of the contrast."""
    frames = pictures().astype(float)
    for t in range(12):
        frames[t] = 128 + (frames[t] - 128) * min(0.6, 0.06 * t)
    plain, level = plain_frames(frames.astype(np.uint8))
    assert plain.tolist() == [True] * 12 + [False] * 63
    assert level[0] == pytest.approx(128)


def test_a_dark_but_real_picture_is_no_fault() -> None:
    frames = (pictures() * 0.25).astype(np.uint8)
    assert check_video(media(frames)).flags == ()


def test_sound_of_a_grid_clip_is_padded() -> None:
    checked = check_audio(media(), SPEC)
    assert checked.samples.shape == (48_000,)
    assert checked.samples.dtype == np.float32
    assert checked.samples_added == 352  # 131,330 samples at 44.1 kHz are 47,648 at 16 kHz
    assert not checked.samples[-352:].any()
    assert checked.flags == ()
    assert checked.qc["source_rate_hz"] == 44_100


@pytest.mark.parametrize(
    ("gains", "flags"),
    [
        ((1, 1), ()),
        ((1, 0), ("channel_silent",)),
        ((0, 0, 1, 0, 0, 0), ("channel_silent",)),
        ((1, -0.98), ("channels_cancel",)),
    ],
)
def test_no_channel_lowers_the_level(gains: tuple[float, ...], flags: tuple[str, ...]) -> None:
    voice = tone()[:, :1].astype(np.float32)
    checked = check_audio(media(audio=voice * np.array(gains, np.float32)), SPEC)
    np.testing.assert_allclose(checked.samples, check_audio(media(audio=voice), SPEC).samples)
    assert checked.flags == flags


def test_resampling_keeps_time_and_level() -> None:
    wave = np.sin(2 * np.pi * 200 * np.arange(44_100) / 44_100).astype(np.float32)[:, None]
    found = resampled(wave[:, 0], 44_100, 16_000)
    expected = np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
    assert np.abs(found[500:-500] - expected[500:-500]).max() < 1e-3


def test_long_sound_is_cut() -> None:
    checked = check_audio(media(audio=tone(4.0).astype(np.float32)), SPEC)
    assert checked.samples.shape == (48_000,)
    assert checked.samples_added == 0
    assert checked.flags == ("audio_cut",)
    # A few milliseconds too long are a container's rounding, not an oddity.
    assert check_audio(media(audio=tone(3.02).astype(np.float32)), SPEC).flags == ()


def test_late_sound_is_moved() -> None:
    checked = check_audio(media(audio_start_s=0.2), SPEC)
    assert checked.flags == ("audio_shifted", "audio_cut")  # 0.18 s no longer fit
    assert not checked.samples[:3200].any()
    assert np.allclose(checked.samples[3200:], check_audio(media(), SPEC).samples[:-3200])


def test_early_sound_is_moved() -> None:
    checked = check_audio(media(audio_start_s=-0.2), SPEC)
    unmoved = check_audio(media(), SPEC)
    assert np.allclose(checked.samples[:40_000], unmoved.samples[3200:43_200])
    assert checked.samples_added == 352 + 3200


def test_a_gap_is_flagged() -> None:
    checked = check_audio(media(audio_gap_samples=2304), SPEC)
    assert checked.flags == ("audio_gap",)
    assert checked.qc["audio_gap_s"] == 0.052


def test_a_lower_rate_is_flagged_and_a_telephone_refused() -> None:
    eight = tone(rate_hz=8000).astype(np.float32)
    assert check_audio(media(audio=eight, sample_rate_hz=8000), SPEC).flags == ("audio_upsampled",)
    assert audio_error(media(audio=eight, sample_rate_hz=6000)).reason == "audio_rate"


def test_clipped_sound_is_flagged() -> None:
    loud = np.clip(tone(level=3.0), -1, 1).astype(np.float32)
    mono = np.repeat(loud[:, :1], 2, axis=1)
    assert check_audio(media(audio=mono), SPEC).flags == ("audio_clipped",)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"has_audio": False}, "no_audio"),
        ({"audio": np.zeros((0, 0), np.float32)}, "no_audio"),
        ({"audio": tone(1.2).astype(np.float32)}, "audio_short"),
        ({"audio": np.zeros((131_328, 2), np.float32)}, "audio_silent"),
        ({"audio": tone(level=0.0005).astype(np.float32)}, "audio_silent"),
        ({"audio": np.full((131_328, 2), np.nan, np.float32)}, "audio_nan"),
        ({"audio_start_s": 0.8}, "audio_start"),
        ({"audio_start_s": -0.8}, "audio_start"),
    ],
)
def test_sound_that_cannot_be_used(changes: dict[str, Any], reason: str) -> None:
    assert audio_error(media(**changes)).reason == reason
