"""The geometry of crops: on points and pictures whose pose is known."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from gridprep.features import crops
from gridprep.features.crops import FACE_BOX_384, Track, mean_face, similarity, track
from manifests.errors import ClipError
from manifests.records import LIP_POINTS, POINT_NAMES, STABLE_POINTS, Landmarks
from manifests.specs import CropSpec, LandmarkSpec

EVERY_FRAME = LandmarkSpec(every=1)
STEADY = LandmarkSpec(every=1, smooth_sigma_frames=0)
SPEC = CropSpec()
STABLE = [POINT_NAMES.index(name) for name in STABLE_POINTS]
LIPS = [POINT_NAMES.index(name) for name in LIP_POINTS]
NOT_STABLE = [i for i, name in enumerate(POINT_NAMES) if name not in STABLE_POINTS]


def pose(scale: float, degrees: float, x_px: float, y_px: float) -> np.ndarray:
    """(2, 3) similarity."""
    a, b = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[a, -b, x_px], [b, a, y_px]])


def place(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def found_everywhere(points_px: np.ndarray) -> Landmarks:
    n = len(points_px)
    return Landmarks(
        points_px.astype(np.float32), np.ones(n, np.bool_), np.ones(n, np.int16), "test 1"
    )


def head(n_frames: int = 75, scale: float = 0.6, moving: bool = True) -> np.ndarray:
    """(T, N, 2) the mean face in source pixels, nodding, turning and coming nearer."""
    face = mean_face().points_px.astype(np.float64)
    t = np.arange(n_frames) if moving else np.zeros(n_frames)
    return np.stack(
        [
            place(
                pose(scale * (1 + 0.05 * np.sin(k / 15)), 4 * np.sin(k / 20), 60 + k / 8, 50), face
            )
            for k in t
        ]
    )


def test_similarity_recovers_known_transforms() -> None:
    target = mean_face().points_px[STABLE].astype(np.float64)
    poses = [
        pose(0.6, 12, 80, 33),
        pose(1.7, -45, -20, 400),
        pose(1, 0, 0, 0),
        pose(0.2, 170, 5, 5),
    ]
    sources = np.stack([place(matrix, target) for matrix in poses])
    back = similarity(sources, target)
    assert back.shape == (4, 2, 3)
    for matrix, inverse in zip(poses, back, strict=True):
        both = np.vstack([matrix, [0, 0, 1]]) @ np.vstack([inverse, [0, 0, 1]])
        assert both == pytest.approx(np.eye(3), abs=1e-9)


def test_similarity_is_the_least_squares_one() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(6, 2)) * 50
    source = target + rng.normal(size=(6, 2)) * 5

    def error(matrix: np.ndarray) -> float:
        return float(((place(matrix, source) - target) ** 2).sum())

    best = similarity(source[None], target)[0]
    assert best[0, 0] == pytest.approx(best[1, 1])
    assert best[0, 1] == pytest.approx(-best[1, 0])
    for _ in range(200):
        nudge = pose(1 + rng.normal() * 0.01, rng.normal() * 0.5, *rng.normal(size=2) * 0.5)
        moved = (np.vstack([nudge, [0, 0, 1]]) @ np.vstack([best, [0, 0, 1]]))[:2]
        assert error(moved) >= error(best)


def test_the_warp_brings_the_head_onto_the_mean_face() -> None:
    points = head()
    geometry = track(found_everywhere(points), STEADY, SPEC)
    warped = crops.apply_warps(geometry.warps, points)
    assert warped[:, STABLE] == pytest.approx(
        np.broadcast_to(mean_face().points_px[STABLE], warped[:, STABLE].shape), abs=1e-2
    )
    # Smoothing lets a head that moves slowly lag by a pixel of the reference at most.
    smoothed = track(found_everywhere(points), EVERY_FRAME, SPEC)
    warped = crops.apply_warps(smoothed.warps, points)
    assert np.abs(warped[12:-12, STABLE] - mean_face().points_px[STABLE]).max() < 1.0


def test_a_moving_mouth_does_not_move_the_warp() -> None:
    still = head()
    talking = still.copy()
    rng = np.random.default_rng(1)
    talking[:, NOT_STABLE] += rng.normal(scale=6, size=talking[:, NOT_STABLE].shape)
    a = track(found_everywhere(still), EVERY_FRAME, SPEC)
    b = track(found_everywhere(talking), EVERY_FRAME, SPEC)
    assert (a.warps == b.warps).all()
    assert a.jitter_px == b.jitter_px
    assert np.abs(a.lip_centers_px - b.lip_centers_px).max() > 0.5  # but the lip crop follows it


def test_the_lip_crop_is_centered_on_the_mouth() -> None:
    points = head()
    points[:, LIPS, 1] += 3 * np.sin(np.arange(75) / 3)[:, None]  # the jaw goes up and down
    geometry = track(found_everywhere(points), EVERY_FRAME, SPEC)
    for i in range(75):
        matrix = crops.lip_matrices(geometry, SPEC)[i]
        mouth = place(matrix, points[i, LIPS]).mean(0)
        assert mouth == pytest.approx([SPEC.lips_px / 2] * 2, abs=2)
    exact = track(found_everywhere(points), EVERY_FRAME, replace(SPEC, mouth_sigma_frames=0))
    mouth = place(crops.lip_matrices(exact, SPEC)[40], points[40, LIPS]).mean(0)
    assert mouth == pytest.approx([72, 72], abs=1e-4)


@pytest.mark.parametrize("scale", [0.85, 1.35, 1.7, 2.4])
@pytest.mark.parametrize("corner_px", [(-40.0, 20.0), (150.0, 120.0), (310.0, 230.0)])
def test_an_enlarged_crop_is_a_cubic_warp(scale: float, corner_px: tuple[float, float]) -> None:
    rng = np.random.default_rng(4)
    noise = rng.uniform(0, 255, (288, 360, 3)).astype(np.float32)
    picture = np.clip(cv2.GaussianBlur(noise, (0, 0), 1.5) * 3 - 250, 0, 255).astype(np.uint8)
    matrix = pose(scale, 7, 0, 0)
    matrix[:, 2] = -matrix[:, :2] @ np.array(corner_px)
    exact = cv2.warpAffine(
        picture, matrix, (144, 144), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    off = np.abs(crops.cut(picture, matrix, 144).astype(int) - exact)
    assert (off <= 2).mean() > 0.95  # the rest lies along the picture's border
    assert off.mean() < 0.9
    outside = pose(1.7, 0, 5000, 5000)
    assert (crops.cut(picture, outside, 144) == picture[0, 0]).all()


@pytest.mark.parametrize("scale", [0.2, 0.9, 1.7])
def test_a_crop_is_put_where_it_is_wanted(scale: float) -> None:
    """Reduced, warped and enlarged: into the given memory, and the same as without it."""
    picture = np.random.default_rng(1).integers(0, 256, (200, 240, 3)).astype(np.uint8)
    matrix = np.array([[scale, 0.02, 3.3], [-0.02, scale, -2.7]])
    crops_ = np.zeros((3, 96, 96, 3), np.uint8)
    crops.cuts(picture, [(matrix, 96, crops_[1])])
    np.testing.assert_array_equal(crops_[1], crops.cut(picture, matrix, 96))
    assert crops_[1].std() > 5
    assert not crops_[[0, 2]].any()


def test_pictures_agree_with_the_geometry() -> None:
    # A bright dot on the chin and one on the mouth's center, found again in the crops.
    points = head(6)
    frames = np.full((6, 288, 360, 3), 40, np.uint8)
    mouth = points[:, LIPS].mean(1)
    for frame, (x, y) in zip(frames, mouth, strict=True):
        at = (round(x * 16), round(y * 16))
        cv2.circle(frame, at, 3 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
    geometry = track(found_everywhere(points), STEADY, replace(SPEC, mouth_sigma_frames=0))
    cut = crops.crop_clip(frames, geometry, replace(SPEC, face_every=2))
    assert cut.lips.shape == (6, 144, 144, 3)
    assert cut.lips_border_px == 0
    y, x = np.mgrid[0:144, 0:144]
    for crop in cut.lips[..., 0].astype(float) - 40:
        assert (crop * x).sum() / crop.sum() == pytest.approx(72, abs=0.6)
        assert (crop * y).sum() / crop.sum() == pytest.approx(72, abs=0.6)
    assert cut.stills.shape == (3, 160, 160, 3)
    zoom = 160 / FACE_BOX_384[2]
    expected = (mean_face().points_px[LIPS].mean(0) - FACE_BOX_384[:2]) * zoom + 80
    y, x = np.mgrid[0:160, 0:160]
    for crop in cut.stills[..., 0].astype(float) - 40:
        assert (crop * x).sum() / crop.sum() == pytest.approx(expected[0], abs=1)
        assert (crop * y).sum() / crop.sum() == pytest.approx(expected[1], abs=1)


@pytest.mark.parametrize("side_px", [288, 384])
def test_the_field_of_view_scales_with_the_reference(side_px: int) -> None:
    assert mean_face(side_px).points_px == pytest.approx(
        mean_face().points_px * side_px / 384, abs=1e-3
    )
    lips_px = 144 * side_px // 384
    spec = replace(SPEC, reference_px=side_px, lips_px=lips_px)
    points = head(3)
    geometry = track(found_everywhere(points), STEADY, spec)
    reference = track(found_everywhere(points), STEADY, SPEC)
    for i in range(3):
        assert crops.corners_px(crops.lip_matrices(geometry, spec)[i], lips_px) == pytest.approx(
            crops.corners_px(crops.lip_matrices(reference, SPEC)[i], 144), abs=1e-3
        )
        assert crops.corners_px(crops.face_matrices(geometry, spec)[i], 160) == pytest.approx(
            crops.corners_px(crops.face_matrices(reference, SPEC)[i], 160), abs=1e-3
        )


def test_corners_go_round_the_square() -> None:
    corners = crops.corners_px(pose(2, 0, -100, -60), 144)
    assert corners == pytest.approx(np.array([[50, 30], [122, 30], [122, 102], [50, 102]]))


@pytest.mark.parametrize(
    ("x_px", "y_px", "expected_px"),
    [(0, 0, 0.0), (-7, 0, 7.0), (0, -11.5, 11.5), (79, 0, 7.0), (0, 40, 4.0), (-3, 37, 3.0)],
)
def test_overhang_is_measured_in_source_pixels(
    x_px: float, y_px: float, expected_px: float
) -> None:
    # A crop of 72 × 72 source pixels (144 at scale 2) in a picture of 144 × 108.
    matrix = pose(2, 0, 0, 0)
    matrix[:, 2] = -2 * np.array([x_px, y_px])
    still = np.repeat(matrix[None], 4, axis=0)
    centers = np.full((4, 2), 72.0)
    geometry = Track(np.zeros((4, 20, 2), np.float32), still, centers, centers, 0, 1.0, 0.0)
    cut = crops.crop_clip(np.zeros((4, 108, 144, 3), np.uint8), geometry, SPEC)
    assert cut.lips_border_px == pytest.approx(expected_px, abs=1e-9)


def test_beyond_the_border_its_pixels_repeat() -> None:
    frames = np.full((1, 288, 360, 3), 90, np.uint8)
    frames[:, :, 0] = (200, 10, 30)
    points = head(1) - [110, 0]
    geometry = track(found_everywhere(points), STEADY, SPEC)
    cut = crops.crop_clip(frames, geometry, SPEC)
    assert cut.face_border_px > 5
    assert cut.stills[0, 80, 0] == pytest.approx([200, 10, 30], abs=1)  # and no black


def test_gaps_are_filled_and_counted() -> None:
    points = head(moving=True)
    landmarks = found_everywhere(points)
    gap = slice(30, 36)
    landmarks.points_px[gap] = np.nan
    landmarks.found[gap] = False
    geometry = track(landmarks, EVERY_FRAME, SPEC)
    assert geometry.interpolated_frames == 6
    assert geometry.found_share == pytest.approx(69 / 75)
    assert np.isfinite(geometry.points_px).all()
    assert np.abs(geometry.points_px - points).max() < 0.5
    assert (geometry.points_px[:30] == landmarks.points_px[:30]).all()


def test_skipped_frames_are_no_gaps() -> None:
    points = head()
    landmarks = found_everywhere(points)
    skipped = np.ones(75, np.bool_)
    skipped[::2] = False
    landmarks.points_px[skipped] = np.nan
    landmarks.found[skipped] = False
    geometry = track(landmarks, LandmarkSpec(every=2), SPEC)
    assert geometry.interpolated_frames == 0
    assert geometry.found_share == 1
    assert np.abs(geometry.points_px - points).max() < 0.1
    # A frame that was looked at in vain is one.
    landmarks.points_px[40], landmarks.found[40] = np.nan, False
    assert track(landmarks, LandmarkSpec(every=2), SPEC).interpolated_frames == 1


def test_a_found_frame_with_missing_points_is_a_gap() -> None:
    landmarks = found_everywhere(head())
    landmarks.points_px[10, POINT_NAMES.index("nose_base")] = np.nan
    landmarks.points_px[20, POINT_NAMES.index("mouth_left")] = np.nan
    landmarks.points_px[30, POINT_NAMES.index("chin")] = np.nan  # no crop needs it
    assert track(landmarks, EVERY_FRAME, SPEC).interpolated_frames == 2


def test_a_point_that_a_backend_lacks_stays_unknown() -> None:
    points = head()
    points[:, POINT_NAMES.index("chin")] = np.nan
    points[40:45, POINT_NAMES.index("jaw_left")] = np.nan
    landmarks = found_everywhere(points)
    landmarks.points_px[20], landmarks.found[20] = np.nan, False
    geometry = track(landmarks, EVERY_FRAME, SPEC)
    unknown = np.isnan(geometry.points_px).any((0, 2))
    assert [POINT_NAMES[i] for i in np.flatnonzero(unknown)] == ["chin"]
    assert geometry.interpolated_frames == 1
    truth = head()[:, POINT_NAMES.index("jaw_left")]
    assert np.abs(geometry.points_px[:, POINT_NAMES.index("jaw_left")] - truth).max() < 0.5


def test_edges_are_copied() -> None:
    points = head()
    landmarks = found_everywhere(points)
    for edge in (slice(0, 4), slice(70, 75)):
        landmarks.points_px[edge] = np.nan
        landmarks.found[edge] = False
    geometry = track(landmarks, EVERY_FRAME, SPEC)
    assert (geometry.points_px[:4] == landmarks.points_px[4]).all()
    assert (geometry.points_px[70:] == landmarks.points_px[69]).all()
    assert geometry.interpolated_frames == 9


def test_one_known_frame_stands_for_all() -> None:
    points = head(5).astype(np.float32)
    filled = crops.fill_gaps(points, np.array([False, False, True, False, False]))
    assert (filled == points[2]).all()


def test_filling_does_not_overshoot() -> None:
    steps = np.zeros((12, 1, 2), np.float32)
    steps[6:] = 10
    found = np.ones(12, np.bool_)
    found[[4, 5, 6, 7]] = False
    filled = crops.fill_gaps(steps, found)
    assert filled.min() >= 0
    assert filled.max() <= 10
    assert (np.diff(filled[:, 0, 0]) >= 0).all()


def test_time_runs_both_ways() -> None:
    rng = np.random.default_rng(2)
    points = head() + rng.normal(scale=0.8, size=(75, len(POINT_NAMES), 2))
    landmarks = found_everywhere(points)
    for i in (12, 13, 50):
        landmarks.points_px[i], landmarks.found[i] = np.nan, False
    there = track(landmarks, EVERY_FRAME, SPEC)
    mirrored = Landmarks(
        landmarks.points_px[::-1], landmarks.found[::-1], landmarks.faces[::-1], "test 1"
    )
    back = track(mirrored, EVERY_FRAME, SPEC)
    assert back.warps[::-1] == pytest.approx(there.warps, abs=1e-4)
    assert back.lip_centers_px[::-1] == pytest.approx(there.lip_centers_px, abs=1e-3)
    assert back.jitter_px == there.jitter_px
    assert back.interpolated_frames == there.interpolated_frames == 3


def test_smoothing_keeps_what_is_constant_and_calms_what_trembles() -> None:
    rng = np.random.default_rng(3)
    trembling = head(moving=False) + rng.normal(scale=1.0, size=(75, len(POINT_NAMES), 2))
    calm = track(found_everywhere(trembling), EVERY_FRAME, SPEC)
    raw = track(found_everywhere(trembling), STEADY, SPEC)
    assert np.diff(calm.warps, axis=0).std() < 0.2 * np.diff(raw.warps, axis=0).std()
    constant = np.full((9, 2), 4.0)
    assert crops.smooth(constant, 3.5) == pytest.approx(constant)
    assert (crops.smooth(np.arange(5.0), 0) == np.arange(5.0)).all()


def test_jitter_is_that_of_the_stable_points() -> None:
    points = head(moving=False)
    assert track(found_everywhere(points), EVERY_FRAME, SPEC).jitter_px == 0
    points[1::2, STABLE, 0] += 0.5
    # Second differences of ±0.5 are ±1 in x and 0 in y.
    assert track(found_everywhere(points), EVERY_FRAME, SPEC).jitter_px == pytest.approx(
        0.5, abs=1e-3
    )


@pytest.mark.parametrize(
    ("n_found", "reason"), [(0, "no_face"), (37, "face_lost"), (38, "")], ids=str
)
def test_too_few_faces_are_a_failure(n_found: int, reason: str) -> None:
    landmarks = found_everywhere(head())
    landmarks.points_px[n_found:], landmarks.found[n_found:] = np.nan, False
    if not reason:
        assert track(landmarks, EVERY_FRAME, SPEC).interpolated_frames == 75 - n_found
        return
    with pytest.raises(ClipError) as caught:
        track(landmarks, EVERY_FRAME, SPEC)
    assert (caught.value.stage, caught.value.reason) == ("align", reason)
    assert caught.value.evidence == {"found_frames": n_found, "looked_frames": 75}


def test_mouth_opening_is_the_gap_of_the_inner_lips() -> None:
    points = np.zeros((2, len(POINT_NAMES), 2), np.float32)
    points[:, POINT_NAMES.index("lip_top_inner")] = (50, 80)
    points[:, POINT_NAMES.index("lip_bottom_inner")] = [(50, 80), (53, 84)]
    assert crops.mouth_opening_px(points).tolist() == [0.0, 5.0]


def test_the_mean_face_is_symmetric_and_where_it_says() -> None:
    face = dict(zip(POINT_NAMES, mean_face().points_px, strict=True))
    for name, point in face.items():
        if name.startswith("right_") or name.endswith("_right"):
            other = face[name.replace("right", "left")]
            assert point[0] + other[0] == pytest.approx(384, abs=0.05), name
            assert point[1] == pytest.approx(other[1], abs=0.05), name
    eyes = [
        (face[f"{side}_eye_outer"] + face[f"{side}_eye_inner"]) / 2 for side in ("right", "left")
    ]
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(81.5, abs=0.2)
    assert np.mean([face[name] for name in LIP_POINTS], axis=0) == pytest.approx([192, 237], abs=1)
