"""Counts which letter was heard for which: the part of GRID's sentences that listeners and models confuse
most (b d e p t v, m n, f s sound alike, and their lips look alike)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.scoring.run import ScoredRun
from manifests.grammar import VOCABULARY

METRIC = "slot_letter"
LETTERS = tuple(VOCABULARY[3])
OTHER, NOTHING = "other", "none"
HEARD = (*LETTERS, OTHER, NOTHING)


def letters_heard(item: ScoredRun) -> Counter[tuple[str, str]]:
    """(said, heard) → clips; a word that is no letter of GRID counts as `other`, none as `none`."""
    found: Counter[tuple[str, str]] = Counter()
    for (_, name), score in item.scores.items():
        if name == METRIC and score.status == "ok":
            heard = str(score.details.get("heard", "")) or NOTHING
            said = str(score.details.get("said", ""))
            found[said, heard if heard in HEARD else OTHER] += 1
    return found


def common(counts: Counter[tuple[str, str]], n: int = 10) -> list[tuple[str, str, int]]:
    """(said, heard, clips) of the most frequent confusions."""
    wrong = [(said, heard, k) for (said, heard), k in counts.items() if said != heard]
    return sorted(wrong, key=lambda row: (-row[2], row[0], row[1]))[:n]


def lines(scored: Sequence[ScoredRun]) -> list[tuple[str, str]]:
    """(system, `m→n 3, f→s 2`) of systems whose letters were scored."""
    found = []
    for item in scored:
        counts = letters_heard(item)
        if counts:
            text = ", ".join(f"{said}→{heard} {k}" for said, heard, k in common(counts))
            found.append((item.run.info.name, text or "none confused"))
    return found


@dataclass(frozen=True)
class MatrixCell:
    """Clips in which one letter was heard for another, and their share of the letter's clips."""

    count: int
    share: float
    hit: bool


@dataclass(frozen=True)
class Matrix:
    """Attributes:
    name: of the system.
    told: its most frequent confusions.
    heard: columns.
    rows: (letter said, cells).
    """

    name: str
    told: str
    heard: tuple[str, ...]
    rows: tuple[tuple[str, tuple[MatrixCell, ...]], ...]


def matrices(scored: Sequence[ScoredRun]) -> list[Matrix]:
    """A matrix for each system whose letters were scored: what was said, what was heard."""
    found = []
    for item in scored:
        counts = letters_heard(item)
        if not counts:
            continue
        totals: Counter[str] = Counter()
        for (said, _), k in counts.items():
            totals[said] += k
        columns = tuple(h for h in HEARD if h in LETTERS or any(heard == h for _, heard in counts))
        rows = tuple(
            (
                said,
                tuple(
                    MatrixCell(
                        counts[said, heard], counts[said, heard] / totals[said], said == heard
                    )
                    for heard in columns
                ),
            )
            for said in sorted(totals)
        )
        found.append(Matrix(item.run.info.name, lines([item])[0][1], columns, rows))
    return found
