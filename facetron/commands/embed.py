"""`facetron embed`: face and prosody embeddings of a manifest's clips."""

from __future__ import annotations

from pathlib import Path

import click

from facetron.commands.options import device_option, limit_option, manifest_option, subset_option
from manifests.errors import BadInput
from manifests.outputs import Command


@click.command(cls=Command)
@manifest_option
@click.option(
    "--checkpoint",
    type=click.Path(),
    required=True,
    help="Checkpoint of any stage with a face or a prosody encoder, or the name of bundled weights.",
)
@subset_option
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The .npz file to write."
)
@click.option(
    "--csv", type=click.Path(path_type=Path), help="CSV file to write the embeddings to as well."
)
@click.option(
    "--stills",
    type=click.Choice(["middle", "mean"]),
    default="middle",
    show_default=True,
    help="Face of each clip: its middle face still, or the mean over all its face stills.",
)
@limit_option
@device_option
def embed(
    manifest: Path,
    checkpoint: str,
    subset: str,
    out: Path,
    csv: Path | None,
    stills: str,
    limit: int,
    device: str,
) -> None:
    """Writes the face and the prosody embedding of each clip: the points of Figure 2.

    The .npz file holds plain arrays: face and prosody (clips × size, unit length), speaker, stem,
    gender, subset, seen, and info, a JSON text with the checkpoint and the options.
    """
    if out.suffix != ".npz":
        raise BadInput(
            f"--out {out} does not end in .npz", "name it .npz; --csv FILE writes a table"
        )
    # `facetron --help` must not wait for PyTorch.
    from facetron.checkpoints import bundled
    from facetron.synthesis import embedding

    made = embedding.embed(
        manifest,
        bundled.resolve(checkpoint),
        subset,
        "mean" if stills == "mean" else "middle",
        device,
        limit,
    )
    embedding.write_npz(out, made)
    if csv is not None:
        embedding.write_table(csv, made)
    speakers = {row.speaker: seen for row, seen in zip(made.rows, made.seen, strict=True)}
    click.echo(
        f"{out}: {len(made.rows)} clips of {len(speakers)} speakers, {sum(speakers.values())} of them "
        "seen in training"
    )
    for name, (other, margin, rank) in made.collapse().items():
        told = [("cosine between speakers", other), ("same speaker higher by", margin)]
        told.append(("mean rank of the true speaker", rank))
        words = [f"{label} {value:.3f}" for label, value in told if value is not None]
        click.echo(f"  {', '.join([f'{name} of {made.held()[name].shape[1]}', *words])}")
