"""`facetron-eval embeddings`: Figure 2 and its numbers from files of `facetron embed`."""

from __future__ import annotations

from pathlib import Path

import click

from evaluation.commands.options import out_option, seed_option
from evaluation.embeddings import report as embedding_report
from evaluation.embeddings.sets import LIMIT, read_sets
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("with_cs", type=click.Path(path_type=Path))
@click.argument("without_cs", type=click.Path(path_type=Path), required=False)
@out_option("embeddings")
@seed_option("t-SNE and of the choice of clips under --limit")
@click.option(
    "--limit",
    type=click.IntRange(min=10),
    default=LIMIT,
    show_default=True,
    help="Largest number of clips, equally many per speaker.",
)
def embeddings(with_cs: Path, without_cs: Path | None, out: Path, seed: int, limit: int) -> None:
    """Draw the t-SNE of face and prosody embeddings and measure their clusters.

    WITH_CS is the file of a model trained with the CS loss, WITHOUT_CS of one trained without it.
    """
    paths = [with_cs] if without_cs is None else [with_cs, without_cs]
    sets = read_sets(paths, limit, seed, report=lambda line: click.echo(line, err=True))
    click.echo(embedding_report.terminal(sets))
    for path in embedding_report.write(sets, out, seed=seed):
        click.echo(path)
