"""Scores → tables as plain data; the writers only print what is decided here.

A row is a system, a column a metric, a cell a mean over clips with its interval and its counts. A
clip that failed or is missing is counted and never averaged in.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import RunDir
from evaluation.metrics.base import Group, Metric, MetricInfo
from evaluation.metrics.protocols import BESIDE
from evaluation.reporting import bold
from evaluation.scoring.run import ScoredRun
from evaluation.stats import intervals as statistics
from evaluation.stats import pooling
from evaluation.stats.numbers import fixed
from manifests.ordering import natural
from manifests.records import RunClip, Score


@dataclass(frozen=True)
class Cell:
    """One metric of one system.

    Attributes:
        mean, low, high: None where there is no value, or no spread to estimate.
        n_ok, n_failed, n_missing: clips with a score, with a recorded failure, without a line in
            `clips.jsonl`.
        best: printed in bold (see `evaluation.reporting.bold`).
        reasons: reason → count of the failures.
        is_range: `low` and `high` are the least and the largest value, not an interval.
        shown: the number as somebody else printed it; such a cell counts no clips of ours.
    """

    mean: float | None
    low: float | None
    high: float | None
    n_ok: int
    n_failed: int
    n_missing: int = 0
    best: bool = False
    reasons: dict[str, int] = field(default_factory=dict)
    is_range: bool = False
    shown: str = ""

    @property
    def counts(self) -> str:
        """`60/0`, or `58/1/1` where clips are missing: ok/failed(/missing); a dash of others'."""
        if self.shown:
            return "–"
        missing = f"/{self.n_missing}" if self.n_missing else ""
        return f"{self.n_ok}/{self.n_failed}{missing}"


@dataclass(frozen=True)
class Row:
    """A system, or a speaker of one.

    Attributes:
        kind: of the run, or `reported` for a number out of a paper.
        section: what part of the table it belongs to, "" where it has only one.
    """

    label: str
    kind: str
    cells: tuple[Cell, ...]
    speaker: str = ""
    section: str = ""

    @property
    def part(self) -> str:
        """Returns what is printed once for neighboring rows that share it."""
        return self.speaker or self.section


@dataclass(frozen=True)
class Table:
    """
    Attributes:
        key: short identifier, for labels and anchors.
        title: one line.
        columns: what each cell is.
        rows: in the order the runs were given.
        by_speaker: whether rows are speakers of systems.
        remarks: further sentences of its caption.
        over: a head above each column, neighbors of one name share it; empty without.
    """

    key: str
    title: str
    columns: tuple[MetricInfo, ...]
    rows: tuple[Row, ...]
    by_speaker: bool = False
    remarks: tuple[str, ...] = ()
    over: tuple[str, ...] = ()

    @property
    def part_head(self) -> str:
        """Head of the column that names the rows' parts, "" where there are none."""
        if self.by_speaker:
            return "Speaker"
        return "Rows" if any(row.section for row in self.rows) else ""


class TableOptions(statistics.IntervalOptions):
    """Options of the intervals of a table."""


TITLES: dict[Group, str] = {
    "headline": "Words and quality",
    "recognition": "Recognition in detail",
    "voice": "Voice: speaker and gender",
    "main": "Scores against the recordings",
    "aligned": "Time-aligned scores",
    "sync": "Picture and sound",
    "external": "Scored elsewhere",
    "published": "As published: the protocols of papers on the same files, faults included",
    "input": "What the files are",
    "face_who": "Whom the faces show",
    "face_looks": "How the faces look",
}


def system_tables(
    scored: Sequence[ScoredRun], metrics: Sequence[Metric], options: TableOptions
) -> list[Table]:
    """Returns one table per group of the chosen metrics: one row per system, all speakers together."""
    rows = system_rows(scored, metrics, options)
    places = {metric.info.name: i for i, metric in enumerate(metrics)}
    tables = []
    for group, title in TITLES.items():
        chosen = [i for i, metric in enumerate(metrics) if metric.info.group == group]
        if group == "published":  # each beside the metric that it departs from
            pairs = [(places.get(BESIDE[metrics[i].info.name]), i) for i in chosen]
            pairs.sort(key=lambda pair: (len(metrics) if pair[0] is None else pair[0], pair[1]))
            chosen = list(dict.fromkeys(i for pair in pairs for i in pair if i is not None))
        if chosen:
            columns = tuple(metrics[i].info for i in chosen)
            picked = [Row(row.label, row.kind, tuple(row.cells[i] for i in chosen)) for row in rows]
            tables.append(Table(group, title, columns, tuple(picked)))
    return tables


def speaker_table(
    scored: Sequence[ScoredRun], metrics: Sequence[Metric], options: TableOptions
) -> Table:
    """Returns one row per speaker of each system; intervals are over the speaker's clips alone."""
    shown = [metric for metric in metrics if metric.info.group != "floor"]
    chosen = [metric for metric in shown if metric.info.group in ("headline", "main")] or shown
    columns = tuple(metric.info for metric in chosen)
    rows: list[Row] = []
    for speaker in speakers_of(scored):
        rows += system_rows(scored, chosen, options, speaker=speaker)
    return Table("speakers", "Per speaker", columns, tuple(rows), by_speaker=True)


def speakers_of(scored: Sequence[ScoredRun]) -> list[str]:
    """Speakers of all runs, s2 before s10."""
    names = {clip.speaker for item in scored for clip in item.run.clips}
    return sorted(names, key=natural)


def system_rows(
    scored: Sequence[ScoredRun],
    metrics: Sequence[Metric],
    options: TableOptions,
    *,
    speaker: str | None = None,
    keep: Callable[[RunDir, RunClip], bool] | None = None,
) -> list[Row]:
    """Returns one row per run and one cell per metric, over the clips of one speaker or of `keep`."""
    labels: dict[str, str] = {}
    for item in scored:
        for clip in item.run.clips:
            if speaker in (None, clip.speaker) and (keep is None or keep(item.run, clip)):
                labels.setdefault(clip.label, clip.speaker)
    # In the order of the names, so that the interval does not depend on the order of the lines.
    clips = sorted(labels, key=natural)
    values = np.full((len(clips), len(scored) * len(metrics)), np.nan)
    weights = np.ones_like(values)
    reasons: list[collections.Counter[str]] = [
        collections.Counter() for _ in range(values.shape[1])
    ]
    for i, item in enumerate(scored):
        for j, metric in enumerate(metrics):
            column = i * len(metrics) + j
            for k, label in enumerate(clips):
                score = item.scores.get((label, metric.info.name))
                if score is None:
                    continue
                if score.status == "ok" and score.value is not None:
                    values[k, column], weights[k, column] = score.value, score.weight
                else:
                    reasons[column][score.reason.split(":")[0]] += 1
    speakers = [labels[clip] for clip in clips]
    how = options.how(speakers)
    found = statistics.intervals(values, speakers, weights, **how)
    pooled = {
        i * len(metrics) + j: (
            metric.info.pool,
            [item.scores.get((label, metric.info.name)) for label in clips],
        )
        for i, item in enumerate(scored)
        for j, metric in enumerate(metrics)
        if metric.info.pool
    }
    if pooled:
        found = pooling.repool(found, pooled, speakers, **how)

    def number(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    rows = []
    for i, item in enumerate(scored):
        span = range(i * len(metrics), (i + 1) * len(metrics))
        cells = tuple(
            Cell(
                number(found.mean[c]),
                number(low),
                number(high),
                int(found.n[c]),
                sum(reasons[c].values()),
                item.run.n_missing if speaker is None and keep is None else 0,
                reasons=dict(reasons[c]),
                is_range=metric.info.direction == "none",
            )
            for c, metric in zip(span, metrics, strict=True)
            for low, high in [_bounds(metric.info, values[:, c], found, c)]
        )
        rows.append(Row(item.run.info.name, bold.kind_of(item), cells, speaker or ""))
    infos = [metric.info for metric in metrics]
    best = bold.best_runs(
        scored,
        infos,
        clips,
        speakers,
        [bold.floor_mean(scored, info, set(clips)) for info in infos],
        **how,
    )
    return _with_bold(rows, scored, infos, best)


def cell_of(
    known: Sequence[Score], failed: Sequence[str], info: MetricInfo, options: TableOptions
) -> Cell:
    """Returns the cell of a metric over scores of clips, each clip once.

    Args:
        known: those that have a value.
        failed: reasons of the others.
    """
    reasons = dict(collections.Counter(failed))
    if not known:
        return Cell(None, None, None, 0, len(failed), reasons=reasons)
    known = sorted(known, key=lambda s: (s.speaker, s.stem))
    values = np.array([[s.value, s.weight] for s in known], dtype=float)
    speakers = [s.speaker for s in known]
    how = options.how(speakers)
    found = statistics.intervals(values[:, :1], speakers, values[:, 1:], **how)
    if info.pool:
        found = pooling.repool(found, {0: (info.pool, known)}, speakers, **how)
    mean, *bounds = (
        float(found.mean[0]),
        *_bounds(info, values[:, 0], found, 0),
    )
    low, high = (value if math.isfinite(value) else None for value in bounds)
    return Cell(
        mean if math.isfinite(mean) else None,
        low,
        high,
        len(known),
        len(failed),
        reasons=reasons,
        is_range=info.direction == "none",
    )


def _bounds(
    info: MetricInfo, column: NDArray[np.float64], found: statistics.Intervals, index: int
) -> tuple[float, float]:
    """The interval of a score; least and largest of what only describes the files."""
    if info.direction != "none":
        return within(info, float(found.low[index]), float(found.high[index]))
    known = column[np.isfinite(column)]
    return (float(known.min()), float(known.max())) if len(known) > 1 else (math.nan, math.nan)


def within(info: MetricInfo, low: float, high: float) -> tuple[float, float]:
    """An interval cut where the metric's values end: a symmetric one does not know that errors and
    shares begin at zero, and that shares and correlations end. NaN stays."""
    if info.direction == "lower" or info.unit == "%":
        low = max(low, 0.0) if math.isfinite(low) else low
    if info.lowest is not None and math.isfinite(low):
        low = max(low, info.lowest)
    highest = 100.0 if info.unit == "%" and info.direction == "higher" else info.highest
    if highest is not None and math.isfinite(high):
        high = min(high, highest)
    return low, high


def _with_bold(
    rows: Sequence[Row],
    scored: Sequence[ScoredRun],
    infos: Sequence[MetricInfo],
    best: list[int | None],
) -> list[Row]:
    """Rows with their bold cells marked, where the number is also the best as it is printed."""
    cells = [list(row.cells) for row in rows]
    rivals = [i for i, item in enumerate(scored) if bold.competes(item)]
    for j, (info, winner) in enumerate(zip(infos, best, strict=True)):
        if winner is None:
            continue
        printed = {i: _rounded(cells[i][j].mean, info) for i in rivals}
        mine = printed.pop(winner)
        sign = 1 if info.direction == "higher" else -1
        if mine is not None and all(v is None or sign * (mine - v) > 0 for v in printed.values()):
            cells[winner][j] = dataclasses.replace(cells[winner][j], best=True)
    return [dataclasses.replace(row, cells=tuple(cells[i])) for i, row in enumerate(rows)]


def _rounded(value: float | None, info: MetricInfo) -> float | None:
    return None if value is None else round(value, info.decimals)


def format_mean(cell: Cell, info: MetricInfo) -> str:
    """`0.873`, or an en dash where there is none."""
    if cell.shown:
        return cell.shown
    return "–" if cell.mean is None else fixed(cell.mean, info.decimals)


def format_interval(cell: Cell, info: MetricInfo) -> str:
    """`[0.861, 0.885]`, `(−21 … 6)` of a range, or "" where there is none."""
    if cell.low is None or cell.high is None:
        return ""
    low, high = fixed(cell.low, info.decimals), fixed(cell.high, info.decimals)
    if cell.is_range:
        return "" if low == high else f"({low} … {high})"
    return f"[{low}, {high}]"


def same_counts(table: Table) -> bool:
    """Returns whether every row has the same counts in all its cells, so that one column says them."""
    return all(len({c.counts for c in row.cells if not c.shown}) <= 1 for row in table.rows)


def row_counts(row: Row) -> str:
    """The counts of a row whose cells share them."""
    return next((cell.counts for cell in row.cells if not cell.shown), "–")


def caption(table: Table) -> list[str]:
    """Returns the sentences of the caption that belong to this table alone."""
    parts = []
    if table.by_speaker:
        parts.append("Intervals are over the speaker's clips alone.")
    if any(cell.best and not cell.shown for row in table.rows for cell in row.cells):
        each = " for each speaker" if table.by_speaker else ""
        parts.append(
            f"Bold: best of the models{each} on the clips that all of them have, by a paired interval."
        )
    if any(cell.is_range for row in table.rows for cell in row.cells):
        parts.append("(a … b): least and largest.")
    return [*parts, *table.remarks]


def reading(scored: Sequence[ScoredRun], options: TableOptions) -> list[str]:
    """Returns the sentences on clips, intervals and counts that all tables of a report share."""
    info = scored[0].run.info
    speakers = speakers_of(scored)
    expected = sorted({item.run.info.n_expected for item in scored})
    wanted = "–".join(str(n) for n in dict.fromkeys((expected[0], expected[-1])))
    plural = "s" if len(speakers) != 1 else ""
    parts = [
        f"Split {info.split or '–'}, subset {info.subset or '–'}: {wanted} clips of "
        f"{len(speakers)} speaker{plural}."
    ]
    level = f"{100 * options.confidence:.0f} %"
    if statistics.chosen(options.method, len(speakers)) == "bootstrap":
        drawn = "speakers, then their clips" if len(speakers) > 1 else "clips"
        parts.append(
            f"Mean over clips [{level} percentile bootstrap interval, {options.n_resamples} "
            f"resamples of {drawn}, seed {options.seed}]."
        )
        if 1 < len(speakers) < statistics.FEW_SPEAKERS:
            parts.append(f"With {len(speakers)} speakers this interval is too narrow.")
    else:
        over = "speakers (clustered variance)" if len(speakers) > 1 else "clips"
        parts.append(f"Mean over clips [{level} Student t interval over {over}].")
    if len(speakers) == 1:
        parts.append("One speaker: the interval says nothing about others.")
    parts.append("n: ok/failed(/missing) clips; means are over the ok clips.")
    shas = {item.run.info.manifest_sha256 for item in scored if item.run.info.manifest_sha256}
    if len(shas) > 1:
        parts.append("The runs were made from different manifests.")
    return parts


def method(options: TableOptions, versions: dict[str, str]) -> list[str]:
    """Returns the sentences of the appendix on how tables are computed."""
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [
        "Bold: the best of the runs of kind model, on the clips that all of them have, where the "
        f"paired {100 * options.confidence:.0f} % interval of every difference leaves out zero, the "
        "number is the best as printed, and the recordings score no worse. Controls, resyntheses and "
        "recordings never compete.",
        "(a … b): least and largest value, for columns that only describe the files.",
        f"Scored with {used}.",
    ]


def failure_lines(scored: Sequence[ScoredRun]) -> list[tuple[str, str, str, int]]:
    """(system, reason, metrics, clips) for every kind of failure, missing clips first."""
    lines = [
        (item.run.info.name, "missing from clips.jsonl", "all", item.run.n_missing)
        for item in scored
        if item.run.n_missing
    ]
    for item in scored:
        clips: dict[str, set[str]] = collections.defaultdict(set)
        names: dict[str, dict[str, None]] = collections.defaultdict(dict)
        for (label, metric), score in item.scores.items():
            if score.status != "ok":
                reason = score.reason.split(":")[0]
                clips[reason].add(label)
                names[reason][metric] = None
        lines += [
            (item.run.info.name, reason, ", ".join(names[reason]), len(labels))
            for reason, labels in sorted(clips.items())
        ]
    return lines
