"""Rows beside the systems in the tables of pictures: the real stills, the mean face, and chance.

A picture's numbers mean nothing alone: a system that shows everybody the mean face has the least L1, and
one of four speakers is found by chance in a quarter of the pictures. So these stand as rows of their own,
made of what the scores hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from evaluation.metrics.base import FACES, MEAN_FACE, MetricInfo
from evaluation.reporting import bold
from evaluation.reporting.tables import Cell, Row, Table, TableOptions, cell_of
from evaluation.scoring.run import ScoredRun
from evaluation.stats.numbers import fixed
from manifests.records import Score

REAL, NOBODY, CHANCE = "real stills", "mean face of all speakers", "chance"
NOTHING = Cell(None, None, None, 0, 0, shown="–")
KINDS = {REAL: "recording", NOBODY: "control", CHANCE: "control"}


def with_controls(table: Table, scored: Sequence[ScoredRun], options: TableOptions) -> Table:
    """Returns the table with these rows where its columns are metrics of pictures."""
    if not table.columns or any(info.name not in FACES for info in table.columns):
        return table
    if table.by_speaker:
        return table
    rows = [
        Row(REAL, KINDS[REAL], tuple(_real(scored, info, options) for info in table.columns)),
        Row(NOBODY, KINDS[NOBODY], tuple(_nobody(scored, i, options) for i in table.columns)),
        Row(CHANCE, KINDS[CHANCE], tuple(_chance(scored, info) for info in table.columns)),
    ]
    return dataclasses.replace(table, rows=(*table.rows, *rows))


def _real(scored: Sequence[ScoredRun], info: MetricInfo, options: TableOptions) -> Cell:
    if not info.floor:
        return NOTHING
    values, failed = bold.floor_scores(scored, info)
    return cell_of(list(values.values()), list(failed.values()), info, options)


def _nobody(scored: Sequence[ScoredRun], info: MetricInfo, options: TableOptions) -> Cell:
    """The mean face in the place of the pictures, each clip once."""
    found: dict[tuple[str, str], Score] = {}
    for item in scored:
        for (_, name), score in item.scores.items():
            if name == info.name and MEAN_FACE in score.details:
                told = score.details[MEAN_FACE]
                details = {key: value for key, value in told.items() if key != "value"}
                found.setdefault(
                    (score.speaker, score.stem),
                    dataclasses.replace(score, value=told["value"], details=details),
                )
    return cell_of(list(found.values()), [], info, options) if found else NOTHING


def _chance(scored: Sequence[ScoredRun], info: MetricInfo) -> Cell:
    values = [
        score.details["chance"]
        for item in scored
        for (_, name), score in item.scores.items()
        if name == info.name and "chance" in score.details
    ]
    shown = fixed(float(np.mean(values)), info.decimals) if values else "–"
    return Cell(None, None, None, 0, 0, shown=shown)
