"""`facetron resynth`: analysis–synthesis of recordings by a vocoder, into a run directory."""

from __future__ import annotations

from typing import Any

import click

from facetron.commands.options import (
    close,
    limit_option,
    manifest_option,
    max_failures_option,
    name_option,
    out_option,
    seed_option,
    subset_option,
)
from facetron.synthesis.resynth import ResynthOptions, resynthesize
from facetron.vocoders.registry import PUBLISHED, VOCODERS
from manifests.cpus import available_cpus
from manifests.outputs import Command


@click.command(cls=Command)
@manifest_option
@subset_option
@out_option
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
@limit_option
@seed_option("Griffin-Lim's first phase")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=None,
    help="Number of processes; one per core by default.",
)
@name_option
@max_failures_option
def resynth(
    vocoder: str,
    iterations: int,
    magnitude: str,
    checkpoint: str,
    jobs: int | None,
    max_failures: int,
    **options: Any,
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
            vocoder=vocoder, vocoder_options=chosen, jobs=jobs or available_cpus(), **options
        )
    )
    close(options["out"], report, max_failures)
