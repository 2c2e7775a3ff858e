"""`facetron-eval compare`: what is refused, what is counted, what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from evaluation.cli import cli
from evaluation.comparison.run import ComparisonOptions, compare
from evaluation.inputs.comparable import check_same_clips
from evaluation.inputs.pairs import read_run
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import get_metric, select
from evaluation.scoring.run import ScoredRun, score_runs
from manifests.errors import BadInput
from manifests.io import read_json, write_json, write_jsonl
from manifests.records import RunClip, Score

Make = Callable[..., Path]
STEMS = ("bbaf2n", "lgbf6s", "swbvzs")


@pytest.fixture
def runs(tmp_path: Path, make_run: Make, add_noise: Any) -> tuple[Path, Path]:
    """A system that adds noise, and one that adds a third of it, on six clips."""

    def little(sound: np.ndarray, index: int) -> np.ndarray:
        return sound + 0.3 * (add_noise(sound, index) - sound)

    noisy = make_run(tmp_path / "noisy", name="Noisy", change=add_noise, stems=STEMS)
    better = make_run(tmp_path / "better", name="Better", change=little, stems=STEMS)
    return noisy, better


def rewrite(root: Path, change: Callable[[list[RunClip]], list[RunClip]], **info: Any) -> None:
    write_jsonl(root / "clips.jsonl", "run-clips", change(list(read_run(root).clips)))
    write_json(root / "run.json", {**read_json(root / "run.json"), **info})


def check(a: Path, b: Path) -> None:
    check_same_clips([read_run(a), read_run(b)])


def test_another_split_is_refused_by_name(runs: tuple[Path, Path]) -> None:
    rewrite(runs[1], lambda clips: clips, split="large-seen")
    with pytest.raises(BadInput, match=r"made for split 'large-seen', .* for 'large-unseen'"):
        check(*runs)


def test_another_number_of_clips_is_refused(runs: tuple[Path, Path]) -> None:
    rewrite(runs[1], lambda clips: clips[:4], n_expected=4)
    with pytest.raises(BadInput, match=r"asked for 6 clips, .* for 4"):
        check(*runs)


def test_other_clips_are_refused_and_named(runs: tuple[Path, Path]) -> None:
    def other(clips: list[RunClip]) -> list[RunClip]:
        return [*clips[:5], RunClip(**{**clips[5].to_dict(), "stem": "pwij3p"})]

    rewrite(runs[1], other)
    with pytest.raises(BadInput, match=r"holds 1 clips that .* does not \(s2/swbvzs\), .* only 0"):
        check(*runs)


def test_missing_clips_are_no_difference(runs: tuple[Path, Path]) -> None:
    rewrite(runs[1], lambda clips: clips[:3])
    check(*runs)
    check(runs[1], runs[0])


def test_nothing_in_common_other_words_and_other_recordings(
    runs: tuple[Path, Path], make_run: Make
) -> None:
    rewrite(runs[0], lambda clips: clips[:3])
    whole = read_run(runs[1]).clips
    rewrite(runs[1], lambda clips: clips[3:])
    with pytest.raises(BadInput, match="no clip in common"):
        check(*runs)
    said = RunClip(**{**whole[0].to_dict(), "sentence": "lay green by q six soon"})
    rewrite(runs[1], lambda _: [said])
    with pytest.raises(BadInput, match="s1/bbaf2n says 'bin blue at f two now'"):
        check(*runs)
    heard = RunClip(**{**whole[0].to_dict(), "reference": whole[1].reference})
    rewrite(runs[1], lambda _: [heard])
    with pytest.raises(BadInput, match="the recordings of s1/bbaf2n differ"):
        check(*runs)


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)
    assert result.exception is None, result.output
    assert not result.return_value
    return result.output


def test_command(runs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = (
        "--metrics", "stoi,mcd,level_dbfs", "--out", out, "--jobs", 0, "--resamples", 500,
        "--interval", "bootstrap",
    )  # fmt: skip
    output = invoke("compare", *runs, *asked)
    assert "Noisy" in output
    assert "6      0/0" in output
    assert "level" not in output.lower(), "what only describes files is not compared"
    values = json.loads((out / "compare.json").read_text())
    assert (values["schema"], values["n_asked"], values["n_speakers"]) == ("comparison", 6, 2)
    by_name = {m["metric"]: m for m in values["metrics"]}
    assert list(by_name) == ["stoi", "mcd"]
    assert by_name["stoi"]["difference"] > 0 > by_name["mcd"]["difference"]
    assert by_name["stoi"]["effect_dz"] > 0 < by_name["mcd"]["effect_dz"], "positive is for b"
    for found in by_name.values():
        assert found["better_b"] == 1.0
        assert found["p"] == pytest.approx(2.0**-5), "six clips cannot say more"
        assert found["p_holm"] == pytest.approx(2 * 2.0**-5)
        assert found["winner"] == ""
    lines = list(csv.DictReader((out / "compare.csv").open()))
    assert [line["metric"] for line in lines] == ["stoi", "mcd"]
    assert float(lines[0]["difference"]) == by_name["stoi"]["difference"]
    text = (out / "compare.md").read_text()
    assert "With 2 speakers the bootstrap interval is too narrow" in text
    assert "| STOI ↑ |" in text


def test_half_of_the_clips(runs: tuple[Path, Path]) -> None:
    rewrite(runs[1], lambda clips: clips[:3])
    metrics, _ = select(["stoi"])
    a, b = score_runs([read_run(root) for root in runs], metrics)
    found = compare(a, b, metrics, ComparisonOptions(n_resamples=200))
    (stoi,) = found.differences
    assert (stoi.n_common, stoi.n_missing_a, stoi.n_missing_b) == (3, 0, 3)
    assert stoi.p is None
    assert any("Better: 3 of 6 clips are missing" in note for note in found.notes)
    assert any("no test" in note for note in found.notes)


def with_scores(run: Path, name: str, heard: list[str]) -> ScoredRun:
    read = read_run(run)
    metric = get_metric(name, Settings())
    scores = {}
    for clip, text in zip(read.clips, heard, strict=True):
        wrong = sum(x != y for x, y in zip(clip.sentence.split(), text.split(), strict=True))
        scores[clip.clip_id, metric.info.name] = Score(
            clip.speaker, clip.stem, name, 100 * wrong / 6, "ok", weight=6, details={"heard": text}
        )
    return ScoredRun(read, scores, 0)


def test_mapsswe_is_told_beside_the_speakers_test(runs: tuple[Path, Path]) -> None:
    said = "bin blue at f two now"
    a = with_scores(runs[0], "wer", ["pin blue at s two now"] * 5 + [said])
    b = with_scores(runs[1], "wer", [said] * 5 + ["bin blue at s two now"])
    (wer,) = compare(a, b, [get_metric("wer")], ComparisonOptions(n_resamples=200)).differences
    assert wer.test == "t"
    assert wer.words is not None
    assert (wer.words.n_segments, wer.words.errors_a, wer.words.errors_b) == (11, 10, 1)
    assert wer.p_holm == wer.p, "one metric needs no correction"
    assert wer.p is not None
    assert wer.words.p is not None
    assert wer.words.p < 0.05 < wer.p, "two speakers are no evidence, however many segments differ"
    assert wer.low is not None
    assert wer.high is not None
    assert wer.low < 0 < wer.high
    assert wer.winner == "", "no star where zero lies in the printed interval"
    assert wer.mean_a == pytest.approx(100 * 10 / 36)


def test_names_stay_text(runs: tuple[Path, Path], tmp_path: Path) -> None:
    rewrite(runs[1], lambda clips: clips, name='=HYPERLINK("x")<b>|')
    invoke(
        "compare",
        *runs,
        "--metrics",
        "stoi",
        "--out",
        tmp_path / "o",
        "--resamples",
        100,
        "--jobs",
        1,
    )
    text = (tmp_path / "o" / "compare.md").read_text()
    assert "<b>" not in text
    assert "&lt;b&gt;\\|" in text
    (line,) = csv.DictReader((tmp_path / "o" / "compare.csv").open())
    assert line["system_b"].startswith("'=")


def test_what_cannot_be_compared(runs: tuple[Path, Path]) -> None:
    for arguments, message in (
        ((runs[0], runs[0]), "given twice"),
        ((*runs, "--metrics", "level_dbfs"), "none of the chosen metrics ranks systems"),
    ):
        result = CliRunner().invoke(cli, ["compare", *map(str, arguments)], standalone_mode=False)
        assert isinstance(result.exception, BadInput)
        assert message in str(result.exception)


def test_recordings_are_equal_by_their_samples(
    tmp_path: Path, make_run: Make, add_noise: Any
) -> None:
    a = make_run(tmp_path / "a" / "run", name="A", change=add_noise)
    b = make_run(tmp_path / "b" / "run", name="B")
    for path in (tmp_path / "b" / "recordings").iterdir():
        sound, rate_hz = soundfile.read(path, dtype="int16")
        soundfile.write(path, sound, rate_hz, format="FLAC")
    assert next((tmp_path / "b" / "recordings").iterdir()).read_bytes()[:4] == b"fLaC"
    check(a, b)
    path = next((tmp_path / "b" / "recordings").iterdir())
    sound[0] += 1
    soundfile.write(path, sound, rate_hz, format="FLAC")
    with pytest.raises(BadInput, match=r"the recordings of s\d/\w+ differ.* --common"):
        check(a, b)


@pytest.mark.parametrize("common", [(), ("--common",)])
def test_clips_of_another_corpus_are_no_clips_of_the_same_names(
    tmp_path: Path, make_run: Make, add_noise: Any, common: tuple[str, ...]
) -> None:
    a = make_run(tmp_path / "a", name="A", change=add_noise)
    b = make_run(tmp_path / "b", name="B")
    rewrite(a, lambda clips: clips, corpus="grid")
    rewrite(b, lambda clips: clips, corpus="synthgrid")
    asked = ("report", a, b, "--metrics", "stoi", "--out", tmp_path / "o", *common)
    result = CliRunner().invoke(cli, [str(x) for x in asked], standalone_mode=False)
    assert isinstance(result.exception, BadInput)
    assert "holds clips of GRID" in str(result.exception)
    assert "of SynthGRID" in str(result.exception)


@pytest.mark.parametrize("command", ["report", "compare"])
def test_other_clips_are_refused_or_left_out(
    tmp_path: Path, make_run: Make, add_noise: Any, command: str
) -> None:
    a = make_run(tmp_path / "a", name="A", change=add_noise, stems=STEMS)
    b = make_run(tmp_path / "b", name="B", stems=(*STEMS[:2], "pwij3p"), split="mine")
    asked = (command, a, b, "--metrics", "stoi", "--out", tmp_path / "o", "--jobs", 0)
    result = CliRunner().invoke(cli, [str(x) for x in asked], standalone_mode=False)
    assert isinstance(result.exception, BadInput)
    assert "made for split" in str(result.exception)
    rewrite(b, lambda clips: clips, split="large-unseen")
    result = CliRunner().invoke(cli, [str(x) for x in asked], standalone_mode=False)
    assert isinstance(result.exception, BadInput)
    assert "holds 2 clips that" in str(result.exception)
    assert "(s1/swbvzs, s2/swbvzs)" in str(result.exception)
    invoke(*asked, "--common")
    text = (tmp_path / "o" / f"{command}.md").read_text()
    assert "Only the 4 clips that all 2 runs hold are scored" in text
    assert "A: 2 of 6 clips are left out." in text
    scores = (b / "scores.jsonl").read_text()
    assert scores.count('"stoi"') == 4
    assert "pwij3p" not in scores


def test_common_needs_a_common_clip(tmp_path: Path, make_run: Make) -> None:
    a = make_run(tmp_path / "a", name="A", stems=STEMS[:1])
    b = make_run(tmp_path / "b", name="B", stems=STEMS[1:])
    result = CliRunner().invoke(cli, ["report", str(a), str(b), "--common"], standalone_mode=False)
    assert isinstance(result.exception, BadInput)
    assert "have no clip in common" in str(result.exception)


def test_outcomes_as_json(runs: tuple[Path, Path], tmp_path: Path) -> None:
    asked = ("--metrics", "stoi", "--out", tmp_path / "o", "--jobs", 1, "--json")
    told = json.loads("{" + invoke("compare", *runs, *asked).partition("{")[2])
    assert told == json.loads((tmp_path / "o" / "compare.json").read_text())
    report = invoke("report", *runs, *asked, "--format", "csv")
    told = json.loads("{" + report.partition("{")[2])
    assert len(told["runs"]) == 2
    assert str(tmp_path / "o" / "report.csv") in told["files"]
