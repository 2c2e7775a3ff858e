"""Numbers of a whole set that are no mean over its clips, with intervals like those of means.

Each is computed from what the clips' scores hold in their `details`, once for the set and once for
every resample of speakers and clips (`statistics.resample_counts`); with Student's t it is computed
with each speaker left out (the jackknife: Efron and Tibshirani, 1993, chapter 11).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evaluation.stats import intervals as statistics
from evaluation.stats.distributions import t_quantile
from evaluation.stats.intervals import Array, Intervals
from manifests.records import Score

Estimator = Callable[[Array], Array]
"""(R, N) how often each clip is drawn → (R,) numbers, NaN where there is none."""

_CHUNK_CELLS = 500_000


def equal_error_rates(
    cosines: Array, clip: NDArray[np.int64], is_target: NDArray[np.bool_], counts: Array
) -> Array:
    """Computes equal error rates in percent: the rate at which as many targets are missed as others
    are accepted.

    Between two thresholds both rates are taken as straight lines, so that the number does not hang
    on which of them a single trial falls.

    Args:
        cosines, clip, is_target: (M,) trials: score, index of the clip, whether of the target.
        counts: (R, N) how often each of N clips counts.

    Returns:
        (R,), NaN where a draw has no trial of one kind.
    """
    order = np.argsort(cosines, kind="stable")
    last = np.flatnonzero(np.diff(cosines[order], append=np.inf))  # of equal cosines
    target = is_target[order]
    rows = np.arange(len(counts))

    def share_of(kind: NDArray[np.bool_]) -> tuple[Callable[[NDArray[np.int64]], Array], Array]:
        """(threshold of each row → share of the trials of this kind up to it, trials of each row).
        Threshold 0 is below all of them."""
        mass = np.zeros((len(counts), int(kind.sum()) + 1))
        np.cumsum(counts[:, clip[order[kind]]], axis=1, out=mass[:, 1:])
        upto = np.concatenate([[0], np.cumsum(kind)[last]])
        total = np.where(mass[:, -1] > 0, mass[:, -1], np.nan)
        return lambda at: np.asarray(mass[rows, upto[at]] / total), total

    (missed, targets), (below, others) = share_of(target), share_of(~target)

    def gap(at: NDArray[np.int64]) -> Array:
        """The share missed less the share accepted: it rises from −1 to 1."""
        return np.asarray(missed(at) - (1 - below(at)))

    before, after = np.zeros(len(counts), np.int64), np.full(len(counts), len(last), np.int64)
    while (
        after - before > 1
    ).any():  # by halves, to the first threshold where it is no longer below 0
        middle = (before + after) // 2
        reached = gap(middle) >= 0
        before, after = np.where(reached, before, middle), np.where(reached, middle, after)
    low, high = gap(before), gap(after)
    found = missed(before) + -low / (high - low) * (missed(after) - missed(before))
    return np.asarray(np.where(np.isfinite(targets + others), 100 * found, np.nan))


def _eer(scores: Sequence[Score | None]) -> Estimator:
    cosines, clip, target = [], [], []
    for i, score in enumerate(scores):
        if score is not None:
            # One cosine with the target where recordings were averaged, several where they were not.
            own = score.details["own"]
            mine = own if isinstance(own, list) else [own]
            values = [*mine, *score.details["others"]]
            cosines += values
            clip += [i] * len(values)
            target += [True] * len(mine) + [False] * (len(values) - len(mine))
    trials = np.array(cosines), np.array(clip, dtype=np.int64), np.array(target, dtype=bool)
    return lambda counts: equal_error_rates(*trials, counts)


def _balanced(scores: Sequence[Score | None]) -> Estimator:
    """The mean of the classes' means: a run of men only does not win by speaking as a man."""
    values = np.array([0.0 if s is None else s.value for s in scores])
    classes = ["" if s is None else s.details["expected"] for s in scores]

    def estimate(counts: Array) -> Array:
        shares = []
        for name in sorted(set(classes) - {""}):
            kept = counts * np.array([c == name for c in classes])
            total = kept.sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                shares.append(np.where(total > 0, kept @ values / total, np.nan))
        table = np.array(shares)
        known = np.isfinite(table)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(known, table, 0).sum(axis=0) / known.sum(axis=0))

    return estimate


FEWEST_SPEAKERS = 3
"""Of a correlation over speakers."""


def _speaker_correlation(scores: Sequence[Score | None]) -> Estimator:
    """Pearson's correlation over speakers of what their clips said on average with what is true. A speaker
    who is drawn twice counts twice."""
    known = [s for s in scores if s is not None]
    names = sorted({s.details["speaker"] for s in known})
    of = np.array([names.index(s.details["speaker"]) for s in known])
    said = np.array([s.details["said"] for s in known])
    true = np.array(
        [next(s.details["true"] for s in known if s.details["speaker"] == n) for n in names]
    )
    belongs = (of[:, None] == np.arange(len(names))).astype(np.float64)
    kept = np.array([s is not None for s in scores])

    def estimate(counts: Array) -> Array:
        mass = counts[:, kept] @ belongs
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(mass > 0, (counts[:, kept] * said) @ belongs / mass, 0.0)
            weight = mass / belongs.sum(axis=0)
            weight = weight / weight.sum(axis=1, keepdims=True)
            x = means - (weight * means).sum(axis=1, keepdims=True)
            y = true - (weight * true).sum(axis=1, keepdims=True)
            found = (weight * x * y).sum(axis=1) / np.sqrt(
                (weight * x * x).sum(axis=1) * (weight * y * y).sum(axis=1)
            )
        # Rounding alone makes a correlation of what does not vary.
        flat = (weight * x * x).sum(axis=1) < 1e-12
        few = (mass > 0).sum(axis=1) < FEWEST_SPEAKERS
        return np.asarray(np.where(few | flat, np.nan, found))

    return estimate


def kernel(one: Array, other: Array) -> Array:
    """(n, E), (m, E) of unit length → (n, m) of (1 + x·y)³."""
    return np.asarray((1 + one @ other.T) ** 3)


def _pairs(scores: Sequence[Score | None]) -> tuple[Array, Array, NDArray[np.int64]]:
    """(N, E) embeddings of pictures, (N, E) of their clips' real stills, and (N,) the clips' numbers, which
    several pictures share."""
    known = [s.details for s in scores if s is not None]
    names = {name: i for i, name in enumerate(dict.fromkeys(d["clip"] for d in known))}
    shown, real = (np.array([d[key] for d in known], dtype=np.float64) for key in ("shown", "real"))
    return shown, real, np.array([names[d["clip"]] for d in known], dtype=np.int64)


def _kid(scores: Sequence[Score | None]) -> Estimator:
    """The unbiased squared maximum mean discrepancy of pairs (Gretton et al., JMLR 13, 2012, lemma 6): what
    belongs to one clip is never compared, in either set or across. So a clip that is drawn twice does not
    make a set look narrow, and both sets have the same share of pairs of one speaker."""
    kept = np.array([s is not None for s in scores])
    shown, real, clip = _pairs(scores)
    apart = (clip[:, None] != clip[None, :]).astype(np.float64)
    across = kernel(shown, real)
    table = (kernel(shown, shown) + kernel(real, real) - across - across.T) * apart

    def estimate(counts: Array) -> Array:
        drawn = counts[:, kept]
        mass = ((drawn @ apart) * drawn).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = ((drawn @ table) * drawn).sum(axis=1) / mass
        return np.asarray(np.where(mass > 0, found, np.nan))

    return estimate


def _frechet(scores: Sequence[Score | None]) -> Estimator:
    """|m − m'|² + tr(C + C' − 2 (C C')^½) of the sets' means and covariances (Dowson and Landau, 1982).
    NaN where a set has fewer than ten pictures for each number of an embedding."""
    kept = np.array([s is not None for s in scores])
    tables = _pairs(scores)[:2]
    least = 10 * tables[0].shape[1]

    def moments(table: Array, weight: Array) -> tuple[Array, Array]:
        share = weight / weight.sum()
        mean = share @ table
        apart = table - mean
        return mean, (share[:, None] * apart).T @ apart

    def one(counts: Array) -> float:
        if counts.sum() < least:
            return float("nan")
        (mean, cov), (other_mean, other_cov) = (moments(table, counts) for table in tables)
        values, vectors = np.linalg.eigh(cov)
        root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
        both = np.sqrt(np.clip(np.linalg.eigvalsh(root @ other_cov @ root), 0, None)).sum()
        apart = ((mean - other_mean) ** 2).sum()
        return float(apart + np.trace(cov) + np.trace(other_cov) - 2 * both)

    return lambda counts: np.array([one(row) for row in counts[:, kept]])


POOLS: dict[str, Callable[[Sequence[Score | None]], Estimator]] = {
    "eer": _eer,
    "balanced": _balanced,
    "speaker_correlation": _speaker_correlation,
    "kid": _kid,
    "frechet": _frechet,
}
"""Name (`MetricInfo.pool`) → what makes the estimator of a set from its clips' scores."""


def repool(
    found: Intervals,
    pooled: Mapping[int, tuple[str, Sequence[Score | None]]],
    speakers: Sequence[str],
    *,
    method: statistics.Method,
    n_resamples: int,
    confidence: float,
    seed: int,
) -> Intervals:
    """Means with the columns that are no means put right.

    Args:
        found: of `statistics.intervals`.
        pooled: column → (pool, a score for every clip, None where it failed or is missing).
        speakers: of the clips.
    """
    mean, low, high = found.mean.copy(), found.low.copy(), found.high.copy()
    for column, (name, scores) in pooled.items():
        kept = [
            score if score is not None and score.value is not None else None for score in scores
        ]
        known = np.flatnonzero([score is not None for score in kept])
        if not len(known):
            continue
        estimate = POOLS[name]([kept[i] for i in known])
        whole = np.ones((1, len(known)))
        mean[column] = estimate(whole)[0]
        low[column], high[column] = np.nan, np.nan
        if len(known) < 2:
            continue
        _, group = np.unique(np.array([speakers[int(i)] for i in known]), return_inverse=True)
        if method == "bootstrap":
            drawn = redrawn(estimate, group, n_resamples, np.random.default_rng(seed))
            if len(drawn):  # none where the number is undefined, as the correlation of a constant
                tail = 50 * (1 - confidence)
                low[column], high[column] = np.percentile(drawn, [tail, 100 - tail])
        else:
            error, n = jackknife(estimate, group)
            reach = t_quantile(0.5 + confidence / 2, n - 1) * error
            low[column], high[column] = mean[column] - reach, mean[column] + reach
    return replace(found, mean=mean, low=low, high=high)


def redrawn(
    estimate: Estimator, group: NDArray[np.int64], n_resamples: int, rng: np.random.Generator
) -> Array:
    """Returns the estimates of resamples of speakers and their clips, without those that are undefined.

    Args:
        group: (N,) number of the speaker of each clip.
    """
    chunk = max(1, _CHUNK_CELLS // len(group))
    parts = [
        estimate(
            statistics.resample_counts(group, min(chunk, n_resamples - start), rng).astype(float)
        )
        for start in range(0, n_resamples, chunk)
    ]
    drawn = np.concatenate(parts)
    return np.asarray(drawn[np.isfinite(drawn)])


def jackknife(estimate: Estimator, group: NDArray[np.int64]) -> tuple[float, int]:
    """Returns the standard error of an estimate, NaN where it is not known, and how many speakers it is
    over, or clips where there is one speaker."""
    if len(np.unique(group)) == 1:
        group = np.arange(len(group))
    n = len(np.unique(group))
    left_out = estimate((group[None, :] != np.arange(n)[:, None]).astype(float))
    left_out = left_out[np.isfinite(left_out)]
    if len(left_out) < 2:
        return float("nan"), n
    return float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())), n
