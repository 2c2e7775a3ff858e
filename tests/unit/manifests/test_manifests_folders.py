"""Whose a folder is: only an empty one, or one with our mark, is written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.errors import BadInput
from manifests.folders import check_free, check_own


def test_new_empty_and_marked_folders_are_ours(tmp_path: Path) -> None:
    check_own(tmp_path / "absent", ("mark",), "a thing")
    assert not (tmp_path / "absent").exists()
    for name in (".lock", ".DS_Store", "Thumbs.db", ".tmp-abc.json"):
        (tmp_path / name).touch()
    check_own(tmp_path, ("mark",), "a thing")
    (tmp_path / "somebody's.txt").touch()
    (tmp_path / "mark").mkdir()
    check_own(tmp_path, ("other", "mark"), "a thing")


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(BadInput) as caught:
        check_own(tmp_path, ("mark",), "a thing")
    assert str(caught.value) == (
        f"{tmp_path} is not empty (thesis.tex) and was not made as a thing; "
        "choose an empty folder or one that does not exist yet"
    )
    with pytest.raises(BadInput, match=r"thesis\.tex is not a folder"):
        check_own(tmp_path / "thesis.tex", ("mark",), "a thing")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="link is not a folder"):
        check_own(tmp_path / "link", ("mark",), "a thing")


def test_files_of_others_are_not_overwritten(tmp_path: Path) -> None:
    names, marks = ("a.md", "a.tex"), ("mark.json", "other.json")
    check_free(tmp_path / "absent", names, marks, "a thing")
    (tmp_path / "thesis.tex").touch()
    check_free(tmp_path, names, marks, "a thing")
    (tmp_path / "a.tex").touch()
    (tmp_path / "mark.json").touch()
    with pytest.raises(BadInput, match=r"a\.tex is there already, and not of a thing; choose"):
        check_free(tmp_path, names, marks, "a thing")
    check_free(tmp_path, ("a.md",), marks, "a thing")
    (tmp_path / "other.json").touch()
    check_free(tmp_path, names, marks, "a thing")
    with pytest.raises(BadInput, match=r"thesis\.tex is not a folder"):
        check_free(tmp_path / "thesis.tex", names, marks, "a thing")
