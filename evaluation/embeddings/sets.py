"""One or two files of embeddings with their numbers: what Figure 2 of the paper sets side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.embeddings.measures import (
    Embeddings,
    Measures,
    check_same_clips,
    measure_groups,
    read_embeddings,
)
from manifests.errors import BadInput

LIMIT = 3000
"""Clips at most in a figure: more hide each other, and t-SNE takes minutes."""


@dataclass(frozen=True)
class Set:
    """One file with its title and numbers."""

    title: str
    embeddings: Embeddings
    measures: dict[tuple[str, str], Measures]


def measured(title: str, embeddings: Embeddings) -> Set:
    return Set(title, embeddings, measure_groups(embeddings))


def read_sets(
    paths: Sequence[Path],
    limit: int = LIMIT,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> list[Set]:
    """One file, or two of the same clips: with the CS loss, then without.

    Args:
        limit: at most about so many clips, as many of each speaker.
        report: takes what a reader must know beside the numbers.

    Raises:
        BadInput: more files, one that cannot be used, or two of different clips.
    """
    if len(paths) > 2:
        raise BadInput(
            f"{len(paths)} files of embeddings", "give one, or two: with and without the CS loss"
        )
    found = [read_embeddings(path) for path in paths]
    if len(found) == 2:
        check_same_clips(*found)
    if found:
        for line in warnings_of(found):
            report(line)
    kept = [item.thinned(limit, seed) for item in found]
    for item, whole in zip(kept, found, strict=True):
        if len(item) < len(whole):
            report(f"{whole.path}: {len(item)} of {len(whole)} clips (--limit)")
    return [measured(*pair) for pair in zip(titles(found), kept, strict=True)] if found else []


def titles(embeddings: Sequence[Embeddings]) -> list[str]:
    """`with CS loss` and `without CS loss` for two files; what its writer says of a single one."""
    if len(embeddings) == 2:
        return ["with CS loss", "without CS loss"]
    weight = embeddings[0].info.get("loss_cs")
    if isinstance(weight, int | float):
        return ["with CS loss" if weight > 0 else "without CS loss"]
    return [embeddings[0].path.stem]


def warnings_of(embeddings: Sequence[Embeddings]) -> list[str]:
    """Returns a warning for each file that says something else than its place does."""
    notes = []
    if len(embeddings) == 2:
        for item, expected in zip(embeddings, (True, False), strict=True):
            weight = item.info.get("loss_cs")
            if isinstance(weight, int | float) and (weight > 0) is not expected:
                notes.append(
                    f"{item.path} stands for {'with' if expected else 'without'} CS loss, but was "
                    f"trained with a weight of {weight:g}."
                )
    for item in embeddings:
        if item.seen.all():
            notes.append(f"{item.path}: every speaker was seen in training.")
    return notes
