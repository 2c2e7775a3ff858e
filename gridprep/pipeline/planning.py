"""What a build has to do: its clips' states compared with its options.

Of a million clips that are to be worked on, only their places are in memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from gridprep.corpora.stored_clips import StoredClips
from gridprep.pipeline import finished
from gridprep.pipeline.recipe import (
    ClipTask,
    expected_keys,
    failure_among,
    is_done,
    sources_current,
    with_upstreams,
)
from gridprep.pipeline.selection import BuildOptions
from gridprep.pipeline.state import ClipState, StateStore
from gridprep.pipeline.unchanged import ListDigest
from manifests.records import Clip, ClipFailure


class Tasks(Sequence[ClipTask]):
    """Tasks that are made when they are asked for, with what was remembered of their clips when they were
    planned; a clip's state changes only when its task is done.

    Args:
        store: open as long as tasks are asked for.
        clips: those that have stale stages.
        unsure: of each, whether it was marked as such.
    """

    def __init__(
        self, options: BuildOptions, store: StateStore, clips: StoredClips, unsure: bytes
    ) -> None:
        self._options, self._store = options, store
        self.clips, self._unsure = clips, unsure
        self._targets = with_upstreams(options.targets)

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[ClipTask]:
        return map(self._task, self.clips, self._unsure)

    @overload
    def __getitem__(self, position: int) -> ClipTask: ...
    @overload
    def __getitem__(self, position: slice) -> Tasks: ...
    def __getitem__(self, position: int | slice) -> ClipTask | Tasks:
        if isinstance(position, slice):
            clips, unsure = self.clips[position], self._unsure[position]
            return Tasks(self._options, self._store, clips, unsure)
        return self._task(self.clips[position], self._unsure[position])

    def _task(self, clip: Clip, unsure: int) -> ClipTask:
        text, _ = self._store.text(clip.clip_id)
        return task_of(self._options, self._targets, clip, text, bool(unsure))


def task_of(
    options: BuildOptions, targets: tuple[str, ...], clip: Clip, text: str, unsure: bool
) -> ClipTask:
    """The task of a clip of which that text is remembered."""
    return ClipTask(clip, options.out, options.recipe, targets, text, unsure, options.redo)


@dataclass(frozen=True)
class Plan:
    """The work of a build.

    Attributes:
        tasks: tasks of the clips that have stale stages.
        current: number of clips that are up to date.
        failures: known failures among those.
        will_change: whether existing features will be replaced by others.
        digest: of the clips and their states.
        listed: number of clips that the last manifest lists.
    """

    tasks: Tasks
    current: int
    failures: tuple[ClipFailure, ...]
    will_change: bool
    digest: ListDigest
    listed: int


def plan(options: BuildOptions, clips: StoredClips, store: StateStore) -> Plan:
    """Compares the stored states of the clips with the options of the build."""
    parameters = options.recipe.stage_parameters()
    targets = with_upstreams(options.targets)
    to_do, to_do_unsure = array("I"), bytearray()
    failures: list[ClipFailure] = []
    will_change = False
    digest = ListDigest()
    common = finished.terms(parameters)
    n_listed = 0
    for position, clip in enumerate(clips):
        text, unsure, mark, files, listed = store.remembered(clip.clip_id)
        n_listed += listed
        own = digest.add(clip, text)
        known = not unsure and not options.redo and mark == finished.mark(own, common)
        if known and finished.are_there(files, clip, options.out):
            continue
        task = task_of(options, targets, clip, text, unsure)
        state = task.state()
        if is_done(task, state, parameters):
            failure = failure_among(state, targets)
            if failure is not None:
                failures.append(failure)
        else:
            to_do.append(position)
            to_do_unsure.append(unsure)
            will_change = will_change or _replaces(task, state, parameters)
    tasks = Tasks(options, store, clips.taken(to_do), bytes(to_do_unsure))
    current = len(clips) - len(tasks)
    return Plan(tasks, current, tuple(failures), will_change, digest, n_listed)


def _replaces(task: ClipTask, state: ClipState, parameters: dict[str, str]) -> bool:
    """Whether a task may replace existing features by others."""
    if state.stages and not sources_current(state, task.clip):
        return True
    keys = expected_keys(state, task.clip, parameters)
    return any(done.key != keys[stage] for stage, done in state.stages.items())
