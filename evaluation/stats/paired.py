"""Two systems on the same clips: the difference of their means, with an interval, a test and two sizes
of effect.

The bootstrap draws speakers, then their clips (`statistics.resample_counts`), and takes both systems'
clips with every draw, so what makes a clip hard for both cancels. Its p is the smallest level at which
the percentile interval would leave zero out, but never below 2^(1 − n): less cannot be known from the
signs of n differences, however often they are drawn again. Student's t works on the differences,
clustered by speaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.stats import intervals as statistics
from evaluation.stats.distributions import t_quantile, t_two_sided

Array = NDArray[np.float64]

RESAMPLES = 10_000
"""More than a mean's interval needs: Holm's correction asks for small p."""
FEWEST_CLIPS = 5
_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True)
class PairedMeans:
    """M metrics of two systems on the clips that have both scores; NaN where there is no value.

    Attributes:
        mean_a, mean_b: (M,) weighted means over the common clips.
        low, high: (M,) interval of mean_b − mean_a.
        p: (M,) two-sided; NaN with fewer than five common clips.
        effect: (M,) Cohen's d_z: mean of the clips' differences b − a over their standard deviation;
            NaN where they do not vary.
        larger, smaller: (M,) share of common clips on which b's value is larger, smaller; the rest
            are equal.
        n: (M,) common clips.
    """

    mean_a: Array
    mean_b: Array
    low: Array
    high: Array
    p: Array
    effect: Array
    larger: Array
    smaller: Array
    n: NDArray[np.int64]

    @property
    def difference(self) -> Array:
        return self.mean_b - self.mean_a


def paired_means(
    a: Array,
    b: Array,
    speakers: Sequence[str],
    weights_a: Array,
    weights_b: Array,
    *,
    method: statistics.Method = "bootstrap",
    n_resamples: int = RESAMPLES,
    confidence: float = statistics.CONFIDENCE,
    seed: int = 0,
) -> PairedMeans:
    """Compares b with a.

    Args:
        a, b: (N, M) scores, a row per clip, a column per metric; NaN where there is none.
        speakers: N speakers.
        weights_a, weights_b: (N, M) positive: a clip's share in each system's mean.
        method: `bootstrap` or `t`; the latter takes both systems' mean weight for a clip.

    Raises:
        ValueError: shapes that do not fit, or an unknown method.
    """
    if not (a.shape == b.shape == weights_a.shape == weights_b.shape) or len(a) != len(speakers):
        raise ValueError(f"scores of {a.shape} and {b.shape} for {len(speakers)} speakers")
    common = np.isfinite(a) & np.isfinite(b)
    n = common.sum(axis=0)
    masses = [np.where(common, w, 0.0) for w in (weights_a, weights_b)]
    sums = [np.where(common, v, 0.0) * m for v, m in zip((a, b), masses, strict=True)]
    mean_a, mean_b = (
        statistics.ratio(s.sum(axis=0), m.sum(axis=0)) for s, m in zip(sums, masses, strict=True)
    )
    differences = np.where(common, b - a, np.nan)
    if method == "bootstrap":
        low, high, p = _bootstrap(sums, masses, speakers, n_resamples, confidence, seed)
        p = np.maximum(p, 2.0 ** (1 - n))
    elif method == "t":
        low, high, p = _student(differences, (weights_a + weights_b) / 2, speakers, confidence)
    else:
        raise ValueError(f"method {method!r} is none of {statistics.METHODS}")
    few = n < FEWEST_CLIPS
    one = n < 2
    return PairedMeans(
        mean_a=mean_a,
        mean_b=mean_b,
        low=np.where(one, np.nan, low),
        high=np.where(one, np.nan, high),
        p=np.where(few, np.nan, p),
        effect=np.array([_effect(column[np.isfinite(column)]) for column in differences.T]),
        larger=statistics.ratio((differences > 0).sum(axis=0).astype(float), n.astype(float)),
        smaller=statistics.ratio((differences < 0).sum(axis=0).astype(float), n.astype(float)),
        n=n.astype(np.int64),
    )


def _effect(differences: Array) -> float:
    if len(differences) < 2:
        return float("nan")
    spread = float(differences.std(ddof=1))
    alike = spread <= 1e-7 * float(np.abs(differences).max())
    return float("nan") if alike else float(differences.mean()) / spread


def _bootstrap(
    sums: Sequence[Array],
    masses: Sequence[Array],
    speakers: Sequence[str],
    n_resamples: int,
    confidence: float,
    seed: int,
) -> tuple[Array, Array, Array]:
    n_clips, n_metrics = sums[0].shape
    low, high, p = np.full((3, n_metrics), np.nan)
    if not n_clips:
        return low, high, p
    rng = np.random.default_rng(seed)
    _, group = np.unique(np.asarray(speakers, dtype=object).astype(str), return_inverse=True)
    chunk = max(1, _CHUNK_CELLS // n_clips)
    drawn = []
    for start in range(0, n_resamples, chunk):
        size = min(chunk, n_resamples - start)
        counts = statistics.resample_counts(group, size, rng).astype(np.float64)
        of_a, of_b = (
            statistics.ratio(counts @ s, counts @ m) for s, m in zip(sums, masses, strict=True)
        )
        drawn.append(of_b - of_a)
    tail = 50 * (1 - confidence)
    for column, values in enumerate(np.concatenate(drawn).T):
        # A resample may hold no clip that has both scores; it then says nothing about this metric.
        found = values[np.isfinite(values)]
        if not len(found):
            continue
        low[column], high[column] = np.percentile(found, [tail, 100 - tail])
        p[column] = inverted(found)
    return low, high, p


def inverted(drawn: Array) -> float:
    """Two-sided p of resampled differences: twice the share beyond zero. The resamples are a sample
    too, so a p of zero cannot be claimed."""
    beyond = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (1 + beyond) / (1 + len(drawn)))


def _student(
    differences: Array, weights: Array, speakers: Sequence[str], confidence: float
) -> tuple[Array, Array, Array]:
    found = statistics.intervals(differences, speakers, weights, method="t", confidence=confidence)
    p = np.full(differences.shape[1], np.nan)
    names = np.asarray(speakers, dtype=object).astype(str)
    for column in range(differences.shape[1]):
        present = np.isfinite(differences[:, column])
        n_speakers = len(np.unique(names[present]))
        freedom = (n_speakers if n_speakers > 1 else int(present.sum())) - 1
        if freedom < 1:
            continue
        reach = (found.high[column] - found.low[column]) / 2
        error = reach / t_quantile(0.5 + confidence / 2, freedom)
        p[column] = t_two_sided(float(found.mean[column]), error, freedom)
    return found.low, found.high, p
