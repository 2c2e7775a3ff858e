"""`gridprep verify`: is this GRID complete and sound?"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from gridprep import api
from gridprep.commands.build import FINISHED_WITH_FAILURES
from gridprep.verification.report import Finding, SpeakerCounts, Verification
from manifests.console import format_table, print_json
from manifests.cpus import available_cpus
from manifests.errors import BadInput
from manifests.io import write_json
from manifests.outputs import Command

NAMED = 12
"""So many clips of a reason are named on the terminal; the report has them all."""


@click.command(cls=Command)
@click.argument("corpus", type=click.Path())
@click.option("--speakers", default="all", show_default=True, help="s1,s2 or s1-s5.")
@click.option(
    "--limit",
    default=0,
    type=click.IntRange(0),
    help="At most so many clips, dealt over the speakers; 0: all.",
)
@click.option(
    "--jobs",
    default=available_cpus,
    show_default="all that this process may use",
    type=click.IntRange(1),
    help="Worker processes.",
)
@click.option(
    "--out",
    default="verify.json",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the report goes; never into CORPUS.",
)
@click.option("--quick", is_flag=True, help="Names and presence only, nothing is decoded.")
@click.option("--faces", is_flag=True, help="Also look for the face in every clip.")
@click.option("--complete", is_flag=True, help="Clips that are not here count as failures.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def verify(
    corpus: str,
    speakers: str,
    limit: int,
    jobs: int,
    out: Path,
    quick: bool,
    faces: bool,
    complete: bool,
    as_json: bool,
) -> int:
    """Checks every clip of CORPUS as a build would, and the folder against GRID's lists.

    Each clip is decoded to its end: number, rate and size of the pictures, grey or black ones, sound
    there, long enough and not silent, name and speaker, alignment there and spelling the sentence.
    CORPUS is only read. Swapped folders and strays are told; a build repairs them by itself.

    Exit codes: 0 every clip is usable (flags and repairs allowed); 6 some are not, or with --complete
    some are not here; 2 bad input.
    """
    _check_out(out, corpus)
    result = api.verify(corpus, speakers=speakers, limit=limit, jobs=jobs, quick=quick, faces=faces)
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
            f"{out} lies inside the corpus, which is never written to",
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
    """The table, then what is to be known, most important first."""
    lines = [_table(result.speakers, result.options.limit > 0)]
    if result.missing:
        absent = len(result.absent_speakers)
        whole = f", among them all of {absent} speakers" if absent else ""
        lines.append(
            f"  warning: {result.missing} clips of GRID's lists are not here{whole} (a part of GRID is "
            "fine; --complete makes it a failure)"
        )
    lines += _grouped(result, "failed")
    lines += _grouped(result, "flagged")
    lines += [f"  repaired: {repair.says}" for repair in result.repairs]
    if result.duplicates:
        used, other = result.duplicates[0]
        lines.append(
            f"  {len(result.duplicates)} further files of clips that are here already are passed "
            f"over: e.g. {other}, for {used} is used"
        )
    if result.orphan_alignments:
        lines.append(f"  alignments without a clip here: {result.orphan_alignments}")
    if result.archives:
        lines.append(
            f"  warning: {len(result.archives)} archives lie here that are not unpacked, e.g. "
            f"{result.archives[0]} (see `gridprep unpack`)"
        )
    if result.junk_files:
        lines.append(f"  litter passed over (._*, Thumbs.db, …): {result.junk_files}")
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
    """`11 × grey_frames: s1/bbizzn (12 of 75 frames …), s1/brwa4p, …`, the commonest first."""
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
        f"{result.missing} not here",
        f"{len(result.repairs)} repairs",
    ]
    how = "names and presence only, " if result.options.quick else ""
    return f"{', '.join(parts)} ({how}{result.wall_s:.1f} s, {rate:.1f} clips/s)"
