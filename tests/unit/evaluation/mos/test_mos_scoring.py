"""From simulated listeners, whose true opinions are known, to scores, verdicts and the report."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.inputs.pairs import RunDir
from evaluation.mos.records import Key
from evaluation.mos.results import Imported, Rejection, read_results
from evaluation.mos.scoring import (
    ConditionScore,
    ScoreOptions,
    TestScore,
    require_scores,
    score_test,
)
from evaluation.mos.screening import Rules
from evaluation.mos.writers import markdown_text, write_scores
from manifests.errors import BadInput, TooManyFailures

QUALITY = {
    "Alpha": 3.7, "Beta": 2.4, "Recording": 4.5, "Low anchor": 1.3, "Other speaker": 1.4,
    "Other gender": 1.2,
}  # fmt: skip
FAST = ScoreOptions(n_resamples=200)
EVERYTHING = ScoreOptions(Rules(*[None] * 7), n_resamples=200)
HOSTILE = "=cmd|'/c calc'!A1 </td><script>alert(1)</script>|`*"


@pytest.fixture(scope="module")
def key(many_runs: list[RunDir], make_key: Callable[..., Key]) -> Key:
    return make_key(many_runs, n_speakers=4, clips_per_speaker=10, subjects=16)


@pytest.fixture(scope="module")
def pair_key(runs: list[RunDir], make_key: Callable[..., Key]) -> Key:
    parts = ("mos", "smos_speaker", "smos_gender")
    return make_key(runs, parts=parts, clips_per_speaker=3, subjects=8, repeats=2)


@pytest.fixture
def everyone(tmp_path: Path, key: Key, listeners: Any) -> Imported:
    return read_results(listeners(QUALITY).write(tmp_path / "results", key), key)


def row(score: TestScore, name: str, part: str = "mos") -> ConditionScore:
    (found,) = [p for p in score.parts if p.part == part]
    return next(condition for condition in found.conditions if condition.name == name)


def test_known_means_come_back(key: Key, everyone: Imported, listeners: Any) -> None:
    score = score_test(key, everyone, FAST)
    assert score.n_accepted == 16, [v.reasons for v in score.verdicts]
    truth = listeners(QUALITY)
    for name in ("Alpha", "Beta", "Recording", "Low anchor"):
        found = row(score, name)
        assert (found.n_ratings, found.n_subjects, found.n_clips) == (160, 16, 40)
        assert sum(found.counts) == 160
        assert found.rating.mean == pytest.approx(truth.expected(name), abs=0.2)
        for interval in (found.rating.t, found.rating.bootstrap):
            assert interval
            assert interval[0] < found.rating.mean < interval[1]
            assert interval[1] - interval[0] < 0.7
    part = score.parts[0]
    assert [(c.first, c.second) for c in part.comparisons] == [
        ("Alpha", "Beta"), ("Alpha", "Recording"), ("Beta", "Recording"),
    ], "the anchor is no rival"  # fmt: skip
    for comparison in part.comparisons:
        assert comparison.n == 16
        assert comparison.p_holm is not None
        assert comparison.p_holm < 0.01
    assert part.alpha is not None
    assert 0.6 < part.alpha < 0.9
    assert part.intraclass is None, "not everybody heard everything"


def test_intervals_cover_the_truth(key: Key, listeners: Any) -> None:
    """The t interval over subjects holds the true mean in about 95 % of many tests."""
    truth = listeners(QUALITY).expected("Alpha")
    hits, n = 0, 40
    for seed in range(n):
        group = listeners(QUALITY, seed)
        rng_free = {
            s: {a["trial"]: a for a in group.answers(key, s)} for s in ("S01", "S05", "S09", "S13")
        }
        imported = _imported(key, rng_free)
        interval = row(score_test(key, imported, EVERYTHING), "Alpha").rating.t
        assert interval
        hits += interval[0] <= truth <= interval[1]
    assert hits >= 34


def _imported(key: Key, answers: dict[str, dict[str, dict[str, Any]]]) -> Imported:
    from evaluation.mos.results import Answer

    trials = {trial.trial: trial for trial in key.trials}
    return Imported(
        {
            subject: {
                name: Answer(trials[name], given["rating"], 4.0, "x")
                for name, given in mine.items()
            }
            for subject, mine in answers.items()
        },
        (),
        {},
    )


def test_only_first_ratings_count(key: Key, everyone: Imported) -> None:
    changed = {
        subject: {
            name: answer
            if answer.trial.role == "rating"
            else type(answer)(answer.trial, 1, answer.seconds, answer.file)
            for name, answer in mine.items()
        }
        for subject, mine in everyone.answers.items()
    }
    honest = score_test(key, everyone, EVERYTHING)
    other = score_test(key, Imported(changed, (), {}), EVERYTHING)
    assert honest.parts == other.parts, "practice, traps, golds and repeats are not averaged in"


def test_normalizing_takes_out_the_listener(key: Key, everyone: Imported) -> None:
    score = score_test(key, everyone, FAST)
    zs: dict[str, list[float]] = {}
    for rating in score.ratings:
        assert rating.z is not None
        zs.setdefault(rating.answer.trial.subject, []).append(rating.z)
    for values in zs.values():
        assert np.mean(values) == pytest.approx(0, abs=1e-12)
        assert np.std(values, ddof=1) == pytest.approx(1)
    means = [row(score, name).normalized.mean or 0 for name in ("Recording", "Alpha", "Beta")]
    assert means == sorted(means, reverse=True)
    assert sum(row(score, c.name).normalized.mean or 0 for c in score.parts[0].conditions) == (
        pytest.approx(0, abs=1e-9)
    )


Change = Callable[[dict[str, Any], Any], None]


def retrap(answer: dict[str, Any], trial: Any) -> None:
    if trial.role == "trap":
        answer["rating"] = answer["rating"] % 5 + 1


def regold(answer: dict[str, Any], trial: Any) -> None:
    if trial.role == "gold":
        answer["rating"] = 3


def unplug(answer: dict[str, Any], trial: Any) -> None:
    if trial.role == "headphones":
        answer["rating"] = answer["rating"] % 3 + 1


def bore(answer: dict[str, Any], trial: Any) -> None:
    if trial.role in ("rating", "repeat", "practice"):
        answer["rating"] = 3


def guess(answer: dict[str, Any], trial: Any) -> None:
    if trial.role == "rating":
        answer["rating"] = 1 + int(trial.trial[1:], 16) % 5


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (retrap, ["traps: 2 of 2 failed"]),
        (regold, ["golds: 2 of 2 out of range"]),
        (unplug, ["headphones: 0 of 6 tones right"]),
        (bore, ["same: 100% of the ratings of a part are the same"]),
        (guess, ["correlation:"]),
    ],
)
def test_careless_listeners_are_left_out_whole(
    tmp_path: Path,
    key: Key,
    listeners: Any,
    save_result: Callable[..., Path],
    change: Change,
    reasons: list[str],
) -> None:
    group = listeners(QUALITY)
    paths = group.write(tmp_path, key)
    trials = {trial.trial: trial for trial in key.trials}
    answers = json.loads(paths[4].read_text())["answers"]
    for answer in answers:
        change(answer, trials[answer["trial"]])
    save_result(paths[4], key, "S05", answers)
    score = score_test(key, read_results(paths, key), FAST)
    (verdict,) = [v for v in score.verdicts if v.reasons]
    assert verdict.subject == "S05"
    assert [r for r in verdict.reasons if r.startswith(reasons[0])]
    assert score.n_accepted == 15
    found = row(score, "Alpha")
    assert (found.n_ratings, found.n_rejected, found.n_subjects) == (150, 10, 15)
    assert "S05" not in {r.answer.trial.subject for r in score.ratings if r.accepted}
    kept = score_test(key, read_results(paths, key), EVERYTHING)
    assert kept.n_accepted == 16, "each rule can be switched off"


def test_inconsistent_and_unfinished_listeners(
    tmp_path: Path, key: Key, listeners: Any, save_result: Callable[..., Path]
) -> None:
    group = listeners(QUALITY)
    paths = group.write(tmp_path, key)
    trials = {trial.trial: trial for trial in key.trials}
    answers = json.loads(paths[0].read_text())["answers"]
    given = {a["trial"]: a["rating"] for a in answers}
    for answer in answers:
        original = trials[answer["trial"]].repeats
        if original:
            answer["rating"] = 1 if given[original] >= 3 else 5
    save_result(paths[0], key, "S01", answers)
    half = json.loads(paths[1].read_text())["answers"]
    save_result(paths[1], key, "S02", half[: len(half) // 2])
    verdicts = score_test(key, read_results(paths, key), FAST).verdicts
    assert verdicts[0].reasons[0].startswith("repeats: ratings differ by ")
    assert verdicts[1].reasons[0].startswith("incomplete: 29 of 58 trials")
    assert not any(v.reasons for v in verdicts[2:])


def test_nobody_left(tmp_path: Path, key: Key, listeners: Any) -> None:
    paths = listeners(QUALITY).write(tmp_path, key, ["S01"])
    strict = ScoreOptions(Rules(max_same_share=0.0))
    nobody = score_test(key, read_results(paths, key), strict)
    assert {c.n_ratings for part in nobody.parts for c in part.conditions} == {0}
    assert {c.rating.mean for part in nobody.parts for c in part.conditions} == {None}
    assert "S01: same: " in markdown_text(nobody), "who was left out, and why, can be read"
    with pytest.raises(TooManyFailures, match="every subject is rejected: S01 same:"):
        require_scores(nobody)
    nothing = score_test(key, Imported({}, (Rejection("a.csv", "", "", "is empty"),), {}), FAST)
    assert "| a.csv |  |  | is empty |" in markdown_text(nothing)
    with pytest.raises(BadInput, match=r"no answer of test 0123456789 was found \(is empty\)"):
        require_scores(nothing)
    with pytest.raises(BadInput, match="min_complete is 2; choose 0 to 1"):
        score_test(key, read_results(paths, key), ScoreOptions(Rules(min_complete=2)))


def test_one_listener_has_scores_without_intervals(
    tmp_path: Path, key: Key, listeners: Any
) -> None:
    paths = listeners(QUALITY).write(tmp_path, key, ["S03"])
    score = score_test(key, read_results(paths, key), FAST)
    found = row(score, "Alpha")
    assert found.rating.mean is not None
    assert score.parts[0].alpha is None
    assert score.parts[0].comparisons[0].p is None
    assert "| Alpha |" in markdown_text(score)


def test_full_design_has_intraclass_correlations(
    runs: list[RunDir], make_key: Callable[..., Key], tmp_path: Path, listeners: Any
) -> None:
    key = make_key(runs, clips_per_speaker=2, subjects=6, blocks=0, practice=0)
    score = score_test(key, read_results(listeners(QUALITY).write(tmp_path, key), key), EVERYTHING)
    part = score.parts[0]
    assert part.intraclass
    assert (part.intraclass.n_raters, part.intraclass.n_units) == (6, 8 * 4)
    assert 0.5 < part.intraclass.single < part.intraclass.average < 1
    over_items = ScoreOptions(Rules(*[None] * 7), unit="items", test="t", n_resamples=200)
    found = score_test(key, read_results(sorted(tmp_path.iterdir()), key), over_items)
    assert {c.n for c in found.parts[0].comparisons} == {8}


def test_pairs_and_the_share_of_the_same_gender(
    tmp_path: Path, pair_key: Key, listeners: Any
) -> None:
    paths = listeners(QUALITY).write(tmp_path, pair_key)
    score = score_test(pair_key, read_results(paths, pair_key), EVERYTHING)
    assert [part.part for part in score.parts] == ["mos", "smos_speaker", "smos_gender"]
    found = row(score, "Alpha", "smos_gender")
    assert found.share
    assert found.share.mean == pytest.approx(100 * sum(found.counts[3:]) / found.n_ratings)
    assert row(score, "Alpha", "smos_speaker").share is None
    assert [c.name for c in score.parts[1].conditions][-1] == "Other speaker"


def test_files(tmp_path: Path, pair_key: Key, listeners: Any) -> None:
    paths = listeners(QUALITY).write(tmp_path / "in", pair_key)
    (tmp_path / "in" / "bad.json").write_text("{")
    everything = [*paths, tmp_path / "in" / "bad.json"]
    score = score_test(pair_key, read_results(everything, pair_key), FAST)
    made = write_scores(score, tmp_path / "out")
    assert [p.name for p in made] == ["mos.json", "mos.csv", "ratings.csv", "mos.md"]
    values = json.loads(made[0].read_text())
    assert values["subjects"] == {"designed": 8, "received": 8, "accepted": score.n_accepted}
    assert values["rejections"][0]["reason"] == "is no JSON"
    found = row(score, "Beta")
    (line,) = [
        r
        for r in csv.DictReader(made[1].read_text().splitlines())
        if (r["part"], r["system"], r["value"]) == ("mos", "Beta", "rating")
    ]
    assert float(line["mean"]) == pytest.approx(found.rating.mean, abs=1e-5)
    ratings = list(csv.DictReader(made[2].read_text().splitlines()))
    assert len(ratings) == 8 * 3 * 12
    assert {r["system"] for r in ratings} == set(QUALITY)
    text = made[3].read_text()
    for word in (
        "## MOS", "## SMOS (speaker)", "## SMOS (gender)", "Same gender (%)", "Krippendorff's α",
        "Wilcoxon's signed-rank test", "Holm", "## Rejected answers and files (1)", "| bad.json |",
    ):  # fmt: skip
        assert word in text
    before = [p.read_bytes() for p in made]
    write_scores(score, tmp_path / "out")
    assert before == [p.read_bytes() for p in made]


def test_hostile_texts_stay_texts(
    tmp_path: Path,
    make_runs: Callable[..., list[Path]],
    make_key: Callable[..., Key],
    listeners: Any,
    save_result: Callable[..., Path],
) -> None:
    from evaluation.inputs.pairs import read_run

    runs = [read_run(p) for p in make_runs(tmp_path / "r", (HOSTILE, "@Beta"))]
    key = make_key(runs, clips_per_speaker=3, subjects=5, repeats=2, title=HOSTILE)
    quality = {**QUALITY, HOSTILE: 3.5, "@Beta": 2.0}
    group = listeners(quality)
    paths = group.write(tmp_path / "in", key, ["S01", "S02", "S03", "S04"])
    answers = group.answers(key, "S05")
    answers[7]["rating"] = HOSTILE
    answers[8]["trial"] = HOSTILE
    paths.append(
        save_result(tmp_path / "in" / f"{'=x'}.json", key, "S05", answers, comment=HOSTILE)
    )
    score = score_test(key, read_results(paths, key), EVERYTHING)
    made = write_scores(score, tmp_path / "out")
    for path in made[1:3]:
        cells = [cell for r in csv.reader(path.read_text().splitlines()) for cell in r]
        bad = [c for c in cells if c[:1] in "=+@\t" and c]
        assert not bad
        assert f"'{HOSTILE}" in cells
    text = made[3].read_text()
    assert "<script" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert tables
    for line in tables:
        assert "`*" not in line.replace(r"\`\*", "")
