"""`gridprep models`: fetches and finds the two networks of the landmark backend `facemesh`."""

from __future__ import annotations

from pathlib import Path

import click

from gridprep.landmarks.models import fetch_models, find_models
from manifests.outputs import Group


@click.group(cls=Group)
def models() -> None:
    """Fetches the networks that find faces and landmarks, checks them and keeps them in a cache."""


@models.command()
@click.option(
    "--to", "folder", type=click.Path(path_type=Path, file_okay=False), default=None,
    help="Folder for the networks; the user's cache by default.",
)  # fmt: skip
@click.option(
    "--wheel", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None,
    help="Local wheel of mediapipe 0.10.21; by default pip downloads it.",
)  # fmt: skip
def fetch(folder: Path | None, wheel: Path | None) -> None:
    """Extracts the networks from the wheel of MediaPipe (Apache-2.0) without installing it.

    pip downloads the wheel (36 MB) from its configured index; nothing is downloaded if the networks
    are already there.
    """
    for path in fetch_models(folder, wheel):
        click.echo(str(path))


@models.command()
@click.option("--in", "folder", default="", help="Folder that holds the networks.")
def where(folder: str) -> None:
    """Prints the paths of the networks that a build would use, after checking their SHA-256."""
    for path in find_models(folder).values():
        click.echo(str(path))
