"""`facetron-eval mos` from end to end, and its scores in the report."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from evaluation.cli import cli
from evaluation.inputs.pairs import read_run
from evaluation.mos.columns import SCORES_FILE, add_test, listening_tables, read_tests
from evaluation.mos.records import read_key
from evaluation.reporting.tables import TableOptions
from manifests.errors import BadInput, ManifestError, TooManyFailures
from manifests.io import read_json, write_json

QUALITY = {
    "Alpha": 3.7, "Beta": 2.4, "Recording": 4.5, "Low anchor": 1.3, "Other gender": 1.3,
}  # fmt: skip
SMALL = (
    "--clips-per-speaker", 2, "--subjects", 6, "--practice", 1, "--repeats", 1, "--parts",
    "mos,smos-gender",
)  # fmt: skip


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def done(*arguments: object) -> str:
    result = run_cli("mos", *arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.fixture(scope="module")
def answered(
    tmp_path_factory: pytest.TempPathFactory, make_runs: Callable[..., list[Path]], listeners: Any
) -> Path:
    """A folder with runs, a test on them, and the results of its subjects."""
    folder = tmp_path_factory.mktemp("answered")
    runs = make_runs(folder / "runs")
    done("design", *runs, "--out", folder / "test", *SMALL)
    listeners(QUALITY).write(folder / "results", read_key(folder / "test"))
    (folder / "results" / "broken.json").write_text("{")
    return folder


@pytest.fixture
def scored(tmp_path: Path, answered: Path) -> tuple[list[Path], Path, str]:
    """(run directories, the test's folder, what scoring printed)."""
    shutil.copytree(answered, tmp_path, dirs_exist_ok=True)
    runs, test = sorted((tmp_path / "runs").glob("run*")), tmp_path / "test"
    printed = done(
        "score", test, tmp_path / "results", "--out", tmp_path / "scores", "--min-correlation", -1
    )
    return runs, test, printed


def test_design_and_pages(tmp_path: Path, make_runs: Callable[..., list[Path]]) -> None:
    runs = make_runs(tmp_path / "runs")
    consent = tmp_path / "consent.txt"
    consent.write_text("Please <b>read</b>.\n\nThanks.", encoding="utf-8")
    printed = done(
        "design", *runs, "--out", tmp_path / "test", *SMALL, "--title", "Voices", "--consent",
        consent, "--speakers", "anna,bert", "--no-headphones", "--seed", 4,
    )  # fmt: skip
    assert "MOS: Alpha, Beta, Recording, Low anchor" in printed
    assert "6 subjects" in printed
    options = read_key(tmp_path / "test").options
    assert (options["title"], options["seed"], options["speakers"]) == (
        "Voices",
        4,
        ["anna", "bert"],
    )
    assert "6 pages of " in done("pages", tmp_path / "test")
    pages = sorted((tmp_path / "test" / "handout" / "pages").iterdir())
    assert [p.name for p in pages] == [f"S0{i}.html" for i in range(1, 7)]
    text = pages[0].read_text()
    assert "\\u003cb\\u003eread" in text
    sheets = (tmp_path / "test" / "handout" / "sheets").iterdir()
    rows = list(csv.DictReader(min(sheets).read_text().splitlines()))
    assert len(rows) == 2 * (4 + 1 + 2 + 2 + 1)
    wav = done("pages", tmp_path / "test" / "handout", "--encoding", "wav")
    assert "6 pages of " in wav
    assert "audio/wav" in pages[0].read_text()


def test_remaking_a_test_takes_its_old_pages_away(
    tmp_path: Path, make_runs: Callable[..., list[Path]]
) -> None:
    runs = make_runs(tmp_path / "runs")
    for _ in range(2):
        done("design", *runs, "--out", tmp_path / "test", *SMALL)
        assert not (tmp_path / "test" / "handout" / "pages").exists()
        done("pages", tmp_path / "test")
    result = run_cli("mos", "design", runs[0], "--out", tmp_path / "test", *SMALL)
    assert isinstance(result.exception, BadInput)
    assert "holds another listening test" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "mos,mus"], "there is no part 'mus'; choose from mos"),
        (["--parts", ""], "there is no part"),
        (["--speakers", "9"], "clips of 4 speakers, 9 were requested"),
        (["--consent", "gone.txt"], "gone.txt cannot be read"),
        (["--clips", "swapped"], "share no swapped clip"),
        (["--preset", "paper-swaps"], "share no swapped clip"),
        ([], "5 usable clips in all runs, 10 were requested"),
    ],
)
def test_design_errors(
    tmp_path: Path, make_runs: Callable[..., list[Path]], arguments: list[str], message: str
) -> None:
    runs = make_runs(tmp_path / "runs")
    result = run_cli("mos", "design", *runs, "--out", tmp_path / "test", *arguments)
    assert isinstance(result.exception, BadInput), result.output
    assert message in str(result.exception)
    assert not (tmp_path / "test").exists()


def test_scores_and_rejections_are_printed(scored: tuple[list[Path], Path, str]) -> None:
    runs, _, printed = scored
    assert "6 of 6 subjects accepted; 1 answers or files rejected" in printed
    assert "rejected: broken.json: is no JSON" in printed
    for name in ("MOS", "SMOS (gender)", "Alpha", "Recording", "Other gender"):
        assert name in printed
    for run in runs:
        assert str(run / "mos.json") in printed


def test_scores_reach_the_report(scored: tuple[list[Path], Path, str], tmp_path: Path) -> None:
    runs, _, _ = scored
    outcome = read_json(tmp_path / "scores" / "mos.json")
    mean = outcome["parts"][0]["conditions"][0]["rating"]["mean"]
    for interval in ("t", "bootstrap"):
        result = run_cli(
            "report", *runs, "--out", tmp_path / "o", "--metrics", "level_dbfs", "--jobs", 0,
            "--interval", interval,
        )  # fmt: skip
        assert result.exit_code == 0, (result.output, result.exception)
        low, high = outcome["parts"][0]["conditions"][0]["rating"][interval]
        # Six subjects and three pairs: Holm's correction leaves no difference, so nothing is bold.
        cell = f"| {mean:.2f} [{low:.2f}, {high:.2f}]"
        text = (tmp_path / "o" / "report.md").read_text()
        assert cell in text
        for word in ("## Listening test", "MOS ↑", "SMOS (gender) ↑", "Same gender (%) ↑"):
            assert word in text
        assert "| Low anchor |" in text
        assert f"{mean:.2f} [{low:.2f}, {high:.2f}]" in result.output
    page = (tmp_path / "o" / "report.html").read_text()
    assert page.count("Listening test") >= 2, "in the contents and as a heading"
    assert r"MOS $\uparrow$" in (tmp_path / "o" / "report.tex").read_text()
    rows = list(csv.DictReader((tmp_path / "o" / "report.csv").read_text().splitlines()))
    found = {r["system"]: r for r in rows if r["metric"] == "mos"}
    assert float(found["Alpha"]["mean"]) == pytest.approx(mean)
    assert (found["Low anchor"]["kind"], found["Low anchor"]["split"]) == ("anchor", "")
    assert {r["n_ok"] for r in rows if r["metric"] == "mos"} == {"12"}


def test_scores_fill_the_papers_table(scored: tuple[list[Path], Path, str], tmp_path: Path) -> None:
    runs, _, _ = scored
    result = run_cli(
        "report", *runs, "--out", tmp_path / "o", "--metrics", "level_dbfs", "--jobs", 0,
        "--table", "large", "--format", "md",
    )  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    table = (tmp_path / "o" / "report.md").read_text().split("\n## ")[1]
    (line,) = [line for line in table.splitlines() if "| Alpha |" in line]
    mean = read_json(runs[0] / SCORES_FILE)["tests"][0]["parts"][0]["conditions"][0]["rating"]
    assert f"{mean['mean']:.2f}" in line


def test_a_report_without_tests_has_no_such_table(
    tmp_path: Path, make_runs: Callable[..., list[Path]]
) -> None:
    runs = [read_run(path) for path in make_runs(tmp_path)]
    assert listening_tables(runs, TableOptions()) == ()


def test_a_test_without_any_score_says_why_in_its_files(tmp_path: Path, answered: Path) -> None:
    arguments = ("score", answered / "test", "--out", tmp_path / "out")
    strict = run_cli("mos", *arguments, answered / "results", "--max-same-share", 0)
    assert isinstance(strict.exception, TooManyFailures)
    assert "rejected subject: S01: same:" in strict.output
    assert "- S01: same: " in (tmp_path / "out" / "mos.md").read_text()
    assert not list((answered / "runs").glob("*/mos.json")), "nobody's ratings are published"
    broken = run_cli("mos", *arguments, answered / "results" / "broken.json")
    assert isinstance(broken.exception, BadInput)
    assert "no answer of test" in str(broken.exception)
    assert "| broken.json |  |  | is no JSON |" in (tmp_path / "out" / "mos.md").read_text()


def test_several_tests_are_several_tables(scored: tuple[list[Path], Path, str]) -> None:
    runs, _, _ = scored
    name, (test,) = read_tests(runs[0])
    assert name == "Alpha"
    add_test(runs[0], "Alpha", test)
    assert len(read_tests(runs[0])[1]) == 1, "scored again, not twice"
    add_test(runs[0], "Alpha", {**test, "design": "other"})
    tables = listening_tables([read_run(run) for run in runs], TableOptions())
    assert [table.key for table in tables] == ["listening", "listening1"]
    assert [row.label for row in tables[0].rows] == [
        "Alpha", "Beta", "Recording", "Low anchor", "Other gender",
    ]  # fmt: skip
    assert tables[1].rows[0].label == "Alpha"
    assert "Beta" not in [row.label for row in tables[1].rows]
    cell = tables[0].rows[3].cells[1]
    assert (cell.mean, cell.counts) == (None, "–"), "the quality anchor is not in the pairs"


@pytest.mark.parametrize("change", ["schema", "tests", "interval", "part"])
def test_damaged_scores_are_named(scored: tuple[list[Path], Path, str], change: str) -> None:
    runs, _, _ = scored
    values = read_json(runs[0] / SCORES_FILE)
    if change == "schema":
        values["schema"] = "x"
    elif change == "tests":
        values["tests"] = [{"design": "x"}]
    elif change == "interval":
        values["tests"][0]["parts"][0]["conditions"][0]["rating"]["t"] = [1]
    else:
        values["tests"][0]["parts"][0]["part"] = "karaoke"
    write_json(runs[0] / SCORES_FILE, values)
    result = run_cli("report", *runs, "--metrics", "level_dbfs", "--jobs", 0)
    assert isinstance(result.exception, ManifestError)
    assert "mos.json holds no listening scores" in str(result.exception)


def test_runs_that_moved_or_changed_their_name_are_told(
    scored: tuple[list[Path], Path, str], tmp_path: Path
) -> None:
    runs, test, _ = scored
    for run in runs:
        (run / SCORES_FILE).unlink()
    runs[0].rename(tmp_path / "elsewhere")
    info = json.loads((runs[1] / "run.json").read_text())
    (runs[1] / "run.json").write_text(json.dumps({**info, "name": "Gamma"}))
    printed = done(
        "score", test / "key.json", tmp_path / "results", "--out", tmp_path / "again",
        "--min-correlation", -1,
    )  # fmt: skip
    assert "so no report will show its scores" in printed
    assert "is now named 'Gamma', not 'Beta'" in printed
    assert not (runs[1] / SCORES_FILE).exists()
    quiet = done(
        "score", test, tmp_path / "results", "--out", tmp_path / "again", "--no-publish",
        "--min-correlation", -1, "--test", "t", "--over", "items",
    )  # fmt: skip
    assert "Gamma" not in quiet


def test_without_a_key_nothing_is_scored(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    result = run_cli("mos", "score", tmp_path, tmp_path / "a.json", "--out", tmp_path / "o")
    assert isinstance(result.exception, BadInput)
    assert "pass the key.json" in str(result.exception)
