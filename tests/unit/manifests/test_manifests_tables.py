"""Tables as spreadsheets of many countries save them."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.errors import BadInput
from manifests.tables import (
    csv_text,
    parse_table,
    read_table,
    speaker_name,
    stem_name,
    write_csv,
)

PLAIN = "speaker,stem,text\ns1,bbaf2n,bin blue at f two now\ns2,lgbf6s,über\n"
COLUMNS = ("speaker", "stem", "text")


def as_semicolons(text: str) -> str:
    return text.replace(",", ";")


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        as_semicolons(PLAIN).encode("utf-8-sig"),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.replace(",", "\t").encode("utf-16-le"),
        PLAIN.replace(",", "|").encode("utf-16-be"),
        as_semicolons(PLAIN).encode("cp1252"),
        ("sep=;\r\n" + as_semicolons(PLAIN).replace("\n", "\r\n")).encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace("speaker,stem,text", " Speaker , STEM,Text ").encode(),
        PLAIN.replace("\n", ",,\n").encode(),
        PLAIN.replace("\n", "\n,,\n\n").encode(),
        PLAIN.replace("speaker,stem,text", '"talker","stem","sentence"').encode(),
    ],
    ids=[
        "plain", "semicolons and BOM", "UTF-16", "UTF-16 LE without BOM", "UTF-16 BE without BOM",
        "Windows-1252", "sep line", "old Macintosh", "case and blanks", "trailing delimiters",
        "empty lines", "aliases",
    ],
)  # fmt: skip
def test_every_dialect_is_the_same_table(content: bytes) -> None:
    table = parse_table(content, COLUMNS)
    assert [[line[name] for name in COLUMNS] for line in table.lines] == [
        ["s1", "bbaf2n", "bin blue at f two now"],
        ["s2", "lgbf6s", "über"],
    ]


def test_quoted_cells_keep_delimiters_and_line_numbers() -> None:
    table = parse_table(b'speaker,stem,text\n\ns1,a,"one,\ntwo"\n\ns1,b,three\n', COLUMNS)
    assert [(line.number, line["text"]) for line in table.lines] == [
        (4, "one,\ntwo"),
        (6, "three"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"speaker,text\n", r"has no column stem \(its first line reads 'speaker', 'text'\)"),
        (b"speaker,stem,text,STEM\n", "names the column stem twice"),
        (
            b"speaker,stem,text\ns1,a,b\ns1,a\n",
            "line 3 has 2 cells, the first line 3; fill in text",
        ),
        (b"speaker,stem,text\ns1,a,b,c\n", "line 2 has 4 cells, the first line 3; put text"),
        (b'speaker,stem,text\ns1,"a,b\n', r"line 2 is no CSV \(unexpected end of data\)"),
        (b"\xff\xfe\x00", "is no text in UTF-8 or UTF-16; save it as CSV in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x01", "is no text"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        read_table(path, COLUMNS, ("gender",))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.csv cannot be read \(No such file or directory\)"):
        read_table(tmp_path / "gone.csv", COLUMNS)


def test_names_as_people_write_them() -> None:
    assert [speaker_name(t) for t in ("S1", "01", "speaker_34", "s21", "anna")] == [
        "s1", "s1", "s34", "s21", "anna",
    ]  # fmt: skip
    assert [stem_name(t) for t in ("BBAF2N", "clip 1")] == ["bbaf2n", "clip 1"]


def test_the_guard_of_formulas_is_taken_off_again() -> None:
    name = '=HYPERLINK("x")'
    guarded = csv_text(name).replace('"', '""')
    table = parse_table(f'speaker,stem,text\n"{guarded}",a,\'tis\n'.encode(), COLUMNS)
    assert (table.lines[0]["speaker"], table.lines[0]["text"]) == (name, "'tis")


def test_speakers_of_grid_have_one_name() -> None:
    assert [speaker_name(t) for t in ("s1", "S01", "1", "speaker_34", "spk7")] == [
        "s1", "s1", "s1", "s34", "s7",
    ]  # fmt: skip
    assert [speaker_name(t) for t in ("s21", "s99", "anna1", "", "s1x")] == [
        "s21", "s99", "anna1", "", "s1x",
    ]  # fmt: skip


def test_written_tables_guard_texts_and_keep_numbers(tmp_path: Path) -> None:
    cells = ["=1+1", "-a", "-0.5", "-1e-05", "1e400", -0.1 - 0.2, None, 3, "s1, s2"]
    write_csv(tmp_path / "out" / "t.csv", [f"c{i}" for i in range(len(cells))], [cells])
    text = (tmp_path / "out" / "t.csv").read_text(encoding="utf-8")
    assert text.splitlines()[1] == (
        "'=1+1,'-a,-0.5,-1e-05,1e400,-0.30000000000000004,,3,\"s1, s2\""
    )
    table = read_table(tmp_path / "out" / "t.csv", ("c0", "c1"))
    assert table.lines[0]["c0"] == "=1+1"
