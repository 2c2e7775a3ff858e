"""What a build remembers of a clip: it comes back as it was, and what is doubtful counts as nothing."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from gridprep.pipeline.state import (
    STATE_VERSION,
    ClipState,
    FileStamp,
    StageState,
    chain,
    files_present,
    load_state,
    save_state,
    stamp,
    state_path,
)
from manifests.records import ClipFailure


def full_state() -> ClipState:
    return ClipState(
        source=FileStamp("/corpus/s1/bbaf2n.mpg", 10, 123456789012345678, "a" * 64),
        alignment=FileStamp("/corpus/s1/bbaf2n.align", 5, 1, "b" * 64),
        stages={
            "decode": StageState(
                "k1", {}, {"flags": ["fps_resampled"], "qc": {"source_fps": 50.0}}
            ),
            "audio": StageState(
                "k2", {"audio": ("audio/s1/bbaf2n.wav", 96044)}, {"samples": 48000}
            ),
        },
        failure=ClipFailure("s1", "bbaf2n", "align", "no_face", "no face", "x", {"found": 0}),
        failure_key="k3",
    )


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    save_state(str(tmp_path), "s1/bbaf2n", full_state())
    assert load_state(str(tmp_path), "s1/bbaf2n") == full_state()
    assert load_state(str(tmp_path), "s1/bbaf3s") == ClipState()


def test_a_path_that_is_no_unicode_comes_back(tmp_path: Path) -> None:
    state = ClipState(source=FileStamp(os.fsdecode(b"/corpus/\xff \xc3\xa9/a.mpg"), 1, 1, "0"))
    save_state(str(tmp_path), "s1/bbaf2n", state)
    assert load_state(str(tmp_path), "s1/bbaf2n") == state
    Path(state_path(str(tmp_path), "s1/bbaf2n")).read_bytes().decode("utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 1}',
        '{"version": 1, "source": {"path": "x"}, "alignment": null, "stages": {}, "failure": null}',
        '{"version": 1, "source": 5, "alignment": null, "stages": {}, "failure": null, "failure_key": ""}',
        '{"version": 1, "source": null, "alignment": null, "stages": {"decode": 1}, "failure": null,'
        ' "failure_key": ""}',
        '{"version": 1, "source": null, "alignment": null, "stages": {}, "failure": {"speaker": "s1"},'
        ' "failure_key": ""}',
    ],
)
def test_a_damaged_state_is_no_state(tmp_path: Path, text: str) -> None:
    path = Path(state_path(str(tmp_path), "s1/bbaf2n"))
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert load_state(str(tmp_path), "s1/bbaf2n") == ClipState()
    path.write_bytes(b"\xff\xfe\x00")
    assert load_state(str(tmp_path), "s1/bbaf2n") == ClipState()


def test_an_older_state_is_no_state(tmp_path: Path) -> None:
    values = full_state().to_dict()
    assert values["version"] == STATE_VERSION
    path = Path(state_path(str(tmp_path), "s1/bbaf2n"))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(values | {"version": STATE_VERSION - 1}))
    assert load_state(str(tmp_path), "s1/bbaf2n") == ClipState()


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
    assert old.is_current()
    path.write_bytes(b"z")
    os.utime(path, ns=(1, old.mtime_ns))
    assert not old.is_current()
    path.unlink()
    assert not old.is_current()
    with pytest.raises(FileNotFoundError):
        stamp(str(path))


def test_files_count_as_present_with_their_recorded_sizes(tmp_path: Path) -> None:
    (tmp_path / "mel").mkdir()
    (tmp_path / "mel" / "a.npy").write_bytes(b"123")
    assert files_present(str(tmp_path), StageState("k", {"mel": ("mel/a.npy", 3)}))
    assert not files_present(str(tmp_path), StageState("k", {"mel": ("mel/a.npy", 4)}))
    assert not files_present(str(tmp_path), StageState("k", {"mel": ("mel/b.npy", 3)}))
    assert files_present(str(tmp_path), StageState("k"))


def test_a_chained_key_tells_its_parts_apart() -> None:
    keys = {chain("ab", "c"), chain("a", "bc"), chain("abc"), chain("ab", "c", "")}
    assert len(keys) == 4
    assert chain("ab", "c") == chain("ab", "c")
    # Pinned: another value would make every build in the world start over.
    assert chain("decode 1", "0" * 64) == "dce89f669acf5849545362c2"
