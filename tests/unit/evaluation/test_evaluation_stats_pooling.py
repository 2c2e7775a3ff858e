"""Numbers of a set that are no mean over its clips."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.metrics import equal_error_rate
from evaluation.stats import intervals as statistics
from evaluation.stats.pooling import POOLS, equal_error_rates, repool
from manifests.records import Score

HOW = {"method": "bootstrap", "n_resamples": 400, "confidence": 0.95, "seed": 0}


def eer(own: list[float], others: list[list[float]], counts: list[int] | None = None) -> float:
    cosines = [[o, *rest] for o, rest in zip(own, others, strict=True)]
    clip = np.repeat(np.arange(len(cosines)), [len(c) for c in cosines])
    target = np.concatenate([np.arange(len(c)) == 0 for c in cosines])
    drawn = np.array([counts or [1] * len(own)], dtype=float)
    return float(equal_error_rates(np.concatenate(cosines), clip, target, drawn)[0])


def voice(own: float, others: list[float], speaker: str = "s1") -> Score:
    details = {"own": own, "others": others}
    return Score(speaker, "bbaf2n", "speaker_eer", 0.0, "ok", details=details)


def gender(right: bool, expected: str) -> Score:
    details = {"expected": expected}
    return Score("s1", "bbaf2n", "gender_agreement", 100.0 * right, "ok", details=details)


def test_equal_error_rate_of_scores() -> None:
    assert equal_error_rate([0.9, 0.8, 0.7, 0.3], [0.1, 0.2, 0.25, 0.5]) == pytest.approx(25)
    assert equal_error_rate(np.full(6, 0.5), np.full((6, 2), 0.5)) == pytest.approx(50)
    for own, others in (([], [0.1]), ([0.1], []), ([np.nan], [0.1])):
        with pytest.raises(ValueError, match="finite scores"):
            equal_error_rate(own, others)


def test_known_equal_error_rates() -> None:
    assert eer([0.9, 0.8], [[0.1], [0.2]]) == pytest.approx(0)
    assert eer([0.1, 0.2], [[0.9], [0.8]]) == pytest.approx(100)
    # One target of four is under one impostor of four: a quarter either way.
    assert eer([0.9, 0.8, 0.7, 0.3], [[0.1], [0.2], [0.25], [0.5]]) == pytest.approx(25)


def test_alike_everywhere_is_chance() -> None:
    assert eer([0.5] * 6, [[0.5, 0.5]] * 6) == pytest.approx(50)


def test_agrees_with_the_curve_of_scikit_learn() -> None:
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(0)
    own, others = rng.normal(1, 1, 300), rng.normal(0, 1, (300, 4))
    truth = np.r_[np.ones(300), np.zeros(1200)]
    accepted, found, _ = roc_curve(truth, np.r_[own, others.ravel()], drop_intermediate=False)
    nearest = np.argmin(np.abs(1 - found - accepted))
    theirs = 50 * (1 - found[nearest] + accepted[nearest])
    ours = eer(list(own), [list(row) for row in others])
    assert ours == pytest.approx(theirs, abs=0.2)
    assert ours == pytest.approx(100 * 0.3085, abs=2.5), "Φ(−1/2): two normals one σ apart"


def test_a_clip_counted_twice_is_there_twice() -> None:
    own, others = [0.9, 0.3, 0.6], [[0.1, 0.4], [0.2, 0.5], [0.3, 0.7]]
    twice = eer([0.9, 0.3, 0.3, 0.6], [[0.1, 0.4], [0.2, 0.5], [0.2, 0.5], [0.3, 0.7]])
    assert eer(own, others, [1, 2, 1]) == pytest.approx(twice)
    assert eer(own, others, [1, 0, 1]) == pytest.approx(eer([0.9, 0.6], [others[0], others[2]]))


def every_threshold(cosines: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """The equal error rate by looking at every threshold in turn."""
    before = (0.0, 1.0)
    for threshold in np.unique(cosines):
        under = weight * (cosines <= threshold)
        missed = under[target].sum() / weight[target].sum()
        accepted = 1 - under[~target].sum() / weight[~target].sum()
        if missed >= accepted:
            low, high = before[0] - before[1], missed - accepted
            return 100 * float(before[0] - low / (high - low) * (missed - before[0]))
        before = (missed, accepted)
    raise AssertionError("at the last threshold everything is missed")


def test_the_rate_is_that_of_a_look_at_every_threshold() -> None:
    rng = np.random.default_rng(3)
    seen = 0
    for digits in (1, 2, 8):  # of which the first makes many equal cosines
        clip = np.repeat(np.arange(12), 4)
        cosines = np.round(rng.normal(size=48), digits)
        target = rng.random(48) < 0.3
        counts = rng.integers(0, 3, (30, 12)).astype(float)
        found = equal_error_rates(cosines, clip, target, counts)
        for row, rate in zip(counts, found, strict=True):
            weight = row[clip]
            if weight[target].sum() and weight[~target].sum():
                assert rate == pytest.approx(every_threshold(cosines, target, weight), abs=1e-9)
                seen += 1
            else:
                assert math.isnan(rate)
    assert seen > 60


def test_a_draw_without_trials_has_no_rate() -> None:
    assert math.isnan(eer([0.9, 0.1], [[], []]))


def test_balanced_counts_both_genders_alike() -> None:
    scores = [gender(True, "male")] * 9 + [gender(False, "female")]
    estimate = POOLS["balanced"](scores)
    assert estimate(np.ones((1, 10)))[0] == pytest.approx(50), "and not 90"
    only_men = np.array([[1.0] * 9 + [0.0]])
    assert estimate(only_men)[0] == pytest.approx(100), "where there are no women, the men's"


@pytest.mark.parametrize("method", statistics.METHODS)
def test_columns_are_replaced_and_failures_left_out(method: str) -> None:
    rng = np.random.default_rng(1)
    scores: list[Score | None] = [
        voice(float(rng.normal(0.6, 0.2)), list(rng.normal(0.3, 0.2, 3)), f"s{i % 5}")
        for i in range(60)
    ]
    speakers = [f"s{i % 5}" for i in range(62)]
    failed = Score("s1", "x", "speaker_eer", None, "failed", "silent: x")
    values = np.r_[np.zeros((60, 2)), np.full((2, 2), np.nan)]
    values[:, 0] = np.r_[np.arange(60.0), np.nan, np.nan]
    how = HOW | {"method": method}
    plain = statistics.intervals(values, speakers, **how)  # type: ignore[arg-type]
    found = repool(plain, {1: ("eer", [*scores, failed, None])}, speakers, **how)  # type: ignore[arg-type]
    assert (found.mean[0], found.low[0], found.high[0]) == (
        plain.mean[0], plain.low[0], plain.high[0],
    )  # fmt: skip
    alone = POOLS["eer"](scores)(np.ones((1, 60)))[0]
    assert found.mean[1] == pytest.approx(alone)
    assert 0 <= found.low[1] < alone < found.high[1] < 50
    assert list(found.n) == [60, 60]


def test_one_clip_has_no_interval_and_none_has_no_number() -> None:
    values = np.array([[0.0, np.nan]])
    plain = statistics.intervals(values, ["s1"])
    found = repool(
        plain,
        {0: ("eer", [voice(0.9, [0.1])]), 1: ("eer", [None])},
        ["s1"],
        method="bootstrap",
        n_resamples=10,
        confidence=0.95,
        seed=0,
    )
    assert found.mean[0] == 0
    assert np.isnan([found.low[0], found.high[0], found.mean[1]]).all()


def test_what_is_undefined_in_every_redrawn_set_has_no_interval() -> None:
    """The correlation over speakers of a picture that is the same for all, as the mean face."""
    speakers = ["s1", "s2", "s3", "s4"] * 3
    scores = [
        Score(
            speaker,
            f"clip{i}",
            "face_law_f0",
            0.0,
            "ok",
            details={"speaker": speaker, "said": 5.0, "true": float(speaker[1:])},
        )
        for i, speaker in enumerate(speakers)
    ]
    found = statistics.intervals(np.zeros((12, 1)), speakers, np.ones((12, 1)), **HOW)
    pooled = repool(found, {0: ("speaker_correlation", scores)}, speakers, **HOW)
    assert math.isnan(pooled.mean[0])
    assert math.isnan(pooled.low[0])
    assert math.isnan(pooled.high[0])
