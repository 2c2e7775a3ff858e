"""`facetron draw`: faces for the speech of a manifest, into a run directory of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

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
    help="Bundled weights (wav2pix) or path of a checkpoint of a system that draws.",
)
@click.option(
    "--shuffle-speech",
    is_flag=True,
    help="Control: draw each clip from the speech of another speaker.",
)
@click.option(
    "--dropout",
    is_flag=True,
    help="Leave dropout on, which was the noise of Wav2Pix as it was published.",
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
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Number of failed clips above which the exit code is not 0.",
)
def draw(max_failures: int, **options: Any) -> None:
    """Draws the face of whoever speaks, from nothing but the speech of every clip of a subset.

    Systems that draw noise write several pictures a clip: with the noise at its mean, and three times
    drawn. A run that was stopped continues.
    """
    # `facetron --help` must not wait for PyTorch.
    from facetron.drawing.run import DrawOptions, draw

    report = draw(DrawOptions(**options))
    for speaker, seen in report.speakers.items():
        clips = report.clips[speaker]
        click.echo(f"{speaker}: {'seen' if seen else 'unseen'} ({clips} clips)")
    out, failed = options["out"], len(report.failures)
    kept = f" ({report.kept} of them kept from before)" if report.kept else ""
    each = f", {report.pictures} pictures each" if report.pictures > 1 else ""
    click.echo(
        f"{out}: wrote {report.wrote + report.kept}{kept} + failed {failed} = asked "
        f"{report.asked}{each}"
    )
    for failure in report.failures[:5]:
        click.echo(f"  {failure.clip_id}: {failure.detail}", err=True)
    if failed > max_failures:
        raise TooManyFailures(
            f"{failed} of {report.asked} clips failed, --max-failures is {max_failures}",
            f"see {out / 'failures.jsonl'}",
        )
