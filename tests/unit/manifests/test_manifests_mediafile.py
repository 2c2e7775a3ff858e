"""Opening media: files and never URLs, regular ones only, and the track that a player plays."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import pictures, tone
from odd_media import Pictures, Sound, renamed_codec, write

from manifests.mediafile import (
    UnreadableMedia,
    best_stream,
    kind_of_file,
    opened,
    rgb_of,
    shown_size,
    streams_of,
    upright,
    way_up,
)

LOUD, SOFT = tone()[:, 0], 0.1 * tone()[:, 0]


@pytest.mark.parametrize(
    "name",
    ["2024-01-01T12:30:45.mpg", "file:x.mpg", "http:x.mpg", "a:b/c.mpg", "x%03d.mpg", "\udcff.mpg"],
)
def test_a_name_is_never_taken_for_an_address(
    sound_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    shutil.copy(sound_clip, name)
    with opened(name) as container:
        assert best_stream(container, "video").codec_context.name == "mpeg1video"


def test_only_files_are_opened(tmp_path: Path) -> None:
    pipe, folder, gone = tmp_path / "x.mpg", tmp_path / "y.mpg", tmp_path / "z.mpg"
    os.mkfifo(pipe)  # nobody will ever write into it
    folder.mkdir()
    link = tmp_path / "l.mpg"
    link.symlink_to(pipe)
    device = Path(os.devnull)
    for path, reason, says in (
        (pipe, "not_a_file", "is a named pipe, not a file"),
        (link, "not_a_file", "is a named pipe, not a file"),
        (folder, "not_a_file", "is a folder"),
        (device, "not_a_file", "is a device"),
        (gone, "unreadable", "No such file"),
    ):
        with pytest.raises(UnreadableMedia, match=says) as caught, opened(path):
            pass
        assert caught.value.reason == reason
        assert str(path) in caught.value.detail
        assert str(path) not in caught.value.why
    (tmp_path / "a").touch()
    assert kind_of_file(tmp_path / "a") == ""


def test_the_default_track_is_played_and_not_the_first(tmp_path: Path) -> None:
    frames = pictures(10)
    path = write(
        tmp_path / "x.mp4",
        Pictures(frames[:, ::4, ::4], default=False),
        Pictures(frames),
        Sound(SOFT, default=False),
        Sound(LOUD),
    )
    with opened(path) as container:
        assert [s.index for s in streams_of(container, "video")] == [0, 1]
        assert best_stream(container, "video").index == 1
        assert best_stream(container, "audio").index == 3


@pytest.mark.parametrize("unknown", [b"evc1", b"dvh1"])
def test_of_tracks_that_cannot_be_decoded_the_next_is_taken(tmp_path: Path, unknown: bytes) -> None:
    """One codec without a decoder, and one whose decoder gives no frame."""
    frames = pictures(10)
    path = write(
        tmp_path / "x.mov",
        Pictures(frames),
        Pictures(frames, default=False),
        Sound(LOUD, codec="pcm_s16le"),
        Sound(SOFT, default=False),
    )
    renamed_codec(renamed_codec(path, b"avc1", unknown), b"sowt", b"apac")
    with opened(path) as container:
        assert best_stream(container, "video").index == 1
        assert best_stream(container, "audio").index == 3


def test_where_none_can_be_decoded_there_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mov", Pictures(pictures(10)), Sound(LOUD, codec="pcm_s16le"))
    renamed_codec(renamed_codec(path, b"avc1", b"evc1"), b"sowt", b"apac")
    with opened(path) as container:
        assert len(streams_of(container, "video")) == len(streams_of(container, "audio")) == 1
        assert best_stream(container, "video") is None
        assert best_stream(container, "audio") is None


def test_sizes_with_square_pixels() -> None:
    assert shown_size(360, 288, Fraction(1)) == (360, 288)
    assert shown_size(720, 576, Fraction(64, 45)) == (1024, 576)
    assert shown_size(180, 288, Fraction(2)) == (360, 288)
    assert shown_size(720, 288, Fraction(1, 2)) == (720, 576)
    assert shown_size(3840, 2160, Fraction(1)) == (1920, 1080)
    assert np.isclose(np.divide(*shown_size(1440, 1080, Fraction(4, 3))), 16 / 9)


def test_pictures_of_one_converter_are_those_of_one_for_every_frame(tmp_path: Path) -> None:
    """Sizes and formats change between the files, and threads read at once."""
    files = [
        write(tmp_path / "small.mp4", Pictures(pictures(6, (64, 48)))),
        write(tmp_path / "large.mkv", Pictures(pictures(6, (96, 64)), pixels="yuv444p")),
        write(tmp_path / "oblong.mp4", Pictures(pictures(6, (64, 48)), aspect=Fraction(2))),
    ]
    frames = []
    for path in files:
        with opened(path) as container:
            frames.append(list(container.decode(video=0)))
    mixed = [frame for group in zip(*frames, strict=True) for frame in group]
    wanted = [frame.to_ndarray(format="rgb24") for frame in mixed]
    with ThreadPoolExecutor(2) as pool:
        found = [*map(rgb_of, mixed), *pool.map(rgb_of, mixed)]
    for picture, other in zip(found, wanted * 2, strict=True):
        assert np.array_equal(picture, other)
    stretched = frames[2][3].reformat(128, 48, format="rgb24", interpolation="BICUBIC")
    assert np.array_equal(upright(frames[2][3], Fraction(2)), stretched.to_ndarray())


def test_what_a_camera_says_of_its_pictures_is_no_hindrance(tmp_path: Path) -> None:
    """The EXIF of JPEGs, also of those in a video, is side data that PyAV 18 has no name for."""
    from PIL import Image

    picture = Image.fromarray(np.rot90(pictures(1)[0]))
    said = picture.getexif()
    said[0x0112] = 6  # a quarter turn clockwise
    picture.save(tmp_path / "x.jpg", exif=said)
    with opened(tmp_path / "x.jpg") as container:
        frame = next(container.decode(video=0))
    assert upright(frame).shape == (288, 360, 3)
    assert way_up(frame) == (3, False)
