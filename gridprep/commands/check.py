"""`gridprep check`: is a build still what its manifest says, byte for byte?"""

from __future__ import annotations

import click

from manifests.console import print_json
from manifests.cpus import available_cpus
from manifests.outputs import Command

DAMAGED = 1
"""Exit code when artifacts are missing or changed, and were not repaired."""

NAMED = 12
"""So many damaged files are named on the terminal; `--json` has them all."""


@click.command(cls=Command)
@click.argument("build", type=click.Path(exists=True, file_okay=False))
@click.option("--repair", is_flag=True, help="Make what is damaged again, from the corpus.")
@click.option(
    "--corpus",
    default="",
    type=click.Path(),
    help="Where the corpus is now, for --repair.  [default: where it was]",
)
@click.option(
    "--jobs",
    default=available_cpus,
    show_default="all that this process may use",
    type=click.IntRange(1),
    help="Threads that read, and processes that repair.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def check(build: str, repair: bool, corpus: str, jobs: int, as_json: bool) -> int:
    """Compares every file of BUILD with the SHA-256 that its manifest holds.

    Reads the whole build: about as long as copying it. With --repair the stages whose files are
    missing or changed are done again with the recipe of the build, and the rest is left alone.

    Exit codes: 0 everything is as it was written, or was repaired; 1 files are damaged; 2 bad input.
    """
    from gridprep.pipeline import check as checking

    found = checking.check(build, jobs)
    left = found.damage
    if repair and found.damage:
        checking.repair(build, found.damage, jobs, corpus)
        left = checking.check(build, jobs).damage
    if as_json:
        print_json(
            {
                "build": build,
                "rows": found.rows,
                "files": found.files,
                "damage": [d.to_dict() for d in found.damage],
                "damage_left": [d.to_dict() for d in left],
                "repaired": repair and not left,
                "wall_s": round(found.wall_s, 2),
            }
        )
        return DAMAGED if left else 0
    for damage in found.damage[:NAMED]:
        click.echo(f"  {damage.problem}: {damage.path}")
    if len(found.damage) > NAMED:
        click.echo(f"  and {len(found.damage) - NAMED} more")
    click.echo(
        f"{found.files} files of {found.rows} clips, {len(found.damage)} damaged"
        f" ({found.wall_s:.1f} s)"
    )
    if repair and found.damage:
        click.echo(f"repaired: {len(found.damage) - len(left)}, still damaged: {len(left)}")
    elif found.damage:
        click.echo(f"next: gridprep check {build} --repair")
    return DAMAGED if left else 0
