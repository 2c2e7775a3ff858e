"""`gridprep check`: compares the files of a build with the SHA-256 hashes in its manifest."""

from __future__ import annotations

import click

from gridprep.commands.options import BUILD, DAMAGED, NAMED, jobs_option, json_option
from manifests.console import print_json
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("build", type=BUILD)
@click.option("--repair", is_flag=True, help="Build damaged files again from the corpus.")
@click.option(
    "--corpus",
    default="",
    type=click.Path(),
    help="Folder of the corpus, for --repair.  [default: the folder that the build used]",
)
@jobs_option("Number of reading threads and of worker processes for --repair.")
@json_option
def check(build: str, repair: bool, corpus: str, jobs: int, as_json: bool) -> int:
    """Compares every file of BUILD with its SHA-256 in the manifest.

    The whole build is read, which takes about as long as copying it. With --repair, the stages
    whose files are missing or changed run again with the recipe of the build; all other files stay.

    Exit codes: 0 all files are intact or were repaired; 1 files are damaged; 2 bad input.
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
