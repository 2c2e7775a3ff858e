"""Archives that must not be unpacked, and those that must: GRID's own, junk and all."""

from __future__ import annotations

import json
import os
import shutil
import stat
import struct
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from gridprep.download import unpack as unpacking
from gridprep.download.unpack import MARKER, Limits, unpack
from manifests.errors import BadInput


def make(path: Path, *entries: tuple[str, bytes]) -> Path:
    """A zip of (name, content), duplicates and all."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo("placeholder")
            info.filename = info.orig_filename = name  # the constructor would tidy the name
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def make_special(path: Path, name: str, mode: int, content: bytes = b"/etc/passwd") -> Path:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("s1/bbaf2n.mpg", b"video")
        archive.writestr(info, content)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    return folder


def run(archive: Path, out: Path, limits: Limits | None = None) -> int:
    return unpack(archive, out / "s1", out / ".download", {"checksum": "md5:0"}, limits)


def assert_refused(archive: Path, out: Path, said: str, limits: Limits | None = None) -> None:
    """The refusal is one line that names the archive, and nothing is left anywhere."""
    with pytest.raises(BadInput, match=said) as caught:
        run(archive, out, limits)
    message = str(caught.value)
    assert message.startswith(archive.name)
    assert "nothing was unpacked" in message
    assert "\n" not in message
    assert [p.name for p in out.rglob("*")] == [".download"]
    assert sorted(p.name for p in out.parent.iterdir()) == sorted({out.name, archive.name})


def test_an_archive_of_one_folder_becomes_that_folder(tmp_path: Path, out: Path) -> None:
    archive = make(tmp_path / "s1.zip", ("s1/", b""), ("s1/bbaf2n.mpg", b"one"), ("s1/b.mpg", b"2"))
    assert run(archive, out) == 2
    assert sorted(p.name for p in out.iterdir()) == [".download", "s1"]
    assert (out / "s1" / "bbaf2n.mpg").read_bytes() == b"one"
    assert json.loads((out / "s1" / MARKER).read_text()) == {"checksum": "md5:0", "files": 2}
    assert list((out / ".download").iterdir()) == []


def test_an_archive_without_a_folder_gets_one(tmp_path: Path, out: Path) -> None:
    run(make(tmp_path / "s1.zip", ("bbaf2n.mpg", b"one"), ("sub/x.align", b"two")), out)
    assert (out / "s1" / "bbaf2n.mpg").exists()
    assert (out / "s1" / "sub" / "x.align").read_bytes() == b"two"


def test_another_folder_inside_is_kept_as_it_is(tmp_path: Path, out: Path) -> None:
    run(make(tmp_path / "s1.zip", ("video/mpg_vcd/s1/bbaf2n.mpg", b"one")), out)
    assert (out / "s1" / "video" / "mpg_vcd" / "s1" / "bbaf2n.mpg").exists()


def test_junk_is_left_out(tmp_path: Path, out: Path) -> None:
    archive = make(
        tmp_path / "s1.zip",
        ("__MACOSX/s1/._bbaf2n.mpg", b"x"),
        ("s1/._bbaf2n.mpg", b"x"),
        ("s1/Thumbs.db", b"x"),
        ("s1/.DS_Store", b"x"),
        ("s1/bbaf2n.mpg", b"one"),
    )
    assert run(archive, out) == 1
    assert sorted(p.name for p in (out / "s1").iterdir()) == [MARKER, "bbaf2n.mpg"]


def test_the_folder_can_be_read_by_others(tmp_path: Path, out: Path) -> None:
    old = os.umask(0o022)
    try:
        run(make(tmp_path / "s1.zip", ("bbaf2n.mpg", b"one")), out)
    finally:
        os.umask(old)
    assert stat.S_IMODE((out / "s1").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/etc/cron.d/evil", "absolute path"),
        ("\\\\host\\share\\evil", "absolute path"),
        ("C:/evil", "absolute path"),
        ("c:evil", "absolute path"),
        ("../evil", "leads out of the folder"),
        ("s1/../../evil", "leads out of the folder"),
        ("s1/..", "leads out of the folder"),
        ("__MACOSX/../../._evil", "leads out of the folder"),
        ("s1\\..\\..\\evil", "character that paths must not have"),
        ("s1/evil.mpg\x00.txt", "character that paths must not have"),
        ("s1/evil\n.mpg", "character that paths must not have"),
        ("s1/evil.mpg:stream", "character that paths must not have"),
        ("s1//evil", "not a plain path"),
        ("./evil", "not a plain path"),
        ("s1/" + "x" * 300, "not a plain path"),
    ],
)
def test_paths_that_lead_elsewhere_are_refused(tmp_path, out, name: str, said: str) -> None:
    assert_refused(make(tmp_path / "s1.zip", ("s1/ok.mpg", b"1"), (name, b"evil")), out, said)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (stat.S_IFLNK | 0o777, "is a link"),
        (stat.S_IFIFO | 0o644, "is a special file"),
        (stat.S_IFCHR | 0o644, "is a special file"),
        (stat.S_IFBLK | 0o644, "is a special file"),
        (stat.S_IFSOCK | 0o644, "is a special file"),
    ],
)
def test_links_and_special_files_are_refused(tmp_path, out, mode: int, said: str) -> None:
    assert_refused(make_special(tmp_path / "s1.zip", "s1/evil", mode), out, said)


def test_set_user_id_bits_are_not_kept(tmp_path: Path, out: Path) -> None:
    run(make_special(tmp_path / "s1.zip", "s1/tool", stat.S_IFREG | 0o4755), out)
    assert not (out / "s1" / "tool").stat().st_mode & 0o7111


@pytest.mark.parametrize("other", ["s1/bbaf2n.mpg", "S1/BBAF2N.MPG", "s1/bbaf2n.MPG"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_for_one_file_are_refused(tmp_path, out, other: str) -> None:
    archive = make(tmp_path / "s1.zip", ("s1/bbaf2n.mpg", b"1"), (other, b"2"))
    assert_refused(archive, out, "is there twice")


def test_a_file_that_is_a_folder_too_is_refused(tmp_path: Path, out: Path) -> None:
    archive = make(tmp_path / "s1.zip", ("s1/a", b"1"), ("s1/a/b", b"2"))
    assert_refused(archive, out, "is a file and a folder")


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path, out: Path) -> None:
    archive = make(tmp_path / "s1.zip", ("s1/zeros.mpg", bytes(4 << 20)))
    assert_refused(archive, out, "a bomb")


def test_many_small_bombs_are_refused_together(tmp_path: Path, out: Path) -> None:
    archive = make(tmp_path / "s1.zip", *((f"s1/{i}.mpg", bytes(1 << 20)) for i in range(5)))
    assert_refused(archive, out, "a bomb")


def test_too_many_bytes_or_entries_are_refused(tmp_path: Path, out: Path) -> None:
    archive = make(tmp_path / "s1.zip", *((f"s1/{i}.mpg", os.urandom(1000)) for i in range(5)))
    assert_refused(archive, out, "a bomb", Limits(total_bytes=4999))
    assert_refused(archive, out, "5 entries, more than 4", Limits(entries=4))


def test_entries_that_share_one_packed_stretch_are_refused(tmp_path: Path, out: Path) -> None:
    archive = make(tmp_path / "s1.zip", ("s1/a.mpg", b"a" * 500), ("s1/b.mpg", b"b" * 500))
    data = bytearray(archive.read_bytes())
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 0)  # the offset of the first
    archive.write_bytes(data)
    assert_refused(archive, out, "overlaps another|damaged")


def test_an_entry_that_lies_about_its_size_is_refused(tmp_path: Path, out: Path) -> None:
    archive = make(tmp_path / "s1.zip", ("s1/a.mpg", os.urandom(5000)))
    data = bytearray(archive.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", 10)
    archive.write_bytes(data)
    assert_refused(archive, out, "damaged")


def test_an_encrypted_entry_is_refused(tmp_path: Path, out: Path) -> None:
    archive = make(tmp_path / "s1.zip", ("s1/a.mpg", b"secret"))
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rindex(signature) + offset] |= 1
    archive.write_bytes(data)
    assert_refused(archive, out, "is encrypted")


def test_an_unusual_packing_is_refused(tmp_path: Path, out: Path) -> None:
    archive = tmp_path / "s1.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as opened:
        opened.writestr("s1/a.mpg", b"x" * 100)
    assert_refused(archive, out, "packed by method 14")


def test_damaged_content_is_refused(tmp_path: Path, out: Path) -> None:
    archive = make(tmp_path / "s1.zip", ("s1/good.mpg", b"good"), ("s1/a.mpg", os.urandom(5000)))
    data = bytearray(archive.read_bytes())
    data[2000] ^= 0xFF
    archive.write_bytes(data)
    assert_refused(archive, out, "damaged")


@pytest.mark.parametrize("content", [b"", b"this is a text", b"PK\x03\x04"])
def test_what_is_no_archive_is_refused(tmp_path: Path, out: Path, content: bytes) -> None:
    archive = tmp_path / "s1.zip"
    archive.write_bytes(content)
    assert_refused(archive, out, "damaged")


def test_an_archive_of_junk_alone_is_refused(tmp_path: Path, out: Path) -> None:
    assert_refused(make(tmp_path / "s1.zip", ("__MACOSX/._x", b"x")), out, "nothing in it")


def test_nothing_that_exists_is_overwritten(tmp_path: Path, out: Path) -> None:
    archive = make(tmp_path / "s1.zip", ("s1/bbaf2n.mpg", b"new"))
    (out / "s1").mkdir()
    (out / "s1" / "bbaf2n.mpg").write_bytes(b"old")
    with pytest.raises(BadInput, match="s1 exists already; move it away"):
        run(archive, out)
    assert (out / "s1" / "bbaf2n.mpg").read_bytes() == b"old"


def test_a_link_in_the_place_of_the_target_is_not_followed(tmp_path: Path, out: Path) -> None:
    archive = make(tmp_path / "s1.zip", ("s1/bbaf2n.mpg", b"new"))
    (out / "s1").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="exists already"):
        run(archive, out)
    assert not (tmp_path / "nowhere").exists()


def test_too_little_space_is_said_before_anything_is_written(tmp_path, out, monkeypatch) -> None:
    archive = make(tmp_path / "s1.zip", *((f"s1/{i}.align", b"x") for i in range(10)))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 40_000))
    with pytest.raises(BadInput, match=r"unpacks to 0\.00 GB .* 0\.00 GB free; free space"):
        run(archive, out)  # ten files of one byte take ten blocks of 4096
    assert [p.name for p in out.rglob("*")] == [".download"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 41_000))
    assert run(archive, out) == 10


def test_an_interruption_leaves_nothing_half_done(tmp_path, out, monkeypatch) -> None:
    archive = make(tmp_path / "s1.zip", ("s1/a.mpg", b"1"), ("s1/b.mpg", b"2"))
    real, calls = unpacking._write, []

    def interrupted(*arguments) -> None:  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(unpacking, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(archive, out)
    assert [p.name for p in out.rglob("*")] == [".download"]
