"""`gridprep models`: the two networks of the landmark backend `facemesh`, fetched once."""

from __future__ import annotations

from pathlib import Path

import click

from gridprep.landmarks.models import fetch_models, find_models
from manifests.outputs import Group


@click.group(cls=Group)
def models() -> None:
    """The networks that find faces and landmarks: fetched once, checked, kept in a cache."""


@models.command()
@click.option(
    "--to", "folder", type=click.Path(path_type=Path, file_okay=False), default=None,
    help="Folder to put them in; the user's cache by default.",
)  # fmt: skip
@click.option(
    "--wheel", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None,
    help="Wheel of mediapipe 0.10.21 brought from elsewhere; by default pip downloads it.",
)  # fmt: skip
def fetch(folder: Path | None, wheel: Path | None) -> None:
    """Takes the networks out of MediaPipe's wheel (Apache-2.0), which is not installed.

    pip downloads the wheel (36 MB) from where it is set up to look; nothing happens where the
    networks are there already.
    """
    for path in fetch_models(folder, wheel):
        click.echo(str(path))


@models.command()
@click.option("--in", "folder", default="", help="Folder to look in, as --landmark-option models=.")
def where(folder: str) -> None:
    """Prints the paths of the networks that would be used, checked by their SHA-256."""
    for path in find_models(folder).values():
        click.echo(str(path))
