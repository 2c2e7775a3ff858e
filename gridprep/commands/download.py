"""`gridprep download`: fetches GRID from Zenodo into a corpus folder."""

from __future__ import annotations

from pathlib import Path

import click

from gridprep.commands.options import say
from gridprep.download import corpus
from gridprep.download.network import Network
from gridprep.download.record import BASE_URL, GRID_RECORD, fetch_record
from manifests.console import Progress, format_table
from manifests.corpus_lists import parse_speakers
from manifests.outputs import Command


@click.command(cls=Command)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Corpus folder to create or to complete.",
)
@click.option(
    "--speakers", default="all", show_default=True, help="Speakers: s1,s2 or s30-s34 or all."
)
@click.option(
    "--alignments/--no-alignments",
    default=True,
    help="Whether to fetch the word alignments as well.",
    show_default=True,
)
@click.option("--keep-zips", is_flag=True, help="Keep the archives in OUT/.download.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Fetch nothing; print sizes, license and the disk space needed.",
)
@click.option(
    "--base-url", default=BASE_URL, show_default=True, help="Server that holds the record."
)
@click.option(
    "--record", "number", default=GRID_RECORD, show_default=True, help="Number of the record."
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=6,
    show_default=True,
    help="Number of retries after a failed request.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1),
    default=60.0,
    show_default=True,
    help="Seconds without data after which a connection is closed.",
)
@click.pass_context
def download(
    context: click.Context,
    out: Path,
    speakers: str,
    alignments: bool,
    keep_zips: bool,
    dry_run: bool,
    base_url: str,
    number: str,
    retries: int,
    timeout_s: float,
) -> None:
    """Fetches GRID from its Zenodo record: the videos of each speaker and the word alignments.

    An interrupted download resumes where it stopped. Every archive is verified against the
    checksum in the record, and is refused if an entry points outside its folder. The archive
    audio_25k.zip is not fetched: its silence is trimmed, so it does not align with the video.
    """
    network = Network(timeout_s=timeout_s, retries=retries, say=say)
    chosen = parse_speakers(speakers)
    corpus.check_folder(out)
    record = fetch_record(network, base_url, number)
    archives = corpus.plan(record, out, chosen, alignments)
    missing_bytes = sum(a.file.size_bytes - a.have_bytes for a in archives)
    license = record.license or "none named; ask before you use it"
    click.echo(f"{record.title or 'record'} ({base_url}/records/{number}), license: {license}")
    if dry_run:
        rows = [[a.name, f"{a.file.size_bytes / 1e6:.1f}", a.state()] for a in archives]
        click.echo(format_table(["archive", "MB", "state"], rows))
    needed_bytes = corpus.space_needed_bytes(archives, keep_zips)
    click.echo(
        f"{missing_bytes / 1e9:.2f} GB to fetch, {needed_bytes / 1e9:.2f} GB of space needed, "
        f"{corpus.free_bytes(out) / 1e9:.2f} GB free"
    )
    if dry_run:
        corpus.check_space(archives, out, keep_zips)
        return
    with Progress(missing_bytes, "download", "B") as progress:
        report = corpus.download(archives, out, network, keep_zips, progress.update)
    counts = corpus.clip_counts(archives)
    if counts:
        click.echo(format_table(["speaker", "clips", "expected"], counts))
    click.echo(
        f"{len(archives)} archives: {len(report.fetched)} fetched, {len(report.already)} there "
        f"already, {len(report.failed)} failed"
    )
    for name, problem in report.failed.items():
        click.echo(f"{name}: {problem}", err=True)
    if report.failed:
        context.exit(1)
    click.echo(f"next: gridprep verify {out}")
