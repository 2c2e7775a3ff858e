"""What an export refuses, in one line, and what a killed one leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builds import gridprep
from gridprep_handmade_build import Said, write_build


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_build(tmp_path_factory.mktemp("handmade") / "features")


def refused(*arguments: str | Path) -> str:
    """The one line that an export ends with."""
    code, said, errors = gridprep("export", *arguments)
    assert code == 2, (code, said, errors)
    (line,) = [line for line in errors.splitlines() if not line.startswith("export: ")]
    return line.removeprefix("gridprep: ")


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_unknown_layout_lists_the_choices(build: Path, tmp_path: Path) -> None:
    line = refused(build, "--layout", "kaldy", "--out", tmp_path / "out")
    assert line.startswith("there is no layout 'kaldy'; use one of kaldi, textgrid, lhotse")
    assert not (tmp_path / "out").exists()


def test_options_are_checked_before_anything_is_written(build: Path, tmp_path: Path) -> None:
    def line(layout: str, option: str) -> str:
        return refused(build, "--layout", layout, "--out", tmp_path / "out", "--option", option)

    assert line("kaldi", "x=1") == "layout kaldi has no option 'x'; it has none"
    assert line("webdataset", "per=1").endswith("it has clips_per_shard")
    assert "whole number" in line("webdataset", "clips_per_shard=0")
    assert "write --option NAME=VALUE" in line("webdataset", "clips_per_shard")
    assert "unigram5000.model does not exist" in line("auto-avsr", f"spm={tmp_path}")
    assert sorted(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layout", ["kaldi", "lhotse"])
def test_a_place_that_no_list_can_name_is_refused(build: Path, tmp_path: Path, layout: str) -> None:
    out = tmp_path / "out\udcff"
    assert "is not UTF-8, and lists name" in refused(build, "--layout", layout, "--out", out)
    assert not out.exists()
    arguments = ("export", build, "--layout", layout, "--out", out, "--seen-as", "/mnt/grid")
    assert gridprep(*arguments)[0] == 0


def test_a_folder_with_another_export_is_refused(build: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert gridprep("export", build, "--layout", "textgrid", "--out", out)[0] == 0
    before = files(out)
    line = refused(build, "--layout", "kaldi", "--out", out)
    assert line == (
        f"{out} holds another export (textgrid; it differs in layout); choose an empty --out"
    )
    other = write_build(tmp_path / "other", (Said("s1", "a", "train"),))
    line = refused(other, "--layout", "textgrid", "--out", out)
    assert "another build, or another state of it" in line
    assert files(out) == before


def test_the_same_export_again_does_nothing(build: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("export", build, "--layout", "textgrid", "--out", out)
    assert gridprep(*arguments)[0] == 0
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    code, said, _ = gridprep(*arguments)
    assert code == 0
    assert "is there already" in said
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times


def test_other_peoples_folders_are_refused(build: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("…")
    line = refused(build, "--layout", "kaldi", "--out", out)
    assert line.startswith(f"{out} is not empty (thesis.tex) and was not made as an export")
    assert files(out) == {"thesis.tex": "…".encode()}
    (out / "thesis.tex").unlink()
    (out / "Thumbs.db").touch()
    assert gridprep("export", build, "--layout", "kaldi", "--out", out)[0] == 0
    assert (out / "export.json").is_file()


def test_the_build_itself_is_refused(build: Path) -> None:
    before = files(build)
    line = refused(build, "--layout", "kaldi", "--out", build)
    assert "itself" in line or "is the build" in line
    assert files(build) == before


def test_missing_features_are_named_before_anything_is_written(tmp_path: Path) -> None:
    build = write_build(tmp_path / "features")
    (build / "audio" / "s2" / "lgal8n.wav").unlink()
    (build / "audio" / "s2" / "pwij1p.wav").unlink()
    line = refused(build, "--layout", "kaldi", "--out", tmp_path / "out")
    assert line == (
        f"{build}/audio/s2/lgal8n.wav does not exist (and 1 more); run `gridprep build` again"
    )
    assert not (tmp_path / "out").exists()


def test_damaged_features_leave_nothing(tmp_path: Path) -> None:
    build = write_build(tmp_path / "features", (Said("s1", "a", "train"), Said("s1", "b", "train")))
    (build / "lips" / "s1" / "b.avi").write_bytes(b"no video")
    line = refused(build, "--layout", "av-hubert", "--out", tmp_path / "out")
    assert f"{build}/lips/s1/b.avi" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features"]


def test_names_that_a_layout_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    clips = (Said("s1", "a.b", "train"), Said("s1", "a_b", "train"))
    build = write_build(tmp_path / "features", clips)
    line = refused(build, "--layout", "webdataset", "--out", tmp_path / "out")
    assert line == "s1/a.b and s1/a_b would both be s1-a_b; rename one of the clips"


def test_an_empty_subset_and_no_build_are_refused(tmp_path: Path) -> None:
    build = write_build(tmp_path / "features", (Said("s1", "a", "train"),))
    line = refused(build, "--layout", "kaldi", "--out", tmp_path / "o", "--subset", "test")
    assert f"{build}/manifest.jsonl has no clip in test" in line
    assert "no subset 'dev'" in refused(
        build, "--layout", "kaldi", "--out", tmp_path / "o", "--subset", "dev"
    )
    (tmp_path / "empty").mkdir()
    line = refused(tmp_path / "empty", "--layout", "kaldi", "--out", tmp_path / "o")
    assert "run `gridprep build` first" in line


SLOW = """
import time, gridprep.exporting.textgrid as layout
from manifests.console import run
from gridprep.cli import cli
whole = layout.text_grid
def slow(row):
    time.sleep(0.3)
    return whole(row)
layout.text_grid = slow
run(cli, "gridprep")
"""


def test_a_killed_export_is_begun_again(build: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["export", str(build), "--layout", "textgrid", "--out", str(out), "--jobs", "1"]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stderr=subprocess.DEVNULL)
    unfinished = tmp_path / ".tmp-export-out"
    while len([*unfinished.rglob("*.TextGrid")]) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    second = gridprep(*arguments)
    assert second[0] == 4  # Locked
    assert "is being written by process" in second[2]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    (unfinished / "stale.txt").write_text("left by the killed run")
    assert gridprep(*arguments)[0] == 0
    assert not unfinished.exists()
    whole = tmp_path / "whole"
    assert gridprep(*arguments[:-3], str(whole))[0] == 0
    assert files(out) == files(whole)
    assert json.loads((out / "export.json").read_text())["clips"] == 6


def test_a_build_that_changes_meanwhile_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gridprep.exporting import textgrid

    build = write_build(tmp_path / "features", (Said("s1", "a", "train"),))
    whole = textgrid.text_grid

    def rebuilt(row: object) -> str:
        with open(build / "manifest.jsonl", "a") as file:
            file.write("\n")
        return whole(row)  # type: ignore[arg-type]

    monkeypatch.setattr(textgrid, "text_grid", rebuilt)
    line = refused(build, "--layout", "textgrid", "--out", tmp_path / "out")
    assert line == f"{build}/manifest.jsonl changed meanwhile; run the export again"
    assert not (tmp_path / "out").exists()
    shutil.rmtree(build)
