"""`facetron-eval embeddings`: Figure 2 with numbers, from what `facetron embed` wrote."""

from __future__ import annotations

from pathlib import Path

import click

from evaluation.embeddings import report as embedding_report
from evaluation.embeddings.sets import LIMIT, read_sets
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("with_cs", type=click.Path(path_type=Path))
@click.argument("without_cs", type=click.Path(path_type=Path), required=False)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("embeddings"), show_default=True
)
@click.option("--seed", default=0, show_default=True, help="Of t-SNE, and of --limit.")
@click.option(
    "--limit",
    type=click.IntRange(min=10),
    default=LIMIT,
    show_default=True,
    help="At most this many clips, as many of each speaker.",
)
def embeddings(with_cs: Path, without_cs: Path | None, out: Path, seed: int, limit: int) -> None:
    """t-SNE and cluster numbers of face and prosody embeddings: WITH_CS, and WITHOUT_CS beside it."""
    paths = [with_cs] if without_cs is None else [with_cs, without_cs]
    sets = read_sets(paths, limit, seed, report=lambda line: click.echo(line, err=True))
    click.echo(embedding_report.terminal(sets))
    for path in embedding_report.write(sets, out, seed=seed):
        click.echo(path)
