"""Screening of subjects by rules that are fixed before the scores of systems are known.

All rules look at control trials, or at how a subject's ratings correlate with the others',
never at which system they favor. All ratings of a subject who breaks one are rejected. Thresholds:

- **complete**: answers to at least 95 % of the trials (P.808 takes whole sessions only).
- **consent** is a matter of the import: a file without it is rejected there.
- **headphones**: at least 5 of 6 right (Woods et al. 2017), where the test has that check.
- **traps**: every requested number was chosen (P.808).
- **golds**: at least half of the answers in range: one slip in a part is human.
- **repeats**: mean difference between a rating and its repetition of at most 1.5. Two honest
  ratings with a spread of 0.7 each differ by 0.8 on average, two random ones by 1.6.
- **same**: no part with an anchor in it in which 95 % of the ratings are the same.
- **correlation**: at least 0.25 with the others' mean (of the same stimulus where two others rated
  it, else of the same condition), with 10 ratings and two other subjects. Random ratings of 40
  stimuli get there in one case of 20.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.mos.records import Key, KeyTrial
from evaluation.mos.results import Answer
from evaluation.mos.scales import HEADPHONES
from manifests.errors import BadInput

FEWEST_TO_CORRELATE = 10
FEWEST_FOR_SAME = 5
Answers = Mapping[str, Mapping[str, Answer]]


@dataclass(frozen=True)
class Rules:
    """Thresholds; see the module. None switches a rule off."""

    min_complete: float | None = 0.95
    min_headphones: int | None = 5
    max_trap_failures: int | None = 0
    min_gold_share: float | None = 0.5
    max_repeat_difference: float | None = 1.5
    max_same_share: float | None = 0.95
    min_correlation: float | None = 0.25

    def check(self) -> None:
        """Raises `BadInput` for invalid thresholds."""
        for name, low, high in (
            ("min_complete", 0, 1),
            ("min_headphones", 0, 6),
            ("max_trap_failures", 0, 10**6),
            ("min_gold_share", 0, 1),
            ("max_repeat_difference", 0, 4),
            ("max_same_share", 0, 1),
            ("min_correlation", -1, 1),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise BadInput(f"{name} is {value:g}", f"choose {low} to {high}")


@dataclass(frozen=True)
class Verdict:
    """Result of the rules for one subject; None where a rule had no trials.

    Attributes:
        complete: share of trials answered.
        headphones, traps, golds: (right, answered).
        repeat_difference: mean absolute difference of repeated ratings.
        same_share: largest share of one rating in a part that has an anchor.
        correlation: correlation with the other subjects.
        reasons: reasons for rejecting the subject; empty if accepted.
    """

    subject: str
    complete: float
    headphones: tuple[int, int] | None
    traps: tuple[int, int] | None
    golds: tuple[int, int] | None
    repeat_difference: float | None
    same_share: float | None
    correlation: float | None
    reasons: tuple[str, ...]


def screen(answers: Answers, key: Key, rules: Rules) -> list[Verdict]:
    """A verdict for every subject with answers, in their order."""
    rules.check()
    trials: dict[str, list[KeyTrial]] = defaultdict(list)
    for trial in key.trials:
        trials[trial.subject].append(trial)
    related = correlations(answers)
    return [
        _verdict(subject, answers[subject], trials[subject], related.get(subject), key, rules)
        for subject in sorted(answers)
    ]


def correlations(answers: Answers) -> dict[str, float]:
    """Subject → Pearson correlation of their ratings with what the others gave."""
    stimuli: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    conditions: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for subject, mine in answers.items():
        for answer in scored(mine):
            trial = answer.trial
            stimuli[trial.part, trial.condition, trial.clip].append((subject, answer.rating))
            conditions[trial.part, trial.condition].append((subject, answer.rating))
    found = {}
    for subject, mine in answers.items():
        pairs = []
        for answer in scored(mine):
            trial = answer.trial
            near = stimuli[trial.part, trial.condition, trial.clip]
            others = [rating for name, rating in near if name != subject]
            if len(others) < 2:
                far = conditions[trial.part, trial.condition]
                if len({name for name, _ in far if name != subject}) < 2:
                    continue
                others = [rating for name, rating in far if name != subject]
            pairs.append((answer.rating, float(np.mean(others))))
        if len(pairs) >= FEWEST_TO_CORRELATE:
            x, y = np.array(pairs).T
            if x.std() > 0 and y.std() > 0:
                found[subject] = float(np.corrcoef(x, y)[0, 1])
    return found


def scored(mine: Mapping[str, Answer]) -> list[Answer]:
    """The answers that enter means: no practice, no controls."""
    return [answer for answer in mine.values() if answer.trial.role == "rating"]


def _verdict(
    subject: str,
    mine: Mapping[str, Answer],
    trials: Sequence[KeyTrial],
    correlation: float | None,
    key: Key,
    rules: Rules,
) -> Verdict:
    complete = len(mine) / len(trials)
    headphones = _right(mine, "headphones")
    traps, golds = _right(mine, "trap"), _right(mine, "gold")
    repeats = [
        abs(answer.rating - mine[answer.trial.repeats].rating)
        for answer in mine.values()
        if answer.trial.role == "repeat" and answer.trial.repeats in mine
    ]
    difference = float(np.mean(repeats)) if repeats else None
    same = _same_share(mine, key)
    reasons = []

    def below(value: float | None, limit: float | None) -> bool:
        return value is not None and limit is not None and value < limit

    def above(value: float | None, limit: float | None) -> bool:
        return value is not None and limit is not None and value > limit

    if below(complete, rules.min_complete):
        reasons.append(f"incomplete: {len(mine)} of {len(trials)} trials answered")
    if headphones and below(headphones[0], rules.min_headphones):
        reasons.append(f"headphones: {headphones[0]} of {headphones[1]} tones right")
    if traps and above(traps[1] - traps[0], rules.max_trap_failures):
        reasons.append(f"traps: {traps[1] - traps[0]} of {traps[1]} failed")
    if golds and below(golds[0] / golds[1], rules.min_gold_share):
        reasons.append(f"golds: {golds[1] - golds[0]} of {golds[1]} out of range")
    if above(difference, rules.max_repeat_difference):
        reasons.append(f"repeats: ratings differ by {difference:.2f} on average")
    if above(same, rules.max_same_share):
        reasons.append(f"same: {same:.0%} of the ratings of a part are the same")
    if below(correlation, rules.min_correlation):
        reasons.append(f"correlation: {correlation:.2f} with the others")
    return Verdict(
        subject, complete, headphones, traps, golds, difference, same, correlation, tuple(reasons)
    )


def _right(mine: Mapping[str, Answer], role: str) -> tuple[int, int] | None:
    """(right, answered) of one kind of control."""
    answers = [a for a in mine.values() if a.trial.role == role and a.trial.expected]
    if not answers:
        return None
    right = 0
    for answer in answers:
        low, high = answer.trial.expected or (0, 0)
        right += low <= answer.rating <= high
    return right, len(answers)


def _same_share(mine: Mapping[str, Answer], key: Key) -> float | None:
    shares = []
    ratings: dict[str, list[int]] = defaultdict(list)
    for answer in scored(mine):
        ratings[answer.trial.part].append(answer.rating)
    for part, given in ratings.items():
        anchored = any(c.kind == "anchor" for c in key.conditions_of(part))
        if part != HEADPHONES.key and anchored and len(given) >= FEWEST_FOR_SAME:
            shares.append(Counter(given).most_common(1)[0][1] / len(given))
    return max(shares) if shares else None
