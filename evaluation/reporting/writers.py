"""A report as Markdown, LaTeX (booktabs) and CSV, with an appendix of definitions.

The content of a table is decided in `reporting.tables` and `reporting.printed`. Names come from
outside, so each writer escapes what its readers would take for markup or for a formula.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.embeddings.sets import Set
from evaluation.metrics.base import Metric, MetricInfo
from evaluation.reporting import confusions, protocol
from evaluation.reporting.printed import (
    CAPTION_CHARS,
    ELSEWHERE,
    PrintedTable,
    bullets,
    fitted,
    latex,
    latex_table,
    markdown,
    markdown_table,
    pages,
    printed,
    text_table,
    write_document,
)
from evaluation.reporting.tables import Table, TableOptions, failure_lines, method, reading
from evaluation.scoring.run import ScoredRun
from manifests.io import write_text
from manifests.ordering import natural
from manifests.tables import write_csv

DEFINITIONS = "definitions.md"


@dataclass(frozen=True)
class EvaluationReport:
    """Everything that the writers print.

    Attributes:
        scored: the runs with their scores.
        metrics: the columns, in order.
        tables: one for each group of metrics, all speakers.
        speakers: one row per speaker and system.
        options: options of the intervals.
        versions: library → version.
        notes: notes for the reader beside the captions (metrics that could not be computed).
        paper: the paper's tables, with its rows as reported.
        listening: a table for each listening test that a run took part in.
        embeddings: sets for Figure 2, in the page.
        protocol: the card of `reporting.protocol`.
    """

    scored: tuple[ScoredRun, ...]
    metrics: tuple[Metric, ...]
    tables: tuple[Table, ...]
    speakers: Table
    options: TableOptions
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    paper: tuple[Table, ...] = ()
    listening: tuple[Table, ...] = ()
    embeddings: tuple[Set, ...] = ()
    protocol: dict[str, Any] = field(default_factory=dict)

    @property
    def all_tables(self) -> tuple[Table, ...]:
        return (*self.paper, *self.tables, *self.listening, self.speakers)

    @property
    def columns(self) -> tuple[MetricInfo, ...]:
        """Returns what is defined below the tables: every metric but the floors, then what only the
        papers measured."""
        found = {m.info.name: m.info for m in self.metrics if m.info.group != "floor"}
        for table in self.all_tables:
            for info in table.columns:
                found.setdefault(info.name, info)
        return tuple(found.values())

    @cached_property
    def printed(self) -> tuple[PrintedTable, ...]:
        """All tables as they are printed."""
        return tuple(map(printed, self.all_tables))

    def reading(self) -> list[str]:
        """Returns the sentences that all tables share."""
        return reading(self.scored, self.options)

    def lead(self) -> str:
        """The first sentences of `reading`, for captions: clips, and what the intervals are."""
        return " ".join(self.reading()[:2])

    def method(self) -> list[str]:
        """Returns the sentences of the appendix on methods."""
        return [*self.reading(), *method(self.options, self.versions)]

    def captions(self, *, cut: bool = False) -> list[str]:
        """Returns all that the captions would say, of every table or of those that a page had to cut."""
        return [
            f"{table.title}: {' '.join(table.sentences)}"
            for table in self.printed
            if table.sentences and (not cut or table.caption.endswith(ELSEWHERE))
        ]


def definition(info: MetricInfo) -> str:
    """`Definition (Citation).`"""
    return f"{info.definition.rstrip('.')} ({info.citation})."


# --- Markdown


def write_markdown(path: Path, report: EvaluationReport) -> None:
    """Writes the report as Markdown; definitions are in a file of their own beside it."""
    parts = ["# Evaluation report", markdown(" ".join(report.reading()))]
    parts += [f"> {markdown(note)}" for note in report.notes]
    for table in report.printed:
        parts += [f"## {table.title}", markdown_table(table)]
        if table.caption:
            parts.append(markdown(table.caption))
    letters = confusions.lines(report.scored)
    if letters:
        parts.append("## Letters heard for others (said→heard, clips)")
        parts.append(bullets(f"{name}: {text}" for name, text in letters))
    failures = failure_table(report)
    if failures.rows:
        parts += [f"## {failures.title}", markdown_table(failures)]
    parts += ["## Protocol", bullets(protocol.sentences(report.protocol))]
    parts.append(f"The same for programs: [{protocol.FILE}]({protocol.FILE}).")
    parts.append(f"What each column measures: [{DEFINITIONS}]({DEFINITIONS}).")
    write_document(path, parts)


def write_definitions(path: Path, report: EvaluationReport) -> None:
    """Writes the appendix of the other files: definitions of the columns, and the methods."""
    parts = ["# Definitions"]
    parts.append(
        "\n".join(
            f"- **{markdown(info.heading)}** (`{info.name}`): {markdown(definition(info))}"
            for info in report.columns
        )
    )
    if repeated := protocol.published(report.metrics):
        parts.append("## As published")
        parts += [
            f"**{markdown(each.label)}**: {markdown(each.paper)} ({markdown(each.source)}).\n\n"
            + bullets(filter(None, (*each.departures, each.missing)))
            for each in repeated
        ]
    parts.append("## How the tables are computed")
    parts.append(bullets(report.method()))
    if told := report.captions():
        parts.append("## Captions in full")
        parts.append(bullets(told))
    write_document(path, parts)


def failure_table(report: EvaluationReport) -> PrintedTable:
    """Every kind of failure, a row for each system and reason."""
    return text_table(
        ("System", "Reason", "Metrics", "Clips"),
        failure_lines(report.scored),
        key="failures",
        title="Failed and missing",
        n_text=3,
    )


# --- LaTeX


def write_latex(path: Path, report: EvaluationReport) -> None:
    """Writes a LaTeX document that compiles as is; its tables can be copied into papers."""
    lead = report.lead()
    told = []
    for table in report.printed:
        room = CAPTION_CHARS - len(f"{table.title}. {lead}") - 1
        said = fitted(table.sentences, room)
        told.append(replace(table, caption=" ".join(filter(None, (said, lead)))))
    notes = (f"What each column measures: {DEFINITIONS}.",)
    write_text(path, latex_document(told, report.notes, notes).rstrip("\n") + "\n")


def latex_document(
    tables: Sequence[PrintedTable], notes: Sequence[str] = (), comments: Sequence[str] = ()
) -> str:
    """A LaTeX document that compiles as is, of tables with their captions.

    Args:
        notes: paragraphs before the tables.
        comments: lines for whoever opens the file.
    """
    parts = [
        "% Needs booktabs and graphicx. Each table* can be copied into a paper.",
        *(f"% {comment}" for comment in comments),
        r"\documentclass[10pt,twocolumn]{article}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage{textcomp}",
        r"\usepackage{booktabs}",
        r"\usepackage{graphicx}",
        r"\usepackage[margin=18mm]{geometry}",
        r"\begin{document}",
        *(rf"\noindent {latex(note)}\par" for note in notes),
    ]
    for table in tables:
        text = latex(" ".join(filter(None, (f"{table.title}.", table.caption))))
        parts += [latex_table(page, text if i == 0 else "(Continued.)") for i, page in pages(table)]
    parts.append(r"\end{document}")
    return "\n\n".join(parts) + "\n"


# --- CSV

SUMMARY_COLUMNS = (
    "system", "kind", "split", "subset", "speaker", "metric", "unit", "direction", "mean", "low",
    "high", "interval", "confidence", "n_ok", "n_failed", "n_missing", "best",
)  # fmt: skip
CLIP_COLUMNS = (
    "system", "speaker", "stem", "voice", "metric", "value", "unit", "status", "reason", "weight",
    "details",
)  # fmt: skip


def write_summary_csv(path: Path, report: EvaluationReport) -> None:
    """Tidy long: a line for each system, speaker (`all` is everyone) and metric. Of the paper's
    tables the reported rows, with the table for a split and its part for a subset."""
    rows = []
    runs = {item.run.info.name: item.run.info for item in report.scored}
    for table in report.all_tables:
        for row in table.rows:
            if row.kind == "reported":
                names = (row.label, row.kind, table.key, row.section, "all")
            elif table in report.paper:
                continue  # measured: a line of the other tables
            elif row.label not in runs:  # heard beside the runs by the listeners of a test
                names = (row.label, row.kind, "", "", "all")
            else:
                info = runs[row.label]
                names = (info.name, info.kind, info.split, info.subset, row.speaker or "all")
            for cell, column in zip(row.cells, table.columns, strict=True):
                if cell.shown and cell.mean is None:
                    continue
                counts = ("", "", "") if cell.shown else (cell.n_ok, cell.n_failed, cell.n_missing)
                how = "range" if cell.is_range else report.options.method
                sure = "" if cell.is_range else report.options.confidence
                rows.append(
                    [
                        *names,
                        *(column.name, column.unit, column.direction),
                        *(cell.mean, cell.low, cell.high),
                        *(("", "") if cell.shown else (how, sure)),
                        *(*counts, int(cell.best)),
                    ]
                )
    write_csv(path, SUMMARY_COLUMNS, rows)


def write_clips_csv(path: Path, report: EvaluationReport) -> None:
    """Tidy long: a line for each system, clip and metric."""
    rows = []
    for item in report.scored:
        for clip in sorted(item.run.clips, key=lambda c: natural(c.label)):
            for metric in report.metrics:
                score = item.scores.get((clip.label, metric.info.name))
                if score is None:  # the metric does not apply to this run
                    continue
                names = (item.run.info.name, clip.speaker, clip.stem, clip.voice or clip.speaker)
                details = json.dumps(score.details, ensure_ascii=False) if score.details else ""
                rows.append(
                    [
                        *names,
                        *(metric.info.name, score.value, metric.info.unit, score.status),
                        *(score.reason, score.weight, details),
                    ]
                )
    write_csv(path, CLIP_COLUMNS, rows)
