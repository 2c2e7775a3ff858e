"""`facetron synthesize`: speech for the silent clips of a manifest, into a run directory."""

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
    help="Subset of the split that the features were built with.",
)
@click.option(
    "--checkpoint",
    type=click.Path(),
    required=True,
    help="Name of bundled weights (synthgrid, grid-s1), or path of a checkpoint.",
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
@click.option(
    "--vocoder",
    type=click.Choice([AUTO, *VOCODERS]),
    default=AUTO,
    show_default=True,
    help="Vocoder that turns the mel into a waveform; auto takes the checkpoint's own.",
)
@click.option(
    "--vocoder-checkpoint",
    type=click.Path(),
    default="",
    help="Weights of another vocoder: HiFi-GAN's, BigVGAN's or Vocos's (see `facetron published`), or a "
    "checkpoint with a vocoder. Mels of another spec are converted.",
)
@click.option(
    "--decoding",
    type=click.Choice(["greedy", "beam", "letters", "grammar"]),
    default="greedy",
    show_default=True,
    help="CTC decoding of the text read from the lips; letters prefers the spellings of the sentences "
    "that the weights were trained on, grammar allows GRID's sentences only. The speech does not depend "
    "on it.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Run directory to write."
)
@click.option("--name", default="", help="Name of the run in tables.")
@click.option(
    "--limit", type=click.IntRange(min=0), default=0, help="Largest number of clips; 0 takes all."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of everything that is drawn at random.",
)
@click.option(
    "--face-clips",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Largest number of clips per speaker whose face stills --face chooses among.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Clips per batch.",
)
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Number of failed clips above which the exit code is not 0.",
)
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
