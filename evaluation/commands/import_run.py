"""`facetron-eval import`: turns any folder of speech files into a run directory."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import click

from evaluation.commands.options import json_option, out_option
from evaluation.importing import run as importing
from evaluation.importing.matching import OUTCOMES, ImportOptions
from manifests.corpus_names import LABELS
from manifests.errors import TooManyFailures
from manifests.outputs import Command
from manifests.runs import KINDS

SHOWN = 3


@click.command(cls=Command)
@click.option(
    "--wavs",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the system's speech, or a wav.scp (KEY PATH a line).",
)
@click.option(
    "--pattern",
    required=True,
    help="Pattern of the paths in that folder, by which files are matched to clips: "
    "'{speaker}/{stem}.wav', '{speaker}_{stem}/lip2wav.wav', with {voice} for swaps; * stands for "
    "any text, **/ for any folders. With a wav.scp it is the pattern of the keys.",
)
@click.option("--name", required=True, help="The system's name in tables.")
@out_option(text="Run directory to write.")
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    help="A `gridprep build` (or its manifest.jsonl) that lists the expected clips and their "
    "recordings.",
)
@click.option(
    "--references",
    type=click.Path(path_type=Path),
    help="Without a build: folder of the recordings, or a wav.scp.",
)
@click.option(
    "--reference-pattern",
    default="",
    help="Pattern of the paths of the recordings. Default: the value of --pattern.",
)
@click.option(
    "--sentences",
    type=click.Path(path_type=Path),
    help="Without a build: a CSV of the sentences, with the columns stem and text and, where they "
    "are known, speaker and gender. For corpora other than GRID.",
)
@click.option(
    "--aliases",
    type=click.Path(path_type=Path),
    help="A CSV of names that files write otherwise, with the columns written and meant: speakers, "
    "stems, or speaker/stem.",
)
@click.option(
    "--subset",
    default="test",
    show_default=True,
    help="Subset of the manifest's split (train, val, test, all). Without a manifest, a label only.",
)
@click.option(
    "--corpus",
    type=click.Choice([*LABELS]),
    help="Corpus of the clips, where no manifest says it: a report then knows which of them its "
    "recognizer heard in training.",
)
@click.option("--split", default="", help="Without a manifest: name of the split, for captions.")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="model",
    show_default=True,
    help="Kind of the system. Only models compete for bold numbers.",
)
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Number of files that may fail before the exit code is non-zero.",
)
@json_option
def import_run(max_failures: int, as_json: bool, corpus: str | None, **given: Any) -> None:
    """Make a run directory from the speech of any system, in any audio format and at any rate.

    Nothing is resampled or cut. OUT/import.jsonl records the outcome of every file; clips without a
    file count as missing.
    """
    report, out = importing.import_run(ImportOptions(**given, corpus=corpus or "")), given["out"]
    if as_json:
        told = {
            "out": str(out),
            "asked": report.asked,
            "imported": report.imported,
            "failed": report.failed,
            "missing": list(report.missing),
            "unused_aliases": list(report.unused),
            "files": {outcome: report.count(outcome) for outcome in OUTCOMES},
        }
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _tell(out, report)
    if report.failed > max_failures:
        raise TooManyFailures(
            f"{report.failed} of {report.asked} files failed, --max-failures is {max_failures}",
            f"see {out / 'failures.jsonl'}",
        )


def _tell(out: Path, report: importing.ImportReport) -> None:
    """Prints the counts, the matches, and a few files of every outcome other than imported."""
    click.echo(
        f"{out}: imported {report.imported} + failed {report.failed} + missing "
        f"{len(report.missing)} = asked {report.asked}"
    )
    for line in importing.summary(report):
        click.echo(f"  {line}")
    if report.missing:
        click.echo(f"  missing: {_some(report.missing)}", err=True)
    if report.unused:
        click.echo(f"  aliases that no file has: {_some(report.unused)}", err=True)
    for of, outcome in itertools.product(("system", "recording"), OUTCOMES[1:]):
        found = [line for line in report.lines if (line.of, line.outcome) == (of, outcome)]
        if found:
            where = "" if of == "system" else " among the recordings"
            why = f" ({found[0].detail})" if found[0].detail else ""
            names = _some([repr(line.file) for line in found])
            what = outcome.replace("_", " ")
            click.echo(f"  {len(found)} {what}{where}: {names}{why}", err=True)


def _some(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
