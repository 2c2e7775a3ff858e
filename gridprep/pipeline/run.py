"""A build: find the clips, do what is stale, write the manifest. The stage commands are builds with
fewer targets; all share this path and one cache.

    OUT/lips/s1/bbaf2n.avi   face/…jpg   audio/…wav   mel/…npy   prosody/…npz   landmarks/…npz
        manifest.jsonl  train.csv val.csv test.csv  failures.jsonl  provenance.json
        .state/s1/bbaf2n.json  .lock
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gridprep.pipeline.execution import create_executor
from gridprep.pipeline.lock import build_lock, sweep
from gridprep.pipeline.recipe import (
    ALL_STAGES,
    ClipTask,
    expected_keys,
    failure_among,
    is_done,
    sources_current,
    with_upstreams,
)
from gridprep.pipeline.rows import not_built, row_or_failure, write_rows
from gridprep.pipeline.selection import BuildOptions, Selection, checked, select
from gridprep.pipeline.stages import ClipResult, process_clip
from gridprep.pipeline.state import STATE_FOLDER, ClipState, load_state
from manifests.console import Progress
from manifests.errors import TooManyFailures
from manifests.execution import Died, Executor
from manifests.io import SUBSETS, sha256_file, write_json
from manifests.records import Clip, ClipFailure, ManifestRow
from manifests.versions import ABSENT, versions


@dataclass(frozen=True)
class BuildReport:
    """How a build ended. `rows + failures == clips`, always."""

    clips: int
    rows: int
    failures: tuple[ClipFailure, ...]
    processed: int
    reused: int
    wall_s: float
    manifest: str = ""


@dataclass(frozen=True)
class Estimate:
    """What `--dry-run` tells."""

    clips: int
    to_do: int
    failures_known: int
    size_bytes: float
    wall_s: float
    sampled: int


def plan(
    options: BuildOptions, clips: tuple[Clip, ...]
) -> tuple[list[ClipTask], dict[str, ClipState]]:
    """(tasks that have something to do, states of the clips that have not)."""
    parameters = options.recipe.stage_parameters()
    targets = with_upstreams(options.targets)
    to_do: list[ClipTask] = []
    current: dict[str, ClipState] = {}
    for clip in clips:
        task = ClipTask(clip, options.out, options.recipe, targets)
        state = load_state(options.out, clip.clip_id)
        if is_done(task, state, parameters):
            current[clip.clip_id] = state
        else:
            to_do.append(task)
    return to_do, current


def _execute(
    options: BuildOptions, executor: Executor, tasks: list[ClipTask], known: list[ClipFailure]
) -> Iterator[tuple[str, ClipState]]:
    """Runs the tasks with progress; yields (clip id, new state). Raises `TooManyFailures`."""
    stages = with_upstreams(options.targets)
    failures = list(known)
    _check_failures(options, failures)
    results = executor.map(process_clip, tasks)
    with contextlib.closing(results), Progress(len(tasks), "build") as progress:
        for result in results:
            if isinstance(result, Died):
                clip_id, state = result.item.clip.clip_id, _died(result)
            else:
                clip_id, state = result.clip_id, result.state
            failure = failure_among(state, stages)
            if failure is not None:
                failures.append(failure)
            progress.update(1, failures=len(failures))
            yield clip_id, state
            _check_failures(options, failures)


def _died(died: Died[ClipTask]) -> ClipState:
    clip = died.item.clip
    return ClipState(
        failure=ClipFailure(
            clip.speaker, clip.stem, "worker", "worker_died", died.cause, clip.video
        )
    )


def _check_failures(options: BuildOptions, failures: list[ClipFailure]) -> None:
    if 0 <= options.max_failures < len(failures):
        reasons = Counter(f.reason for f in failures)
        last = failures[-1]
        raise TooManyFailures(
            f"{len(failures)} clips failed ("
            + ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            + f"; the last: {last.clip_id}: {last.detail}), --max-failures is {options.max_failures}",
            "what is done is kept: raise it to go on",
        )


def run(options: BuildOptions) -> BuildReport:
    """Runs a build (all stages, then the manifest) or some of its stages.

    Raises:
        Locked: another process writes to the same folder.
        TooManyFailures: see `Options.max_failures`; finished clips stay finished.
        BadInput, ToolkitError: for a corpus, option or folder that cannot be used.
    """
    started_s = time.monotonic()
    options = checked(options)
    selection = select(options)
    with build_lock(options.out):
        # Marks the folder as a build before anything else is in it; `find_clips` passes over such.
        os.makedirs(os.path.join(options.out, STATE_FOLDER), exist_ok=True)
        if not options.targets:
            states = _states_as_built(options, selection.clips)
            return _write_manifest(options, selection, states, 0, len(states), started_s)
        tasks, states = plan(options, selection.clips)
        reused = len(states)
        known = [*selection.find_failures, *_failures(states.values(), options.targets)]
        if tasks:
            if _will_change(tasks):
                _retire_manifest(options.out)
            executor = create_executor(options.backend, options.jobs, options.scheduler)
            states.update(_execute(options, executor, tasks, known))
            sweep(Path(options.out))  # where a worker died in the middle of a file
        if set(options.targets) == set(ALL_STAGES):
            return _write_manifest(options, selection, states, len(tasks), reused, started_s)
        ordered = (states[clip.clip_id] for clip in selection.clips)
        failures = (*selection.find_failures, *_failures(ordered, options.targets))
        total = len(selection.clips) + len(selection.find_failures)
        return BuildReport(
            clips=total,
            rows=total - len(failures),
            failures=failures,
            processed=len(tasks),
            reused=reused,
            wall_s=time.monotonic() - started_s,
        )


def _failures(states: Iterable[ClipState], targets: tuple[str, ...]) -> list[ClipFailure]:
    """The failures that concern the targets."""
    stages = with_upstreams(targets)
    return [f for state in states if (f := failure_among(state, stages)) is not None]


def _states_as_built(options: BuildOptions, clips: tuple[Clip, ...]) -> dict[str, ClipState]:
    """The states of all clips, with a failure where the features are not there or are others."""
    parameters = options.recipe.stage_parameters()
    states = {}
    for clip in clips:
        state = load_state(options.out, clip.clip_id)
        failure = not_built(clip, state, parameters, options.out)
        states[clip.clip_id] = state if failure is None else ClipState(failure=failure)
    return states


def _will_change(tasks: list[ClipTask]) -> bool:
    """Whether features that are there will be replaced by others."""
    for task in tasks:
        state = load_state(task.build, task.clip.clip_id)
        if state.stages and not sources_current(state, task.clip):
            return True
        keys = expected_keys(state, task.clip, task.recipe.stage_parameters())
        if any(done.key != keys[stage] for stage, done in state.stages.items()):
            return True
    return False


def _retire_manifest(out: str) -> None:
    """Removes a manifest that is about to become untrue: were the run stopped half way, it would
    vouch for a mixture of old and new features."""
    for name in ("manifest.jsonl", *(f"{subset}.csv" for subset in SUBSETS)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(out, name))


def _write_manifest(
    options: BuildOptions,
    selection: Selection,
    states: dict[str, ClipState],
    processed: int,
    reused: int,
    started_s: float,
) -> BuildReport:
    """Rows and failures of the selection, then the files that hold them."""
    rows: list[ManifestRow] = []
    failures = list(selection.find_failures)
    split, recipe = selection.split, options.recipe
    for clip in selection.clips:
        subset = (split.subset_of(clip.speaker, clip.stem) or "") if split else "train"
        state = states[clip.clip_id]
        result = row_or_failure(clip, state, subset, recipe, selection.corpus.root)
        if isinstance(result, ManifestRow):
            rows.append(result)
        else:
            failures.append(result)
    header: dict[str, Any] = {
        "split": split.name if split else "",
        "split_version": split.version if split else 0,
        "split_sha256": split.sha256 if split else "",
        "held_out_speakers": list(split.held_out_speakers) if split else [],
        "specs": {
            "audio": recipe.audio.to_dict(),
            "mel": recipe.mel.to_dict(),
            "crop": recipe.crop.to_dict(),
            "landmarks": recipe.landmarks.to_dict(),
            "prosody": recipe.prosody.to_dict(),
        },
        "rows": len(rows),
    }
    manifest = write_rows(options.out, rows, failures, header)
    report = BuildReport(
        clips=len(selection.clips) + len(selection.find_failures),
        rows=len(rows),
        failures=tuple(failures),
        processed=processed,
        reused=reused,
        wall_s=time.monotonic() - started_s,
        manifest=manifest,
    )
    provenance = os.path.join(options.out, "provenance.json")
    write_json(provenance, _provenance(options, selection, report))
    return report


def _provenance(options: BuildOptions, selection: Selection, report: BuildReport) -> dict[str, Any]:
    """Versions, parameters, counts and wall time, for `provenance.json`."""
    libraries = (
        "facetron-toolkit",
        "numpy",
        "scipy",
        "av",
        "opencv",
        "soxr",
        "ai-edge-litert",
        "face-alignment",
    )
    found = {n: v for n, v in versions(*libraries).items() if v != ABSENT}
    return {
        "corpus": options.corpus,
        "split": options.split,
        "speakers": list(options.speakers),
        "limit": options.limit,
        "jobs": options.jobs,
        "backend": options.backend,
        "versions": found,
        "stages": options.recipe.stage_parameters(),
        "mels": list(options.recipe.mels),
        "clips": report.clips,
        "rows": report.rows,
        "failures": dict(Counter(f.reason for f in report.failures)),
        "processed": report.processed,
        "reused": report.reused,
        "repairs": [vars(claim) for claim in selection.corpus.claims],
        "duplicates": [list(pair) for pair in selection.corpus.duplicates],
        "junk_files": selection.corpus.junk_files,
        "wall_s": round(report.wall_s, 2),
        "manifest_sha256": sha256_file(report.manifest),
    }


def estimate(options: BuildOptions, sample: int = 4) -> Estimate:
    """What a build would do, by doing it for a few clips in a temporary folder."""
    options = checked(options)
    selection = select(options)
    tasks, states = plan(options, selection.clips)
    size = wall_s = 0.0
    chosen = tasks[:: max(1, len(tasks) // sample)][:sample]
    with tempfile.TemporaryDirectory() as folder:
        for i, task in enumerate([*chosen[:1], *chosen]):
            started_s = time.monotonic()
            result: ClipResult = process_clip(replace(task, build=os.path.join(folder, str(i))))
            if i:  # the first run loads libraries and models
                wall_s += time.monotonic() - started_s
                size += sum(
                    s for stage in result.state.stages.values() for _, s in stage.files.values()
                )
    share = len(tasks) / max(len(chosen), 1)
    return Estimate(
        clips=len(selection.clips),
        to_do=len(tasks),
        failures_known=len(_failures(states.values(), options.targets)),
        size_bytes=size * share,
        wall_s=wall_s * share / options.jobs,
        sampled=len(chosen),
    )
