"""Own interpolation and smoothing beside SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from gridprep.features.curves import monotone, smoothed


@pytest.mark.parametrize("knots", [[0, 1], [2, 9, 11], [0, 2, 4, 5, 6, 8, 30, 31, 74]])
def test_interpolation_is_scipys(knots: list[int]) -> None:
    rng = np.random.default_rng(len(knots))
    values = rng.normal(size=(len(knots), 20, 2)).cumsum(0)
    values[:, 3] = values[:1, 3]  # a point that stands still
    values[:, 4] = values[:, 4].round()  # repeats itself
    at = np.arange(knots[0], knots[-1] + 1)
    expected = PchipInterpolator(np.array(knots), values, axis=0)(at)
    ours = monotone(np.array(knots), values, at)
    assert np.abs(ours - expected).max() < 1e-12
    assert np.abs(ours[np.array(knots) - knots[0]] - values).max() < 1e-12


@pytest.mark.parametrize("sigma", [0.4, 1.5, 3.5])
@pytest.mark.parametrize("n", [2, 7, 75])
def test_smoothing_is_scipys(sigma: float, n: int) -> None:
    values = np.random.default_rng(n).normal(size=(n, 6, 2)).cumsum(0)
    expected = gaussian_filter1d(values, sigma, axis=0, mode="nearest")
    np.testing.assert_array_equal(smoothed(values, sigma), expected)
