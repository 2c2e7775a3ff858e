"""MAPSSWE: the matched-pairs sentence-segment word error test between two systems.

Gillick and Cox, "Some statistical issues in the comparison of speech recognition algorithms",
ICASSP 1989, as NIST's sctk computes it: a sentence falls into segments around the errors of either
system, set apart by at least two words in a row that both heard, so that what goes wrong in one
segment does not depend on the others. The differences of the segments' error counts are then tested
for a mean of zero by a normal approximation. Unlike sctk, which does not look at words that only the
second system heard after the last one said, both systems are treated alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evaluation.inputs.text import WordAlignment
from evaluation.stats.distributions import normal_tail

LEAST_GOOD_WORDS = 2
"""Words in a row that both systems heard between one segment and the next (sctk's default)."""
ENOUGH_SEGMENTS = 50
"""Gillick and Cox trust the normal approximation from here."""


@dataclass(frozen=True)
class Mapsswe:
    """
    Attributes:
        n_segments: segments with an error of either system.
        errors_a, errors_b: word errors in them, which are all there are.
        z: mean difference (a − b) over its standard error; None where it has no spread.
        p: two-sided; None without segments. Where every segment differs by the same amount there
            is no variance, and p is the sign test's.
    """

    n_segments: int
    errors_a: int
    errors_b: int
    z: float | None
    p: float | None


def segments(
    a: WordAlignment, b: WordAlignment, least_good: int = LEAST_GOOD_WORDS
) -> list[tuple[int, int]]:
    """(errors of a, errors of b) of each segment of one sentence.

    Raises:
        ValueError: alignments of sentences of different lengths.
    """
    n = len(a.correct)
    if n != len(b.correct):
        raise ValueError(f"sentences of {n} and {len(b.correct)} words")
    found: list[tuple[int, int]] = []
    errors_a = errors_b = good = 0
    for i in range(n + 1):
        wrong_a, wrong_b = a.inserted[i], b.inserted[i]
        if wrong_a or wrong_b:
            good = 0
        if i < n:
            heard = a.correct[i] and b.correct[i]
            wrong_a += not a.correct[i]
            wrong_b += not b.correct[i]
            good = good + 1 if heard else 0
        errors_a, errors_b = errors_a + wrong_a, errors_b + wrong_b
        if (good >= least_good or i == n) and (errors_a or errors_b):
            found.append((errors_a, errors_b))
            errors_a = errors_b = 0
    return found


def test(pairs: Iterable[tuple[WordAlignment, WordAlignment]]) -> Mapsswe:
    """The test over the sentences that both systems have; `pairs` are (a, b) of each."""
    return of_segments([part for a, b in pairs for part in segments(a, b)])


def of_segments(found: Sequence[tuple[int, int]]) -> Mapsswe:
    """The test on (errors of a, errors of b) of each segment."""
    n = len(found)
    errors_a, errors_b = sum(x for x, _ in found), sum(y for _, y in found)
    differences = [x - y for x, y in found]
    if not n:
        return Mapsswe(0, 0, 0, None, None)
    mean = sum(differences) / n
    if len(set(differences)) == 1:
        p = 1.0 if mean == 0 else min(1.0, 2.0 ** (1 - n))
        return Mapsswe(n, errors_a, errors_b, None, p)
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    z = mean / math.sqrt(variance / n)
    return Mapsswe(n, errors_a, errors_b, z, 2 * normal_tail(abs(z)))
