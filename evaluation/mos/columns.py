"""MOS and SMOS columns of the report, from the `mos.json` of run directories, one table per test.

The intervals are the test's own, over its subjects; the report's `--interval` chooses which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluation.inputs.pairs import RunDir
from evaluation.metrics.base import MetricInfo
from evaluation.mos.scales import SCALES
from evaluation.reporting.bold import COMPETES
from evaluation.reporting.tables import Cell, Row, Table, TableOptions
from evaluation.stats import intervals as statistics
from manifests.errors import ManifestError
from manifests.io import read_json, write_json

SCORES_FILE = "mos.json"
"""In a run directory: the tests that its system took part in."""
SCHEMA = "listening-scores"
SIGNIFICANT = 0.05
NOTHING = Cell(None, None, None, 0, 0, shown="–")


def scale_info(part: str, *, share: bool = False) -> MetricInfo:
    """Returns the column description of a scale, or of its percentage of ratings of 4 and 5."""
    scale = SCALES[part]
    return MetricInfo(
        name=f"{part}_share" if share else part,
        label=scale.share if share else scale.label,
        unit="%" if share else "",
        direction="higher",
        definition=(
            f"Percentage of {scale.label} ratings of 4 and 5" if share else scale.definition
        ),
        citation="ITU-T P.800 and P.808",
        license="",
        decimals=1 if share else 2,
        needs_reference=False,
    )


def read_tests(root: Path) -> tuple[str, list[dict[str, Any]]]:
    """(name of the system, its tests) of a run directory's `mos.json`; ("", []) where there is
    none.

    Raises:
        ManifestError: it is damaged or something else.
    """
    path = root / SCORES_FILE
    if not path.exists():
        return "", []
    values = read_json(path)
    try:
        if values["schema"] != SCHEMA or values["schema_version"] != 1:
            raise ValueError("another schema or version")
        for test in values["tests"]:
            _ = (
                str(test["design"]),
                int(test["subjects"]["accepted"] + test["subjects"]["received"]),
            )
            for part in test["parts"]:
                for condition in part["conditions"]:
                    _ = condition["name"], condition["kind"]
                    for method in ("t", "bootstrap"):
                        _cells(condition, part["part"], method)
        return str(values["system"]), list(values["tests"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ManifestError(
            f"{path} holds no listening scores ({type(error).__name__}: {error})",
            "delete it and run `facetron-eval mos score` again",
        ) from None


def add_test(root: Path, system: str, test: dict[str, Any]) -> Path:
    """Puts a test into a run directory's `mos.json`, in place of an earlier scoring of it."""
    earlier = [other for other in read_tests(root)[1] if other["design"] != test["design"]]
    path = root / SCORES_FILE
    tests = [*earlier, test]
    write_json(path, {"schema": SCHEMA, "schema_version": 1, "system": system, "tests": tests})
    return path


def listening_tables(runs: Sequence[RunDir], options: TableOptions) -> tuple[Table, ...]:
    """Returns one table per listening test: one row per run, then the controls of the test."""
    tests: dict[str, dict[str, Any]] = {}
    took_part: dict[str, list[RunDir]] = {}
    for run in runs:
        for test in read_tests(run.root)[1]:
            tests[test["design"]] = test
            took_part.setdefault(test["design"], []).append(run)
    tables = []
    for number, (design, test) in enumerate(tests.items()):
        method = statistics.chosen(options.method, int(test["subjects"]["accepted"]))
        parts = [part for part in SCALES if _conditions(test, part)]
        columns = [scale_info(p, share=s) for p in parts for s in (False, True) if _has(p, share=s)]
        present = [run.info.name for run in took_part[design]]
        rows = [
            Row(run.info.name, run.info.kind, _row(test, run.info.name, parts, method))
            for run in took_part[design]
        ]
        beside = {
            name: condition["kind"]
            for part in parts
            for name, condition in _conditions(test, part).items()
            if condition["kind"] in ("recording", "anchor") and name not in present
        }
        rows += [Row(n, k, _row(test, n, parts, method)) for n, k in beside.items()]
        tables.append(
            Table(
                "listening" + (str(number) if number else ""),
                "Listening test" + (f" {design}" if len(tests) > 1 else ""),
                tuple(columns),
                tuple(_with_bold(rows, columns, test)),
                remarks=_remarks(test, method),
            )
        )
    return tuple(tables)


def _with_bold(
    rows: Sequence[Row], columns: Sequence[MetricInfo], test: dict[str, Any]
) -> list[Row]:
    """Bold: the best rating of the models where the test's own comparison with each of the others,
    corrected by Holm's method over all pairs of the part, holds."""
    rivals = [row for row in rows if row.kind == COMPETES]
    if len(rivals) < 2:
        return list(rows)
    winners: dict[str, set[str]] = {}
    for found in test["parts"]:
        better = {name: set[str]() for name in (row.label for row in rivals)}
        for pair in found.get("comparisons", ()):
            if pair["p_holm"] is not None and pair["p_holm"] < SIGNIFICANT:
                names = pair["first"], pair["second"]
                winner, loser = names if pair["difference"] > 0 else names[::-1]
                better.setdefault(winner, set()).add(loser)
        winners[found["part"]] = {
            row.label
            for row in rivals
            if better[row.label] >= {other.label for other in rivals if other is not row}
        }
    return [
        replace(
            row,
            cells=tuple(
                replace(cell, best=row.kind == COMPETES and row.label in winners.get(info.name, ()))
                for cell, info in zip(row.cells, columns, strict=True)
            ),
        )
        for row in rows
    ]


def _has(part: str, *, share: bool) -> bool:
    return not share or bool(SCALES[part].share)


def _remarks(test: dict[str, Any], method: statistics.Method) -> tuple[str, ...]:
    how = (
        "bootstrap of subjects, then of their ratings"
        if method == "bootstrap"
        else "Student t over subjects"
    )
    subjects = test["subjects"]
    return (
        f"Means of ratings with the test's own intervals ({how}); test {test['design']}, "
        f"{subjects['accepted']} of {subjects['received']} subjects count.",
        "n: accepted ratings/ratings of rejected subjects.",
    )


def _conditions(test: dict[str, Any], part: str) -> dict[str, dict[str, Any]]:
    """Name → score of the test's conditions in a part."""
    return {
        condition["name"]: condition
        for found in test["parts"]
        if found["part"] == part
        for condition in found["conditions"]
    }


def _row(test: dict[str, Any], name: str, parts: Sequence[str], method: str) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for part in parts:
        condition = _conditions(test, part).get(name)
        if condition is None:
            cells += [NOTHING] * (2 if SCALES[part].share else 1)
        else:
            cells += _cells(condition, part, method)
    return tuple(cells)


def _cells(condition: dict[str, Any], part: str, method: str) -> list[Cell]:
    """The cell of a condition's rating, and of its percentage where the scale has one."""
    cells = []
    for estimate in [condition["rating"], *([condition["share"]] if SCALES[part].share else [])]:
        low, high = estimate[method] or (None, None)
        mean, low, high = (
            None if value is None else float(value) for value in (estimate["mean"], low, high)
        )
        counts = int(condition["n_ratings"]), int(condition["n_rejected"])
        cells.append(Cell(mean, low, high, *counts) if counts != (0, 0) else NOTHING)
    return cells
