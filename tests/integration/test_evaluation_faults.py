"""A run with everything wrong that a run can have, walked through scoring, report and comparison: each
fault costs its own scores, says why, and nothing else."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from numpy.typing import NDArray

from evaluation.cli import cli
from evaluation.inputs.pairs import RunDir, read_run
from evaluation.metrics.base import REGISTRY, Metric, get_metric
from evaluation.scoring.run import score_runs
from evaluation.scoring.settings import read_settings
from manifests.errors import BadInput, MissingDependency
from manifests.grammar import words_of
from manifests.io import read_jsonl, write_json, write_jsonl
from manifests.records import RunClip, RunInfo, Score

RATE_HZ = 16_000
Sound = NDArray[np.float64]


def speech(seed: int, seconds: float = 1.5, rate_hz: int = RATE_HZ) -> Sound:
    """A voiced buzz in syllables: enough for every metric to have something to measure."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    f0 = (100 + 20 * (seed % 6)) * 2 ** (0.2 * np.sin(2 * np.pi * 0.7 * t + seed))
    phase = 2 * np.pi * np.cumsum(f0) / rate_hz
    buzz = sum(np.sin(k * phase) / k for k in range(1, 20))
    swell = np.clip(np.sin(2 * np.pi * 2.2 * t + seed), 0, 1) ** 0.5
    return np.asarray(0.1 * buzz * swell + 0.002 * rng.standard_normal(len(t)))


def wav(rate_hz: int = RATE_HZ, **options: Any) -> Callable[[Path, Sound], None]:
    return lambda path, sound: soundfile.write(path, sound, rate_hz, **options)


def with_nan(path: Path, sound: Sound) -> None:
    sound = sound.copy()
    sound[500] = math.nan
    soundfile.write(path, sound, RATE_HZ, subtype="FLOAT")


def resampled(rate_hz: int) -> Callable[[Path, Sound], None]:
    import soxr

    return lambda path, sound: soundfile.write(
        path, soxr.resample(sound, RATE_HZ, rate_hz), rate_hz
    )


def half(path: Path, sound: Sound) -> None:
    soundfile.write(path, sound, RATE_HZ)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


FAULTS: dict[str, tuple[Callable[[Path, Sound], None], str]] = {
    "whole": (wav(), ""),
    "stereo": (lambda path, s: soundfile.write(path, np.stack([s, s], 1), RATE_HZ), ""),
    "8 kHz": (resampled(8_000), ""),
    "48 kHz": (resampled(48_000), ""),
    "silent": (lambda path, s: soundfile.write(path, 0 * s, RATE_HZ), "silent"),
    "one sample": (lambda path, s: soundfile.write(path, s[:1], RATE_HZ), "too_short"),
    "NaN": (with_nan, "not_finite"),
    "half a file": (half, "length_mismatch"),
    "no wav": (lambda path, s: path.write_text("<html>404</html>"), "unreadable"),
    "not there": (lambda path, s: None, "file_missing"),
}
"""Fault → how it is written, and why a metric that compares with the recording has no number."""

STEMS = (
    "bbaf2n", "lgbf6s", "swbvzs", "pwij3p", "brwg8a", "sgib9s", "bgar1s", "sbby8p", "lrae1p", "swwj2a",
)  # fmt: skip


def said(stem: str, k: int) -> str:
    """What a recognizer wrote: capitals, digits and punctuation in turn, always the right words."""
    words = words_of(stem)
    text = " ".join(words)
    digit = {"one": "1", "two": "2", "three": "3", "six": "6", "eight": "8", "nine": "9"}
    written = (text.upper(), text.title() + ".", " ".join(digit.get(w, w) for w in words))
    return written[k % 3]


def write_faulty(root: Path, *, name: str = "Model", only: int = len(STEMS)) -> Path:
    """A run over ten clips of two speakers, one for each fault, the first `only` of them written."""
    recordings = root.parent / "recordings"
    recordings.mkdir(exist_ok=True)
    (root / "wavs").mkdir(parents=True)
    clips, lines = [], [{"schema": "transcripts", "schema_version": 1, "recognizer": "Somebody"}]
    for k, (stem, (write, _)) in enumerate(zip(STEMS, FAULTS.values(), strict=True)):
        speaker = ("s1", "s4")[k % 2]
        sound = speech(k)
        soundfile.write(recordings / f"{stem}.wav", sound, RATE_HZ)
        write(root / "wavs" / f"{stem}.wav", sound)
        clips.append(
            RunClip(
                speaker, stem, " ".join(words_of(stem)), "male", f"wavs/{stem}.wav",
                f"../recordings/{stem}.wav",
            )
        )  # fmt: skip
        lines.append({"speaker": speaker, "stem": stem, "text": said(stem, k)})
    write_jsonl(root / "clips.jsonl", "run-clips", clips[:only])
    info = RunInfo(name, "model", "small", "test", RATE_HZ, len(clips))
    write_json(root / "run.json", info.to_dict())
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (root / "transcripts.jsonl").write_text(text)
    return root


def invoke(*arguments: object) -> tuple[Any, str]:
    result = CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)
    assert result.exception is None, result.output
    return result.return_value, result.output


def usable(run: RunDir) -> list[Metric]:
    """Every registered metric whose library and weights are here."""
    options = {"recognizer_path": None, "nisqa_weights": None, "any_nisqa_weights": False}
    settings = read_settings([run], recognizer="transcripts", **options)
    found = []
    for name in REGISTRY:
        metric = get_metric(name, settings)
        try:
            metric.require()
            score_runs([RunDir(run.root, run.info, run.clips[:1])], [metric], progress=False)
        except (MissingDependency, BadInput):
            continue
        found.append(metric)
    (run.root / "scores.jsonl").unlink()
    return found


def test_no_fault_is_a_defect_of_any_metric(tmp_path: Path) -> None:
    run = read_run(write_faulty(tmp_path / "run"))
    metrics = usable(run)
    assert len(metrics) > 20
    (scored,) = score_runs([run], metrics, progress=False)
    applicable = [metric for metric in metrics if metric.applies(run)]
    assert len(scored.scores) == len(STEMS) * len(applicable)
    for (label, name), score in scored.scores.items():
        assert not score.reason.startswith("raised"), (label, name, score.reason)
        assert (score.value is None) == (score.status == "failed")
        assert score.value is None or math.isfinite(score.value)
    for clip, (fault, (_, reason)) in zip(run.clips, FAULTS.items(), strict=True):
        stoi = scored.scores[clip.clip_id, "stoi"]
        assert stoi.reason.split(":")[0] == reason, fault
        wer = scored.scores[clip.clip_id, "wer"]
        if reason in ("", "length_mismatch"):
            assert wer.value == 0.0, "capitals and digits are the same words"
        else:
            assert wer.reason.split(":")[0] == reason, "nobody can have heard that"
        if fault in ("stereo", "whole"):
            assert stoi.value == pytest.approx(1, abs=1e-4)
        if fault == "8 kHz":
            assert stoi.value is not None
            assert 0.5 < stoi.value < 1
            assert scored.scores[clip.clip_id, "sample_rate_hz"].value == 8_000


def test_report_counts_and_goes_on(tmp_path: Path) -> None:
    root = write_faulty(tmp_path / "run", name="<script>alert(1)</script>=1+1", only=5)
    out = tmp_path / "out"
    code, output = invoke(
        "report", root, "--out", out, "--metrics", "stoi,mcd,wer", "--jobs", 0, "--resamples", 100
    )
    assert not code
    assert "5 clips, 5 missing" in output
    page = (out / "report.html").read_text()
    assert "<script>alert(1)" not in page
    with (out / "report.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["speaker"] == "all"]
    counts = {line["metric"]: (line["n_ok"], line["n_failed"], line["n_missing"]) for line in lines}
    assert counts == {"wer": ("4", "1", "5"), "stoi": ("4", "1", "5"), "mcd": ("4", "1", "5")}
    assert "missing from clips.jsonl" in (out / "report.md").read_text()
    tidy = (out / "report_clips.csv").read_text()
    assert all(not line.startswith(("=", "+", "@")) for line in tidy.splitlines())


def test_comparison_takes_what_both_have(tmp_path: Path) -> None:
    whole = write_faulty(tmp_path / "a", name="A")
    half_a_run = write_faulty(tmp_path / "b", name="B", only=5)
    out = tmp_path / "out"
    invoke("compare", whole, half_a_run, "--metrics", "stoi,wer", "--out", out, "--jobs", 0)
    found = {m["metric"]: m for m in json.loads((out / "compare.json").read_text())["metrics"]}
    assert [found["wer"][k] for k in ("n_common", "n_missing_a", "n_missing_b")] == [4, 5, 6]
    assert [found["stoi"][k] for k in ("n_common", "n_missing_a", "n_missing_b")] == [4, 6, 6]
    assert found["stoi"]["p"] is None, "four clips are too few"


def test_an_absent_library_costs_its_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.metrics import base

    real = base.library_version
    monkeypatch.setattr(base, "library_version", lambda n: "absent" if n == "pesq" else real(n))
    root = write_faulty(tmp_path / "run")
    code, output = invoke("score", root, "--metrics", "pesq_wb,stoi", "--jobs", 0)
    assert code == MissingDependency.exit_code
    assert "pip install 'facetron-toolkit[pesq]'" in output
    assert "10 scores, 4 ok, 6 failed" in output


SCORE = """
import sys, time
from evaluation.scoring import run as score
from evaluation.inputs.pairs import read_run
from evaluation.metrics.base import select
original = score.score_group
def slow(tasks, metrics):
    found = original(tasks, metrics)
    time.sleep(0.3)
    return found
score.score_group = slow
score.score_runs([read_run(__import__('pathlib').Path(sys.argv[1]))], select(['stoi', 'mcd'])[0])
"""


def test_killed_and_resumed_is_as_if_nothing_had_happened(tmp_path: Path) -> None:
    root, straight = write_faulty(tmp_path / "killed"), tmp_path / "straight"
    shutil.copytree(root, straight)
    process = subprocess.Popen(
        [sys.executable, "-c", SCORE, root], stderr=subprocess.DEVNULL, start_new_session=True
    )
    journal = root / "scores.journal.jsonl"
    end = time.monotonic() + 120
    while time.monotonic() < end and not (journal.exists() and journal.stat().st_size > 400):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (root / "scores.jsonl").exists()
    done = len([line for line in journal.read_text().splitlines() if line])
    assert 0 < done < 2 * len(STEMS)
    for run in (root, straight):
        invoke("score", run, "--metrics", "stoi,mcd", "--jobs", 0)
    one, two = (read_jsonl(run / "scores.jsonl", "scores", Score)[1] for run in (root, straight))
    assert one == two
    assert not journal.exists()
