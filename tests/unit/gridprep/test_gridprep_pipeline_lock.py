"""One writer a build folder, however the last one ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gridprep.pipeline.lock import RUNNING, build_lock, sweep
from manifests.errors import Locked

HOLD = """
import sys
from gridprep.pipeline.lock import build_lock
with build_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=30)


def test_a_second_writer_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    try:
        with pytest.raises(Locked) as caught, build_lock(tmp_path):
            pass
    finally:
        finish(holder)
    message = str(caught.value)
    assert f"{tmp_path} is being written by process {holder.pid} on " in message
    assert "\n" not in message
    assert caught.value.exit_code == 4
    with build_lock(tmp_path):
        assert (tmp_path / RUNNING).exists()
    assert not (tmp_path / RUNNING).exists()


def test_kill_minus_nine_leaves_no_lock_and_its_litter_is_swept(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    os.kill(holder.pid, signal.SIGKILL)
    finish(holder)
    (tmp_path / "mel" / "s1").mkdir(parents=True)
    (tmp_path / "mel" / "s1" / ".tmp-x.npy").touch()
    (tmp_path / "mel" / "s1" / "bbaf2n.npy").touch()
    with build_lock(tmp_path):
        assert [p.name for p in (tmp_path / "mel" / "s1").iterdir()] == ["bbaf2n.npy"]
        # A worker that outlived the killed build for a moment may still have been writing.
        (tmp_path / "mel" / "s1" / ".tmp-y.npy").touch()
    assert [p.name for p in (tmp_path / "mel" / "s1").iterdir()] == ["bbaf2n.npy"]


def test_an_error_inside_frees_the_lock_and_is_remembered(tmp_path: Path) -> None:
    def fail() -> None:
        (tmp_path / "new" / "folder" / ".tmp-a").touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), build_lock(tmp_path / "new" / "folder"):
        fail()
    with build_lock(tmp_path / "new" / "folder"):
        assert not (tmp_path / "new" / "folder" / ".tmp-a").exists()


def test_nothing_is_swept_after_a_run_that_ended_well(tmp_path: Path) -> None:
    with build_lock(tmp_path):
        pass
    (tmp_path / ".tmp-somebody-elses").touch()
    with build_lock(tmp_path):
        pass
    assert (tmp_path / ".tmp-somebody-elses").exists()
    assert sweep(tmp_path) == 1


def test_a_folder_that_cannot_be_made_is_the_file_systems_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError), build_lock(tmp_path / "file"):
        pass
