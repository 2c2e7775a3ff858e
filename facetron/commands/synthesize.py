"""`facetron synthesize`: speech for the silent clips of a manifest, into a run directory."""

from __future__ import annotations

from typing import Any

import click

from facetron.commands.options import (
    BUNDLED,
    close,
    decoding_option,
    device_option,
    limit_option,
    manifest_option,
    max_failures_option,
    name_option,
    out_option,
    seed_option,
    subset_option,
    vocoder_options,
)
from manifests.outputs import Command


@click.command(cls=Command)
@manifest_option
@subset_option
@click.option(
    "--checkpoint",
    type=click.Path(),
    required=True,
    help=BUNDLED,
)
@click.option(
    "--face",
    default="i2i",
    show_default=True,
    metavar="RULE",
    help="Rule that chooses the face still of each voice: i2i (Eq. 6), i2i-literal (Eq. 6 as "
    "printed), mean or random of the speaker's own stills; speaker:s4 or image:FILE gives every "
    "clip that face.",
)
@click.option(
    "--swap",
    type=click.Path(),
    default="",
    metavar="CSV|N",
    help="Swapped faces, the lips of one speaker with the face of another: a CSV file with the "
    "columns speaker,stem,voice[,voice_stem], or the number of pairs to draw.",
)
@click.option(
    "--shuffle-lips",
    is_flag=True,
    help="Control: synthesize each clip from the lips of another clip of its speaker (from its text, "
    "where the system is given one).",
)
@click.option(
    "--text",
    type=click.Choice(["given", "lips"]),
    default=None,
    help="For a system that speaks text (face2speech): the manifest's sentence, which is its default, "
    "or what is read from the lips by --reader with --decoding.",
)
@click.option(
    "--durations",
    type=click.Choice(["predicted", "reference"]),
    default=None,
    help="Timing of a given text: the system's own, which is its default, or the recording's, for "
    "metrics that compare frames.",
)
@click.option(
    "--reader",
    default=None,
    metavar="CHECKPOINT",
    help="Bundled weights or a path of facetron's, which read the text of --text lips; synthgrid if not "
    "given.",
)
@vocoder_options
@decoding_option("--decoding")
@out_option
@name_option
@limit_option
@seed_option()
@click.option(
    "--face-clips",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Largest number of clips per speaker whose face stills --face chooses among.",
)
@device_option
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Clips per batch.",
)
@max_failures_option
def synthesize(max_failures: int, **options: Any) -> None:
    """Synthesizes speech from lips and a face for every clip of a subset.

    The face still of a seen speaker is chosen from the speaker's training clips, that of an unseen
    speaker from the clip itself. A run that was stopped continues: clips made from the same files
    with the same weights are kept.
    """
    # `facetron --help` must not wait for PyTorch.
    from facetron.synthesis.run import SynthesisOptions, synthesize

    report = synthesize(SynthesisOptions(**options))
    for speaker in report.speakers:
        word = "seen" if speaker.seen else "unseen"
        note = ", although the manifest's split holds it out" if speaker.seen_held_out else ""
        click.echo(f"{speaker.name}: {word}{note} ({speaker.clips} clips)")
    for note in report.notes:
        click.echo(note)
    if report.confidence is not None:
        click.echo(f"text read from the lips: {report.confidence:.0%} of the words expected right")
    if report.foreign:
        shown = ", ".join(report.foreign[:5]) + (" …" if len(report.foreign) > 5 else "")
        click.echo(
            f"{len(report.foreign)} of {report.asked} clips do not look like GRID speech, the only "
            f"speech that the weights know: {shown}"
        )
    close(options["out"], report, max_failures)
