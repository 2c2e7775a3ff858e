"""`gridprep verify`: checks that a GRID folder is complete and that its clips are usable."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from gridprep import api
from gridprep.commands.options import (
    FINISHED_WITH_FAILURES,
    NAMED,
    corpus_kind_option,
    jobs_option,
    json_option,
    limit_option,
    speakers_option,
)
from gridprep.verification.report import Finding, SpeakerCounts, Verification
from manifests.console import format_table, print_json
from manifests.errors import BadInput
from manifests.io import write_json
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("corpus", type=click.Path())
@corpus_kind_option
@speakers_option
@limit_option("Check")
@jobs_option()
@click.option(
    "--out",
    default="verify.json",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the report; it must not lie inside CORPUS.",
)
@click.option("--quick", is_flag=True, help="Check file names and presence only; decode no clip.")
@click.option("--faces", is_flag=True, help="Also look for the face in every clip.")
@click.option("--complete", is_flag=True, help="Count missing clips as failures.")
@json_option
def verify(corpus: str, out: Path, complete: bool, as_json: bool, **options: Any) -> int:
    """Checks every clip of CORPUS as a build would, and compares a folder of GRID with its lists.

    Each clip is decoded to its end. Checked are: number, rate and size of the frames; gray and black
    frames; presence, length and level of the sound; file name and speaker; presence of the alignment
    and its sentence. CORPUS is only read. Clips in a wrong folder are reported; a build repairs them.

    Exit codes: 0 every clip is usable (flags and repairs allowed); 6 some are not usable, or are
    missing with --complete; 2 bad input.
    """
    _check_out(out, corpus)
    result = api.verify(corpus, **options)
    write_json(out, result.to_dict())
    incomplete = complete and result.missing > 0
    code = FINISHED_WITH_FAILURES if result.count("failed") or incomplete else 0
    if as_json:
        summary = result.to_dict()
        del summary["findings"]  # 33,000 of them at worst; the report has them
        print_json({**summary, "report": str(out), "exit_code": code})
        return code
    for line in _lines(result):
        # A file name that is no UTF-8 must not end the report.
        click.echo(line.encode("utf-8", "backslashreplace").decode("utf-8"))
    click.echo(_summary(result))
    click.echo(f"report: {out}")
    return code


def _check_out(out: Path, corpus: str) -> None:
    """Finds out before the work whether the report can be written. Raises `BadInput`, `OSError`."""
    folder = out.resolve().parent
    root = Path(corpus).resolve()
    if folder == root or root in folder.parents:
        raise BadInput(
            f"{out} lies inside the corpus, to which nothing is ever written",
            "name another place with --out",
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise BadInput(
            f"{folder} cannot be written to ({error.strerror})", "name another place with --out"
        ) from None


def _lines(result: Verification) -> list[str]:
    """The table of speakers, then the findings, most important first."""
    lines = [_table(result.speakers, result.options.limit > 0)]
    if result.missing:
        absent = len(result.absent_speakers)
        whole = f", among them all of {absent} speakers" if absent else ""
        lines.append(
            f"  warning: {result.missing} clips of GRID's lists are missing{whole} (a part of GRID is "
            "fine; with --complete missing clips count as failures)"
        )
    lines += _grouped(result, "failed")
    lines += _grouped(result, "flagged")
    lines += [f"  repaired: {repair.says}" for repair in result.repairs]
    if result.duplicates:
        used, other = result.duplicates[0]
        lines.append(
            f"  {len(result.duplicates)} duplicate files are ignored: e.g. {other}, because {used} "
            "is used"
        )
    if result.orphan_alignments:
        lines.append(f"  alignments without a clip: {result.orphan_alignments}")
    if result.archives:
        lines.append(
            f"  warning: {len(result.archives)} archives in the folder are not unpacked, e.g. "
            f"{result.archives[0]} (see `gridprep unpack`)"
        )
    if result.junk_files:
        lines.append(f"  system files ignored (._*, Thumbs.db, …): {result.junk_files}")
    return lines


def _table(speakers: tuple[SpeakerCounts, ...], limited: bool) -> str:
    columns = ["expected", "found", "checked", "ok", "flagged", "failed", "alignments", "missing"]
    if not limited:
        columns.remove("checked")
    if any(s.unlisted for s in speakers):
        columns.append("unlisted")
    rows = [[s.speaker, *(getattr(s, c) for c in columns)] for s in speakers]
    if len(rows) > 1:
        rows.append(["all", *(sum(getattr(s, c) for s in speakers) for c in columns)])
    return format_table(["speaker", *columns], rows)


def _grouped(result: Verification, verdict: str) -> list[str]:
    """Lines such as `11 × grey_frames: s1/bbizzn (12 of 75 frames …), s1/…`, most frequent first."""
    groups: dict[str, list[tuple[Finding, str]]] = {}
    for finding in result.findings:
        if finding.verdict == verdict == "failed":
            for problem in finding.problems:
                groups.setdefault(problem.reason, []).append((finding, f" ({problem.detail})"))
        elif finding.verdict == verdict == "flagged":
            for flag in finding.flags:
                groups.setdefault(flag, []).append((finding, ""))
    lines = []
    for reason, members in sorted(groups.items(), key=lambda g: -len(g[1])):
        named = ", ".join(
            finding.clip_id + (detail if i == 0 else "")
            for i, (finding, detail) in enumerate(members[:NAMED])
        )
        more = f", and {len(members) - NAMED} more" if len(members) > NAMED else ""
        lines.append(f"  {verdict}: {len(members)} × {reason}: {named}{more}")
    return lines


def _summary(result: Verification) -> str:
    here = len(result.findings)
    rate = here / result.wall_s if result.wall_s else 0.0
    parts = [
        f"{result.count('ok')} ok + {result.count('flagged')} flagged + "
        f"{result.count('failed')} failed = {here} clips",
        f"{result.missing} missing",
        f"{len(result.repairs)} repairs",
    ]
    how = "file names and presence only, " if result.options.quick else ""
    return f"{', '.join(parts)} ({how}{result.wall_s:.1f} s, {rate:.1f} clips/s)"
