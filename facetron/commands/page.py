"""`facetron page`: run directories → a demo page."""

from __future__ import annotations

from pathlib import Path

import click

from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the page.")
@click.option(
    "--clips",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="How many of each speaker, drawn at random.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--title", default="Speech from silent video", show_default=True)
@click.option("--note", "notes", multiple=True, help="A paragraph at the top, such as a credit.")
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    help="Of the features; by default it is looked for around the recordings.",
)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of the clips as filmed; by default the one that the features were built from. "
    "Without it the lip crops are shown.",
)
def page(
    runs: tuple[Path, ...],
    out: Path,
    clips: int,
    seed: int,
    title: str,
    notes: tuple[str, ...],
    manifest: Path | None,
    corpus: Path | None,
) -> None:
    """A page to watch and hear: each clip with its recorded sound and with what every one of the
    RUNS made of it, sorted into small data set, seen, unseen and swapped.

    The folder needs nothing else: open its index.html, or put it on any server.
    """
    from facetron.demo.page import DemoPageOptions, write_page

    report = write_page(DemoPageOptions(runs, out, clips, seed, title, manifest, corpus, notes))
    sections = ", ".join(f"{n} {key}" for key, n in report.sections.items())
    click.echo(
        f"{report.page}: {sections} (pictures: {report.filmed} as filmed, {report.lips} lip crops, "
        f"{report.sound_only} none)"
    )
