"""`gridprep unpack`: unpacks archives of GRID on this machine into a corpus folder."""

from __future__ import annotations

from pathlib import Path

import click

from gridprep.commands.options import say
from manifests.console import Progress
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("archives", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Corpus folder to create or to complete.",
)
@click.pass_context
def unpack(context: click.Context, archives: tuple[Path, ...], out: Path) -> None:
    """Unpacks zip files of GRID: s1.zip, s2.zip, …, alignments.zip, or a folder that holds them.

    Each archive becomes a folder of the same name in OUT; the archive itself is kept. A damaged
    archive, or one with entries that point outside its folder, is refused; an archive without clips
    and alignments (audio_25k.zip) is skipped. An interrupted run resumes where it stopped.

    Exit codes: 0 all archives are unpacked; 1 some are not; 2 bad input.
    """
    from gridprep.download.archives import archives_in, unpack_archives

    found = archives_in(archives)
    with Progress(len(found), "unpack", "archive") as progress:
        report = unpack_archives(found, out, say, progress.update)
    for name in report.passed_over:
        click.echo(f"{name}: holds no clips and no alignments, skipped")
    click.echo(
        f"{len(found)} archives: {len(report.unpacked)} unpacked, {len(report.already)} there "
        f"already, {len(report.passed_over)} skipped, {len(report.failed)} failed"
    )
    if report.failed:
        context.exit(1)
    click.echo(f"next: gridprep verify {out}")
