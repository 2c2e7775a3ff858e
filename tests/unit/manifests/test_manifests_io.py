"""Files of the contract: whole or not at all, and refused in one line when they are not what they
should be."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from test_manifests_records import row

from manifests import io
from manifests.errors import ManifestError
from manifests.io import (
    atomic_open,
    atomic_path,
    check_row,
    check_writable,
    read_json,
    read_jsonl,
    read_manifest,
    sha256_file,
    validate,
    write_bytes,
    write_json,
    write_jsonl,
)
from manifests.mel import PRESETS
from manifests.records import ClipFailure, ManifestRow, WordSpan
from manifests.tables import write_csv


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- atomic writes ----------------------------------------------------------------------------------


def test_an_atomic_path_makes_folders_and_keeps_the_suffix(tmp_path: Path) -> None:
    target = tmp_path / "new ä" / "folder" / "clip.avi"
    with atomic_path(target) as temporary:
        assert temporary.suffix == ".avi"
        assert temporary.name.startswith(".tmp-")
        temporary.write_bytes(b"x")
        assert not target.exists()
    assert target.read_bytes() == b"x"
    assert names(target.parent) == ["clip.avi"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_an_error_leaves_the_old_file_and_no_litter(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "a.json"
    write_json(target, 1)

    def interrupted() -> None:
        with atomic_open(target) as file:
            file.write("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert read_json(target) == 1
    assert names(tmp_path) == ["a.json"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", 1)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed write has no file name of its own."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(io.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_json(tmp_path / "a.json", 1)
    assert caught.value.filename == str(tmp_path / "a.json")
    assert names(tmp_path) == []


def test_bytes_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "new ä" / "folder" / "clip.avi"
    write_bytes(target, b"first")
    replaced, seen = os.replace, []
    real_write = os.write

    def few(descriptor: int, data: memoryview) -> int:
        return real_write(descriptor, data[:3])  # as a system may that is short of room

    def told(old: str, new: str) -> None:
        seen.append((Path(old).name, Path(old).read_bytes(), Path(new).read_bytes()))
        replaced(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(io.os, "write", few)
        patch.setattr(io.os, "replace", told)
        write_bytes(target, b"second one")
    ((temporary, new, old),) = seen
    assert temporary.startswith(".tmp-")
    assert temporary.endswith(".avi")
    assert (new, old) == (b"second one", b"first")
    assert target.read_bytes() == b"second one"

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(io.os, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_bytes(target, b"third")
    assert caught.value.filename == str(target)
    assert target.read_bytes() == b"second one"
    assert names(target.parent) == ["clip.avi"]
    with pytest.raises(NotADirectoryError) as caught:
        write_bytes(target / "a.npy", b"")
    assert caught.value.filename == str(target / "a.npy")


def test_a_file_system_that_takes_no_such_name_is_not_asked_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(FileNotFoundError) as caught:
        io.write_bytes(tmp_path / "new" / "a.npz", b"x")
    assert caught.value.filename == str(tmp_path / "new" / "a.npz")


def test_a_folder_that_is_a_file_names_the_target(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "a.json"
    for write in (lambda: write_json(target, 1), lambda: check_writable(target)):
        with pytest.raises(OSError, match=r"Not a directory|exists") as caught:
            write()
        assert caught.value.filename == str(target)


def test_a_file_system_without_chmod_or_flushing_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def unsupported(_: int) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(io.os, "chmod", refused)
    monkeypatch.setattr(io.os, "fsync", unsupported)
    write_json(tmp_path / "a.json", 1)
    assert read_json(tmp_path / "a.json") == 1
    assert names(tmp_path) == ["a.json"]


def test_whether_a_target_can_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "old.mp4").write_bytes(b"old")
    check_writable(tmp_path / "old.mp4")
    check_writable(tmp_path / "new" / "a.mp4")
    assert names(tmp_path) == ["new", "old.mp4"]
    assert names(tmp_path / "new") == []
    assert (tmp_path / "old.mp4").read_bytes() == b"old"


def test_a_target_that_cannot_be_written_is_named_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: object, *_: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(io.os, "open", read_only)
    with pytest.raises(OSError, match="Read-only") as caught:
        check_writable(tmp_path / "a.mp4")
    assert caught.value.filename == str(tmp_path / "a.mp4")


# -- JSON and JSONL ---------------------------------------------------------------------------------


def test_json_is_utf8_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ä": "日本"})
    assert "日本" in (tmp_path / "a.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", float("nan"))
    assert names(tmp_path) == ["a.json"]


def test_a_path_that_is_no_utf8_survives(tmp_path: Path) -> None:
    odd = os.fsdecode(b"s1/caf\xe9.mpg")
    failure = ClipFailure("s1", odd, "find", "not_a_stem", "x", odd)
    write_jsonl(tmp_path / "f.jsonl", "failures", [failure])
    assert read_jsonl(tmp_path / "f.jsonl", "failures", ClipFailure)[1] == [failure]
    write_json(tmp_path / "a.json", odd)
    assert read_json(tmp_path / "a.json") == odd
    write_csv(tmp_path / "a.csv", ["path"], [[odd]])
    (tmp_path / "a.csv").read_text(encoding="utf-8")


def test_damaged_json_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"absent.json does not exist; check the path"):
        read_json(tmp_path / "absent.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(
        ManifestError, match=r"a.json cannot be read as JSON \(.*\); write it again"
    ):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xff")
    with pytest.raises(ManifestError, match="cannot be read as JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_json(tmp_path)


def test_jsonl_comes_back_with_its_header(tmp_path: Path) -> None:
    rows = [row(), replace(row(), stem="bbaf3s")]
    assert write_jsonl(tmp_path / "manifest.jsonl", "manifest", rows, split="small") == 2
    for path in (tmp_path / "manifest.jsonl", tmp_path):
        header, found = read_manifest(path)
        assert header == {"schema": "manifest", "schema_version": 1, "split": "small"}
        assert found == rows
    assert write_jsonl(tmp_path / "none.jsonl", "manifest", []) == 0
    assert read_jsonl(tmp_path / "none.jsonl", "manifest", ManifestRow)[1] == []


HEAD = '{"schema": "manifest", "schema_version": 1}\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty; write the file again"),
        ("no json\n", "line 1: Expecting value"),
        ("[1]\n", "line 1: not an object"),
        ('{"speaker": "s1"}\n', "holds no schema line, not manifest; check the path"),
        ('{"schema": "scores", "schema_version": 1}\n', "holds scores, not manifest"),
        (
            '{"schema": "manifest", "schema_version": 2}\n',
            "has schema version 2, this version reads",
        ),
        ('{"schema": "manifest", "schema_version": "x"}\n', "has schema version 'x'"),
        (HEAD + '{"speaker": "s1"}\n', "line 2: ManifestRow lacks gender"),
        (HEAD + '{"speaker": "s1"', "line 2: "),
        (HEAD + "7\n", "line 2: not an object"),
    ],
)
def test_a_damaged_manifest_names_file_and_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(text)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_of_wrong_types_names_file_and_line(tmp_path: Path) -> None:
    values = row().to_dict() | {"words": 5}
    (tmp_path / "manifest.jsonl").write_text(HEAD + json.dumps(values) + "\n")
    with pytest.raises(ManifestError, match=r"manifest.jsonl, line 2: "):
        read_manifest(tmp_path)


def test_a_manifest_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="does not exist; run `gridprep build` first"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.jsonl").write_bytes(b"\xff")
    with pytest.raises(ManifestError, match=r"manifest.jsonl cannot be read \("):
        read_manifest(tmp_path)


def test_csv_and_hashes(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["x", "y"], [[1, "a,b"], [2, "ä"]])
    assert (tmp_path / "a.csv").read_bytes() == 'x,y\n1,"a,b"\n2,ä\n'.encode()
    assert list(csv.reader((tmp_path / "a.csv").open(encoding="utf-8")))[2] == ["2", "ä"]
    big = b"x" * ((1 << 20) + 1)
    (tmp_path / "big").write_bytes(big)
    assert sha256_file(tmp_path / "big") == hashlib.sha256(big).hexdigest()


# -- the physics ------------------------------------------------------------------------------------


def spans(*edges_s: float) -> tuple[WordSpan, ...]:
    sentence = row().sentence.split()
    return tuple(
        WordSpan(w, a, b, int(a * 25 + 1e-6), -int(-(b * 25 - 1e-6) // 1))
        for w, a, b in zip(sentence, edges_s[::2], edges_s[1::2], strict=True)
    )


GOOD = (0.0, 0.4, 0.4, 0.8, 0.8, 1.2, 1.2, 1.6, 1.6, 2.0, 2.0, 3.0)


def test_a_sound_row_has_no_complaints() -> None:
    assert check_row(row()) == []
    assert check_row(replace(row(), words=spans(*GOOD))) == []
    other = replace(row(), sample_rate_hz=22_050, audio_samples=66_150, mel_frames=258)
    assert check_row(other, PRESETS["hifigan-22k"]) == []


@pytest.mark.parametrize("frames", [10, 75, 1500])
def test_a_clip_of_any_length_has_640_samples_and_2_mel_frames_a_frame(frames: int) -> None:
    clip = replace(
        row(), video_frames=frames, audio_samples=640 * frames, mel_frames=2 * frames, words=()
    )
    assert check_row(clip) == []
    assert check_row(replace(clip, gender="", sentence="", subset="test")) == []
    assert check_row(replace(clip, mel_frames=2 * frames + 1)) == [
        f"{2 * frames + 1} mel frames, not {2 * frames}"
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"video_frames": 74}, "48000 samples, not 47360 at 16000 Hz"),
        ({"video_frames": 0}, "0 video frames"),
        ({"audio_samples": 47_999}, "47999 samples, not 48000 at 16000 Hz"),
        ({"audio_samples": 48_001}, "48001 samples, not 48000 at 16000 Hz"),
        ({"mel_frames": 151}, "151 mel frames, not 150"),
        ({"samples_added": -1}, "-1 samples added of 48000"),
        ({"samples_added": 48_001}, "48001 samples added of 48000"),
        ({"subset": "dev"}, "subset 'dev'"),
        ({"gender": "?"}, "gender '?'"),
        ({"sentence": "bin blue at f two soon"}, "words do not spell 'bin blue at f two soon'"),
        ({"words": spans(*GOOD[:-1], 3.04)}, "word 'now' at 2.0–3.04 s"),
        ({"words": spans(0.0, 0.5, *GOOD[2:])}, "word 'blue' at 0.4–0.8 s"),
        ({"words": spans(-0.1, *GOOD[1:])}, "word 'bin' at -0.1–0.4 s"),
        ({"words": (replace(row().words[0], end_frame=11), *row().words[1:])},
         "word 'bin': frames disagree with seconds"),
        ({"words": (replace(row().words[0], start_frame=1), *row().words[1:])},
         "word 'bin': frames disagree with seconds"),
        ({"paths": {"lips": "/lips/x.avi"}}, "path of lips is not relative: /lips/x.avi"),
        ({"paths": {"lips": "lips/../../x"}}, "path of lips is not relative: lips/../../x"),
        ({"paths": {"lips": "lips\\x"}}, "path of lips is not relative: lips\\x"),
        ({"extra_mels": {"m": "/x"}}, "path of m is not relative: /x"),
    ],
)  # fmt: skip
def test_broken_physics_are_complaints(change: dict[str, object], complaint: str) -> None:
    assert complaint in check_row(replace(row(), **change))  # type: ignore[arg-type]


def test_validate_names_the_first_clips(tmp_path: Path) -> None:
    validate([row()])
    with pytest.raises(ManifestError, match=r"s1/bbaf2n: lips is missing: lips/s1/bbaf2n.avi"):
        validate([row()], tmp_path)
    (tmp_path / "lips" / "s1").mkdir(parents=True)
    (tmp_path / "lips" / "s1" / "bbaf2n.avi").touch()
    with pytest.raises(ManifestError, match=r"s1/bbaf2n: lips is empty: lips/s1/bbaf2n.avi"):
        validate([row()], tmp_path)
    (tmp_path / "lips" / "s1" / "bbaf2n.avi").write_bytes(b"x")
    validate([row()], tmp_path)
    with pytest.raises(ManifestError, match="s1/bbaf2n: listed twice; rebuild these clips"):
        validate([row(), row()])
    many = [replace(row(), stem=f"x{i}", gender="?") for i in range(8)]
    with pytest.raises(ManifestError, match=r"s1/x0: .*s1/x4: .*\(and 3 more\); rebuild"):
        validate(many)
