"""MAPSSWE against sctk's state machine written out, and against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.inputs.text import WordAlignment, align_words
from evaluation.stats import mapsswe
from evaluation.stats.mapsswe import of_segments, segments


def sctk_segments(a: WordAlignment, b: WordAlignment, least_good: int = 2) -> list[tuple[int, int]]:
    """`test_comp_sents` of sctk's mtchprs.c: states before an error (b), in one (e), after it (g);
    a segment keeps the words from its first error to its last good word."""
    state, good, begin = "b", 0, 0
    found = []
    n = len(a.correct)

    def count(x: WordAlignment, start: int, stop: int) -> int:
        return sum(not c for c in x.correct[start:stop]) + sum(x.inserted[start:stop])

    for i in range(n):
        if a.inserted[i] or b.inserted[i]:
            state = "e"
        both = a.correct[i] and b.correct[i]
        if state == "b":
            state = "b" if both else "e"
        elif both:
            good = 1 if state == "e" else good + 1
            state = "g"
            if good == least_good:
                found.append((count(a, begin, i + 1), count(b, begin, i + 1)))
                begin, state = i + 1, "b"
        else:
            state = "e"
    last = a.inserted[n], b.inserted[n]
    if state != "b" or any(last):
        found.append((count(a, begin, n) + last[0], count(b, begin, n) + last[1]))
    return found


def test_segments_are_sctks() -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        n = int(rng.integers(1, 14))
        a, b = (
            WordAlignment(
                tuple(bool(x) for x in rng.random(n) > 0.25),
                tuple(int(x) for x in rng.binomial(1, 0.08, n + 1)),
            )
            for _ in range(2)
        )
        found = segments(a, b)
        assert found == sctk_segments(a, b)
        assert sum(x for x, _ in found) == a.errors
        assert sum(y for _, y in found) == b.errors


def test_two_good_words_part_segments() -> None:
    said = "bin blue at f two now"
    a = align_words(said, "pin blue at f two please")
    b = align_words(said, said)
    assert segments(a, b) == [(1, 0), (1, 0)]
    one_between = align_words(said, "pin blue by f two now")
    assert segments(one_between, b) == [(2, 0)]
    other = align_words(said, "bin red at f two now")
    assert segments(a, other) == [(1, 1), (1, 0)], "errors of either system make a segment"
    inserted = align_words(said, "bin blue at the f two now right")
    assert segments(inserted, b) == [(1, 0), (1, 0)]
    with pytest.raises(ValueError, match="6 and 1 words"):
        segments(a, align_words("bin", "bin"))


def test_worked_by_hand() -> None:
    """Differences 1, 0, 1, 1, −1, 2: mean 2/3, variance 16/15, Z = (2/3)/√(16/90) = 1.5811."""
    found = of_segments([(1, 0), (1, 1), (2, 1), (1, 0), (0, 1), (2, 0)])
    assert (found.n_segments, found.errors_a, found.errors_b) == (6, 7, 3)
    assert found.z == pytest.approx(1.5811388, abs=1e-6)
    assert found.p == pytest.approx(0.1138463, abs=1e-6)


def test_no_spread_is_no_certainty() -> None:
    assert of_segments([]).p is None
    assert of_segments([(1, 1), (2, 2)]).p == 1.0
    assert of_segments([(1, 0)]).p == 1.0, "one segment proves nothing"
    assert of_segments([(1, 0)] * 8).p == pytest.approx(2.0**-7)
    assert of_segments([(1, 0)] * 8).z is None


def test_sentences_are_pooled() -> None:
    said = "bin blue at f two now"
    right, wrong = align_words(said, said), align_words(said, "bin blue at s two now")
    found = mapsswe.test([(wrong, right)] * 60 + [(right, wrong)] * 20 + [(right, right)] * 20)
    assert (found.n_segments, found.errors_a, found.errors_b) == (80, 60, 20)
    # 60 of +1 and 20 of −1: mean 0.5, variance (60·0.25 + 20·2.25)/79.
    assert found.z == pytest.approx(0.5 / (60 / 79 / 80) ** 0.5)
    assert found.p is not None
    assert found.p < 1e-6


def test_false_alarms_are_as_many_as_promised() -> None:
    """Two systems of the same error rate differ at 5 % in about 5 % of 400 worlds."""
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(400):
        wrong = rng.random((2, 120, 6)) < 0.25
        pairs = [
            tuple(WordAlignment(tuple(~side[k]), (0,) * 7) for side in wrong) for k in range(120)
        ]
        p = mapsswe.test((a, b) for a, b in pairs).p
        alarms += p is not None and p < 0.05
    assert 8 <= alarms <= 34
