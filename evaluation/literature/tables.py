"""The literature scored again: every published system under every judge, what was printed about it, and
how the judges order the systems beside the listeners.

Systems of one recipe said the same clips; those of two recipes did not, so that rows compare within their
part of a table alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.comparable import check_same_clips
from evaluation.inputs.pairs import RunDir, read_run
from evaluation.literature.agreement import FEWEST, Agreement, agreements
from evaluation.literature.recipes import ListeningTest, Recipe, recipes
from evaluation.metrics.base import Metric, MetricInfo
from evaluation.reporting import captions
from evaluation.reporting.heard import heard_in_training
from evaluation.reporting.printed import (
    Printed,
    PrintedTable,
    markdown,
    markdown_table,
    printed,
    printed_cell,
    text_table,
)
from evaluation.reporting.tables import (
    TITLES,
    Cell,
    Row,
    Table,
    TableOptions,
    speakers_of,
    system_rows,
)
from evaluation.reporting.writers import definition, latex_document
from evaluation.scoring.run import ScoredRun
from evaluation.stats.intervals import resample_counts
from manifests.errors import BadInput
from manifests.html import render
from manifests.io import write_text
from manifests.tables import write_csv

FORMATS = ("md", "html", "latex", "csv")
NAMES = {"md": "literature.md", "html": "literature.html", "latex": "literature.tex"}
CSV = "literature.csv"
RECORDINGS = "recordings"
BESIDE = {"pesq": ("pesq_wb", "pesq_nb")}
"""A printed measure whose mode nobody says → ours that may be meant."""
LEAD = (
    "Rows of one part are the same clips; clips, settings and speakers differ between the parts. A number "
    "counts for the few clips that the authors chose to publish, not for their test set."
)
REDRAWN = 1000
CSV_COLUMNS = (
    "recipe", "system", "kind", "metric", "unit", "direction", "value", "low", "high", "n_ok",
    "n_failed", "source", "quoted_by",
)  # fmt: skip


@dataclass(frozen=True)
class Published:
    """The scored systems of a recipe.

    Attributes:
        recipe: where they come from.
        scored: as the recipe orders them.
        tests: what listeners said of them.
    """

    recipe: Recipe
    scored: tuple[ScoredRun, ...]
    tests: tuple[ListeningTest, ...]


@dataclass(frozen=True)
class Literature:
    """Everything that the writers print.

    Attributes:
        published: the recipes with their scores.
        metrics: the columns.
        options: of the intervals.
        tables: measured scores, a table for each group of metrics.
        notes: for the reader.
    """

    published: tuple[Published, ...]
    metrics: tuple[Metric, ...]
    options: TableOptions
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()

    @property
    def printed(self) -> tuple[PrintedTable, ...]:
        """All tables as they are printed."""
        return (
            *map(printed, self.tables),
            printed_numbers(self),
            orders(self),
            sources(self),
        )


def read_runs(root: Path) -> list[tuple[Recipe, tuple[RunDir, ...]]]:
    """The runs below `root/RECIPE/SYSTEM`, in the order of the recipes.

    Raises:
        BadInput: there are none, or the systems of a recipe do not hold the same clips.
    """
    found = []
    for name, recipe in recipes().items():
        paths = sorted(path.parent for path in (root / name).glob("*/run.json"))
        if paths:
            place = {system.name: i for i, system in enumerate(recipe.systems)}
            runs = sorted(map(read_run, paths), key=lambda run: place.get(run.info.name, 99))
            check_same_clips(runs)
            found.append((recipe, tuple(runs)))
    if not found:
        raise BadInput(
            f"{root} holds no runs of published systems", "make them by `literature score`"
        )
    return found


def literature(
    published: Sequence[Published],
    metrics: Sequence[Metric],
    options: TableOptions,
    notes: Sequence[str] = (),
) -> Literature:
    """Makes the tables of scored publications."""
    shown = [metric for metric in metrics if metric.info.group != "floor"]
    tables = []
    for group, title in TITLES.items():
        chosen = [metric for metric in shown if metric.info.group == group]
        if chosen:
            columns = tuple(metric.info for metric in chosen)
            rows: list[Row] = []
            for one in published:
                rows += _rows(one, chosen, options)
            remarks = tuple(dict.fromkeys(info.note for info in columns if info.note))
            tables.append(Table(group, title, columns, tuple(rows), remarks=remarks))
    told = [
        f"{one.recipe.label}: {heard.sentence}"
        for one in published
        for heard in heard_in_training(one.scored, metrics)
    ]
    notes = (*notes, *told)
    return Literature(tuple(published), tuple(metrics), options, tuple(tables), notes)


def _rows(one: Published, metrics: Sequence[Metric], options: TableOptions) -> list[Row]:
    """The systems of a recipe, and the recordings of their clips."""
    rows = [
        Row(row.label, row.kind, row.cells, section=one.recipe.label)
        for row in system_rows(one.scored, metrics, options)
    ]
    floors = tuple(_floor(one, metric.info, options) for metric in metrics)
    if any(cell.mean is not None for cell in floors):
        rows.append(Row(RECORDINGS, "recording", floors, section=one.recipe.label))
    return rows


def _floor(one: Published, info: MetricInfo, options: TableOptions) -> Cell:
    if not info.floor:
        return Cell(None, None, None, 0, 0, shown="–")
    return captions.floor(one.scored, info, options)


# --- what was printed


def printed_numbers(report: Literature) -> PrintedTable:
    """Every number that a recipe knows, beside ours on the published samples."""
    rows: list[tuple[object, ...]] = []
    infos = {metric.info.name: metric.info for metric in report.metrics}
    for one in report.published:
        cells = _cells(report, one)
        for system in one.recipe.systems:
            for number in system.printed:
                names = BESIDE.get(number.metric, (number.metric,))
                ours = [
                    f"{infos[name].label} {_text(cells[name, system.name], infos[name])}"
                    for name in names
                    if (name, system.name) in cells
                ]
                rows.append(
                    (
                        one.recipe.label,
                        system.name,
                        number.metric,
                        number.value,
                        "; ".join(ours) or "–",
                        number.origin,
                    )
                )
    return text_table(
        ("Samples", "System", "Measure", "Printed", "Ours on the samples", "Source"),
        rows,
        key="printed",
        title="Printed beside measured",
        n_text=6,
        caption="Printed: on the authors' own test clips, by their own measures; ours: on the samples that "
        "they published. Two numbers of one name need not mean the same measure.",
    )


def _cells(report: Literature, one: Published) -> dict[tuple[str, str], Cell]:
    """(metric, system) → cell of the tables."""
    return {
        (info.name, row.label): cell
        for table in report.tables
        for row in table.rows
        if row.section == one.recipe.label and row.kind == "model"
        for info, cell in zip(table.columns, row.cells, strict=True)
        if cell.mean is not None
    }


def _text(cell: Cell, info: MetricInfo) -> str:
    shown: Printed = printed_cell(cell, info, counts=False)
    return " ".join(filter(None, (shown.text, shown.spread)))


# --- how the columns order the systems


def judged(
    one: Published, metrics: Sequence[Metric], seed: int = 0
) -> list[tuple[ListeningTest | None, list[Agreement]]]:
    """Each listening test of a recipe with every column's order beside it; (None, orders) without one.
    A column orders the systems by the clips of which all of them have its score."""
    infos = [metric.info for metric in metrics if metric.info.ranks]
    labels = sorted({clip.label: clip.speaker for item in one.scored for clip in item.run.clips})
    speakers = {clip.label: clip.speaker for item in one.scored for clip in item.run.clips}
    _, group = np.unique([speakers[label] for label in labels], return_inverse=True)
    counts = resample_counts(
        np.asarray(group, dtype=np.int64), REDRAWN, np.random.default_rng(seed)
    ).astype(np.float64)
    means: dict[str, dict[str, float]] = {}
    drawn: dict[str, dict[str, NDArray[np.float64]]] = {}
    for info in infos:
        found = {item.run.info.name: _values(item, info, labels) for item in one.scored}
        found = {system: both for system, both in found.items() if both[1].any()}
        if not found:
            continue
        # Failures never help: a clip on which one system fails counts for none.
        everywhere = np.all([weights > 0 for _, weights in found.values()], axis=0)
        if not everywhere.any():
            continue
        for system, (values, own) in found.items():
            weights = own * everywhere
            means.setdefault(info.name, {})[system] = float(
                (values * weights).sum() / weights.sum()
            )
            with np.errstate(invalid="ignore", divide="ignore"):
                redrawn = (counts @ (values * weights)) / (counts @ weights)
            drawn.setdefault(info.name, {})[system] = np.asarray(redrawn)
    directions = {info.name: info.direction for info in infos}
    tests: Sequence[ListeningTest | None] = one.tests or (None,)
    return [
        (
            test,
            agreements(means, directions, test.opinions if test else {}, drawn),
        )
        for test in tests
    ]


def _values(
    item: ScoredRun, info: MetricInfo, labels: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) values and (N,) weights of a run's clips; weight 0 where there is no score. Rates that are
    pooled over a set (EER) have no mean of clips, hence none here."""
    values, weights = np.zeros(len(labels)), np.zeros(len(labels))
    if info.pool:
        return values, weights
    for k, label in enumerate(labels):
        score = item.scores.get((label, info.name))
        if score is not None and score.status == "ok" and score.value is not None:
            values[k], weights[k] = score.value, score.weight
    return values, weights


def orders(report: Literature) -> PrintedTable:
    """The meta-evaluation: how each column orders the systems of each recipe, and its correlations with
    opinions of listeners where three systems have one."""
    labels = {metric.info.name: metric.info.heading for metric in report.metrics}
    rows: list[tuple[object, ...]] = []
    few = []
    for one in report.published:
        if len(one.scored) < 2:
            continue
        for test, found in judged(one, report.metrics, report.options.seed):
            n = max((agreement.n for agreement in found), default=0)
            if n < FEWEST:
                few.append(f"{one.recipe.label} ({n})")
            for agreement in found:
                rows.append(
                    (
                        one.recipe.label,
                        test.question if test else "–",
                        labels[agreement.column],
                        agreement.written,
                        _correlation(agreement.spearman, agreement.spearman_interval),
                        _correlation(agreement.kendall, agreement.kendall_interval),
                        "–" if agreement.p is None else f"{agreement.p:.2f}",
                        agreement.n,
                    )
                )
    sentences = [
        "Order: the best first, by the mean over the clips of which all systems have the score. "
        "Spearman and Kendall: rank correlation with the opinions of listeners over the systems that have "
        "one, positive where better scores go with better opinions; brackets: 95 % of redrawn speakers and "
        "clips, the systems staying as they are; p: of Kendall's, two-sided. With so few systems hardly "
        "any correlation differs from none."
    ]
    if few:
        sentences.append(
            f"Fewer than {FEWEST} systems have an opinion, so no correlation is printed: "
            f"{', '.join(few)}."
        )
    return text_table(
        ("Samples", "Listeners", "Metric", "Order", "Spearman", "Kendall", "p", "Systems"),
        rows,
        key="orders",
        title="How each column orders the systems",
        n_text=4,
        caption=" ".join(sentences),
    )


def _correlation(value: float | None, bounds: tuple[float, float] | None) -> Printed:
    if value is None:
        return Printed("–", value=None)
    spread = "" if bounds is None else f"[{bounds[0]:.2f}, {bounds[1]:.2f}]"
    return Printed(f"{value:.2f}", spread, value=value)


def sources(report: Literature) -> PrintedTable:
    """Returns where the samples and the opinions come from."""
    rows = [
        (
            one.recipe.label,
            one.recipe.title,
            one.recipe.git or one.recipe.page,
            one.recipe.license,
            len({clip.label for item in one.scored for clip in item.run.clips}),
            len(speakers_of(one.scored)),
            " ".join(
                [
                    one.recipe.remarks,
                    *(
                        f"Listeners ({test.question}): {test.origin}. {test.remarks}".strip()
                        for test in one.tests
                    ),
                ]
            ),
        )
        for one in report.published
    ]
    return text_table(
        ("Samples", "Publication", "Place", "License", "Clips", "Speakers", "Remarks"),
        rows,
        key="sources",
        title="Where the samples come from",
        n_text=7,
    )


def with_listeners(
    published: Sequence[Published], opinions: Mapping[str, float], source: str
) -> list[Published]:
    """Adds the user's own listening test to every recipe of which it judged a system.

    Raises:
        BadInput: it judged none of the systems.
    """
    found, used = [], set()
    for one in published:
        own = {s: v for s, v in opinions.items() if s in {i.run.info.name for i in one.scored}}
        used |= set(own)
        test = ListeningTest("own listeners", source, "", "", own)
        found.append(Published(one.recipe, one.scored, (*one.tests, test) if own else one.tests))
    if not used:
        raise BadInput(
            f"{source} judges none of the systems ({', '.join(sorted(opinions))})",
            "write the systems as the table names them",
        )
    return found


# --- writers


def write(report: Literature, out: Path, formats: Sequence[str]) -> list[Path]:
    """Writes `literature.md`, `.html`, `.tex` and `.csv`; returns their paths."""
    tables = report.printed
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    if "md" in formats:
        paths.append(_write(out / NAMES["md"], _markdown(report, tables)))
    if "html" in formats:
        page = render(
            "evaluation.literature",
            "literature.html",
            title="Published systems, scored again",
            lead=LEAD,
            notes=report.notes,
            tables=tables,
            definitions=[(m.info.heading, definition(m.info)) for m in _columns(report)],
        )
        paths.append(_write(out / NAMES["html"], page))
    if "latex" in formats:
        paths.append(_write(out / NAMES["latex"], latex_document(tables, (LEAD, *report.notes))))
    if "csv" in formats:
        paths.append(out / CSV)
        write_csv(out / CSV, CSV_COLUMNS, _csv_rows(report))
    return paths


def _columns(report: Literature) -> list[Metric]:
    return [metric for metric in report.metrics if metric.info.group != "floor"]


def _write(path: Path, text: str) -> Path:
    write_text(path, text)
    return path


def _markdown(report: Literature, tables: Sequence[PrintedTable]) -> str:
    parts = ["# Published systems, scored again", LEAD]
    parts += [f"> {markdown(note)}" for note in report.notes]
    for table in tables:
        parts += [f"## {table.title}", markdown_table(table)]
        if table.caption:
            parts.append(markdown(table.caption))
    parts.append("## Definitions")
    parts.append(
        "\n".join(
            f"- **{markdown(m.info.heading)}**: {markdown(definition(m.info))}"
            for m in _columns(report)
        )
    )
    return "\n\n".join(parts) + "\n"


def _csv_rows(report: Literature) -> list[list[object]]:
    """Tidy long: measured scores, floors, printed numbers and opinions, a line each."""
    labels = {one.recipe.label: one.recipe.name for one in report.published}
    rows: list[list[object]] = []
    for table in report.tables:
        for row in table.rows:
            for cell, info in zip(row.cells, table.columns, strict=True):
                if cell.mean is not None:
                    rows.append(
                        [
                            *(labels[row.section], row.label, row.kind),
                            *(info.name, info.unit, info.direction),
                            *(cell.mean, cell.low, cell.high, cell.n_ok, cell.n_failed, "", ""),
                        ]
                    )
    for one in report.published:
        for system in one.recipe.systems:
            for number in system.printed:
                where = f"{number.source}, {number.setting}" if number.setting else number.source
                rows.append(
                    [
                        *(one.recipe.name, system.name, "printed", number.metric, "", ""),
                        *(number.value, "", "", "", "", where, number.quoted_by),
                    ]
                )
        for test in one.tests:
            rows += [
                [
                    *(one.recipe.name, system, "listeners", f"mos {test.question}", "", "higher"),
                    *(value, "", "", "", "", test.source, test.quoted_by),
                ]
                for system, value in test.opinions.items()
            ]
    return rows
