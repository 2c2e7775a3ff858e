"""What is said where the means of a table are over different clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evaluation.inputs.pairs import read_run
from evaluation.metrics.base import get_metric
from evaluation.reporting.uneven import on_shared_clips
from evaluation.scoring.run import ScoredRun
from manifests.records import Score

INFOS = [get_metric(name).info for name in ("stoi", "mcd", "level_dbfs")]


def scored(root: Path, values: dict[str, list[float | None]]) -> ScoredRun:
    run = read_run(root)
    scores = {}
    for metric, column in values.items():
        for clip, value in zip(run.clips, column, strict=True):
            status = "failed" if value is None else "ok"
            scores[clip.label, metric] = Score(clip.speaker, clip.stem, metric, value, status)
    return ScoredRun(run, scores, 0)


def test_systems_are_told_on_the_clips_that_all_have(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    """B fails on the two clips that are hard for A, and looks better by it."""
    a = scored(
        make_run(tmp_path / "a", name="A"),
        {"stoi": [0.9, 0.8, 0.1, 0.1], "mcd": [4, 5, 6, 7], "level_dbfs": [-20, -20, -20, -20]},
    )  # fmt: skip
    b = scored(
        make_run(tmp_path / "b", name="B"),
        {"stoi": [0.7, 0.6, None, None], "mcd": [5, 6, 7, 8], "level_dbfs": [-20, -20, None, -20]},
    )  # fmt: skip
    (told,) = on_shared_clips([a, b], INFOS)
    assert "on the 2 clips of which all systems have it: STOI A 0.850, B 0.650." in told
    assert "MCD" not in told, "which all have of all clips"
    assert "Level" not in told, "which ranks nothing"
    assert on_shared_clips([a], INFOS) == []


def test_systems_without_any_score_or_any_shared_clip(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    columns = {
        "A": [0.9, 0.8, None, None], "B": [None, None, 0.3, 0.4], "C": [None, None, None, None],
    }  # fmt: skip
    a, b, c = (
        scored(make_run(tmp_path / name, name=name), {"stoi": values})
        for name, values in columns.items()
    )
    assert on_shared_clips([a, b], INFOS) == [
        "The systems have no clip in common with a score: STOI."
    ]
    assert on_shared_clips([a, c], INFOS) == [], "C has none, so nothing is compared"
