"""WER, CER, slots and lips: pooled over the corpus, cached by text, never without their floor."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from evaluation.cli import cli
from evaluation.inputs import homophones
from evaluation.inputs.pairs import Unscorable, read_run
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import Metric, get_metric, select
from evaluation.metrics.recognition import keyword_accuracy, slot_accuracy, word_error_rate
from evaluation.reporting.confusions import letters_heard, lines
from evaluation.reporting.run import build_report
from evaluation.reporting.tables import TableOptions
from evaluation.scoring.run import SCORES, ScoredRun, score_runs
from manifests.errors import BadInput, MissingDependency
from manifests.grammar import WORDS
from manifests.io import read_jsonl
from manifests.records import Score

SAID = "bin blue at f two now"
BY = "Listener 1"
SETTINGS = Settings(recognizer="transcripts", transcripts_by=BY)


def write_transcripts(
    root: Path, texts: dict[str, str], recordings: dict[str, str] | None = None, by: str = BY
) -> None:
    """`texts` and `recordings`: clip id → text."""
    rows: list[dict[str, Any]] = [{"schema": "transcripts", "schema_version": 1, "recognizer": by}]
    for of, found in (("system", texts), ("recording", recordings or {})):
        for clip, text in found.items():
            speaker, stem = clip.split("/")
            rows.append({"speaker": speaker, "stem": stem, "text": text, "of": of})
    (root / "transcripts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


HEARD = {
    "s1/bbaf2n": "Bin blue at F2 now",
    "s1/lgbf6s": "bin blue at s two",
    "s2/bbaf2n": "",
    "s2/lgbf6s": "bin blue at f two now now",
}
RIGHT = dict.fromkeys(HEARD, SAID)


@pytest.fixture
def run(tmp_path: Path, make_run: Callable[..., Path]) -> Path:
    root = make_run(tmp_path / "run")
    write_transcripts(root, HEARD, RIGHT)
    return root


def score(root: Path, *names: str, settings: Settings = SETTINGS) -> ScoredRun:
    metrics: list[Metric] = [get_metric(name, settings) for name in names]
    return score_runs([read_run(root)], metrics, progress=False)[0]


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def test_rates_of_clips_and_of_the_corpus(run: Path) -> None:
    metrics, absent = select(["wer", "cer", "keyword", "slot_letter"], SETTINGS)
    assert absent == []
    assert [m.info.name for m in metrics[-2:]] == ["cer_floor", "wer_floor"]
    scored = score_runs([read_run(run)], metrics, progress=False)
    wer = {label: s for (label, name), s in scored[0].scores.items() if name == "wer"}
    assert [wer[clip].value for clip in HEARD] == pytest.approx([0, 100 / 3, 100, 100 / 6])
    assert all(s.weight == 6 for s in wer.values())
    assert wer["s1/lgbf6s"].details == {
        "heard": "bin blue at s two", "hits": 4, "substitutions": 1, "deletions": 1,
        "insertions": 0,
    }  # fmt: skip
    report = build_report(scored, metrics, TableOptions())
    cells = {
        i.name: c
        for i, c in zip(report.tables[0].columns, report.tables[0].rows[0].cells, strict=True)
    }
    assert cells["wer"].mean == pytest.approx(100 * (2 + 6 + 1) / 24)
    assert cells["cer"].mean == pytest.approx(100 * (5 + 21 + 4) / 84)
    keyword = [scored[0].scores[clip, "keyword"].value for clip in HEARD]
    assert keyword == [100, 50, 0, 100]
    assert letters_heard(scored[0]) == {("f", "f"): 2, ("f", "s"): 1, ("f", "none"): 1}
    assert lines(scored) == [("Model", "f→none 1, f→s 1")]


def test_sentences_of_other_lengths_weigh_by_their_words(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    root = make_run(tmp_path / "run", speakers=("s1",))
    text = (root / "clips.jsonl").read_text().replace(SAID, "bin", 1)
    (root / "clips.jsonl").write_text(text)
    write_transcripts(root, {"s1/bbaf2n": "uh", "s1/lgbf6s": SAID})
    metrics = [get_metric(name, SETTINGS) for name in ("wer", "slot_letter")]
    scored = score_runs([read_run(root)], metrics, progress=False)
    table = build_report(scored, metrics, TableOptions()).tables[0]
    assert table.rows[0].cells[0].mean == pytest.approx(100 / 7), "one error in seven words"
    assert scored[0].scores["s1/bbaf2n", "slot_letter"].reason.startswith("not_grid")


def test_a_recognizer_of_grids_words_is_not_asked_about_others(
    tmp_path: Path, make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_run(tmp_path / "run", speakers=("s1",))
    lines_of = (root / "clips.jsonl").read_text()
    for line in lines_of.splitlines()[1:]:
        sentence = json.loads(line)["sentence"]
        lines_of = lines_of.replace(sentence, "it's twenty one o'clock")
    (root / "clips.jsonl").write_text(lines_of)
    las = Settings(recognizer="las")
    metrics = [get_metric(name, las) for name in ("wer", "cer", "slot_letter", "keyword")]
    assert not any(metric.applies(read_run(root)) for metric in metrics)
    assert [metric.refusal(read_run(root)) for metric in metrics][1:] == ["", "", ""]
    told = metrics[0].refusal(read_run(root))
    assert "no WER, since the recognizer las knows GRID's words alone; use --recognizer" in told
    write_transcripts(root, {"s1/bbaf2n": "It's 21 o'clock!", "s1/lgbf6s": "its twenty one"})
    english = [get_metric(name, SETTINGS) for name in ("wer", "slot_letter")]
    assert [metric.applies(read_run(root)) for metric in english] == [True, False]
    scored = score_runs([read_run(root)], english, progress=False)[0]
    assert scored.scores["s1/bbaf2n", "wer"].value == 0
    assert scored.scores["s1/bbaf2n", "wer"].details["normalizer"] == "english-1"
    assert scored.scores["s1/lgbf6s", "wer"].value == 50


def test_the_floor_stands_in_every_caption(run: Path, tmp_path: Path) -> None:
    result = run_cli("report", run, "--metrics", "wer,cer,stoi", "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    floor = "On the recordings of the same clips: CER 0.0 %"
    assert f"Recognizer: {BY}." in result.output
    assert floor in result.output
    for name in ("report.md", "report.html", "report.tex"):
        text = (tmp_path / "o" / name).read_text().replace("\\%", "%")
        assert text.count(floor) == 2, "words and naturalness, per speaker"
        assert f"Recognizer: {BY}." in text


def test_an_unknown_floor_is_said(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run")
    write_transcripts(root, HEARD)
    result = run_cli("report", root, "--metrics", "wer", "--format", "md")
    expected = "Not known on the recordings of the same clips: WER (no_recording_transcript × 4)."
    assert expected in result.output


def test_the_floor_counts_each_recording_once(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    roots = [make_run(tmp_path / name / "run", name=name) for name in ("one", "two")]
    for root in roots:
        write_transcripts(root, HEARD, {**RIGHT, "s1/bbaf2n": "bin"})
    result = run_cli("report", *roots, "--metrics", "wer", "--out", tmp_path / "o")
    assert "WER 20.8 % [" in result.output
    assert "(4/0)" in result.output


def test_transcripts_are_used_without_being_asked_for(run: Path) -> None:
    result = run_cli("score", run, "--jobs", 0)
    assert result.exit_code == 0, result.output
    names = {s.metric for s in read_jsonl(run / SCORES, "scores", Score)[1]}
    assert {"wer", "cer", "keyword", "slot_adverb", "wer_floor", "stoi"} <= names
    assert not {"nisqa_tts", "lip_wer", "pesq_nb"} & names


def test_words_need_a_recognizer(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run")
    metrics = ("--metrics", "wer,cer,slot_digit,level_dbfs", "--jobs", 0)
    result = run_cli("score", root, "--recognizer", "none", *metrics)
    assert result.return_value == MissingDependency.exit_code
    assert result.output.count("words cannot be scored without a recognizer") == 1
    assert "level_dbfs" in {s.metric for s in read_jsonl(root / SCORES, "scores", Score)[1]}
    result = run_cli("score", root, "--recognizer", "transcripts")
    assert isinstance(result.exception, BadInput)
    for nobody in ((), ("--recognizer", "none")):
        result = run_cli("score", root, "--recognizer-path", "x", *nobody)
        assert isinstance(result.exception, BadInput)


def test_only_clips_whose_text_changed_are_scored_again(run: Path) -> None:
    assert score(run, "wer", "wer_floor").n_new == 8
    assert score(run, "wer", "wer_floor").n_new == 0
    write_transcripts(run, {**HEARD, "s2/bbaf2n": "bin"}, RIGHT)
    again = score(run, "wer", "wer_floor")
    assert again.n_new == 1
    assert again.scores["s2/bbaf2n", "wer"].value == pytest.approx(500 / 6)
    clips = (run / "clips.jsonl").read_text()
    (run / "clips.jsonl").write_text(clips.replace(SAID, "bin blue at f two soon", 1))
    assert score(run, "wer", "wer_floor").n_new == 2, "another sentence is another reference"
    assert len(read_jsonl(run / SCORES, "scores", Score)[1]) == 8, "outdated rows are dropped"


def test_recognizers_stand_beside_each_other(run: Path) -> None:
    score(run, "wer")
    write_transcripts(run, RIGHT, by="Listener 2")
    other = Settings(recognizer="transcripts", transcripts_by="Listener 2")
    assert score(run, "wer", settings=other).n_new == 4
    assert score(run, "stoi").n_new == 4
    rows = read_jsonl(run / SCORES, "scores", Score)[1]
    sources = {row.parameters["recognizer"]["label"] for row in rows if row.metric == "wer"}
    assert sources == {"Listener 2"}, "the first one's texts are gone, and so are its scores"


def test_missing_lines_and_broken_sound_are_failures(run: Path) -> None:
    write_transcripts(run, {k: v for k, v in HEARD.items() if k != "s1/bbaf2n"}, RIGHT)
    (run / "wavs" / "s1_lgbf6s.wav").unlink()
    (run.parent / "recordings" / "s2_bbaf2n.wav").unlink()
    found = score(run, "wer", "wer_floor").scores
    reasons = {k: s.reason.split(":")[0] for k, s in found.items() if s.status == "failed"}
    assert reasons == {
        ("s1/bbaf2n", "wer"): "no_transcript",
        ("s1/lgbf6s", "wer"): "file_missing",
        ("s2/bbaf2n", "wer_floor"): "reference_file_missing",
    }


def test_csv_transcripts(run: Path) -> None:
    jsonl = score(run, "wer").scores
    (run / "transcripts.jsonl").unlink()
    with open(run / "transcripts.csv", "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["stem", "speaker", "text", "recognizer", "notes"])
        for clip, text in HEARD.items():
            writer.writerow([*reversed(clip.split("/")), text, BY, "x"])
    again = score(run, "wer")
    assert again.n_new == 0, "the same texts in another file"
    assert again.scores == jsonl


def test_transcripts_of_a_european_spreadsheet(run: Path) -> None:
    known = score(run, "wer").scores
    (run / "transcripts.jsonl").unlink()
    lines = ["Speaker;STEM;Text;Recogniser"]
    lines += [f"{clip.upper().replace('/', ';')};{text};{BY}" for clip, text in HEARD.items()]
    (run / "transcripts.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    assert score(run, "wer").scores == known


@pytest.mark.parametrize("command", ["score", "report"])
def test_transcripts_of_no_clip_are_an_error(run: Path, command: str) -> None:
    (run / "transcripts.jsonl").unlink()
    (run / "transcripts.csv").write_text(f"speaker,stem,text,recognizer\ns9,x,bin,{BY}\n")
    result = run_cli(command, run, "--metrics", "wer", "--jobs", 0)
    assert isinstance(result.exception, BadInput)
    assert "holds no transcript of any clip of this run: it lists s9/x" in str(result.exception)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("transcripts.csv", "speaker,stem\ns1,bbaf2n\n", "has no column text"),
        ("transcripts.csv", "speaker,stem,text\ns1,bbaf2n,bin\n", "which recognizer"),
        ("transcripts.csv", "speaker,stem,text,recognizer\na,b,c,X\na,d,c,Y\n", "mixes"),
        ("transcripts.csv", b"speaker,stem,text,recognizer\na,b,\x81,X\n", "is no text"),
        ("transcripts.jsonl", '{"schema": "transcripts", "schema_version": 1}\n', "which recog"),
        ("transcripts.jsonl", '{"schema": "scores"}\n', "holds scores, not transcripts"),
        (
            "transcripts.jsonl",
            '{"schema": "transcripts", "recognizer": "X"}\n'
            + '{"speaker": "s1", "stem": "bbaf2n", "text": "a"}\n' * 2,
            "twice",
        ),
        (
            "transcripts.jsonl",
            '{"schema": "transcripts", "recognizer": "X"}\n'
            '{"speaker": "s1", "stem": "bbaf2n", "text": null}\n',
            "is not text",
        ),
        (
            "transcripts.jsonl",
            '{"schema": "transcripts", "recognizer": "X"}\n'
            '{"speaker": "s1", "stem": "bbaf2n", "text": "a", "of": "me"}\n',
            "of is 'me'",
        ),
    ],
)
def test_bad_transcripts_are_named(
    tmp_path: Path, make_run: Callable[..., Path], name: str, content: str | bytes, message: str
) -> None:
    root = make_run(tmp_path / "run")
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    result = run_cli("score", root)
    assert isinstance(result.exception, BadInput), result.output
    assert message in str(result.exception)


def test_two_recognizers_do_not_compare(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    roots = [make_run(tmp_path / name / "run", name=name) for name in ("one", "two")]
    for root, by in zip(roots, ("A", "B"), strict=True):
        write_transcripts(root, HEARD, by=by)
    result = run_cli("report", *roots)
    assert isinstance(result.exception, BadInput)
    assert "'A'" in str(result.exception)
    assert "'B'" in str(result.exception)


def test_lips_are_scored_where_there_are_transcripts(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    root = make_run(tmp_path / "run", speakers=("s1",))
    rows = (root / "clips.jsonl").read_text().splitlines()
    rows[1] = rows[1].replace('"transcript": ""', '"transcript": "bin blue at f two"')
    (root / "clips.jsonl").write_text("\n".join(rows) + "\n")
    (root / "wavs" / "s1_bbaf2n.wav").unlink()  # lips need no sound
    result = run_cli("report", root, "--format", "csv", "--jobs", 0)
    assert "Lip WER (%) ↓" in result.output
    scores = {(s.stem, s.metric): s for s in read_jsonl(root / SCORES, "scores", Score)[1]}
    assert scores["bbaf2n", "lip_wer"].value == pytest.approx(100 / 6)
    assert scores["bbaf2n", "lip_cer"].value == pytest.approx(400 / 21)
    assert scores["lgbf6s", "lip_wer"].reason.startswith("no_lip_transcript")


def test_hostile_transcripts_stay_text(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run")
    bad = '=cmd()|"<script>alert(1)</script>'
    write_transcripts(root, dict.fromkeys(HEARD, bad), RIGHT, by=bad)
    result = run_cli("report", root, "--metrics", "wer,slot_letter", "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "o" / "report.html").read_text()
    assert page.count("<script") == 1
    assert "<script" not in (tmp_path / "o" / "report.md").read_text()
    with open(tmp_path / "o" / "report_clips.csv", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]


def test_slots_of_two_texts() -> None:
    said = "place red with z zero please"
    right = slot_accuracy(said, "place red z 0 please")
    assert [slot for slot, found in right.items() if not found] == ["preposition"]
    assert keyword_accuracy(said, "place red with v zero please") == 50
    with pytest.raises(Unscorable, match="not_grid"):
        slot_accuracy("bin blue", "bin blue")
    with pytest.raises(ValueError, match="no words"):
        slot_accuracy("", "bin blue")


def test_words_that_sound_like_grid_s_are_read_as_those() -> None:
    written = [word for alike in homophones.SOUND_LIKE.values() for word in alike]
    assert set(homophones.SOUND_LIKE) <= set(WORDS)
    assert not set(written) & set(WORDS), "a word of GRID is never read as another"
    assert len(set(written)) == len(written)
    said = "bin blue at r two now"
    heard = "Bin blew at are too, know."
    assert homophones.projected(heard) == "bin blue at r two know"
    assert word_error_rate(said, heard) == pytest.approx(100 * 4 / 6)
    assert word_error_rate(said, homophones.projected(heard)) == pytest.approx(100 / 6)


def test_homophones_are_a_column_of_recognizers_of_general_english_alone() -> None:
    for recognizer, there in (("transcripts", True), ("whisper", True), ("las", False)):
        settings = Settings(recognizer=recognizer, transcripts_by="X")
        metric = get_metric("wer_homophones", settings)
        assert type(metric).wanted(settings) is there
        assert metric.info.parameters["homophones"] == homophones.VERSION
        assert metric.info.parameters != get_metric("wer", settings).info.parameters
