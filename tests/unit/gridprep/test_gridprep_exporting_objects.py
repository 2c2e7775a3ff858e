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


# --- S3, by a server on this machine ---------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """The file system of a local S3. moto and s3fs drag in boto3, botocore, aiobotocore and Flask, so
    they are no part of `dev`: install them to run these tests (`pip install 'moto[server]' s3fs`)."""
    server_of = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    s3fs = pytest.importorskip("s3fs")
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "local")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        files = s3fs.S3FileSystem()
        files.mkdir("bucket")
        yield files
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_an_export_streams_to_s3(build: Path, s3: Any, tmp_path: Path) -> None:
    """Shards and single files, in the order of an object store: the record last."""
    for layout in ("webdataset", "kaldi"):
        place = f"s3://bucket/{layout}"
        assert export(build, layout, place, "--seen-as", "/data/x")[0] == 0
        assert export(build, layout, tmp_path / layout, "--seen-as", "/data/x")[0] == 0
        s3.invalidate_cache()
        base = f"bucket/{layout}/"
        found = {path.removeprefix(base): s3.cat_file(path) for path in s3.find(base)}
        assert found == {
            path.relative_to(tmp_path / layout).as_posix(): path.read_bytes()
            for path in (tmp_path / layout).rglob("*")
            if path.is_file()
        }
        code, said, _ = export(build, layout, place, "--seen-as", "/data/x")
        assert code == 0
        assert "is there already" in said


def test_an_ended_export_to_s3_is_begun_again_and_others_stay(build: Path, s3: Any) -> None:
    s3.pipe_file(f"bucket/half/{UNFINISHED}", b"-")
    s3.pipe_file("bucket/half/wav/half.wav", b"RI")
    assert export(build, "textgrid", "s3://bucket/half")[0] == 0
    s3.invalidate_cache()
    names = {path.removeprefix("bucket/half/") for path in s3.find("bucket/half")}
    assert "export.json" in names
    assert not {"wav/half.wav", UNFINISHED} & names
    s3.pipe_file("bucket/mine/thesis.tex", b"mine")
    code, _, errors = export(build, "textgrid", "s3://bucket/mine")
    assert code == 2
    assert "s3://bucket/mine is not empty (bucket/mine/thesis.tex)" in errors


def test_a_bucket_that_is_not_there_or_not_ours_is_one_line(
    build: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, errors = export(build, "textgrid", "s3://nobodys/x")
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "--out s3://nobodys/x cannot be written" in errors
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    type(s3).clear_instance_cache()
    code, _, errors = export(build, "textgrid", "s3://bucket/z")
    assert (code, len(errors.splitlines())) == (2, 1), errors
    assert "s3://bucket/z" in errors
