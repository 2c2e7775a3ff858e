"""Speed of a build: per stage beside its floor, by workers and on Dask, with nothing to do."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.children import peak_mb
from gridprep.landmarks.registry import create
from gridprep.media.decode import decode
from gridprep.pipeline import stages as stage_module
from gridprep.pipeline.planning import plan
from gridprep.pipeline.recipe import ALL_STAGES, Recipe, expected_keys
from gridprep.pipeline.run import run
from gridprep.pipeline.selection import BuildOptions, select, with_versions
from gridprep.pipeline.stages import process_clip
from gridprep.pipeline.state import ClipState, StageState, StateStore
from manifests.console import format_table
from manifests.corpus_lists import SPEAKERS, expected_stems_of
from manifests.grammar import words_of
from manifests.records import Clip

SPLIT = "large-unseen"

STAGE_ROUNDS = 3
GROWTH_CLIPS = (2_000, 8_000, 32_870)


def _options(
    corpus: Path, out: Path, clips: int, jobs: int, backend: str = "local"
) -> BuildOptions:
    recipe = with_versions(Recipe())
    return BuildOptions(
        corpus=str(corpus),
        out=str(out),
        recipe=recipe,
        split=SPLIT,
        limit=clips,
        jobs=jobs,
        backend=backend,
    )


class PeakMemory:
    """Watches the resident memory of this process's children; `peak_mb` is the largest of one."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            for child in psutil.Process().children(recursive=True):
                try:
                    self.peak_mb = max(self.peak_mb, child.memory_info().rss / 1e6)
                except psutil.Error:
                    continue  # it ended between being listed and being asked

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def stages(corpus: Path, clips: int, scratch: Path) -> str:
    """Processor time per stage in one process, beside the floors: decoding alone, landmarks alone. It is
    not the clock's, which other work on the machine would lengthen; since that slows the processor as
    well, each clip is done three times, build and floors in turn, and the least counts."""
    options = _options(corpus, scratch / "stages", min(clips, 60), 1)
    with StateStore(options.out) as store:
        tasks = list(plan(options, select(options).clips, store).tasks)
    backend = create(options.recipe.landmarks.backend)
    original = dict(stage_module._RUN)
    names = (*original, "whole", "decode alone", "landmarks alone")
    total_s = dict.fromkeys(names, 0.0)
    spent_s: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(name: str) -> Iterator[None]:
        started_s = time.process_time()
        try:
            yield
        finally:
            spent_s[name] = time.process_time() - started_s

    def timed_stage(name: str) -> Callable[[stage_module._Work], None]:
        def run_stage(work: stage_module._Work) -> None:
            with timed(name):
                original[name](work)

        return run_stage

    process_clip(tasks[0])  # loads libraries and models
    backend.detect(decode(tasks[0].clip.video).frames, options.recipe.landmarks.every)
    stage_module._RUN.update({name: timed_stage(name) for name in original})
    try:
        for task in tasks:
            least_s = dict.fromkeys(names, math.inf)
            for _ in range(STAGE_ROUNDS):
                spent_s.clear()
                with timed("whole"):
                    process_clip(task)
                with timed("decode alone"):
                    frames = decode(task.clip.video).frames
                with timed("landmarks alone"):
                    backend.detect(frames, options.recipe.landmarks.every)
                for name in names:
                    least_s[name] = min(least_s[name], spent_s.get(name, 0.0))
            for name in names:
                total_s[name] += least_s[name]
    finally:
        stage_module._RUN.update(original)
    n, whole_s = len(tasks), total_s["whole"]
    total_s["keys, state"] = whole_s - sum(total_s[name] for name in original)
    floor_s = total_s["decode alone"] + total_s["landmarks alone"]
    rows = [
        (name, f"{total_s[name] / n * 1e3:.1f}", f"{total_s[name] / whole_s:.0%}")
        for name in (*ALL_STAGES, "keys, state", "whole", "decode alone", "landmarks alone")
    ]
    return (
        format_table(("stage", "CPU ms a clip", "share"), rows)
        + f"\n{n} clips, one process, one thread, the least of {STAGE_ROUNDS}; "
        f"whole / (decode + landmarks) = {whole_s / floor_s:.2f}"
    )


class Steady(NamedTuple):
    """A rate without the cost of starting up, which a build of all of GRID does not feel."""

    clips_per_s: float
    start_s: float
    whole_per_s: float
    peak_mb: float


def steady(corpus: Path, clips: int, scratch: Path, jobs: int, backend: str) -> Steady:
    """Builds a quarter of the clips, then all of them anew: the difference is the steady rate."""
    spent_s, peak_mb = [], 0.0
    for n in (clips // 4, clips):
        options = _options(corpus, scratch / f"{backend}{jobs}-{n}", n, jobs, backend)
        with PeakMemory() as memory:
            spent_s.append(run(options).wall_s)
        peak_mb = max(peak_mb, memory.peak_mb)
    rate = (clips - clips // 4) / (spent_s[1] - spent_s[0])
    return Steady(rate, spent_s[0] - (clips // 4) / rate, clips / spent_s[1], peak_mb)


def workers(corpus: Path, clips: int, scratch: Path) -> str:
    """Build rate with one worker, with two, and with two on Dask; the memory of one."""
    found = {
        (jobs, backend): steady(corpus, clips, scratch, jobs, backend)
        for jobs, backend in ((1, "local"), (2, "local"), (2, "dask"))
    }
    one, two = found[1, "local"], found[2, "local"]
    rows = [
        (
            f"{jobs} {backend}",
            f"{s.clips_per_s:.2f}",
            f"{s.clips_per_s / one.clips_per_s:.2f}×",
            f"{s.clips_per_s / two.clips_per_s:.2f}×",
            f"{s.start_s:.1f}",
            f"{s.whole_per_s:.2f}",
            f"{s.peak_mb:.0f}",
            f"{32_870 / s.clips_per_s / 60:.0f}",
        )
        for (jobs, backend), s in found.items()
    ]
    return format_table(
        (
            "workers",
            "clips/s",
            "of one",
            "of two local",
            "start s",
            f"clips/s with it, {clips} clips",
            "peak MB a worker",
            "min for all of GRID",
        ),
        rows,
    )


def unchanged(corpus: Path, clips: int, scratch: Path) -> str:
    """A second build over a finished one: nothing to do."""
    options = _options(corpus, scratch / f"local2-{clips}", clips, 2)
    run(options)
    best_s = min(_timed_run(options) for _ in range(3))
    # The state of a few clips, multiplied, shows the rate without the fixed cost of starting up.
    selection = select(options)
    started_s = time.perf_counter()
    repeats = max(1, 3000 // len(selection.clips))
    for _ in range(repeats):
        with StateStore(options.out) as store:
            here = replace(options, out=str(Path(options.out).resolve()))
            to_do = plan(here, selection.clips, store).tasks
    plan_s = (time.perf_counter() - started_s) / repeats
    n = len(selection.clips)
    return format_table(
        ("what", "clips", "clips/s"),
        [
            ("whole build, nothing to do", n, f"{n / best_s:.0f}"),
            ("  of it planning alone", n, f"{n / plan_s:.0f}"),
        ],
    ) + ("" if not to_do else f"\nWARNING: {len(to_do)} clips were not up to date")


def growth(corpus: Path, clips: int, scratch: Path) -> str:
    """A build of all of GRID with nothing to do, simulated: a few clips are built, and every clip of
    GRID's lists gets links to their sources and features, and a state of its own. Each size runs in a
    process of its own, so that its memory is its own."""
    del clips
    few = _options(corpus, scratch / "few", 8, 2)
    run(few)
    rows = []
    for count in GROWTH_CLIPS:
        folder = scratch / f"grid{count}"
        _enlarge(select(few).clips, Path(few.out), folder, count)
        code = f"from benchmarks.build_speed import idle; idle({str(folder)!r})"
        best: tuple[float, float, float] | None = None
        for _ in range(3):
            printed = subprocess.run(
                [sys.executable, "-c", code], check=True, capture_output=True, text=True
            ).stdout
            wall_s, cpu_s, peak_mb, reused = map(float, printed.split())
            if int(reused) != count:
                raise RuntimeError(f"{reused} of {count} clips were up to date")
            best = min(best or (wall_s, cpu_s, peak_mb), (wall_s, cpu_s, peak_mb))
        assert best is not None
        rates = f"{count / best[0]:.0f}", f"{count / best[1]:.0f}"
        rows.append((f"{count:,}", f"{best[0]:.1f}", *rates, f"{best[2]:.0f}"))
        shutil.rmtree(folder)
    head = ("clips, nothing to do", "s", "clips/s", "clips per CPU s", "peak MB")
    return format_table(head, rows)


def _enlarge(built: Sequence[Clip], out: Path, folder: Path, count: int) -> None:
    """A corpus of `count` clips and its finished build, by links to the few that were built."""
    names = [(s, stem) for s in SPEAKERS for stem in expected_stems_of(s)][:count]
    with StateStore(out) as store:
        states = [store.get(clip.clip_id) for clip in built]
    recipe = with_versions(Recipe())
    parameters = recipe.stage_parameters()

    def states_of_links() -> Iterator[tuple[str, ClipState]]:
        for i, (speaker, stem) in enumerate(names):
            clip, old = built[i % len(built)], states[i % len(built)]
            video = folder / "corpus" / speaker / f"{stem}{Path(clip.video).suffix}"
            words = folder / "corpus" / "alignments" / speaker / f"{stem}.align"
            for source, target in ((clip.video, video), (clip.alignment, words)):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)
            assert old.source is not None
            assert old.alignment is not None
            state = ClipState(
                replace(old.source, path=str(video)), replace(old.alignment, path=str(words))
            )
            here = replace(clip, stem=stem, speaker=speaker, video=str(video), alignment=str(words))
            keys = expected_keys(state, here, parameters)
            for stage, done in old.stages.items():
                files = {}
                for name, file in done.files.items():
                    path = file.path.replace(clip.clip_id, f"{speaker}/{stem}")
                    target = folder / "out" / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.link(out / file.path, target)
                    files[name] = file._replace(path=path)
                data = done.data
                if stage == "alignment":
                    spoken = words_of(stem)
                    data = {
                        "words": [
                            {**w, "word": word}
                            for w, word in zip(data["words"], spoken, strict=True)
                        ]
                    }
                state.stages[stage] = StageState(keys[stage], files, data)
            yield f"{speaker}/{stem}", state

    with StateStore(folder / "out") as store:
        store.put_all(states_of_links())


def idle(folder: str) -> None:
    """Runs a build with nothing to do; prints its seconds, its seconds of processor time, its peak memory
    in MB, and the clips that were up to date. Run in a process of its own by `growth`."""
    started_s = time.perf_counter()
    options = BuildOptions(f"{folder}/corpus", f"{folder}/out", split="all-seen")
    report = run(options)
    wall_s = time.perf_counter() - started_s
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(wall_s, used.ru_utime + used.ru_stime, peak_mb(), report.reused)


def _timed_run(options: BuildOptions) -> float:
    started_s = time.perf_counter()
    run(options)
    return time.perf_counter() - started_s
