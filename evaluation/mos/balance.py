"""Balanced designs: the assignment and order of items and conditions per subject, as indices.

Items are the sentences of the test, conditions the systems that synthesize them. The plan is cyclic, a
Latin square where it comes out even: in turn u of block b, item g is heard under condition
(g + u·B + b) mod K, with K conditions and B blocks. A subject takes M items in a row (all N, or a
window of them), the next subject goes on where the last one stopped, and a turn ends whenever the
items are through. So

- a subject hears each of their items once in a block;
- how often a subject hears two conditions in a block differs by at most 1 (by at most 2 where
  their window runs over the end of the items);
- how often an item was heard under two conditions differs by at most 1 over the whole test.

Within a subject, trials come in groups of K that hold each condition once, ordered by the rows of
Williams' design (1949), in which every condition follows every other equally often.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

Cell = tuple[int, int]
"""(item, condition)."""


def latin_blocks(
    n_subjects: int, n_items: int, n_conditions: int, per_subject: int, n_blocks: int
) -> list[list[list[Cell]]]:
    """Subjects → blocks → cells (item, condition), in the order of the items."""
    plan = []
    for subject in range(n_subjects):
        start = subject * per_subject
        blocks = []
        for block in range(n_blocks):
            cells = []
            for place in range(start, start + per_subject):
                turn, item = divmod(place, n_items)
                cells.append((item, (item + turn * n_blocks + block) % n_conditions))
            blocks.append(cells)
        plan.append(blocks)
    return plan


def williams(n: int) -> list[list[int]]:
    """Rows of a Williams design: each condition once in a row; over all rows, each equally often in
    each place and directly after each other one. n rows where n is even, 2n where it is odd."""
    first = [0]
    for step in range(1, n):
        first.append((n - (step + 1) // 2) % n if step % 2 else step // 2)
    rows = [[(value + shift) % n for value in first] for shift in range(n)]
    return rows if n % 2 == 0 else rows + [row[::-1] for row in rows]


def item_order(
    groups: Sequence[Sequence[int]], rng: np.random.Generator, *, in_turns: bool
) -> list[int]:
    """Items, shuffled, in the order that `latin_blocks` counts them.

    Args:
        groups: items by speaker.
        in_turns: False puts a speaker's items side by side, so that each speaker is heard under all
            conditions equally often by everyone who hears all items. True lets the speakers take
            turns, in a new order each time, so that any run of items has about as many of each.
    """
    shuffled = [[group[i] for i in rng.permutation(len(group))] for group in groups]
    if not in_turns:
        return [item for i in rng.permutation(len(shuffled)) for item in shuffled[i]]
    order: list[int] = []
    for turn in range(max(map(len, shuffled), default=0)):
        there = [group for group in shuffled if turn < len(group)]
        order += [there[i][turn] for i in rng.permutation(len(there))]
    return order


def presentation_order(
    cells: Sequence[Cell],
    rows: Sequence[Sequence[int]],
    speakers: Sequence[str],
    rng: np.random.Generator,
) -> list[Cell]:
    """The cells of one subject and block in the order they are heard.

    Args:
        cells: what is heard.
        rows: of a Williams design, one for each group of K trials, from the first.
        speakers: by item; the same one twice in a row is avoided where it can be.
    """
    left: dict[int, list[int]] = {}
    for item, condition in cells:
        left.setdefault(condition, []).append(item)
    for items in left.values():
        rng.shuffle(items)
    order: list[Cell] = []
    for row in rows:
        for condition in row:
            items = left.get(condition, [])
            if not items:
                continue
            last = speakers[order[-1][0]] if order else ""
            place = next((i for i, item in enumerate(items) if speakers[item] != last), 0)
            order.append((items.pop(place), condition))
    return order


def spread(n_slots: int, n: int, rng: np.random.Generator, first: int = 0) -> list[int]:
    """n places among `first` … `n_slots`, ascending, one at random in each of n equal stretches."""
    edges = np.linspace(min(first, n_slots), n_slots, n + 1)
    return [
        int(rng.integers(int(np.ceil(low)), max(int(high), int(np.ceil(low))) + 1))
        for low, high in itertools.pairwise(edges)
    ]
