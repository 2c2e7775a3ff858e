"""Mean opinion scores from answers, with intervals, tests and agreement.

Only first ratings of subjects who passed the screening count; practice, traps, golds and repeats
never do. In a balanced design each subject rates every condition equally often, so the mean over
ratings is the mean over subjects.

Intervals are over subjects, whose ratings are correlated: Student's t with the variance clustered
by subject, and a bootstrap of subjects, then of their ratings (`evaluation.stats.intervals`). They hold
for other listeners of such clips. The interval that P.800 tests often print, over all votes as if
they were independent, is narrower.

Normalized ratings are z = (rating − the subject's mean) / the subject's standard deviation within
the part, all conditions together: they remove the level and the spread of each subject's ratings.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluation.mos.agreement import Intraclass, intraclass, krippendorff_alpha
from evaluation.mos.comparisons import Comparison, Test, Unit, compare
from evaluation.mos.records import Condition, Key
from evaluation.mos.results import Answer, Imported, Rejection
from evaluation.mos.scales import SCALES, Scale
from evaluation.mos.screening import Rules, Verdict, scored, screen
from evaluation.stats import intervals as statistics
from manifests.errors import BadInput, TooManyFailures

Array = NDArray[np.float64]
SAME = 4
"""Ratings from here on say "the same"."""


@dataclass(frozen=True)
class ScoreOptions:
    """Options of the scoring of a listening test.

    Attributes:
        rules: rules of the screening.
        test, unit: test and unit of the pairwise comparisons.
        confidence, n_resamples, seed: of the intervals.
    """

    rules: Rules = field(default_factory=Rules)
    test: Test = "wilcoxon"
    unit: Unit = "subjects"
    confidence: float = statistics.CONFIDENCE
    n_resamples: int = statistics.RESAMPLES
    seed: int = 0


@dataclass(frozen=True)
class Estimate:
    """A mean and its two intervals; None where there is nothing or no spread."""

    mean: float | None
    t: tuple[float, float] | None
    bootstrap: tuple[float, float] | None


@dataclass(frozen=True)
class ConditionScore:
    """
    Attributes:
        name, kind: of the condition.
        rating: mean opinion score.
        normalized: mean z.
        share: percentage of ratings of 4 and 5, where the scale has a name for it.
        deviation: standard deviation of the ratings.
        counts: how often 1 … 5 was given.
        n_ratings, n_subjects, n_clips: behind the score.
        n_rejected: ratings of rejected subjects.
    """

    name: str
    kind: str
    rating: Estimate
    normalized: Estimate
    share: Estimate | None
    deviation: float | None
    counts: tuple[int, ...]
    n_ratings: int
    n_subjects: int
    n_clips: int
    n_rejected: int


@dataclass(frozen=True)
class PartScore:
    """
    Attributes:
        part: key of the scale.
        conditions: in the order of the design.
        comparisons: all pairs but those with the anchor.
        alpha: Krippendorff's ordinal alpha; None where no stimulus was rated twice.
        intraclass: None unless every subject rated every stimulus.
        n_units: stimuli that two subjects or more rated.
    """

    part: str
    conditions: tuple[ConditionScore, ...]
    comparisons: tuple[Comparison, ...]
    alpha: float | None
    intraclass: Intraclass | None
    n_units: int

    @property
    def scale(self) -> Scale:
        return SCALES[self.part]


@dataclass(frozen=True)
class TestScore:
    """The scores of a listening test.

    Attributes:
        design, title: of the test.
        n_designed: number of subjects of the design.
        parts: in order.
        verdicts: verdicts on all subjects with answers.
        rejections: rejected answers and files.
        comments: subject → text.
        ratings: the scored answers, with whether they count and their z.
        options: options of the scoring.
    """

    __test__ = False  # pytest takes the name for a test

    design: str
    title: str
    n_designed: int
    parts: tuple[PartScore, ...]
    verdicts: tuple[Verdict, ...]
    rejections: tuple[Rejection, ...]
    comments: dict[str, str]
    ratings: tuple[Rating, ...]
    options: ScoreOptions

    @property
    def n_accepted(self) -> int:
        return sum(not verdict.reasons for verdict in self.verdicts)


@dataclass(frozen=True)
class Rating:
    """A scored answer. `z` is None where the subject rated everything alike."""

    answer: Answer
    accepted: bool
    z: float | None


def score_test(key: Key, imported: Imported, options: ScoreOptions) -> TestScore:
    """Returns the scores of a test; without scores where no answer counts (`require_scores`)."""
    verdicts = screen(imported.answers, key, options.rules)
    accepted = {verdict.subject for verdict in verdicts if not verdict.reasons}
    ratings = _ratings(imported, accepted)
    parts = []
    for part in key.conditions:
        mine = [rating for rating in ratings if rating.answer.trial.part == part]
        parts.append(_part(part, key.conditions_of(part), mine, options))
    return TestScore(
        key.design,
        str(key.options.get("title", "")),
        len({trial.subject for trial in key.trials}),
        tuple(parts),
        tuple(verdicts),
        imported.rejections,
        imported.comments,
        tuple(ratings),
        options,
    )


def require_scores(score: TestScore) -> None:
    """Raises an error that says why a test has no scores, where it has none.

    Raises:
        BadInput: no usable answer was found.
        TooManyFailures: the screening rejected all subjects.
    """
    if not score.verdicts:
        reasons = Counter(r.reason for r in score.rejections)
        told = f" ({reasons.most_common(1)[0][0]})" if reasons else ""
        raise BadInput(f"no answer of test {score.design} was found{told}", "check the files")
    if not score.n_accepted:
        raise TooManyFailures(
            "every subject is rejected: "
            + "; ".join(f"{v.subject} {', '.join(v.reasons)}" for v in score.verdicts[:5]),
            "see the rules in `mos score --help`",
        )


def _ratings(imported: Imported, accepted: set[str]) -> list[Rating]:
    found = []
    for subject in sorted(imported.answers):
        by_part: dict[str, list[Answer]] = defaultdict(list)
        for answer in scored(imported.answers[subject]):
            by_part[answer.trial.part].append(answer)
        for answers in by_part.values():
            values = np.array([answer.rating for answer in answers], dtype=np.float64)
            spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
            mean = float(values.mean())
            for answer in sorted(answers, key=lambda a: a.trial.number):
                z = (answer.rating - mean) / spread if spread > 0 else None
                found.append(Rating(answer, subject in accepted, z))
    return found


def _part(
    part: str, conditions: Sequence[Condition], ratings: Sequence[Rating], options: ScoreOptions
) -> PartScore:
    kept = [rating for rating in ratings if rating.accepted]
    names = [condition.name for condition in conditions]
    k = len(names)
    # (ratings, 3K): the rating, its z, and whether it says "the same", in its condition's column.
    values = np.full((len(kept), 3 * k), np.nan)
    for row, rating in enumerate(kept):
        column = names.index(rating.answer.trial.condition)
        values[row, column] = rating.answer.rating
        values[row, k + column] = np.nan if rating.z is None else rating.z
        values[row, 2 * k + column] = 100.0 * (rating.answer.rating >= SAME)
    estimates = _estimates(values, [r.answer.trial.subject for r in kept], options)
    scores = []
    for i, condition in enumerate(conditions):
        mine = [r.answer for r in kept if r.answer.trial.condition == condition.name]
        given = Counter(answer.rating for answer in mine)
        scores.append(
            ConditionScore(
                condition.name,
                condition.kind,
                estimates[i],
                estimates[k + i],
                estimates[2 * k + i] if SCALES[part].share else None,
                float(np.std([a.rating for a in mine], ddof=1)) if len(mine) > 1 else None,
                tuple(given.get(value, 0) for value in range(1, 6)),
                len(mine),
                len({answer.trial.subject for answer in mine}),
                len({answer.trial.clip for answer in mine}),
                sum(not r.accepted and r.answer.trial.condition == condition.name for r in ratings),
            )
        )
    matrix = _matrix(kept)
    alpha = krippendorff_alpha(matrix)
    return PartScore(
        part,
        tuple(scores),
        tuple(_compare([c.name for c in conditions if c.kind != "anchor"], kept, options)),
        alpha if np.isfinite(alpha) else None,
        intraclass(matrix),
        int((np.isfinite(matrix).sum(axis=0) >= 2).sum()),
    )


def _estimates(values: Array, subjects: Sequence[str], options: ScoreOptions) -> list[Estimate]:
    if not len(values):
        return [Estimate(None, None, None)] * values.shape[1]
    found = {
        method: statistics.intervals(
            values,
            subjects,
            method=method,
            n_resamples=options.n_resamples,
            confidence=options.confidence,
            seed=options.seed,
        )
        for method in ("t", "bootstrap")
    }

    def interval(method: str, column: int) -> tuple[float, float] | None:
        low, high = float(found[method].low[column]), float(found[method].high[column])
        return (low, high) if np.isfinite(low) and np.isfinite(high) else None

    means = found["t"].mean
    return [
        Estimate(
            float(means[c]) if np.isfinite(means[c]) else None,
            interval("t", c),
            interval("bootstrap", c),
        )
        for c in range(values.shape[1])
    ]


def _matrix(ratings: Sequence[Rating]) -> Array:
    """(subjects, stimuli), NaN where somebody did not rate something."""
    trials = [rating.answer.trial for rating in ratings]
    subjects = {s: i for i, s in enumerate(sorted({t.subject for t in trials}))}
    stimuli = {s: i for i, s in enumerate(sorted({(t.condition, t.clip) for t in trials}))}
    matrix = np.full((len(subjects), len(stimuli)), np.nan)
    for rating, trial in zip(ratings, trials, strict=True):
        place = subjects[trial.subject], stimuli[trial.condition, trial.clip]
        matrix[place] = rating.answer.rating
    return matrix


def _compare(
    names: Sequence[str], ratings: Sequence[Rating], options: ScoreOptions
) -> list[Comparison]:
    given: dict[str, dict[str, list[int]]] = {name: defaultdict(list) for name in names}
    for rating in ratings:
        trial = rating.answer.trial
        if trial.condition in given:
            unit = trial.subject if options.unit == "subjects" else trial.clip
            given[trial.condition][unit].append(rating.answer.rating)
    means = {
        name: {unit: float(np.mean(values)) for unit, values in units.items()}
        for name, units in given.items()
    }
    return compare(names, means, options.test, options.confidence)
