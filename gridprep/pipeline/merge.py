"""One build out of the builds of all shards of a corpus.

Jobs that know nothing of each other (a SLURM array) build one shard each, in folders of their own;
`merge` joins the folders, and the result is byte for byte what one build would have written. What can
be judged only beside other clips (`gridprep.pipeline.speakers`) is judged again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gridprep.pipeline.lock import build_lock
from gridprep.pipeline.recipe import ALL_STAGES, Recipe
from gridprep.pipeline.run import PROVENANCE, BuildReport, write_manifest
from gridprep.pipeline.selection import BuildOptions, checked, select
from gridprep.pipeline.state import STATE_FOLDER, StateStore, decode_state
from manifests.console import Progress
from manifests.errors import BadInput, ManifestError
from manifests.folders import check_own
from manifests.io import atomic_path, read_json, read_jsonl, write_json
from manifests.outputs import check_outputs
from manifests.records import ClipFailure

MERGED = "merged.json"
"""In the state folder of a build that was, or is being, merged: from what."""
BATCH = 500
"""Clips whose states are in memory at a time."""
SAME = ("corpus", "corpus_kind", "recipe", "split", "speakers", "limit", "stages")
"""What shards of one build have in common, as their provenance names it."""


@dataclass(frozen=True)
class ShardBuild:
    """A finished build of one shard.

    Attributes:
        number, count: the shard, 1 … count.
        provenance: the content of its `provenance.json`.
    """

    folder: Path
    number: int
    count: int
    provenance: dict[str, Any]


def read_shard(folder: str | os.PathLike[str]) -> ShardBuild:
    """The build of a shard. Raises `BadInput` for anything else and for one that is unfinished."""
    root = Path(os.path.abspath(folder))
    if not (root / STATE_FOLDER).is_dir():
        raise BadInput(f"{root} is no build", "run `gridprep build --shard i/n` first")
    if not (root / "manifest.jsonl").is_file():
        raise BadInput(f"{root} is not finished", "run its `gridprep build --shard` again")
    try:
        values = read_json(root / PROVENANCE)
        number, count = map(int, str(values["shard"]).split("/"))
    except (KeyError, TypeError, ValueError):
        raise BadInput(
            f"{root} was not built with --shard", "give the builds of shards of one corpus"
        ) from None
    return ShardBuild(root, number, count, values)


def check_complete(shards: Sequence[ShardBuild]) -> None:
    """Raises `BadInput` unless the builds are all shards of one build, each once."""
    first = shards[0]
    for shard in shards[1:]:
        other = [name for name in SAME if shard.provenance.get(name) != first.provenance.get(name)]
        if shard.count != first.count:
            raise BadInput(
                f"{shard.folder} is one of {shard.count} shards and {first.folder} one of {first.count}",
                "give the shards of one build",
            )
        if other:
            raise BadInput(
                f"{shard.folder} was built otherwise than {first.folder}: {_differences(first, shard)}",
                "build the shards with the same options and versions",
            )
    folders: dict[int, Path] = {}
    for shard in shards:
        if shard.number in folders:
            raise BadInput(
                f"{folders[shard.number]} and {shard.folder} are both shard "
                f"{shard.number}/{shard.count}",
                "give each shard once",
            )
        folders[shard.number] = shard.folder
    missing = [str(i) for i in range(1, first.count + 1) if i not in folders]
    if missing:
        raise BadInput(
            f"{'shard' if len(missing) == 1 else 'shards'} {', '.join(missing)} of {first.count} "
            f"{'is' if len(missing) == 1 else 'are'} missing",
            "build and give all of them",
        )


def _differences(one: ShardBuild, two: ShardBuild) -> str:
    """What differs, to the value where it is short."""
    found = []
    for name in SAME:
        mine, theirs = one.provenance.get(name), two.provenance.get(name)
        if mine == theirs:
            continue
        if isinstance(mine, dict) and isinstance(theirs, dict):
            inner = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
            found.append(f"{name} ({', '.join(inner)})")
        else:
            found.append(f"{name} {theirs!r} instead of {mine!r}")
    return "; ".join(found)


def merge(out: str | os.PathLike[str], folders: Sequence[str | os.PathLike[str]]) -> BuildReport:
    """Makes one build of the builds of all its shards.

    Feature files are linked where the file system can and copied elsewhere; the shards stay as they
    are and may be deleted after. A merge that was killed is repeated from the beginning.

    Args:
        out: a new or empty folder, or one that a merge of the same shards began or finished.
        folders: the builds of all shards, in any order.

    Raises:
        BadInput: shards that are missing, given twice, unfinished or of other builds; a folder that
            holds something else; libraries or a corpus of other versions than those of the shards.
        Locked: a shard is being built, or another process merges into `out`.
    """
    started_s = time.monotonic()
    shards = sorted(map(read_shard, folders), key=lambda shard: shard.number)
    check_complete(shards)
    check_outputs({"SHARD": list(folders)}, {"OUT": out})
    target = Path(os.path.abspath(out))
    check_own(target, (STATE_FOLDER,), "a build")
    plan = {name: shards[0].provenance.get(name) for name in SAME} | {"count": shards[0].count}
    _check_target(target, plan)
    options = _options(target, shards[0])
    with build_lock(target), contextlib.ExitStack() as locks:
        for shard in shards:
            locks.enter_context(build_lock(shard.folder))
        write_json(target / STATE_FOLDER / MERGED, plan)
        overrides: dict[str, ClipFailure] = {}
        total = sum(int(shard.provenance.get("clips", 0)) for shard in shards)
        with StateStore(target) as store, Progress(total, "merge") as progress:
            for shard in shards:
                _take(shard, target, store, progress)
                overrides |= _listed(shard, options.corpus)
            return write_manifest(options, select(options), store, overrides, 0, started_s)


def _check_target(target: Path, plan: dict[str, Any]) -> None:
    if not (target / STATE_FOLDER).exists():
        return
    try:
        found = read_json(target / STATE_FOLDER / MERGED)
    except ManifestError:
        raise BadInput(f"{target} holds a build already", "choose an empty folder") from None
    if found != plan:
        raise BadInput(f"{target} was merged from other shards", "choose an empty folder")


def _options(target: Path, shard: ShardBuild) -> BuildOptions:
    """The options of the one build. Raises `BadInput` where this machine would build otherwise."""
    values = shard.provenance
    try:
        options = checked(
            BuildOptions(
                corpus=str(values["corpus"]),
                corpus_kind=str(values.get("corpus_kind", "")),
                out=str(target),
                recipe=Recipe.from_dict(values["recipe"]),
                split=str(values["split"]),
                speakers=tuple(values["speakers"]),
                limit=int(values["limit"]),
                targets=(),
            )
        )
    except (KeyError, TypeError, ValueError):
        raise BadInput(f"{shard.folder / PROVENANCE} is damaged", "build the shard again") from None
    now = options.recipe.stage_parameters()
    changed = sorted(name for name in now if values["stages"].get(name) != now[name])
    if changed:
        raise BadInput(
            f"{shard.folder} was built with other versions than are installed here "
            f"({', '.join(changed)})",
            "merge with the installation that built the shards",
        )
    return options


def _take(shard: ShardBuild, target: Path, store: StateStore, progress: Progress) -> None:
    """Takes the states and files of a shard over."""
    with StateStore(shard.folder) as states:
        for batch in states.batches(BATCH):
            made: set[Path] = set()
            for _, text, _ in batch:
                for stage in decode_state(text).stages.values():
                    for file in stage.files.values():
                        _link(shard.folder / file.path, target / file.path, made)
            store.adopt(batch)
            progress.update(len(batch))


def _link(source: Path, target: Path, made: set[Path]) -> None:
    """The same file under another name, or a copy where there are no links."""
    if target.parent not in made:
        target.parent.mkdir(parents=True, exist_ok=True)
        made.add(target.parent)
    with contextlib.suppress(FileNotFoundError):
        if os.path.samefile(source, target):
            return
    if not source.exists():
        return  # the manifest will count its clip as not built
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def _listed(shard: ShardBuild, corpus: str) -> dict[str, ClipFailure]:
    """The failures of clips as the shard lists them. A worker that died leaves no state, and a crash one
    that does not stand; of which face and voice a clip has, all shards together decide."""
    _, failures = read_jsonl(shard.folder / "failures.jsonl", "failures", ClipFailure)
    return {
        failure.clip_id: replace(failure, video=os.path.join(corpus, failure.video))
        for failure in failures
        if failure.stage in (*ALL_STAGES, "worker") and failure.reason != "other_speaker"
    }
