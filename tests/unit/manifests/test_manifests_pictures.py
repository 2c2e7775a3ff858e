"""Pictures that a user gives: read as pictures, whatever their format, or refused in one line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import pictures, tiny_clip
from numpy.typing import NDArray
from PIL import Image, features

from manifests.errors import BadInput
from manifests.pictures import (
    is_heif,
    picture_key,
    read_picture,
    read_pictures,
    write_picture,
)

PICTURE = cv2.GaussianBlur(pictures(1)[0], (0, 0), 3)
HEIC_HEAD = b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heicmiaf"


def off(found: NDArray[np.uint8] | None) -> float:
    assert found is not None
    assert found.shape == PICTURE.shape
    return float(np.abs(found.astype(int) - PICTURE).mean())


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "bmp", "gif", "avif", "ppm"])
def test_every_common_format_is_read(tmp_path: Path, suffix: str) -> None:
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = tmp_path / f"face.{suffix}"
    Image.fromarray(PICTURE).save(path)
    assert off(read_picture(path)) < (4 if suffix != "gif" else 10)  # 256 colors


def test_pictures_lying_on_their_side_are_turned(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lying = Image.fromarray(np.ascontiguousarray(np.rot90(PICTURE)))
    turned = lying.getexif()
    turned[0x0112] = 6  # a quarter turn clockwise
    for suffix in ("jpg", "png", "tiff"):
        lying.save(tmp_path / f"x.{suffix}", exif=turned)
        assert off(read_picture(tmp_path / f"x.{suffix}")) < 4
    assert capfd.readouterr() == ("", "")  # OpenCV complains of the last one, and then reads it


def test_sixteen_bits_and_transparency(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "x.png"), PICTURE[..., ::-1].astype(np.uint16) * 257)
    assert off(read_picture(tmp_path / "x.png")) < 1
    gray = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "gray.png"), gray)
    found = read_picture(tmp_path / "gray.png")
    assert found is not None
    assert np.abs(found - gray[..., None] / 257.0).max() < 2
    Image.fromarray(PICTURE).convert("RGBA").save(tmp_path / "y.png")
    assert off(read_picture(tmp_path / "y.png")) < 1


def test_heic_without_its_reader_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "IMG_1234.HEIC"
    path.write_bytes(HEIC_HEAD + bytes(500))
    assert is_heif(path)
    with pytest.raises(BadInput, match=r"IMG_1234\.HEIC is a HEIC or AVIF .*; convert it to JPEG"):
        read_picture(path)


def test_heic_is_read_where_its_reader_is(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "face.heic"
    large = cv2.resize(PICTURE, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    heif.from_bytes("RGB", large.shape[1::-1], large.tobytes()).save(path, quality=90)
    found = read_picture(path)
    assert found is not None
    assert found.shape == large.shape
    assert off(cv2.resize(found, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)) < 4


def test_videos_and_moving_pictures_are_no_pictures(tmp_path: Path) -> None:
    assert read_picture(tiny_clip(tmp_path / "x.mp4", 5, audio=False)) is None
    moving = [Image.fromarray(frame) for frame in pictures(5)]
    moving[0].save(tmp_path / "x.gif", save_all=True, append_images=moving[1:])
    assert read_picture(tmp_path / "x.gif") is None
    (tmp_path / "x.txt").write_text("not a picture")
    assert read_picture(tmp_path / "x.txt") is None
    (tmp_path / "empty").touch()
    assert read_picture(tmp_path / "empty") is None


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.jpg does not exist"):
        read_picture(tmp_path / "gone.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")  # nobody will ever write into it
    with pytest.raises(BadInput, match=r"pipe\.jpg is a named pipe, not a file"):
        read_picture(tmp_path / "pipe.jpg")
    Image.fromarray(PICTURE).save(tmp_path / "cut.gif")
    data = (tmp_path / "cut.gif").read_bytes()
    (tmp_path / "cut.gif").write_bytes(data[: len(data) // 3])
    with pytest.raises(BadInput, match=r"cut\.gif is a picture that cannot be read"):
        read_picture(tmp_path / "cut.gif")
    Image.fromarray(PICTURE).save(tmp_path / "cut.jpg")  # OpenCV fills the rest with gray
    data = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match=r"cut\.jpg is a picture that .*truncated.*; fetch it again"):
        read_picture(tmp_path / "cut.jpg")


def test_a_written_picture_carries_its_key(tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "s1" / "bbaf2n.png"
    square = PICTURE[:96, :96]
    write_picture(path, square, "0123456789abcdef")
    assert picture_key(path, 96) == "0123456789abcdef"
    assert [file.name for file in path.parent.iterdir()] == ["bbaf2n.png"]
    np.testing.assert_array_equal(read_picture(path), square)
    np.testing.assert_array_equal(read_pictures(path), square[None])
    first = path.read_bytes()
    write_picture(path, square, "0123456789abcdef")
    assert path.read_bytes() == first


def test_what_cannot_be_kept_has_no_key(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    assert picture_key(path, 96) == ""
    write_picture(path, PICTURE[:96, :96])
    assert picture_key(path, 96) == ""
    write_picture(path, PICTURE[:96, :96], "key")
    assert picture_key(path, 64) == ""
    path.write_bytes(path.read_bytes()[:-200])
    assert picture_key(path, 96) == ""


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), PICTURE[:0]])
def test_what_is_no_picture_is_not_written(tmp_path: Path, wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(BadInput, match=r"the picture for .*x\.png has shape"):
        write_picture(tmp_path / "x.png", wrong)
    assert not list(tmp_path.iterdir())
