"""Tables and their four forms: right numbers, honest counts, nothing that a name could inject."""

from __future__ import annotations

import csv
import html.parser
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from evaluation.cli import cli
from evaluation.inputs.pairs import read_run
from evaluation.metrics.base import REGISTRY, get_metric
from evaluation.reporting.printed import latex, latex_table, markdown, pages, printed
from evaluation.reporting.run import build_report, write_report
from evaluation.reporting.tables import (
    Cell,
    Row,
    Table,
    TableOptions,
    format_interval,
    format_mean,
    natural,
    within,
)
from evaluation.reporting.writers import EvaluationReport
from evaluation.scoring.run import score_runs
from manifests.errors import BadInput, MissingDependency, ToolkitError
from manifests.tables import csv_text

HOSTILE = """=HYPERLINK("x")</td><script>alert('1')</script>|`*_%&${~^\\"""
FAST = ("stoi", "mcd", "mcd_dtw", "level_dbfs")


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def build(
    *roots: Path, names: tuple[str, ...] = FAST, options: TableOptions | None = None
) -> EvaluationReport:
    metrics = [get_metric(name) for name in names]
    scored = score_runs([read_run(root) for root in roots], metrics, progress=False)
    return build_report(scored, metrics, options or TableOptions())


def write(report: EvaluationReport, out: Path) -> dict[str, str]:
    formats = ("md", "latex", "csv", "html")
    rank_by = report.metrics[0].info
    paths = write_report(report, out, formats, rank_by=rank_by, n_clips=1)
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


@pytest.fixture
def two_systems(
    tmp_path: Path, make_run: Callable[..., Path], add_noise: Callable[..., object]
) -> list[Path]:
    return [
        make_run(tmp_path / "rec", name="Recording", kind="recording"),
        make_run(tmp_path / "noisy", name="Noisy", change=add_noise),
        make_run(tmp_path / "quiet", name="Quiet", change=lambda s, i: 0.99 * s),
    ]


def test_cells_are_means_of_the_scores(two_systems: list[Path]) -> None:
    report = build(*two_systems)
    main = report.tables[0]
    assert [info.name for info in main.columns] == ["stoi", "mcd"]
    values = [
        score.value
        for (_, name), score in report.scored[1].scores.items()
        if name == "stoi" and score.value is not None
    ]
    cell = main.rows[1].cells[0]
    assert cell.mean == pytest.approx(np.mean(values))
    assert cell.low is not None
    assert cell.high is not None
    assert cell.low <= cell.mean <= cell.high
    assert cell.counts == "4/0"


def test_bold_is_for_the_best_model_only(
    tmp_path: Path, make_run: Callable[..., Path], add_noise: Callable[..., Any]
) -> None:
    def less_noise(sound: NDArray[np.float64], index: int) -> NDArray[np.float64]:
        return 0.5 * sound + 0.25 * add_noise(sound, index)

    stems = ("bbaf2n", "lgbf6s", "pwij3p")
    roots = [
        make_run(tmp_path / "rec", name="Recording", kind="recording", stems=stems),
        make_run(tmp_path / "noisy", name="Noisy", change=add_noise, stems=stems),
        make_run(tmp_path / "quiet", name="Quiet", change=less_noise, stems=stems),
        make_run(tmp_path / "control", name="Control", kind="control", stems=stems),
    ]
    boot = TableOptions(method="bootstrap")
    for column in range(2):
        rows = build(*roots, options=boot).tables[0].rows
        assert [row.cells[column].best for row in rows] == [False, False, True, False]
    alone = build(roots[0], roots[1], roots[3], options=boot).tables[0]
    assert not any(cell.best for row in alone.rows for cell in row.cells)


def test_speaker_table_agrees_with_the_whole(two_systems: list[Path]) -> None:
    report = build(two_systems[1])
    assert [row.speaker for row in report.speakers.rows] == ["s1", "s2"]
    means = [row.cells[0].mean or 0.0 for row in report.speakers.rows]
    assert report.tables[0].rows[0].cells[0].mean == pytest.approx(np.mean(means))


def test_missing_and_failed_are_counted_not_averaged(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    root = make_run(tmp_path / "run", n_expected=7, change=lambda s, i: s)
    soundfile.write(root / "wavs" / "s1_bbaf2n.wav", np.zeros(19_200), 16_000)
    report = build(root)
    cell = report.tables[0].rows[0].cells[0]
    assert (cell.n_ok, cell.n_failed, cell.n_missing) == (3, 1, 3)
    assert cell.mean == pytest.approx(1.0), "three perfect clips, not zeros beside them"
    assert cell.reasons == {"silent": 1}
    files = write(report, tmp_path / "out")
    for text in (files["report.md"], files["report.html"], files["report.tex"]):
        assert "3/1/3" in text
        assert "3 of 7 clips are missing" in text
    assert "| Model | silent |" in files["report.md"]


def test_a_run_without_any_score(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run", change=lambda s, i: 0 * s)
    files = write(build(root), tmp_path / "out")
    assert "| Model | – | – | 0/4 |" in files["report.md"]
    result = run_cli("report", root, "--out", tmp_path / "o", "--jobs", 0, "--metrics", "stoi")
    assert isinstance(result.exception, ToolkitError)
    assert "no clip could be scored" in str(result.exception)
    assert (tmp_path / "o" / "report.html").is_file(), "the report says why"


def test_a_run_without_clips(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run", stems=(), n_expected=5)
    files = write(build(root), tmp_path / "out")
    assert "0/0/5" in files["report.md"]


def test_method_changes_the_interval_alone(two_systems: list[Path]) -> None:
    cells = [
        build(two_systems[1], options=options).tables[0].rows[0].cells[0]
        for options in (TableOptions(method="bootstrap"), TableOptions(), TableOptions(method="t"))
    ]
    assert cells[1] == cells[2], "two speakers are few"
    assert len({cell.mean for cell in cells}) == 1
    assert cells[2].low != cells[0].low


def test_markdown_table_has_one_shape(two_systems: list[Path], tmp_path: Path) -> None:
    report = build(*two_systems, options=TableOptions(method="bootstrap"))
    text = write(report, tmp_path / "out")["report.md"]
    table = text.split("## Scores against the recordings\n\n")[1].split("\n\n")[0].splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert re.search(r"\| \d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", text)
    for word in ("large-unseen", "seed 0", "2000 resamples"):
        assert word in text
    appendix = (tmp_path / "out" / "definitions.md").read_text()
    for word in ("pystoi", "c0 left out", "leaves out zero"):
        assert word in appendix


def test_csv_is_tidy_and_exact(two_systems: list[Path], tmp_path: Path) -> None:
    report = build(*two_systems)
    files = write(report, tmp_path / "out")
    rows = list(csv.DictReader(files["report.csv"].splitlines()))
    everyone = [r for r in rows if r["speaker"] == "all"]
    assert len(everyone) == 3 * 4
    noisy = next(r for r in everyone if (r["system"], r["metric"]) == ("Noisy", "stoi"))
    assert float(noisy["mean"]) == report.tables[0].rows[1].cells[0].mean
    assert (noisy["n_ok"], noisy["interval"], noisy["direction"]) == ("4", "t", "higher")
    clips = list(csv.DictReader(files["report_clips.csv"].splitlines()))
    assert len(clips) == 3 * 4 * 4
    assert {r["status"] for r in clips} == {"ok"}


class Tags(html.parser.HTMLParser):
    """Counts tags and checks that they close in order."""

    VOID = ("meta", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href")]
        assert not [k for k, _ in attrs if k.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)  # <line/>

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parse(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    tags.close()
    assert not tags.open
    return tags


def test_page_is_whole_and_self_contained(two_systems: list[Path], tmp_path: Path) -> None:
    tags = parse(write(build(*two_systems), tmp_path / "out")["report.html"])
    assert all(a.startswith(("#", "data:")) for a in tags.addresses)
    # Two systems (recordings are not compared with themselves), best and worst, both sides.
    assert tags.seen.count("audio") == tags.seen.count("img") == 2 * 2 * 2
    assert tags.seen.count("svg") == 2
    assert tags.seen.count("script") == 1


def test_hostile_names_stay_text(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run", name=HOSTILE)
    lines = (root / "clips.jsonl").read_text().replace('"s1"', '"=s1<img src=x onerror=a()>"')
    (root / "clips.jsonl").write_text(lines.replace("bin blue", "<script>b()</script>"))
    files = write(build(root), tmp_path / "out")
    tags = parse(files["report.html"])
    assert tags.seen.count("script") == 1
    assert "x" not in tags.addresses
    assert "<script>" not in files["report.md"]
    assert "<img" not in files["report.md"]
    for name in ("report.csv", "report_clips.csv"):
        cells = [cell for row in csv.reader(files[name].splitlines()) for cell in row]
        starts = ("=", "+", "@", "\t")
        assert not [cell for cell in cells if cell.startswith(starts)]
        assert f"'{HOSTILE}" in cells


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", " =1", "\r\n=1", "＝1"])
def test_formulas_are_disarmed(text: str) -> None:
    assert csv_text(text) == f"'{text}"


def test_plain_text_is_left_alone() -> None:
    assert csv_text("s1/bbaf2n") == "s1/bbaf2n"
    assert markdown("VVM (Griffin-Lim)") == "VVM (Griffin-Lim)"
    assert latex("VVM (Griffin-Lim)") == "VVM (Griffin-Lim)"


def test_latex_escapes() -> None:
    assert latex("50 % & a_b #1 ~ ^ \\x {}$") == (
        r"50 \% \& a\_b \#1 \textasciitilde{} \textasciicircum{} \textbackslash{}x \{\}\$"
    )
    assert latex("--interval") == "-{}-interval"
    assert latex("é, 中") == "é, [U+4E2D]"


def test_latex_has_one_shape(two_systems: list[Path]) -> None:
    report = build(*two_systems)
    for table in report.all_tables:
        text = latex_table(printed(table), "c")
        columns = re.search(r"\\begin\{tabular\}\{([lc]+)\}", text)
        assert columns
        for line in text.splitlines():
            if line.endswith(r"\\"):
                assert line.count("&") == len(columns[1]) - 1, line
        for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
            assert text.count(rule) == 1


def test_long_tables_are_cut_into_pages() -> None:
    info = get_metric("stoi").info
    cell = Cell(0.5, 0.4, 0.6, 3, 0)
    rows = tuple(Row("A", "model", (cell,), f"s{i}") for i in range(50))
    table = Table("speakers", "Per speaker", (info,), rows, by_speaker=True)
    parts = list(pages(printed(table)))
    assert [len(part.rows) for _, part in parts] == [24, 24, 2]
    assert len({part.key for _, part in parts}) == 3


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(
    two_systems: list[Path], tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    hostile = make_run(tmp_path / "hostile", name=HOSTILE + "中 é “q” …", n_expected=9)
    write(build(*two_systems, hostile), tmp_path / "out")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    pages_made = re.search(r"Output written on report\.pdf \((\d+) pages?", done.stdout)
    assert pages_made
    assert "Float too large" not in done.stdout


def test_formats_of_numbers() -> None:
    info = get_metric("stoi").info
    assert format_mean(Cell(None, None, None, 0, 1), info) == "–"
    assert format_mean(Cell(-0.0001, None, None, 1, 0), info) == "0.000"
    assert format_interval(Cell(-0.5, -0.75, -0.25, 2, 0), info) == "[−0.750, −0.250]"
    assert format_interval(Cell(1, 0.5, 2, 2, 0, is_range=True), info) == "(0.500 … 2.000)"
    assert sorted(["s10", "s2", "s1"], key=natural) == ["s1", "s2", "s10"]


@pytest.mark.parametrize("name", REGISTRY)
def test_shares_in_percent_do_not_end_at_one(name: str) -> None:
    info = get_metric(name).info
    if info.unit == "%":
        low, high = within(info, -5.0, 250.0)
        assert low == 0
        assert high >= 100


def test_command(two_systems: list[Path], tmp_path: Path) -> None:
    arguments = ["report", *two_systems, "--out", tmp_path / "out", "--jobs", 0]
    result = run_cli(*arguments)
    assert result.exit_code == 0, result.output
    for word in ("Degradation index ↑", "STOI ↑", "F0 RMSE (cents) ↓", "Noisy"):
        assert word in result.output
    counts = re.findall(r"(\d+) scores ok, (\d+) failed, (\d+) comp", result.output)
    assert len(counts) == 3
    assert all(int(computed) == int(ok) + int(failed) >= 60 for ok, failed, computed in counts)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "definitions.md", "protocol.json", "report.md", "report.tex", "report.csv", "report_clips.csv",
        "report.html",
    }  # fmt: skip
    # Two recognizers that hear no word agree on nothing, so that not all counts are the same.
    assert "n ok/failed" not in result.output
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    again = run_cli(*arguments)
    assert "0 computed now" in again.output
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    few = run_cli(*arguments, "--metrics", "stoi,mel_l1")
    assert "n ok/failed" in few.output


def test_command_options(two_systems: list[Path], tmp_path: Path) -> None:
    result = run_cli("report", two_systems[1], "--format", "csv", "--metrics", "mcd, stoi")
    assert result.exit_code == 0, result.output
    out = two_systems[1] / "report"
    assert {p.name for p in out.iterdir()} == {
        "definitions.md", "protocol.json", "report.csv", "report_clips.csv",
    }  # fmt: skip
    for arguments, message in (
        (["--metrics", "stoy"], "there is no metric 'stoy'"),
        (["--format", "pdf"], "there is no format 'pdf'"),
        (["--metrics", "level_dbfs", "--rank-by", "level_dbfs"], "cannot be ranked"),
    ):
        result = run_cli("report", two_systems[1], *arguments)
        assert isinstance(result.exception, BadInput)
        assert message in str(result.exception)


def test_a_report_overwrites_no_file_of_others(two_systems: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "report.tex").write_text("My thesis")
    (out / "notes.md").write_text("Mine")
    arguments = ("report", two_systems[1], "--metrics", "stoi", "--jobs", 0, "--out", out)

    refused = run_cli(*arguments)
    assert isinstance(refused.exception, BadInput)
    assert "report.tex is there already, and not of a report" in str(refused.exception)
    assert (out / "report.tex").read_text() == "My thesis"
    assert not (two_systems[1] / "scores.jsonl").exists(), "known before the scoring"
    assert sorted(path.name for path in out.iterdir()) == ["notes.md", "report.tex"]
    assert run_cli(*arguments, "--format", "md,csv").exit_code == 0
    assert run_cli(*arguments, "--format", "md,csv").exit_code == 0  # its own are overwritten
    assert (out / "notes.md").read_text() == "Mine"


def test_score_command_prints_counts(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run", n_expected=5)
    (root / "wavs" / "s1_bbaf2n.wav").unlink()
    result = run_cli("score", root, "--metrics", "stoi,mcd", "--jobs", 0)
    assert result.exit_code == 0, result.output
    assert "4 clips, 1 missing; 8 scores, 6 ok, 2 failed, 8 computed now" in result.output


def test_absent_library_is_one_line_and_the_others_go_on(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.metrics import base

    real = base.library_version
    monkeypatch.setattr(
        base, "library_version", lambda name: "absent" if name == "pesq" else real(name)
    )
    root = make_run(tmp_path / "run")
    result = run_cli("report", root, "--metrics", "stoi,pesq_wb", "--jobs", 0)
    assert result.return_value == MissingDependency.exit_code
    assert "pip install 'facetron-toolkit[pesq]'" in result.output
    assert "1.000" in result.output
    assert "pesq_wb needs pesq" in (root / "report" / "report.md").read_text().replace("\\", "")
