"""A build: finds the clips, runs stale stages, writes the manifest. The stage commands are builds with
fewer targets; all share this path and one cache.

    OUT/lips/s1/bbaf2n.avi   face/…jpg   audio/…wav   mel/…npy   prosody/…npz   landmarks/…npz
        manifest.jsonl  train.csv val.csv test.csv  failures.jsonl  provenance.json
        .state/clips.sqlite  .lock
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gridprep.corpora.stored_clips import StoredClips
from gridprep.pipeline import finished
from gridprep.pipeline.lock import build_lock, sweep
from gridprep.pipeline.planning import Plan, Tasks, plan
from gridprep.pipeline.recipe import (
    ALL_STAGES,
    ClipTask,
    failure_among,
    with_upstreams,
)
from gridprep.pipeline.rows import (
    MANIFEST,
    manifest_writer,
    not_built,
    relative_to,
    row_or_failure,
)
from gridprep.pipeline.selection import BuildOptions, Selection, checked, select
from gridprep.pipeline.speakers import Patterns, Result, compared
from gridprep.pipeline.stages import ClipResult, process_clip
from gridprep.pipeline.state import (
    STATE_FILE,
    STATE_FOLDER,
    ClipState,
    StateStore,
    decode_state,
    files_present,
    safe_id,
)
from gridprep.pipeline.unchanged import FAILURES, ListDigest, files_digest
from manifests.console import Progress
from manifests.dask_execution import Shared, create_executor
from manifests.errors import TooManyFailures
from manifests.execution import Died
from manifests.io import SUBSETS, read_jsonl, write_json
from manifests.records import Clip, ClipFailure
from manifests.versions import ABSENT, versions

PROVENANCE = "provenance.json"
BATCH = 500
"""Clips that are noted as finished at a time."""


@dataclass(frozen=True)
class BuildReport:
    """The result of a build. `rows + failures == clips` always holds.

    Attributes:
        processed: clips of the selection that were worked on.
        reused: clips of the selection that were up to date.
        kept: clips of earlier builds of the folder that are listed too, though not selected.
        dropped: reason → number of clips of earlier builds that are no longer listed.
        manifest: path of the manifest, "" for a single stage.
        unlisted: videos that lie in the corpus and are not taken, since its list does not name them.
    """

    clips: int
    rows: int
    failures: tuple[ClipFailure, ...]
    processed: int
    reused: int
    wall_s: float
    manifest: str = ""
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    unlisted: int = 0


@dataclass(frozen=True)
class Estimate:
    """The result of `--dry-run`: clips, expected size and expected time of a build.

    Attributes:
        clips: number of all, those included that cannot be clips.
        to_do: number of clips to work on.
        failures: known already: of earlier builds, and of finding the clips.
        sampled: number of clips that were tried.
        sampled_failures: of those.
    """

    clips: int
    to_do: int
    failures: tuple[ClipFailure, ...]
    size_bytes: float
    wall_s: float
    sampled: int
    sampled_failures: tuple[ClipFailure, ...]


def run(options: BuildOptions) -> BuildReport:
    """Runs a build (all stages, then the manifest) or some of its stages.

    A build adds to what the folder holds: the manifest lists the clips of this selection, and of those
    that it listed before all that are still what these options would make of them. The others are
    counted in the report, with the reason.

    Raises:
        Locked: another process writes to the same folder.
        TooManyFailures: see `BuildOptions.max_failures`; finished clips stay finished.
        BadInput, ToolkitError: for a corpus, option or folder that cannot be used.
    """
    started_s = time.monotonic()
    options = checked(options)
    selection = select(options)
    with build_lock(options.out), StateStore(options.out) as store:
        if not options.targets:
            return write_manifest(options, selection, store, {}, 0, started_s)
        planned = plan(options, selection.clips, store)
        overrides: dict[str, ClipFailure] = {}
        failures = [*selection.find_failures, *planned.failures]
        _check_failures(options, failures)
        if planned.tasks:
            if planned.will_change:
                _retire_manifest(options.out)
            for clip_id, failure in _execute(options, planned.tasks, store, len(failures)):
                if failure is None:
                    continue
                failures.append(failure)
                overrides[clip_id] = failure
                _check_failures(options, failures)
            sweep(Path(options.out))  # where a worker died in the middle of a file
        elif set(options.targets) == set(ALL_STAGES):
            report = _unchanged(options, selection, store, planned, started_s)
            if report is not None:
                return report
        if set(options.targets) == set(ALL_STAGES):
            return write_manifest(
                options, selection, store, overrides, len(planned.tasks), started_s
            )
        total = len(selection.clips) + len(selection.find_failures)
        failed = {failure.clip_id for failure in failures}
        ids = enumerate(selection.clips.ids())
        order = {clip_id: i for i, clip_id in ids if clip_id in failed}
        failures.sort(key=lambda f: order.get(f.clip_id, -1))
        return BuildReport(
            clips=total,
            rows=total - len(failures),
            failures=tuple(failures),
            processed=len(planned.tasks),
            reused=planned.current,
            wall_s=time.monotonic() - started_s,
        )


def _unchanged(
    options: BuildOptions,
    selection: Selection,
    store: StateStore,
    planned: Plan,
    started_s: float,
) -> BuildReport | None:
    """The report of a build with nothing to do whose lists are already what they would become; None
    where they must be written."""
    others = {safe_id(failure.clip_id) for failure in selection.find_failures}
    if others:  # two clips of one name are a clip and a failure
        others -= {clip_id for clip_id in selection.clips.ids() if clip_id in others}
    expected = len(selection.clips) + len(others)
    listed = planned.listed + sum(map(store.is_listed, others))
    if not listed == expected == store.count_listed():
        return None
    files = files_digest(options.out)
    header = _list_header(options, selection, _header(options, selection))
    whole = planned.digest.hexdigest(header, selection.find_failures)
    if not files or store.written() != (whole, files):
        return None
    _, failures = read_jsonl(os.path.join(options.out, FAILURES), "failures", ClipFailure)
    report = BuildReport(
        clips=len(selection.clips) + len(selection.find_failures),
        rows=len(selection.clips) + len(selection.find_failures) - len(failures),
        failures=tuple(failures),
        processed=0,
        reused=len(selection.clips),
        wall_s=time.monotonic() - started_s,
        manifest=os.path.join(options.out, MANIFEST),
        unlisted=len(selection.corpus.unlisted),
    )
    provenance = _provenance(options, selection, report, files.split()[0])
    write_json(os.path.join(options.out, PROVENANCE), provenance)
    return report


def _execute(
    options: BuildOptions, tasks: Tasks, store: StateStore, n_failures: int
) -> Iterator[tuple[str, ClipFailure | None]]:
    """Runs the tasks with progress and stores what comes back; yields (clip id, its failure if the
    stages asked for have one)."""
    stages = with_upstreams(options.targets)
    executor = create_executor(
        options.backend,
        options.jobs,
        options.scheduler,
        Shared(os.path.join(options.out, STATE_FOLDER), tasks.clips[0].video),
    )
    store.mark_unsure(tasks.clips.ids())
    results = executor.map(process_clip, tasks)
    with contextlib.closing(results), Progress(len(tasks), "build") as progress:
        for result in results:
            failure = _stored(result, options, store, stages)
            n_failures += failure is not None
            progress.update(1, failures=n_failures)
            clip_id = (result.item.clip if isinstance(result, Died) else result).clip_id
            yield clip_id, failure


def _stored(
    result: ClipResult | Died[ClipTask],
    options: BuildOptions,
    store: StateStore,
    stages: tuple[str, ...],
) -> ClipFailure | None:
    """Stores a result whose files are really here; the failure of the clip, if it is one now."""
    if isinstance(result, Died):
        clip = result.item.clip
        return ClipFailure(
            clip.speaker, clip.stem, "worker", "worker_died", result.cause, clip.video
        )
    state = result.state
    for stage in result.done_stages:
        done = state.stages.get(stage)
        # A worker on another machine may write to a folder of the same name that is not ours.
        if done is not None and not files_present(
            options.out, done, content=options.backend == "dask"
        ):
            speaker, stem = result.clip_id.split("/", 1)
            detail = (
                f"the worker says that it wrote {', '.join(f.path for f in done.files.values())}, "
                f"and {options.out} does not hold it (do all workers share --out?)"
            )
            return ClipFailure(speaker, stem, "worker", "not_written", detail)
    store.put(result.clip_id, state)
    return failure_among(state, stages)


def _check_failures(options: BuildOptions, failures: Sequence[ClipFailure]) -> None:
    if 0 <= options.max_failures < len(failures):
        reasons = Counter(f.reason for f in failures)
        last = failures[-1]
        raise TooManyFailures(
            f"{len(failures)} clips failed ("
            + ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            + f"; the last: {last.clip_id}: {last.detail}), --max-failures is {options.max_failures}",
            "what is done is kept: raise it to go on",
        )


def _retire_manifest(out: str) -> None:
    """Removes a manifest that is about to become outdated: if the run stopped half way, it would
    describe a mixture of old and new features."""
    for name in (MANIFEST, *(f"{subset}.csv" for subset in SUBSETS)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(out, name))


class _Lists:
    """The clips of the manifest: every selected clip, and every clip listed before that is still
    current."""

    def __init__(
        self,
        options: BuildOptions,
        selection: Selection,
        store: StateStore,
        overrides: Mapping[str, ClipFailure],
    ) -> None:
        self._options, self._selection = options, selection
        self._store, self._overrides = store, overrides
        self._parameters = options.recipe.stage_parameters()
        self._common = finished.terms(self._parameters)
        self._finished: list[tuple[str, bytes, str]] = []
        self._listed_failures: list[str] = []
        self._listed_clips = array("I")
        self.kept = 0
        self.dropped: Counter[str] = Counter()
        self.digest = ListDigest()

    def results(self) -> Iterator[Result]:
        """Rows and failures, those of the corpus first, then by speaker and stem."""
        corpus, store = self._selection.corpus, self._store
        left = store.count_listed()
        found = {id(failure) for failure in self._selection.find_failures}
        told: set[str] = set()  # a clip of the same name was not what was listed
        for failure in corpus.failures:
            clip_id, chosen = safe_id(failure.clip_id), id(failure) in found
            listed = clip_id not in told and store.is_listed(clip_id)
            told.add(clip_id)
            if chosen or listed:
                left -= listed
                self.kept += not chosen
                self._listed_failures.append(clip_id)
                yield failure, None
        selected = iter(self._selection.clips.places)
        following = next(selected, None)
        for place, clip in enumerate(corpus.clips):
            chosen = place == following
            if chosen:
                following = next(selected, None)
            listed = left > 0 and clip.clip_id not in told and store.is_listed(clip.clip_id)
            left -= listed
            result = self._result(clip) if chosen else self._earlier(clip) if listed else None
            if isinstance(result, str):
                self.dropped[result] += 1
            elif result is not None:
                self.kept += not chosen
                self._listed_clips.append(place)
                yield result
        self._store.set_finished(self._finished)
        if left:
            self.dropped["no longer in the corpus"] = left

    def listed(self) -> Iterator[str]:
        """The clips that `results` gave."""
        yield from self._listed_failures
        yield from self._selection.corpus.clips.taken(self._listed_clips).ids()

    def _subset(self, clip: Clip) -> str:
        split = self._selection.split
        if split is None:
            return clip.subset or "train"
        return split.subset_of(clip.speaker, clip.stem) or ""

    def _result(self, clip: Clip) -> Result:
        """A selected clip: it was just built, or `gridprep manifest` finds out whether it is."""
        if clip.clip_id in self._overrides:
            failure = self._overrides[clip.clip_id]
            return replace(
                failure, video=relative_to(self._selection.corpus.root, clip.video)
            ), None
        text, unsure, mark, *_ = self._store.remembered(clip.clip_id)
        expected = finished.mark(self.digest.add(clip, text), self._common)
        state = decode_state(text)
        doubt: ClipFailure | None = None
        if not self._options.targets or mark != expected:
            doubt = not_built(clip, state, self._parameters, self._options.out, unsure)
        if doubt is None and mark != expected and state.failure is None and not unsure:
            self._note(clip, expected, state)
        if doubt is not None and not self._options.targets:
            state = ClipState(failure=doubt)
        return self._row(clip, state)

    def _note(self, clip: Clip, mark: bytes, state: ClipState) -> None:
        """Notes that a clip is finished, for the next build."""
        self._finished.append((clip.clip_id, mark, finished.files_of(state)))
        if len(self._finished) == BATCH:
            self._store.set_finished(self._finished)
            self._finished.clear()

    def _earlier(self, clip: Clip) -> Result | str:
        """A clip that was listed before and is not selected now; why it is dropped, if it is."""
        split = self._selection.split
        if split is not None and split.subset_of(clip.speaker, clip.stem) is None:
            return f"not in the split {split.name}"
        text, unsure = self._store.text(clip.clip_id)
        state = decode_state(text)
        if not_built(clip, state, self._parameters, self._options.out, unsure) is not None:
            return "made with other options, from another source, or incomplete"
        return self._row(clip, state)

    def _row(self, clip: Clip, state: ClipState) -> Result:
        options, root = self._options, self._selection.corpus.root
        row = row_or_failure(clip, state, self._subset(clip), options.recipe, root)
        return row, Patterns.of_stages(state.stages)


def write_manifest(
    options: BuildOptions,
    selection: Selection,
    store: StateStore,
    overrides: Mapping[str, ClipFailure],
    processed: int,
    started_s: float,
) -> BuildReport:
    """Writes the lists of a build, from what is remembered of its clips, and its provenance.

    Args:
        overrides: clip id → failure of a clip of which no state says it.
        processed: number of clips that were worked on, for the report.
        started_s: `time.monotonic` when the build began.
    """
    recipe = options.recipe
    header = _header(options, selection)
    lists = _Lists(options, selection, store, overrides)
    with manifest_writer(options.out, header) as writer:
        results = lists.results()
        if "speaker" in recipe.corpus_recipe.checks:
            added = compared(results, recipe.content)
        else:
            added = (result for result, _ in results)
        for one in added:
            writer.add(one)
    store.set_listed(lists.listed())
    report = BuildReport(
        clips=writer.rows + len(writer.failures),
        rows=writer.rows,
        failures=tuple(writer.failures),
        processed=processed,
        reused=len(selection.clips) - processed,
        kept=lists.kept,
        dropped=dict(lists.dropped),
        wall_s=time.monotonic() - started_s,
        manifest=os.path.join(options.out, MANIFEST),
        unlisted=len(selection.corpus.unlisted),
    )
    files = files_digest(options.out)
    if options.targets and not overrides and not lists.kept:
        known = _list_header(options, selection, header)
        whole = lists.digest.hexdigest(known, selection.find_failures)
        store.set_written(whole, files)
    provenance = os.path.join(options.out, PROVENANCE)
    write_json(provenance, _provenance(options, selection, report, files.split()[0]))
    return report


def _header(options: BuildOptions, selection: Selection) -> dict[str, Any]:
    """The header of the manifest, but for the number of rows."""
    split, recipe = selection.split, options.recipe
    return {
        "split": split.name if split else "",
        "split_version": split.version if split else 0,
        "split_sha256": split.sha256 if split else "",
        "held_out_speakers": _held_out(selection),
        "corpus_kind": recipe.corpus,
        "language": recipe.corpus_recipe.language,
        "specs": {
            "audio": recipe.audio.to_dict(),
            "mel": recipe.mel.to_dict(),
            "crop": recipe.crop.to_dict(),
            "landmarks": recipe.landmarks.to_dict(),
            "prosody": recipe.prosody.to_dict(),
        },
    }


def _list_header(
    options: BuildOptions, selection: Selection, header: dict[str, Any]
) -> dict[str, Any]:
    """What the lists follow from beside the clips and their states."""
    return {
        **header,
        "corpus": selection.corpus.root,
        "recipe": options.recipe.to_dict(),
        "stages": options.recipe.stage_parameters(),
    }


def _held_out(selection: Selection) -> list[str]:
    """Speakers all of whose clips are test, by the split or by what the corpus itself says."""
    if selection.split is not None:
        return list(selection.split.held_out_speakers)
    subsets: dict[str, set[str]] = {}
    for clip in selection.corpus.clips:
        subsets.setdefault(clip.speaker, set()).add(clip.subset)
    return [speaker for speaker, found in subsets.items() if found == {"test"}]


def _provenance(
    options: BuildOptions, selection: Selection, report: BuildReport, manifest_sha256: str
) -> dict[str, Any]:
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
        "corpus_kind": options.corpus_kind,
        "recipe": options.recipe.to_dict(),
        "split": options.split,
        "speakers": list(options.speakers),
        "limit": options.limit,
        **({"shard": options.shard} if options.shard else {}),
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
        "kept": report.kept,
        "dropped": report.dropped,
        "repairs": [vars(claim) for claim in selection.corpus.claims],
        "duplicates": [list(pair) for pair in selection.corpus.duplicates],
        "junk_files": selection.corpus.junk_files,
        "unlisted": list(selection.corpus.unlisted),
        "wall_s": round(report.wall_s, 2),
        "manifest_sha256": manifest_sha256,
    }


def _planned_without_writing(
    options: BuildOptions, clips: StoredClips, sample: int
) -> tuple[Plan, list[ClipTask]]:
    """The plan of a build that is not to be run, and up to `sample` of its tasks: its folder is read if
    it is there, and never written."""
    with tempfile.TemporaryDirectory() as folder:
        state = os.path.join(options.out, STATE_FOLDER, STATE_FILE)
        if os.path.exists(state):
            os.mkdir(os.path.join(folder, STATE_FOLDER))
            shutil.copyfile(state, os.path.join(folder, STATE_FOLDER, STATE_FILE))
        with StateStore(folder) as store:
            planned = plan(options, clips, store)
            every = max(1, len(planned.tasks) // sample)
            return planned, list(planned.tasks[::every][:sample])


def estimate(options: BuildOptions, sample: int = 4) -> Estimate:
    """Estimates size and time of a build by building a few clips in a temporary folder."""
    options = checked(options)
    selection = select(options)
    planned, chosen = _planned_without_writing(options, selection.clips, sample)
    size = wall_s = 0.0
    sampled_failures: list[ClipFailure] = []
    with tempfile.TemporaryDirectory() as folder:
        for i, task in enumerate([*chosen[:1], *chosen]):
            started_s = time.monotonic()
            scratch = replace(task, build=os.path.join(folder, str(i)), remembered="")
            result: ClipResult = process_clip(scratch)
            if i:  # the first run loads libraries and models
                wall_s += time.monotonic() - started_s
                if failure := failure_among(result.state, task.targets):
                    sampled_failures.append(failure)
                size += sum(
                    file.size
                    for stage in result.state.stages.values()
                    for file in stage.files.values()
                )
    share = len(planned.tasks) / max(len(chosen), 1)
    return Estimate(
        clips=len(selection.clips) + len(selection.find_failures),
        to_do=len(planned.tasks),
        failures=(*selection.find_failures, *planned.failures),
        size_bytes=size * share,
        wall_s=wall_s * share / options.jobs,
        sampled=len(chosen),
        sampled_failures=tuple(sampled_failures),
    )
