"""`gridprep merge`: one build out of the builds of all shards of a corpus."""

from __future__ import annotations

import click

from gridprep.commands.build import tell
from gridprep.commands.options import BUILD, json_option
from gridprep.pipeline.merge import merge as run_merge
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("out", type=click.Path())
@click.argument(
    "shards",
    nargs=-1,
    required=True,
    type=BUILD,
    metavar="SHARD…",
)
@json_option
def merge(out: str, shards: tuple[str, ...], as_json: bool) -> int:
    """Makes one build in OUT of the builds of all shards (`gridprep build --shard I/N`).

    The result is what one build of the whole corpus would have written, byte for byte. Files are linked
    where the file system can, so that it takes no space, and copied elsewhere; the shards may be deleted
    after. A merge that was killed is repeated.

    Exit codes: 0 every clip is a row; 6 merged, some clips are failures; 4 a shard is still being built;
    2 bad input: a shard is missing, given twice, or of another build.
    """
    report = run_merge(out, shards)
    return tell(report, "rows", -1, f"why: {out}/failures.jsonl", as_json)
