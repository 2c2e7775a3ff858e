"""`gridprep export`: a build in the layout that another project reads."""

from __future__ import annotations

from dataclasses import asdict

import click

from gridprep.commands.options import BUILD, jobs_option, json_option
from gridprep.exporting.registry import LAYOUTS
from manifests.console import pairs_of, print_json
from manifests.outputs import Command


def _layouts() -> str:
    lines = []
    for name, layout in LAYOUTS.items():
        lines.append(f"  {name:11} {layout.summary}")
        lines += [f"  {'':11}   --option {option}=: {what}" for option, what in layout.options]
    return "\b\nLayouts:\n" + "\n".join(lines)


@click.command(
    cls=Command,
    help="Writes BUILD in the layout that another project reads; docs/exports.md describes each.\n\n"
    "The export appears at OUT when it is whole. A killed one is begun again by the next call; the "
    f"same export a second time does nothing.\n\n{_layouts()}",
)
@click.argument("build", type=BUILD)
@click.option("--layout", required=True, metavar="NAME", help="One of the layouts below.")
@click.option(
    "--out", required=True, help="New or empty folder, or a URL: s3://…, gs://…, memory://…"
)
@click.option("--subset", default="all", show_default=True, help="train, val, test, or all three.")
@click.option(
    "--name", default="", help="Name of the data set in file names.  [default: the corpus's folder]"
)
@click.option(
    "--seen-as", default="", help="Where readers will find the export, if it is moved there."
)
@click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="Option of the layout."
)
@jobs_option("Threads that copy or encode.")
@json_option
def export(
    build: str,
    layout: str,
    out: str,
    subset: str,
    name: str,
    seen_as: str,
    options: tuple[str, ...],
    jobs: int,
    as_json: bool,
) -> int:
    """Writes BUILD in another layout."""
    from gridprep.exporting.run import ExportOptions
    from gridprep.exporting.run import export as run_export

    given = pairs_of("--option", options)
    report = run_export(ExportOptions(build, layout, out, subset, name, seen_as, given, jobs))
    if as_json:
        print_json(asdict(report))
        return 0
    for note in report.notes:
        click.echo(f"  {note}")
    done = "is there already" if report.reused else f"{report.wall_s:.1f} s"
    click.echo(
        f"{report.clips} clips of {report.speakers} speakers, {report.hours:.2f} h, as "
        f"{report.layout}: {report.out} ({done})"
    )
    return 0
