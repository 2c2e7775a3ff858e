"""Decoding, on clips made here in every container."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import CODECS, pictures, place_of, tiny_clip, tone
from odd_media import Pictures, Sound, renamed_codec, squeezed, turned_in_the_header, write

from gridprep.media import decode as media
from gridprep.media.decode import decode
from gridprep.media.frames import Shown
from gridprep.media.quality import check_audio, check_video
from manifests.errors import ClipError
from manifests.specs import AudioSpec


def reason_of(path: Path) -> str:
    with pytest.raises(ClipError) as caught:
        decode(path)
    assert caught.value.stage == "decode"
    assert str(path) in caught.value.detail
    return caught.value.reason


def test_a_clip_in_grids_form(sound_clip: Path) -> None:
    clip = decode(sound_clip)
    assert clip.frames.shape == (75, 288, 360, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.fps == 25
    assert np.allclose(clip.frame_times_s, np.arange(75) / 25)
    assert clip.audio.shape == (131_328, 2)  # as real clips have: 2.978 s
    assert clip.audio.dtype == np.float32
    assert (clip.sample_rate_hz, clip.audio_start_s, clip.audio_gap_samples) == (44_100, 0.0, 0)
    assert (clip.decode_errors, clip.damaged_frames) == (0, 0)
    assert clip.codecs == "mpeg1video+mp2"


@pytest.mark.parametrize("suffix", CODECS)
def test_every_container_gives_all_frames_in_order(tmp_path: Path, suffix: str) -> None:
    clip = decode(tiny_clip(tmp_path / f"x{suffix}"))
    assert [place_of(frame) for frame in clip.frames] == list(range(75))
    assert 2.97 < len(clip.audio) / clip.sample_rate_hz < 3.03
    assert abs(clip.audio_start_s) < 0.001


@pytest.mark.parametrize("suffix", CODECS)
def test_pictures_and_sound_are_what_was_written(tmp_path: Path, suffix: str) -> None:
    clip = decode(tiny_clip(tmp_path / f"x{suffix}"))
    written = pictures().astype(float)
    assert np.abs(clip.frames[40] - written[40]).mean() < 12  # chroma at half size, and lossy
    wave = tone()
    n = len(wave) - 3000
    for channel in (0, 1):  # left and right are kept apart
        similar = np.corrcoef(clip.audio[1000:n, channel], wave[1000:n, channel])[0, 1]
        assert similar > 0.99
    assert abs(np.corrcoef(clip.audio[:n, 0], clip.audio[:n, 1])[0, 1]) < 0.5


def test_one_stream_alone(sound_clip: Path) -> None:
    whole = decode(sound_clip)
    pictures_only = decode(sound_clip, audio=False)
    assert np.array_equal(pictures_only.frames, whole.frames)
    assert pictures_only.audio.shape == (0, 0)
    assert pictures_only.has_audio
    sound_only = decode(sound_clip, video=False)
    assert np.array_equal(sound_only.audio, whole.audio)
    assert sound_only.frames.shape == (0, 0, 0, 3)
    assert sound_only.has_video


@pytest.mark.parametrize("suffix", [".mpg", ".mkv", ".mp4"])
def test_start_of_the_sound_is_the_same_without_the_pictures(tmp_path: Path, suffix: str) -> None:
    """A later build may decode the sound alone; it must not shift against the lips."""
    path = tiny_clip(tmp_path / f"x{suffix}", start_s=1.0, audio_start_s=0.2)
    both, alone = decode(path), decode(path, video=False)
    assert both.audio_start_s == pytest.approx(0.2, abs=0.025)
    assert alone.audio_start_s == pytest.approx(both.audio_start_s, abs=1e-9)


def test_no_sound(tmp_path: Path) -> None:
    clip = decode(tiny_clip(tmp_path / "x.mpg", audio=False))
    assert len(clip.frames) == 75
    assert not clip.has_audio
    assert (clip.audio.shape, clip.sample_rate_hz, clip.audio_start_s) == ((0, 0), 0, 0.0)


def test_no_pictures(tmp_path: Path) -> None:
    clip = decode(tiny_clip(tmp_path / "x.mpg", frames=0))
    assert not clip.has_video
    assert clip.audio.shape == (131_328, 2)


def test_lost_sound_leaves_silence_of_its_length(sound_clip: Path, tmp_path: Path) -> None:
    whole = decode(sound_clip)
    data = bytearray(sound_clip.read_bytes())
    # Some MP2 frames lose their headers, and cannot be decoded.
    header = bytes.fromhex("fffd")
    found = [i for i in range(len(data) - 1) if data[i : i + 2] == header]
    for at in found[40:44]:
        data[at : at + 300] = bytes(300)
    broken = tmp_path / "broken.mpg"
    broken.write_bytes(data)
    clip = decode(broken, video=False)
    assert clip.decode_errors > 0
    assert clip.audio_gap_samples > 0
    assert clip.audio_gap_samples % 1152 == 0
    assert len(clip.audio) == len(whole.audio)
    # What comes after the gap stands where it stood.
    assert np.allclose(clip.audio[-20_000:], whole.audio[-20_000:], atol=1e-4)
    assert not np.allclose(clip.audio, whole.audio, atol=1e-2)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("form", ["s16p", "s16", "fltp", "s32p", "u8"])
def test_samples_are_those_of_the_frame(form: str, layout: str) -> None:
    numbers = {"s16p": np.int16, "s16": np.int16, "s32p": np.int32, "u8": np.uint8}
    channels = av.AudioLayout(layout).nb_channels
    random = np.random.default_rng(0)
    if form == "fltp":
        stored = random.normal(size=(channels, 1153)).astype(np.float32)
        expected = stored.T
    else:
        limits = np.iinfo(numbers[form])
        stored = random.integers(limits.min, limits.max + 1, (channels, 1153))
        stored = stored.astype(numbers[form])
        stored[:, :2] = limits.min, limits.max
        zero = 128 if form == "u8" else 0
        expected = ((stored.astype(np.float64) - zero) / 2.0 ** (limits.bits - 1)).T
    planes = stored if form.endswith("p") else stored.T.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), format=form, layout=layout)
    samples = media.pcm_of(frame)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, expected.astype(np.float32))


def test_sound_that_changes_its_form_is_silenced(sound_clip: Path) -> None:
    pieces = [
        media._Sound(i * 0.024, 48_000, np.full((1152, 2), 0.5, np.float32)) for i in range(5)
    ]
    pieces[2] = media._Sound(2 * 0.024, 24_000, np.ones((576, 1), np.float32))
    pcm, rate_hz, start_s, gap_samples, changed = media._join(pieces)
    assert pcm.shape == (5 * 1152, 2)
    assert (rate_hz, start_s, gap_samples, changed) == (48_000, 0.0, 0, 1)
    assert not pcm[2 * 1152 : 3 * 1152].any()
    assert (pcm[3 * 1152 :] == 0.5).all()


def test_damage_is_counted_and_the_rest_kept(sound_clip: Path, tmp_path: Path) -> None:
    data = bytearray(sound_clip.read_bytes())
    rng = np.random.default_rng(1)
    data[200_000:202_000] = rng.integers(0, 256, 2000, np.uint8).tobytes()
    broken = tmp_path / "broken.mpg"
    broken.write_bytes(data)
    clip = decode(broken)
    assert clip.damaged_frames + clip.decode_errors >= 1
    assert len(clip.frames) >= 73


def test_half_a_file(sound_clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "half.mpg"
    broken.write_bytes(sound_clip.read_bytes()[:200_000])
    clip = decode(broken)
    assert 20 < len(clip.frames) < 60
    assert [place_of(frame) for frame in clip.frames[:20]] == list(range(20))


def test_files_that_are_no_media(tmp_path: Path) -> None:
    path = tmp_path / "x.mpg"
    path.write_bytes(b"")
    assert reason_of(path) == "empty_file"
    path.write_bytes(b"This is not a video.\n" * 50)
    assert reason_of(path) == "not_media"
    path.write_bytes(bytes(50_000))
    assert reason_of(path) == "not_media"
    path.unlink()
    assert reason_of(path) == "unreadable"
    path.mkdir()
    assert reason_of(path) == "not_a_file"
    path.rmdir()
    os.mkfifo(path)  # nobody will ever write into it
    assert reason_of(path) == "not_a_file"


def test_half_an_mp4_has_no_index_and_is_no_media(tmp_path: Path) -> None:
    path = tiny_clip(tmp_path / "x.mp4")
    path.write_bytes(path.read_bytes()[:100_000])
    assert reason_of(path) == "not_media"


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nhttp://127.0.0.1:9/a.ts\n",
        "ffconcat version 1.0\nfile http://127.0.0.1:9/a.mpg\n",
    ],
)
def test_a_playlist_in_disguise_calls_nowhere(tmp_path: Path, playlist: str) -> None:
    path = tmp_path / "x.mpg"
    path.write_text(playlist)
    assert reason_of(path) == "not_media"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(sound_clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.mpg"
    shutil.copy(sound_clip, path)
    path.chmod(0)
    assert reason_of(path) == "unreadable"


def test_names_with_spaces_and_any_letters(sound_clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "Grün und weiß: 100% (1)" / "clip №1.mpg"
    path.parent.mkdir()
    shutil.copy(sound_clip, path)
    assert len(decode(path).frames) == 75


def test_a_film_is_not_read_into_memory(sound_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit, says in (
        ("MAX_FRAMES", 50, "over 50 frames"),
        ("MAX_SOUND_S", 1.0, "over 1 s of sound"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(media, name, limit)
            with pytest.raises(ClipError, match=says) as caught:
                decode(sound_clip)
            assert caught.value.reason == "too_long"


@pytest.mark.parametrize(
    ("stored_width", "aspect"), [(180, Fraction(2)), (288, Fraction(5, 4)), (720, Fraction(1, 2))]
)
def test_pixels_are_made_square(tmp_path: Path, stored_width: int, aspect: Fraction) -> None:
    whole = pictures(10)
    path = write(tmp_path / "x.mkv", Pictures(squeezed(whole, stored_width), aspect=aspect))
    clip = decode(path)
    height = 288 if aspect > 1 else 576
    assert clip.frames.shape == (10, height, 360 * height // 288, 3)
    assert clip.pixel_aspect == aspect
    assert [place_of(frame[:: height // 288]) for frame in clip.frames] == list(range(10))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_pictures_are_turned_and_mirrored_as_their_file_says(
    tmp_path: Path, degrees: int, mirrored: bool
) -> None:
    lying = np.rot90(pictures(10), -degrees // 90, axes=(1, 2))
    stored = lying[:, :, ::-1] if mirrored else lying
    path = write(tmp_path / "x.mp4", Pictures(stored))
    clip = decode(turned_in_the_header(path, degrees, mirrored))
    assert clip.frames.shape == (10, 288, 360, 3)
    assert (clip.quarter_turns, clip.mirrored) == (degrees // 90 % 4, mirrored)
    assert [place_of(frame) for frame in clip.frames] == list(range(10))


def test_turned_and_oblong_clips_are_flagged(tmp_path: Path) -> None:
    lying = squeezed(np.rot90(pictures(75), -1, axes=(1, 2)), 144)
    path = write(tmp_path / "x.mp4", Pictures(lying, aspect=Fraction(2)))
    checked = check_video(decode(turned_in_the_header(path, 90)))
    assert checked.flags == ("pixels_squared", "picture_turned")
    assert checked.frames.shape == (75, 288, 360, 3)
    assert (checked.qc["pixel_aspect"], checked.qc["turned_degrees"]) == (2.0, 90)


def test_mirrored_clips_are_flagged(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mp4", Pictures(pictures(75)[:, :, ::-1]))
    checked = check_video(decode(turned_in_the_header(path, 0, mirrored=True)))
    assert checked.flags == ("picture_turned",)
    assert (checked.qc["turned_degrees"], checked.qc["mirrored"]) == (0, True)


def test_interlaced_clips_are_flagged(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "x264-params": "tff=1"}
    path = write(tmp_path / "x.mp4", Pictures(pictures(75), options=options))
    assert check_video(decode(path)).flags == ("interlaced",)
    assert check_video(decode(write(tmp_path / "y.mp4", Pictures(pictures(75))))).flags == ()


def test_the_sound_of_the_default_track_is_heard(tmp_path: Path) -> None:
    soft, loud = 0.1 * tone()[:, 0], tone()[:, 0]
    frames = pictures(75)
    path = write(
        tmp_path / "x.mp4",
        Pictures(frames[:, ::4, ::4], default=False),
        Pictures(frames),
        Sound(soft, default=False),
        Sound(loud),
    )
    clip = decode(path)
    assert clip.frames.shape == (75, 288, 360, 3)
    assert np.abs(clip.audio).max() == pytest.approx(np.abs(loud).max(), rel=0.05)


def test_tracks_that_cannot_be_decoded_are_told_from_tracks_that_are_not_there(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "x.mov", Pictures(pictures(75)), Sound(tone()[:, 0], codec="pcm_s16le"))
    clip = decode(renamed_codec(path, b"sowt", b"apac"))
    assert (clip.undecodable, len(clip.frames)) == (("audio",), 75)
    with pytest.raises(ClipError, match="sound has a codec that FFmpeg cannot decode") as caught:
        check_audio(clip, AudioSpec())
    assert (caught.value.stage, caught.value.reason) == ("audio", "no_decoder")
    clip = decode(renamed_codec(path, b"avc1", b"evc1"))
    assert clip.undecodable == ("video", "audio")
    with pytest.raises(ClipError, match="pictures have a codec that FFmpeg cannot") as caught:
        check_video(clip)
    assert (caught.value.stage, caught.value.reason) == ("decode", "no_decoder")


@pytest.mark.parametrize("codec", ["libmp3lame", "aac", "mp2", "ac3", "pcm_s16le"])
@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".ts"])
def test_sound_is_where_it_was_in_every_container(tmp_path: Path, suffix: str, codec: str) -> None:
    """AVI has no place for a codec's delay, which would make MP3 25 ms late."""
    if (suffix, codec) == (".ts", "pcm_s16le"):
        pytest.skip("transport streams hold no PCM of this kind")
    rng = np.random.default_rng(3)
    noise = 0.2 * np.convolve(rng.normal(size=100_000), np.ones(8) / 8, "same")
    video = Pictures(pictures(60), codec="mpeg2video" if suffix == ".ts" else "mpeg4", options={})
    clip = decode(write(tmp_path / f"x{suffix}", video, Sound(noise, codec=codec)))
    heard = clip.audio[:, 0]
    n = 1 << 19
    product = np.fft.rfft(heard, n) * np.conj(np.fft.rfft(noise, n))
    at = int(np.fft.irfft(product).argmax())
    late_s = (at if at < n // 2 else at - n) / 44_100 + clip.audio_start_s
    assert abs(late_s) < 0.001


def test_large_pictures_are_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_clip(tmp_path / "x.mp4")
    whole = decode(path).frames
    monkeypatch.setattr(media, "WHOLE_BYTES", 10 * whole[0].nbytes)
    clip = decode(path)
    assert isinstance(clip.frames, Shown)
    assert clip.frames.shape == whole.shape
    checked = check_video(clip)
    assert isinstance(checked.frames, Shown)
    for i in (0, 37, 3, 74):
        np.testing.assert_array_equal(checked.frames[i], whole[i])
    np.testing.assert_array_equal(clip.frames[np.array([5, 2])], whole[[5, 2]])
    np.testing.assert_array_equal(clip.frames.thin, whole[:, ::8, ::8])
    with pytest.raises(IndexError):
        clip.frames[75]


def test_pictures_of_any_size_are_bounded(tmp_path: Path) -> None:
    large = np.repeat(np.repeat(pictures(4), 8, 1), 8, 2)  # 2880×2304
    clip = decode(write(tmp_path / "x.mp4", Pictures(large)))
    assert clip.frames.shape == (4, 1536, 1920, 3)


def test_size_changes_say_when_and_from_what(tmp_path: Path) -> None:
    small, large = (
        write(tmp_path / f"{n}.ts", Pictures(pictures(10, (n, 288)))) for n in (200, 360)
    )
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(ClipError, match=r"changes its picture size.* from 200×288 to 360×288"):
        decode(both)


@pytest.mark.parametrize("fps", [29.97, 30, 50, 59.94, 60])
def test_other_rates_are_brought_to_25_in_time(tmp_path: Path, fps: float) -> None:
    n = round(3 * fps)
    shown = pictures(75)[np.minimum((np.arange(n) / fps * 25).astype(int), 74)]
    checked = check_video(decode(write(tmp_path / "x.mp4", Pictures(shown, fps=fps))))
    assert checked.flags == ("fps_resampled",)
    off = [place_of(frame) - i for i, frame in enumerate(checked.frames)]
    assert np.abs(off).max() <= 1


def test_rates_that_vary_are_brought_to_25_in_time(tmp_path: Path) -> None:
    """As telephones film: most frames 40 ms apart, bursts of 50 a second between."""
    steps = np.tile([0.04] * 6 + [0.02] * 4, 20)
    times_s = np.concatenate([[0], np.cumsum(steps)])
    times_s = times_s[times_s < 3]
    shown = pictures(75)[np.minimum((times_s * 25 + 1e-6).astype(int), 74)]
    path = write(tmp_path / "x.mkv", Pictures(shown, times_s=times_s.tolist()))
    checked = check_video(decode(path))
    assert "fps_resampled" in checked.flags
    off = [place_of(frame) - i for i, frame in enumerate(checked.frames)]
    assert np.abs(off).max() <= 1


def test_late_sound_stays_late(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mkv", Pictures(pictures(75)), Sound(tone(2.7)[:, 0], start_s=0.25))
    clip = decode(path)
    assert clip.audio_start_s == pytest.approx(0.25, abs=0.002)
    sound = check_audio(clip, AudioSpec())
    assert sound.flags == ("audio_shifted",)
    assert np.abs(sound.samples[:3800]).max() < 0.01 < np.abs(sound.samples[4200:8000]).max()
