"""Agreement, comparisons: numbers that are known from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluation.mos.agreement import intraclass, krippendorff_alpha
from evaluation.mos.comparisons import compare, paired_p
from evaluation.stats.multiple import holm

NONE = np.nan
# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, part C: four observers, twelve
# units, values missing. The paper gives 0.815 for ordinal data.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
        [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
    ]
)
# Shrout & Fleiss (1979), table 2: six targets, four judges. ICC(2,1) 0.29, ICC(2,4) 0.62.
JUDGES = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
).T


def test_alpha_of_krippendorffs_example() -> None:
    assert krippendorff_alpha(OBSERVERS) == pytest.approx(0.815, abs=5e-4)
    assert krippendorff_alpha(OBSERVERS[::-1, ::-1]) == krippendorff_alpha(OBSERVERS)


def slow_alpha(ratings: np.ndarray) -> float:
    """The definition, pair by pair."""
    units = [column[np.isfinite(column)].astype(int) for column in ratings.T]
    units = [unit for unit in units if len(unit) > 1]
    every = np.concatenate(units)
    n = {value: int((every == value).sum()) for value in range(1, 6)}

    def distance(a: int, b: int) -> float:
        a, b = sorted((a, b))
        return float((sum(n[g] for g in range(a, b + 1)) - (n[a] + n[b]) / 2) ** 2)

    observed = sum(
        sum(distance(a, b) for i, a in enumerate(u) for j, b in enumerate(u) if i != j)
        / (len(u) - 1)
        for u in units
    ) / len(every)
    expected = sum(
        distance(a, b) for i, a in enumerate(every) for j, b in enumerate(every) if i != j
    ) / (len(every) * (len(every) - 1))
    return 1 - observed / expected


def test_alpha_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        truth = rng.normal(3, 1, 20)
        ratings = np.clip(np.rint(truth + rng.normal(0, 0.8, (6, 20))), 1, 5)
        ratings[rng.random((6, 20)) < 0.4] = np.nan
        assert krippendorff_alpha(ratings) == pytest.approx(slow_alpha(ratings))


def test_alpha_at_its_ends() -> None:
    assert krippendorff_alpha(np.array([[1, 2, 3, 4, 5.0]] * 3)) == 1
    rng = np.random.default_rng(1)
    chance = krippendorff_alpha(rng.integers(1, 6, (10, 400)).astype(float))
    assert chance == pytest.approx(0, abs=0.02)
    assert np.isnan(krippendorff_alpha(np.full((3, 4), 2.0))), "nothing varies"
    assert np.isnan(krippendorff_alpha(np.array([[1, np.nan], [np.nan, 2]]))), "nothing shared"
    assert np.isnan(krippendorff_alpha(np.empty((0, 0))))


def test_intraclass_of_shrout_and_fleiss() -> None:
    found = intraclass(JUDGES)
    assert found
    assert found.single == pytest.approx(0.29, abs=0.005)
    assert found.average == pytest.approx(0.62, abs=0.005)
    assert (found.n_units, found.n_raters) == (6, 4)


def test_intraclass_needs_everything() -> None:
    assert intraclass(OBSERVERS) is None
    assert intraclass(JUDGES[:1]) is None
    assert intraclass(np.full((3, 4), 2.0)) is None


def test_holm_of_a_worked_example() -> None:
    """0.01, 0.04, 0.03, 0.005 of four: 0.005·4, 0.01·3, 0.03·2, and 0.04·1 raised to 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, None, 0.6, 0.7]) == [pytest.approx(0.03), None, 1.0, 1.0]
    assert holm([]) == []


def test_paired_tests_are_scipys() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(0.5, 1, 15), rng.normal(0, 1, 15)
    assert paired_p(x - y, "t") == pytest.approx(stats.ttest_rel(x, y).pvalue)
    assert paired_p(x - y, "wilcoxon") == pytest.approx(stats.wilcoxon(x, y).pvalue)


def test_degenerate_pairs() -> None:
    for test in ("t", "wilcoxon"):
        assert paired_p(np.zeros(10), test) == 1.0  # type: ignore[arg-type]
        assert paired_p(np.ones(4), test) is None, "four pairs cannot be significant"  # type: ignore[arg-type]
        assert paired_p(np.full(10, 0.1 + 0.2 - 0.3), test) == 1.0  # type: ignore[arg-type]
        p = paired_p(np.full(10, 0.5), test)  # type: ignore[arg-type]
        assert p is not None
        assert p < 0.01


def test_comparison() -> None:
    means = {
        "A": {"S1": 4.0, "S2": 3.5, "S3": 3.0, "S4": 4.5, "S5": 4.0, "S6": 5.0},
        "B": {"S1": 3.0, "S2": 3.0, "S3": 2.8, "S4": 4.0, "S5": 3.1, "S7": 1.0},
        "C": {},
    }
    (found,) = compare(["A", "B", "C"], means, "t", 0.95)
    differences = np.array([1.0, 0.5, 0.2, 0.5, 0.9])
    assert (found.first, found.second, found.n) == ("A", "B", 5)
    assert found.difference == pytest.approx(differences.mean())
    assert found.effect == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert found.low is not None
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.p == found.p_holm, "one pair needs no correction"
