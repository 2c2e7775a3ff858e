"""Options that `score` and `report` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from evaluation.inputs.comparable import Common, check_same_clips, common_clips
from evaluation.inputs.pairs import Run, read_run
from evaluation.metrics.base import OPTIONAL, REGISTRY, Metric
from evaluation.models.registry import DEFAULT, RECOGNIZERS
from evaluation.scoring.run import ScoredRun, score_runs
from evaluation.scoring.settings import NOBODY
from evaluation.stats import intervals as statistics
from manifests.cpus import available_cpus
from manifests.errors import BadInput

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def name_list(
    choices: Sequence[str], what: str
) -> Callable[[click.Context, click.Parameter, str | None], tuple[str, ...] | None]:
    """A callback that reads `a,b,c` as a tuple of names, each of them known."""

    def read(
        _context: click.Context, _parameter: click.Parameter, value: str | None
    ) -> tuple[str, ...] | None:
        if value is None:
            return None
        names = tuple(dict.fromkeys(n.strip() for n in value.split(",") if n.strip()))
        unknown = [name for name in names if name not in choices]
        if unknown or not names:
            raise BadInput(
                f"there is no {what} {', '.join(map(repr, unknown)) or repr(value)}",
                f"choose from {', '.join(choices)}",
            )
        return names

    return read


def format_option(formats: Sequence[str]) -> Callable[[CommandT], CommandT]:
    """`--format a,b`, as the argument `formats`; all of them by default."""
    return click.option(
        "--format",
        "formats",
        callback=name_list(formats, "format"),
        default=",".join(formats),
        show_default=True,
    )


interval_option = click.option(
    "--interval",
    type=click.Choice(statistics.CHOICES),
    default="auto",
    show_default=True,
    help="How intervals are made. auto: Student's t over speakers where there are fewer than "
    f"{statistics.FEW_SPEAKERS}, else the bootstrap of speakers and their clips.",
)


common_option = click.option(
    "--common",
    is_flag=True,
    help="Score only the clips that all runs hold, of equal recordings, instead of refusing runs of "
    "different clips.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the outcome as JSON, for scripts."
)
metrics_option = click.option(
    "--metrics",
    callback=name_list(tuple(REGISTRY), "metric"),
    help=(
        f"Comma-separated, of: {', '.join(REGISTRY)}. "
        f"Default: all but {', '.join(OPTIONAL)}, of which "
        "those are added that a recognizer, weights or lip transcripts are given for."
    ),
)
jobs_option = click.option(
    "--jobs",
    type=click.IntRange(min=0),
    default=available_cpus,
    help="Worker processes; 0 scores in this one. Default: all CPUs.",
)


def model_options(command: CommandT) -> CommandT:
    """Recognizers and weights that the user brings; they arrive as keywords for `read_settings`."""
    for option in (
        click.option(
            "--recognizer",
            type=click.Choice([*RECOGNIZERS, NOBODY]),
            help=(
                "Who listens for WER and CER. Default: the runs' transcripts, where there are any, "
                f"else {DEFAULT}, which comes with the toolkit."
            ),
        ),
        click.option(
            "--recognizer-path",
            type=click.Path(path_type=Path),
            help="Its weights: a file or a folder.",
        ),
        click.option(
            "--nisqa-weights",
            type=click.Path(path_type=Path),
            envvar="FACETRON_NISQA_WEIGHTS",
            help="The official nisqa_tts.tar, for the metric nisqa_tts.",
        ),
        click.option(
            "--any-nisqa-weights",
            is_flag=True,
            help="Accept other weights of that network; the report says so.",
        ),
        click.option(
            "--syncnet-weights",
            type=click.Path(path_type=Path),
            envvar="FACETRON_SYNCNET_WEIGHTS",
            help="The public syncnet_v2.model, for the metrics lse_c and lse_d.",
        ),
        click.option(
            "--video-corpus",
            type=click.Path(path_type=Path),
            help="Where the clips' videos lie, for lse_c and lse_d. Default: as the build knew it.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class RunsBeside:
    """Runs that may stand in one table.

    Attributes:
        runs: as read.
        shared: the clips that all of them hold, where only these are wanted.
    """

    runs: tuple[Run, ...]
    shared: Common | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the choice of clips."""
        return self.shared.notes if self.shared else ()

    def score(self, metrics: Sequence[Metric], jobs: int) -> list[ScoredRun]:
        """The runs with their scores, of the shared clips alone where these are wanted."""
        if self.shared is None:
            return score_runs(self.runs, metrics, jobs)
        scored = score_runs(self.runs, metrics, jobs, only=self.shared.labels)
        return [replace(item, run=run) for item, run in zip(scored, self.shared.runs, strict=True)]


def read_beside(paths: Sequence[Path], *, common: bool) -> RunsBeside:
    """Run directories for one table or comparison, held to the same clips and recordings.

    Args:
        common: take the clips that all of them hold instead of refusing others.

    Raises:
        BadInput: no run directory, one given twice, or runs that do not compare.
    """
    runs = tuple(read_run(path) for path in paths)
    roots = [run.root.resolve() for run in runs]
    for path, root in zip(paths, roots, strict=True):
        if roots.count(root) > 1:
            raise BadInput(f"{path} was given twice", "name each run directory once")
    if common:
        return RunsBeside(runs, common_clips(runs))
    check_same_clips(runs)
    return RunsBeside(runs)
