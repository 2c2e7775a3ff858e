"""`gridprep synth`: makes SynthGRID, a synthetic corpus in the form of GRID."""

from __future__ import annotations

import click

from manifests.cpus import available_cpus
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("out", type=click.Path(file_okay=False))
@click.option("--sentences", default=20, show_default=True, help="Number of sentences per speaker.")
@click.option(
    "--speakers", default="all", show_default=True, help="Speakers: s1,s2 or s1-s5 or all."
)
@click.option(
    "--seed", default=0, show_default=True, help="Seed of all speakers, sentences and clips."
)
@click.option(
    "--jobs",
    default=available_cpus,
    show_default="all that this process may use",
    type=int,
    help="Worker processes.",
)
@click.option(
    "--faults",
    is_flag=True,
    help="Add damaged clips, one or more for every fault that `gridprep verify` finds.",
)
@click.option("--force", is_flag=True, help="Make existing clips again.")
def synth(
    out: str, sentences: int, speakers: str, seed: int, jobs: int, faults: bool, force: bool
) -> None:
    """Makes a synthetic GRID in OUT: videos of speaking faces, voices, alignments and ground truth.

    OUT is a new or empty folder, or a SynthGRID; nothing is written to a folder of other clips, not
    even with --force. An interrupted run resumes where it stopped; finished clips are kept.
    """
    from gridprep.synth.corpus import make_corpus
    from manifests.corpus_lists import parse_speakers

    report = make_corpus(out, parse_speakers(speakers), sentences, seed, jobs, faults, force)
    click.echo(
        f"{out}: {report.made} clips made, {report.kept} kept, {len(report.speakers)} speakers"
        + (f", {report.faults} faults (faults.json)" if faults else "")
        + f", {report.wall_s:.1f} s"
    )
