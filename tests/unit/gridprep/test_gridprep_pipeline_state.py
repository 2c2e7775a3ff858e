"""What a build remembers of a clip: it comes back as it was, and what is doubtful counts as nothing."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from gridprep.pipeline.state import (
    STATE_VERSION,
    Artifact,
    ClipState,
    FileStamp,
    StageState,
    StateStore,
    chain,
    decode_state,
    encode_state,
    files_present,
    safe_id,
    stamp,
)
from manifests.errors import BadInput
from manifests.records import ClipFailure


def full_state() -> ClipState:
    return ClipState(
        source=FileStamp("/corpus/s1/bbaf2n.mpg", 10, 123456789012345678, 5, 6, "a" * 64),
        alignment=FileStamp("/corpus/s1/bbaf2n.align", 5, 1, 2, 3, "b" * 64),
        stages={
            "decode": StageState(
                "k1", {}, {"flags": ["fps_resampled"], "qc": {"source_fps": 50.0}}
            ),
            "audio": StageState(
                "k2",
                {"audio": Artifact("audio/s1/bbaf2n.wav", 96044, "c" * 64)},
                {"samples": 48000},
            ),
        },
        failure=ClipFailure("s1", "bbaf2n", "align", "no_face", "no face", "x", {"found": 0}),
        failure_key="k3",
    )


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    with StateStore(tmp_path) as store:
        store.put("s1/bbaf2n", full_state())
    with StateStore(tmp_path) as store:
        assert store.get("s1/bbaf2n") == full_state()
        assert store.get("s1/bbaf3s") == ClipState()
        assert store.count() == 1


def test_a_path_that_is_no_unicode_comes_back() -> None:
    path = os.fsdecode(b"/corpus/\xff \xc3\xa9/a.mpg")
    state = ClipState(source=FileStamp(path, 1, 1, 1, 1, "0"))
    assert decode_state(encode_state(state)) == state
    assert safe_id(os.fsdecode(b"s1/\xff")) == "s1/\\udcff"


@pytest.mark.parametrize(
    "change",
    [
        {"source": 5},
        {"source": {"path": "x"}},
        {"stages": {"decode": 1}},
        {"stages": {"decode": {"key": "k", "files": {}}}},
        {"stages": {"decode": {"key": 1, "files": {}, "data": {}}}},
        {"stages": {"audio": {"key": "k", "files": {"audio": ["x", 1]}, "data": {}}}},
        {"stages": {"audio": {"key": "k", "files": {"audio": ["x", "1", "0"]}, "data": {}}}},
        {"failure": {"speaker": "s1"}},
        {"version": STATE_VERSION - 1},
    ],
)
def test_a_damaged_or_older_state_is_no_state(change: dict[str, object]) -> None:
    values = json.loads(encode_state(full_state()))
    assert decode_state(json.dumps(values)) == full_state()
    assert decode_state(json.dumps(values | change)) == ClipState()
    for key in values:
        assert decode_state(json.dumps({k: v for k, v in values.items() if k != key})) == (
            ClipState()
        )


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "5"])
def test_what_is_no_state_is_no_state(text: str) -> None:
    assert decode_state(text) == ClipState()


def test_a_clip_that_may_have_changed_is_unsure_until_it_is_stored_again(tmp_path: Path) -> None:
    with StateStore(tmp_path) as store:
        store.put("s1/bbaf2n", full_state())
        store.mark_unsure(["s1/bbaf2n", "s1/unknown"])
    with StateStore(tmp_path) as store:
        assert store.text("s1/bbaf2n") == (encode_state(full_state()), True)
        assert store.text("s1/unknown") == ("", False)
        store.put("s1/bbaf2n", full_state())
        assert store.text("s1/bbaf2n")[1] is False


def test_listed_clips_are_remembered_with_or_without_a_state(tmp_path: Path) -> None:
    with StateStore(tmp_path) as store:
        store.put("s1/bbaf2n", full_state())
        store.set_listed(["s1/bbaf2n", "s1/holiday"])
    with StateStore(tmp_path) as store:
        assert store.count_listed() == 2
        assert store.is_listed("s1/bbaf2n")
        assert store.is_listed("s1/holiday")
        assert store.count() == 1
        store.put("s1/bbaf2n", ClipState())
        store.set_listed(["s1/bbaf2n"])
        assert store.count_listed() == 1
        assert store.is_listed("s1/bbaf2n")


@pytest.mark.parametrize("damage", [b"", b"not a database", b"SQLite format 3\0" + b"x" * 5000])
def test_a_damaged_file_is_put_aside(tmp_path: Path, damage: bytes) -> None:
    with StateStore(tmp_path) as store:
        store.put("s1/bbaf2n", full_state())
    path = Path(store.path)
    path.write_bytes(damage)
    with StateStore(tmp_path) as store:
        assert store.get("s1/bbaf2n") == ClipState()
        store.put("s1/bbaf2n", full_state())
    with StateStore(tmp_path) as store:
        assert store.get("s1/bbaf2n") == full_state()


def test_a_page_damaged_in_the_middle_is_noticed(tmp_path: Path) -> None:
    with StateStore(tmp_path) as store:
        for i in range(100):
            store.put(f"s1/{i}", full_state())
    path = Path(store.path)
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 4] = b"\xff" * 4096
    path.write_bytes(data)
    with StateStore(tmp_path) as store:
        assert all(store.get(f"s1/{i}") in (ClipState(), full_state()) for i in range(100))
        store.put("s1/1", full_state())


def test_states_of_earlier_versions_are_swept(tmp_path: Path) -> None:
    old = tmp_path / ".state" / "s1" / "bbaf2n.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    with StateStore(tmp_path) as store:
        assert store.count() == 0
    assert not old.parent.exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".state" / "clips.sqlite").mkdir(parents=True)
    (tmp_path / ".state" / "clips.sqlite.damaged").write_text("in the way")
    with pytest.raises((BadInput, OSError)):
        StateStore(tmp_path)


def test_a_stamp_holds_until_size_or_time_changes(tmp_path: Path) -> None:
    path = tmp_path / "clip.mpg"
    path.write_bytes(b"x" * (1 << 20) + b"y")
    old = stamp(str(path))
    assert old.size == (1 << 20) + 1
    assert old.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert old.is_current()
    os.utime(path, ns=(1, old.mtime_ns + 1))
    assert not old.is_current()
    os.utime(path, ns=(1, old.mtime_ns))
    assert not old.is_current(), "the time of change cannot be set back"
    again = stamp(str(path))
    assert again.sha256 == old.sha256
    assert again.is_current()
    copy = path.with_name("copy.mpg")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(1, old.mtime_ns))
    copy.replace(path)
    assert not again.is_current(), "another file"
    path.unlink()
    assert not old.is_current()
    with pytest.raises(FileNotFoundError):
        stamp(str(path))
    os.mkfifo(path)
    with pytest.raises(OSError, match="named pipe"):
        stamp(str(path))


def test_files_count_as_present_by_size_or_by_content(tmp_path: Path) -> None:
    (tmp_path / "mel").mkdir()
    (tmp_path / "mel" / "a.npy").write_bytes(b"123")

    def mel(name: str, size: int, content: bytes = b"123") -> StageState:
        sha256 = hashlib.sha256(content).hexdigest()
        return StageState("k", {"mel": Artifact(f"mel/{name}", size, sha256)})

    build = str(tmp_path)
    assert files_present(build, mel("a.npy", 3))
    assert files_present(build, mel("a.npy", 3), content=True)
    assert files_present(build, mel("a.npy", 3, b"456"))
    assert not files_present(build, mel("a.npy", 3, b"456"), content=True)
    assert not files_present(build, mel("a.npy", 4))
    assert not files_present(build, mel("b.npy", 3))
    assert files_present(build, StageState("k"))


def test_a_chained_key_tells_its_parts_apart() -> None:
    keys = {chain("ab", "c"), chain("a", "bc"), chain("abc"), chain("ab", "c", "")}
    assert len(keys) == 4
    assert chain("ab", "c") == chain("ab", "c")
    # Pinned: another value would make every build in the world start over.
    assert chain("decode 1", "0" * 64) == "dce89f669acf5849545362c2"
