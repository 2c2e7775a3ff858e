"""Exports to object stores through fsspec, on its store in memory: the same files, nothing half done."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builds import gridprep
from gridprep_handmade_build import write_build

from gridprep.exporting.sinks import UNFINISHED

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_build(tmp_path_factory.mktemp("handmade") / "features", face_every=1)


@pytest.fixture
def memory() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def objects(memory: Any, base: str) -> dict[str, bytes]:
    return {path.removeprefix(f"/{base}/"): memory.cat_file(path) for path in memory.find(base)}


def export(build: Path, layout: str, out: str | Path, *more: str) -> tuple[int, str, str]:
    return gridprep("export", build, "--layout", layout, "--out", out, "--name", "x", *more)


@pytest.mark.parametrize(
    "layout", ["kaldi", "textgrid", "webdataset", "av-hubert", "lip2wav", "hf"]
)
def test_objects_are_the_files_of_a_folder(
    build: Path, memory: Any, tmp_path: Path, layout: str
) -> None:
    if layout == "hf":
        pytest.importorskip("pyarrow")
    seen = ("--seen-as", "/data/x")
    assert export(build, layout, "memory://bucket/x", *seen)[0] == 0
    assert export(build, layout, tmp_path / "x", *seen)[0] == 0
    folder = {
        path.relative_to(tmp_path / "x").as_posix(): path.read_bytes()
        for path in (tmp_path / "x").rglob("*")
        if path.is_file()
    }
    assert objects(memory, "bucket/x") == folder


def test_lists_name_urls(build: Path, memory: Any) -> None:
    assert export(build, "kaldi", "memory://bucket/x")[0] == 0
    scp = memory.cat_file("/bucket/x/train/wav.scp").decode()
    name, path = scp.splitlines()[1].split(" ", 1)
    assert (name, path) == ("s10-bbaf2n", "memory://bucket/x/wav/s10/bbaf2n.wav")
    with fsspec.open(path) as file:
        assert file.read(4) == b"RIFF"


def test_shards_stream_from_the_store(build: Path, memory: Any) -> None:
    assert export(build, "webdataset", "memory://bucket/x", "--option", "clips_per_shard=2")[0] == 0
    index = json.loads(memory.cat_file("/bucket/x/train.json"))
    for shard in index["shardlist"]:
        data = memory.cat_file(f"/bucket/x/{shard['url']}")
        assert len(data) == shard["filesize"]
        with tarfile.open(fileobj=io.BytesIO(data)) as members:
            keys = {name.split(".")[0] for name in members.getnames()}
        assert len(keys) == shard["nsamples"]


def test_what_an_ended_export_left_is_begun_again(build: Path, memory: Any) -> None:
    memory.pipe_file(f"/bucket/x/{UNFINISHED}", b"")
    memory.pipe_file("/bucket/x/wav/half.wav", b"RI")
    assert export(build, "textgrid", "memory://bucket/x")[0] == 0
    names = set(objects(memory, "bucket/x"))
    assert "wav/half.wav" not in names
    assert UNFINISHED not in names
    assert "export.json" in names
    code, said, _ = export(build, "textgrid", "memory://bucket/x")
    assert code == 0
    assert "is there already" in said


def test_other_objects_and_other_exports_stay(build: Path, memory: Any) -> None:
    memory.pipe_file("/bucket/x/thesis.tex", b"mine")
    code, _, errors = export(build, "kaldi", "memory://bucket/x")
    assert code == 2
    assert "memory://bucket/x is not empty (/bucket/x/thesis.tex)" in errors
    assert objects(memory, "bucket/x") == {"thesis.tex": b"mine"}
    assert export(build, "kaldi", "memory://bucket/y")[0] == 0
    before = objects(memory, "bucket/y")
    code, _, errors = export(build, "textgrid", "memory://bucket/y")
    assert code == 2
    assert "holds another export (kaldi; it differs in layout)" in errors
    assert objects(memory, "bucket/y") == before


def test_a_damaged_feature_leaves_no_record(memory: Any, tmp_path: Path) -> None:
    build = write_build(tmp_path / "features")
    (build / "lips" / "s2" / "lgal8n.avi").write_bytes(b"no video")
    assert export(build, "av-hubert", "memory://bucket/x")[0] == 2
    assert "export.json" not in objects(memory, "bucket/x")
    assert UNFINISHED in objects(memory, "bucket/x")


def test_file_urls_are_folders(build: Path, tmp_path: Path) -> None:
    assert export(build, "kaldi", f"file://{tmp_path}/x")[0] == 0
    assert (tmp_path / "x" / "export.json").is_file()
    scp = (tmp_path / "x" / "val" / "wav.scp").read_text(encoding="utf-8")
    assert f" {tmp_path}/x/wav/" in scp


def test_an_unknown_protocol_is_one_line(build: Path) -> None:
    code, _, errors = export(build, "kaldi", "nowhere://bucket/x")
    assert code == 2
    assert len(errors.splitlines()) == 1
    assert "nowhere" in errors
