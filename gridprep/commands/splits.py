"""`gridprep splits`: lists, explains and counts the frozen splits."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import click

from gridprep.commands.options import corpus_kind_option
from gridprep.corpora.registry import recipe_for
from manifests import corpus_lists
from manifests import splits as frozen
from manifests.console import format_table
from manifests.io import SUBSETS
from manifests.outputs import Group
from manifests.splits.hashed import RULE_VERSION, Unit, hashed
from manifests.splits.hashed import freeze as write_split
from manifests.tables import write_csv


def _paragraph(label: str, text: str) -> str:
    return textwrap.fill(
        f"{label}: {text}", width=96, subsequent_indent="  ", break_on_hyphens=False
    )


def _genders(speakers: tuple[str, ...]) -> str:
    men, women = corpus_lists.gender_counts(speakers)
    return f"{men}+{women}"


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def splits(context: click.Context) -> None:
    """Lists and explains the frozen splits; `show NAME` counts the clips of one split."""
    if context.invoked_subcommand is not None:
        return
    loaded = [frozen.load(name) for name in frozen.names()]
    rows = [
        [
            split.name,
            f"v{split.version}",
            *(split.counts()[subset] for subset in SUBSETS),
            *(len(split.speakers(subset)) for subset in SUBSETS),
            split.sha256[:12],
        ]
        for split in loaded
    ]
    columns = ["split", "version", *(f"{s} clips" for s in SUBSETS)]
    columns += [*(f"{s} speakers" for s in SUBSETS), "sha256"]
    click.echo(format_table(columns, rows))
    for split in loaded:
        click.echo(f"\n{split.name}")
        click.echo(textwrap.indent(_paragraph("from", split.origin), "  "))
        click.echo(textwrap.indent(_paragraph("rule", split.rule), "  "))
    places = next(split.places_rule for split in loaded if split.places_rule)
    click.echo("\n" + _paragraph("Places", places))
    click.echo("\nNot included:")
    for name, reason in frozen.left_out().items():
        click.echo(textwrap.indent(_paragraph(name, reason), "  "))
    click.echo("\n`gridprep splits show NAME` counts the speakers, genders and clips of a split.")


@splits.command()
@click.argument("corpus", type=click.Path())
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The split file, NAME.csv; NAME.csv.json beside it says what it is.",
)
@corpus_kind_option
@click.option(
    "--by",
    default="speaker",
    show_default=True,
    type=click.Choice(["speaker", "clip"]),
    help="Hold out whole speakers, or clips of every speaker.",
)
@click.option(
    "--val", default=5.0, show_default=True, type=click.FloatRange(0, 100), help="Percent in val."
)
@click.option(
    "--test",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, 100),
    help="Percent in test.",
)
@click.option("--key", default="", help="A text; another one gives another split.")
def freeze(
    corpus: str, out: Path, corpus_kind: str, by: Unit, val: float, test: float, key: str
) -> None:
    """Freezes a split of CORPUS into a file for `gridprep build --split FILE`.

    Speakers, or each speaker's clips, are put in the order of a hash of their names; the first are test
    and val. Clips that are added to the corpus later are in no subset of this split.
    """
    recipe = recipe_for(corpus, corpus_kind)
    found = recipe.find(os.path.abspath(corpus))
    clips = [(clip.speaker, clip.stem) for clip in found.clips]
    subsets = hashed(clips, by, val / 100, test / 100, key)
    unit = "speakers" if by == "speaker" else "each speaker's clips"
    rule = (
        f"{RULE_VERSION}: {unit} in the order of SHA-256 of key and name (key {key!r}); the first "
        f"{test:g} % are test, the next {val:g} % val"
    )
    split = write_split(out, subsets, f"{recipe.title}; {len(clips)} clips found", rule)
    counts = split.counts()
    rows = [[s, len(split.speakers(s)), counts[s]] for s in SUBSETS]
    click.echo(format_table(["subset", "speakers", "clips"], rows))
    if split.held_out_speakers:
        click.echo(f"Never in training: {' '.join(split.held_out_speakers)}")
    click.echo(f"{out}: {split.name} v{split.version}, sha256 {split.sha256[:12]}")


@splits.command()
@click.argument("name")
@click.option(
    "--csv",
    "csv_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the clips of the split (speaker, stem, subset, gender) to this CSV file.",
)
def show(name: str, csv_path: Path | None) -> None:
    """Counts the speakers, genders and clips of the split NAME."""
    split = frozen.load(name)
    click.echo(f"{split.name} v{split.version}, sha256 {split.sha256}")
    click.echo(_paragraph("from", split.origin))
    click.echo(_paragraph("rule", split.rule))
    if split.places_rule:
        click.echo(_paragraph("places", split.places_rule))
    summary = []
    for subset in SUBSETS:
        speakers = split.speakers(subset)
        summary.append([subset, len(speakers), _genders(speakers), split.counts()[subset]])
    everybody = split.speakers()
    summary.append(["all", len(everybody), _genders(everybody), sum(split.counts().values())])
    click.echo("\n" + format_table(["subset", "speakers", "men+women", "clips"], summary))
    rows = []
    for speaker in everybody:
        counts = split.counts(speaker)
        shown = [counts[subset] or "" for subset in SUBSETS]
        rows.append([speaker, corpus_lists.gender_of(speaker), *shown, sum(counts.values())])
    click.echo("\n" + format_table(["speaker", "gender", *SUBSETS, "clips"], rows))
    held_out = split.held_out_speakers
    if held_out:
        click.echo(f"\nNever in training: {' '.join(held_out)}")
    click.echo("\n" + textwrap.fill(corpus_lists.gender_note(), width=96))
    if csv_path is not None:
        write_csv(
            csv_path,
            ["speaker", "stem", "subset", "gender"],
            (
                (speaker, stem, split.subset_of(speaker, stem), corpus_lists.gender_of(speaker))
                for speaker, stem in split.clips()
            ),
        )
        click.echo(f"\n{csv_path}: {sum(split.counts().values())} clips")
