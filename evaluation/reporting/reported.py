"""The paper's Tables I, II and III: its rows as reported, beside what was measured here.

The reported numbers live in `data/reported.json` and nowhere else. They come from other recognizers,
other listeners and other clips, so they stand in rows of their own, count no clips, and never compete
for bold type with measured ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from evaluation.inputs.pairs import RunDir
from evaluation.metrics.base import Metric, MetricInfo
from evaluation.reporting.tables import Cell, Row, Table, TableOptions, system_rows
from evaluation.scoring.run import ScoredRun
from manifests.records import RunClip

TABLES = ("small", "large", "disentanglement")
CHOICES = (*TABLES, "all")
OBJECTIVE, SUBJECTIVE = "Objective", "Subjective"
ABSENT = Cell(None, None, None, 0, 0, shown="–")


@dataclass(frozen=True)
class Part:
    """Rows of a table that compare with each other.

    Attributes:
        name: `seen`, `unseen`, …, "" where the table has only one part.
        clips: which measured clips belong beside them: `all`, `seen`, `unseen`, `swaps` or `none`.
        rows: (system, column → number as printed, columns that the paper prints in bold).
    """

    name: str
    clips: str
    rows: tuple[tuple[str, dict[str, str], frozenset[str]], ...]


@dataclass(frozen=True)
class Reported:
    """One table of the paper.

    Attributes:
        key: `small`, `large` or `disentanglement`.
        number, title: as the paper counts and names it.
        splits: our splits that are made as its are.
        columns: as printed.
        parts: in the paper's order.
        remarks: what a caption must say; the paper and its conditions come first.
        measured_columns: metrics that stand beside them where they were computed, although the paper
            has no such columns; several judges of one thing stand beside each other.
        measured_remark: what a caption must say of those.
        subjective: columns of listeners' judgments.
    """

    key: str
    number: str
    title: str
    splits: tuple[str, ...]
    columns: tuple[MetricInfo, ...]
    parts: tuple[Part, ...]
    remarks: tuple[str, ...]
    measured_columns: tuple[str, ...] = ()
    measured_remark: str = ""
    subjective: frozenset[str] = frozenset()


@lru_cache(maxsize=1)
def reported_tables() -> dict[str, Reported]:
    """The paper's tables by their keys."""
    text = (resources.files("evaluation.reporting") / "reported.json").read_text("utf-8")
    values: dict[str, Any] = json.loads(text)
    subjective = frozenset(
        name for name, column in values["columns"].items() if column.pop("subjective", False)
    )
    columns = {
        name: MetricInfo(name=name, group="headline", license="", **column)
        for name, column in values["columns"].items()
    }
    source = (f"Reported: {values['paper']}, as printed.", *values["conditions"])
    return {
        key: Reported(
            key,
            table["number"],
            table["title"],
            tuple(table["splits"]),
            tuple(columns[name] for name in table["columns"]),
            tuple(
                Part(
                    part["name"],
                    part["clips"],
                    tuple(
                        (row["system"], row["values"], frozenset(row.get("bold", ())))
                        for row in part["rows"]
                    ),
                )
                for part in table["parts"]
            ),
            (*source, *table["remarks"]),
            tuple(table.get("measured_columns", ())),
            table.get("measured_remark", ""),
            subjective,
        )
        for key, table in values["tables"].items()
    }


def paper_tables(
    which: str,
    scored: Sequence[ScoredRun],
    metrics: Sequence[Metric],
    options: TableOptions,
    others: Sequence[Table] = (),
) -> list[Table]:
    """The paper's tables with measured rows above the reported ones.

    Args:
        which: one of `CHOICES`.
        others: further tables with a row a system over all its clips (of listening tests), whose
            columns of the same names fill what no metric measures.
    """
    keys = TABLES if which == "all" else (which,)
    return [_table(reported_tables()[key], scored, metrics, options, others) for key in keys]


def _table(
    paper: Reported,
    scored: Sequence[ScoredRun],
    metrics: Sequence[Metric],
    options: TableOptions,
    others: Sequence[Table],
) -> Table:
    by_name = {metric.info.name: metric for metric in metrics}
    heard = {info.name: info for table in others for info in table.columns}
    columns = tuple(
        by_name[info.name].info if info.name in by_name else heard.get(info.name, info)
        for info in paper.columns
    )
    more = tuple(by_name[name].info for name in paper.measured_columns if name in by_name)
    rows: list[Row] = []
    wider = _ordered(paper, (*columns, *more))
    for part in paper.parts:
        rows += _measured(part, wider, scored, by_name, options, others)
    columns = wider if rows else columns  # without a run of such clips the paper's columns are all
    more = more if rows else ()
    for part in paper.parts:
        rows += [
            Row(
                system,
                "reported",
                _printed(columns, values, bold),
                section=_section("reported", part),
            )
            for system, values, bold in part.rows
        ]
    remarks = list(paper.remarks)
    if more and paper.measured_remark:
        remarks.insert(0, paper.measured_remark)
    made_for = {item.run.info.split for item in scored}
    if not any(row.kind != "reported" for row in rows):
        remarks.insert(0, "No run given holds such clips.")
    elif made_for - set(paper.splits):
        split = ", ".join(sorted(name or "–" for name in made_for))
        remarks.insert(0, f"Measured on split {split}, not on the table's own.")
    title = f"{paper.number} of the paper: {paper.title}"
    over = tuple(SUBJECTIVE if c.name in paper.subjective else OBJECTIVE for c in columns)
    return Table(
        f"paper-{paper.key}", title, columns, tuple(rows), remarks=tuple(remarks), over=over
    )


def _ordered(paper: Reported, columns: Sequence[MetricInfo]) -> tuple[MetricInfo, ...]:
    """Columns with the listeners' judgments last, so that one head stands above each kind."""
    return tuple(sorted(columns, key=lambda info: info.name in paper.subjective))


def _section(origin: str, part: Part) -> str:
    return f"{origin}, {part.name}" if part.name else origin


def _printed(
    columns: Sequence[MetricInfo], values: dict[str, str], bold: frozenset[str]
) -> tuple[Cell, ...]:
    """Numbers with the digits and the bold type that the paper gives them, not with ours."""
    return tuple(
        Cell(
            float(values[info.name]),
            None,
            None,
            0,
            0,
            shown=values[info.name],
            best=info.name in bold,
        )
        if info.name in values
        else ABSENT
        for info in columns
    )


def _measured(
    part: Part,
    columns: Sequence[MetricInfo],
    scored: Sequence[ScoredRun],
    metrics: dict[str, Metric],
    options: TableOptions,
    others: Sequence[Table],
) -> list[Row]:
    keep = KEEP.get(part.clips)
    if keep is None:
        return []
    chosen = [item for item in scored if any(keep(item.run, clip) for clip in item.run.clips)]
    used = [metrics[info.name] for info in columns if info.name in metrics]
    rows = []
    whole = all(keep(item.run, clip) for item in chosen for clip in item.run.clips)
    made = system_rows(chosen, used, options, keep=None if whole else keep) if chosen else []
    for item, row in zip(chosen, made, strict=True):
        known = {metric.info.name: cell for metric, cell in zip(used, row.cells, strict=True)}
        if all(keep(item.run, clip) for clip in item.run.clips):
            known.update(_heard(row.label, others))
        cells = tuple(known.get(info.name, ABSENT) for info in columns)
        rows.append(Row(row.label, row.kind, cells, section=_section("measured", part)))
    return rows


def _heard(system: str, others: Sequence[Table]) -> dict[str, Cell]:
    """Column → cell of one system in the tables of listening tests."""
    return {
        info.name: cell
        for table in others
        for row in table.rows
        if row.label == system
        for info, cell in zip(table.columns, row.cells, strict=True)
    }


def _swapped(clip: RunClip) -> bool:
    return bool(clip.voice) and clip.voice != clip.speaker


def _seen(run: RunDir, clip: RunClip) -> bool | None:
    """Returns whether the clip's speaker was trained on; None where nobody says."""
    if clip.seen is not None:
        return clip.seen
    return {"large-seen": True, "large-unseen": False}.get(run.info.split)


KEEP: dict[str, Callable[[RunDir, RunClip], bool]] = {
    "all": lambda run, clip: not _swapped(clip),
    "seen": lambda run, clip: not _swapped(clip) and _seen(run, clip) is True,
    "unseen": lambda run, clip: not _swapped(clip) and _seen(run, clip) is False,
    "swaps": lambda run, clip: _swapped(clip),
}
"""Which clips belong beside a part's reported rows."""
