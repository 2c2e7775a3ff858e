"""Videos of any length, frame by frame: the same frames as decoding them whole gives, in any order,
with few of them kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import CODECS, place_of, tiny_clip

from gridprep.media import frames as module
from gridprep.media.decode import decode
from gridprep.media.footage import Footage
from gridprep.media.frames import KEEP_FRAMES
from manifests.errors import ClipError


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one whenever a file is decoded from its start."""
    begun: list[str] = []
    opened = module.opened

    def counted(path: str) -> object:
        begun.append(path)
        return opened(path)

    monkeypatch.setattr(module, "opened", counted)
    return begun


@pytest.mark.parametrize("suffix", CODECS)
def test_frames_are_those_of_the_whole_clip(tmp_path: Path, suffix: str) -> None:
    path = tiny_clip(tmp_path / f"x{suffix}", audio=False)
    whole, footage = decode(path), Footage(path, 600)
    assert footage.shape == whole.frames.shape
    assert len(footage) == 75
    assert footage.fps == pytest.approx(25)
    assert (footage.codec, footage.errors) == (whole.codecs, 0)
    assert footage.duration_s == pytest.approx(3)
    for i in range(75):
        np.testing.assert_array_equal(footage[i], whole.frames[i])


def test_few_frames_are_kept_and_going_back_gives_the_same(
    sound_clip: Path, passes: list[str]
) -> None:
    whole = decode(sound_clip).frames
    size = whole[0].nbytes // 2  # 4:2:0
    footage = Footage(sound_clip, 600, keep_bytes=10 * size)
    for i in (0, 37, 30, 36, 2, 74, 0):
        np.testing.assert_array_equal(footage[i], whole[i])
        assert len(footage._reader._kept) <= 10
    assert len(passes) == 4  # to see how long it is, then for 0, for 2 and for 0 again; 30 was kept


def test_a_short_video_is_decoded_once(sound_clip: Path, passes: list[str]) -> None:
    footage = Footage(sound_clip, 600)
    for i in (0, 37, *range(75), *range(75)):
        assert place_of(footage[i]) == i
    assert len(list(footage.pictures())) == 75
    assert len(passes) == 1
    footage.close()
    assert place_of(footage[3]) == 3
    assert len(passes) == 2


def test_huge_pictures_are_kept_too_but_few(sound_clip: Path) -> None:
    footage = Footage(sound_clip, 600, keep_bytes=1)
    assert place_of(footage[20]) == 20
    assert len(footage._reader._kept) == KEEP_FRAMES


@pytest.mark.parametrize(
    ("fps", "frames", "expected"),
    [
        (50, 60, range(0, 60, 2)),
        (12.5, 30, [i // 2 for i in range(60)]),
        (25.05, 30, range(30)),
    ],
)
def test_other_rates_come_at_25(
    tmp_path: Path, fps: float, frames: int, expected: range | list[int]
) -> None:
    footage = Footage(tiny_clip(tmp_path / "x.mkv", frames, fps=fps, audio=False), 600)
    assert footage.fps == pytest.approx(fps, rel=0.03)
    found = [place_of(footage[i]) for i in range(len(footage))]
    assert abs(len(found) - len(expected)) <= 1
    off = np.array(found[: len(expected)]) - np.array(expected[: len(found)])
    assert np.abs(off).max() <= 1  # half a frame may be rounded either way
    assert footage.duration_s == pytest.approx(frames / fps, abs=0.05)


def test_a_lost_frame_leaves_the_others_in_time(tmp_path: Path) -> None:
    path = tiny_clip(tmp_path / "x.mkv", 40, audio=False, skip_frames=(20, 21))
    footage = Footage(path, 600)
    found = [place_of(footage[i]) for i in range(len(footage))]
    assert found == [19 if i in (20, 21) else i for i in range(40)]
    assert len(list(footage.pictures())) == 38


def test_times_begin_with_the_first_frame(tmp_path: Path) -> None:
    footage = Footage(tiny_clip(tmp_path / "x.mkv", 10, audio=False, start_s=2), 600)
    assert footage.start_s == pytest.approx(2)
    np.testing.assert_allclose(footage.times_s, np.arange(10) / 25, atol=1e-3)
    assert [time_s for time_s, _ in footage.pictures()] == footage.times_s.tolist()


def test_damage_is_counted_and_the_rest_given(tmp_path: Path, sound_clip: Path) -> None:
    data = bytearray(sound_clip.read_bytes())
    data[len(data) // 2 :] = b""
    broken = tmp_path / "x.mpg"
    broken.write_bytes(data)
    footage = Footage(broken, 600)
    assert 20 < len(footage) < 60
    assert place_of(footage[10]) == 10


def no_video(path: Path) -> None:
    tiny_clip(path, 0)


def junk(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("no_video", no_video),
        ("not_media", junk),
        ("empty_file", Path.touch),
        ("unreadable", lambda path: None),
        ("too_long", lambda path: tiny_clip(path, 60, audio=False)),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, reason: str, make: object) -> None:
    path = tmp_path / "x.avi"
    make(path)  # type: ignore[operator]
    with pytest.raises(ClipError) as caught:
        Footage(path, 2.0)
    assert (caught.value.stage, caught.value.reason) == ("decode", reason)
    assert str(path) in caught.value.detail


def test_a_file_that_shrinks_under_way_is_an_error(tmp_path: Path, sound_clip: Path) -> None:
    path = tmp_path / "x.mpg"
    path.write_bytes(sound_clip.read_bytes())
    footage = Footage(path, 600, keep_bytes=1)
    tiny_clip(path, 10)
    with pytest.raises(ClipError, match="changed while it was being read"):
        footage[40]


def test_indices_are_checked(sound_clip: Path) -> None:
    footage = Footage(sound_clip, 600)
    for index in (-1, 75):
        with pytest.raises(IndexError):
            footage[index]
    assert sum(1 for _ in footage) == 75  # type: ignore[attr-defined]
