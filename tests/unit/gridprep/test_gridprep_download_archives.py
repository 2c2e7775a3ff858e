"""Archives that are here already, into a corpus."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from builds import gridprep

from gridprep.corpora.grid import find_clips
from gridprep.download.archives import archives_in, unpack_archives
from manifests.corpus_lists import stems_of
from manifests.errors import BadInput

STEM = stems_of("s1")[0]


@pytest.fixture
def zips(tmp_path: Path) -> Path:
    """A folder as a browser leaves it: one speaker, the alignments, the trimmed sound, a broken file."""
    folder = tmp_path / "Downloads of Zoë"
    folder.mkdir()
    for name, entries in {
        "s1.zip": {f"s1/{STEM}.mpg": b"clip", "s1/Thumbs.db": b"x"},
        "alignments.zip": {f"alignments/s1/{STEM}.align": b"words"},
        "audio_25k.zip": {f"audio_25k/s1/{STEM}.wav": b"sound"},
    }.items():
        with zipfile.ZipFile(folder / name, "w") as archive:
            for path, content in entries.items():
                archive.writestr(path, content)
    (folder / "s2.zip").write_bytes(b"half a download")
    return folder


def test_a_folder_of_archives_becomes_a_corpus(zips: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid"
    code, printed, error = gridprep("unpack", zips, "--out", out)
    assert code == 1
    assert "4 archives: 2 unpacked, 0 there already, 1 skipped, 1 failed" in printed
    assert "audio_25k.zip: holds no clips and no alignments" in printed
    assert "s2.zip cannot be read as a zip file" in error
    (clip,) = find_clips(out).clips
    assert (clip.clip_id, bool(clip.alignment)) == (f"s1/{STEM}", True)
    (zips / "s2.zip").unlink()
    code, printed, _ = gridprep("unpack", zips, "--out", out)
    assert code == 0
    assert "3 archives: 0 unpacked, 2 there already, 1 skipped, 0 failed" in printed


def test_the_build_says_what_to_do_with_a_folder_of_archives(zips: Path, tmp_path: Path) -> None:
    for command in (("verify", zips), ("build", "--corpus", zips, "--out", tmp_path / "out")):
        code, _, error = gridprep(*command)
        assert code == 2
        assert "not unpacked" in error
        assert f"run `gridprep unpack {zips} --out CORPUS`" in error
        assert error.count("\n") == 1


def test_somebodys_folder_is_left_alone(zips: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.tex").touch()
    with pytest.raises(BadInput, match="is not empty"):
        unpack_archives(archives_in([zips]), out)
    assert [p.name for p in out.iterdir()] == ["thesis.tex"]


def test_another_content_under_the_same_name_is_never_overwritten(
    zips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "grid"
    assert unpack_archives([zips / "s1.zip"], out).unpacked == ("s1.zip",)
    with zipfile.ZipFile(zips / "s1.zip", "w") as archive:
        archive.writestr(f"s1/{STEM}.mpg", b"another clip")
    report = unpack_archives([zips / "s1.zip"], out)
    assert "another version" in report.failed["s1.zip"]
    assert (out / "s1" / f"{STEM}.mpg").read_bytes() == b"clip"


def test_nothing_to_unpack_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no zip file"):
        archives_in([tmp_path])
    with pytest.raises(BadInput, match="does not exist"):
        archives_in([tmp_path / "s1.zip"])
