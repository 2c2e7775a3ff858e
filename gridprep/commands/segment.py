"""`gridprep segment`: long videos in parts, as a list for `gridprep build`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gridprep.commands.options import FINISHED_WITH_FAILURES
from gridprep.corpora.folder import FOLDER
from gridprep.corpora.segments import measure, parts_of
from manifests.console import Progress
from manifests.errors import BadInput, ClipError
from manifests.outputs import Command
from manifests.tables import write_csv

COLUMNS = ("video", "speaker", "text", "start_s", "end_s", "gender", "subset", "cut")


@click.command(cls=Command)
@click.argument("videos", type=click.Path(exists=True))
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The list, a .csv; give it to `gridprep build --corpus`.",
)
@click.option(
    "--longest-s",
    default=15.0,
    show_default=True,
    type=click.FloatRange(2, 60),
    help="Longest part, in seconds.",
)
def segment(videos: str, out: Path, longest_s: float) -> int:
    """Cuts VIDEOS, a folder or a list, into parts at silences, and writes a list of them.

    Videos that are short enough stay whole. The text of a video that is cut is not kept: nobody knows
    which part says what. Parts in which nobody speaks are left out.

    Exit codes: 0 every video is listed; 6 some have no sound, or cannot be read; 2 bad input.
    """
    if out.suffix != ".csv":
        raise BadInput(f"the list {out} is no .csv", "give it a name that ends in .csv")
    found = FOLDER.find(os.path.abspath(videos))
    rows: list[tuple[object, ...]] = []
    problems = [f.detail for f in found.failures]
    home = os.path.dirname(os.path.abspath(out))
    with Progress(len(found.clips), "segment") as progress:
        for clip in found.clips:
            path = os.path.relpath(clip.video, home)
            whole = (clip.gender, clip.subset)
            try:
                if clip.is_part:
                    times = (clip.start_s, clip.end_s)
                    rows.append((path, clip.speaker, clip.transcript, *times, *whole, "given"))
                    continue
                levels = measure(clip.video)
                if levels.end_s <= longest_s:
                    rows.append((path, clip.speaker, clip.transcript, "", "", *whole, ""))
                    continue
                parts = parts_of(levels, longest_s)
                if not parts:
                    problems.append(f"{path}: nobody speaks in it")
                for part in parts:
                    times = (part.start_s, part.end_s)
                    rows.append((path, clip.speaker, "", *times, *whole, part.cut))
            except ClipError as error:
                problems.append(f"{path}: {error.detail}")
            finally:
                progress.update(1, failures=len(problems))
    write_csv(out, COLUMNS, rows)
    for problem in problems:
        click.echo(f"  {problem}")
    quiet = sum(row[-1] == "quiet" for row in rows)
    click.echo(f"{len(found.clips)} videos, {len(rows)} clips, {len(problems)} not cut: {out}")
    if quiet:
        click.echo(f"{quiet} parts end where nobody pauses (column cut: quiet)")
    return FINISHED_WITH_FAILURES if problems else 0
