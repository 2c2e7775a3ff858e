"""Which clip a path is."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.importing.patterns import Named, Pattern, files_below
from manifests.errors import BadInput


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{speaker}/{stem}.wav", "s1/bbaf2n.wav", Named("s1", "bbaf2n")),
        ("{speaker}_{stem}/lip2wav.wav", "s29_bgar1s/lip2wav.wav", Named("s29", "bgar1s")),
        ("{speaker}{stem}.wav", "s1bbaf2n.wav", Named("s1", "bbaf2n")),
        ("{speaker}/{speaker}_{stem}.wav", "s1/s1_bbaf2n.wav", Named("s1", "bbaf2n")),
        ("**/{stem}.wav", "a/b/c/bbaf2n.wav", Named("", "bbaf2n")),
        ("**/{stem}.wav", "bbaf2n.wav", Named("", "bbaf2n")),
        ("*/{speaker}-{stem}*.*", "x/S07-BBAF2N_gen.mp4", Named("s7", "bbaf2n")),
        ("{voice}/{speaker}/{stem}.wav", "s4/s1/bbaf2n.wav", Named("s1", "bbaf2n", "s4")),
        ("{speaker}/{stem}.wav", "anna/sentence-1.wav", Named("anna", "sentence-1")),
        ("{speaker}/{stem}.wav", "01/bbaf2n.wav", Named("s1", "bbaf2n")),
        ("clips (1)/{stem}.w+v", "clips (1)/bbaf2n.w+v", Named("", "bbaf2n")),
    ],
)
def test_matches(pattern: str, path: str, expected: Named) -> None:
    assert Pattern(pattern).match(path) == expected


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{speaker}/{stem}.wav", "s1/deep/bbaf2n.wav"),
        ("{speaker}/{stem}.wav", "s1/bbaf2n.wav.txt"),
        ("{speaker}/{speaker}_{stem}.wav", "s1/s2_bbaf2n.wav"),
        ("{speaker}/{stem}.wav", "/bbaf2n.wav"),
        ("{stem}.wav", ".wav"),
        ("{stem}.w+v", "bbaf2n.wwv"),
    ],
)
def test_does_not_match(pattern: str, path: str) -> None:
    assert Pattern(pattern).match(path) is None


@pytest.mark.parametrize(
    ("pattern", "message"), [("x.wav", "has no {stem}"), ("{stem}{who}", "no field {who}")]
)
def test_bad_patterns(pattern: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Pattern(pattern)


@pytest.mark.parametrize(
    "name", ["..", ".hidden", "a b", "a/b", "=1", "-x", "a\nb", "é", "", "x" * 65, "<b>", "a;b"]
)
def test_names_that_no_file_of_ours_gets(name: str) -> None:
    assert not Named("s1", name).is_safe
    assert name == "" or not Named(name, "bbaf2n").is_safe
    assert Named("s1", "bbaf2n.v2_a-b").is_safe


def test_walking_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for path in ("in/a/1.wav", "in/2.wav", "elsewhere/3.wav"):
        (tmp_path / path).touch()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "a" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "out").mkdir()
    (tmp_path / "in" / "out" / "4.wav").touch()
    found = list(files_below(tmp_path / "in", but=tmp_path / "in" / "out"))
    assert found == ["2.wav", "a/1.wav", "link/3.wav"]
    with pytest.raises(BadInput, match="not a folder"):
        list(files_below(tmp_path / "gone"))
