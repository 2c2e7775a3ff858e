"""Decoding, on clips made here in every container."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from clips import CODECS, pictures, place_of, tiny_clip, tone

from gridprep.media import decode as media
from gridprep.media.decode import decode
from manifests.errors import ClipError


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
