"""Scoring of run directories into `scores.jsonl`; valid scores are kept.

A score's key is a hash of both files' content, the rules of the input checks, and the metric's
parameters, revision and library versions; an unchanged key is never computed again. Scores of
several recognizers or weights are kept beside each other, distinguished by their parameters. A
failure that is not caused by the clip (a metric raised an unexpected error, or its process died) is
recorded and tried again by the next call.

`scores.jsonl` is only ever replaced as a whole. While scoring runs, finished scores are appended
to `scores.journal.jsonl`, one write per clip; after kill -9 the next call takes the journal's whole
lines in, drops a torn last one, and goes on. Both end as the same sorted file. Nothing is locked or
written where every score is known, so a run that cannot be written to can be reported.

A job that scores one shard of a run's clips has file, journal and lock in a folder of its own,
`score-shards/2-of-4`, so that many may work at once. The next call without a shard takes in what is
still true of theirs, by the keys, and removes the folders.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.inputs.compiled import prepare_cache
from evaluation.inputs.copies import copied
from evaluation.inputs.pairs import RULES, Pair, Recording, RunDir
from evaluation.metrics.base import DIED, RAISED, Metric, MetricInfo, column_order, get_metric
from manifests.console import Progress, warn_once
from manifests.dask_execution import Shared, create_executor
from manifests.errors import BadInput, Locked
from manifests.execution import Died, Executor
from manifests.io import read_jsonl, sha256_file, write_jsonl
from manifests.lock import held
from manifests.records import RunClip, Score
from manifests.shards import Shard

if TYPE_CHECKING:
    import pandas as pd

CRASH = (
    "the process that computed it died twice (a crash in the metric's library, or no memory left)"
)
SCORES, JOURNAL, SHARDS = "scores.jsonl", "scores.journal.jsonl", "score-shards"


@dataclass(frozen=True)
class ScoredRun:
    """A run with its scores.

    Attributes:
        run: as read.
        scores: (clip label, metric name) → score, for every clip and every requested metric.
        n_new: how many of them were computed now; the others were known.
        copies: labels of the clips whose speech is the recording itself (`inputs.copies`).
    """

    run: RunDir
    scores: dict[tuple[str, str], Score]
    n_new: int
    copies: tuple[str, ...] = ()

    @property
    def n_failed(self) -> int:
        return sum(score.status != "ok" for score in self.scores.values())

    def to_dataframe(self) -> pd.DataFrame:
        """One line per clip and metric; `scores_to_dataframe` lists the columns."""
        return scores_to_dataframe([self])


@dataclass(frozen=True)
class ScoreTask:
    """The metrics to compute of one clip of one run."""

    run_index: int
    clip: RunClip
    wav: Path
    reference: Path | None
    keys: tuple[tuple[str, str], ...]
    """(metric name, key)."""
    root: Path | None = None


COLUMNS = (
    *("system", "clip", "speaker", "stem", "metric", "value", "unit", "status", "reason", "weight"),
)


def scores_to_dataframe(scored: Sequence[ScoredRun]) -> pd.DataFrame:
    """Scores as a table: one line per run, clip and metric.

    Columns: `system` (name of the run), `clip` (`s1/bbaf2n`; `s1/bbaf2n→s4` of a swap), `speaker`,
    `stem`, `metric`, `value` (NaN where it failed), `unit`, `status` (`ok` or `failed`), `reason` and
    `weight` (the clip's share in a mean).
    """
    import pandas as pd

    lines = [
        (
            item.run.info.name,
            label,
            s.speaker,
            s.stem,
            metric,
            s.value,
            s.unit,
            s.status,
            s.reason,
            s.weight,
        )
        for item in scored
        for (label, metric), s in item.scores.items()
    ]
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype({"value": float})


def score_runs(
    runs: Sequence[RunDir],
    metrics: Sequence[Metric],
    jobs: int = 0,
    *,
    progress: bool = True,
    only: frozenset[str] | None = None,
    shard: Shard | None = None,
    backend: str = "local",
    scheduler: str = "",
) -> list[ScoredRun]:
    """Computes missing scores and returns all requested scores.

    Args:
        runs: as read by `read_run`; systems of the same clips share their recordings' F0 and mels.
        metrics: metrics to compute. A run has no scores of metrics that do not apply to it.
        jobs: worker processes, which a crash in a metric's library cannot take down with it; 0 works
            in this process.
        progress: show a progress bar.
        only: labels of the clips that are wanted; None for all.
        shard: score the clips of one shard alone, beside other processes that score others.
        backend: `local`, or `dask`, whose workers load each network once and must see runs and
            recordings under the same paths.
        scheduler: address of a Dask scheduler; "" starts a cluster of `jobs` on this machine.

    Raises:
        BadInput: a backend that does not exist, or whose workers do not see the files.
        Locked: another process scores one of the runs, or this shard of one.
    """
    if jobs or (backend, scheduler) != ("local", ""):
        create_executor(backend, jobs, scheduler)  # what cannot be used is said before any work
    if shard is not None:
        only = frozenset(
            clip.label
            for run in runs
            for clip in run.clips
            if shard.holds(clip.clip_id) and (only is None or clip.label in only)
        )
    places = [_place(run, shard) for run in runs]
    hashes = _Hashes()
    bound = [[m.for_run(run) for m in metrics if m.applies(run)] for run in runs]
    for line in (m.refusal(run) for run in runs for m in metrics):
        if line:
            warn_once(line)
    wanted = [
        {
            (clip.label, name): key
            for clip in run.clips
            if only is None or clip.label in only
            for name, key in hashes.keys(run, clip, of_run).items()
        }
        for run, of_run in zip(runs, bound, strict=True)
    ]

    def load() -> list[dict[str, Score]]:
        return [
            _load(run, hashes, metrics, set(of_run.values()))
            for run, of_run in zip(runs, wanted, strict=True)
        ]

    known = load()
    n_new = [0] * len(runs)
    interrupted = any((place / JOURNAL).exists() for place in places) or (
        shard is None and any(any(_shard_folders(run)) for run in runs)
    )
    if interrupted or any(_missing(*pair) for pair in zip(wanted, known, strict=True)):
        with ExitStack() as locks:
            for root in sorted({place.resolve() for place in places}):
                locks.enter_context(held(root))
            # Others may have scored meanwhile.
            taken = [[] if shard else list(_shard_folders(run)) for run in runs]
            known = load()
            missing = [_missing(*pair) for pair in zip(wanted, known, strict=True)]
            n_new = [len(places) for places in missing]
            tasks = [
                ScoreTask(index, clip, run.wav(clip), run.reference(clip), keys, run.root)
                for index, run in enumerate(runs)
                for clip in run.clips
                if (
                    keys := tuple(
                        (metric.info.name, wanted[index][place])
                        for metric in bound[index]
                        if (place := (clip.label, metric.info.name)) in missing[index]
                    )
                )
            ]
            if tasks:
                _compute(
                    places,
                    tasks,
                    bound,
                    known,
                    _executors(places[0], tasks, backend, scheduler) if jobs else None,
                    jobs,
                    progress=progress,
                )
            for index, own in enumerate(places):
                of_own = set(wanted[index].values()) if shard else known[index].keys()
                _store(own, {k: s for k, s in known[index].items() if k in of_own})
                for folder in taken[index]:
                    _remove_shard(folder)
    clips = [{clip.label: clip for clip in run.clips} for run in runs]
    return [
        ScoredRun(
            run,
            {
                place: _owned(known[index][key], clips[index][place[0]])
                for place, key in wanted[index].items()
                if only is None or place[0] in only
            },
            n_new[index],
            copied(run),
        )
        for index, run in enumerate(runs)
    ]


def known_scores(run: RunDir) -> ScoredRun:
    """A run with the scores that its `scores.jsonl` holds, whatever decided them; the later line counts
    where a metric has several of one clip. A line does not say whose voice a clip has, so clips with
    several voices have none. Raises `ManifestError` where the file is damaged."""
    path = run.root / SCORES
    stored = read_jsonl(path, "scores", Score)[1] if path.exists() else []
    by_clip: dict[tuple[str, str], list[str]] = {}
    for clip in run.clips:
        by_clip.setdefault((clip.speaker, clip.stem), []).append(clip.label)
    scores = {
        (labels[0], score.metric): score
        for score in stored
        if len(labels := by_clip.get((score.speaker, score.stem), [])) == 1
    }
    return ScoredRun(run, scores, 0)


def _place(run: RunDir, shard: Shard | None) -> Path:
    """The folder of scores and journal: the run's, or that of a shard."""
    if shard is None:
        return run.root
    return run.root / SHARDS / f"{shard.number}-of-{shard.count}"


def _shard_folders(run: RunDir) -> Iterator[Path]:
    """The folders that jobs scoring shards have left in a run."""
    if (run.root / SHARDS).is_dir():
        yield from sorted(p for p in (run.root / SHARDS).iterdir() if (p / SCORES).exists())


def _remove_shard(folder: Path) -> None:
    """Removes a folder whose scores were taken in, unless a job is at it again."""
    with suppress(Locked, OSError), held(folder):
        shutil.rmtree(folder)
        folder.parent.rmdir()


def _missing(
    wanted: Mapping[tuple[str, str], str], known: Mapping[str, Score]
) -> set[tuple[str, str]]:
    """(clip label, metric name) of the scores to compute."""
    return {place for place, key in wanted.items() if key not in known}


def _owned(score: Score, clip: RunClip) -> Score:
    """Two clips with the same content share a key; each gets the score under its own name."""
    if (score.speaker, score.stem) == (clip.speaker, clip.stem):
        return score
    return dataclasses.replace(score, speaker=clip.speaker, stem=clip.stem)


def _plain(values: list[Any]) -> str:
    return json.dumps(values, sort_keys=True)


class _Hashes:
    """Content hashes, each file read once."""

    def __init__(self) -> None:
        self._files: dict[Path, str] = {}
        self._written: dict[int, tuple[MetricInfo, str]] = {}
        """id → the description itself, so that no other takes its place, and its text."""

    def file(self, path: Path | None) -> str:
        if path is None:
            return "none"
        path = Path(os.path.normpath(path))
        if path not in self._files:
            try:
                self._files[path] = sha256_file(path)
            except OSError as error:
                # Absent or unreadable is content too: the score changes when the file comes.
                self._files[path] = f"error {error.errno}"
        return self._files[path]

    def key(self, run: RunDir, clip: RunClip, metric: Metric) -> str:
        """The key of one score."""
        return self.keys(run, clip, [metric])[metric.info.name]

    def keys(self, run: RunDir, clip: RunClip, metrics: Iterable[Metric]) -> dict[str, str]:
        """Metric name → key of its score of a clip."""
        made, reference = self.file(run.made(clip)), self.file(run.reference(clip))
        found = {}
        for metric in metrics:
            info = metric.info
            sides = [made if info.needs_degraded else "", reference if info.needs_reference else ""]
            # The same text as of one list, of which a part is written once for all clips.
            first, last = _plain(sides), _plain(metric.key_inputs(run.root, clip))
            text = ", ".join(filter(None, (first[1:-1], self._settings(metric), last[1:-1])))
            found[info.name] = hashlib.sha256(f"[{text}]".encode()).hexdigest()[:32]
        return found

    def _settings(self, metric: Metric) -> str:
        """What decides all scores of a metric, whatever the clip."""
        info = metric.info
        if id(info) not in self._written:
            self._written[id(info)] = info, _plain([RULES, info.identity()])[1:-1]
        return self._written[id(info)][1]


def says_nothing(score: Score) -> bool:
    """Returns whether a failure is of the machine or of the metric, not of the clip: it is tried again."""
    return score.status != "ok" and score.reason.split(":")[0] in (RAISED, DIED)


def _load(
    run: RunDir, hashes: _Hashes, asked: Sequence[Metric], wanted: Set[str]
) -> dict[str, Score]:
    """Known scores by key, journals of interrupted calls and scores of shards included, outdated ones
    dropped.

    Args:
        wanted: keys that are known to be true.
    """
    scores: list[Score] = []
    for folder in (run.root, *sorted((run.root / SHARDS).glob("*-of-*"))):
        if (folder / SCORES).exists():
            scores += read_jsonl(folder / SCORES, "scores", Score)[1]
        with suppress(FileNotFoundError):
            for line in (folder / JOURNAL).read_bytes().split(b"\n")[:-1]:  # the last may be torn
                with suppress(ValueError):  # as may one in the middle, after a second kill
                    scores.append(Score.from_dict(json.loads(line)))
    scores = [score for score in scores if not says_nothing(score)]
    doubtful = [score for score in scores if score.key not in wanted]
    if not doubtful:
        return {score.key: score for score in scores}
    # Scores of metrics that were not asked for this time stay, as long as they are still true.
    there = {score.metric for score in doubtful}
    metrics = {}
    for name in there:
        with suppress(BadInput):  # of another version of the toolkit
            metrics[name] = get_metric(name)
    metrics.update((metric.info.name, metric) for metric in asked if metric.info.name in there)
    metrics = {name: metric.for_run(run) for name, metric in metrics.items()}
    valid = wanted | {
        key for clip in run.clips for key in hashes.keys(run, clip, metrics.values()).values()
    }
    by_name: dict[tuple[str, str], list[RunClip]] = {}
    for clip in run.clips:
        by_name.setdefault((clip.speaker, clip.stem), []).append(clip)

    def still_true(score: Score) -> bool:
        metric = metrics.get(score.metric)
        if score.key in valid:
            return True
        if metric is None:
            return False
        source = score.parameters.get("source")
        if source is None or source == metric.info.parameters.get("source"):
            return False
        # Of another recognizer, or of other weights: true under the parameters that it states.
        other = metric.stated(score.parameters)
        clips = by_name.get((score.speaker, score.stem), ())
        return any(hashes.key(run, clip, other) == score.key for clip in clips)

    return {score.key: score for score in scores if still_true(score)}


def _store(place: Path, known: dict[str, Score]) -> None:
    rows = sorted(known.values(), key=lambda s: (s.speaker, s.stem, column_order(s.metric), s.key))
    path, journal = place / SCORES, place / JOURNAL
    if not path.exists() or read_jsonl(path, "scores", Score)[1] != rows:
        write_jsonl(path, "scores", rows)
    with suppress(FileNotFoundError):
        journal.unlink()


def _compute(
    places: Sequence[Path],
    tasks: Sequence[ScoreTask],
    metrics: Sequence[Sequence[Metric]],
    known: list[dict[str, Score]],
    executors: Callable[[int], Executor] | None,
    jobs: int,
    *,
    progress: bool,
) -> None:
    groups: dict[str, list[ScoreTask]] = {}
    for task in tasks:
        shared = os.path.normpath(task.reference) if task.reference else str(task.wav)
        groups.setdefault(shared, []).append(task)
    failed = 0
    with Progress(len(tasks), "score") as bar, _journals(places) as journals:
        named = [{m.info.name: m for m in of_run} for of_run in metrics]
        for results in _map(list(groups.values()), named, executors, jobs):
            for index, scores in results:
                lines = "".join(
                    json.dumps(s.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"
                    for s in scores
                )
                os.write(journals[index], lines.encode())
                known[index].update((s.key, s) for s in scores)
                failed += sum(s.status != "ok" for s in scores)
                if progress:
                    bar.update(1, **{"failed scores": failed})


def _executors(
    place: Path, tasks: Sequence[ScoreTask], backend: str, scheduler: str
) -> Callable[[int], Executor]:
    """Makes executors of so many workers."""
    there = [path for task in tasks for path in (task.reference, task.wav) if path is not None]
    shared = Shared(
        str(place),
        str(next((path for path in there if path.is_file()), there[0])),
        what="run",
        remedy="put runs and recordings on a file system that all machines mount at the same path",
    )
    return lambda jobs: create_executor(backend, jobs, scheduler, shared)


def _map(
    groups: list[list[ScoreTask]],
    metrics: Sequence[Mapping[str, Metric]],
    executors: Callable[[int], Executor] | None,
    jobs: int,
) -> Iterator[list[tuple[int, list[Score]]]]:
    """
    Args:
        executors: makes an executor of so many workers; None works in this process.
    """
    function = functools.partial(score_group, metrics=metrics)
    if executors is None:
        yield from map(function, groups)
        return
    prepare_cache()  # once, for all workers
    lost: list[list[ScoreTask]] = []
    for result in executors(jobs).map(function, groups):
        if isinstance(result, Died):
            lost.append(result.item)
        else:
            yield result
    # A process died on these clips. Each of their scores is now computed by itself, so that only the
    # metric that did it is lost.
    for group in lost:
        alone = [dataclasses.replace(task, keys=(key,)) for task in group for key in task.keys]
        found: list[tuple[int, list[Score]]] = []
        for one in executors(1).map(function, [[task] for task in alone]):
            if isinstance(one, Died):
                (task,) = one.item
                ((name, key),) = task.keys
                score = metrics[task.run_index][name].failure(task.clip, f"{DIED}: {CRASH}")
                found.append((task.run_index, [dataclasses.replace(score, key=key)]))
            else:
                found += one
        yield [
            (index, [score for i, part in found for score in part if i == index])
            for index in {task.run_index for task in group}
        ]


def score_group(
    tasks: Sequence[ScoreTask], metrics: Sequence[Mapping[str, Metric]]
) -> list[tuple[int, list[Score]]]:
    """Scores clips that share a recording; a score for every key of every task.

    Args:
        metrics: of each run, by name.
    """
    references: dict[Path, Recording] = {}
    results = []
    for task in tasks:
        reference = None
        if task.reference is not None:
            reference = references.setdefault(task.reference.resolve(), Recording(task.reference))
        pair = Pair(task.clip, Recording(task.wav), reference, task.root)
        scores = [
            dataclasses.replace(metrics[task.run_index][name].score(pair), key=key)
            for name, key in task.keys
        ]
        results.append((task.run_index, scores))
    return results


@contextmanager
def _journals(places: Sequence[Path]) -> Iterator[list[int]]:
    """Descriptors of the journals, opened to append: one write is one clip, whole or torn."""
    descriptors: list[int] = []
    try:
        for place in places:
            path = place / JOURNAL
            descriptors.append(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666))
            if os.fstat(descriptors[-1]).st_size:
                os.write(descriptors[-1], b"\n")  # ends a line that a killed process left torn
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
