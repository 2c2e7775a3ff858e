"""`facetron-eval literature`: the samples of published systems, fetched and made run directories of."""

from __future__ import annotations

import csv
from pathlib import Path

import click

from evaluation.literature.agreement import agreements
from evaluation.literature.recipes import recipe, recipes
from evaluation.literature.samples import fetch as fetch_samples
from evaluation.literature.samples import make_runs
from manifests.console import format_table
from manifests.errors import BadInput
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
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for the repositories."
)
@click.option("--git", default="", help="Another place of the repository, such as a local copy.")
def fetch(name: str, out: Path, git: str) -> None:
    """Clone the repository with the samples of NAME from its authors; nothing is bundled here."""
    click.echo(fetch_samples(recipe(name), out, git))


@literature.command(cls=Command)
@click.argument("name")
@click.option(
    "--samples", type=click.Path(path_type=Path), required=True,
    help="Folder that `fetch` printed, or a copy of it.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for the run directories."
)
def runs(name: str, samples: Path, out: Path) -> None:
    """Make a run directory of each system of NAME, for `facetron-eval report`."""
    for root in make_runs(recipe(name), samples, out):
        click.echo(root)


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
    if not columns:
        raise BadInput(f"{report_csv} holds no score of a model", "pass the report.csv of a report")
    opinions: dict[str, float] = {}
    for row in read_table(listeners, ("system", "mos"), ()).lines:
        try:
            opinions[row["system"]] = float(row["mos"])
        except ValueError:
            raise BadInput(
                f"{listeners}, line {row.number}: mos is {row['mos']!r}", "write a number"
            ) from None
    rows = [
        [
            found.column,
            " > ".join(found.order),
            *("–" if v is None else f"{v:.2f}" for v in (found.spearman, found.kendall)),
            str(found.n),
        ]
        for found in agreements(columns, directions, opinions)
    ]
    click.echo(format_table(["Metric", "Order", "Spearman", "Kendall", "Systems"], rows))
