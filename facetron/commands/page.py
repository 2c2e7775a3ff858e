"""`facetron page`: writes a demo page from run directories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facetron.commands.options import seed_option
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the page.")
@click.option(
    "--clips",
    "clips_each",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Clips per speaker in each section, drawn at random.",
)
@seed_option("the draw")
@click.option(
    "--title", default="Speech from silent video", show_default=True, help="Title of the page."
)
@click.option(
    "--note",
    "notes",
    multiple=True,
    help="Paragraph at the top of the page, such as a credit; may be given several times.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    help="Manifest of the features; by default it is looked for in the folders above the recordings.",
)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of the original video clips; by default the one that the features were built from. "
    "Where it is absent, the page shows the lip crops.",
)
def page(**options: Any) -> None:
    """Writes a demo page of the run directories RUNS.

    The page plays each clip with its recording and with the speech of each run, in the sections
    small data set, seen, unseen and swapped. The folder is self-contained: open its index.html, or
    put it on any web server.
    """
    from facetron.demo.page import DemoPageOptions, write_page

    report = write_page(DemoPageOptions(**options))
    sections = ", ".join(f"{n} {key}" for key, n in report.sections.items())
    click.echo(
        f"{report.page}: {sections} (pictures: {report.filmed} as filmed, {report.lips} lip crops, "
        f"{report.sound_only} none)"
    )
