"""`facetron-eval literature`: the samples of published systems, fetched and made run directories of."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from evaluation.commands.options import (
    bootstrap_options,
    format_option,
    interval_option,
    jobs_option,
    metrics_option,
    model_options,
    out_option,
    select_told,
)
from evaluation.literature import tables
from evaluation.literature.agreement import agreements
from evaluation.literature.recipes import recipe, recipes
from evaluation.literature.samples import fetch as fetch_samples
from evaluation.literature.samples import fetched, make_runs
from evaluation.metrics.base import Metric
from evaluation.reporting.tables import TableOptions
from evaluation.scoring.run import score_runs
from evaluation.scoring.settings import read_settings
from evaluation.stats import intervals as statistics
from manifests.console import format_table
from manifests.errors import BadInput, MissingDependency
from manifests.outputs import Command, Group
from manifests.tables import read_table


@click.group(cls=Group)
def literature() -> None:
    """Scores the speech that other papers published by the judges of this toolkit."""


@literature.command("list", cls=Command)
def list_() -> None:
    """Prints each recipe: the paper, where its samples lie, how that is known, and their license."""
    for found in recipes().values():
        place = found.git or found.page or "place not known"
        click.echo(
            f"{found.name}: {found.title}; {place} ({found.verified}); license: {found.license}"
        )


@literature.command(cls=Command)
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for what is fetched."
)
@click.option("--git", default="", help="Another place of the repository, such as a local copy.")
@click.option("--page", default="", help="Another place of the page.")
def fetch(name: str, out: Path, git: str, page: str) -> None:
    """Fetch the samples of NAME from its authors, by git or from their page, into OUT/NAME."""
    click.echo(fetch_samples(recipe(name), out, git, page))


@literature.command(cls=Command)
@click.argument("published", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True,
    help="Folder for the run directories, OUT/NAME/SYSTEM.",
)  # fmt: skip
@click.option("--only", multiple=True, help="Name of a publication. Can be repeated.")
@metrics_option
@model_options
@jobs_option
def score(
    published: Path,
    out: Path,
    only: tuple[str, ...],
    metrics: tuple[str, ...] | None,
    jobs: int,
    **models: Any,
) -> int:
    """Score all systems whose samples lie in PUBLISHED/NAME, by every judge; scores are kept."""
    chosen = [recipe(name).name for name in only]
    for name, samples in fetched(published).items():
        if not chosen or name in chosen:
            make_runs(recipe(name), samples, out / name)
    _, _, code, _ = _scored(out, metrics, jobs, models, only=chosen)
    return code


@literature.command(cls=Command)
@click.argument("runs", type=click.Path(path_type=Path))
@out_option()
@format_option(tables.FORMATS)
@click.option(
    "--listeners", type=click.Path(path_type=Path),
    help="CSV with the columns system and mos: opinions of your own listeners on these systems.",
)  # fmt: skip
@metrics_option
@interval_option
@bootstrap_options()
@model_options
@jobs_option
def table(
    runs: Path,
    out: Path,
    formats: tuple[str, ...],
    listeners: Path | None,
    metrics: tuple[str, ...] | None,
    interval: statistics.Choice,
    seed: int,
    resamples: int,
    jobs: int,
    **models: Any,
) -> int:
    """Write one page of all published systems in RUNS: every judge, the recordings, what was printed, and
    how each column orders the systems beside the listeners."""
    published, used, code, absent = _scored(runs, metrics, jobs, models)
    if listeners is not None:
        published = tables.with_listeners(published, read_opinions(listeners), listeners.name)
    made = tables.literature(published, used, TableOptions(interval, resamples, seed=seed), absent)
    for path in tables.write(made, out, formats):
        click.echo(path)
    return code


def _scored(
    root: Path,
    names: tuple[str, ...] | None,
    jobs: int,
    models: dict[str, Any],
    only: Sequence[str] = (),
) -> tuple[list[tables.Published], list[Metric], int, list[str]]:
    """The publications below `root` with their scores, the metrics, the exit code and what is absent."""
    found = [(r, runs) for r, runs in tables.read_runs(root) if not only or r.name in only]
    every = [run for _, runs in found for run in runs]
    chosen, absent = select_told(names, read_settings(every, **models))
    if not chosen:
        raise MissingDependency("no metric can be computed", "see the lines above")
    published = []
    for one, runs in found:
        scored = score_runs(runs, chosen, jobs)
        published.append(tables.Published(one, tuple(scored), one.listening))
        for item in scored:
            click.echo(
                f"{one.name}: {item.run.info.name}: {len(item.run.clips)} clips, {item.n_failed} "
                f"scores failed, {item.n_new} computed now",
                err=True,
            )
    return published, list(chosen), MissingDependency.exit_code if absent else 0, list(absent)


@literature.command(cls=Command)
@click.argument("report_csv", type=click.Path(path_type=Path))
@click.option(
    "--listeners", type=click.Path(path_type=Path), required=True,
    help="CSV with the columns system and mos: opinions of listeners on the same systems.",
)  # fmt: skip
def agree(report_csv: Path, listeners: Path) -> None:
    """Print how each column of REPORT_CSV (report.csv) orders the systems, beside the listeners."""
    columns: dict[str, dict[str, float]] = {}
    directions: dict[str, str] = {}
    counts: dict[str, set[str]] = {}
    try:
        with report_csv.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise BadInput(
            f"{report_csv}: {error.strerror}", "pass the report.csv of a report"
        ) from None
    for line in lines:
        if line.get("kind") == "model" and line.get("speaker") == "all" and line.get("mean"):
            columns.setdefault(line["metric"], {})[line["system"]] = float(line["mean"])
            directions[line["metric"]] = line["direction"]
            counts.setdefault(line["metric"], set()).add(line.get("n_ok", ""))
    if not columns:
        raise BadInput(f"{report_csv} holds no score of a model", "pass the report.csv of a report")
    opinions = read_opinions(listeners)
    rows = [
        [
            found.column,
            found.written,
            *("–" if v is None else f"{v:.2f}" for v in (found.spearman, found.kendall)),
            str(found.n),
        ]
        for found in agreements(columns, directions, opinions)
    ]
    click.echo(format_table(["Metric", "Order", "Spearman", "Kendall", "Systems"], rows))
    uneven = [metric for metric, found in counts.items() if len(found) > 1]
    if uneven:
        click.echo(
            f"{', '.join(uneven)}: not all systems have a score of the same number of clips, and each "
            "mean is over its system's own",
            err=True,
        )


def read_opinions(path: Path) -> dict[str, float]:
    """System → mean opinion. Raises `BadInput` for a table that cannot be read."""
    opinions: dict[str, float] = {}
    for row in read_table(path, ("system", "mos"), ()).lines:
        try:
            opinions[row["system"]] = float(row["mos"])
        except ValueError:
            raise BadInput(
                f"{path}, line {row.number}: mos is {row['mos']!r}", "write a number"
            ) from None
    return opinions
