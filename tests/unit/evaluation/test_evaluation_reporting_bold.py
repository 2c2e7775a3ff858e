"""Bold is a claim: who may make it, on which clips, and on what evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.inputs.pairs import RunDir
from evaluation.metrics.base import MetricInfo
from evaluation.reporting import bold
from evaluation.reporting.bold import best_runs, floor_mean, kind_of
from evaluation.scoring.run import ScoredRun
from manifests.records import RunClip, RunInfo, Score

N = 24
HIGH = MetricInfo("stoi", "STOI", "", "higher", "d", "c")
LOW = MetricInfo("wer", "WER", "%", "lower", "d", "c", has_floor=True)
EER = MetricInfo("eer", "EER", "%", "lower", "d", "c", pool="eer")
SPEAKERS = [f"s{1 + k % 8}" for k in range(N)]
LABELS = [f"{speaker}/c{k}" for k, speaker in enumerate(SPEAKERS)]


def system(
    name: str,
    values: Sequence[float | None],
    kind: str = "model",
    metric: str = "stoi",
    **parameters: Any,
) -> ScoredRun:
    clips = [RunClip(s, f"c{k}", "a b", "female", f"{k}.wav") for k, s in enumerate(SPEAKERS)]
    info = RunInfo(name, kind, "small", "test", 16_000, N, parameters=parameters)
    scores = {
        (label, metric): Score(
            speaker, label.split("/")[1], metric, value, "failed" if value is None else "ok"
        )
        for label, speaker, value in zip(LABELS, SPEAKERS, values, strict=True)
    }
    return ScoredRun(RunDir(Path(name), info, tuple(clips)), scores, 0)


def winner(*systems: ScoredRun, info: MetricInfo = HIGH, floor: float | None = None) -> int | None:
    (found,) = best_runs(
        systems, [info], LABELS, SPEAKERS, [floor],
        method="bootstrap", n_resamples=400, confidence=0.95, seed=0,
    )  # fmt: skip
    return found


def around(mean: float, spread: float = 0.05, seed: int = 0) -> list[float | None]:
    return [float(v) for v in mean + spread * np.random.default_rng(seed).standard_normal(N)]


def test_the_best_of_the_models() -> None:
    good, poor = system("Good", around(0.8)), system("Poor", around(0.6, seed=1))
    assert winner(poor, good) == 1
    assert winner(good, poor, system("Worst", around(0.2, seed=2))) == 0
    assert winner(good, poor, info=replace(HIGH, direction="lower")) == 1
    assert winner(good, poor, info=replace(HIGH, direction="none")) is None
    assert winner(good) is None
    how = {"method": "t", "n_resamples": 100, "confidence": 0.95, "seed": 0}
    assert best_runs([good, poor], [], LABELS, SPEAKERS, [], **how) == []
    assert best_runs([good, poor], [HIGH], [], [], [None], **how) == [None]


@pytest.mark.parametrize("kind", ["control", "resynthesis", "recording"])
def test_only_models_compete(kind: str) -> None:
    best = system("Best", around(0.99), kind)
    good, poor = system("Good", around(0.8)), system("Poor", around(0.6, seed=1))
    assert winner(best, good, poor) == 1
    assert winner(best, good) is None


def test_a_run_of_shuffled_lips_is_a_control_whatever_it_was_written_as() -> None:
    old = system("Old", around(0.99), shuffled_lips=True)
    assert kind_of(old) == "control"
    assert kind_of(system("Other", around(0.9), shuffled_lips=False)) == "model"
    good, poor = system("Good", around(0.8)), system("Poor", around(0.6, seed=1))
    assert winner(old, good, poor) == 1


def test_what_may_be_chance_is_not_bold() -> None:
    values = around(0.8)
    noise = np.random.default_rng(3).standard_normal(N)
    close = [float(v + 0.001 + 0.05 * e) for v, e in zip(values, noise, strict=True) if v]
    assert winner(system("A", values), system("B", close)) is None


def test_failures_never_help() -> None:
    """The second system fails on its hard half; over the clips of both, the first is better."""
    hard = [k % 2 == 0 for k in range(N)]
    first = [0.5 if h else 0.9 for h in hard]
    second = [None if h else 0.85 for h in hard]
    assert np.mean(first) < 0.85
    assert winner(system("First", first), system("Second", second)) == 0
    lost = system("Lost", [None] * (N - 3) + [0.99] * 3)
    assert winner(system("Good", around(0.8)), lost) is None, "three clips are no evidence"


def test_nothing_is_bold_above_its_floor() -> None:
    good, poor = system("Good", around(5.0), metric="wer"), system("P", around(9.0), metric="wer")
    assert winner(good, poor, info=LOW, floor=4.0) == 0
    assert winner(good, poor, info=LOW, floor=6.0) is None


def test_a_floor_is_the_mean_over_these_recordings() -> None:
    scored = system("A", [float(k) for k in range(N)], metric="wer_floor")
    assert floor_mean([scored], LOW, set(LABELS)) == np.mean(range(N))
    assert floor_mean([scored, scored], LOW, set(LABELS[:3])) == 1.0
    assert floor_mean([scored], HIGH, set(LABELS)) is None
    assert floor_mean([scored], LOW, set()) is None


def test_pooled_metrics_are_pooled_before_they_are_compared() -> None:
    def trials(name: str, own: float) -> ScoredRun:
        item = system(name, [0.0] * N, metric="eer")
        rng = np.random.default_rng(5)
        scores = {
            place: replace(
                score,
                details={
                    "own": own + 0.1 * rng.standard_normal(),
                    "others": list(0.3 + 0.1 * rng.standard_normal(7)),
                },
            )
            for place, score in item.scores.items()
        }
        return replace(item, scores=scores)

    assert winner(trials("Alike", 0.3), trials("Apart", 0.8), info=EER) == 1


def test_the_network_that_errs_less_on_the_corpus_decides_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = (
        MetricInfo(name, name, "", "higher", "d", "c")
        for name in ("speaker_similarity", "ge2e_similarity")
    )
    how: dict[str, Any] = {
        "method": "bootstrap", "n_resamples": 400, "confidence": 0.95, "seed": 0,
    }  # fmt: skip
    runs = []
    for name, mean in (("Good", 0.8), ("Poor", 0.6)):
        one, other = (system(name, around(mean), metric=info.name) for info in (ours, theirs))
        runs.append(replace(one, scores={**one.scores, **other.scores}))
    assert best_runs(runs, [theirs, ours], LABELS, SPEAKERS, [None, None], **how) == [0, None]
    assert best_runs(runs, [ours], LABELS, SPEAKERS, [None], **how) == [0]
    monkeypatch.setattr(bold, "of_synthgrid", lambda run: True)
    assert best_runs(runs, [theirs, ours], LABELS, SPEAKERS, [None, None], **how) == [None, 0]


def test_the_report_says_it(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    from evaluation.metrics.base import get_metric
    from evaluation.reporting.tables import TableOptions, caption, system_tables

    good, poor = system("Good", around(0.8)), system("Poor", around(0.6, seed=1))
    (table,) = system_tables([good, poor], [get_metric("stoi")], TableOptions())
    assert [row.cells[0].best for row in table.rows] == [True, False]
    assert any("on the clips that all of them have" in text for text in caption(table))
