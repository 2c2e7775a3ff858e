"""Builds of shards, and the one build that a merge makes of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from builds import STUB, add_clip, digests, gridprep
from clips import pictures, tiny_clip

from gridprep.pipeline import merge as merging
from gridprep.pipeline import run as build
from gridprep.pipeline.merge import merge
from gridprep.pipeline.state import StateStore
from manifests.corpus_lists import stems_of
from manifests.errors import BadInput
from manifests.execution import Died
from manifests.shards import Shard

LISTS = ("manifest.jsonl", "train.csv", "val.csv", "test.csv", "failures.jsonl")
N = 3


class Serial:
    """Runs clips in this process; a worker dies of one of them."""

    def map(self, function: Any, items: list[Any]) -> Any:
        for item in items:
            if item.clip.stem == stems_of("s3")[0]:
                yield Died(item, "the worker process died on it twice")
            else:
                yield function(item)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, sound_clip: Path) -> Path:
    """Nine clips: six usable ones, one without a face, one without an alignment, one whose worker dies;
    and a file that is no clip."""
    root = tmp_path_factory.mktemp("sharded") / "corpus"
    for speaker, n in (("s1", 3), ("s2", 3), ("s3", 1)):
        for stem in stems_of(speaker)[:n]:
            add_clip(root, speaker, stem, sound_clip)
    frames = pictures()
    frames[..., 0] = 250
    red = tiny_clip(root.parent / "red.mpg", frames)
    add_clip(root, "s4", stems_of("s4")[0], red)
    add_clip(root, "s4", stems_of("s4")[1], sound_clip)
    (root / "alignments" / "s4" / f"{stems_of('s4')[1]}.align").unlink()
    (root / "s2" / "holiday.mpg").write_bytes(b"")
    return root


@pytest.fixture(autouse=True)
def serial(monkeypatch: pytest.MonkeyPatch, stub: str) -> None:
    monkeypatch.setattr(build, "create_executor", lambda *_: Serial())


def built(corpus: Path, out: Path, *more: str) -> Path:
    arguments = ("--corpus", corpus, "--out", out, "--landmarks", STUB, "--content", "off")
    code, _, errors = gridprep("build", *arguments, *more)
    assert code in (0, 6), errors
    return out


@pytest.fixture(scope="module")
def folders(
    corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tuple[Path, ...]]:
    """One build of the whole corpus, and the builds of its shards; made once."""
    import builds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gridprep.pipeline.run.process_clip", builds.process_with_stub)
        patch.setattr(build, "create_executor", lambda *_: Serial())
        builds.register_stub()
        root = tmp_path_factory.mktemp("shards")
        whole = built(corpus, root / "whole")
        parts = tuple(built(corpus, root / str(i), "--shard", f"{i}/{N}") for i in range(1, N + 1))
    return whole, parts


def test_every_clip_is_in_one_shard() -> None:
    names = [f"s{s}/{stem}" for s in (1, 2) for stem in stems_of(f"s{s}")]
    parts = [Shard(i, 7) for i in range(1, 8)]
    held = [[part.holds(name) for part in parts].index(True) for name in names]
    assert all(sum(part.holds(name) for part in parts) == 1 for name in names[:50])
    sizes = [held.count(i) for i in range(7)]
    assert min(sizes) > 0.75 * len(names) / 7


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "a/b", "1/2/3", "-1/2"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="write i/n with i from 1 to n"):
        Shard.parse(text)


def test_the_merge_of_all_shards_is_the_one_build(
    folders: tuple[Path, tuple[Path, ...]], tmp_path: Path
) -> None:
    whole, parts = folders
    counts = [json.loads((part / "provenance.json").read_text())["clips"] for part in parts]
    assert sum(counts) == 10
    assert min(counts) > 0
    code, said, errors = gridprep("merge", tmp_path / "merged", *reversed(parts))
    assert code == 6, errors
    assert "6 rows + 4 failures = 10 clips" in said
    for name in LISTS:
        assert (tmp_path / "merged" / name).read_bytes() == (whole / name).read_bytes(), name
    assert digests(tmp_path / "merged") == digests(whole)
    # A build over it finds nothing to do, but the clip whose worker died.
    report = merge(tmp_path / "merged", parts)
    assert report.rows == 6
    arguments = ("--out", tmp_path / "merged", "--landmarks", STUB, "--content", "off", "--json")
    corpus = json.loads((whole / "provenance.json").read_text())["corpus"]
    code, said, _ = gridprep("build", "--corpus", corpus, *arguments)
    assert (json.loads(said)["processed"], json.loads(said)["unchanged"]) == (1, 8)


def test_merged_files_do_not_need_the_shards(
    folders: tuple[Path, tuple[Path, ...]], tmp_path: Path
) -> None:
    whole, parts = folders
    copies = [Path(shutil.copytree(part, tmp_path / part.name)) for part in parts]
    merge(tmp_path / "merged", copies)
    for copy in copies:
        shutil.rmtree(copy)
    code, said, _ = gridprep("check", tmp_path / "merged")
    assert code == 0, said
    assert digests(tmp_path / "merged") == digests(whole)


def refused(*arguments: Path) -> str:
    code, said, errors = gridprep("merge", *arguments)
    assert code == 2, (code, said, errors)
    (line,) = errors.splitlines()
    return line.removeprefix("gridprep: ")


def test_missing_and_repeated_shards_are_named(
    folders: tuple[Path, tuple[Path, ...]], tmp_path: Path
) -> None:
    whole, parts = folders
    out = tmp_path / "merged"
    line = refused(out, parts[0], parts[2])
    assert line == "shard 2 of 3 is missing; build and give all of them"
    assert refused(out, parts[1]).startswith("shards 1, 3 of 3 are missing")
    again = Path(shutil.copytree(parts[1], tmp_path / "again"))
    line = refused(out, *parts, again)
    assert line == f"{parts[1]} and {again} are both shard 2/3; give each shard once"
    assert f"{whole} was not built with --shard" in refused(out, *parts[:2], whole)
    assert not out.exists()


def changed(part: Path, target: Path, **values: Any) -> Path:
    """A copy of a shard whose provenance says something else."""
    shutil.copytree(part, target)
    file = target / "provenance.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return target


def test_shards_of_other_builds_are_refused(
    folders: tuple[Path, tuple[Path, ...]], corpus: Path, tmp_path: Path
) -> None:
    _, parts = folders
    out = tmp_path / "merged"
    other = built(corpus, tmp_path / "other", "--shard", "3/3", "--face-every", "3")
    line = refused(out, *parts[:2], other)
    assert line.startswith(
        f"{other} was built otherwise than {parts[0]}: recipe (crop); stages (crop)"
    )
    other = changed(parts[2], tmp_path / "split", split="small")
    assert "split 'small' instead of 'large-unseen'" in refused(out, *parts[:2], other)
    other = changed(parts[2], tmp_path / "count", shard="3/4")
    assert "is one of 4 shards" in refused(out, *parts[:2], other)
    stages = json.loads((parts[0] / "provenance.json").read_text())["stages"]
    stages["crop"] = stages["crop"].replace("crop ", "crop 99")
    old = [changed(p, tmp_path / f"old{p.name}", stages=stages) for p in parts]
    assert "with other versions than are installed here (crop)" in refused(out, *old)
    assert not out.exists()


def test_unfinished_shards_and_other_folders_are_refused(
    folders: tuple[Path, tuple[Path, ...]], tmp_path: Path
) -> None:
    whole, parts = folders
    (tmp_path / "none").mkdir()
    assert "is no build" in refused(tmp_path / "m", *parts[:2], tmp_path / "none")
    killed = Path(shutil.copytree(parts[2], tmp_path / "killed"))
    (killed / "manifest.jsonl").unlink()
    assert f"{killed} is not finished" in refused(tmp_path / "m", *parts[:2], killed)
    assert f"{whole} holds a build already" in refused(whole, *parts)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    assert "thesis.tex" in refused(tmp_path / "mine", *parts)


def test_a_killed_merge_is_repeated(
    folders: tuple[Path, tuple[Path, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = folders
    out = tmp_path / "merged"
    link, links = merging._link, 0

    def killed(*arguments: Any) -> None:
        nonlocal links
        links += 1
        if links > 20:
            raise KeyboardInterrupt
        link(*arguments)

    monkeypatch.setattr(merging, "_link", killed)
    with pytest.raises(KeyboardInterrupt):
        merge(out, parts)
    assert not (out / "manifest.jsonl").exists()
    monkeypatch.setattr(merging, "_link", link)
    merge(out, parts)
    assert digests(out) == digests(whole)
    assert (out / "manifest.jsonl").read_bytes() == (whole / "manifest.jsonl").read_bytes()


def test_without_links_files_are_copied(
    folders: tuple[Path, tuple[Path, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = folders

    def no_links(*_: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(merging.os, "link", no_links)
    merge(tmp_path / "merged", parts)
    assert digests(tmp_path / "merged") == digests(whole)
    (file,) = (tmp_path / "merged" / "lips" / "s1").glob(f"{stems_of('s1')[0]}.*")
    assert file.stat().st_nlink == 1


def test_states_are_adopted_in_batches(
    folders: tuple[Path, tuple[Path, ...]], tmp_path: Path
) -> None:
    whole, _ = folders
    with StateStore(whole) as store, StateStore(tmp_path) as copy:
        batches = list(store.batches(4))
        assert [len(batch) for batch in batches] == [4, 4]
        for batch in batches:
            copy.adopt(batch)
        assert list(copy.batches(100)) == [batches[0] + batches[1]]
