"""`facetron embed`: face and prosody embeddings of a manifest's clips."""

from __future__ import annotations

from pathlib import Path

import click

from manifests.errors import BadInput
from manifests.outputs import Command


@click.command(cls=Command)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    required=True,
    help="manifest.jsonl, or the folder of a `gridprep build`.",
)
@click.option(
    "--checkpoint",
    type=click.Path(),
    required=True,
    help="Checkpoint of any stage with a face or a prosody encoder, or the name of bundled weights.",
)
@click.option(
    "--subset",
    type=click.Choice(["train", "val", "test", "all"]),
    default="test",
    show_default=True,
    help="Which clips: the subset of the split that the build was made with.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The .npz file to write."
)
@click.option("--csv", type=click.Path(path_type=Path), help="Also write them as a table here.")
@click.option(
    "--stills",
    type=click.Choice(["middle", "mean"]),
    default="middle",
    show_default=True,
    help="The face of a clip: its middle still, or the mean over all its stills.",
)
@click.option("--limit", type=click.IntRange(min=0), default=0, help="At most this many clips.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
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
    """Write the face and the prosody embedding of each clip: the points of Figure 2.

    Writes plain arrays: face and prosody (clips × size, of length 1), speaker, stem, gender,
    subset, seen, and info, a JSON text of what made them.
    """
    if out.suffix != ".npz":
        raise BadInput(f"--out {out} is no .npz", "name it .npz; a table is --csv FILE")
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
