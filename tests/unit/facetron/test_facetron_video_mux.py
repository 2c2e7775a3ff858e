"""Videos that talk: the pictures that were there, the sound that was made, and both in step."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import pictures, place_of, tiny_clip
from facetron_videos import packets, played, write_h264
from numpy.typing import NDArray
from odd_media import Pictures, squeezed, turned_in_the_header, write

from facetron.video import mux
from gridprep.media.footage import Footage
from manifests.errors import BadInput
from manifests.mediafile import upright

RATE_HZ = 16_000


def clicks(seconds: float) -> NDArray[np.float32]:
    """Noise bursts that can be found again to the sample."""
    rng = np.random.default_rng(5)
    n = round(seconds * RATE_HZ)
    return np.float32(0.3) * rng.normal(size=n).astype(np.float32) * (np.arange(n) // 800 % 3 == 0)


def lag_samples(sound: NDArray[np.float32], of: NDArray[np.float32]) -> int:
    """By how many samples `sound` comes later."""
    n = 1 << (len(sound) + len(of)).bit_length()
    both = np.fft.irfft(np.fft.rfft(sound, n) * np.conj(np.fft.rfft(of, n)))
    at = int(both.argmax())
    return at if at < n // 2 else at - n


def spoken(source: Path, out: Path, seconds: float = 3.0) -> bool:
    return mux.write_mp4(Footage(source, 600), clicks(seconds), RATE_HZ, out)


@contextmanager
def full_disk_after(n_bytes: int) -> Iterator[None]:
    """No file may grow beyond this many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_grids_mpeg_1_becomes_h264_with_the_sound_in_step(sound_clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "deeper" / "out.mp4"
    assert not spoken(sound_clip, out)
    found = played(out)
    assert found.codecs == "h264+aac"
    assert [place_of(frame) for frame in found.frames] == list(range(75))
    np.testing.assert_allclose(found.times_s, np.arange(75) / 25, atol=1e-4)
    assert found.duration_s == pytest.approx(3, abs=0.001)
    assert (found.rate_hz, found.sound_start_s) == (RATE_HZ, 0)
    assert 48_000 <= len(found.sound) < 48_000 + 1024  # AAC comes in blocks
    assert lag_samples(found.sound, clicks(3)) == 0
    assert list(out.parent.iterdir()) == [out]
    assert out.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_h264_is_copied_to_the_byte(tmp_path: Path, suffix: str) -> None:
    """Transport streams begin at 1.4 s, and Matroska leaves out times of decoding."""
    source = write_h264(tmp_path / f"in{suffix}", pictures(50))
    out = tmp_path / "out.mp4"
    assert spoken(source, out, 2.0)
    found = played(out)
    assert [place_of(frame) for frame in found.frames] == list(range(50))
    np.testing.assert_allclose(found.times_s, np.arange(50) / 25, atol=1.1e-3)
    np.testing.assert_array_equal(
        found.frames, np.stack([upright(frame) for _, frame in Footage(source, 600).pictures()])
    )
    if suffix != ".ts":  # whose packets are framed otherwise
        assert packets(out) == packets(source)
    assert lag_samples(found.sound, clicks(2)) == 0
    assert found.duration_s == pytest.approx(2, abs=0.05)


def stream_of(path: Path) -> tuple[str, str, str, Fraction]:
    """Codec, pixel format, tag and pixel aspect of a file's video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        return context.name, context.pix_fmt, context.codec_tag, stream.sample_aspect_ratio


ULTRAFAST = {"preset": "ultrafast", "x265-params": "log-level=none"}

PLAYED_EVERYWHERE = {
    "H.264": (".mp4", Pictures(pictures(30)), True),
    "H.264 of full range": (".mp4", Pictures(pictures(30), pixels="yuvj420p"), True),
    "HEVC for Apple": (
        ".mp4",
        Pictures(pictures(30), codec="libx265", tag="hvc1", options=ULTRAFAST),
        True,
    ),
    "HEVC with another tag": (
        ".mp4",
        Pictures(pictures(30), codec="libx265", options=ULTRAFAST),
        False,
    ),
    "HEVC in Matroska": (
        ".mkv",
        Pictures(pictures(30), codec="libx265", options=ULTRAFAST),
        False,
    ),
    "HEVC of ten bits": (
        ".mov",
        Pictures(
            pictures(30), codec="libx265", tag="hvc1", pixels="yuv420p10le", options=ULTRAFAST
        ),
        False,
    ),
    "H.264 of ten bits": (".mp4", Pictures(pictures(30), pixels="yuv420p10le"), False),
    "H.264 in 4:2:2": (".mp4", Pictures(pictures(30), pixels="yuv422p"), False),
    "H.264 in 4:4:4": (".mp4", Pictures(pictures(30), pixels="yuv444p"), False),
    "MPEG-4 ASP": (
        ".avi",
        Pictures(pictures(30), codec="mpeg4", options={"bf": "2", "vtag": "XVID"}),
        False,
    ),
    "MPEG-4 in MP4": (".mp4", Pictures(pictures(30), codec="mpeg4", options={}), False),
    "VP9": (".mkv", Pictures(pictures(30), codec="libvpx-vp9", options={"cpu-used": "8"}), False),
    "ProRes": (".mov", Pictures(pictures(30), "prores_ks", "yuv422p10le", options={}), False),
}


@pytest.mark.parametrize("case", PLAYED_EVERYWHERE)
def test_only_what_every_player_takes_is_copied(tmp_path: Path, case: str) -> None:
    suffix, made, copied = PLAYED_EVERYWHERE[case]
    source, out = write(tmp_path / f"in{suffix}", made), tmp_path / "out.mp4"
    assert spoken(source, out, 1.2) == copied
    codec, pixels, tag, _ = stream_of(out)
    assert (codec, tag) in {("h264", "avc1"), ("hevc", "hvc1")}
    assert pixels in {"yuv420p", "yuvj420p"}
    found = played(out)
    assert [place_of(frame) for frame in found.frames] == list(range(30))
    before = Footage(source, 600)
    off = np.abs(found.frames[20].astype(float) - before[20]).mean()
    assert off < 6
    if copied:
        assert packets(out) == packets(source)


@pytest.mark.parametrize("copied", [True, False])
def test_oblong_pixels_keep_the_shape_of_the_picture(tmp_path: Path, copied: bool) -> None:
    stored = Pictures(squeezed(pictures(20), 180), aspect=Fraction(2))
    source = write(tmp_path / "in.mp4", stored)
    footage = Footage(source, 600)
    footage.errors += not copied
    out = tmp_path / "out.mp4"
    assert mux.write_mp4(footage, clicks(0.8), RATE_HZ, out) == copied
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        shown = Fraction(stream.width, stream.height) * (stream.sample_aspect_ratio or 1)
    assert shown == Fraction(360, 288)
    assert Footage(out, 600).shape == (20, 288, 360, 3)


@pytest.mark.parametrize("degrees", [0, 90])
@pytest.mark.parametrize("whole_range", [False, True])
@pytest.mark.parametrize("numbers", ["9:18:9", "1:1:1"])
def test_colors_are_what_they_were(
    tmp_path: Path, numbers: str, whole_range: bool, degrees: int
) -> None:
    """Encoded anew by one matrix or range and shown by another, pictures look pale or greenish."""
    primaries, curve, matrix = numbers.split(":")
    said = f"log-level=none:colorprim={primaries}:transfer={curve}:colormatrix={matrix}"
    options = {**ULTRAFAST, "x265-params": f"{said}:range={'full' if whole_range else 'limited'}"}
    flat = np.zeros((20, 64, 64, 3), np.uint8)
    flat[:, :, :32], flat[:, :, 32:] = (200, 60, 40), (40, 90, 220)
    if whole_range:  # FFmpeg's writer has made limited ones: these are shown with more contrast
        flat = flat // 2 + 64
    source = write(
        tmp_path / "in.mov", Pictures(flat, "libx265", "yuv420p10le", tag="hvc1", options=options)
    )
    out = tmp_path / "out.mp4"
    turned_in_the_header(source, degrees)
    assert not spoken(source, out, 0.8)
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0))
    found = (frame.color_primaries, frame.color_trc, frame.colorspace)
    assert found == (int(primaries), int(curve), int(matrix))
    assert frame.color_range == 1  # limited, which every player takes H.264 to have
    off = np.abs(Footage(out, 600)[9].astype(int) - Footage(source, 600)[9])
    assert np.percentile(off, 90) <= 4


def test_the_track_that_was_read_is_the_one_that_is_written(tmp_path: Path) -> None:
    frames = pictures(20)
    source = write(
        tmp_path / "in.mp4", Pictures(frames[:, ::4, ::4], default=False), Pictures(frames)
    )
    out = tmp_path / "out.mp4"
    assert spoken(source, out, 0.8)
    assert played(out).frames.shape == (20, 288, 360, 3)


def test_names_that_look_like_addresses_are_written(
    sound_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("12:30:45", "2024-01-01T12:30:45.mp4")
    spoken(sound_clip, out)
    assert len(played(out).frames) == 75


def test_sound_and_pictures_come_in_turns(tmp_path: Path) -> None:
    """Or a player that reads a file on from its start would wait for the other."""
    source = write_h264(tmp_path / "in.mp4", pictures(300))
    spoken(source, tmp_path / "out.mp4", 12.0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        found = [
            (packet.pos, packet.stream.type, float(packet.dts * packet.time_base))
            for packet in container.demux()
            if packet.size
        ]
    latest = {"video": 0.0, "audio": 0.0}
    for _, kind, time_s in sorted(found):
        latest[kind] = time_s
        assert abs(latest["video"] - latest["audio"]) < 1.5
    assert min(latest.values()) > 11.8


@pytest.mark.parametrize("fps", [12.5, 29.97, 60])
def test_other_rates_keep_their_times(tmp_path: Path, fps: float) -> None:
    for source, copied in (
        (tiny_clip(tmp_path / "in.mkv", 30, fps=fps, audio=False), False),
        (write_h264(tmp_path / "in.mp4", pictures(30), fps=fps), True),
    ):
        footage = Footage(source, 600)
        out = tmp_path / "out.mp4"
        assert mux.write_mp4(footage, clicks(footage.duration_s), RATE_HZ, out) == copied
        np.testing.assert_allclose(played(out).times_s, footage.times_s, atol=2e-3)


def test_odd_sides_and_lost_frames_are_encoded(tmp_path: Path) -> None:
    source = tiny_clip(
        tmp_path / "in.avi", pictures(30)[:, :287, :359], audio=False, skip_frames=(9, 10)
    )
    out = tmp_path / "out.mp4"
    assert not spoken(source, out, 1.2)
    found = played(out)
    assert found.frames.shape == (28, 286, 358, 3)
    np.testing.assert_allclose(found.times_s, Footage(source, 600).times_s, atol=1e-4)


@pytest.mark.parametrize(("degrees", "mirrored"), [(90, False), (-90, False), (180, True)])
@pytest.mark.parametrize("copied", [True, False])
def test_lying_pictures_are_shown_upright(
    tmp_path: Path, degrees: int, mirrored: bool, copied: bool
) -> None:
    frames = pictures(10)
    lying = np.rot90(frames, -degrees // 90, axes=(1, 2))
    stored = lying[:, :, ::-1] if mirrored else lying
    source = turned_in_the_header(write_h264(tmp_path / "in.mp4", stored), degrees, mirrored)
    footage = Footage(source, 600)
    assert footage.shape == frames.shape
    assert [place_of(footage[i]) for i in range(10)] == list(range(10))
    footage.errors += not copied  # damaged ones are encoded
    out = tmp_path / "out.mp4"
    assert mux.write_mp4(footage, clicks(0.4), RATE_HZ, out) == copied
    shown = Footage(out, 600)
    assert [place_of(shown[i]) for i in range(10)] == list(range(10))


def test_what_is_too_loud_is_clipped(sound_clip: Path, tmp_path: Path) -> None:
    loud = np.full(48_000, 7, np.float32)
    mux.write_mp4(Footage(sound_clip, 600), loud, RATE_HZ, tmp_path / "out.mp4")
    sound = played(tmp_path / "out.mp4").sound
    assert 0.9 < np.median(sound[8000:40_000]) < 1.1


@pytest.mark.parametrize("n_bytes", [10, 30_000])
@pytest.mark.parametrize("name", ["in.avi", "in.mp4"])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, name: str, n_bytes: int) -> None:
    source = (
        write_h264(tmp_path / name, pictures(75))
        if name == "in.mp4"
        else tiny_clip(tmp_path / name, audio=False)
    )
    footage = Footage(source, 600)
    out = tmp_path / "out.mp4"
    out.write_text("as it was")
    with full_disk_after(n_bytes), pytest.raises(OSError, match="too large") as caught:
        mux.write_mp4(footage, clicks(3), RATE_HZ, out)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(out))
    assert out.read_text() == "as it was"
    assert sorted(tmp_path.iterdir()) == sorted([source, out])


def test_what_is_not_whole_is_refused(
    sound_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that drops writes and says nothing."""
    write = mux._write

    def lossy(path: Path, *arguments: object) -> int:
        frames = write(path, *arguments)  # type: ignore[arg-type]
        os.truncate(path, path.stat().st_size * 2 // 3)
        return frames

    monkeypatch.setattr(mux, "_write", lossy)
    with pytest.raises(BadInput, match=r"out\.mp4 could not be written whole; free space"):
        spoken(sound_clip, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_targets_are_checked_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    for name, words in (
        ("out.avi", r"not the name of an MP4 file; end it in \.mp4"),
        ("folder.mp4", "is a folder"),
    ):
        with pytest.raises(BadInput, match=words):
            mux.check_target(tmp_path / name)
    with pytest.raises(OSError, match="file"):
        mux.check_target(tmp_path / "file" / "out.mp4")
    before = sorted(tmp_path.iterdir())
    mux.check_target(tmp_path / "out.mp4")
    assert sorted(tmp_path.iterdir()) == before
