"""Reads the CSV tables that users give to the three programs, in any variant a spreadsheet saves, and
writes those of the toolkit.

Spreadsheets write commas, semicolons or tabs by country, UTF-8 with or without a byte order mark,
UTF-16 ("Unicode text") or Windows-1252, decimal commas, and headers as somebody typed them. One reader
accepts all of these and names the line of whatever it cannot accept, so that no program has a
reader of its own. `write_csv` writes every table; it lets no text be taken for a formula.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests.corpus_lists import SPEAKERS
from manifests.errors import BadInput
from manifests.grammar import is_stem
from manifests.io import atomic_open

DELIMITERS = (",", ";", "\t", "|")
ALIASES = {"recogniser": "recognizer", "talker": "speaker", "sentence": "text"}
"""Other common names of the toolkit's columns; they apply where a file lacks the toolkit's name."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class UnreadableTable(ValueError):
    """A table that cannot be used.

    Args:
        problem: what is wrong, as the end of a sentence whose subject is the file.
        remedy: what to do about it.
        line: the line at fault, 0 where it is the whole file.
    """

    def __init__(self, problem: str, remedy: str, line: int = 0) -> None:
        self.problem, self.remedy, self.line = problem, remedy, line
        super().__init__(f"line {line} {problem}" if line else problem)


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
        number: number of its last line in the file, from 1 (a quoted cell may span several lines).
        cells: column → text without the blanks around it.
    """

    number: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        """The cell of a column, "" where the file lacks the column or the line the cell."""
        return self.cells.get(column, "")


@dataclass(frozen=True)
class UserTable:
    """A table as read: the names of its columns in lower case, and its lines without empty ones."""

    columns: tuple[str, ...]
    lines: tuple[Line, ...]


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> UserTable:
    """Reads a CSV file that somebody made by hand, by script or with a spreadsheet.

    Args:
        path: the file.
        required: columns that it must have, in lower case.
        optional: further columns that it may have; others are kept and ignored.

    Raises:
        BadInput: absent, not text, a column missing or named twice, or a line that does not fit the
            header; the message names file, line and remedy.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})", "check the path") from None
    try:
        return parse_table(content, required, optional)
    except UnreadableTable as error:
        where = f"{path}, line {error.line}" if error.line else str(path)
        raise BadInput(f"{where} {error.problem}", error.remedy) from None


def parse_table(content: bytes, required: Sequence[str], optional: Sequence[str] = ()) -> UserTable:
    """Parses the table in the bytes of a file; arguments as of `read_table`.

    Raises:
        UnreadableTable: see `read_table`.

    >>> table = parse_table(b"Speaker; STEM ;text\\r\\ns1;bbaf2n;bin blue\\r\\n", ("speaker", "stem"))
    >>> table.columns, table.lines[0].number, table.lines[0]["text"]
    (('speaker', 'stem', 'text'), 2, 'bin blue')
    """
    wanted = [*required, *optional]
    told = _told(required, optional)
    text = decode_text(content)
    skipped = 0
    declared = re.match(r"\s*\"?sep=(.)\"?\r?\n", text, re.IGNORECASE)
    delimiters: Sequence[str] = DELIMITERS
    if declared:  # Excel's own way of naming the delimiter
        delimiters, text, skipped = (declared[1],), text[declared.end() :], 1
    rows = _rows(text, _delimiter(text, wanted, delimiters))
    if not rows:
        raise UnreadableTable("is empty", told)
    head, columns = rows[0][1], _columns(rows[0][1], wanted)
    absent = [name for name in required if name not in columns]
    if absent:
        shown = ", ".join(repr(name) for name in head[:8]) + (", …" if len(head) > 8 else "")
        raise UnreadableTable(
            f"has no column {', '.join(absent)} (its first line reads {shown})", told
        )
    twice = {name for name in columns if name and columns.count(name) > 1}
    if twice:
        raise UnreadableTable(f"names the column {', '.join(sorted(twice))} twice", told)
    lines = []
    for number, cells in rows[1:]:
        if any(cells[len(columns) :]):
            raise UnreadableTable(
                f"has {len(cells)} cells, the first line {len(columns)}",
                "put text that holds the delimiter into quotation marks",
                number + skipped,
            )
        values = dict(zip(columns, map(_plain, cells), strict=False))
        short = [name for name in required if name not in values]
        if short:
            raise UnreadableTable(
                f"has {len(cells)} cells, the first line {len(columns)}",
                f"fill in {', '.join(short)}",
                number + skipped,
            )
        lines.append(Line(number + skipped, values))
    return UserTable(tuple(columns), tuple(lines))


def _told(required: Sequence[str], optional: Sequence[str]) -> str:
    if not required:
        return f"its columns may be {', '.join(optional)}"
    more = f" [, {', '.join(optional)}]" if optional else ""
    return f"its columns must be {', '.join(required)}{more}"


def decode_text(content: bytes) -> str:
    """Text of a file in UTF-8, UTF-16 or, where it is neither, Windows-1252.

    Raises:
        UnreadableTable: bytes that are text in none of them.
    """
    encodings = [name for bom, name in _BOMS if content.startswith(bom)]
    if not encodings:
        sample = content[:4096]
        if b"\0" in sample:  # UTF-16 without its mark: every other byte of Latin text is zero
            little = sample[1::2].count(0) >= sample[0::2].count(0)
            encodings = ["utf-16-le" if little else "utf-16-be"]
        else:
            encodings = ["utf-8", "cp1252"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not re.search(r"[\x00-\x08\x0e-\x1f\x7f]", text):
            return text
    raise UnreadableTable("is no text in UTF-8 or UTF-16", "save it as CSV in UTF-8")


def _rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """(line number, cells) of the lines that hold anything."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                rows.append((reader.line_num, stripped))
    except csv.Error as error:
        raise UnreadableTable(
            f"is no CSV ({error})", "check its quotation marks", reader.line_num
        ) from None
    return rows


def _delimiter(text: str, wanted: Sequence[str], candidates: Sequence[str]) -> str:
    """The delimiter under which the first line names the most of the columns wanted."""
    head = next((line for line in text.splitlines() if line.strip()), "")

    def score(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([head], delimiter=delimiter), [])
        found = set(_columns(cells, wanted))
        return len(found & set(wanted)), len(cells)

    return max(candidates, key=score)


def _columns(head: Sequence[str], wanted: Sequence[str]) -> list[str]:
    names = [re.sub(r"[\s-]+", "_", cell.strip().casefold()) for cell in head]
    return [
        ALIASES[name]
        if name not in wanted and ALIASES.get(name) in wanted and ALIASES[name] not in names
        else name
        for name in names
    ]


def _plain(cell: str) -> str:
    """A cell without the apostrophe that `csv_text` puts before what looks like a formula."""
    guarded = cell.startswith("'") and cell[1:].lstrip().startswith(FORMULA_STARTS)
    return cell[1:].strip() if guarded else cell


def csv_text(text: str) -> str:
    """Text that a spreadsheet will not take for a formula (an apostrophe is put before one)."""
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) or text != text.lstrip() else text


def write_csv(
    target: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Atomically writes a CSV file with a header line.

    Args:
        target: the file.
        columns: names of the columns.
        rows: cells: None is written as an empty cell, a float with all its digits, and text so that no
            spreadsheet takes it for a formula (`csv_text`) unless it is a number.
    """
    with atomic_open(target) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_written(cell) for cell in row] for row in rows)


def _written(cell: object) -> object:
    if not isinstance(cell, str) or not cell or cell[0].isalnum():
        return cell
    return csv_text(cell) if not _NUMBER.fullmatch(cell) else cell


# --- cells


def whole_number(text: str) -> int | None:
    """An integer as people and spreadsheets write it, None for anything else.

    >>> [whole_number(text) for text in ("4", "4.0", "4,0", "4,5", "1e0", "")]
    [4, 4, 4, None, None, None]
    """
    found = re.fullmatch(r"([+-]?[0-9]+)(?:[.,]0*)?", text.strip())
    return int(found[1]) if found else None


def speaker_name(text: str) -> str:
    """GRID's name of a speaker written as `S01`, `01` or `speaker1`; other names stay as they are.

    >>> speaker_name("S01"), speaker_name("34"), speaker_name("anna")
    ('s1', 's34', 'anna')
    """
    found = re.fullmatch(r"(?:s|spk|speaker)?[_-]?0*(\d+)", text, re.IGNORECASE)
    name = f"s{found[1]}" if found else text
    return name if name in SPEAKERS else text


def stem_name(text: str) -> str:
    """A GRID stem in lower case, however it was written; other names stay as they are."""
    return text.lower() if is_stem(text.lower()) else text
