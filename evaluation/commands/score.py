"""`facetron-eval score`: computes missing scores and prints counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from evaluation.commands.options import (
    as_published_option,
    jobs_option,
    json_option,
    metrics_option,
    model_options,
    select_told,
    with_published,
)
from evaluation.inputs.pairs import read_run
from evaluation.scoring.outcome import check_outcome, reason_lines, summary
from evaluation.scoring.run import score_runs
from evaluation.scoring.settings import read_settings
from manifests.errors import BadInput, MissingDependency
from manifests.outputs import Command
from manifests.shards import Shard


@click.command(cls=Command)
@click.argument("run_dirs", nargs=-1, required=True, type=click.Path(path_type=Path))
@metrics_option
@as_published_option
@model_options
@jobs_option
@click.option(
    "--shard",
    default="",
    metavar="I/N",
    help="Score the I-th of N parts of the clips, beside other processes; a call without it joins "
    "their scores.",
)
@click.option(
    "--backend",
    default="local",
    show_default=True,
    help="local, or dask: on a cluster, whose workers load each network once.",
)
@click.option("--scheduler", default="", help="Address of a Dask scheduler, tcp://host:8786.")
@json_option
def score(
    run_dirs: tuple[Path, ...],
    metrics: tuple[str, ...] | None,
    as_published: tuple[str, ...],
    jobs: int,
    shard: str,
    backend: str,
    scheduler: str,
    as_json: bool,
    **models: Any,
) -> int:
    """Score the clips of RUN_DIRS into RUN_DIR/scores.jsonl; valid scores are kept."""
    runs = [read_run(path) for path in run_dirs]
    if len({run.root.resolve() for run in runs}) < len(runs):
        raise BadInput("a run directory was given twice", "name each run directory once")
    settings = read_settings(runs, as_published=as_published, **models)
    chosen, absent = select_told(with_published(metrics, as_published), settings)
    scored = score_runs(
        runs,
        chosen,
        jobs,
        shard=Shard.parse(shard) if shard else None,
        backend=backend,
        scheduler=scheduler,
    )
    if as_json:
        click.echo(
            json.dumps({"runs": [summary(item) for item in scored], "absent": absent}, indent=2)
        )
    for item in [] if as_json else scored:
        total = len(item.scores)
        click.echo(
            f"{item.run.root}: {len(item.run.clips)} clips, {item.run.n_missing} missing; "
            f"{total} scores, {total - item.n_failed} ok, {item.n_failed} failed, "
            f"{item.n_new} computed now"
        )
        for line in reason_lines(item):
            click.echo(f"  {line}")
    check_outcome(scored)
    return MissingDependency.exit_code if absent else 0
