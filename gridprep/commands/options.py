"""Options that the commands share, and their exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from tqdm import tqdm

from gridprep.corpora.registry import RECIPES
from manifests.cpus import available_cpus

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

DAMAGED = 1
"""Exit code where artifacts of a build are missing, changed or cannot be read."""
FINISHED_WITH_FAILURES = 6
"""Exit code when everything ran, what there is is written, and some clips are failures."""
NAMED = 12
"""Number of clips or files that are named per problem on the terminal."""

BUILD = click.Path(exists=True, file_okay=False)

corpus_kind_option = click.option(
    "--corpus-kind",
    default="",
    show_default="what the folder looks like",
    help=f"Recipe of the corpus: {', '.join(RECIPES)}.",
)
speakers_option = click.option(
    "--speakers",
    default="all",
    show_default=True,
    help="Speakers: names with commas between them, of GRID also s1-s5, or all.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)


def limit_option(verb: str) -> Callable[[CommandT], CommandT]:
    """Returns the option `--limit`; `verb` says what is done to the clips."""
    return click.option(
        "--limit",
        default=0,
        type=click.IntRange(0),
        help=f"{verb} at most this many clips, spread evenly over the speakers; 0: all.",
    )


def jobs_option(text: str = "Worker processes.") -> Callable[[CommandT], CommandT]:
    """Returns the option `--jobs` with the help `text`."""
    return click.option(
        "--jobs",
        default=available_cpus,
        show_default="all that this process may use",
        type=click.IntRange(1),
        help=text,
    )


def say(line: str) -> None:
    """Prints a line on standard error, above a progress bar instead of through it."""
    tqdm.write(line, file=sys.stderr)
