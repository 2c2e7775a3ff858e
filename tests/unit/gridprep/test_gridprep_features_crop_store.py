"""Crops on disk: every format there and back, the same bytes for the same pictures, damage told."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

from gridprep.features.crop_store import CODECS, encode, read_pictures, suffix_of, write_pictures
from manifests.errors import BadInput
from manifests.specs import CropSpec

LOSSLESS = ("ffv1", "png", "npy")
PSNR_DB = {
    "h264-crf10": 39,
    "h264-crf10-444": 41,
    "h264-crf14": 39,
    "h264-crf18": 38,
    "mjpeg95": 43,
    "mjpeg90": 42,
    "jpeg95": 43,
    "jpeg90": 42,
}
"""Measured on `clip()` and rounded down; real lips do better (docs/formats.md)."""


def clip(frames: int = 9, side: int = 64) -> np.ndarray:
    """(T, side, side, 3) smooth skin with red lips that open, and a little noise."""
    y, x = np.mgrid[0:side, 0:side] / side
    pictures = np.empty((frames, side, side, 3))
    for t in range(frames):
        opening = 0.05 + 0.14 * t / frames
        lips = np.exp(-((((x - 0.5) / 0.3) ** 2 + ((y - 0.5) / (0.1 + opening)) ** 2) ** 2))
        skin = np.stack([200 - 40 * x, 160 - 30 * y, 140 - 20 * x], axis=-1)
        red = np.array([180, 60, 70])
        pictures[t] = skin + (red - skin) * lips[..., None]
    noise = np.random.default_rng(0).normal(0, 1.5, pictures.shape)
    return np.clip(pictures + noise, 0, 255).astype(np.uint8)


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize(
    ("half_color", "pixels", "least_db"), [(False, "yuvj444p", 42.0), (True, "yuvj420p", 41.0)]
)
def test_motion_jpeg_holds_all_color_or_half(
    half_color: bool, pixels: str, least_db: float, tmp_path: Path
) -> None:
    pictures = clip()
    target = tmp_path / "lips.avi"
    target.write_bytes(encode(pictures, "mjpeg90", half_color))
    with av.open(str(target)) as container:
        formats = {frame.format.name for frame in container.decode(video=0)}
    assert formats == {pixels}
    assert psnr_db(read_pictures(target), pictures) > least_db
    assert (len(target.read_bytes()) < 0.95 * len(encode(pictures, "mjpeg90"))) == half_color


def test_every_format_is_tested() -> None:
    assert {*LOSSLESS, *PSNR_DB} == set(CODECS)
    assert {CropSpec().lips_codec, CropSpec().face_codec} <= set(CODECS)


@pytest.mark.parametrize("codec", CODECS)
def test_there_and_back(codec: str, tmp_path: Path) -> None:
    pictures = clip()
    target = tmp_path / f"nested/naïve clip{suffix_of(codec)}"
    write_pictures(target, pictures, codec)
    back = read_pictures(target)
    assert back.shape == pictures.shape
    assert back.dtype == np.uint8
    if codec in LOSSLESS:
        assert (back == pictures).all()
    else:
        assert psnr_db(back, pictures) > PSNR_DB[codec]
        # No picture for another: each is nearest to the one that was stored in its place.
        error = np.abs(back[:, None].astype(int) - pictures[None]).mean((2, 3, 4))
        assert (error.argmin(1) == np.arange(len(pictures))).all()


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_pictures_are_the_same_bytes(codec: str) -> None:
    pictures = clip()
    first = encode(pictures, codec)
    assert encode(pictures.copy(), codec) == first
    assert encode(np.ascontiguousarray(pictures[:, :, ::-1])[:, :, ::-1], codec) == first
    assert encode(clip(frames=8), codec) != first


@pytest.mark.parametrize("codec", ["mjpeg90", "jpeg90"])
def test_red_lips_do_not_bleed(codec: str, tmp_path: Path) -> None:
    # One red pixel column in grey: chroma at half resolution would lose half of its color.
    pictures = np.full((2, 64, 64, 3), 128, np.uint8)
    pictures[:, :, 31] = (220, 60, 60)
    write_pictures(tmp_path / f"red{suffix_of(codec)}", pictures, codec)
    back = read_pictures(tmp_path / f"red{suffix_of(codec)}").astype(int)
    assert (back[:, 8:-8, 31, 0] - back[:, 8:-8, 31, 1]).mean() > 130
    assert np.abs(back[:, 8:-8, 29] - 128).mean() < 6


def test_colors_keep_their_order(tmp_path: Path) -> None:
    pictures = np.zeros((3, 32, 32, 3), np.uint8)
    pictures[...] = (230, 120, 20)
    for codec in CODECS:
        write_pictures(tmp_path / f"x{suffix_of(codec)}", pictures, codec)
        mean = read_pictures(tmp_path / f"x{suffix_of(codec)}").mean((0, 1, 2))
        assert mean == pytest.approx([230, 120, 20], abs=6), codec


def test_motion_jpeg_is_a_video_that_players_know(tmp_path: Path) -> None:
    write_pictures(tmp_path / "lips.avi", clip(75, 144), "mjpeg90")
    with av.open(str(tmp_path / "lips.avi")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("mjpeg", 144, 144)
        assert float(stream.average_rate) == 25
        assert sum(1 for _ in container.decode(stream)) == 75


def test_unknown_format_lists_the_choices() -> None:
    with pytest.raises(BadInput, match="unknown crop format 'gif'; use one of h264-crf10"):
        encode(clip(), "gif")
    with pytest.raises(BadInput, match="mjpeg90"):
        suffix_of("mjpeg50")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("damage", ["absent", "empty", "text", "cut"])
def test_damage_is_one_line_that_names_the_file(codec: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / f"lips{suffix_of(codec)}"
    data = encode(clip(), codec)
    if damage != "absent":
        content = {"empty": b"", "text": b"these are no pictures\n" * 20, "cut": data[:150]}
        path.write_bytes(content[damage])
    with pytest.raises(BadInput) as caught:
        read_pictures(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.endswith("run `gridprep check BUILD --repair`")


def test_a_strip_that_is_no_row_of_squares(tmp_path: Path) -> None:
    (tmp_path / "odd.png").write_bytes(encode(np.zeros((1, 40, 64, 3), np.uint8), "png"))
    with pytest.raises(BadInput, match="not a strip of square pictures"):
        read_pictures(tmp_path / "odd.png")


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lips.npy"
    write_pictures(path, clip(3), "npy")
    before = path.read_bytes()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        write_pictures(path, clip(5), "npy")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["lips.npy"]
