"""`facetron synthesize`: a manifest's silent clips → speech, into a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facetron.vocoders.registry import AUTO, VOCODERS
from manifests.errors import TooManyFailures
from manifests.outputs import Command


@click.command(cls=Command)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    required=True,
    help="manifest.jsonl, or the folder of a `gridprep build`.",
)
@click.option(
    "--subset",
    type=click.Choice(["train", "val", "test", "all"]),
    default="test",
    show_default=True,
    help="Which clips: the subset of the split that the build was made with.",
)
@click.option(
    "--checkpoint",
    type=click.Path(),
    required=True,
    help="Bundled weights (synthgrid, grid-s1) or a path of a checkpoint.",
)
@click.option(
    "--face",
    default="i2i",
    show_default=True,
    metavar="RULE",
    help="Whose face, which still: i2i, i2i-literal, mean, random (Eq. 6 and beside it), "
    "speaker:s4, or image:FILE.",
)
@click.option(
    "--swap",
    type=click.Path(),
    default="",
    metavar="CSV|N",
    help="Lips of one speaker, face of another: a CSV with speaker,stem,voice[,voice_stem], or how "
    "many pairs to draw.",
)
@click.option(
    "--shuffle-lips",
    is_flag=True,
    help="The control: every clip with the lips of another clip of its speaker.",
)
@click.option(
    "--vocoder",
    type=click.Choice([AUTO, *VOCODERS]),
    default=AUTO,
    show_default=True,
)
@click.option(
    "--decoding",
    type=click.Choice(["greedy", "beam", "grammar"]),
    default="greedy",
    show_default=True,
    help="How lips are spelt; speech does not depend on it.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Run directory to write."
)
@click.option("--name", default="", help="Name of the row in tables.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="At most this many clips.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--face-clips",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Clips of a speaker whose stills are looked at for a face.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--batch-size", type=click.IntRange(min=1), default=8, show_default=True)
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Clips that may fail before the exit code says so.",
)
def synthesize(max_failures: int, **options: Any) -> None:
    """Lips and a face → speech, for every clip of a subset.

    Speakers that the checkpoint has seen choose their still among their training clips; unseen ones
    among the stills of each clip. Goes on where an earlier run stopped: clips made of the same
    files by the same weights are kept.
    """
    # `facetron --help` must not wait for PyTorch.
    from facetron.synthesis.run import SynthesisOptions, synthesize

    report = synthesize(SynthesisOptions(**options))
    for speaker in report.speakers:
        word = "seen" if speaker.seen else "unseen"
        note = ", although the manifest's split holds it out" if speaker.seen_held_out else ""
        click.echo(f"{speaker.name}: {word}{note} ({speaker.clips} clips)")
    out, failed = options["out"], len(report.failures)
    kept = f" ({report.kept} of them kept from before)" if report.kept else ""
    click.echo(
        f"{out}: wrote {report.wrote + report.kept}{kept} + failed {failed} = asked {report.asked}"
    )
    for failure in report.failures[:5]:
        click.echo(f"  {failure.clip_id}: {failure.detail}", err=True)
    if failed > max_failures:
        raise TooManyFailures(
            f"{failed} of {report.asked} clips failed, --max-failures is {max_failures}",
            f"see {out / 'failures.jsonl'}",
        )
