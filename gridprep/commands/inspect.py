"""`gridprep inspect`: a page and sheets that show the features of a build and its outliers."""

from __future__ import annotations

import os

import click

from gridprep.commands.options import BUILD, DAMAGED
from manifests.console import format_table
from manifests.corpus_lists import parse_speakers
from manifests.errors import BadInput
from manifests.outputs import Command


def _speakers(text: str) -> tuple[str, ...]:
    """GRID's speakers in any spelling, or names as other corpora have them."""
    if text == "all":
        return ()
    try:
        return parse_speakers(text)
    except BadInput:
        return tuple(name.strip() for name in text.split(",") if name.strip())


@click.command(cls=Command)
@click.argument("build", type=BUILD)
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    help="Folder in which the page is written.  [default: BUILD/inspect]",
)
@click.option(
    "--per-speaker",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="Number of sheets per speaker.",
)
@click.option(
    "--speakers", default="all", show_default=True, help="Speakers: s1,s2 or s1-s5 or all."
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Seed of the random choice of clips that get a sheet.",
)
@click.option(
    "--worst",
    default=12,
    show_default=True,
    type=click.IntRange(1),
    help="Number of clips in each outlier table.",
)
def inspect(
    build: str, out: str | None, per_speaker: int, speakers: str, seed: int, worst: int
) -> int:
    """Writes an HTML page about BUILD: sheets per speaker, outliers and failures.

    Exit codes: 0 written; 1 written, but artifacts of some clips are damaged or missing; 2 bad input.
    """
    # Imported here, so that `--help` does not load matplotlib and OpenCV.
    from gridprep.inspection.run import inspect_build

    found = inspect_build(
        build,
        out or os.path.join(build, "inspect"),
        per_speaker=per_speaker,
        speakers=_speakers(speakers),
        seed=seed,
        worst=worst,
    )
    rows = [
        [r.criterion.title, r.criterion.rule, r.n_flagged, r.n_judged]
        for r in found.rankings
        if r.n_judged
    ]
    click.echo(format_table(["outliers", "limit", "rows", "of"], rows))
    for problem in found.problems:
        click.echo(problem, err=True)
    click.echo(f"{found.rows} rows, {found.failures} failures, {len(found.sheets)} sheets")
    click.echo(f"page: {found.page}")
    return DAMAGED if found.problems else 0
