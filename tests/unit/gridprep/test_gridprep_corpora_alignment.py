"""Alignments: units, and every way in which a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import alignment_text, write_alignment

from gridprep.corpora.alignment import (
    AlignedToken,
    format_alignment,
    parse_alignment,
    read_alignment,
    word_spans,
)
from manifests.errors import ClipError

# s1/bbaf2n's own alignment.
BBAF2N = """0 23750 sil
23750 29500 bin
29500 34000 blue
34000 35500 at
35500 41000 f
41000 47250 two
47250 53000 now
53000 74500 sil
"""


def reason_of(text: str) -> str:
    with pytest.raises(ClipError) as caught:
        parse_alignment(text)
    assert caught.value.stage == "alignment"
    return caught.value.reason


def test_units_are_25000_a_second_and_1000_a_frame() -> None:
    spans = word_spans(parse_alignment(BBAF2N))
    assert [s.word for s in spans] == ["bin", "blue", "at", "f", "two", "now"]
    first, last = spans[0], spans[-1]
    assert (first.start_s, first.end_s) == (0.95, 1.18)
    # Every frame in which the word sounds: floor of the start, ceiling of the end.
    assert (first.start_frame, first.end_frame) == (23, 30)
    assert (last.start_s, last.end_s) == (1.89, 2.12)
    assert (last.start_frame, last.end_frame) == (47, 53)


def test_silence_and_short_pauses_are_no_words() -> None:
    text = BBAF2N.replace("29500 34000 blue", "29500 30000 sp\n30000 34000 BLUE")
    spans = word_spans(parse_alignment(text))
    assert spans[1].word == "blue"
    assert spans[1].start_frame == 30


def test_line_ends_and_blank_lines_do_not_matter() -> None:
    tokens = parse_alignment(BBAF2N)
    assert parse_alignment(BBAF2N.replace("\n", "\r\n")) == tokens
    assert parse_alignment("\n" + BBAF2N.replace("\n", "\n\n")) == tokens
    assert parse_alignment(BBAF2N.rstrip()) == tokens


def test_writing_is_the_inverse_of_reading() -> None:
    assert format_alignment(parse_alignment(BBAF2N)) == BBAF2N


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("bin", "alignment_garbled"),
        ("23750 29500", "alignment_garbled"),
        ("23750 29500 bin now", "alignment_garbled"),
        ("23750.5 29500 bin", "alignment_garbled"),
        ("a b bin", "alignment_garbled"),
        ("29500 23750 bin", "alignment_garbled"),
        ("20000 29500 bin", "alignment_garbled"),  # overlaps the silence before it
        ("23750 75001 bin", "alignment_out_of_range"),
    ],
)
def test_bad_lines_are_named(line: str, reason: str) -> None:
    assert reason_of(f"0 23750 sil\n{line}\n") == reason


def test_negative_times_are_out_of_range() -> None:
    assert reason_of("-10 500 sil\n") == "alignment_out_of_range"


def test_the_last_unit_of_the_clip_is_inside() -> None:
    assert parse_alignment("0 75000 sil\n") == [AlignedToken(0, 75_000, "sil")]


@pytest.mark.parametrize("text", ["", "\n\n", "\r\n"])
def test_no_lines(text: str) -> None:
    assert reason_of(text) == "alignment_garbled"


def test_message_names_file_and_line() -> None:
    with pytest.raises(ClipError, match=r"x\.align, line 2 is not `start end word`"):
        parse_alignment("0 10 sil\nbin\n", "x.align")


def test_reading_checks_the_sentence(tmp_path: Path) -> None:
    path = write_alignment(tmp_path / "bbaf2n.align", "bbaf2n")
    assert len(read_alignment(path, "bbaf2n")) == 6
    with pytest.raises(ClipError, match="says 'bin blue at f two now', the stem bbaf2p says") as e:
        read_alignment(path, "bbaf2p")
    assert e.value.reason == "alignment_wrong_sentence"


def test_reading_crlf(tmp_path: Path) -> None:
    path = write_alignment(tmp_path / "bbaf2n.align", "bbaf2n", line_end="\r\n")
    assert b"\r\n" in path.read_bytes()
    assert len(read_alignment(path, "bbaf2n")) == 6


@pytest.mark.parametrize("path", ["", "not_here.align"])
def test_missing_file(path: str) -> None:
    with pytest.raises(ClipError) as caught:
        read_alignment(path, "bbaf2n")
    assert caught.value.reason == "alignment_missing"
    assert "bbaf2n.align" in caught.value.detail or "not_here.align" in caught.value.detail


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "bbaf2n.align"
    path.write_bytes(b"\xff\xfe0\x000\x00")
    with pytest.raises(ClipError) as caught:
        read_alignment(path, "bbaf2n")
    assert caught.value.reason == "alignment_garbled"


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "bbaf2n.align").mkdir()
    with pytest.raises(ClipError) as caught:
        read_alignment(tmp_path / "bbaf2n.align", "bbaf2n")
    assert caught.value.reason == "alignment_garbled"


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "bbaf2n.align"
    path.write_bytes(b"\xef\xbb\xbf" + alignment_text("bbaf2n").encode())
    assert len(read_alignment(path, "bbaf2n")) == 6
