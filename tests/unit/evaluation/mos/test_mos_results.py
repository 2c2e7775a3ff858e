"""Whatever may come back from listeners: taken in where it is right, rejected with its reason
where it is not."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.inputs.pairs import RunDir
from evaluation.mos.records import Key
from evaluation.mos.results import Imported, echo, read_results, result_files
from manifests.errors import BadInput

QUALITY = {"Alpha": 3.0, "Beta": 2.5, "Recording": 4.6, "Low anchor": 1.2}
Save = Callable[..., Path]


@pytest.fixture(scope="module")
def key(runs: list[RunDir], make_key: Callable[..., Key]) -> Key:
    return make_key(runs, clips_per_speaker=2, subjects=3, practice=1, repeats=1)


@pytest.fixture
def answers(key: Key, listeners: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = listeners(QUALITY).answers(key, "S01")
    return found


def read(key: Key, *paths: Path) -> Imported:
    return read_results(paths, key)


def reasons(imported: Imported) -> list[str]:
    return [rejection.reason for rejection in imported.rejections]


def test_json_is_read(
    tmp_path: Path, key: Key, answers: list[dict[str, Any]], save_result: Save
) -> None:
    path = save_result(tmp_path / "a.json", key, "S01", answers, comment="loud fan")
    imported = read(key, path)
    assert not imported.rejections
    assert imported.comments == {"S01": "loud fan"}
    assert {t: a.rating for t, a in imported.answers["S01"].items()} == {
        a["trial"]: a["rating"] for a in answers
    }
    assert {a.seconds for a in imported.answers["S01"].values()} == {4.5}


def write_csv(path: Path, key: Key, answers: list[dict[str, Any]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["design", "subject", "trial", "rating", "plays", "seconds"])
        for a in answers:
            writer.writerow([key.design, "S01", a["trial"], a["rating"], "1", "2.5"])
    return path


def test_csv_is_read_with_commas_and_semicolons(
    tmp_path: Path, key: Key, answers: list[dict[str, Any]]
) -> None:
    for delimiter in ",;":
        imported = read(key, write_csv(tmp_path / "a.csv", key, answers, delimiter))
        assert not imported.rejections
        assert len(imported.answers["S01"]) == len(answers)


def test_sheet_filled_in_by_hand(tmp_path: Path, key: Key, answers: list[dict[str, Any]]) -> None:
    lines = ["design,subject,number,trial,sound_a,rating"]
    for i, a in enumerate(answers):
        lines.append(f"{key.design},S01,{i + 1},{a['trial']},x.wav,{a['rating'] if i else ''}")
    (tmp_path / "sheet.csv").write_text("\r\n".join(lines))
    imported = read(key, tmp_path / "sheet.csv")
    assert not imported.rejections, "an empty cell is missing, not wrong"
    assert len(imported.answers["S01"]) == len(answers) - 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"design": "ffffffffff"}, "belongs to test 'ffffffffff', not to 0123456789"),
        ({"schema": "other"}, "holds no results of a listening test"),
        ({"schema_version": 2}, "has schema version '2', not 1"),
        ({"consent": False}, "lacks the subject's consent"),
        ({"consent": "yes"}, "lacks the subject's consent"),
        ({"answers": {"a": 1}}, "lists no answers"),
        ({"answers": [1]}, "lists no answers"),
        ({"answers": []}, "holds no answer"),
    ],
)
def test_whole_files_are_rejected(
    tmp_path: Path,
    key: Key,
    answers: list[dict[str, Any]],
    save_result: Save,
    changes: dict[str, Any],
    reason: str,
) -> None:
    path = save_result(tmp_path / "a.json", key, "S01", answers, **changes)
    imported = read(key, path)
    assert not imported.answers
    assert reasons(imported) == [reason]
    assert imported.rejections[0].file == "a.json"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", b"{", "is no JSON"),
        ("a.json", b"[" * 100_000, "is no JSON"),
        ("a.json", b"[]", "holds no results of a listening test"),
        ("a.csv", b"\xff\xfe\x00", "is no text in UTF-8 or UTF-16"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"design,subject,rating\n", "has no column trial"),
        ("a.csv", b"design,subject,trial,rating,rating\n", "names the column rating twice"),
        ("a.csv", b"design,subject,trial,rating\nx,S01,t,3\n", "line 2 belongs to test 'x'"),
        (
            "a.csv", b"design,subject,trial,rating\n0123456789,S01\n",
            "line 2 has 2 cells, the first line 4",
        ),
        (
            "a.csv", b"design,subject,trial,rating\n0123456789,S01,t,3,4\n",
            "line 2 has 5 cells, the first line 4",
        ),
        ("a.csv", b'design,subject,trial,rating\n"0123', "line 2 is no CSV"),
    ],
)  # fmt: skip
def test_damaged_files_are_rejected(
    tmp_path: Path, key: Key, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (found,) = reasons(read(key, tmp_path / name))
    assert found.startswith(reason)


@pytest.mark.parametrize("rating", [0, 6, 3.5, 4.0, "4", True, None, "=1+1", [3], "٣"])
def test_ratings_out_of_range(
    tmp_path: Path, key: Key, answers: list[dict[str, Any]], save_result: Save, rating: Any
) -> None:
    answers[8]["rating"] = rating
    imported = read(key, save_result(tmp_path / "a.json", key, "S01", answers))
    assert len(imported.answers["S01"]) == len(answers) - 1
    (rejection,) = imported.rejections
    assert (rejection.subject, rejection.trial) == ("S01", answers[8]["trial"])
    assert rejection.reason == f"answer 9: the rating {echo(rating)} is none of 1 to 5"


@pytest.mark.parametrize("rating", ["0", "6", "3.5", "=2", "", "٣", "3 4", "1e0"])
def test_ratings_out_of_range_in_csv(
    tmp_path: Path, key: Key, answers: list[dict[str, Any]], rating: str
) -> None:
    answers[8]["rating"] = rating
    imported = read(key, write_csv(tmp_path / "a.csv", key, answers))
    assert len(imported.answers["S01"]) == len(answers) - 1
    assert "line 10: the rating" in reasons(imported)[0]


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_a_spreadsheet_of_another_country(
    tmp_path: Path, key: Key, answers: list[dict[str, Any]], encoding: str
) -> None:
    lines = ["Design;Subject;TRIAL;Rating;Seconds"]
    lines += [f"{key.design};S01;{a['trial']};{a['rating']},0;2,5" for a in answers]
    (tmp_path / "a.csv").write_bytes("\r\n".join(lines).encode(encoding))
    imported = read(key, tmp_path / "a.csv")
    assert not imported.rejections
    assert [a.rating for a in imported.answers["S01"].values()] == [a["rating"] for a in answers]
    assert {a.seconds for a in imported.answers["S01"].values()} == {2.5}


def test_identifiers_that_became_numbers_are_one_line(
    tmp_path: Path, key: Key, answers: list[dict[str, Any]]
) -> None:
    for a, mangled in zip(answers[:3], ("8.48933E+11", "8,5E+12", "12345678901"), strict=True):
        a["trial"] = mangled
    imported = read(key, write_csv(tmp_path / "a.csv", key, answers, ";"))
    assert len(imported.answers["S01"]) == len(answers) - 3
    (reason,) = reasons(imported)
    assert "3 trials as '8.48933E+11' (line 2): a spreadsheet rewrote" in reason
    lettered = replace(key, design="t123456789")
    (tmp_path / "b.csv").write_text("design,subject,trial,rating\n1.2E+09,S01,x,3\n")
    (reason,) = reasons(read(lettered, tmp_path / "b.csv"))
    assert "line 2 holds '1.2E+09': a spreadsheet rewrote" in reason


def test_a_tone_has_three_answers(
    tmp_path: Path, key: Key, answers: list[dict[str, Any]], save_result: Save
) -> None:
    answers[0]["rating"] = 4
    imported = read(key, save_result(tmp_path / "a.json", key, "S01", answers))
    assert reasons(imported) == ["answer 1: the rating '4' is none of 1 to 3"]


def test_strangers(
    tmp_path: Path, key: Key, answers: list[dict[str, Any]], save_result: Save
) -> None:
    imported = read(key, save_result(tmp_path / "a.json", key, "S99", answers[:2]))
    assert not imported.answers
    assert reasons(imported) == [f"answer {i}: unknown subject 'S99'" for i in (1, 2)]
    imported = read(key, save_result(tmp_path / "a.json", key, "S02", answers[:1]))
    assert reasons(imported) == ["answer 1: the trial is S01's, not S02's"]
    imported = read(
        key, save_result(tmp_path / "a.json", key, "S01", [{"trial": "=cmd()", "rating": 1}])
    )
    assert reasons(imported) == ["answer 1: unknown trial '=cmd()'"]


def test_answered_twice(
    tmp_path: Path, key: Key, answers: list[dict[str, Any]], save_result: Save
) -> None:
    again = {**answers[7]}
    imported = read(key, save_result(tmp_path / "a.json", key, "S01", [*answers, again]))
    assert reasons(imported) == ["duplicate: answered 2 times"]
    assert len(imported.answers["S01"]) == len(answers), "counts once"
    again["rating"] = answers[7]["rating"] % 5 + 1
    imported = read(key, save_result(tmp_path / "a.json", key, "S01", [*answers, again]))
    assert reasons(imported) == ["duplicate: answered 2 times, differently: none of these counts"]
    assert len(imported.answers["S01"]) == len(answers) - 1


def test_two_files_of_one_subject(
    tmp_path: Path, key: Key, answers: list[dict[str, Any]], save_result: Save
) -> None:
    half = save_result(tmp_path / "a.json", key, "S01", answers[:10])
    whole = write_csv(tmp_path / "b.csv", key, answers)
    imported = read(key, half, whole)
    assert reasons(imported) == ["duplicate: no answer differs from a.json, each counts once"]
    assert len(imported.answers["S01"]) == len(answers)
    answers[9]["rating"] = answers[9]["rating"] % 5 + 1
    imported = read(key, half, write_csv(tmp_path / "b.csv", key, answers))
    assert not imported.answers, "nobody knows which one is meant"
    assert reasons(imported) == ["duplicate: a.json and b.csv disagree"]


def test_seconds_are_only_information(
    tmp_path: Path, key: Key, answers: list[dict[str, Any]], save_result: Save
) -> None:
    for answer, value in zip(answers, ["=1", None, -3, "inf", True, 1e300, {}], strict=False):
        answer["seconds"] = value
    imported = read(key, save_result(tmp_path / "a.json", key, "S01", answers))
    assert not imported.rejections
    seconds = [imported.answers["S01"][a["trial"]].seconds for a in answers[:8]]
    assert all(map(math.isnan, seconds[:7]))
    assert seconds[7] == 4.5


def test_files_are_found(tmp_path: Path) -> None:
    for name in ("b.json", "a.CSV", "notes.txt"):
        (tmp_path / name).write_text("x")
    assert [p.name for p in result_files([tmp_path, tmp_path / "b.json"])] == ["a.CSV", "b.json"]
    with pytest.raises(BadInput, match="does not exist; pass result files"):
        result_files([tmp_path / "gone"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"holds no \.json or \.csv file"):
        result_files([tmp_path / "empty"])


def test_reasons_are_short_and_on_one_line() -> None:
    assert echo("a\nb\x1b[31m") == "'a b[31m'"
    assert len(echo("x" * 5000)) < 70


def test_huge_numbers_do_no_harm(tmp_path: Path, key: Key, save_result: Save) -> None:
    path = save_result(tmp_path / "a.json", key, "S01", [])
    text = path.read_text().replace('"answers": []', '"answers": [{"rating": 1' + "0" * 6000 + "}]")
    path.write_text(text)
    assert len(read(key, path).rejections) == 1
    json.dumps([r.reason for r in read(key, path).rejections])
