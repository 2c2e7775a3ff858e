"""`facetron-eval mos`: listening tests, from the design over the pages to the scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from evaluation.commands.options import bootstrap_options, name_list, out_option, seed_option
from evaluation.inputs.pairs import read_speech_run
from evaluation.mos.comparisons import TESTS, UNITS, Test, Unit
from evaluation.mos.options import PRESETS, from_preset
from evaluation.mos.pages import TYPES, Encoding, large, write_pages
from evaluation.mos.records import HANDOUT, read_handout, read_key
from evaluation.mos.scales import SCALES
from evaluation.mos.screening import Rules
from manifests.console import format_table
from manifests.errors import BadInput
from manifests.outputs import Group

LONGEST_TEXT = 20_000
CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def mos() -> None:
    """Design listening tests (MOS, SMOS), write their pages and score the answers."""


def _speakers(value: str | None) -> dict[str, Any]:
    """Returns the options of `--speakers`: `4` is a number of speakers, `s1,s2` are their names."""
    if value is None:
        return {}
    if value.strip().isdecimal():
        return {"n_speakers": int(value)}
    return {"speakers": tuple(dict.fromkeys(t.strip() for t in value.split(",") if t.strip()))}


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error})", "pass a UTF-8 text file") from None
    if len(text) > LONGEST_TEXT:
        raise BadInput(
            f"{path} has {len(text)} characters", f"write a consent of up to {LONGEST_TEXT}"
        )
    return text


@mos.command()
@click.argument("run_dirs", nargs=-1, required=True, type=click.Path(path_type=Path))
@out_option(text="New folder.")
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default="paper",
    show_default=True,
    help="Preset of the design. paper: 10 clips of 4 speakers, 15 subjects. paper-swaps: 30 clips "
    "with another speaker's face, MOS and SMOS of the speaker. all: every clip.",
)
@click.option(
    "--parts",
    callback=name_list(tuple(SCALES), "part"),
    help=f"Comma-separated parts, from: {', '.join(SCALES)}.",
)
@click.option(
    "--subjects",
    type=int,
    help="Number of listeners; a multiple of the number of systems makes the design balanced.",
)
@click.option("--speakers", help="Number of speakers, or their names, comma-separated.")
@click.option("--clips-per-speaker", type=int, help="Number of clips per speaker.")
@click.option(
    "--n-clips", type=int, help="Number of clips in all, drawn from the speakers in turn."
)
@click.option(
    "--clips",
    type=click.Choice(["own", "swapped"]),
    help="Clips with the speaker's own face, or with another speaker's face.",
)
@click.option(
    "--per-subject", type=int, help="Number of sentences per subject, a balanced selection."
)
@click.option(
    "--blocks",
    type=int,
    help="Number of times that a subject hears each sentence, each time by another system; "
    "0: by every system.",
)
@click.option("--practice", type=int, help="Number of practice trials per part.")
@click.option("--traps", type=int, help="Number of trapping questions per part.")
@click.option("--golds", type=int, help="Number of gold questions per part.")
@click.option("--repeats", type=int, help="Number of repeated trials per part.")
@click.option(
    "--reference/--no-reference", default=None, help="Include the recordings as a hidden reference."
)
@click.option(
    "--anchor/--no-anchor", default=None, help="Include a degraded sound as a hidden low anchor."
)
@click.option("--headphones/--no-headphones", default=None, help="Start with a headphone check.")
@click.option(
    "--max-plays", type=int, help="Number of times that a sound may be played; 0: no limit."
)
@click.option("--level", "level_dbov", type=float, help="Active speech level, dBov. Default: -26.")
@click.option("--title", help="Title of the page.")
@click.option(
    "--consent",
    type=click.Path(path_type=Path),
    help="Text file of the consent; blank lines separate paragraphs.",
)
@seed_option("all random choices")
def design(
    run_dirs: tuple[Path, ...],
    out: Path,
    preset: str,
    speakers: str | None,
    clips: str | None,
    consent: Path | None,
    **given: Any,
) -> None:
    """Draw a listening test on RUN_DIRS and their recordings.

    Writes OUT/handout (sounds under anonymous names and the trials of each subject) and
    OUT/key.json (the system and clip of every sound). Keep the key secret; `mos score` needs it.
    """
    from evaluation.mos.design import make_design
    from evaluation.mos.handout import write_design

    runs = [read_speech_run(path) for path in run_dirs]
    swapped = None if clips is None else clips == "swapped"
    changes = {**given, **_speakers(speakers), "swapped": swapped, "consent": _text(consent)}
    made = make_design(runs, from_preset(preset, **changes))
    key = write_design(made, runs, out)
    rows = []
    for part in key.conditions:
        roles = [trial.role for trial in key.trials if trial.part == part]
        n = len(made.sessions)
        controls = sum(role in ("trap", "gold", "repeat") for role in roles)
        rows.append(
            [
                SCALES[part].label,
                len(key.conditions[part]),
                len({t.clip for t in key.trials if t.part == part and t.role == "rating"}),
                roles.count("rating") // n,
                controls // n,
                roles.count("practice") // n,
            ]
        )
    heads = ["Part", "systems", "sentences", "ratings per subject", "controls", "practice"]
    click.echo(format_table(heads, rows))
    for part in key.conditions:
        names = ", ".join(condition.name for condition in key.conditions_of(part))
        click.echo(f"{SCALES[part].label}: {names}")
    for note in key.notes:
        click.echo(note, err=True)
    click.echo(f"test {key.design}: {len(made.sessions)} subjects, {len(key.sounds)} sounds")
    click.echo(f"{out / HANDOUT}   to hand out after `facetron-eval mos pages {out}`")
    click.echo(f"{out / 'key.json'}   the key: keep it secret")


@mos.command()
@click.argument("test", type=click.Path(path_type=Path))
@click.option(
    "--encoding",
    type=click.Choice(list(TYPES)),
    default="flac",
    show_default=True,
    help="Encoding of the sounds in the pages. FLAC is half as large; very old browsers need wav.",
)
def pages(test: Path, encoding: Encoding) -> None:
    """Write a page and a printable sheet for each subject of TEST."""
    folder, handout = read_handout(test)
    paths = write_pages(folder, handout, encoding)
    pages_made = [path for path in paths if path.suffix == ".html"]
    sizes = [path.stat().st_size / 1e6 for path in pages_made]
    click.echo(f"{len(pages_made)} pages of {min(sizes):.1f}–{max(sizes):.1f} MB")
    warning = large(paths)
    if warning:
        click.echo(warning, err=True)
    for path in sorted({path.parent for path in paths}):
        click.echo(path)


def _rule(name: str, kind: type, default: float, text: str) -> Callable[[CommandT], CommandT]:
    return click.option(
        f"--{name}",
        type=kind,
        default=default,
        show_default=True,
        help=f"{text} -1 switches the rule off.",
    )


@mos.command()
@click.argument("key", type=click.Path(path_type=Path))
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@out_option()
@click.option(
    "--test",
    type=click.Choice(TESTS),
    default="wilcoxon",
    show_default=True,
    help="Test of the paired differences between systems.",
)
@click.option(
    "--over",
    type=click.Choice(UNITS),
    default="subjects",
    show_default=True,
    help="Unit of the paired tests.",
)
@_rule("min-complete", float, 0.95, "Least share of trials answered.")
@_rule("min-headphones", int, 5, "Least number of the 6 headphone trials answered correctly.")
@_rule("max-trap-failures", int, 0, "Largest number of trapping questions missed.")
@_rule("min-gold-share", float, 0.5, "Least share of gold questions answered in range.")
@_rule("max-repeat-difference", float, 1.5, "Largest mean difference of repeated ratings.")
@_rule("max-same-share", float, 0.95, "Largest share of one rating in a part with an anchor.")
@click.option(
    "--min-correlation",
    type=float,
    default=0.25,
    show_default=True,
    help="Least correlation with the other subjects' ratings. -1 switches the rule off.",
)
@bootstrap_options()
@click.option(
    "--publish/--no-publish",
    default=True,
    show_default=True,
    help="Write the scores into the run directories, for `facetron-eval report`.",
)
def score(
    key: Path,
    results: tuple[Path, ...],
    out: Path,
    test: Test,
    over: Unit,
    resamples: int,
    seed: int,
    publish: bool,
    **thresholds: float,
) -> None:
    """Score RESULTS (JSON, CSV, filled-in sheets, or folders of them) with KEY (key.json)."""
    from evaluation.mos import writers
    from evaluation.mos.results import read_results, result_files
    from evaluation.mos.scoring import ScoreOptions, require_scores, score_test

    rules = Rules(**{name: None if v == -1 else v for name, v in thresholds.items()})  # type: ignore[arg-type]
    found = read_key(key)
    imported = read_results(result_files(results), found)
    options = ScoreOptions(rules=rules, test=test, unit=over, n_resamples=resamples, seed=seed)
    scored = score_test(found, imported, options)
    paths = writers.write_scores(scored, out)
    click.echo(writers.terminal_tables(scored))
    for verdict in scored.verdicts:
        if verdict.reasons:
            click.echo(
                f"rejected subject: {verdict.subject}: {'; '.join(verdict.reasons)}", err=True
            )
    for line in writers.rejection_lines(scored):
        click.echo(line, err=True)
    if publish and scored.n_accepted:
        more, notes = writers.publish(scored, found, key)
        paths += more
        for note in notes:
            click.echo(note, err=True)
    for path in paths:
        click.echo(path)
    require_scores(scored)
