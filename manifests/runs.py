"""Run directories: synthesized speech of any model, in the form that `facetron-eval` scores.

    run_dir/
      run.json                   RunInfo: name, kind, split, parameters, versions, clips requested
      clips.jsonl                RunClip lines, written last: without it a run is not finished
      failures.jsonl             ClipFailure lines, with the reason
      wavs/<speaker>/<stem>.wav  PCM16 mono

The recordings are not copied. `reference` is their path relative to the run directory, so a run and
the build beside it can be moved together; it is absolute only where no relative path exists (another
drive). Every wav carries the key of what it was made from in its comment, in the file itself, so a
run killed at any moment goes on where it stopped and never keeps a wav of other parameters.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from manifests.errors import BadInput, ManifestError
from manifests.io import read_json, read_jsonl, write_json, write_jsonl
from manifests.lock import LOCK, held
from manifests.ordering import natural
from manifests.records import ClipFailure, RunClip, RunInfo

RUN_FILE = "run.json"
CLIPS_FILE = "clips.jsonl"
FAILURES_FILE = "failures.jsonl"
SAME_RUN = ("name", "kind", "split", "subset")


def wav_path(speaker: str, stem: str) -> str:
    """Path of a clip's wav inside a run directory."""
    return f"wavs/{speaker}/{stem}.wav"


def content_key(*parts: Any) -> str:
    """16 hex digits over plain values and bytes: equal keys mean that equal sound would be made."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()[:16]


def relative_reference(run_dir: Path, target: Path) -> str:
    """POSIX path from the run directory to a file elsewhere; absolute where there is none."""
    # Real paths: `..` after a symbolic link leads out of the link's target, not back.
    run_dir, target = Path(os.path.realpath(run_dir)), Path(os.path.realpath(target))
    try:
        return Path(os.path.relpath(target, run_dir)).as_posix()
    except ValueError:
        return target.as_posix()


def open_run(root: Path, info: RunInfo) -> None:
    """Prepares a new run directory, or an earlier one of the same run to go on with.

    The old `clips.jsonl` goes first, so that an interrupted run is never scored as a finished one.

    Raises:
        BadInput: the folder holds another run, or something that is no run.
    """
    _check_free(root, info)
    for name in (CLIPS_FILE, FAILURES_FILE):
        (root / name).unlink(missing_ok=True)
    for leftover in root.rglob(".tmp-*"):  # of a killed run
        leftover.unlink(missing_ok=True)
    write_json(root / RUN_FILE, info.to_dict())


@contextlib.contextmanager
def running(root: Path, info: RunInfo) -> Iterator[None]:
    """`open_run` while no other process writes to the folder. Raises `Locked`, or as `open_run`."""
    _check_free(root, info)  # before the lock leaves its file in somebody's folder
    with held(root, "wait for it or choose another --out"):
        open_run(root, info)
        yield


def _check_free(root: Path, info: RunInfo) -> None:
    if (root / RUN_FILE).exists():
        earlier = read_info(root)
        for field in SAME_RUN:
            mine, theirs = getattr(info, field), getattr(earlier, field)
            if mine != theirs:
                raise BadInput(
                    f"{root} holds a run whose {field} is {theirs!r}, not {mine!r}",
                    "choose another --out or delete that folder",
                )
    elif root.exists() and (not root.is_dir() or any(path.name != LOCK for path in root.iterdir())):
        raise BadInput(f"{root} exists and is no run directory", "choose another --out")


def close_run(root: Path, clips: Iterable[RunClip], failures: Iterable[ClipFailure]) -> None:
    """Writes the lists, sorted by speaker and stem; `clips.jsonl` last."""
    failed: list[ClipFailure] = sorted(failures, key=_order)
    made: list[RunClip] = sorted(clips, key=_order)
    write_jsonl(root / FAILURES_FILE, "failures", failed)
    write_jsonl(root / CLIPS_FILE, "run-clips", made)


def _order(item: RunClip | ClipFailure) -> tuple[Any, str]:
    return natural(item.speaker), item.stem


def read_info(root: Path) -> RunInfo:
    """`run.json` of a run directory. Raises `ManifestError` that names the file."""
    values = read_json(root / RUN_FILE)
    if not isinstance(values, dict):
        raise ManifestError(f"{root / RUN_FILE} is not a JSON object", "delete the folder")
    try:
        return RunInfo.from_dict(values)
    except (ManifestError, TypeError) as error:
        raise ManifestError(f"{root / RUN_FILE}: {error}", "delete the folder") from None


def read_run(root: Path) -> tuple[RunInfo, list[RunClip], list[ClipFailure]]:
    """A finished run directory. Raises `ManifestError` where a file is absent or damaged."""
    info = read_info(root)
    _, clips = read_jsonl(root / CLIPS_FILE, "run-clips", RunClip)
    failures: list[ClipFailure] = []
    if (root / FAILURES_FILE).exists():
        _, failures = read_jsonl(root / FAILURES_FILE, "failures", ClipFailure)
    return info, clips, failures
