"""Options that `score` and `report` share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import click

from evaluation.metrics.base import REGISTRY
from manifests.errors import BadInput


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


def default_jobs() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


metrics_option = click.option(
    "--metrics",
    callback=name_list(tuple(REGISTRY), "metric"),
    help=f"Comma-separated, of: {', '.join(REGISTRY)}. Default: all but PESQ.",
)
jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), default=default_jobs, help="Processes. Default: all CPUs."
)
