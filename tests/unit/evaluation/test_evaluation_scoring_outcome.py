"""What goes wrong in a scoring: it is said, it costs no other score, and what is not the clip's fault is
tried again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from evaluation.cli import cli
from evaluation.inputs import compiled
from evaluation.inputs.pairs import read_run
from evaluation.metrics.base import get_metric
from evaluation.metrics.input_checks import Level
from evaluation.scoring.outcome import check_outcome, complaints, reason_lines
from evaluation.scoring.run import SCORES, score_runs
from manifests.errors import TooManyFailures
from manifests.io import read_jsonl, write_jsonl
from manifests.records import RunClip, Score

Make = Callable[..., Path]


def run_cli(*arguments: object) -> tuple[Any, str, BaseException | None]:
    result = CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)
    return result.return_value, result.output, result.exception


def test_what_a_metric_raised_is_tried_again(
    tmp_path: Path, make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_run(tmp_path / "run")

    def broken(*_: object) -> float:
        raise RuntimeError("cannot cache function")

    with monkeypatch.context() as broken_machine:
        broken_machine.setattr(Level, "value", broken)
        _, output, error = run_cli("score", root, "--metrics", "level_dbfs,mcd", "--jobs", 0)
    assert (
        "raised: 4 scores of 4 clips (level_dbfs), e.g. s1/bbaf2n: RuntimeError: cannot" in output
    )
    assert isinstance(error, TooManyFailures)
    assert "level_dbfs failed on every clip by no fault of the clips" in str(error)
    stored = read_jsonl(root / SCORES, "scores", Score)[1]
    assert sum(score.reason.startswith("raised") for score in stored) == 4
    code, output, error = run_cli("score", root, "--metrics", "level_dbfs,mcd", "--jobs", 0)
    assert (code, error) == (0, None)
    assert "8 scores, 8 ok, 0 failed, 4 computed now" in output


FAKE_PESQ = """
import os
class PesqError(Exception):
    pass
def pesq(rate_hz, reference, degraded, mode):
    if len(reference) < {short}:
        os.kill(os.getpid(), 11)
    return 2.0
"""


def test_scoring_survives_a_metric_that_kills_its_process(
    tmp_path: Path, make_run: Make, make_sound: Callable[..., Any]
) -> None:
    import soundfile

    root = make_run(tmp_path / "run")
    for folder in (root / "wavs", tmp_path / "recordings"):
        soundfile.write(folder / "s2_lgbf6s.wav", make_sound(3, 0.9), 16_000)
    library = tmp_path / "site"
    (library / "pesq-0.0.4.dist-info").mkdir(parents=True)
    (library / "pesq-0.0.4.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: pesq\nVersion: 0.0.4\n"
    )
    (library / "pesq.py").write_text(FAKE_PESQ.format(short=16_000))
    paths = os.pathsep.join([str(library), *filter(None, sys.path)])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "evaluation.cli", "score", str(root)),
            *("--metrics", "pesq_wb,level_dbfs", "--jobs", "1"),
        ],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "8 scores, 7 ok, 1 failed" in done.stdout
    assert "died: 1 score of 1 clip (pesq_wb), e.g. s2/lgbf6s" in done.stdout
    assert "Fatal Python error" not in done.stderr, "a line, not pages of stacks"
    of_clip = {
        s.metric: s.status
        for s in read_jsonl(root / SCORES, "scores", Score)[1]
        if (s.speaker, s.stem) == ("s2", "lgbf6s")
    }
    assert of_clip == {"pesq_wb": "failed", "level_dbfs": "ok"}


def test_a_run_without_its_build_is_an_error(tmp_path: Path, make_run: Make) -> None:
    root = make_run(tmp_path / "run")
    shutil.rmtree(tmp_path / "recordings")
    _, output, error = run_cli("score", root, "--metrics", "stoi,level_dbfs", "--jobs", 0)
    assert "8 scores, 4 ok, 4 failed" in output
    assert "reference_file_missing: 4 scores of 4 clips (stoi)" in output
    assert isinstance(error, TooManyFailures)
    assert "none of its 4 recordings is there" in str(error)
    assert "\n" not in str(error)
    code, _, error = run_cli("score", root, "--metrics", "level_dbfs", "--jobs", 0)
    assert (code, error) == (0, None), "a level needs no recording"


def test_some_failures_are_no_error(tmp_path: Path, make_run: Make) -> None:
    root = make_run(tmp_path / "run")
    (root / "wavs/s1_bbaf2n.wav").unlink()
    scored = score_runs([read_run(root)], [get_metric("stoi")], progress=False)
    check_outcome(scored)
    assert complaints(scored) == []
    assert reason_lines(scored[0]) == [
        "file_missing: 1 score of 1 clip (stoi), e.g. s1/bbaf2n: s1_bbaf2n.wav does not exist"
    ]


def test_known_scores_need_no_writable_folder(
    tmp_path: Path, make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_run(tmp_path / "run")
    metrics = [get_metric("level_dbfs")]
    score_runs([read_run(root)], metrics, progress=False)
    (root / ".lock").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in root.iterdir()}

    def refused(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("evaluation.scoring.run.held", refused)
    (scored,) = score_runs([read_run(root)], metrics, progress=False)
    assert (scored.n_new, len(scored.scores)) == (0, 4)
    assert {path.name: path.stat().st_mtime_ns for path in root.iterdir()} == before


def test_a_run_that_reads_no_lips_has_no_lip_scores(tmp_path: Path, make_run: Make) -> None:
    reading, silent = (make_run(tmp_path / n / "run", name=n) for n in ("reading", "resynthesis"))
    clips = read_jsonl(reading / "clips.jsonl", "run-clips", RunClip)[1]
    read = [
        RunClip.from_dict({**c.to_dict(), "transcript": "bin blue at f two soon"}) for c in clips
    ]
    write_jsonl(reading / "clips.jsonl", "run-clips", read)
    runs = [read_run(reading), read_run(silent)]
    metrics = [get_metric(name) for name in ("lip_wer", "level_dbfs")]
    first, second = score_runs(runs, metrics, progress=False)
    assert {metric for _, metric in first.scores} == {"lip_wer", "level_dbfs"}
    assert {metric for _, metric in second.scores} == {"level_dbfs"}
    assert second.n_failed == 0
    out = tmp_path / "out"
    arguments = ("--metrics", "lip_wer,level_dbfs", "--jobs", 0, "--out", out, "--resamples", 100)
    code, output, error = run_cli("report", reading, silent, *arguments)
    assert (code, error) == (0, None)
    assert "no_lip_transcript" not in output + (out / "report.html").read_text()


def test_counts_as_json(tmp_path: Path, make_run: Make) -> None:
    root = make_run(tmp_path / "run")
    (root / "wavs/s1_bbaf2n.wav").unlink()
    _, output, error = run_cli("score", root, "--metrics", "mcd", "--jobs", 0, "--json")
    assert error is None
    found = json.loads(output[output.index("{") :])
    (run,) = found["runs"]
    assert (run["clips"], run["failed"], run["computed"]) == (4, 1, 4)
    assert run["metrics"]["mcd"]["reasons"] == {"file_missing": 1}
    assert run["metrics"]["mcd"]["mean_over_clips"] == pytest.approx(0)


def test_scores_as_a_table(tmp_path: Path, make_run: Make) -> None:
    root = make_run(tmp_path / "run")
    (root / "wavs/s1_bbaf2n.wav").unlink()
    (scored,) = score_runs([read_run(root)], [get_metric("mcd")], progress=False)
    table = scored.to_dataframe()
    assert table["value"].isna().tolist() == [True, False, False, False]
    assert table.loc[0, ["clip", "metric", "status"]].tolist() == ["s1/bbaf2n", "mcd", "failed"]


def test_numba_is_given_a_cache_where_it_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(compiled.VARIABLE, raising=False)
    monkeypatch.setattr(compiled, "_writable", lambda _: True)
    compiled.prepare_cache()
    assert compiled.VARIABLE not in os.environ, "numba finds a place by itself"
    monkeypatch.setattr(compiled, "_writable", lambda _: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(compiled.VARIABLE, "")  # undone afterwards
    compiled.prepare_cache()
    folder = Path(os.environ[compiled.VARIABLE])
    assert folder.parent == tmp_path
    compiled._remove(str(folder), os.getpid())
    assert not folder.exists()


def test_where_numba_may_write(tmp_path: Path) -> None:
    assert compiled._writable(tmp_path / "not" / "there")
    (tmp_path / "file").write_text("")
    assert not compiled._writable(tmp_path / "file")
