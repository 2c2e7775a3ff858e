"""`gridprep synth`: makes SynthGRID, a corpus in GRID's form."""

from __future__ import annotations

import click

from manifests.cpus import available_cpus
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("out", type=click.Path(file_okay=False))
@click.option("--sentences", default=20, show_default=True, help="Sentences per speaker.")
@click.option("--speakers", default="all", show_default=True, help="s1,s2,… or s1-s5 or all.")
@click.option(
    "--seed", default=0, show_default=True, help="Decides speakers, sentences, everything."
)
@click.option(
    "--jobs",
    default=available_cpus,
    show_default="all that this process may use",
    type=int,
    help="Worker processes.",
)
@click.option("--faults", is_flag=True, help="Add clips broken in every way that verify catches.")
@click.option("--force", is_flag=True, help="Make clips again that are there already.")
def synth(
    out: str, sentences: int, speakers: str, seed: int, jobs: int, faults: bool, force: bool
) -> None:
    """Makes a synthetic GRID in OUT: talking faces and voices, alignments, and the truth beside them.

    OUT is a new or empty folder, or a SynthGRID; in a folder of other clips nothing is written, with
    --force neither. An interrupted run goes on where it stopped; finished clips are kept.
    """
    from gridprep.synth.corpus import make_corpus
    from manifests.corpus_lists import parse_speakers

    report = make_corpus(out, parse_speakers(speakers), sentences, seed, jobs, faults, force)
    click.echo(
        f"{out}: {report.made} clips made, {report.kept} kept, {len(report.speakers)} speakers"
        + (f", {report.faults} faults (faults.json)" if faults else "")
        + f", {report.wall_s:.1f} s"
    )
