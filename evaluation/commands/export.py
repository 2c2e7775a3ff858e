"""`facetron-eval export`: a run and its scores as the files of other toolkits."""

from __future__ import annotations

from pathlib import Path

import click

from evaluation.commands.options import out_option
from evaluation.importing.versa import write_versa
from evaluation.inputs.pairs import read_run
from evaluation.scoring.run import known_scores
from manifests.outputs import Command

LAYOUTS = ("versa",)


@click.command(cls=Command)
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--layout", type=click.Choice(LAYOUTS), default=LAYOUTS[0], show_default=True, help="For whom."
)
@out_option("export")
def export(run_dir: Path, layout: str, out: Path) -> None:
    """Write RUN_DIR as lists and results for another toolkit; nothing is computed.

    versa: pred.scp, ref.scp and text for its scorer, with paths from the working directory, and
    result.jsonl with the scores that RUN_DIR/scores.jsonl holds; what failed is null. Clips are named
    SPEAKER_STEM. `facetron-eval import --wavs pred.scp --pattern '{speaker}_{stem}'` reads them back.
    """
    for path in write_versa(known_scores(read_run(run_dir)), out):
        click.echo(path)
