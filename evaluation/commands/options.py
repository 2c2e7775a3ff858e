"""Options that the commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from evaluation.inputs.comparable import Common, check_same_clips, common_clips
from evaluation.inputs.pairs import RunDir, read_run
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import ECAPA, OPTIONAL, REGISTRY, Metric, select
from evaluation.metrics.protocols import PROTOCOLS, columns_of
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
    """Returns a callback that parses `a,b,c` into a tuple of names and refuses unknown ones. Names with
    underscores may be written with dashes."""
    dashed = {name.replace("_", "-"): name for name in choices}

    def read(
        _context: click.Context, _parameter: click.Parameter, value: str | None
    ) -> tuple[str, ...] | None:
        if value is None:
            return None
        given = [name.strip() for name in value.split(",") if name.strip()]
        names = tuple(dict.fromkeys(dashed.get(name, name) for name in given))
        unknown = [name for name in names if name not in choices]
        if unknown or not names:
            raise BadInput(
                f"there is no {what} {', '.join(map(repr, unknown)) or repr(value)}",
                f"choose from {', '.join(choices)}",
            )
        return names

    return read


def format_option(formats: Sequence[str]) -> Callable[[CommandT], CommandT]:
    """Returns the option `--format a,b`, passed as `formats`; the default is all formats."""
    return click.option(
        "--format",
        "formats",
        callback=name_list(formats, "format"),
        default=",".join(formats),
        show_default=True,
        help="Comma-separated formats to write.",
    )


interval_option = click.option(
    "--interval",
    type=click.Choice(statistics.CHOICES),
    default="auto",
    show_default=True,
    help="Method of the confidence intervals. auto: Student's t over speakers where there are fewer "
    f"than {statistics.FEW_SPEAKERS}, else the bootstrap over speakers and their clips.",
)


common_option = click.option(
    "--common",
    is_flag=True,
    help="Score only the clips that all runs hold with equal recordings, instead of refusing runs "
    "that hold different clips.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the outcome as JSON, for scripts."
)
metrics_option = click.option(
    "--metrics",
    callback=name_list(tuple(REGISTRY), "metric"),
    help=(
        f"Comma-separated metrics, from: {', '.join(REGISTRY)}. "
        f"Default: all except {', '.join(OPTIONAL)}; these are added where their recognizer, "
        f"weights or lip transcripts are given, {', '.join(ECAPA)} where GE2E is absent or errs more "
        "(SynthGRID)."
    ),
)
as_published_option = click.option(
    "--as-published",
    multiple=True,
    type=click.Choice(list(PROTOCOLS)),
    help="Add the columns that a publication's own code would give for the same files, faults "
    "included, beside the honest ones. Can be repeated.",
)
jobs_option = click.option(
    "--jobs",
    type=click.IntRange(min=0),
    default=available_cpus,
    help="Worker processes; 0 scores in the main process. Default: all CPUs.",
)


def with_published(
    metrics: tuple[str, ...] | None, as_published: Sequence[str]
) -> tuple[str, ...] | None:
    """Returns the named metrics with the columns of published protocols; None stays the default."""
    return metrics if metrics is None else (*metrics, *columns_of(as_published))


def select_told(names: Sequence[str] | None, settings: Settings) -> tuple[list[Metric], list[str]]:
    """Returns `metrics.base.select`, and tells on standard error what is not available."""
    chosen, absent = select(names, settings)
    for line in absent:
        click.echo(line, err=True)
    return chosen, absent


def seed_option(what: str) -> Callable[[CommandT], CommandT]:
    """Returns the option `--seed`; `what` completes "Seed of …"."""
    return click.option("--seed", default=0, show_default=True, help=f"Seed of {what}.")


def bootstrap_options(resamples: int = statistics.RESAMPLES) -> Callable[[CommandT], CommandT]:
    """Returns a decorator that adds `--seed` and `--resamples`.

    Args:
        resamples: default number of resamples.
    """

    def add(command: CommandT) -> CommandT:
        count = click.option(
            "--resamples",
            type=click.IntRange(min=100),
            default=resamples,
            show_default=True,
            help="Resamples of the bootstrap.",
        )
        return seed_option("the bootstrap")(count(command))

    return add


def out_option(
    default: str = "", text: str = "Folder to write to."
) -> Callable[[CommandT], CommandT]:
    """Returns the option `--out` of a command that writes to the folder `default` unless told otherwise;
    without a default it must be given.

    Args:
        text: help of the option.
    """
    place: dict[str, Any] = {"default": Path(default), "show_default": True}
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        help=text,
        **(place if default else {"required": True}),
    )


def _weights_option(judge: str, text: str) -> Callable[[CommandT], CommandT]:
    return click.option(
        f"--{judge}-weights",
        type=click.Path(path_type=Path),
        envvar=f"FACETRON_{judge.upper()}_WEIGHTS",
        help=text,
    )


def model_options(command: CommandT) -> CommandT:
    """Adds the options for recognizers and weights of the user, the keywords of `read_settings`."""
    for option in (
        click.option(
            "--recognizer",
            type=click.Choice([*RECOGNIZERS, NOBODY]),
            help=(
                "Speech recognizer for WER and CER. Default: the runs' transcripts where there are "
                f"any, else {DEFAULT}, which comes with the toolkit."
            ),
        ),
        click.option(
            "--recognizer-path",
            type=click.Path(path_type=Path),
            help="Weights of the recognizer: a file or a folder.",
        ),
        _weights_option("nisqa", "Path of the official nisqa_tts.tar, for the metric nisqa_tts."),
        click.option(
            "--any-nisqa-weights",
            is_flag=True,
            help="Accept other weights of the NISQA network; the report names them as such.",
        ),
        _weights_option(
            "utmos", "Path of SpeechMOS's utmos22_strong_step7459_v1.pt, for the metric utmos."
        ),
        _weights_option(
            "speechbertscore",
            "Folder of a WavLM, HuBERT or wav2vec 2.0 that transformers saved, for the metric "
            "speechbertscore.",
        ),
        click.option(
            "--speechbertscore-layer",
            type=click.IntRange(min=0),
            help="Layer of it that is compared. Default: 14 of 24 (WavLM-large, as in the paper), the "
            "last one of other networks.",
        ),
        _weights_option(
            "wavlm",
            "Folder of a WavLM with a head for speakers (wavlm-base-plus-sv) that transformers "
            "saved, for the metrics wavlm_similarity, wavlm_accuracy and wavlm_eer.",
        ),
        _weights_option(
            "syncnet", "Path of the public syncnet_v2.model, for the metrics lse_c and lse_d."
        ),
        click.option(
            "--video-corpus",
            type=click.Path(path_type=Path),
            help="Folder of the clips' videos, for lse_c and lse_d. Default: the corpus of the build.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class RunsBeside:
    """Runs that may be shown in one table.

    Attributes:
        runs: as read.
        shared: the clips that all of them hold, where only these are wanted.
    """

    runs: tuple[RunDir, ...]
    shared: Common | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns the notes for the reader on the choice of clips."""
        return self.shared.notes if self.shared else ()

    def score(self, metrics: Sequence[Metric], jobs: int) -> list[ScoredRun]:
        """Returns the runs with their scores, restricted to the shared clips if `--common` was given."""
        if self.shared is None:
            return score_runs(self.runs, metrics, jobs)
        scored = score_runs(self.runs, metrics, jobs, only=self.shared.labels)
        return [replace(item, run=run) for item, run in zip(scored, self.shared.runs, strict=True)]


def read_beside(paths: Sequence[Path], *, common: bool) -> RunsBeside:
    """Reads run directories for one table or comparison; checks that clips and recordings agree.

    Args:
        common: keep the clips that all runs hold instead of refusing runs of different clips.

    Raises:
        BadInput: a path is no run directory, is given twice, or the runs are not comparable.
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


def read_elsewhere(paths: Sequence[Path]) -> tuple[RunDir, ...]:
    """Reads runs of further splits; those of one split must hold the same clips.

    Raises:
        BadInput: a path is no run directory, or runs of one split are not comparable.
    """
    runs = tuple(read_run(path) for path in paths)
    by_clips: dict[tuple[str, str], list[RunDir]] = {}
    for run in runs:
        by_clips.setdefault((run.info.split, run.info.subset), []).append(run)
    for group in by_clips.values():
        check_same_clips(group)
    return runs
