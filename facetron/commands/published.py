"""`facetron published`: the weights of others that this package can use."""

from __future__ import annotations

from pathlib import Path

import click

from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("file", required=False, type=click.Path(path_type=Path))
def published(file: Path | None) -> None:
    """Lists the published weights that this package can use, or says what FILE holds.

    Nothing is downloaded: fetch a file from its authors, read its license, and give its path.
    """
    # `facetron --help` must not wait for PyTorch.
    from facetron.published.families import PUBLISHED, recognize
    from manifests.io import sha256_file

    if file is not None:
        found = recognize(file)
        (entry,) = [entry for entry in PUBLISHED if entry.name == found.name]
        numbers = sum(value.numel() for value in found.tensors.values())
        click.echo(f"{file}: {entry.name}, {entry.what}")
        click.echo(f"  {len(found.tensors)} tensors, {numbers / 1e6:.1f} M numbers")
        click.echo(f"  sha256 {sha256_file(file)} (of the published file: {entry.sha256})")
        click.echo(f"  use: facetron {entry.use}")
        return
    for entry in PUBLISHED:
        lines = [
            ("is", entry.what),
            ("from", f"{entry.origin}: {entry.files}"),
            ("license", entry.license),
            ("sha256", entry.sha256),
            ("use", f"facetron {entry.use}"),
            ("note", entry.note),
        ]
        click.echo(entry.name)
        for name, text in lines:
            if text:
                click.echo(f"  {name:8}{text}")
