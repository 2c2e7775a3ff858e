"""Integrity check of a build against the hashes in its manifest, and repair of damaged files.

Sizes and times say nothing about a disk that loses bits, a copy that was cut short, or an editor that
saved over a file. Every row of a manifest carries the SHA-256 of its artifacts; this module compares
them with the files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridprep.pipeline.lock import build_lock
from gridprep.pipeline.recipe import Recipe
from gridprep.pipeline.run import PROVENANCE, BuildReport, run
from gridprep.pipeline.selection import BuildOptions, checked
from gridprep.pipeline.state import StateStore
from manifests.console import Progress
from manifests.errors import BadInput, ManifestError
from manifests.io import read_json, sha256_file
from manifests.manifest import Manifest
from manifests.records import ManifestRow, Record

AHEAD = 256
"""Number of rows given to the reading threads at a time."""


@dataclass(frozen=True)
class Damage(Record):
    """An artifact that differs from its entry in the manifest.

    Attributes:
        problem: `missing`, `changed` (another content than when it was written) or `unreadable`.
    """

    speaker: str
    stem: str
    artifact: str
    path: str
    problem: str

    @property
    def clip_id(self) -> str:
        return f"{self.speaker}/{self.stem}"


@dataclass(frozen=True)
class CheckReport:
    """The result of checking a build.

    Attributes:
        rows, files: numbers of rows and files that were checked.
        damage: the damaged artifacts, in the order of the manifest.
    """

    rows: int
    files: int
    damage: tuple[Damage, ...]
    wall_s: float


def check(build: str | os.PathLike[str], jobs: int = 1) -> CheckReport:
    """Compares every artifact of a build with the SHA-256 in its manifest. Reads, never writes.

    Args:
        build: folder with `manifest.jsonl`; it may have been copied or moved.
        jobs: threads that read.

    Raises:
        BadInput: no manifest, or one without hashes.
    """
    started_s = time.monotonic()
    rows = Manifest(build)  # whose rows stay in its file
    root = os.fspath(build)
    unhashed = next((row for row in rows if not row.sha256), None)
    if unhashed is not None:
        raise BadInput(
            f"{root}: {unhashed.clip_id} has no SHA-256 of its files",
            "run `gridprep build` again: this manifest is from an older version",
        )
    damage: list[Damage] = []
    files = 0
    with ThreadPoolExecutor(jobs) as pool, Progress(len(rows), "check") as progress:
        for start in range(0, len(rows), AHEAD):
            for found in pool.map(lambda row: _damage(root, row), rows[start : start + AHEAD]):
                files += found[0]
                damage += found[1]
                progress.update(1, damaged=len(damage))
    return CheckReport(len(rows), files, tuple(damage), time.monotonic() - started_s)


def _damage(root: str, row: ManifestRow) -> tuple[int, list[Damage]]:
    """(number of files, damaged artifacts) of a row."""
    found = []
    artifacts = list(_artifacts(row))
    for artifact, path in artifacts:
        try:
            same = sha256_file(os.path.join(root, path)) == row.sha256.get(artifact)
            problem = "" if same else "changed"
        except FileNotFoundError:
            problem = "missing"
        except OSError as error:
            problem = f"unreadable ({error.strerror})"
        if problem:
            found.append(Damage(row.speaker, row.stem, artifact, path, problem))
    return len(artifacts), found


def _artifacts(row: ManifestRow) -> Iterator[tuple[str, str]]:
    yield from row.paths.items()
    for preset, path in row.extra_mels.items():
        yield f"mel:{preset}", path


def repair(
    build: str | os.PathLike[str], damage: Sequence[Damage], jobs: int = 1, corpus: str = ""
) -> BuildReport:
    """Builds the damaged artifacts again from the corpus, with the recipe of the build.

    Args:
        damage: the damaged artifacts that `check` found.
        corpus: folder of the corpus; "" is the folder in `provenance.json`.

    Raises:
        BadInput: no or another provenance, no corpus, or libraries of other versions than those that
            made the build, whose features would not go with the others.
        Locked: another process writes to the build.
    """
    root = Path(build)
    options, stages = _options(root, jobs, corpus)
    now = checked(options).recipe.stage_parameters()
    others = [stage for stage, parameters in now.items() if stages.get(stage) != parameters]
    if others:
        raise BadInput(
            f"{root} was made with other versions than are installed here ({', '.join(others)})",
            "install the versions in provenance.json, or run `gridprep build` to build all features anew",
        )
    clips = {d.clip_id: None for d in damage}
    paths = {d.path for d in damage}
    with build_lock(root), StateStore(root) as store:
        for clip_id in clips:
            state = store.get(clip_id)
            for stage in state.stages.values():
                if any(file.path in paths for file in stage.files.values()):
                    stage.key = ""
            store.put(clip_id, state)
    only = BuildOptions(
        corpus=options.corpus,
        out=options.out,
        recipe=options.recipe,
        corpus_kind=options.corpus_kind,
        split=options.split,
        jobs=jobs,
        only=tuple(clips),
    )
    return run(only)


def _options(root: Path, jobs: int, corpus: str) -> tuple[BuildOptions, dict[str, str]]:
    """(options of the build, its parameters by stage), read from its provenance."""
    path = root / PROVENANCE
    values: Any = read_json(path)
    try:
        options = BuildOptions(
            corpus=corpus or str(values["corpus"]),
            out=os.fspath(root),
            recipe=Recipe.from_dict(values["recipe"]),
            corpus_kind=str(values.get("corpus_kind", "")),
            split=str(values["split"]),
            jobs=jobs,
        )
        return options, dict(values["stages"])
    except (KeyError, TypeError, ValueError, AttributeError, ManifestError):
        raise BadInput(
            f"{path} does not say how the build was made", "run `gridprep build` again"
        ) from None
