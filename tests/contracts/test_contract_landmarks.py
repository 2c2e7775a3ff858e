"""What every landmark backend promises, over everything registered.

A backend whose library or weights are absent is skipped with the reason it gives itself (nothing is
downloaded for a test). The code of face-alignment runs in any case, on a stand-in network that puts
a fixed face into every crop that shows something.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from gridprep.landmarks import registry, weights
from gridprep.landmarks.base import LandmarkBackend
from gridprep.synth.geometry import portrait
from manifests.errors import MissingDependency
from manifests.records import POINT_NAMES

STAND_IN = "face-alignment (stand-in network)"


def portrait_clip(n_frames: int) -> np.ndarray:
    """(T, 288, 360, 3): a public-domain portrait in GRID's size that drifts a little."""
    picture = cv2.resize(portrait().image, (288, 288), interpolation=cv2.INTER_AREA)
    picture = cv2.copyMakeBorder(picture, 0, 0, 36, 36, cv2.BORDER_REPLICATE)
    moves = [np.float32([[1, 0, 0.8 * t], [0, 1, 0.4 * t]]) for t in range(n_frames)]
    return np.stack([cv2.warpAffine(picture, m, (360, 288)) for m in moves])


def grey_clip(n_frames: int) -> np.ndarray:
    return np.full((n_frames, 288, 360, 3), 128, np.uint8)


def template() -> np.ndarray:
    """(68, 2) a frontal face in heat-map cells: iBUG's order, seen as the viewer sees it."""
    jaw = [(32 - 15 * np.cos(a), 32 + 16 * np.sin(a)) for a in np.linspace(0, np.pi, 17)]
    brows = [(x, 22) for x in (19, 21, 23, 25, 27, 37, 39, 41, 43, 45)]
    nose = [(32, y) for y in (26, 29, 32, 35)] + [(x, 37) for x in (28, 30, 32, 34, 36)]
    right_eye = [(21, 27), (23, 26), (25, 26), (27, 27), (25, 28), (23, 28)]
    left_eye = [(37, 27), (39, 26), (41, 26), (43, 27), (41, 28), (39, 28)]
    outer = [(24, 42), (26, 40), (29, 39), (32, 39.5), (35, 39), (38, 40), (40, 42)]
    outer += [(38, 44), (35, 45), (32, 45.5), (29, 45), (26, 44)]
    inner = [(25, 42), (29, 41), (32, 41), (35, 41), (39, 42), (35, 43), (32, 43), (29, 43)]
    return np.array(jaw + brows + nose + right_eye + left_eye + outer + inner)


class StandInDetector:
    reference_scale = 195

    def detect_from_image(self, frame: np.ndarray) -> list[list[float]]:
        height, width = frame.shape[:2]
        if frame.std() < 1:
            return []
        return [[width * 0.3, height * 0.2, width * 0.75, height * 0.8, 0.9]]


def stand_in_net(crops: Any) -> Any:
    import torch

    x, y = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="xy")
    points = torch.from_numpy(template()).float()
    maps = torch.exp(-((x - points[:, :1, None]) ** 2 + (y - points[:, 1:, None]) ** 2) / 4)
    shows = (crops.std((1, 2, 3)) > 0.02).float()
    return maps[None] * shows[:, None, None, None]


def make(name: str) -> LandmarkBackend:
    if name == STAND_IN:
        pytest.importorskip("face_alignment")
        from gridprep.landmarks.face_alignment import FaceAlignmentBackend

        return FaceAlignmentBackend(fan=stand_in_net, detector=StandInDetector())
    return registry.create(name)


@pytest.fixture(scope="module", params=[*registry.names(), STAND_IN])
def backend(request: pytest.FixtureRequest) -> Iterator[LandmarkBackend]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "_download", lambda file, target: "tests do not download")
        try:
            made = make(request.param)
        except MissingDependency as error:
            pytest.skip(str(error))
    yield made
    made.close()
    made.close()  # harmless a second time


def test_shapes_types_and_names(backend: LandmarkBackend) -> None:
    found = backend.detect(portrait_clip(6))
    assert found.names == POINT_NAMES
    assert found.points_px.shape == (6, len(POINT_NAMES), 2)
    assert found.points_px.dtype == np.float32
    assert found.found.shape == (6,)
    assert found.found.dtype == np.bool_
    assert found.faces.shape == (6,)
    assert found.faces.dtype == np.int16
    assert found.choice in ("only", "tracked", "central_largest")
    assert found.backend == f"{backend.name} {backend.version}"
    assert found.found.all()
    assert (found.faces >= 1).all()


def test_points_are_inside_the_frame_and_in_anatomical_order(backend: LandmarkBackend) -> None:
    points = backend.detect(portrait_clip(3)).points_px[1]
    at = dict(zip(POINT_NAMES, points, strict=True))
    seen = points[~np.isnan(points).any(1)]
    assert (seen >= 0).all()
    assert (seen <= [360, 288]).all()
    eyes = ["right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer"]
    assert (np.diff([at[name][0] for name in eyes]) > 0).all()
    down = ["nose_bridge", "nose_base", "lip_top_outer", "lip_bottom_outer", "chin"]
    assert (np.diff([at[name][1] for name in down]) > 0).all()
    assert at["mouth_right"][0] < at["lip_top_outer"][0] < at["mouth_left"][0]
    assert at["jaw_right"][0] < at["mouth_right"][0]
    assert at["mouth_left"][0] < at["jaw_left"][0]
    for side in ("right", "left"):
        assert at[f"lip_upper_{side}"][1] < at[f"lip_lower_{side}"][1]


def test_no_face_is_nan_and_not_found(backend: LandmarkBackend) -> None:
    found = backend.detect(grey_clip(5))
    assert not found.found.any()
    assert np.isnan(found.points_px).all()
    assert (found.faces == 0).all()


def test_face_that_comes_late(backend: LandmarkBackend) -> None:
    clip = np.concatenate([grey_clip(4), portrait_clip(4)])
    found = backend.detect(clip)
    assert not found.found[:4].any()
    assert np.isnan(found.points_px[:4]).all()
    assert found.found[4:].all()


def test_every_kth_frame_and_the_last(backend: LandmarkBackend) -> None:
    still = np.repeat(portrait_clip(1), 12, axis=0)
    found = backend.detect(still, every=5)
    assert np.flatnonzero(found.found).tolist() == [0, 5, 10, 11]
    assert np.isnan(found.points_px[~found.found]).all()


def test_what_moves_may_be_looked_at_more_often(backend: LandmarkBackend) -> None:
    found = backend.detect(portrait_clip(12), every=5)
    assert {0, 5, 10, 11} <= set(np.flatnonzero(found.found).tolist())
    assert np.isnan(found.points_px[~found.found]).all()


def test_same_clip_same_points_whatever_came_before(backend: LandmarkBackend) -> None:
    clip = portrait_clip(5)
    first = backend.detect(clip)
    backend.detect(portrait_clip(3)[:, ::-1, ::-1].copy())
    backend.detect(grey_clip(3))
    again = backend.detect(clip)
    assert np.array_equal(first.points_px, again.points_px, equal_nan=True)
    assert np.array_equal(first.found, again.found)
    assert first.choice == again.choice


def test_frames_are_left_as_they_were(backend: LandmarkBackend) -> None:
    clip = portrait_clip(3)
    before = clip.copy()
    clip.setflags(write=False)
    backend.detect(clip)
    assert np.array_equal(clip, before)


def test_no_frames_at_all(backend: LandmarkBackend) -> None:
    assert backend.detect(np.zeros((0, 288, 360, 3), np.uint8)).points_px.shape == (0, 20, 2)
