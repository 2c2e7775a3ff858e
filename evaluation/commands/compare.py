"""`facetron-eval compare`: computes missing scores, then tests one run against another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from evaluation.commands.options import (
    bootstrap_options,
    common_option,
    format_option,
    interval_option,
    jobs_option,
    json_option,
    metrics_option,
    model_options,
    out_option,
    read_beside,
    select_told,
)
from evaluation.comparison import run as comparing
from evaluation.comparison import writers as compare_writers
from evaluation.scoring.outcome import check_outcome
from evaluation.scoring.settings import read_settings
from evaluation.stats import intervals as statistics
from evaluation.stats import paired
from manifests.errors import BadInput, MissingDependency
from manifests.io import check_writable
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@out_option("compare")
@format_option(compare_writers.FORMATS)
@metrics_option
@common_option
@interval_option
@bootstrap_options(paired.RESAMPLES)
@model_options
@jobs_option
@json_option
def compare(
    run_a: Path,
    run_b: Path,
    out: Path,
    formats: tuple[str, ...],
    metrics: tuple[str, ...] | None,
    common: bool,
    interval: statistics.Choice,
    seed: int,
    resamples: int,
    jobs: int,
    as_json: bool,
    **models: Any,
) -> int:
    """Test RUN_B against RUN_A: paired differences with intervals, p-values and effect sizes."""
    beside = read_beside((run_a, run_b), common=common)
    chosen, absent = select_told(metrics, read_settings(beside.runs, **models))
    if not any(m.info.ranks for m in chosen):
        raise BadInput("none of the chosen metrics ranks systems", "name others with --metrics")
    check_writable(out / "compare.json")
    scored = beside.score(chosen, jobs)
    options = comparing.ComparisonOptions(interval, resamples, seed=seed)
    first, second = scored
    found = comparing.compare(first, second, chosen, options, beside.notes)
    paths = compare_writers.write(found, out, formats)
    if as_json:
        click.echo(json.dumps(compare_writers.values(found), indent=2, ensure_ascii=False))
    else:
        click.echo(compare_writers.terminal(found))
        for path in paths:
            click.echo(path)
    check_outcome(scored)
    return MissingDependency.exit_code if absent else 0
