"""Builds for tests: corpora out of clips, a landmark backend that needs no face, the program in-process.

Workers of a build import this module too: `process_with_stub` stands in for `process_clip` there.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock
from urllib.parse import quote

import numpy as np
from clips import write_alignment

from gridprep.cli import cli
from gridprep.features.crops import mean_face
from gridprep.landmarks import registry
from gridprep.landmarks.base import Frames, empty_points, looked_at
from gridprep.pipeline.recipe import ClipTask
from gridprep.pipeline.stages import ClipResult, process_clip
from gridprep.pipeline.state import STATE_FILE, STATE_FOLDER, ClipState, StateStore
from manifests.console import run
from manifests.records import Landmarks

STUB = "stub"
FEATURES = ("lips", "face", "audio", "mel", "prosody", "landmarks")


class StubBackend:
    """A face that nods in the middle of any picture, unless the picture is red."""

    name = STUB
    version = "1"

    def __init__(self, device: str = "cpu") -> None:
        del device

    def detect(self, frames: Frames, every: int = 1) -> Landmarks:
        n, height, width = frames.shape[:3]
        points = empty_points(n)
        found = np.zeros(n, np.bool_)
        if frames[0, ..., 0].mean() < 230:
            looked = looked_at(n, every)
            nod = np.stack([np.zeros(n), 3 * np.sin(np.arange(n) / 9)], axis=1)
            face = mean_face().points_px * 0.6
            middle = np.array([width, height]) / 2 - face.mean(0)
            points[looked] = (face[None] + middle + nod[:, None])[looked]
            found[looked] = True
        return Landmarks(points, found, found.astype(np.int16), f"{STUB} 1")

    def close(self) -> None:
        """Nothing to free."""


def register_stub() -> None:
    registry.BACKENDS[STUB] = registry.Entry("builds:StubBackend", "numpy", "")


def process_with_stub(task: ClipTask) -> ClipResult:
    """`process_clip` in a worker that knows the stub."""
    register_stub()
    return process_clip(task)


def die_on(stem: str, marker: str, task: ClipTask) -> ClipResult:
    """`process_with_stub`, but the stem's clip kills the worker: once, or always without a marker."""
    if task.clip.stem == stem and not (marker and os.path.exists(marker)):
        if marker:
            Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return process_with_stub(task)


def slow_with_stub(task: ClipTask) -> ClipResult:
    """`process_with_stub` that takes its time, so that a test can interfere."""
    time.sleep(0.2)
    return process_with_stub(task)


def start_slow_build(*arguments: str | Path) -> subprocess.Popen[str]:
    """A slow build with the stub as a process of its own, at the head of its own process group."""
    code = (
        "import builds, gridprep.pipeline.run; builds.register_stub(); "
        "gridprep.pipeline.run.process_clip = builds.slow_with_stub; builds.main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, "build", "--landmarks", STUB, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def main() -> None:
    run(cli, "gridprep")


def count_states(build: Path) -> int:
    """How many clips a build remembers, also while it runs: its file is only looked at."""
    path = build / STATE_FOLDER / STATE_FILE
    if not path.exists():
        return 0
    with contextlib.closing(
        sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
    ) as database:
        try:
            ((count,),) = database.execute("SELECT count(*) FROM clips WHERE state <> ''")
        except sqlite3.Error:  # caught in the middle of a write
            return 0
    return int(count)


def stored_states(build: Path) -> int:
    """How many clips a build that was ended remembers: what it was writing then does not count."""
    with StateStore(build) as store:
        return store.count()


def load_state(build: str | Path, clip_id: str) -> ClipState:
    """What a build that does not run remembers of a clip."""
    with StateStore(build) as store:
        return store.get(clip_id)


def save_state(build: str | Path, clip_id: str, state: ClipState) -> None:
    with StateStore(build) as store:
        store.put(clip_id, state)


def run_task(task: ClipTask) -> ClipResult:
    """`process_clip` as a build runs it: with what is remembered of the clip, and remembering."""
    with StateStore(task.build) as store:
        text, unsure = store.text(task.clip.clip_id)
        store.mark_unsure([task.clip.clip_id])
        result = process_clip(replace(task, remembered=text, unsure=unsure or task.unsure))
        store.put(result.clip_id, result.state)
    return result


def wait_for_states(build: Path, n: int, process: subprocess.Popen[str]) -> int:
    """Waits until a running build has saved the states of `n` clips, or has ended."""
    while (found := count_states(build)) < n:
        if process.poll() is not None:
            break
        time.sleep(0.02)
    return found


def add_clip(corpus: Path, speaker: str, stem: str, video: Path) -> Path:
    """Copies a video into a corpus under a stem, with an alignment that spells it."""
    target = corpus / speaker / f"{stem}{video.suffix}"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(video, target)
    write_alignment(corpus / "alignments" / speaker / f"{stem}.align", stem)
    return target


def digests(build: Path, *folders: str) -> dict[str, str]:
    """Relative path → hash of every feature file of a build; all kinds where none is named."""
    return {
        path.relative_to(build).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders or FEATURES
        for path in sorted((build / folder).rglob("*"))
        if path.is_file()
    }


def times_ns(build: Path, *folders: str) -> dict[str, int]:
    """Relative path → time of last change of every feature file."""
    return {name: os.stat(build / name).st_mtime_ns for name in digests(build, *folders)}


def temporaries(build: Path) -> list[Path]:
    """What a killed run may leave behind until the next one."""
    return list(build.rglob(".tmp-*"))


def gridprep(*arguments: str | Path) -> tuple[int, str, str]:
    """Runs the program in this process: (exit code, standard output, standard error)."""
    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with (
        mock.patch.object(sys, "argv", ["gridprep", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            run(cli, "gridprep")
        except SystemExit as stop:
            code = stop.code
    assert isinstance(code, int)
    return code, out.getvalue(), err.getvalue()
