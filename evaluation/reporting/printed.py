"""A table as it is printed: heads, texts, bold and counts, decided once for every form.

`printed` makes one of a table of scores, `text_table` one of texts. The functions below it only write down
what was decided, as Markdown, LaTeX or for the terminal; pages do the same in `manifests/templates`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from evaluation.metrics.base import MetricInfo
from evaluation.reporting.tables import (
    Cell,
    Row,
    Table,
    caption,
    format_interval,
    format_mean,
    row_counts,
    same_counts,
)
from manifests.console import format_table
from manifests.io import write_text

CAPTION_CHARS = 345
"""Three lines below a table of two columns' width."""
URGENT = (
    *(
        "No run given",
        "Measured on",
        "Reported",
        "On the recordings",
        "Not known",
        "By chance",
        "Bold",
    ),
)
"""How the sentences begin that a caption keeps before others: without them its numbers mislead."""
ELSEWHERE = "More in the definitions."
MODEL_KINDS = ("model", "reported")
"""Kinds of rows that need no mark of their own."""


@dataclass(frozen=True)
class Head:
    """Head of a column.

    Attributes:
        label: what it says.
        is_text: whether its cells are texts, which stand to the left.
        best_is_high: whether sorting begins with the largest.
        over: a head above it, which neighbors of the same name share; "" for none.
    """

    label: str
    is_text: bool = False
    best_is_high: bool = False
    over: str = ""


@dataclass(frozen=True)
class Printed:
    """A cell: what it says.

    Attributes:
        text: the number, or a text.
        spread: its interval, or "".
        counts: its own counts, "" where the row says them once or there are none.
        bold: whether the text is bold.
        why: what happened to the clips that have no number.
        value: what it is sorted by, "" for its text and None where there is nothing.
        kind: a mark beside a row's name.
        is_bad: whether the cell says what failed.
    """

    text: str
    spread: str = ""
    counts: str = ""
    bold: bool = False
    why: str = ""
    value: float | str | None = ""
    kind: str = ""
    is_bad: bool = False

    @property
    def plain(self) -> str:
        """Everything in one line; an asterisk for bold, whose place others leave free."""
        return " ".join(filter(None, (self.text, self.spread))) + ("*" if self.bold else " ")


@dataclass(frozen=True)
class PrintedTable:
    """
    Attributes:
        key: short identifier, for labels and anchors.
        title: one line.
        heads, rows: of equal length each.
        caption: sentences below it, at most `CAPTION_CHARS` of a table of scores.
        sentences: all that its caption would say.
        has_parts: whether the first column names parts, printed once for neighboring rows.
    """

    key: str
    title: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Printed, ...], ...]
    caption: str = ""
    has_parts: bool = False
    sentences: tuple[str, ...] = ()

    @property
    def spans(self) -> tuple[tuple[str, int], ...]:
        """(name, columns) of the row of heads above the heads; empty where there is none."""
        if not any(head.over for head in self.heads):
            return ()
        return tuple(
            (name, len(list(heads))) for name, heads in groupby(h.over for h in self.heads)
        )


def printed(table: Table) -> PrintedTable:
    """A table of scores as it is printed. Where the cells of each row share their counts, one column at
    the end says them."""
    shared = same_counts(table)
    heads = [Head(label, is_text=True) for label in _label_heads(table)]
    over = table.over or ("",) * len(table.columns)
    heads += [
        Head(info.heading, best_is_high=info.direction == "higher", over=name)
        for info, name in zip(table.columns, over, strict=True)
    ]
    if shared:
        heads.append(Head("n"))
    rows = []
    for row in table.rows:
        cells = [Printed(text) for text in _labels(table, row)]
        named = row.kind in MODEL_KINDS or row.kind == row.label.casefold()
        cells[-1] = replace(cells[-1], kind="" if named else row.kind)
        cells += [
            printed_cell(cell, info, counts=not shared)
            for cell, info in zip(row.cells, table.columns, strict=True)
        ]
        if shared:
            cells.append(Printed(row_counts(row)))
        rows.append(tuple(cells))
    return PrintedTable(
        table.key,
        table.title,
        tuple(heads),
        tuple(rows),
        fitted(caption(table)),
        bool(table.part_head),
        tuple(caption(table)),
    )


def fitted(sentences: Sequence[str], chars: int = CAPTION_CHARS) -> str:
    """The sentences of a caption that fit, urgent ones first, in their order; what is left out is named
    as being in the appendix. A long sentence loses its intervals and counts before its place.

    Example:
        >>> fitted(["Recognizer: X.", "On the recordings: WER 2.1 % [0.0, 8.7] (8/0)."], 60)
        'On the recordings: WER 2.1 %. More in the definitions.'
    """
    if len(" ".join(sentences)) <= chars:
        return " ".join(sentences)
    kept: dict[int, str] = {}
    free = chars - len(ELSEWHERE)
    for i in sorted(range(len(sentences)), key=lambda i: not sentences[i].startswith(URGENT)):
        for text in (sentences[i], re.sub(r" \[[^]]*\]| \(\d+/\d+(?:/\d+)?\)", "", sentences[i])):
            if len(text) + 1 <= free:
                kept[i], free = text, free - len(text) - 1
                break
    return " ".join([*(kept[i] for i in sorted(kept)), ELSEWHERE])


def printed_cell(cell: Cell, info: MetricInfo, *, counts: bool) -> Printed:
    """A score as it is printed; a number of somebody else's has no counts of ours."""
    return Printed(
        format_mean(cell, info),
        format_interval(cell, info),
        f"({cell.counts})" if counts and not cell.shown else "",
        cell.best,
        "; ".join(f"{n} × {reason}" for reason, n in cell.reasons.items()),
        cell.mean,
    )


def text_table(
    heads: Sequence[str], rows: Sequence[Sequence[object]], *, key: str = "", title: str = "",
    n_text: int = 1, caption: str = "",
) -> PrintedTable:  # fmt: skip
    """A table of texts.

    Args:
        n_text: columns that stand to the left, the first of all.
    """
    return PrintedTable(
        key,
        title,
        tuple(Head(head, is_text=i < n_text) for i, head in enumerate(heads)),
        tuple(
            tuple(cell if isinstance(cell, Printed) else Printed(str(cell)) for cell in row)
            for row in rows
        ),
        caption,
    )


def _label_heads(table: Table) -> tuple[str, ...]:
    return (table.part_head, "System") if table.part_head else ("System",)


def _labels(table: Table, row: Row) -> tuple[str, ...]:
    return (row.part, row.label) if table.part_head else (row.label,)


# --- terminal


def terminal_table(table: PrintedTable) -> str:
    """Aligned columns; an asterisk marks what is bold elsewhere."""
    rows = [
        [
            cell.text if head.is_text else f"{cell.plain}{_joined(cell.counts)}"
            for head, cell in zip(table.heads, row, strict=True)
        ]
        for row in table.rows
    ]
    return format_table([head.label for head in table.heads], rows)


def _joined(text: str) -> str:
    return f" {text}" if text else ""


# --- Markdown


def markdown(text: str) -> str:
    """Text for a Markdown table cell: no markup, no HTML, no cell border, one line."""
    flat = " ".join(text.split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", flat)


def bullets(texts: Iterable[str]) -> str:
    """A list, an item for each text."""
    return "\n".join(f"- {markdown(text)}" for text in texts)


def write_document(path: Path, parts: Sequence[str]) -> None:
    """Atomically writes a document of parts that are in Markdown already."""
    write_text(path, "\n\n".join(parts) + "\n")


def markdown_table(table: PrintedTable) -> str:
    """The table's lines; its title and caption are the document's business."""
    lines = [
        [markdown(head.label) for head in table.heads],
        ["---" if head.is_text else "---:" for head in table.heads],
    ]
    for row in table.rows:
        cells = []
        for head, cell in zip(table.heads, row, strict=True):
            text = markdown(cell.text)
            text = f"**{text}**" if cell.bold else text
            # An interval's brackets cannot be taken for a link: nothing follows them.
            spread = cell.spread if not head.is_text else markdown(cell.spread)
            cells.append(" ".join(filter(None, (text, spread, cell.counts))))
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
ROWS_A_PAGE = 24


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


def latex_table(table: PrintedTable, caption_text: str) -> str:
    """A `table*`: each row in two lines, the numbers and, small, the intervals below them.

    Args:
        caption_text: in LaTeX already.
    """
    body = []
    part = None
    for row in table.rows:
        labels = [
            latex(cell.text) for head, cell in zip(table.heads, row, strict=True) if head.is_text
        ]
        if table.has_parts:
            if row[0].text == part:
                labels[0] = ""
            elif part is not None:
                body.append(r"\addlinespace")
            part = row[0].text
        above, below = list(labels), ["" for _ in labels]
        for cell in row[len(labels) :]:
            text = latex(cell.text)
            above.append(rf"\textbf{{{text}}}" if cell.bold else text)
            small = " ".join(filter(None, (latex(cell.spread), cell.counts)))
            below.append(rf"{{\scriptsize {small}}}" if small else "")
        body.append(" & ".join(above) + r" \\")
        if any(below):
            body.append(" & ".join(below) + r" \\")
    columns = "".join("l" if head.is_text else "c" for head in table.heads)
    heads = ["$n$" if head.label == "n" else latex(head.label) for head in table.heads]
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
            *_latex_spans(table),
            " & ".join(heads) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "}",
            r"\end{table*}",
        ]
    )


def _latex_spans(table: PrintedTable) -> list[str]:
    """The row of heads above the heads, with rules below them."""
    cells, rules, column = [], [], 1
    for name, n in table.spans:
        cells.append(rf"\multicolumn{{{n}}}{{c}}{{{latex(name)}}}")
        if name:
            rules.append(rf"\cmidrule(lr){{{column}-{column + n - 1}}}")
        column += n
    return [" & ".join(cells) + r" \\", "".join(rules)] if cells else []


def pages(table: PrintedTable) -> Iterator[tuple[int, PrintedTable]]:
    """The table in pieces that fit a page each, counted from 0."""
    for i, start in enumerate(range(0, max(len(table.rows), 1), ROWS_A_PAGE)):
        rows = table.rows[start : start + ROWS_A_PAGE]
        yield i, replace(table, key=f"{table.key}{i or ''}", rows=rows)
