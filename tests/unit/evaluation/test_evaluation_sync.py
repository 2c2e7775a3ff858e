"""Lips against sound without a network: where the lips are found, and what the estimate says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluation_builds import loud_and_open, mouthy, write_build, write_run_on
from numpy.typing import NDArray

from evaluation.inputs import build_files
from evaluation.inputs.build_files import landmark_points
from evaluation.inputs.pairs import RunDir, Unscorable, read_run
from evaluation.metrics.base import select
from evaluation.scoring.run import ScoredRun, score_runs
from evaluation.scoring.settings import read_settings
from manifests.records import POINT_NAMES

Make = Callable[..., NDArray[np.float64]]
CLIPS = ("s1/bbaf2n", "s1/lgbf6s", "s2/swbvzs")
METRICS = ["av_offset", "av_correlation"]


@pytest.fixture
def sounds(make_sound: Make) -> dict[str, NDArray[np.float64]]:
    return {clip: make_sound(k + 1, 3.0) for k, clip in enumerate(CLIPS)}


def score(run: RunDir) -> ScoredRun:
    metrics, absent = select(METRICS)
    assert not absent
    (found,) = score_runs([run], metrics, progress=False)
    return found


def values(found: ScoredRun, metric: str) -> list[float]:
    scores = [found.scores[clip, metric] for clip in CLIPS]
    assert all(s.status == "ok" for s in scores), scores[0].reason
    return [s.value for s in scores if s.value is not None]


def test_moved_speech_is_found_where_it_lies(tmp_path: Path, sounds: dict[str, NDArray]) -> None:
    build = write_build(tmp_path / "build", sounds, every=2)
    late = {clip: np.roll(sound, 3 * 640) for clip, sound in sounds.items()}
    run = write_run_on(tmp_path / "run", build, late)
    found = score(read_run(run))
    assert values(found, "av_offset") == pytest.approx([3, 3, 3], abs=0.5)
    assert min(values(found, "av_correlation")) > 0.7
    assert values(found, "av_offset_floor") == pytest.approx([0, 0, 0], abs=0.5)
    details = found.scores[CLIPS[0], "av_offset"].details
    assert details["confident"] is True
    assert details["correlation"] == pytest.approx(values(found, "av_correlation")[0], abs=1e-3)
    assert details["margin"] > 0.15


def test_other_speech_moves_less_with_the_lips(tmp_path: Path, sounds: dict[str, NDArray]) -> None:
    build = write_build(tmp_path / "build", sounds)
    rng = np.random.default_rng(0)
    noise = {clip: 0.1 * rng.standard_normal(48_000) for clip in CLIPS}
    worst = score(read_run(write_run_on(tmp_path / "noise", build, noise)))
    right = score(read_run(write_run_on(tmp_path / "right", build, sounds)))
    means = [float(np.mean(values(found, "av_correlation"))) for found in (worst, right)]
    assert means[0] < 0.35 < 0.7 < means[1]


def test_without_a_build_it_says_so(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    run = read_run(make_run(tmp_path / "run"))
    assert not build_files.has_landmarks(run)
    metrics, _ = select(METRICS)
    (found,) = score_runs([run], metrics, progress=False)
    reasons = {s.reason for s in found.scores.values() if s.metric == "av_offset"}
    assert reasons == {
        "no_build: the recording lies in no build of gridprep, so no picture is known"
    }


def test_a_build_without_landmarks_or_without_the_clip(
    tmp_path: Path, sounds: dict[str, NDArray]
) -> None:
    build = write_build(tmp_path / "build", sounds)
    run = read_run(write_run_on(tmp_path / "run", build, sounds))
    assert build_files.has_landmarks(run)
    first, second, third = run.clips
    (build / "landmarks" / "s1" / "bbaf2n.npz").unlink()
    with pytest.raises(Unscorable, match="no_landmarks: build holds no landmarks of this clip"):
        build_files.artifact(run.reference(first), first, "landmarks")
    (build / "landmarks" / "s1" / "lgbf6s.npz").write_bytes(b"PK")
    with pytest.raises(Unscorable, match=r"no_landmarks: .*lgbf6s\.npz cannot be read"):
        landmark_points(build_files.artifact(run.reference(second), second, "landmarks"))
    stranger = type(third)(**{**third.to_dict(), "stem": "pwij3p"})
    with pytest.raises(Unscorable, match="no_build: build has no row of this clip"):
        build_files.row_of(run.reference(third), stranger)


def test_a_landmark_file_that_comes_later_is_looked_at(
    tmp_path: Path, sounds: dict[str, NDArray]
) -> None:
    build = write_build(tmp_path / "build", sounds)
    run = read_run(write_run_on(tmp_path / "run", build, sounds))
    path = build / "landmarks" / "s1" / "bbaf2n.npz"
    content = path.read_bytes()
    path.unlink()
    assert score(run).scores[CLIPS[0], "av_offset"].reason.startswith("no_landmarks")
    path.write_bytes(content)
    again = score(run)
    assert again.scores[CLIPS[0], "av_offset"].status == "ok"
    assert again.n_new == 4, "one clip, both measures and their floors"
    assert score(run).n_new == 0


def test_settings_want_them_where_there_are_landmarks(
    tmp_path: Path, sounds: dict[str, NDArray], make_run: Callable[..., Path]
) -> None:
    build = write_build(tmp_path / "build", sounds)
    with_build = read_run(write_run_on(tmp_path / "run", build, sounds))
    without = read_run(make_run(tmp_path / "other"))
    options = {
        "recognizer": "none", "recognizer_path": None, "nisqa_weights": None,
        "any_nisqa_weights": False,
    }  # fmt: skip
    for runs, wanted in (([with_build], True), ([without], False), ([without, with_build], True)):
        metrics, _ = select(None, read_settings(runs, **options))
        assert ("av_offset" in {m.info.name for m in metrics}) is wanted


def test_gaps_are_closed(tmp_path: Path) -> None:
    opening = 6 + 5 * np.sin(np.arange(75) / 4)
    points = mouthy(opening)
    gappy = points.copy()
    gappy[1::2] = np.nan
    gappy[70:] = np.nan
    gappy[:, POINT_NAMES.index("jaw_left")] = np.nan
    np.savez(tmp_path / "l.npz", points_px=gappy, names=np.array(POINT_NAMES))
    found = landmark_points(tmp_path / "l.npz")
    k = POINT_NAMES.index("lip_bottom_outer")
    assert np.abs(found[:68, k] - points[:68, k]).max() < 0.3
    assert found[74, k] == pytest.approx(found[68, k])
    assert np.isnan(found[:, POINT_NAMES.index("jaw_left")]).all()
    np.savez(
        tmp_path / "n.npz", points_px=np.full((75, 20, 2), np.nan), names=np.array(POINT_NAMES)
    )
    with pytest.raises(Unscorable, match="holds no face"):
        landmark_points(tmp_path / "n.npz")


def test_points_in_another_order_are_taken_by_name(tmp_path: Path) -> None:
    points = mouthy(loud_and_open(np.random.default_rng(0).standard_normal(48_000)))
    order = np.random.default_rng(1).permutation(20)
    np.savez(tmp_path / "l.npz", points_px=points[:, order], names=np.array(POINT_NAMES)[order])
    assert landmark_points(tmp_path / "l.npz") == pytest.approx(points, abs=1e-4)
