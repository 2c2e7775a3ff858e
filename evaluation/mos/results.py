"""Strict reading of answers: JSON or CSV of the pages, or sheets filled in by hand.

Nothing is guessed: invalid answers are rejected with a reason and counted, and the rest is kept.
All answers of a subject whose files disagree are rejected, since it is unknown which one is valid.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.mos.records import Key, KeyTrial
from evaluation.mos.scales import ALL_SCALES
from manifests.errors import BadInput
from manifests.tables import decode_text, parse_table, whole_number

LARGEST_FILE_MB = 20
LONGEST_ECHO = 60
"""Characters of a wrong value that a reason repeats."""
REWRITTEN = (
    "a spreadsheet rewrote the identifier as a number; send the page's own file, or fill in the sheet "
    "again with its columns read as text"
)


@dataclass(frozen=True)
class Answer:
    """One rating.

    Attributes:
        trial: the trial that was rated.
        rating: 1 to the number of answers.
        seconds: from the trial's showing to `Next`; NaN where not known.
        file: its source file.
    """

    trial: KeyTrial
    rating: int
    seconds: float
    file: str


@dataclass(frozen=True)
class Rejection:
    """A rejected answer or file with its reason. `subject` and `trial` are "" where unknown."""

    file: str
    subject: str
    trial: str
    reason: str


@dataclass(frozen=True)
class Imported:
    """
    Attributes:
        answers: subject → trial → answer.
        rejections: in the order of the files.
        comments: subject → comment at the end.
    """

    answers: dict[str, dict[str, Answer]]
    rejections: tuple[Rejection, ...]
    comments: dict[str, str]


def result_files(paths: Sequence[Path]) -> list[Path]:
    """The files named, and the `.json` and `.csv` files of the folders named."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [p for p in sorted(path.iterdir()) if p.suffix.lower() in (".json", ".csv")]
            if not inside:
                raise BadInput(f"{path} holds no .json or .csv file", "pass the results' folder")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise BadInput(f"{path} does not exist", "pass result files or their folder")
    return list(dict.fromkeys(found))


def read_results(paths: Iterable[Path], key: Key) -> Imported:
    """Reads result files against the key."""
    trials = {trial.trial: trial for trial in key.trials}
    subjects = {trial.subject for trial in key.trials}
    rejections: list[Rejection] = []
    per_file: list[tuple[str, str, dict[str, Answer]]] = []
    comments: dict[str, str] = {}
    for path in paths:
        try:
            rows, comment = _rows(path, key)
        except ValueError as error:
            rejections.append(Rejection(path.name, "", "", str(error)))
            continue
        answers, bad = _answers(path.name, rows, trials, subjects)
        rejections += bad
        for subject, mine in answers.items():
            per_file.append((path.name, subject, mine))
            if comment:
                comments[subject] = comment
    merged, bad = _merge(per_file)
    return Imported(merged, (*rejections, *bad), comments)


# --- files → rows


@dataclass(frozen=True)
class _Row:
    subject: str
    trial: str
    rating: Any
    seconds: Any
    line: str


def _rows(path: Path, key: Key) -> tuple[list[_Row], str]:
    """(rows, comment). Raises `ValueError` with the reason why the whole file is rejected."""
    try:
        if path.stat().st_size > LARGEST_FILE_MB * 1e6:
            raise ValueError(f"larger than {LARGEST_FILE_MB} MB: no result file")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    if path.suffix.lower() == ".json":
        return _json_rows(decode_text(content), key)
    return _csv_rows(content, key), ""


def _json_rows(text: str, key: Key) -> tuple[list[_Row], str]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None
    if not isinstance(values, dict) or values.get("schema") != "listening-results":
        raise ValueError("holds no results of a listening test")
    if values.get("schema_version") != 1:
        raise ValueError(f"has schema version {echo(values.get('schema_version'))}, not 1")
    if values.get("design") != key.design:
        raise ValueError(f"belongs to test {echo(values.get('design'))}, not to {key.design}")
    if values.get("consent") is not True:
        raise ValueError("lacks the subject's consent")
    answers = values.get("answers")
    if not isinstance(answers, list) or not all(isinstance(a, dict) for a in answers):
        raise ValueError("lists no answers")
    subject, comment = values.get("subject"), values.get("comment")
    rows = [
        _Row(str(subject), str(a.get("trial")), a.get("rating"), a.get("seconds"), f"answer {i}")
        for i, a in enumerate(answers, 1)
    ]
    return rows, comment[:2000] if isinstance(comment, str) else ""


def _csv_rows(content: bytes, key: Key) -> list[_Row]:
    table = parse_table(content, ("design", "subject", "trial", "rating"), ("seconds", "sound_a"))
    rows = []
    for line in table.lines:
        if line["design"] != key.design:
            if _is_number(line["design"]) and not _is_number(key.design):
                raise ValueError(f"line {line.number} holds {echo(line['design'])}: {REWRITTEN}")
            raise ValueError(f"line {line.number} belongs to test {echo(line['design'])}")
        if not line["rating"] and "sound_a" in table.columns:
            continue  # a sheet's line that was not filled in is simply missing
        value = whole_number(line["rating"])
        rows.append(
            _Row(
                line["subject"],
                line["trial"],
                line["rating"] if value is None else value,
                line["seconds"].replace(",", "."),
                f"line {line.number}",
            )
        )
    return rows


def _is_number(text: str) -> bool:
    """Returns whether a spreadsheet reads a text as a number (`848933112345`, `8,48933E+11`)."""
    return re.fullmatch(r"[+-]?[0-9]+(?:[.,][0-9]*)?(?:e[+-]?[0-9]+)?", text, re.I) is not None


# --- rows → answers


def _answers(
    file: str, rows: Sequence[_Row], trials: dict[str, KeyTrial], subjects: set[str]
) -> tuple[dict[str, dict[str, Answer]], list[Rejection]]:
    bad: list[Rejection] = []
    good: dict[str, dict[str, list[Answer]]] = defaultdict(lambda: defaultdict(list))
    if not rows:
        bad.append(Rejection(file, "", "", "holds no answer"))
    # One line for a whole sheet of them: identifiers of older tests may consist of digits.
    rewritten = [row for row in rows if row.trial not in trials and _is_number(row.trial)]
    if rewritten:
        first = rewritten[0]
        subject = first.subject if first.subject in subjects else ""
        reason = f"{len(rewritten)} trials as {echo(first.trial)} ({first.line}): {REWRITTEN}"
        bad.append(Rejection(file, subject, "", reason))
    for row in rows:
        if row in rewritten:
            continue

        def reject(reason: str, row: _Row = row) -> None:
            known = row.subject if row.subject in subjects else ""
            where = row.trial if row.trial in trials else ""
            bad.append(Rejection(file, known, where, f"{row.line}: {reason}"))

        trial = trials.get(row.trial)
        if row.subject not in subjects:
            reject(f"unknown subject {echo(row.subject)}")
        elif trial is None:
            reject(f"unknown trial {echo(row.trial)}")
        elif trial.subject != row.subject:
            reject(f"the trial is {trial.subject}'s, not {row.subject}'s")
        else:
            most = len(ALL_SCALES[trial.part].answers)
            # True is an int to Python, and 4.0 one to nobody who typed it.
            if type(row.rating) is not int or not 1 <= row.rating <= most:
                reject(f"the rating {echo(row.rating)} is none of 1 to {most}")
            else:
                seconds = _seconds(row.seconds)
                answer = Answer(trial, row.rating, seconds, file)
                good[row.subject][row.trial].append(answer)
    kept: dict[str, dict[str, Answer]] = {}
    for subject, answers in good.items():
        kept[subject] = {}
        for name, found in answers.items():
            if len(found) == 1:
                kept[subject][name] = found[0]
                continue
            same = len({answer.rating for answer in found}) == 1
            told = "" if same else ", differently: none of these counts"
            reason = f"duplicate: answered {len(found)} times{told}"
            bad.append(Rejection(file, subject, name, reason))
            if same:
                kept[subject][name] = found[0]
    return kept, bad


def _seconds(value: Any) -> float:
    """Only for reading; a wrong one is unknown, not a reason to lose the rating."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return seconds if 0 <= seconds < 1e6 else math.nan


def _merge(
    per_file: Sequence[tuple[str, str, dict[str, Answer]]],
) -> tuple[dict[str, dict[str, Answer]], list[Rejection]]:
    """Merges the files of each subject into one set of answers."""
    by_subject: dict[str, list[tuple[str, dict[str, Answer]]]] = defaultdict(list)
    for file, subject, answers in per_file:
        by_subject[subject].append((file, answers))
    merged: dict[str, dict[str, Answer]] = {}
    bad = []
    for subject in sorted(by_subject):
        files = by_subject[subject]
        together: dict[str, Answer] = {}
        clash = ""
        for file, answers in files:
            for name, answer in answers.items():
                earlier = together.setdefault(name, answer)
                if earlier.rating != answer.rating and not clash:
                    clash = f"{earlier.file} and {file} disagree"
        if clash:
            bad.append(Rejection(files[-1][0], subject, "", f"duplicate: {clash}"))
            continue
        for file, _ in files[1:]:
            reason = f"duplicate: no answer differs from {files[0][0]}, each counts once"
            bad.append(Rejection(file, subject, "", reason))
        merged[subject] = together
    return merged, bad


def echo(value: Any) -> str:
    """Returns an invalid value for a reason: short and on one line."""
    text = " ".join(str(value).split())
    shown = text if len(text) <= LONGEST_ECHO else f"{text[:LONGEST_ECHO]}…"
    return repr("".join(c for c in shown if c.isprintable()))
