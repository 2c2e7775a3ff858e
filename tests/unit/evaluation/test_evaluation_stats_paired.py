"""Paired differences: against another bootstrap, against known worlds, and in bad cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from confidence_intervals import evaluate_with_conf_int
from scipy import stats

from evaluation.stats import intervals as statistics
from evaluation.stats.paired import paired_means
from evaluation.stats.paired_pools import repool
from manifests.records import Score


def column(values: object) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)[:, None]


def world(rng: np.random.Generator, n: int = 60, gain: float = 0.0) -> tuple[np.ndarray, ...]:
    hard = rng.normal(0, 1, n)
    a = hard + rng.normal(0, 0.3, n)
    return a, hard + gain + rng.normal(0, 0.3, n)


def test_what_is_hard_for_both_cancels() -> None:
    rng = np.random.default_rng(0)
    a, b = world(rng, gain=0.25)
    ones = np.ones((60, 1))
    found = paired_means(column(a), column(b), ["s1"] * 60, ones, ones, seed=3)
    assert found.difference[0] == pytest.approx((b - a).mean())
    assert found.low[0] > 0
    assert found.p[0] < 0.01
    alone = statistics.intervals(np.c_[a, b], ["s1"] * 60)
    assert alone.low[1] < alone.high[0], "unpaired intervals overlap widely"
    assert found.effect[0] == pytest.approx((b - a).mean() / (b - a).std(ddof=1))
    assert found.larger[0] == pytest.approx((b > a).mean())
    assert found.larger[0] + found.smaller[0] == pytest.approx(1)


def test_interval_is_that_of_confidence_intervals() -> None:
    rng = np.random.default_rng(1)
    a, b = world(rng, gain=0.1)
    ones = np.ones((60, 1))
    ours = paired_means(column(a), column(b), ["s1"] * 60, ones, ones)
    center, (low, high) = evaluate_with_conf_int(
        np.c_[a, b], lambda s: float((s[:, 1] - s[:, 0]).mean()), num_bootstraps=2000
    )
    width = high - low
    assert ours.difference[0] == pytest.approx(center)
    assert ours.low[0] == pytest.approx(low, abs=0.08 * width)
    assert ours.high[0] == pytest.approx(high, abs=0.08 * width)


def test_interval_over_speakers_is_that_of_confidence_intervals() -> None:
    """It repeats a speaker's one draw of clips where ours draws anew, so its intervals are wider by what
    the clips add: little here, where speakers differ more than clips."""
    rng = np.random.default_rng(2)
    speakers = np.repeat(np.arange(12), 10)
    gain = np.repeat(rng.normal(0.3, 0.5, 12), 10)
    difference = gain + rng.normal(0, 0.2, 120)
    a = rng.normal(0, 1, 120)
    ones = np.ones((120, 1))
    ours = paired_means(column(a), column(a + difference), [f"s{k}" for k in speakers], ones, ones)
    _, (low, high) = evaluate_with_conf_int(
        difference, lambda s: float(s.mean()), conditions=speakers, num_bootstraps=500
    )
    assert ours.low[0] == pytest.approx(low, abs=0.1 * (high - low))
    assert ours.high[0] == pytest.approx(high, abs=0.1 * (high - low))


def test_means_of_one_system_agree_with_confidence_intervals() -> None:
    """The oracle for `statistics.intervals`, weights included: WER as errors over words."""
    rng = np.random.default_rng(3)
    words = rng.integers(4, 9, 80)
    errors = rng.binomial(words, 0.2)
    rate = 100 * errors / words
    ours = statistics.intervals(column(rate), ["s1"] * 80, column(words), n_resamples=4000)
    center, (low, high) = evaluate_with_conf_int(
        np.c_[errors, words], lambda s: 100 * s[:, 0].sum() / s[:, 1].sum(), num_bootstraps=2000
    )
    assert ours.mean[0] == pytest.approx(center)
    assert ours.low[0] == pytest.approx(low, abs=0.08 * (high - low))
    assert ours.high[0] == pytest.approx(high, abs=0.08 * (high - low))


def test_weights_make_corpus_rates() -> None:
    weights = column([1, 3, 6, 6, 6, 6])
    a, b = column([100, 0, 0, 0, 0, 0]), column([0, 0, 0, 0, 0, 50])
    found = paired_means(a, b, list("uvwxyz"), weights, weights)
    assert found.mean_a[0] == pytest.approx(100 / 28)
    assert found.mean_b[0] == pytest.approx(300 / 28)


def test_only_clips_with_both_scores_count() -> None:
    a = column([1, 2, np.nan, 4, 5, 6, 7])
    b = column([2, np.nan, 9, 5, 6, 7, 8])
    ones = np.ones((7, 1))
    found = paired_means(a, b, ["s1"] * 7, ones, ones)
    assert found.n[0] == 5
    assert found.difference[0] == pytest.approx(1)
    assert np.isnan(found.effect[0]), "all differ by the same amount"
    assert found.p[0] == pytest.approx(2.0**-4), "five equal signs, and no certainty"


@pytest.mark.parametrize("method", statistics.METHODS)
def test_too_little_has_no_p(method: statistics.Method) -> None:
    ones = np.ones((4, 1))
    found = paired_means(column([1, 2, 3, 4]), column([2, 3, 5, 6]), ["s1"] * 4, ones, ones,
                         method=method)  # fmt: skip
    assert np.isnan(found.p[0])
    nothing = paired_means(ones * np.nan, ones, ["s1"] * 4, ones, ones, method=method)
    assert np.isnan([nothing.mean_a[0], nothing.low[0], nothing.p[0]]).all()
    none = np.empty((0, 1))
    assert np.isnan(paired_means(none, none, [], none, none, method=method).p[0])


def test_student_is_scipys_for_one_speaker() -> None:
    a, b = world(np.random.default_rng(4), 20, 0.2)
    ones = np.ones((20, 1))
    found = paired_means(column(a), column(b), ["s1"] * 20, ones, ones, method="t")
    expected = stats.ttest_rel(b, a)
    assert found.p[0] == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert (found.low[0], found.high[0]) == (pytest.approx(low), pytest.approx(high))


def test_student_clusters_by_speaker() -> None:
    rng = np.random.default_rng(5)
    gain = np.repeat(rng.normal(0.1, 0.5, 4), 30)
    a = rng.normal(0, 1, 120)
    b = a + gain + rng.normal(0, 0.1, 120)
    ones = np.ones((120, 1))
    speakers = [f"s{k // 30}" for k in range(120)]
    found = paired_means(column(a), column(b), speakers, ones, ones, method="t")
    means = [(b - a)[k * 30 : k * 30 + 30].mean() for k in range(4)]
    assert found.p[0] == pytest.approx(stats.ttest_1samp(means, 0).pvalue, rel=1e-6)


def test_bad_arguments() -> None:
    ones = np.ones((3, 1))
    with pytest.raises(ValueError, match="speakers"):
        paired_means(ones, ones, ["s1"], ones, ones)
    with pytest.raises(ValueError, match="none of"):
        paired_means(ones, ones, ["s1"] * 3, ones, ones, method="z")  # type: ignore[arg-type]


def test_false_alarms_are_as_many_as_promised() -> None:
    rng = np.random.default_rng(6)
    a, b = np.zeros((2, 50, 400))
    for k in range(400):
        a[:, k], b[:, k] = world(rng, 50)
    ones = np.ones((50, 400))
    found = paired_means(a, b, ["s1"] * 50, ones, ones, n_resamples=1000)
    assert 8 <= int((found.p < 0.05).sum()) <= 38


def test_pooled_numbers_are_recomputed() -> None:
    """A share balanced over classes: the mean over clips would hide that b fails all women."""
    classes = ["male"] * 16 + ["female"] * 4
    right = [Score("s", "c", "g", 100.0, "ok", details={"expected": c}) for c in classes]
    wrong = [replace(s, value=100.0 * (s.details["expected"] == "male")) for s in right]
    both = [(f"s{k % 5}", x, y) for k, (x, y) in enumerate(zip(right, wrong, strict=True))]
    ones = np.ones((20, 1))
    plain = paired_means(
        column([s.value for s in right]), column([s.value for s in wrong]), [t for t, *_ in both],
        ones, ones, n_resamples=200,
    )  # fmt: skip
    assert plain.mean_b[0] == 80
    for method in statistics.METHODS:
        found = repool(
            plain, {0: ("balanced", both)}, method=method, n_resamples=200, confidence=0.95, seed=0
        )
        assert (found.mean_a[0], found.mean_b[0]) == (100, 50)
        assert found.low[0] <= -50 <= found.high[0]
        assert found.p[0] < 0.2
    few = repool(
        plain, {0: ("balanced", both[:3])}, method="t", n_resamples=9, confidence=0.95, seed=0
    )
    assert np.isnan(few.p[0])
    none = repool(plain, {0: ("balanced", [])}, method="t", n_resamples=9, confidence=0.95, seed=0)
    assert none.mean_b[0] == 80
