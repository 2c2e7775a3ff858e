"""`gridprep download` from end to end against a local server: fetch, resume, refuse, report."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from gridprep_download_server import Fault, RecordServer, noise, record_server, zip_of

from gridprep.cli import cli
from manifests.errors import BadInput, Locked, ToolkitError


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[RecordServer]:
    with record_server() as running:
        for number in (1, 2, 3):
            clips = {f"s{number}/bbaf{i}n.mpg": noise(20_000, 10 * number + i) for i in (1, 2)}
            junk = {"__MACOSX/._x": b"x", f"s{number}/Thumbs.db": b"x"}
            running.files[f"s{number}.zip"] = zip_of(clips | junk)
        running.files["alignments.zip"] = zip_of(
            {f"alignments/s{n}/bbaf1n.align": b"0 74500 sil\n" for n in (1, 2, 3)}
        )
        running.files["audio_25k.zip"] = zip_of({"audio_25k/s1/bbaf1n.wav": b"x"})
        yield running


def arguments(server: RecordServer, out: Path, *more: str) -> list[str]:
    base = ["download", "--out", str(out), "--base-url", server.url, "--retries", "0"]
    return [*base, "--speakers", "s1-s3", *more]


def invoke(server: RecordServer, out: Path, *more: str) -> Result:
    return CliRunner().invoke(cli, arguments(server, out, *more))


def tree(out: Path) -> list[str]:
    """Relative paths of what a corpus reader would see."""
    files = (p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    return sorted(f for f in files if not any(part.startswith(".") for part in f.split("/")))


WHOLE = sorted(
    [f"s{n}/bbaf{i}n.mpg" for n in (1, 2, 3) for i in (1, 2)]
    + [f"alignments/s{n}/bbaf1n.align" for n in (1, 2, 3)]
)


def test_fetches_speakers_and_alignments_and_nothing_else(server, tmp_path) -> None:
    result = invoke(server, tmp_path)
    assert result.exit_code == 0, result.output
    assert tree(tmp_path) == WHOLE
    assert "license: cc-by-4.0" in result.output
    assert "MB/s" in result.output  # progress in a log is in MB
    assert "4 archives: 4 fetched, 0 there already, 0 failed" in result.output
    assert ["s1", "2", "1000"] in [line.split() for line in result.output.splitlines()]
    assert server.requests("audio_25k.zip") == []
    assert list((tmp_path / ".download").glob("*.zip*")) == []


def test_a_second_run_fetches_nothing(server, tmp_path) -> None:
    invoke(server, tmp_path)
    before = len(server.seen)
    result = invoke(server, tmp_path)
    assert result.exit_code == 0
    assert "4 archives: 0 fetched, 4 there already, 0 failed" in result.output
    assert len(server.seen) == before + 1  # the record alone


def test_one_speaker_without_alignments(server, tmp_path) -> None:
    result = invoke(server, tmp_path, "--speakers", "s2", "--no-alignments")
    assert result.exit_code == 0
    assert tree(tmp_path) == ["s2/bbaf1n.mpg", "s2/bbaf2n.mpg"]


def test_archives_are_kept_on_demand(server, tmp_path) -> None:
    result = invoke(server, tmp_path, "--speakers", "s2", "--no-alignments", "--keep-zips")
    assert result.exit_code == 0
    assert (tmp_path / ".download" / "s2.zip").read_bytes() == server.files["s2.zip"]


def test_a_dry_run_tells_and_writes_nothing(server, tmp_path) -> None:
    out = tmp_path / "not" / "there"
    result = invoke(server, out, "--dry-run")
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    assert ["s1", "0.0", "missing"] in lines
    assert "GB to fetch" in result.output
    assert "license: cc-by-4.0" in result.output
    assert not (tmp_path / "not").exists()


def test_what_broke_off_is_continued_by_the_next_run(server, tmp_path) -> None:
    server.fail("s2.zip", Fault("drop", 15_000))
    result = invoke(server, tmp_path)
    assert isinstance(result.exception, ToolkitError)
    assert "run the same command again" in str(result.exception)
    assert tree(tmp_path) == ["s1/bbaf1n.mpg", "s1/bbaf2n.mpg"]
    shown = invoke(server, tmp_path, "--dry-run").output
    assert any("% here" in line for line in shown.splitlines() if line.startswith("s2"))
    assert invoke(server, tmp_path).exit_code == 0
    assert tree(tmp_path) == WHOLE
    assert server.requests("s2.zip")[-1].range == "bytes=15000-"
    assert len(server.requests("s1.zip")) == 1


def test_an_archive_that_the_server_lost_does_not_stop_the_others(server, tmp_path) -> None:
    server.fail("s2.zip", Fault("status", 404))
    result = invoke(server, tmp_path)
    assert result.exit_code == 1
    assert "4 archives: 3 fetched, 0 there already, 1 failed" in result.output
    assert "s2.zip/content: HTTP 404" in result.output
    assert not (tmp_path / "s2").exists()
    assert len(tree(tmp_path)) == 7


def test_a_hostile_archive_is_reported_and_the_others_come(server, tmp_path) -> None:
    server.files["s2.zip"] = zip_of({"s2/a.mpg": b"1", "../../evil.mpg": b"2"})
    result = invoke(server, tmp_path / "corpus")
    assert result.exit_code == 1
    assert "s2.zip: entry '../../evil.mpg' leads out of the folder" in result.output
    assert not list(tmp_path.rglob("evil*"))
    assert not (tmp_path / "corpus" / "s2").exists()
    assert (tmp_path / "corpus" / "s3").exists()


def test_an_archive_that_stays_corrupt_is_reported(server, tmp_path) -> None:
    server.fail("s2.zip", Fault("corrupt"), Fault("corrupt"))
    result = invoke(server, tmp_path)
    assert result.exit_code == 1
    assert "s2.zip arrived twice with another checksum" in result.output
    assert not (tmp_path / "s2").exists()


def test_a_speaker_that_the_record_lacks_is_said_before_the_first_byte(server, tmp_path) -> None:
    result = invoke(server, tmp_path, "--speakers", "s1,s9")
    assert isinstance(result.exception, BadInput)
    assert "record 3625687 has no s9.zip; it holds alignments.zip" in str(result.exception)
    assert tree(tmp_path) == []


def test_a_folder_in_the_way_is_not_touched(server, tmp_path) -> None:
    (tmp_path / "s2").mkdir()
    (tmp_path / "s2" / "mine.mpg").write_bytes(b"mine")
    result = invoke(server, tmp_path)
    assert isinstance(result.exception, BadInput)
    assert "is not empty (s2) and was not made as a corpus by" in str(result.exception)
    assert tree(tmp_path) == ["s2/mine.mpg"]


def test_a_new_version_of_the_record_is_noticed(server, tmp_path) -> None:
    invoke(server, tmp_path)
    server.files["s2.zip"] = zip_of({"s2/new.mpg": b"new"})
    result = invoke(server, tmp_path)
    assert "was unpacked from another version of s2.zip" in str(result.exception)


def test_too_little_space_is_one_line_before_the_first_byte(server, tmp_path, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, 10_000))
    result = invoke(server, tmp_path)
    assert isinstance(result.exception, BadInput)
    assert "and has 0.0 GB free; free space, choose another --out" in str(result.exception)
    assert server.requests("s1.zip") == []
    assert isinstance(invoke(server, tmp_path, "--dry-run").exception, BadInput)


def test_two_downloads_into_one_folder_do_not_mix(server, tmp_path) -> None:
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / ".download").mkdir()
    with open(tmp_path / ".download" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = invoke(server, tmp_path)
    assert isinstance(result.exception, Locked)
    assert invoke(server, tmp_path).exit_code == 0


def test_remains_of_a_killed_run_are_swept(server, tmp_path) -> None:
    remains = tmp_path / ".download" / "unpack-x"
    remains.mkdir(parents=True)
    (remains / "half.mpg").write_bytes(b"x")
    assert invoke(server, tmp_path).exit_code == 0
    assert not remains.exists()


def test_odd_names_of_folders(server, tmp_path) -> None:
    out = tmp_path / "Gesprochene Sätze 话"
    assert invoke(server, out).exit_code == 0
    assert tree(out) == WHOLE


def start(server: RecordServer, out: Path) -> subprocess.Popen[str]:
    """The program itself, stopped in the middle of s2.zip, which trickles in."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gridprep.cli", *arguments(server, out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "no_proxy": "*"},
    )
    part = out / ".download" / "s2.zip.part"
    for _ in range(600):
        if process.poll() is not None or (part.exists() and part.stat().st_size > 4000):
            break
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()
    return process


def test_killed_in_the_middle_it_goes_on_where_it_was(server, tmp_path) -> None:
    server.files["s2.zip"] = zip_of({"s2/bbaf1n.mpg": noise(3_000_000), "s2/bbaf2n.mpg": b"2"})
    server.fail("s2.zip", Fault("slow"))
    process = start(server, tmp_path)
    process.kill()
    process.communicate(timeout=30)
    have = (tmp_path / ".download" / "s2.zip.part").stat().st_size
    assert 0 < have < 3_000_000
    assert invoke(server, tmp_path).exit_code == 0
    assert tree(tmp_path) == WHOLE
    assert server.requests("s2.zip")[-1].range == f"bytes={have}-"


def test_ctrl_c_keeps_the_part_and_says_so(server, tmp_path) -> None:
    server.files["s2.zip"] = zip_of({"s2/bbaf1n.mpg": noise(3_000_000)})
    server.fail("s2.zip", Fault("slow"))
    process = start(server, tmp_path)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; what was finished is kept" in said
    assert "Traceback" not in said
    assert (tmp_path / ".download" / "s2.zip.part").stat().st_size > 4000
    assert (tmp_path / "s1" / "bbaf1n.mpg").exists()


def test_errors_of_the_program_are_one_line_and_an_exit_code(server, tmp_path) -> None:
    command = [sys.executable, "-m", "gridprep.cli", *arguments(server, tmp_path, "--record", "9")]
    environment = {**os.environ, "no_proxy": "*"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("gridprep: ")
    assert "/api/records/9: HTTP 404" in done.stderr
    assert len(done.stderr.splitlines()) == 1
