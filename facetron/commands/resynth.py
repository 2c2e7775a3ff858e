"""`facetron resynth`: real mels through a vocoder, into a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facetron.synthesis.resynth import ResynthOptions, resynthesize
from facetron.vocoders.registry import VOCODERS
from manifests.cpus import available_cpus
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
    help="Which clips: the subset of the split that the build was made with.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Run directory to write."
)
@click.option(
    "--vocoder",
    type=click.Choice(list(VOCODERS)),
    default="griffin-lim",
    show_default=True,
    help="What turns a mel into sound.",
)
@click.option(
    "--iterations",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Rounds of Griffin-Lim.",
)
@click.option(
    "--magnitude",
    type=click.Choice(["mel", "pinv"]),
    default="mel",
    show_default=True,
    help="Griffin-Lim's magnitude: found with the phase, or the textbook pseudo-inverse.",
)
@click.option(
    "--checkpoint",
    type=click.Path(),
    default="",
    help="Weights of hifigan: bundled (synthgrid, grid-s1), a checkpoint with a vocoder, or a "
    "published state dict.",
)
@click.option("--limit", type=click.IntRange(min=0), default=0, help="At most this many clips.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=None,
    help="Processes; every core by default.",
)
@click.option("--name", default="", help="Name of the row in tables.")
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Clips that may fail before the exit code says so.",
)
def resynth(
    manifest: Path,
    subset: str,
    out: Path,
    vocoder: str,
    iterations: int,
    magnitude: str,
    checkpoint: str,
    limit: int,
    seed: int,
    jobs: int | None,
    name: str,
    max_failures: int,
) -> None:
    """Real mel → vocoder → sound: the analysis–synthesis row that papers print as an upper bound.

    Goes on where an earlier run stopped: wavs made from the same mel with the same parameters are
    kept.
    """
    chosen: tuple[tuple[str, Any], ...] = (("iterations", iterations), ("magnitude", magnitude))
    if vocoder.startswith("hifigan"):
        chosen = (("checkpoint", checkpoint),)
    report = resynthesize(
        ResynthOptions(
            manifest=manifest,
            out=out,
            subset=subset,
            vocoder=vocoder,
            vocoder_options=chosen,
            limit=limit,
            seed=seed,
            jobs=jobs or available_cpus(),
            name=name,
        )
    )
    kept = f" ({report.kept} of them kept from before)" if report.kept else ""
    failed = len(report.failures)
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
