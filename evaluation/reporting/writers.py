"""Tables as Markdown, LaTeX (booktabs) and CSV. Names come from outside, so each writer escapes
what its readers would take for markup or for a formula."""

from __future__ import annotations

import dataclasses
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evaluation.embeddings.sets import Set
from evaluation.inputs.pairs import clip_label
from evaluation.metrics.base import Metric, MetricInfo
from evaluation.reporting import confusions
from evaluation.reporting.tables import (
    Cell,
    Row,
    Table,
    TableOptions,
    caption,
    failure_lines,
    format_interval,
    format_mean,
    reading,
    row_counts,
    same_counts,
)
from evaluation.scoring.run import ScoredRun
from manifests.io import atomic_open, write_csv
from manifests.ordering import natural
from manifests.tables import csv_text


@dataclass(frozen=True)
class EvaluationReport:
    """Everything that the writers print.

    Attributes:
        scored: the runs with their scores.
        metrics: the columns, in order.
        tables: one for each group of metrics, all speakers.
        speakers: a row a speaker and system.
        options: how intervals were made.
        versions: library → version.
        notes: what a reader must know beside the captions (metrics that could not be computed).
        paper: the paper's tables, with its rows as reported.
        listening: a table for each listening test that a run took part in.
        embeddings: sets for Figure 2, in the page.
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

    @property
    def all_tables(self) -> tuple[Table, ...]:
        return (*self.paper, *self.tables, *self.listening, self.speakers)

    @property
    def columns(self) -> tuple[MetricInfo, ...]:
        """What is defined below the tables: every metric but the floors, then what only the papers
        measured."""
        found = {m.info.name: m.info for m in self.metrics if m.info.group != "floor"}
        for table in self.all_tables:
            for info in table.columns:
                found.setdefault(info.name, info)
        return tuple(found.values())

    def reading(self) -> list[str]:
        return reading(self.scored, self.options, self.versions)


def definition(info: MetricInfo) -> str:
    """`Definition (Citation).`"""
    return f"{info.definition.rstrip('.')} ({info.citation})."


def row_heads(table: Table) -> tuple[str, ...]:
    return (table.part_head, "System") if table.part_head else ("System",)


def row_labels(table: Table, row: Row) -> tuple[str, ...]:
    return (row.part, row.label) if table.part_head else (row.label,)


# --- Markdown


def markdown(text: str) -> str:
    """Text for a Markdown table cell: no markup, no HTML, no cell border, one line."""
    flat = " ".join(text.split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", flat)


def markdown_cell(cell: Cell, info: MetricInfo, *, counts: bool) -> str:
    mean = format_mean(cell, info)
    mean = f"**{mean}**" if cell.best else mean
    counted = counts and not cell.shown
    parts = [mean, format_interval(cell, info), f"({cell.counts})" if counted else ""]
    return " ".join(part for part in parts if part)


def markdown_table(table: Table) -> str:
    shared = same_counts(table)
    heads = [*row_heads(table), *(markdown(info.heading) for info in table.columns)]
    rules = [*("---" for _ in row_heads(table)), *("---:" for _ in table.columns)]
    if shared:
        heads.append("n")
        rules.append("---:")
    lines = [heads, rules]
    for row in table.rows:
        cells = [
            markdown_cell(cell, info, counts=not shared)
            for cell, info in zip(row.cells, table.columns, strict=True)
        ]
        lines.append([*map(markdown, row_labels(table, row)), *cells])
        if shared:
            lines[-1].append(row_counts(row))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_markdown(path: Path, report: EvaluationReport) -> None:
    parts = ["# Evaluation report", markdown(" ".join(report.reading()))]
    parts += [f"> {markdown(note)}" for note in report.notes]
    for table in report.all_tables:
        parts += [f"## {table.title}", markdown_table(table)]
        if caption(table):
            parts.append(markdown(" ".join(caption(table))))
    letters = confusions.lines(report.scored)
    if letters:
        parts.append("## Letters heard for others (said→heard, clips)")
        parts.append("\n".join(f"- {markdown(f'{name}: {text}')}" for name, text in letters))
    failures = failure_lines(report.scored)
    if failures:
        parts.append("## Failed and missing")
        rows = [["System", "Reason", "Metrics", "Clips"], ["---", "---", "---", "---:"]]
        rows += [[*map(markdown, (name, why, names)), str(n)] for name, why, names, n in failures]
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    parts.append("## Definitions")
    parts.append(
        "\n".join(
            f"- **{markdown(info.heading)}** (`{info.name}`): {markdown(definition(info))}"
            for info in report.columns
        )
    )
    with atomic_open(path) as file:
        file.write("\n\n".join(parts) + "\n")


# --- LaTeX

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "’": "'",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "√": r"$\surd$",
    "‖": r"$\|$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "ĉ": r"$\hat{c}$",
    "₂": r"$_2$",
    "°": r"\textdegree{}",
    "µ": r"$\mu$",
}


def latex(text: str) -> str:
    """Text for LaTeX (T1 fonts): special characters escaped, letters outside Latin named by their
    code point, since they would stop pdfLaTeX."""
    pieces = []
    for char in unicodedata.normalize("NFC", " ".join(text.split())):
        if char in _LATEX:
            pieces.append(_LATEX[char])
        elif " " <= char <= "~" or "À" <= char <= "ſ":
            pieces.append(char)
        else:
            pieces.append(f"[U+{ord(char):04X}]")
    # Two hyphens would be drawn as a dash.
    return "".join(pieces).replace("--", "-{}-") if "--" in text else "".join(pieces)


def latex_table(table: Table, caption_text: str) -> str:
    """A `table*`: each system in two lines, the means and, small, the intervals below them."""
    shared = same_counts(table)
    heads = [*row_heads(table)]
    body = []
    for previous, row in zip((None, *table.rows), table.rows, strict=False):
        first = [latex(label) for label in row_labels(table, row)]
        if previous is not None and table.part_head:
            if previous.part == row.part:
                first[0] = ""
            else:
                body.append(r"\addlinespace")
        means = []
        spreads = []
        for cell, info in zip(row.cells, table.columns, strict=True):
            mean = latex(format_mean(cell, info))
            means.append(rf"\textbf{{{mean}}}" if cell.best else mean)
            spread = latex(format_interval(cell, info))
            counts = "" if shared or cell.shown else f"({cell.counts})"
            below = " ".join(filter(None, (spread, counts)))
            spreads.append(rf"{{\scriptsize {below}}}" if below else "")
        if shared:
            means.append(latex(row_counts(row)))
            spreads.append("")
        body.append(" & ".join([*first, *means]) + r" \\")
        if any(spreads):
            body.append(" & ".join([*("" for _ in first), *spreads]) + r" \\")
    columns = "l" * len(heads) + "c" * (len(table.columns) + shared)
    heads += [latex(info.heading) for info in table.columns] + (["$n$"] if shared else [])
    return "\n".join(
        [
            r"\begin{table*}[tp]",
            r"\centering",
            rf"\caption[{latex(table.title)}]{{{caption_text}}}",
            rf"\label{{tab:{table.key}}}",
            r"\setlength{\tabcolsep}{3pt}",
            # Shrunk only where it is wider than the page.
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(heads) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "}",
            r"\end{table*}",
        ]
    )


ROWS_A_PAGE = 24


def pages(table: Table) -> Iterator[tuple[int, Table]]:
    """The table in pieces that fit a page each, counted from 0."""
    for i, start in enumerate(range(0, max(len(table.rows), 1), ROWS_A_PAGE)):
        rows = table.rows[start : start + ROWS_A_PAGE]
        yield i, dataclasses.replace(table, key=f"{table.key}{i or ''}", rows=rows)


def write_latex(path: Path, report: EvaluationReport) -> None:
    """A document that compiles as it is; the tables can be taken out of it."""
    parts = [
        "% Needs booktabs and graphicx. Each table* can be copied into a paper.",
        r"\documentclass[10pt,twocolumn]{article}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage{textcomp}",
        r"\usepackage{booktabs}",
        r"\usepackage{graphicx}",
        r"\usepackage[margin=18mm]{geometry}",
        r"\begin{document}",
        *(rf"\noindent {latex(note)}\par" for note in report.notes),
    ]
    for table in report.all_tables:
        text = latex(" ".join([f"{table.title}.", *caption(table), *report.reading()]))
        if not table.by_speaker:
            text += " " + " ".join(
                rf"\textbf{{{latex(info.label)}}}: {latex(definition(info))}"
                for info in table.columns
            )
        parts += [latex_table(page, text if i == 0 else "(Continued.)") for i, page in pages(table)]
    parts.append(r"\end{document}")
    with atomic_open(path) as file:
        file.write("\n\n".join(parts) + "\n")


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
                numbers = ["" if v is None else repr(v) for v in (cell.mean, cell.low, cell.high)]
                counts = ("", "", "") if cell.shown else (cell.n_ok, cell.n_failed, cell.n_missing)
                how = "range" if cell.is_range else report.options.method
                sure = "" if cell.is_range else report.options.confidence
                rows.append(
                    [
                        *map(csv_text, names),
                        *(column.name, column.unit, column.direction),
                        *numbers,
                        *(("", "") if cell.shown else (how, sure)),
                        *(*counts, int(cell.best)),
                    ]
                )
    write_csv(path, SUMMARY_COLUMNS, rows)


def write_clips_csv(path: Path, report: EvaluationReport) -> None:
    """Tidy long: a line for each system, clip and metric."""
    rows = []
    for item in report.scored:
        for clip in sorted(item.run.clips, key=lambda c: natural(clip_label(c))):
            for metric in report.metrics:
                score = item.scores.get((clip_label(clip), metric.info.name))
                if score is None:  # the metric does not apply to this run
                    continue
                names = (item.run.info.name, clip.speaker, clip.stem, clip.voice or clip.speaker)
                value = "" if score.value is None else repr(score.value)
                details = json.dumps(score.details, ensure_ascii=False) if score.details else ""
                rows.append(
                    [
                        *map(csv_text, names),
                        *(metric.info.name, value, metric.info.unit, score.status),
                        csv_text(score.reason),
                        *(score.weight, csv_text(details)),
                    ]
                )
    write_csv(path, CLIP_COLUMNS, rows)
