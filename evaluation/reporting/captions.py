"""Captions that name the recognizers and predictors of a table and give their floors.

The floor is the score of the recordings of the same clips. Without it a number means little: the
same speech has been reported with a WER of 24.5 and of 18.9.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from evaluation.metrics.base import FACES, MetricInfo
from evaluation.reporting import bold
from evaluation.reporting.tables import (
    Cell,
    Table,
    TableOptions,
    cell_of,
    format_interval,
    format_mean,
)
from evaluation.scoring.run import ScoredRun
from evaluation.stats.numbers import fixed


def remarks(
    scored: Sequence[ScoredRun], columns: Sequence[MetricInfo], options: TableOptions
) -> tuple[str, ...]:
    """Returns the sentences for the caption of a table with these columns."""
    found = list(dict.fromkeys(info.note for info in columns if info.note))
    known, unknown = [], []
    columns = [info for info in columns if info.name not in FACES]  # theirs are rows (`controls`)
    for info in columns:
        if not info.floor:
            continue
        cell = floor(scored, info, options)
        if cell.mean is None:
            reasons = ", ".join(f"{reason} × {n}" for reason, n in cell.reasons.items())
            unknown.append(f"{info.label} ({reasons or 'not computed'})")
        else:
            unit = f" {info.unit}" if info.unit else ""
            spread = format_interval(cell, info)
            parts = (f"{info.label} {format_mean(cell, info)}{unit}", spread, f"({cell.counts})")
            known.append(" ".join(filter(None, parts)))
    if known:
        found.append(f"On the recordings of the same clips: {', '.join(known)}.")
    guessed = [text for info in columns if (text := chance(scored, info))]
    if guessed:
        found.append(f"By chance: {', '.join(guessed)}.")
    if unknown:
        found.append(f"Not known on the recordings of the same clips: {', '.join(unknown)}.")
    return tuple(found)


def floor(scored: Sequence[ScoredRun], info: MetricInfo, options: TableOptions) -> Cell:
    """Returns the floor of a metric over the recordings of all runs, each recording once."""
    values, failed = bold.floor_scores(scored, info)
    return cell_of([values[clip] for clip in sorted(values)], list(failed.values()), info, options)


def chance(scored: Sequence[ScoredRun], info: MetricInfo) -> str:
    """Returns the score of guessing, where the clips' scores hold it in their `details`."""
    values = [
        score.details["chance"]
        for item in scored
        for (_, name), score in item.scores.items()
        if name == info.name and "chance" in score.details
    ]
    if not values:
        return ""
    unit = f" {info.unit}" if info.unit else ""
    return f"{info.label} {fixed(float(np.mean(values)), info.decimals)}{unit}"


def annotate(table: Table, scored: Sequence[ScoredRun], options: TableOptions) -> Table:
    """Returns the table with these sentences in its caption, unless all its rows are reported."""
    if all(row.kind == "reported" for row in table.rows):
        return table
    found = remarks(scored, table.columns, options)
    return dataclasses.replace(table, remarks=(*found, *table.remarks))
