"""`facetron export`: puts the checkpoints of several stages into one small file for synthesis."""

from __future__ import annotations

from pathlib import Path

import click

from manifests.console import pairs_of
from manifests.outputs import Command


@click.command(cls=Command)
@click.option(
    "--from",
    "sources",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Checkpoint to take parts from; may be given several times. Where two hold the same part, "
    "the later one wins.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The .safetensors file to write."
)
@click.option("--float32", is_flag=True, help="Store weights as float32 instead of float16.")
@click.option(
    "--share",
    multiple=True,
    metavar="PART=NAME",
    help="Part to take from bundled weights at synthesis instead of storing it, such as "
    "lip=synthgrid; may be given several times.",
)
@click.option("--note", default="", help="Note to keep in the file, such as the corpus.")
def export(
    sources: tuple[Path, ...], out: Path, float32: bool, share: tuple[str, ...], note: str
) -> None:
    """Puts the trained parts of several stages into one file.

    `facetron speak`, `synthesize` and `embed` take the file as --checkpoint. Discriminators and
    optimizers are left out. Each part keeps the metrics, options and revision of its own training.
    """
    from facetron.checkpoints.export import export as write

    shared = pairs_of("--share", share, "PART=NAME")
    made = write(sources, out, half=not float32, note=note, share=shared)
    for part, path in made.origin.items():
        click.echo(f"{part}: {path}")
    click.echo(f"{out}: {made.size_bytes / 1e6:.1f} MB, {len(made.info.speakers)} speakers seen")
