"""A build: find the clips, do what is stale, write the manifest. The stage commands are builds with
fewer targets; all share this path and one cache.

    OUT/lips/s1/bbaf2n.avi   face/…jpg   audio/…wav   mel/…npy   prosody/…npz   landmarks/…npz
        manifest.jsonl  train.csv val.csv test.csv  failures.jsonl  provenance.json
        .state/s1/bbaf2n.json  .lock
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from gridprep.corpus import Corpus, find_clips, speaker_order
from gridprep.execution import Died, create_executor
from gridprep.lock import build_lock
from gridprep.rows import row_or_failure
from gridprep.stages import (
    UPSTREAM,
    ClipResult,
    Recipe,
    Task,
    is_done,
    process_clip,
    with_upstreams,
)
from gridprep.state import ClipState, load_state
from manifests.console import Progress
from manifests.errors import BadInput, TooManyFailures
from manifests.io import SUBSETS, sha256_file, write_csv, write_json, write_jsonl
from manifests.records import Clip, ClipFailure, ManifestRow
from manifests.splits.frozen import Split, load

ALL_STAGES = tuple(UPSTREAM)


@dataclass(frozen=True)
class Options:
    """What a build is asked for. `recipe` decides the features, the rest which clips and how.

    Attributes:
        split: name of a frozen split; "" for the single-stage commands, which take every clip.
        limit: at most this many clips, dealt over the talkers in turn; 0 is all.
        max_failures: stop when more clips fail; -1 never.
    """

    corpus: str
    out: str
    recipe: Recipe = Recipe()
    split: str = ""
    speakers: tuple[str, ...] = ()
    limit: int = 0
    jobs: int = 1
    backend: str = "local"
    scheduler: str = ""
    max_failures: int = -1
    targets: tuple[str, ...] = ALL_STAGES


@dataclass(frozen=True)
class Selection:
    """The clips of a build and what the corpus said about them."""

    corpus: Corpus
    split: Split | None
    clips: tuple[Clip, ...]
    find_failures: tuple[ClipFailure, ...]


@dataclass(frozen=True)
class Report:
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


def with_versions(recipe: Recipe) -> Recipe:
    """The recipe with the versions of the libraries whose change would change features."""

    def version(name: str) -> str:
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            return f"{name} absent"

    face = resources.files("gridprep.data").joinpath("mean_face.json").read_bytes()
    return replace(
        recipe,
        library_versions=(
            ("decode", version("av")),
            ("audio", version("soxr")),
            ("align", version(recipe.landmarks.backend)),
            ("crop", f"{version('opencv-python')} face {hashlib.sha256(face).hexdigest()[:12]}"),
            ("mels", version("scipy")),
        ),
    )


def select(options: Options) -> Selection:
    """Finds the corpus and picks the clips. Raises `BadInput` when none is left."""
    split = load(options.split) if options.split else None
    corpus = find_clips(options.corpus)
    wanted = set(options.speakers)
    clips = [
        clip
        for clip in corpus.clips
        if (not wanted or clip.speaker in wanted)
        and (split is None or split.subset_of(clip.speaker, clip.stem) is not None)
    ]
    failures = [f for f in corpus.failures if not wanted or f.speaker in wanted]
    if options.limit:
        clips = _deal(clips, options.limit)
        failures = []
    if not clips and not failures:
        found = ", ".join(sorted({c.speaker for c in corpus.clips}, key=speaker_order)) or "none"
        raise BadInput(
            f"{corpus.root} has no clip for this choice (talkers found: {found})",
            "check --split and --speakers",
        )
    return Selection(corpus, split, tuple(clips), tuple(failures))


def _deal(clips: list[Clip], limit: int) -> list[Clip]:
    """The first `limit` clips when one is taken from each talker in turn: a small build that still
    has every talker."""
    turn: Counter[str] = Counter()
    order = []
    for position, clip in enumerate(clips):
        order.append((turn[clip.speaker], position))
        turn[clip.speaker] += 1
    kept = sorted(position for _, position in sorted(order)[:limit])
    return [clips[i] for i in kept]


def plan(options: Options, clips: tuple[Clip, ...]) -> tuple[list[Task], dict[str, ClipState]]:
    """(tasks that have something to do, states of the clips that have not)."""
    parameters = options.recipe.stage_parameters()
    targets = with_upstreams(options.targets)
    to_do: list[Task] = []
    current: dict[str, ClipState] = {}
    for clip in clips:
        task = Task(clip, options.out, options.recipe, targets)
        state = load_state(options.out, clip.clip_id)
        if is_done(task, state, parameters):
            current[clip.clip_id] = state
        else:
            to_do.append(task)
    return to_do, current


def _execute(
    options: Options, tasks: list[Task], known_failures: int
) -> Iterator[tuple[Clip, ClipState]]:
    """Runs the tasks with progress; yields each clip's new state."""
    by_id = {task.clip.clip_id: task.clip for task in tasks}
    failures = known_failures
    executor = create_executor(
        options.backend, min(options.jobs, max(len(tasks), 1)), options.scheduler
    )
    results = executor.map(process_clip, tasks)
    try:
        with Progress(len(tasks), "build") as progress:
            for result in results:
                if isinstance(result, Died):
                    clip = result.item.clip
                    state = ClipState(
                        failure=ClipFailure(
                            clip.speaker,
                            clip.stem,
                            "worker",
                            "worker_died",
                            result.cause,
                            clip.video,
                        )
                    )
                else:
                    clip, state = by_id[result.clip_id], result.state
                failures += state.failure is not None
                progress.update(1, failures=failures)
                yield clip, state
                if 0 <= options.max_failures < failures:
                    raise TooManyFailures(
                        f"{failures} clips failed, --max-failures is {options.max_failures}",
                        f"look at the failures below {options.out}/.state, then run it again to go on",
                    )
    finally:
        # Closing the generator shuts the pool down, also on Ctrl-C.
        results.close()  # type: ignore[attr-defined]


def run(options: Options) -> Report:
    """Runs a build (all stages, then the manifest) or some of its stages.

    Raises:
        Locked: another process writes to the same folder.
        TooManyFailures: see `Options.max_failures`; finished clips stay finished.
        BadInput, ToolkitError: for a corpus, option or folder that cannot be used.
    """
    started_s = time.monotonic()
    options = replace(
        options,
        recipe=with_versions(options.recipe),
        corpus=os.path.abspath(options.corpus),
        out=os.path.abspath(options.out),
    )
    selection = select(options)
    with build_lock(options.out):
        tasks, states = plan(options, selection.clips) if options.targets else ([], {})
        if not options.targets:
            states = {c.clip_id: load_state(options.out, c.clip_id) for c in selection.clips}
        known = sum(s.failure is not None for s in states.values()) + len(selection.find_failures)
        reused = len(states)
        if tasks:
            for clip, state in _execute(options, tasks, known):
                states[clip.clip_id] = state
        find_failures = selection.find_failures
        if set(options.targets) not in (set(), set(ALL_STAGES)):
            failures = (
                *find_failures,
                *(s.failure for c in selection.clips if (s := states[c.clip_id]).failure),
            )
            total = len(selection.clips) + len(find_failures)
            return Report(
                clips=total,
                rows=total - len(failures),
                failures=failures,
                processed=len(tasks),
                reused=reused,
                wall_s=time.monotonic() - started_s,
            )
        return _write_manifest(options, selection, states, len(tasks), reused, started_s)


def _write_manifest(
    options: Options,
    selection: Selection,
    states: dict[str, ClipState],
    processed: int,
    reused: int,
    started_s: float,
) -> Report:
    """Rows and failures of the selection, then the files that hold them."""
    rows: list[ManifestRow] = []
    failures = list(selection.find_failures)
    for clip in selection.clips:
        subset = selection.split.subset_of(clip.speaker, clip.stem) if selection.split else "train"
        result = row_or_failure(
            clip, states[clip.clip_id], subset or "", options.recipe, selection.corpus.root
        )
        if isinstance(result, ManifestRow):
            rows.append(result)
        else:
            failures.append(result)
    recipe = options.recipe
    header: dict[str, Any] = {
        "split": selection.split.name if selection.split else "",
        "split_version": selection.split.version if selection.split else 0,
        "split_sha256": selection.split.sha256 if selection.split else "",
        "held_out_speakers": list(selection.split.held_out_speakers) if selection.split else [],
        "specs": {
            "audio": recipe.audio.to_dict(),
            "mel": recipe.mel.to_dict(),
            "crop": recipe.crop.to_dict(),
            "landmarks": recipe.landmarks.to_dict(),
            "prosody": recipe.prosody.to_dict(),
        },
        "rows": len(rows),
    }
    out = options.out
    manifest = os.path.join(out, "manifest.jsonl")
    write_jsonl(manifest, "manifest", rows, **header)
    write_jsonl(os.path.join(out, "failures.jsonl"), "failures", failures)
    for subset in SUBSETS:
        write_csv(
            os.path.join(out, f"{subset}.csv"),
            CSV_COLUMNS,
            (_csv_row(row) for row in rows if row.subset == subset),
        )
    clips = len(selection.clips) + len(selection.find_failures)
    report = Report(
        clips=clips,
        rows=len(rows),
        failures=tuple(failures),
        processed=processed,
        reused=reused,
        wall_s=time.monotonic() - started_s,
        manifest=manifest,
    )
    write_json(os.path.join(out, "provenance.json"), _provenance(options, selection, report))
    return report


CSV_COLUMNS = (
    "speaker",
    "gender",
    "stem",
    "sentence",
    "lips",
    "face",
    "audio",
    "mel",
    "prosody",
    "samples_added",
    "flags",
)


def _csv_row(row: ManifestRow) -> list[Any]:
    paths = [row.paths[name] for name in ("lips", "face", "audio", "mel", "prosody")]
    return [
        row.speaker,
        row.gender,
        row.stem,
        row.sentence,
        *paths,
        row.samples_added,
        " ".join(row.flags),
    ]


def _provenance(options: Options, selection: Selection, report: Report) -> dict[str, Any]:
    """Versions, parameters, counts and wall time, for `provenance.json`."""
    libraries = (
        "facetron-toolkit",
        "numpy",
        "scipy",
        "av",
        "opencv-python",
        "soxr",
        "mediapipe",
        "face-alignment",
    )
    versions = {"python": platform.python_version()}
    for name in libraries:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "corpus": options.corpus,
        "split": options.split,
        "speakers": list(options.speakers),
        "limit": options.limit,
        "jobs": options.jobs,
        "backend": options.backend,
        "versions": versions,
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


def estimate(options: Options, sample: int = 4) -> Estimate:
    """What a build would do, by doing it for a few clips in a temporary folder."""
    options = replace(
        options,
        recipe=with_versions(options.recipe),
        corpus=os.path.abspath(options.corpus),
        out=os.path.abspath(options.out),
    )
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
        failures_known=sum(s.failure is not None for s in states.values()),
        size_bytes=size * share,
        wall_s=wall_s * share / options.jobs,
        sampled=len(chosen),
    )
