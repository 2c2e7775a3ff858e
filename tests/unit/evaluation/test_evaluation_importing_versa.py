"""Lists of VERSA and Kaldi, read and written; names that files write otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from evaluation.cli import cli
from evaluation.importing.aliases import read_aliases
from evaluation.importing.patterns import Named
from evaluation.inputs.pairs import read_run
from evaluation.inputs.versa import FILE, read_results, read_scp
from evaluation.metrics.base import column_order, get_metric, select
from evaluation.reporting.run import build_report
from evaluation.reporting.tables import TableOptions
from evaluation.scoring.run import score_runs
from evaluation.scoring.settings import read_settings
from manifests.errors import BadInput
from manifests.io import read_jsonl, write_jsonl
from manifests.records import RunClip


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def clips_of(out: Path) -> dict[str, RunClip]:
    return {c.label: c for c in read_jsonl(out / "clips.jsonl", "run-clips", RunClip)[1]}


def test_a_run_goes_to_versa_and_comes_back(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = make_run(tmp_path / "run", change=lambda s, i: s if i else 0 * s)
    score_runs([read_run(root)], [get_metric("stoi"), get_metric("mcd")], progress=False)
    done = run_cli("export", root, "--out", "versa")
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "versa").iterdir()} == {
        "pred.scp", "ref.scp", "text", "result.jsonl",
    }  # fmt: skip
    lines = (tmp_path / "versa" / "result.jsonl").read_text().splitlines()
    results = {line["key"]: line for line in map(json.loads, lines)}
    assert set(results) == {"s1_bbaf2n", "s1_lgbf6s", "s2_bbaf2n", "s2_lgbf6s"}
    assert results["s1_bbaf2n"] == {"key": "s1_bbaf2n", "stoi": None, "mcd": None}, "failed, not 0"
    assert results["s2_lgbf6s"]["stoi"] == pytest.approx(1.0, abs=1e-4)
    text = dict(
        line.split(" ", 1) for line in (tmp_path / "versa" / "text").read_text().splitlines()
    )
    assert text["s1_bbaf2n"] == "bin blue at f two now"
    again = run_cli(
        "import", "--wavs", "versa/pred.scp", "--references", "versa/ref.scp", "--pattern",
        "{speaker}_{stem}", "--name", "Back", "--out", "back",
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    before, after = clips_of(root), clips_of(tmp_path / "back")
    assert set(before) == set(after)
    for label, clip in after.items():
        for mine, theirs in (
            (root / before[label].wav, tmp_path / "back" / clip.wav),
            (root / before[label].reference, tmp_path / "back" / clip.reference),
        ):
            np.testing.assert_array_equal(soundfile.read(mine)[0], soundfile.read(theirs)[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("s1_bbaf2n\n", "line 1 has no path; write KEY PATH"),
        ("a x.wav\na y.wav\n", "line 2 names a again"),
        ("a sox x.wav -t wav - |\n", "line 1 is a command, not a file"),
    ],
)
def test_bad_lists_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "wav.scp").write_text(content)
    with pytest.raises(BadInput, match=message):
        read_scp(tmp_path / "wav.scp")


def test_tabs_and_spaces_in_paths(tmp_path: Path) -> None:
    (tmp_path / "wav.scp").write_text("a\tx y.wav\n\nb  z z.wav\n")
    assert [(line.key, line.path) for line in read_scp(tmp_path / "wav.scp")] == [
        ("a", "x y.wav"),
        ("b", "z z.wav"),
    ]


def test_a_listed_file_that_is_not_there_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("here.wav", 0.1 * np.ones(8000), 16_000)
    Path("wav.scp").write_text("s1_bbaf2n here.wav\ns1_lgbf6s gone.wav\n")
    done = run_cli(
        "import", "--wavs", "wav.scp", "--pattern", "{speaker}_{stem}", "--name", "A", "--out", "a",
        "--max-failures", 1,
    )  # fmt: skip
    assert "imported 1 + failed 1 + missing 0 = asked 2" in done.output


def test_aliases_of_clips_stems_and_speakers(tmp_path: Path) -> None:
    table = tmp_path / "aliases.csv"
    table.write_text("written,meant\nt1,s1\nbbaf2m,bbaf2n\nx/y,s2/lgbf6s\nnever,s9\n")
    aliases = read_aliases(table)
    assert aliases.read(Named("t1", "bbaf2m")) == Named("s1", "bbaf2n")
    assert aliases.read(Named("x", "y")) == Named("s2", "lgbf6s")
    assert aliases.read(Named("s3", "bbaf2n", "t1")) == Named("s3", "bbaf2n", "s1")
    assert aliases.unused == ["never"]
    assert read_aliases(None).read(Named("s1", "a")) == Named("s1", "a")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("s01,../x", "do not name the same kind|not usable"),
        ("s01,s1/bbaf2n", "do not name the same kind of thing"),
        ("s01,", "not usable as a name"),
        ("s01,s1\ns01,s2", "line 3 names s01 again"),
    ],
)
def test_bad_aliases_are_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "aliases.csv").write_text(f"written,meant\n{line}\n")
    with pytest.raises(BadInput, match=message):
        read_aliases(tmp_path / "aliases.csv")


def test_misspelt_files_find_their_clips(tmp_path: Path) -> None:
    sound = 0.1 * np.ones(8000)
    for name in ("s1/bbaf2n", "s01/lgbf6s", "s01/bbaf2m"):
        path = tmp_path / "wavs" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound, 16_000)
    table = tmp_path / "aliases.csv"
    table.write_text("written,meant\ns01/bbaf2m,s1/pwij3p\ns01,s1\nnobody,s5\n")
    done = run_cli(
        "import", "--wavs", tmp_path / "wavs", "--pattern", "{speaker}/{stem}.wav", "--name", "A",
        "--out", tmp_path / "a", "--aliases", table,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert set(clips_of(tmp_path / "a")) == {"s1/bbaf2n", "s1/lgbf6s", "s1/pwij3p"}
    assert "aliases that no file has: nobody" in done.output


RESULTS = (
    '{"key": "s1_bbaf2n", "utmos": 3.5, "pesq": 0.0, "odd": 1, "w_wer_delete": 1, "w_wer_insert": 0, '
    '"w_wer_replace": 2, "w_wer_equal": 3, "hyp": "bin"}\n'
    "{'key': '/there/wavs/s1/lgbf6s.wav', 'utmos': 4.5, 'pesq': 1.5}\n"
    '{"key": "s2_bbaf2n", "utmos": NaN, "pesq": 1.25}\n'
)


def test_results_of_versa_are_columns_with_our_intervals(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    root = make_run(tmp_path / "run")
    clips = read_jsonl(root / "clips.jsonl", "run-clips", RunClip)[1]
    (root / "wavs" / "s1").mkdir()
    (root / clips[1].wav).rename(root / "wavs" / "s1" / "lgbf6s.wav")
    moved = [c if i != 1 else replace(c, wav="wavs/s1/lgbf6s.wav") for i, c in enumerate(clips)]
    write_jsonl(root / "clips.jsonl", "run-clips", moved)
    (root / FILE).write_text(RESULTS)
    run = read_run(root)
    metrics, _ = select(None, read_settings([run], recognizer="none"))
    ours = [m for m in metrics if m.info.group == "external"]
    assert [(m.info.name, m.info.direction, m.info.ranks) for m in ours] == [
        ("versa_utmos", "higher", True),
        ("versa_odd", "none", False),
        ("versa_w_wer", "lower", True),
        ("versa_pesq", "higher", True),
    ]
    assert column_order("versa_utmos") > column_order("stoi")
    (scored,) = score_runs([run], ours, progress=False)
    value = {place: score.value for place, score in scored.scores.items()}
    assert value["s1/bbaf2n", "versa_utmos"] == 3.5
    assert value["s1/lgbf6s", "versa_utmos"] == 4.5, "a key may be a path"
    assert value["s1/bbaf2n", "versa_w_wer"] == 50
    assert scored.scores["s1/bbaf2n", "versa_w_wer"].weight == 6
    assert value["s1/lgbf6s", "versa_pesq"] == 1.5
    for place in (("s1/bbaf2n", "versa_pesq"), ("s2/bbaf2n", "versa_utmos")):
        assert scored.scores[place].reason.startswith("no_versa_score"), "zero is no PESQ"
    assert score_runs([run], ours, progress=False)[0].n_new == 0
    (root / FILE).write_text(RESULTS.replace("3.5", "3.75"))
    (again,) = score_runs([run], ours, progress=False)
    assert again.scores["s1/bbaf2n", "versa_utmos"].value == 3.75


def test_a_report_has_a_table_of_them(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run")
    (root / FILE).write_text(
        '{"key": "s1_bbaf2n", "utmos": 3.5}\n{"key": "s2_bbaf2n", "utmos": 4}\n'
    )
    run = read_run(root)
    metrics = [get_metric("stoi"), get_metric("versa_utmos")]
    report = build_report(score_runs([run], metrics, progress=False), metrics, TableOptions())
    (table,) = [t for t in report.tables if t.key == "external"]
    assert table.title == "Scored elsewhere"
    assert (table.rows[0].cells[0].mean, table.rows[0].cells[0].counts) == (3.75, "2/2")
    assert any("VERSA" in info.citation for info in report.columns)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]\n", "line 1 is no result of VERSA"),
        ('{"pesq": 1}\n', "line 1 is no result of VERSA"),
        ("{'key': nan}\n", "line 1 is no result of VERSA"),
        ('{"key": "a"}\n{"key": "a"}\n', "line 2 names a again"),
    ],
)
def test_bad_results_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(BadInput, match=message):
        read_results(tmp_path / FILE)
