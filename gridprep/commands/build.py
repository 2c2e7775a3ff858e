"""`gridprep build` and its single stages `align`, `crop`, `mels`, `manifest`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

import click

from gridprep.api import build_options, recipe_of
from gridprep.commands.options import (
    FINISHED_WITH_FAILURES,
    corpus_kind_option,
    jobs_option,
    json_option,
    limit_option,
    speakers_option,
)
from gridprep.landmarks.registry import BACKENDS, DEFAULT
from gridprep.pipeline.recipe import ALL_STAGES, DEFAULT_MEL, ContentPolicy
from gridprep.pipeline.run import BuildReport, Estimate, estimate, run
from gridprep.pipeline.selection import CORPUS_SPLIT, BuildOptions
from manifests.console import pairs_of, print_json
from manifests.mel import PRESETS
from manifests.outputs import Command
from manifests.records import ClipFailure
from manifests.specs import CropSpec, LandmarkSpec

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_SHARED = [
    click.option(
        "--corpus",
        required=True,
        type=click.Path(),
        help="Folder of the corpus, in any layout, or of your own videos; or a list of videos "
        "(CSV, JSONL); see docs/corpora.md.",
    ),
    corpus_kind_option,
    click.option(
        "--out",
        required=True,
        type=click.Path(),
        help="Folder of the build: a new or empty folder, or an existing build.",
    ),
    speakers_option,
    limit_option("Build"),
    jobs_option(),
    click.option(
        "--backend",
        default="local",
        show_default=True,
        help="Where the workers run: local (this machine) or dask (a cluster).",
    ),
    click.option("--scheduler", default="", help="Address of a Dask scheduler, tcp://host:8786."),
    click.option(
        "--max-failures",
        default=-1,
        type=click.IntRange(-1),
        help="Stop when more than this many clips fail; -1: never stop.",
        show_default=True,
    ),
]
_LANDMARKS = [
    click.option(
        "--landmarks", default=DEFAULT, show_default=True,
        help=f"Landmark backend: {', '.join(BACKENDS)}.",
    ),
    click.option(
        "--device", default="cpu", show_default=True,
        help="Device of the landmark backend: cpu, cuda or cuda:N.",
    ),
    click.option(
        "--every", default=LandmarkSpec().every, show_default=True, type=click.IntRange(1, 25),
        help="Find landmarks on every k-th frame and interpolate the others.",
    ),
    click.option(
        "--who", default="", metavar="left|right|largest|N",
        help="Face to use where there are several; N counts from the left. By default the most "
        "central and largest face is used.",
    ),
    click.option(
        "--landmark-option", "landmark_options", multiple=True, metavar="NAME=VALUE",
        help="Option of the landmark backend, e.g. fan_weights=PATH.",
    ),
]  # fmt: skip
_CROPS = [
    click.option(
        "--lips-format", default=CropSpec().lips_codec, show_default=True,
        help="File format of the lip crops; docs/formats.md compares the formats.",
    ),
    click.option(
        "--face-every", default=CropSpec().face_every, show_default=True, type=click.IntRange(1, 75),
        help="Store a face still of every k-th frame.",
    ),
]  # fmt: skip
_MELS = [
    click.option(
        "--mel", "mel_presets", multiple=True, default=(DEFAULT_MEL,), show_default=True,
        help=f"Mel preset: {', '.join(PRESETS)}. Repeat the option for further presets; the first "
        "is the build's own mel.",
    ),
]  # fmt: skip
_CONTENT = [
    click.option(
        "--content", default="fail", show_default=True, type=click.Choice(get_args(ContentPolicy)),
        envvar="GRIDPREP_CONTENT",
        help="Clips whose pictures, sound, words or speaker are wrong: record a failure, write a row "
        "with a flag, or do not check the content.",
    ),
]  # fmt: skip
_SPLIT = [
    click.option(
        "--split",
        default=CORPUS_SPLIT,
        show_default="large-unseen for GRID",
        help="Frozen split that assigns clips to subsets, by name or as the .csv file that `gridprep "
        "splits freeze` wrote; see `gridprep splits`. Without one, the subsets are those of the corpus, or "
        "all clips are in train.",
    ),
]


def _with(*groups: list[Callable[[CommandT], CommandT]]) -> Callable[[CommandT], CommandT]:
    def decorate(function: CommandT) -> CommandT:
        for option in reversed([o for group in groups for o in group]):
            function = option(function)
        return function

    return decorate


RECIPE = ("landmarks", "device", "every", "who", "lips_format", "face_every", "content")
BUILD = (
    "corpus_kind",
    "split",
    "speakers",
    "limit",
    "jobs",
    "backend",
    "scheduler",
    "shard",
    "max_failures",
)
"""Names of options that are names of parameters of `gridprep.api`."""


def _options(targets: tuple[str, ...], given: dict[str, Any]) -> BuildOptions:
    recipe = {name: given[name] for name in RECIPE if name in given}
    if "mel_presets" in given:
        recipe["mels"] = given["mel_presets"]
    return build_options(
        given["corpus"],
        given["out"],
        recipe_of(
            **recipe,
            landmark_options=pairs_of("--landmark-option", given.get("landmark_options", ())),
        ),
        targets=targets,
        **{name: given[name] for name in BUILD if name in given},
        redo=tuple(given.get("redo", ())),
    )


def _tell_estimate(expected: Estimate, jobs: int, as_json: bool) -> None:
    """Prints the outcome of a dry run."""
    known = len(expected.failures)
    if as_json:
        told = {
            k: v for k, v in vars(expected).items() if k not in ("failures", "sampled_failures")
        }
        tried = len(expected.sampled_failures)
        print_json(told | {"failures_known": known, "sampled_failures": tried})
        return
    _tell_reasons(expected.failures)
    click.echo(
        f"{expected.clips} clips, {expected.to_do} to work on, {known} known failures; about "
        f"{_size(expected.size_bytes)} and {_time(expected.wall_s)} with {jobs} jobs (from "
        f"{expected.sampled} clips tried in a temporary folder)"
    )
    if expected.sampled_failures:
        click.echo(f"of the {expected.sampled} clips tried:")
        _tell_reasons(expected.sampled_failures)


def _tell_reasons(failures: Sequence[ClipFailure]) -> None:
    """Prints a line for each reason, with an example."""
    for reason, count in Counter(f.reason for f in failures).most_common():
        example = next(f for f in failures if f.reason == reason)
        click.echo(f"  {count} × {reason}: e.g. {example.clip_id}: {example.detail}")


def tell(
    report: BuildReport, what: str, max_failures: int, failures_at: str, as_json: bool = False
) -> int:
    """Prints the balance of a build and returns the exit code."""
    code = FINISHED_WITH_FAILURES if len(report.failures) > max(max_failures, 0) else 0
    if as_json:
        print_json(_summary(report, code))
        return code
    _tell_reasons(report.failures)
    handled = report.processed or report.clips
    click.echo(
        f"{report.rows} {what} + {len(report.failures)} failures = {report.clips} clips"
        f" ({report.processed} worked on, {report.reused} unchanged, {report.wall_s:.1f} s,"
        f" {handled / max(report.wall_s, 1e-9):.1f} clips/s)"
    )
    if report.kept:
        click.echo(f"{report.kept} of them are from earlier builds of this folder")
    for reason, count in report.dropped.items():
        click.echo(f"  {count} clips of earlier builds are no longer listed: {reason}")
    if report.unlisted:
        click.echo(f"{report.unlisted} videos in the corpus are not in its list (provenance.json)")
    if report.manifest:
        click.echo(f"manifest: {report.manifest}")
    if report.failures:
        click.echo(failures_at)
    return code


def _summary(report: BuildReport, code: int) -> dict[str, Any]:
    """The JSON object that `--json` prints for a build."""
    return {
        "clips": report.clips,
        "rows": report.rows,
        "failures": len(report.failures),
        "reasons": dict(Counter(f.reason for f in report.failures)),
        "processed": report.processed,
        "unchanged": report.reused,
        "kept": report.kept,
        "dropped": report.dropped,
        "wall_s": round(report.wall_s, 2),
        "manifest": report.manifest,
        "exit_code": code,
    }


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"


def _stage_command(
    name: str, targets: tuple[str, ...], help_text: str, *groups: Any
) -> click.Command:
    def callback(**given: Any) -> int:
        report = run(_options(targets, given))
        return tell(
            report, "done", given["max_failures"], "run `gridprep build` for failures.jsonl"
        )

    return click.command(name, cls=Command, help=help_text)(_with(_SHARED, *groups)(callback))


align = _stage_command("align", ("align",), "Finds the facial landmarks of every clip.", _LANDMARKS)
crop = _stage_command(
    "crop",
    ("crop",),
    "Cuts lip crops (144×144) and face stills (160×160) out of every clip.",
    _LANDMARKS,
    _CROPS,
)
mels = _stage_command(
    "mels", ("mels",), "Computes audio, mels, F0 and energy of every clip.", _MELS
)


@click.command(cls=Command)
@_with(_SHARED, _LANDMARKS, _CROPS, _MELS, _CONTENT, _SPLIT)
def manifest(**given: Any) -> int:
    """Writes the manifest from the features that are already built."""
    report = run(_options((), given))
    return tell(report, "rows", given["max_failures"], f"why: {given['out']}/failures.jsonl")


@click.command(cls=Command)
@_with(_SHARED, _LANDMARKS, _CROPS, _MELS, _CONTENT, _SPLIT)
@click.option(
    "--shard",
    default="",
    metavar="I/N",
    help="Build the I-th of N parts of the corpus, in a folder of its own; `gridprep merge` joins them.",
)
@click.option(
    "--redo",
    multiple=True,
    type=click.Choice(ALL_STAGES),
    help="Run this stage and all stages that depend on it again; may be repeated.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Build nothing; print the number of clips and the time and disk space needed.",
)
@json_option
def build(dry_run: bool, as_json: bool, **given: Any) -> int:
    """Runs all stages of preprocessing: from a corpus to features and a manifest.

    A build adds to the content of OUT: clips of earlier builds stay in the manifest as long as their
    features are those that these options would give; the number of clips dropped is printed.

    Exit codes: 0 every clip is a row (or no more failures than --max-failures); 6 finished, some
    clips are failures; 5 stopped by --max-failures; 4 another build writes to --out; 2 bad input.
    """
    options = _options(ALL_STAGES, given)
    if dry_run:
        _tell_estimate(estimate(options), options.jobs, as_json)
        return 0
    report = run(options)
    why = f"why: {given['out']}/failures.jsonl"
    return tell(report, "rows", given["max_failures"], why, as_json)
