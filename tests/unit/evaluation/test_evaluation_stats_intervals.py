"""Intervals against closed forms, SciPy's bootstrap and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluation.stats.intervals import chosen, intervals, resample_counts


def column(values: object) -> np.ndarray:
    return np.asarray(values, dtype=float)[:, None]


def test_mean_is_over_clips_and_nan_has_no_weight() -> None:
    found = intervals(column([1, 2, np.nan, 6]), ["a", "a", "b", "b"])
    assert found.mean[0] == pytest.approx(3.0)
    assert found.n[0] == 3


def test_weights_pool_counts() -> None:
    errors, words = np.array([1, 0, 3]), np.array([6, 6, 4])
    found = intervals(column(errors / words), ["a", "b", "c"], column(words))
    assert found.mean[0] == pytest.approx(4 / 16)


def test_student_over_balanced_speakers_is_the_t_interval_of_their_means() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(5, 8)) + rng.normal(size=(5, 1))
    found = intervals(column(values.ravel()), np.repeat(list("abcde"), 8).tolist(), method="t")
    means = values.mean(axis=1)
    low, high = stats.t.interval(0.95, 4, means.mean(), stats.sem(means))
    assert (found.low[0], found.high[0]) == pytest.approx((low, high))


def test_student_of_one_speaker_is_over_clips() -> None:
    values = np.random.default_rng(4).normal(size=12)
    found = intervals(column(values), ["s1"] * 12, method="t")
    expected = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    assert (found.low[0], found.high[0]) == pytest.approx(expected)


def test_one_level_bootstrap_agrees_with_scipy() -> None:
    values = np.random.default_rng(5).gamma(2.0, size=60)
    found = intervals(column(values), ["s1"] * 60, n_resamples=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", random_state=1
    ).confidence_interval
    width = theirs.high - theirs.low
    assert found.low[0] == pytest.approx(theirs.low, abs=0.03 * width)
    assert found.high[0] == pytest.approx(theirs.high, abs=0.03 * width)


def test_bootstrap_spread_has_the_closed_form_of_two_levels() -> None:
    """With S speakers of n clips, resampling speakers, then clips, has the variance
    (S − 1)/S · [var of speaker means]/S + [mean variance within]·(n − 1)/n /(S n)."""
    rng = np.random.default_rng(6)
    values = rng.normal(size=(12, 10)) + 2 * rng.normal(size=(12, 1))
    found = intervals(
        column(values.ravel()),
        np.repeat(np.arange(12), 10).astype(str).tolist(),
        n_resamples=20_000,
    )
    between = values.mean(axis=1).var() / 12
    within = values.var(axis=1).mean() / 120
    spread = np.sqrt(between + within)
    assert (found.high[0] - found.low[0]) / (2 * 1.96) == pytest.approx(spread, rel=0.05)


def test_counts_draw_whole_speakers() -> None:
    group = np.array([0, 0, 0, 1, 2, 2])
    counts = resample_counts(group, 4000, np.random.default_rng(0))
    sizes = np.bincount(group)
    per_speaker = np.stack([counts[:, group == g].sum(axis=1) for g in range(3)], axis=1)
    times_drawn = per_speaker / sizes
    assert np.array_equal(times_drawn, times_drawn.round())
    assert (times_drawn.sum(axis=1) == 3).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(6), abs=0.06)


def test_seeded_and_columns_share_the_resamples() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(40, 1)) + np.array([[0.0, 5.0]])
    speakers = [f"s{i % 8}" for i in range(40)]
    first, again = intervals(values, speakers, seed=1), intervals(values, speakers, seed=1)
    other = intervals(values, speakers, seed=2)
    assert np.array_equal(first.low, again.low)
    assert not np.array_equal(first.low, other.low)
    assert first.low[1] - first.low[0] == pytest.approx(5.0)


def test_no_value_and_one_value() -> None:
    found = intervals(np.array([[np.nan, 1.0], [np.nan, np.nan]]), ["a", "b"])
    assert np.isnan([found.mean[0], found.low[0], found.low[1], found.high[1]]).all()
    assert found.mean[1] == 1.0
    empty = intervals(np.empty((0, 2)), [])
    assert np.isnan(empty.mean).all()


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="speakers"):
        intervals(np.zeros((3, 1)), ["a"])
    with pytest.raises(ValueError, match="positive"):
        intervals(np.zeros((1, 1)), ["a"], np.zeros((1, 1)))
    with pytest.raises(ValueError, match="method"):
        intervals(np.zeros((1, 1)), ["a"], method="magic")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n_speakers", "method", "least", "most"),
    [(20, "bootstrap", 0.925, 0.96), (4, "bootstrap", 0.79, 0.85), (4, "t", 0.935, 0.965)],
)
def test_coverage(n_speakers: int, method: str, least: float, most: float) -> None:
    """The documented coverages: 2000 worlds of speakers (sd 1) with 15 clips each (sd 1)."""
    rng = np.random.default_rng(8)
    worlds = rng.normal(size=(n_speakers, 15, 2000)) + rng.normal(size=(n_speakers, 1, 2000))
    found = intervals(
        worlds.reshape(-1, 2000),
        np.repeat(np.arange(n_speakers), 15).astype(str).tolist(),
        method=method,  # type: ignore[arg-type]
    )
    covered = np.mean((found.low <= 0) & (found.high >= 0))
    assert least < covered < most


def test_few_speakers_take_student_t() -> None:
    assert [chosen("auto", n) for n in (1, 4, 7, 8, 33)] == [
        "t",
        "t",
        "t",
        "bootstrap",
        "bootstrap",
    ]
    assert (chosen("t", 33), chosen("bootstrap", 4)) == ("t", "bootstrap")


def test_of_two_equal_systems_one_is_called_better_as_often_as_the_level_says() -> None:
    """A null of four speakers of 15 clips: t keeps its level, the bootstrap does not."""
    rng = np.random.default_rng(0)
    speakers = [f"s{k // 15}" for k in range(60)]
    worlds = 400
    values = np.repeat(rng.standard_normal((4, worlds)), 15, axis=0)
    values = values + rng.standard_normal((60, worlds))
    found = [
        intervals(values, speakers, method="t"),
        intervals(values, speakers, method="bootstrap", n_resamples=400),
    ]
    of_t, of_bootstrap = (float(np.mean((f.low > 0) | (f.high < 0))) for f in found)
    assert of_t < 0.09
    assert of_bootstrap > 0.11
