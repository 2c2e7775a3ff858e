"""`facetron calibrate`: measures how far the readings of a checkpoint can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facetron.commands.options import device_option
from manifests.console import format_table
from manifests.outputs import Command

if TYPE_CHECKING:
    from facetron.synthesis.confidence import Calibration

SUBSET = click.Choice(["val", "test"])


@click.command(cls=Command)
@click.argument("checkpoint", type=click.Path())
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    required=True,
    help="manifest.jsonl, or the folder of a `gridprep build` of GRID.",
)
@click.option("--fit", type=SUBSET, default="val", show_default=True, help="Subset to fit on.")
@click.option(
    "--check", type=SUBSET, default="test", show_default=True, help="Subset to measure on."
)
@device_option
def calibrate(checkpoint: str, manifest: Path, fit: str, check: str, device: str) -> None:
    """Measures on held-out clips how far the readings of CHECKPOINT can be trusted.

    CHECKPOINT is a path or the name of bundled weights. The confidence of words, the limit below which
    lips do not look like GRID speech, the faces of the speakers that the weights know, and how far
    the voice follows a swapped face are stored in the JSON beside the weights; `speak`, `synthesize`
    and `page` then tell them. The file of the weights stays as it is.
    """
    # `facetron --help` imports every command and must not wait for PyTorch.
    from facetron import calibration

    path, found = calibration.calibrate(checkpoint, manifest, fit, check, device)
    for line in lines(found):
        click.echo(line)
    click.echo(f"stored in {path}")


def lines(found: Calibration) -> list[str]:
    """Returns a calibration in words and tables."""
    bins = [
        (f"{b.low:.0%} to {b.high:.0%}", str(b.words), f"{b.confidence:.1%}", f"{b.right:.1%}")
        for b in found.reliability
    ]
    told = [
        f"{found.clips} clips of {found.subset}, {found.words} words read:",
        format_table(("confidence", "words", "mean confidence", "right"), bins),
        f"taken for GRID speech: {found.kept:.1%} of these clips",
    ]
    told += [f"not taken for it: {share:.1%} of {kind}" for kind, share in found.rejected.items()]
    told += [f"{name}: {value:.3g}" for name, value in found.swap.items() if value is not None]
    return told
