"""`facetron resynth`: analysis–synthesis of recordings by a vocoder, into a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facetron.synthesis.resynth import ResynthOptions, resynthesize
from facetron.vocoders.registry import PUBLISHED, VOCODERS
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
    help="Subset of the split that the features were built with.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Run directory to write."
)
@click.option(
    "--vocoder",
    type=click.Choice(list(VOCODERS)),
    default="griffin-lim",
    show_default=True,
    help="Vocoder that turns the mel into a waveform.",
)
@click.option(
    "--iterations",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Iterations of Griffin-Lim.",
)
@click.option(
    "--magnitude",
    type=click.Choice(["mel", "pinv"]),
    default="mel",
    show_default=True,
    help="Magnitude for Griffin-Lim: mel estimates it together with the phase, pinv takes the "
    "pseudo-inverse of the mel filters.",
)
@click.option(
    "--checkpoint",
    type=click.Path(),
    default="",
    help="Weights of hifigan and of published: bundled weights (synthgrid, grid-s1), a checkpoint with "
    "a vocoder, or a file of `facetron published`.",
)
@click.option(
    "--limit", type=click.IntRange(min=0), default=0, help="Largest number of clips; 0 takes all."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of Griffin-Lim's first phase.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=None,
    help="Number of processes; one per core by default.",
)
@click.option("--name", default="", help="Name of the run in tables.")
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Number of failed clips above which the exit code is not 0.",
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
    """Turns the mels of recordings back into speech by a vocoder (analysis–synthesis).

    Papers print this row as the upper bound of systems that predict mels. A run that was stopped
    continues: wavs made from the same mel with the same parameters are kept.
    """
    chosen: tuple[tuple[str, Any], ...] = (("iterations", iterations), ("magnitude", magnitude))
    if vocoder.startswith("hifigan") or vocoder == PUBLISHED:
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
