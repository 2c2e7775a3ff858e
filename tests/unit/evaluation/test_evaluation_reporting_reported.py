"""The paper's tables: its numbers as printed, never mixed with measured ones."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from evaluation.cli import cli
from evaluation.inputs.pairs import read_run
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import MetricInfo, get_metric
from evaluation.reporting.printed import latex_table, printed
from evaluation.reporting.reported import TABLES, paper_tables, reported_tables
from evaluation.reporting.tables import Cell, Row, Table, TableOptions
from evaluation.scoring.run import ScoredRun, score_runs
from manifests.io import read_jsonl, write_jsonl
from manifests.records import RunClip

SETTINGS = Settings(recognizer="transcripts", transcripts_by="Someone")
PRINTED = {
    "small": [
        ("reported", "GAN-based", "2.79 9.1 18.3 1.42"),
        ("reported", "Voc-based", "2.63 6.2 11 2.19"),
        ("reported", "Lip2wav", "3.39 8 15.4 3.57"),
        ("reported", "Facetron", "3.47 7.1 13.7 3.69"),
    ],
    "large": [
        ("reported, seen", "Lip2wav", "3.60 7.4 11.6 3.20 3.53 –"),
        ("reported, seen", "Facetron", "3.44 6.9 10.7 3.74 4.16 –"),
        ("reported, unseen", "Lip2wav", "3.19 12.5 24.1 2.83 – 94.56"),
        ("reported, unseen", "Facetron", "3.24 7.7 14.7 3.87 – 99.22"),
        ("reported, unseen, demo samples", "VCVTS", "– – – 2.31 – –"),
        ("reported, unseen, demo samples", "Facetron", "– – – 4.19 – –"),
    ],
    "disentanglement": [("reported", "Facetron", "3.41 8.3 14.3 3.57 3.8")],
}
BOLD = {
    "small": ["", "6.2 11", "", "3.47 3.69"],
    "large": ["3.60", "6.9 10.7 3.74 4.16", "", "3.24 7.7 14.7 3.87 99.22", "", "4.19"],
    "disentanglement": [""],
}
"""What the paper prints in bold, row by row."""


def scored_run(root: Path, heard: str = "bin blue at f two soon") -> ScoredRun:
    clips = read_jsonl(root / "clips.jsonl", "run-clips", RunClip)[1]
    rows = [{"schema": "transcripts", "schema_version": 1, "recognizer": "Someone"}]
    for clip in clips:
        voice = clip.voice
        rows.append({"speaker": clip.speaker, "stem": clip.stem, "text": heard, "voice": voice})
    (root / "transcripts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    metrics = [get_metric(name, SETTINGS) for name in ("cer", "wer")]
    return score_runs([read_run(root)], metrics, progress=False)[0]


def tables_of(which: str, *runs: ScoredRun, others: tuple[Table, ...] = ()) -> list[Table]:
    metrics = [get_metric(name, SETTINGS) for name in ("cer", "wer")]
    return paper_tables(which, runs, metrics, TableOptions(), others)


def change_clips(root: Path, change: Callable[[int, RunClip], RunClip]) -> None:
    clips = read_jsonl(root / "clips.jsonl", "run-clips", RunClip)[1]
    write_jsonl(root / "clips.jsonl", "run-clips", [change(i, c) for i, c in enumerate(clips)])


@pytest.mark.parametrize("key", TABLES)
def test_every_number_of_the_paper(key: str) -> None:
    (table,) = tables_of(key)
    shown = [(r.section, r.label, " ".join(c.shown for c in r.cells)) for r in table.rows]
    assert shown == PRINTED[key]
    for row in table.rows:
        for cell in row.cells:
            assert cell.mean is None or cell.mean == float(cell.shown)
            assert (cell.counts, cell.low) == ("–", None)
    bold = [" ".join(c.shown for c in r.cells if c.best) for r in table.rows]
    assert bold == BOLD[key]
    assert "Facetron: A Multi-speaker" in " ".join(table.remarks)
    assert "CER of 5.6 % and a WER of 8.3 %" in " ".join(table.remarks)


def test_columns_are_known_metrics_where_there_are_any() -> None:
    for paper in reported_tables().values():
        for info in paper.columns:
            assert info.direction in ("higher", "lower")
            assert info.definition
            if info.name in ("cer", "wer", "nisqa_tts"):
                measured = get_metric(info.name).info
                assert (info.label, info.unit) == (measured.label, measured.unit)


def test_measured_rows_stand_above_and_compete_alone(
    tmp_path: Path, make_run: Callable[..., Path], add_noise: Callable[..., object]
) -> None:
    how = {"split": "small", "stems": ("bbaf2n", "lgbf6s", "pwij3p"), "change": add_noise}
    good = scored_run(make_run(tmp_path / "a", name="Good", **how), "bin blue at f two now")
    poor = scored_run(make_run(tmp_path / "b", name="Facetron", **how))
    (table,) = tables_of("small", good, poor)
    assert [(r.section, r.label) for r in table.rows[:2]] == [
        ("measured", "Good"),
        ("measured", "Facetron"),
    ]
    assert [row.kind for row in table.rows[2:]] == ["reported"] * 4
    nisqa, cer, wer, mos = table.rows[0].cells
    assert (wer.mean, wer.best, cer.best) == (0, True, True)
    assert (nisqa.shown, mos.shown) == ("–", "–"), "not measured"
    measured = [row for row in table.rows[1:] if row.kind != "reported"]
    assert not any(cell.best for row in measured for cell in row.cells)
    assert "Measured on split" not in " ".join(table.remarks)


def test_seen_and_unseen_are_told_apart(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run", split="mine")
    change_clips(root, lambda i, clip: replace(clip, seen=clip.speaker == "s1"))
    (table,) = tables_of("large", scored_run(root))
    measured = [row for row in table.rows if row.kind != "reported"]
    assert [row.section for row in measured] == ["measured, seen", "measured, unseen"]
    assert [row.cells[2].n_ok for row in measured] == [2, 2]
    assert "Measured on split mine" in table.remarks[0]
    for split, part in (("large-seen", "seen"), ("large-unseen", "unseen")):
        (table,) = tables_of("large", scored_run(make_run(tmp_path / split, split=split)))
        assert [r.section for r in table.rows if r.kind == "model"] == [f"measured, {part}"]
        assert table.rows[0].cells[2].n_ok == 4


def test_swaps_go_to_their_table_only(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run", split="large-unseen")
    change_clips(root, lambda i, clip: replace(clip, voice="s9") if i < 3 else clip)
    swaps = scored_run(root)
    plain = scored_run(make_run(tmp_path / "plain", name="Plain", split="large-unseen"))
    large, third = (tables_of(key, swaps, plain)[0] for key in ("large", "disentanglement"))
    assert [(r.label, r.cells[2].n_ok) for r in large.rows[:2]] == [("Model", 1), ("Plain", 4)]
    assert [(r.label, r.kind) for r in third.rows] == [("Model", "model"), ("Facetron", "reported")]
    assert third.rows[0].cells[2].n_ok == 3
    (none,) = tables_of("disentanglement", plain)
    assert none.remarks[0] == "No run given holds such clips."


def test_listening_tests_fill_their_columns(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    info = MetricInfo("mos", "MOS", "", "higher", "Mean opinion score", "P.800", decimals=2)
    heard = Table("mos", "Listening", (info,), (Row("Model", "model", (Cell(3.5, 3, 4, 40, 0),)),))
    run = scored_run(make_run(tmp_path / "run", split="small"))
    (table,) = tables_of("small", run, others=(heard,))
    assert table.rows[0].cells[3].mean == 3.5
    assert table.columns[3] is info


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def test_every_form_keeps_them_apart(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run", name="Facetron", split="small")
    scored_run(root)
    out = tmp_path / "o"
    result = run_cli("report", root, "--table", "all", "--metrics", "wer,stoi", "--out", out)
    assert result.exit_code == 0, result.output
    assert "Table I of the paper" in result.output
    text = (out / "report.md").read_text()
    assert "| reported | Facetron | **3.47** | 7.1 | 13.7 | **3.69** | – |" in text
    assert "| measured | Facetron | – | – | 16.7 [16.7, 16.7] | – | 4/0 |" in text
    page = (out / "report.html").read_text()
    assert page.count('<td class="text">reported</td>') == 5
    rows = list(csv.DictReader((out / "report.csv").read_text().splitlines()))
    reported = [r for r in rows if r["kind"] == "reported"]
    assert len(reported) == 4 * 4 + 5 + 5 + 5 + 5 + 1 + 1 + 5
    assert {r["n_ok"] for r in reported} == {""}
    mine = [r for r in rows if (r["kind"], r["metric"]) == ("model", "wer")]
    assert len(mine) == 1 + 2, "everyone and two speakers, once"
    tex = (out / "report.tex").read_text()
    assert tex.count(r"\begin{table*}") == 3 + 2 + 1
    assert run_cli("report", root, "--table", "medium").exception is not None


def test_without_the_option_there_is_no_reported_row(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    root = make_run(tmp_path / "run")
    run_cli("report", root, "--metrics", "stoi", "--out", tmp_path / "o")
    assert "reported" not in (tmp_path / "o" / "report.md").read_text()


def test_objective_and_subjective_heads_stand_above_the_columns() -> None:
    (table,) = tables_of("large")
    made = printed(table)
    assert made.spans == (("", 2), ("Objective", 3), ("Subjective", 3), ("", 1))
    lines = latex_table(made, "Caption.").splitlines()
    heads = lines.index(r"\toprule") + 1
    assert lines[heads].split(" & ") == [
        r"\multicolumn{2}{c}{}",
        r"\multicolumn{3}{c}{Objective}",
        r"\multicolumn{3}{c}{Subjective}",
        r"\multicolumn{1}{c}{} \\",
    ]
    assert lines[heads + 1] == r"\cmidrule(lr){3-5}\cmidrule(lr){6-8}"
    columns = next(line for line in lines if line.startswith(r"\begin{tabular}"))
    assert len(columns.split("{")[-1].rstrip("}")) == 9
    assert all(line.count(" & ") == 8 for line in lines if line.startswith(("reported", "Rows")))


def test_table_two_is_whole_from_runs_of_two_splits(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    roots = [
        make_run(tmp_path / split, name="Facetron", split=split)
        for split in ("large-seen", "large-unseen")
    ]
    for root in roots:
        scored_run(root)
    out = tmp_path / "o"
    result = run_cli(
        "report", roots[0], "--elsewhere", roots[1], "--table", "large", "--metrics", "wer", "--out",
        out, "--jobs", 0, "--format", "md",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    text = (out / "report.md").read_text()
    for part in ("seen", "unseen"):
        assert f"| measured, {part} | Facetron | – | – | 16.7 [16.7, 16.7] | –" in text
    card = json.loads((out / "protocol.json").read_text())
    assert card["clips"]["split"] == ["large-seen"]
    assert card["clips"]["common"] == 4
    assert card["aggregation"]["interval"] == "t"
    (wer,) = card["metrics"]
    assert wer["name"] == "wer"
    assert "Someone" in wer["judge"]
    assert "## Protocol" in text
    assert "4 that all systems hold, of 2 speakers" in text
    alone = run_cli("report", roots[0], "--elsewhere", roots[1], "--metrics", "wer")
    assert "--elsewhere without --table" in str(alone.exception)
