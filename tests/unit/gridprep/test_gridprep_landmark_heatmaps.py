"""The geometry between frame, crop and heat map, and its agreement with the library's own."""

from __future__ import annotations

import numpy as np
import pytest

from gridprep.landmarks import heatmaps


def ramp(height: int = 256, width: int = 256) -> np.ndarray:
    """A picture whose red is x and whose green is y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8)


def test_squares_follow_fans_training() -> None:
    square = heatmaps.squares(np.array([[10.0, 20.0, 110.0, 140.0]]), 195.0)
    assert square[0] == pytest.approx([60.0, 80.0 - 0.12 * 120, 200 * 220 / 195])


def test_other_detectors_scale_gives_a_larger_crop() -> None:
    box = np.array([[0.0, 0.0, 100.0, 100.0]])
    assert heatmaps.squares(box, 165.0)[0, 2] / heatmaps.squares(box, 195.0)[0, 2] == pytest.approx(
        195 / 165
    )


def test_crop_of_the_whole_picture_is_the_picture() -> None:
    assert np.array_equal(heatmaps.cut(ramp(), np.array([128.0, 128.0, 256.0])), ramp())


def test_crop_is_black_outside() -> None:
    crop = heatmaps.cut(np.full((256, 256, 3), 200, np.uint8), np.array([0.0, 0.0, 256.0]))
    assert crop[:120, :120].max() == 0
    assert crop[136:, 136:].min() == 200


@pytest.mark.parametrize("side", [97.3, 180.0, 233.7])
def test_what_a_crop_shows_maps_back_to_where_it_came_from(side: float) -> None:
    square = np.array([120.4, 131.9, side])
    crop = heatmaps.cut(ramp(), square).astype(float)
    u, v = 100, 141  # the crop's pixel in edge coordinates is (100.5, 141.5); its heat-map cell /4
    cells = np.array([[[(u + 0.5) / 4, (v + 0.5) / 4]]], np.float32)
    back = heatmaps.to_frame(cells, square[None])[0, 0]
    assert back == pytest.approx(crop[v, u, :2], abs=0.6)  # colors are rounded to whole pixels


def test_peaks_equal_the_librarys() -> None:
    utils = pytest.importorskip("face_alignment.utils")
    rng = np.random.default_rng(0)
    maps = rng.random((3, 68, 64, 64), np.float32)
    maps[0, 0] = 0
    maps[0, 0, 0, 17] = 2  # on the border: not moved
    maps[0, 1] = 0
    maps[0, 1, 30, 63] = 2
    index = maps.reshape(3, 68, -1).argmax(-1)
    expected, _ = utils._get_preds_fromhm.py_func(maps, index.copy())
    points, heights = heatmaps.peaks(maps)
    assert np.array_equal(points, expected)
    assert np.array_equal(heights, maps.max((2, 3)))


def test_points_equal_the_librarys_but_for_its_cutting_to_whole_pixels() -> None:
    utils = pytest.importorskip("face_alignment.utils")
    rng = np.random.default_rng(1)
    box = np.array([[101.0, 63.0, 242.0, 221.0]])
    square = heatmaps.squares(box, 195.0)
    center, scale = square[0, :2], square[0, 2] / 200
    cells = rng.uniform(16, 48, (1, 68, 2)).astype(np.float32)
    ours = heatmaps.to_frame(cells, square)[0] + 0.5  # the library counts from the border
    theirs = [utils.transform_np.py_func(p, center, scale, 64, True) for p in cells[0]]
    assert np.abs(np.floor(ours + 1e-3) - np.array(theirs)).max() == 0


def test_is_face_rejects_what_is_none() -> None:
    rng = np.random.default_rng(2)
    square = np.array([[128.0, 128.0, 200.0]])
    face = np.array([128.0, 138.0]) + rng.uniform(-48, 48, (1, 68, 2))
    face = face.astype(np.float32)
    high, low = np.full((1, 68), 0.8, np.float32), np.full((1, 68), 0.1, np.float32)
    assert heatmaps.is_face(face, high, square, 0.2).all()
    assert not heatmaps.is_face(face, low, square, 0.2).any()
    center = face.mean(1, keepdims=True)
    assert not heatmaps.is_face(center + (face - center) * 0.3, high, square, 0.2).any()
    assert not heatmaps.is_face(center + (face - center) * 2, high, square, 0.2).any()
    assert not heatmaps.is_face(face + np.float32(70), high, square, 0.2).any()
    assert not heatmaps.is_face(face * np.float32([1, 0.3]), high, square, 0.2).any()
    point = np.repeat(center, 68, 1)  # all points in one place: no division by zero either
    assert not heatmaps.is_face(point, high, square, 0.2).any()
