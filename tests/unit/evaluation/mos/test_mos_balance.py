"""The promises of `evaluation.mos.balance`, counted."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from evaluation.mos.balance import item_order, latin_blocks, presentation_order, spread, williams


@pytest.mark.parametrize("n", range(2, 10))
def test_williams_design_balances_places_and_neighbors(n: int) -> None:
    rows = williams(n)
    assert len(rows) == (n if n % 2 == 0 else 2 * n)
    assert all(sorted(row) == list(range(n)) for row in rows)
    places = Counter((i, value) for row in rows for i, value in enumerate(row))
    neighbors = Counter(pair for row in rows for pair in itertools.pairwise(row))
    assert len(set(places.values())) == 1
    assert len(neighbors) == n * (n - 1)
    assert len(set(neighbors.values())) == 1


def counts(plan: list[list[list[tuple[int, int]]]], k: int) -> np.ndarray:
    """(subjects, conditions)."""
    table = np.zeros((len(plan), k), int)
    for subject, blocks in enumerate(plan):
        for _, condition in itertools.chain(*blocks):
            table[subject, condition] += 1
    return table


@pytest.mark.parametrize(("subjects", "items", "k"), [(15, 40, 5), (15, 40, 6), (7, 11, 4)])
def test_everyone_hears_each_item_once_and_conditions_equally(
    subjects: int, items: int, k: int
) -> None:
    plan = latin_blocks(subjects, items, k, items, 1)
    for blocks in plan:
        assert [item for item, _ in blocks[0]] == list(range(items))
    table = counts(plan, k)
    assert np.ptp(table, axis=1).max() <= 1
    cells = Counter(cell for blocks in plan for cell in blocks[0])
    heard = np.array([[cells[i, c] for c in range(k)] for i in range(items)])
    assert np.ptp(heard, axis=1).max() <= 1
    if subjects % k == 0:
        assert np.ptp(heard) == 0, "a Latin square where it comes out even"


def test_subsets_are_balanced_too() -> None:
    for per_subject in (12, 7, 25):
        plan = latin_blocks(20, 40, 5, per_subject, 1)
        table = counts(plan, 5)
        assert np.ptp(table, axis=1).max() <= 2
        assert all(len({item for item, _ in blocks[0]}) == per_subject for blocks in plan)
        items = Counter(item for blocks in plan for item, _ in blocks[0])
        heard = [items[i] for i in range(40)]
        assert max(heard) - min(heard) <= 1
        cells = Counter(cell for blocks in plan for cell in blocks[0])
        each = np.array([[cells[i, c] for c in range(5)] for i in range(40)])
        assert np.ptp(each, axis=1).max() <= 1


def test_blocks_go_through_the_conditions() -> None:
    plan = latin_blocks(4, 9, 3, 9, 3)
    for blocks in plan:
        assert len(set(itertools.chain(*blocks))) == 27, "everything once"
        assert all(len({item for item, _ in block}) == 9 for block in blocks)


def test_presentation_order_is_balanced_over_time() -> None:
    rng = np.random.default_rng(0)
    k, items = 4, 24
    speakers = ["abcd"[i // 6] for i in range(items)]
    plan = latin_blocks(8, items, k, items, 1)
    rows = itertools.cycle(williams(k))
    follows: Counter[tuple[int, int]] = Counter()
    same_speaker = 0
    for blocks in plan:
        order = presentation_order(blocks[0], [next(rows) for _ in range(6)], speakers, rng)
        assert sorted(order) == sorted(blocks[0])
        conditions = [condition for _, condition in order]
        for start in range(0, items, k):
            assert sorted(conditions[start : start + k]) == list(range(k))
            follows.update(itertools.pairwise(conditions[start : start + k]))
        same_speaker += sum(speakers[a[0]] == speakers[b[0]] for a, b in itertools.pairwise(order))
    assert len(set(follows.values())) == 1, "each condition follows each other equally often"
    assert same_speaker < 0.1 * 8 * items, "at random it would be a quarter"


def test_incomplete_groups_lose_nothing() -> None:
    rng = np.random.default_rng(1)
    cells = [(0, 0), (1, 0), (2, 1), (3, 2), (4, 0)]
    order = presentation_order(cells, williams(3)[:3], ["x"] * 5, rng)
    assert sorted(order) == cells


def test_item_order_keeps_everything() -> None:
    groups = [[0, 1, 2], [3, 4], [5, 6, 7, 8]]
    for in_turns in (False, True):
        order = item_order(groups, np.random.default_rng(2), in_turns=in_turns)
        assert sorted(order) == list(range(9))
    starts = {frozenset(order[:3]) for order in (
        item_order(groups, np.random.default_rng(s), in_turns=True) for s in range(9)
    )}  # fmt: skip
    for start in starts:
        assert len(start & {0, 1, 2}) == len(start & {3, 4}) == 1, "a speaker each"


def test_spread_is_in_its_stretches() -> None:
    for seed in range(20):
        places = spread(20, 4, np.random.default_rng(seed), first=4)
        assert places == sorted(places)
        assert all(4 + 4 * i <= place <= 8 + 4 * i for i, place in enumerate(places))
    assert spread(3, 0, np.random.default_rng(0)) == []
