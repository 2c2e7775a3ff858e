"""Builds that are killed, interrupted, raced or robbed of workers: the next run goes on, and ends with
the very bytes of a build that nobody disturbed."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builds import (
    STUB,
    add_clip,
    die_on,
    digests,
    gridprep,
    start_slow_build,
    stored_states,
    temporaries,
    times_ns,
    wait_for_states,
)

from gridprep.pipeline import run as build
from gridprep.pipeline.recipe import Recipe
from gridprep.pipeline.run import run
from gridprep.pipeline.selection import BuildOptions
from manifests.corpus_lists import stems_of
from manifests.io import read_jsonl, read_manifest, validate
from manifests.records import ClipFailure
from manifests.specs import LandmarkSpec

STEMS = stems_of("s1")[:8]


@pytest.fixture(scope="module")
def corpus(synth_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips of s1 with real faces (four, under two names each), at a path with everything
    that paths can have."""
    root = tmp_path_factory.mktemp("resume") / "GRID of Zoë's 日本 corpus"
    videos = sorted(synth_corpus.glob("s*/*.mpg"))
    for i, stem in enumerate(STEMS):
        add_clip(root, "s1", stem, videos[i % len(videos)])
    return root


def contents(out: Path) -> dict[str, str]:
    """Every byte of a build but the record of how long it took."""
    names = digests(out, "lips", "face", "audio", "mel", "prosody", "landmarks")
    texts = [*out.glob("*.jsonl"), *out.glob("*.csv")]
    return names | {path.name: path.read_text(encoding="utf-8") for path in texts}


@pytest.fixture(scope="module")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a build with one worker and the real landmark backend makes of the corpus."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    code, printed, _ = gridprep("build", "--corpus", corpus, "--out", out, "--jobs", "1")
    assert (code, printed.split("\n")[0][:33]) == (0, "8 rows + 0 failures = 8 clips (8 ")
    _, rows = read_manifest(out)
    validate(rows, out)
    return contents(out)


def start_build(corpus: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """A build with the real landmark backend, at the head of its own process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "gridprep.cli", "build", "--corpus", str(corpus), "--out", str(out),
         "--jobs", "2", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip


def test_kill_minus_nine_then_resume_gives_the_same_bytes(
    corpus: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "oüt put"
    kills = 0
    for states in (1, 4):
        process = start_build(corpus, out)
        wait_for_states(out, states, process)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate(timeout=60)
    assert kills == 2
    assert not (out / "manifest.jsonl").exists()
    done = stored_states(out)
    before = times_ns(out)
    code, printed, _ = gridprep("build", "--corpus", corpus, "--out", out, "--jobs", "2")
    assert code == 0
    assert f"8 rows + 0 failures = 8 clips ({8 - done} worked on, {done} unchanged" in printed
    assert contents(out) == undisturbed
    assert not temporaries(out)
    finished = [name for name, time_ns in before.items() if times_ns(out)[name] == time_ns]
    assert len(finished) >= 6 * done


def test_killing_the_main_process_alone_is_no_different(
    corpus: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    """Its workers live on for a moment, while the next build begins."""
    out = tmp_path / "out"
    process = start_build(corpus, out)
    wait_for_states(out, 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    code, _, _ = gridprep("build", "--corpus", corpus, "--out", out, "--jobs", "1")
    assert code == 0
    assert contents(out) == undisturbed
    assert not temporaries(out)


def test_dask_makes_the_same_bytes_and_survives_the_death_of_a_worker(
    corpus: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start_build(corpus, out, "--backend", "dask")
    wait_for_states(out, 1, process)
    workers = [pid for pid in descendants(process.pid) if "spawn_main" in command(pid)]
    assert workers
    os.kill(max(workers), signal.SIGKILL)
    printed, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "8 rows + 0 failures = 8 clips" in printed
    assert "Traceback" not in error
    assert contents(out) == undisturbed


def descendants(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def command(pid: int) -> str:
    import psutil

    return " ".join(psutil.Process(pid).cmdline())


def stub_options(corpus: Path, out: Path, **more: object) -> BuildOptions:
    recipe = Recipe(landmarks=LandmarkSpec(backend=STUB), content="off")
    return BuildOptions(str(corpus), str(out), recipe, split="large-unseen", jobs=2, **more)  # type: ignore[arg-type]


@pytest.mark.usefixtures("stub")
def test_a_worker_that_dies_once_loses_nothing(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "died"
    kill = functools.partial(die_on, STEMS[3], str(marker))
    monkeypatch.setattr(build, "process_clip", kill)
    report = run(stub_options(corpus, tmp_path / "out"))
    assert marker.exists()
    assert (report.rows, report.failures, report.processed) == (8, (), 8)
    validate(read_manifest(tmp_path / "out")[1], tmp_path / "out")


@pytest.mark.usefixtures("stub")
@pytest.mark.parametrize("backend", ["local", "dask"])
def test_a_clip_that_always_kills_its_worker_is_the_only_failure(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setattr(build, "process_clip", functools.partial(die_on, STEMS[3], ""))
    out = tmp_path / "out"
    report = run(stub_options(corpus, out, backend=backend))
    assert (report.rows, report.clips) == (7, 8)
    _, (failure,) = read_jsonl(out / "failures.jsonl", "failures", ClipFailure)
    assert (failure.clip_id, failure.reason) == (f"s1/{STEMS[3]}", "worker_died")
    assert not temporaries(out)
    monkeypatch.undo()
    monkeypatch.setattr(build, "process_clip", functools.partial(die_on, "none", ""))
    report = run(stub_options(corpus, out))
    assert (report.rows, report.processed) == (8, 1)


def the_line(error: str) -> str:
    """The one line for the user; progress may stand before it."""
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line and not line.startswith("build: ")]
    assert len(lines) == 1, error
    return lines[0]


def test_two_builds_into_one_folder_and_an_interrupt(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--corpus", corpus, "--out", out, "--jobs", "2")
    first = start_slow_build(*arguments)
    wait_for_states(out, 1, first)
    code, printed, error = gridprep("build", *arguments)
    assert (code, printed) == (4, "")
    assert the_line(error).startswith(
        f"gridprep: {out} is being written by process {first.pid} on "
    )
    os.killpg(first.pid, signal.SIGINT)  # what Ctrl-C does
    _, error = first.communicate(timeout=60)
    assert first.returncode == 130
    assert the_line(error) == (
        "gridprep: interrupted; what was finished is kept, run it again to go on"
    )
    done = stored_states(out)
    assert 1 <= done < 8
    second = start_slow_build(*arguments)
    printed, error = second.communicate(timeout=120)
    assert second.returncode == 0, error
    assert f"8 rows + 0 failures = 8 clips ({8 - done} worked on, {done} unchanged" in printed
    assert not temporaries(out)


def test_what_is_changed_is_redone_for_all_and_the_rest_is_left(
    corpus: Path, tmp_path: Path
) -> None:
    """Mels, then crops, then one clip's source: times of all other files stay."""
    mine, out = tmp_path / "corpus", tmp_path / "out"
    shutil.copytree(corpus, mine)
    arguments = ("build", "--corpus", mine, "--out", out, "--limit", "3", "--jobs", "1")
    assert gridprep(*arguments)[0] == 0
    start = times_ns(out)

    def changed(*more: str) -> set[str]:
        before = times_ns(out)
        code, printed, _ = gridprep(*arguments, *more)
        assert code == 0, printed
        assert "3 rows + 0 failures = 3 clips" in printed
        after = times_ns(out)
        assert set(after) == set(start)
        return {name.split("/")[0] for name in after if after[name] != before[name]}

    assert changed() == set()
    assert changed("--mel", "vca-gan") == {"mel", "prosody"}
    assert read_manifest(out)[1][0].mel_frames == 301
    assert changed("--mel", "vca-gan", "--face-every", "25") == {"lips", "face"}
    assert changed("--mel", "vca-gan", "--face-every", "25", "--every", "3") == {
        "landmarks",
        "lips",
        "face",
    }
    video = mine / "s1" / f"{STEMS[1]}.mpg"
    video.write_bytes(video.read_bytes() + b"\0")
    before = times_ns(out)
    time.sleep(0.01)
    code, printed, _ = gridprep(
        *arguments, "--mel", "vca-gan", "--face-every", "25", "--every", "3"
    )
    assert code == 0
    assert "(1 worked on, 2 unchanged" in printed
    after = times_ns(out)
    stems = {name.split("/")[2].split(".")[0] for name in after if after[name] != before[name]}
    assert stems == {STEMS[1]}
    assert sum(after[name] != before[name] for name in after) == 6
