"""`facetron train`: trains the stages of a system on a manifest and writes checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

import click

from facetron import systems
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("stage")
@click.option(
    "--system", default=systems.DEFAULT, show_default=True, help="Name of the system to train."
)
@click.option(
    "--manifest",
    required=True,
    type=click.Path(path_type=Path),
    help="manifest.jsonl, or the folder of a `gridprep build`.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--size", default=None, help="Size preset: paper (the default), small or debug.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="YAML file of options.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option to change, such as train.epochs=30 or lip=small; may be given several times.",
)
@click.option(
    "--from",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Checkpoint to take trained parts from, or a file of `facetron published`; may be given "
    "several times.",
)
@click.option("--restart", is_flag=True, help="Start anew even if --out holds an earlier run.")
def train(
    stage: str,
    system: str,
    manifest: Path,
    out: Path,
    size: str | None,
    file: Path | None,
    sets: tuple[str, ...],
    sources: tuple[Path, ...],
    restart: bool,
) -> None:
    """Trains one STAGE of a system, or all of them in order.

    The stages of facetron are lip, prosody, face, decoder, vocoder and joint. For the stages of
    another system, give a name that does not exist: the error lists them.

    A run that was stopped continues when the same command is given again. On several GPUs:
    torchrun --nproc-per-node N -m facetron.cli train …
    """
    # `facetron --help` must not wait for PyTorch.
    from facetron.train.run import train as run

    best = run(
        stage,
        manifest,
        out,
        size,
        file,
        sets,
        sources,
        restart,
        lambda line: click.echo(line, err=True),
        system,
    )
    if os.environ.get("RANK", "0") == "0":  # under torchrun every process comes here
        click.echo(best)
