"""`facetron-eval report`: computes missing scores, then writes tables and the HTML page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from evaluation.commands.options import (
    as_published_option,
    bootstrap_options,
    common_option,
    format_option,
    interval_option,
    jobs_option,
    json_option,
    metrics_option,
    model_options,
    read_beside,
    read_elsewhere,
    select_told,
    with_published,
)
from evaluation.embeddings.sets import read_sets
from evaluation.mos.columns import listening_tables
from evaluation.reporting import run as reports
from evaluation.reporting.reported import CHOICES
from evaluation.reporting.tables import TableOptions
from evaluation.scoring.outcome import check_outcome, summary
from evaluation.scoring.run import score_runs
from evaluation.scoring.settings import read_settings
from evaluation.stats import intervals as statistics
from manifests.errors import BadInput, MissingDependency
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("run_dirs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to write the report to. Default: RUN_DIR/report for one run, else ./report.",
)
@format_option(reports.FORMATS)
@metrics_option
@as_published_option
@common_option
@interval_option
@bootstrap_options()
@click.option(
    "--table",
    type=click.Choice(CHOICES),
    help="Add the paper's Table I, II or III: its reported rows beside the measured ones.",
)
@click.option(
    "--elsewhere",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Run directory of other clips, for the other sections of --table: with runs of seen speakers "
    "as RUN_DIRS, one of unseen speakers makes Table II whole. Can be repeated.",
)
@click.option(
    "--embeddings",
    "embeddings",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File of `facetron embed`: adds Figure 2 and its numbers to the page. Given twice: with "
    "the CS loss, then without it.",
)
@click.option(
    "--rank-by", help="Metric that selects the best and worst clips to show. Default: estoi."
)
@click.option(
    "--clips",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Number of best and of worst clips per system on the page.",
)
@model_options
@jobs_option
@json_option
def report(
    run_dirs: tuple[Path, ...],
    out: Path | None,
    formats: tuple[str, ...],
    metrics: tuple[str, ...] | None,
    as_published: tuple[str, ...],
    common: bool,
    interval: statistics.Choice,
    seed: int,
    resamples: int,
    table: str | None,
    elsewhere: tuple[Path, ...],
    embeddings: tuple[Path, ...],
    rank_by: str | None,
    clips: int,
    jobs: int,
    as_json: bool,
    **models: Any,
) -> int:
    """Write tables, figures and an HTML page from one or several RUN_DIRS of the same clips."""
    sets = read_sets(embeddings, seed=seed)
    beside = read_beside(run_dirs, common=common)
    runs = beside.runs
    if table and runs[0].of_faces:
        raise BadInput(
            f"--table {table} with runs of pictures, and the paper's tables are of speech",
            "leave it out",
        )
    if elsewhere and not table:
        raise BadInput(
            "--elsewhere without --table", "name the table of the paper that it belongs to"
        )
    others = read_elsewhere(elsewhere)
    settings = read_settings((*runs, *others), as_published=as_published, **models)
    chosen, absent = select_told(with_published(metrics, as_published), settings)
    if not chosen:
        return MissingDependency.exit_code
    ranking = reports.ranking_metric(rank_by, chosen)
    out = out or reports.default_out(runs)
    reports.check_out(out, formats)
    scored = beside.score(chosen, jobs)
    options = TableOptions(interval, resamples, seed=seed)
    made = reports.build_report(
        scored,
        chosen,
        options,
        [*absent, *beside.notes],
        table or "",
        listening_tables(runs, options),
        sets,
        score_runs(others, chosen, jobs) if others else (),
    )
    paths = reports.write_report(made, out, formats, rank_by=ranking, n_clips=clips)
    if as_json:
        told = {
            "runs": [summary(item) for item in scored],
            "files": list(map(str, paths)),
            "notes": list(made.notes),
            "absent": absent,
        }
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        check_outcome(scored)
        return MissingDependency.exit_code if absent else 0
    click.echo(reports.terminal_table(made))
    for item in scored:
        total = len(item.scores)
        click.echo(
            f"{item.run.info.name}: {len(item.run.clips)} clips, {item.run.n_missing} missing; "
            f"{total - item.n_failed} scores ok, {item.n_failed} failed, {item.n_new} computed now"
        )
    for path in paths:
        click.echo(path)
    check_outcome(scored)
    return MissingDependency.exit_code if absent else 0
