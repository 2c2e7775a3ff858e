"""Options that the commands share, and how a command ends that wrote a run directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from facetron.vocoders.registry import AUTO, VOCODERS
from manifests.errors import TooManyFailures
from manifests.runs import RunReport

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
BUNDLED = "Name of bundled weights (synthgrid, grid-s1), or path of a checkpoint."

manifest_option = click.option(
    "--manifest",
    type=PATH,
    required=True,
    help="manifest.jsonl, or the folder of a `gridprep build`.",
)
subset_option = click.option(
    "--subset",
    type=click.Choice(["train", "val", "test", "all"]),
    default="test",
    show_default=True,
    help="Subset of the split that the features were built with.",
)
out_option = click.option("--out", type=PATH, required=True, help="Run directory to write.")
name_option = click.option("--name", default="", help="Name of the run in tables.")
limit_option = click.option(
    "--limit", type=click.IntRange(min=0), default=0, help="Largest number of clips; 0 takes all."
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
)
max_failures_option = click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Number of failed clips above which the exit code is not 0.",
)
size_option = click.option(
    "--size", default=None, help="Size preset: paper (the default), small or debug."
)
config_option = click.option("--config", "file", type=PATH, help="YAML file of options.")


def set_option(example: str) -> Callable[[CommandT], CommandT]:
    """Returns the option `--set KEY=VALUE`, passed as `sets`; `example` follows "such as"."""
    return click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        help=f"Option to change, such as {example}; may be given several times.",
    )


def seed_option(what: str = "everything that is drawn at random") -> Callable[[CommandT], CommandT]:
    """Returns the option `--seed`; `what` completes "Seed of …"."""
    return click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help=f"Seed of {what}.",
    )


def decoding_option(*names: str) -> Callable[[CommandT], CommandT]:
    """Returns the option that chooses the CTC decoding; `names` are its own and the keyword's."""
    return click.option(
        *names,
        type=click.Choice(["greedy", "beam", "letters", "grammar"]),
        default="greedy",
        show_default=True,
        help="CTC decoding of the text read from the lips; letters prefers the spellings of the "
        "sentences that the weights were trained on, grammar allows GRID's sentences only. The speech "
        "does not depend on it.",
    )


def vocoder_options(command: CommandT) -> CommandT:
    """Adds `--vocoder` and `--vocoder-checkpoint`."""
    vocoder = click.option(
        "--vocoder",
        type=click.Choice([AUTO, *VOCODERS]),
        default=AUTO,
        show_default=True,
        help="Vocoder that turns the mel into a waveform; auto takes the checkpoint's own.",
    )
    weights = click.option(
        "--vocoder-checkpoint",
        type=click.Path(),
        default="",
        help="Weights of another vocoder: HiFi-GAN's, BigVGAN's or Vocos's (see `facetron "
        "published`), or a checkpoint with a vocoder. Mels of another spec are converted.",
    )
    return vocoder(weights(command))


def close(out: Path, report: RunReport, max_failures: int, note: str = "") -> None:
    """Prints the counts of a run and its first failures; `note` follows the counts.

    Raises:
        TooManyFailures: more clips failed than `max_failures`.
    """
    failed = len(report.failures)
    kept = f" ({report.kept} of them kept from before)" if report.kept else ""
    click.echo(
        f"{out}: wrote {report.wrote + report.kept}{kept} + failed {failed} = asked "
        f"{report.asked}{note}"
    )
    for failure in report.failures[:5]:
        click.echo(f"  {failure.clip_id}: {failure.detail}", err=True)
    if failed > max_failures:
        raise TooManyFailures(
            f"{failed} of {report.asked} clips failed, --max-failures is {max_failures}",
            f"see {out / 'failures.jsonl'}",
        )
