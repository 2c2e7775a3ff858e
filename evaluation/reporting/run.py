"""Writes a report of scores in the chosen formats; computes no scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from evaluation.embeddings.sets import Set
from evaluation.inputs.copies import told
from evaluation.inputs.pairs import RunDir
from evaluation.metrics.base import Metric, MetricInfo
from evaluation.reporting import printed as printing
from evaluation.reporting import protocol, tables, writers
from evaluation.reporting.captions import annotate
from evaluation.reporting.controls import with_controls
from evaluation.reporting.heard import heard_in_training
from evaluation.reporting.printed import printed, printed_cell, text_table
from evaluation.reporting.reported import paper_tables
from evaluation.reporting.tables import Table, TableOptions
from evaluation.reporting.uneven import on_shared_clips
from evaluation.reporting.writers import EvaluationReport
from evaluation.scoring.run import ScoredRun
from evaluation.stats import intervals as statistics
from manifests.errors import BadInput
from manifests.folders import check_free
from manifests.io import check_writable, write_json
from manifests.versions import library_version

FILES = {
    "md": ("report.md",),
    "latex": ("report.tex",),
    "csv": ("report.csv", "report_clips.csv"),
    "html": ("report.html",),
}
"""Format → the files of a report."""
FORMATS = tuple(FILES)
RANKING = ("estoi", "stoi", "mcd")
"""Which metric chooses the clips to show, the first of these that was computed."""


def build_report(
    scored: Sequence[ScoredRun],
    metrics: Sequence[Metric],
    options: TableOptions,
    notes: Sequence[str] = (),
    paper: str = "",
    listening: Sequence[Table] = (),
    embeddings: Sequence[Set] = (),
    elsewhere: Sequence[ScoredRun] = (),
) -> EvaluationReport:
    """Returns the report that the writers print. The runs must be comparable
    (`evaluation.inputs.pairs.check_comparable`).

    Args:
        paper: table of the paper to add, one of `reported.CHOICES`, or "".
        listening: tables of listening tests, one row per system; their columns `mos`, `smos_speaker` and
            `smos_gender_share` fill the paper's tables.
        embeddings: for Figure 2 in the page (`evaluation.embeddings.sets.read_sets`).
        elsewhere: runs of other clips, for the sections of the paper's tables that `scored` has no clips
            of (Table II has one of seen and one of unseen speakers).
    """
    # Decided once, so that every part of a report says the same.
    n_speakers = len(tables.speakers_of(scored))
    options = dataclasses.replace(options, method=statistics.chosen(options.method, n_speakers))
    own = tables.system_tables(scored, metrics, options)
    reported = (
        paper_tables(paper, (*scored, *elsewhere), metrics, options, listening) if paper else []
    )
    versions = scoring_versions(metrics)
    return EvaluationReport(
        scored=tuple(scored),
        metrics=tuple(metrics),
        tables=tuple(
            with_controls(annotate(table, scored, options), scored, options) for table in own
        ),
        speakers=annotate(tables.speaker_table(scored, metrics, options), scored, options),
        paper=tuple(annotate(table, (*scored, *elsewhere), options) for table in reported),
        listening=tuple(listening),
        embeddings=tuple(embeddings),
        options=options,
        versions=versions,
        protocol=protocol.protocol(scored, metrics, options, versions),
        notes=(
            *notes,
            *(heard.sentence for heard in heard_in_training(scored, metrics)),
            *_warnings(scored),
            *on_shared_clips(scored, [metric.info for metric in metrics]),
        ),
    )


def scoring_versions(metrics: Sequence[Metric]) -> dict[str, str]:
    """Returns the versions of the toolkit and of the libraries of the metrics."""
    names = ["facetron-toolkit", *sorted({n for m in metrics for n in m.info.libraries}), "numpy"]
    return {name: library_version(name) for name in names}


def _warnings(scored: Sequence[ScoredRun]) -> list[str]:
    """Returns warnings on the inputs: missing clips, other sample rates, empty runs."""
    notes = []
    for item in scored:
        info = item.run.info
        if item.run.n_missing:
            notes.append(
                f"{info.name}: {item.run.n_missing} of {info.n_expected} clips are missing."
            )
        if item.copies:
            notes.append(told(item.run, item.copies))
        rates = {
            int(score.value)
            for (_, metric), score in item.scores.items()
            if metric == "sample_rate_hz" and score.value is not None
        }
        if rates - {info.sample_rate_hz}:
            found = ", ".join(str(rate) for rate in sorted(rates))
            notes.append(
                f"{info.name}: files have {found} Hz, run.json says {info.sample_rate_hz} Hz."
            )
        if not item.run.clips:
            notes.append(f"{info.name}: clips.jsonl lists no clip.")
    return notes


def default_out(runs: Sequence[RunDir]) -> Path:
    """Returns `RUN_DIR/report` for a single run, else `report` in the working directory."""
    return runs[0].root / "report" if len(runs) == 1 else Path("report")


def ranking_metric(name: str | None, metrics: Sequence[Metric]) -> MetricInfo:
    """Returns the metric that ranks clips. Raises `BadInput` if it was not computed or has no
    direction."""
    ranked = {m.info.name: m.info for m in metrics if m.info.ranks}
    if name is not None:
        if name not in ranked:
            raise BadInput(
                f"clips cannot be ranked by {name!r}", f"choose from {', '.join(ranked)}"
            )
        return ranked[name]
    for candidate in (*RANKING, *ranked):
        if candidate in ranked:
            return ranked[candidate]
    return metrics[0].info


def check_out(out: Path, formats: Sequence[str]) -> None:
    """Raises `BadInput` where a report would overwrite files of others, `OSError` where it could not be
    written. Costs nothing, so it comes before the scoring."""
    names = (name for form in formats for name in FILES[form])
    check_free(out, (writers.DEFINITIONS, *names), (protocol.FILE,), "a report")
    check_writable(out / protocol.FILE)


def write_report(
    report: EvaluationReport,
    out: Path,
    formats: Sequence[str],
    *,
    rank_by: MetricInfo,
    n_clips: int,
) -> list[Path]:
    """Writes `protocol.json`, by which the folder is known, `definitions.md` and `FILES` of the formats;
    returns their paths."""
    paths = [out / writers.DEFINITIONS, out / protocol.FILE]
    write_json(paths[1], report.protocol)
    writers.write_definitions(paths[0], report)
    for form, names in FILES.items():
        if form not in formats:
            continue
        made = [out / name for name in names]
        paths += made
        if form == "md":
            writers.write_markdown(made[0], report)
        elif form == "latex":
            writers.write_latex(made[0], report)
        elif form == "csv":
            writers.write_summary_csv(made[0], report)
            writers.write_clips_csv(made[1], report)
        else:
            from evaluation.reporting.page import write_page

            write_page(made[0], report, rank_by=rank_by, n_clips=n_clips)
    return paths


def terminal_table(report: EvaluationReport) -> str:
    """Returns the summary transposed for a terminal: one row per metric, one column per system."""
    names = [row.label for row in report.tables[0].rows] if report.tables else []
    shared = all(map(tables.same_counts, report.tables)) and len(_all_counts(report)) == 1
    rows: list[list[object]] = []
    for table in report.tables:
        for column, info in enumerate(table.columns):
            cells = [printed_cell(row.cells[column], info, counts=not shared) for row in table.rows]
            rows.append([info.heading, *cells])
    if shared:
        counts = [tables.row_counts(row) for row in report.tables[0].rows]
        rows.append(["n ok/failed", *counts])
    parts = []
    for found in map(printed, (*report.paper, *report.listening)):
        parts += [found.title, printing.terminal_table(found), *filter(None, [found.caption]), ""]
    parts.append(printing.terminal_table(text_table(["Metric", *names], rows)))
    remarks = dict.fromkeys(text for t in report.tables for text in t.remarks)
    return "\n".join([*parts, *remarks])


def _all_counts(report: EvaluationReport) -> set[tuple[str, ...]]:
    """Counts of the systems, table by table: one line can say them where all tables agree."""
    return {tuple(map(tables.row_counts, table.rows)) for table in report.tables}
