"""The default backend on a photograph put into pictures of its own: small, turned, several, covered.

What any backend promises is in `tests/contracts/test_contract_landmarks.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from gridprep.landmarks import blazeface
from gridprep.landmarks.base import checked_who, choose_face, nearest_face, require_upright
from gridprep.landmarks.facemesh import AWAY_FRAMES, FacemeshBackend
from manifests.errors import BadInput, ClipError, MissingDependency
from manifests.records import POINT_NAMES

Pictures = NDArray[np.uint8]

FACE_SHARE = 0.34
"""Height of the face, brow to chin, in heights of `portrait`."""


def portrait() -> Pictures:
    """(230, 230, 3) head and shoulders, a public-domain photograph."""
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut()[:230, 110:340])


def scene(size: tuple[int, int], *placed: tuple[float, float, float]) -> Pictures:
    """(H, W, 3) a wall with portraits: x, y of the corner and side, each in pixels."""
    width, height = size
    wall = np.random.default_rng(0).integers(90, 110, (height // 8, width // 8, 3), np.uint8)
    out = cv2.resize(wall, size, interpolation=cv2.INTER_LINEAR)
    for x, y, side in placed:
        small = cv2.resize(portrait(), (round(side), round(side)), interpolation=cv2.INTER_AREA)
        out[round(y) : round(y) + round(side), round(x) : round(x) + round(side)] = small
    return np.asarray(out, np.uint8)


def made(**options: str) -> FacemeshBackend:
    try:
        return FacemeshBackend(options=options)
    except MissingDependency as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def backend() -> Iterator[FacemeshBackend]:
    found = made()
    yield found
    found.close()


@pytest.fixture(scope="module")
def truth(backend: FacemeshBackend) -> NDArray[np.float64]:
    """(20, 2) points of the portrait, in shares of its side."""
    found = backend.detect(scene((460, 460), (0, 0, 460))[None])
    assert found.found.all()
    return (found.points_px[0].astype(np.float64) + 0.5) / 460


@pytest.mark.parametrize("share", [0.05, 0.08, 0.15, 0.3])
@pytest.mark.parametrize("at", [(0.02, 0.05), (0.5, 0.4), (0.93, 0.9)])
def test_small_faces_are_found_wherever_they_are(
    backend: FacemeshBackend, truth: NDArray[np.float64], share: float, at: tuple[float, float]
) -> None:
    side = 1080 * share / FACE_SHARE
    x, y = at[0] * (1920 - side), at[1] * (1080 - side)
    picture = scene((1920, 1080), (x, y, side))
    found = backend.detect(np.stack([picture] * 3))
    assert found.found.all()
    assert (found.faces == 1).all()
    expected = (x, y) + truth * side - 0.5
    off_px = np.linalg.norm(found.points_px[1] - expected, axis=1).mean()
    assert off_px < 0.05 * FACE_SHARE * side + 1


def test_plain_frames_and_walls_have_no_face(backend: FacemeshBackend) -> None:
    wall = np.stack([scene((640, 360))] * 9)
    noise = np.random.default_rng(1).integers(0, 255, (9, 288, 360, 3), np.uint8)
    for clip in (wall, noise, np.full((9, 288, 360, 3), 128, np.uint8)):
        found = backend.detect(clip)
        assert not found.found.any()
        assert (found.faces == 0).all()


@pytest.mark.parametrize("angle", [-35, 35])
def test_a_head_that_is_tilted(backend: FacemeshBackend, angle: float) -> None:
    picture = scene((460, 460), (0, 0, 460))
    turn = cv2.getRotationMatrix2D((230.0, 230.0), angle, 1.0)
    upright = backend.detect(picture[None]).points_px[0]
    tilted = backend.detect(
        cv2.warpAffine(picture, turn, (460, 460), borderMode=cv2.BORDER_REPLICATE)[None]
    )
    assert tilted.found.all()
    expected = upright @ turn[:, :2].T + turn[:, 2]
    assert np.linalg.norm(tilted.points_px[0] - expected, axis=1).mean() < 4


THREE = ((20, 60, 150), (220, 30, 240), (480, 70, 140))


@pytest.mark.parametrize(
    ("who", "kept", "choice"),
    [
        ("", 1, "central_largest"),
        ("largest", 1, "largest"),
        ("left", 0, "left"),
        ("right", 2, "right"),
        ("1", 0, "1"),
        ("2", 1, "2"),
        ("3", 2, "3"),
    ],
)
def test_one_of_several_faces_is_chosen_and_kept(who: str, kept: int, choice: str) -> None:
    backend = made(who=who)
    found = backend.detect(np.stack([scene((640, 360), *THREE)] * 4))
    backend.close()
    assert found.found.all()
    # At a glance only the largest one is seen; who is asked for is looked for among all.
    assert found.faces[0] == (3 if who else 1)
    assert found.choice == (choice if who else "only")
    x, _, side = THREE[kept]
    nose = found.points_px[:, POINT_NAMES.index("nose_tip"), 0]
    assert (nose > x).all()
    assert (nose < x + side).all()


def test_a_face_that_is_not_there_is_said_so() -> None:
    backend = made(who="4")
    with pytest.raises(ClipError, match="no face number 4, at most 3 in a frame"):
        backend.detect(np.stack([scene((640, 360), *THREE)] * 3))
    assert not backend.detect(np.full((3, 288, 360, 3), 128, np.uint8)).found.any()
    backend.close()


@pytest.mark.parametrize("who", ["0", "-1", "nobody", "1.5", "²"])
def test_an_unknown_choice_is_one_line(who: str) -> None:
    with pytest.raises(BadInput, match="left, right, largest, or 1, 2"):
        checked_who(who)


def test_nobody_else_is_taken_for_the_one_who_turned_away() -> None:
    backend = made(who="left")
    both, alone = scene((640, 360), *THREE[:2]), scene((640, 360), THREE[1])
    short = backend.detect(np.stack([both] * 3 + [alone] * 5 + [both] * 3))
    assert short.found.tolist() == [True] * 3 + [False] * 5 + [True] * 3
    left = short.points_px[short.found][:, POINT_NAMES.index("nose_tip"), 0]
    assert (left < 170).all()
    # Whoever stays away that long has left, and the clip is about who is still there.
    gone = backend.detect(np.stack([both] * 2 + [alone] * (AWAY_FRAMES + 4)))
    assert not gone.found[2 : AWAY_FRAMES + 1].any()
    assert gone.found[-1]
    backend.close()


def test_a_small_face_that_was_lost_is_found_again(backend: FacemeshBackend) -> None:
    side = 60 / FACE_SHARE
    here, moved = scene((1920, 1080), (900, 500, side)), scene((1920, 1080), (960, 520, side))
    away = scene((1920, 1080))
    found = backend.detect(np.stack([here] * 2 + [away] * 3 + [moved] * 2))
    assert found.found.tolist() == [True] * 2 + [False] * 3 + [True] * 2


def test_both_runtimes_give_the_same_points() -> None:
    pytest.importorskip("ai_edge_litert")
    clip = np.stack([scene((360, 288), (40 + 2 * t, 20 + t, 250)) for t in range(8)])
    points = []
    for runtime in ("litert", "opencv"):
        backend = made(runtime=runtime)
        points.append(backend.detect(clip).points_px)
        backend.close()
    assert np.abs(points[0] - points[1]).max() < 0.1


def test_the_version_names_the_models_and_what_ran_them() -> None:
    assert made(runtime="opencv").version == "1/opencv/bbff11cebd/1055cb9d4a"
    assert made().version in (f"1/{name}/bbff11cebd/1055cb9d4a" for name in ("litert", "opencv"))
    with pytest.raises(BadInput, match="unknown runtime 'tpu'; choose from auto, litert, opencv"):
        made(runtime="tpu")


def test_without_litert_opencv_runs_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    backend = made()
    assert "/opencv/" in backend.version
    assert backend.detect(scene((360, 288), (40, 20, 250))[None]).found.all()
    with pytest.raises(MissingDependency, match="LiteRT cannot be imported"):
        FacemeshBackend(options={"runtime": "litert"})


def test_standard_error_stays_clean(capfd: pytest.CaptureFixture[str]) -> None:
    made().close()
    assert capfd.readouterr().err == ""


# -- the detector's parts ---------------------------------------------------------------------------


def test_tiles_hold_every_small_face_whole() -> None:
    rng = np.random.default_rng(0)
    for height, width in ((1080, 1920), (1920, 1080), (720, 720), (288, 360)):
        for tiles in blazeface.levels(height, width):
            side = tiles[0][2]
            face = side * (1 - blazeface.TILE_STEP)
            for x, y in rng.uniform((0, 0), (width - face, height - face), (200, 2)):
                assert any(
                    a - 1e-6 <= x and x + face <= a + side + 1e-6
                    and b - 1e-6 <= y and y + face <= b + side + 1e-6
                    for a, b, side in tiles
                )  # fmt: skip


def test_levels_end_where_landmarks_would_be_blind() -> None:
    assert [tiles[0][2] for tiles in blazeface.levels(288, 360)] == pytest.approx(
        [360 / 2, 360 / 3.5]
    )
    assert blazeface.levels(100, 120) == []


def test_overlapping_boxes_are_one_face_weighted_by_score() -> None:
    points = np.zeros(12)
    rows = np.array(
        [
            [12, 10, 32, 30, *points, 0.6],
            [10, 10, 30, 30, *points, 0.9],
            [100, 100, 120, 120, *points, 0.7],
        ]
    )
    merged = blazeface._merged(rows)
    assert merged[:, -1].tolist() == [0.9, 0.7]
    assert merged[0, 0] == pytest.approx((12 * 0.6 + 10 * 0.9) / 1.5)
    assert blazeface._merged(rows[:0]).shape == (0, 17)


def test_choice_prefers_the_nearest_face_of_before() -> None:
    boxes = np.array([[0, 0, 20, 20], [40, 0, 60, 20], [70, 0, 130, 60]], np.float64)
    before = np.array([44, 0, 64, 20], np.float64)
    assert choose_face(boxes, (100, 200), before, "left") == (1, "tracked")
    assert choose_face(boxes, (100, 200), None, "left") == (0, "left")
    assert choose_face(boxes[:1], (100, 200), None, "right") == (0, "only")
    assert nearest_face(boxes, before + 500) is None


def test_a_head_that_stands_on_its_head_is_told(backend: FacemeshBackend) -> None:
    upright = scene((360, 288), (40, 20, 250))
    for picture, least, most in ((upright, 5, 99), (upright[::-1].copy(), -99, -5)):
        margin = backend.upright_margin(picture)
        assert margin is not None
        assert least < margin < most
    assert backend.upright_margin(np.full((288, 360, 3), 128, np.uint8)) is None


def test_a_clip_that_is_surely_upright_is_not_asked_again(
    backend: FacemeshBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = np.stack([scene((360, 288), (40, 20, 250))] * 8)
    asked: list[int] = []
    margin = backend.upright_margin

    def counted(picture: np.ndarray) -> float | None:
        asked.append(1)
        return margin(picture)

    monkeypatch.setattr(backend, "upright_margin", counted)
    for frames, refused in ((clip, False), (clip[:, ::-1].copy(), True)):
        asked.clear()
        found = backend.detect(frames, 1)
        assert found.certainty is not None
        known = found.certainty[np.isfinite(found.certainty)]
        assert len(known) >= 3
        assert (np.median(known) < backend.upright_from) == refused
        if refused:
            with pytest.raises(ClipError, match="upside down"):
                require_upright(backend, found, frames)
        else:
            require_upright(backend, found, frames)
        assert len(asked) == 2 * refused
