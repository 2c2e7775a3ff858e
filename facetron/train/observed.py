"""Notes that a validation takes of its batches until its metrics are computed from all of them.

Processes that train together validate every n-th batch each. The notes of all are then put into the
order in which one process would have taken them, so that the metrics are the same with any number of
processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Generic, TypeVar

T = TypeVar("T")
_NONE = object()


class Observed(Generic[T]):
    """A list of notes, one per batch, which processes exchange: values that can be pickled, with
    tensors on the CPU.

    A stage keeps each as an attribute of its own, where `of_stage` finds it.

    Attributes:
        notes: notes of the batches seen so far, in their order.
    """

    def __init__(self) -> None:
        self.notes: list[T] = []

    def taken(self) -> list[T]:
        """Returns the notes, and forgets them."""
        notes, self.notes = self.notes, []
        return notes


def of_stage(stage: object) -> list[Observed[object]]:
    """Returns what a stage keeps of a validation, in the order of its attributes."""
    return [value for value in vars(stage).values() if isinstance(value, Observed)]


def interleaved(shares: Sequence[Sequence[T]]) -> list[T]:
    """Joins the lists of n processes, of which process i has every n-th item from the i-th on.

    Example:
        >>> interleaved([[0, 3, 6], [1, 4], [2, 5]])
        [0, 1, 2, 3, 4, 5, 6]
    """
    rounds = zip_longest(*shares, fillvalue=_NONE)
    return [item for items in rounds for item in items if item is not _NONE]  # type: ignore[misc]
