"""`facetron draw`: faces for the speech of a manifest, into a run directory of pictures."""

from __future__ import annotations

from typing import Any

import click

from facetron.commands.options import (
    close,
    device_option,
    limit_option,
    manifest_option,
    max_failures_option,
    name_option,
    out_option,
    seed_option,
    subset_option,
)
from manifests.outputs import Command


@click.command(cls=Command)
@manifest_option
@subset_option
@click.option(
    "--checkpoint",
    type=click.Path(),
    required=True,
    help="Bundled weights (wav2pix, choi) or path of a checkpoint of a system that draws.",
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
@out_option
@name_option
@limit_option
@seed_option()
@device_option
@max_failures_option
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
    each = f", {report.pictures} pictures each" if report.pictures > 1 else ""
    close(options["out"], report, max_failures, each)
