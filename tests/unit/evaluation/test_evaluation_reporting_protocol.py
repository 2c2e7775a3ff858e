"""The protocol card follows from runs, scores and settings; captions keep to three lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from evaluation.inputs.pairs import read_run
from evaluation.inputs.settings import Settings
from evaluation.inputs.text import ENGLISH_NORMALIZER, NORMALIZER
from evaluation.metrics.base import get_metric
from evaluation.reporting.printed import CAPTION_CHARS, ELSEWHERE, fitted
from evaluation.reporting.protocol import sentences
from evaluation.reporting.run import build_report, write_report
from evaluation.reporting.tables import TableOptions
from evaluation.reporting.writers import EvaluationReport
from evaluation.scoring.run import score_runs
from manifests.io import read_jsonl, write_jsonl
from manifests.records import RunClip
from manifests.splits import frozen


def built(*roots: Path, names: tuple[str, ...] = ("stoi", "wer", "wer_floor")) -> EvaluationReport:
    settings = Settings(recognizer="transcripts", transcripts_by="Someone")
    metrics = [get_metric(name, settings) for name in names]
    scored = score_runs([read_run(root) for root in roots], metrics, progress=False)
    return build_report(scored, metrics, TableOptions())


def transcribed(root: Path, text: str = "bin blue at f two soon") -> Path:
    lines = ["speaker,stem,text,recognizer,of"]
    for clip in read_run(root).clips:
        lines += [
            f"{clip.speaker},{clip.stem},{text},Someone,{of}" for of in ("system", "recording")
        ]
    (root / "transcripts.csv").write_text("\n".join(lines))
    return root


def test_the_card_states_listener_normalizer_reference_and_split(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    root = transcribed(make_run(tmp_path / "run", split="large-unseen"))
    card = built(root).protocol
    assert card["clips"]["split_sha256"] == [frozen.load("large-unseen").sha256]
    (listener,) = card["listeners"]
    assert (listener["kind"], listener["name"]) == ("recognizer", "transcripts")
    assert "Someone" in listener["label"]
    assert listener["columns"] == ["wer"]
    assert card["normalizers"][NORMALIZER]["columns"] == ["wer"]
    assert card["normalizers"][NORMALIZER]["scores"] == 4
    reference = card["reference"]
    assert (reference["clips_with"], reference["clips_without"]) == (4, 0)
    assert reference["resampler"] == "soxr_hq"
    assert reference["columns"] == ["stoi"]
    assert card["aggregation"]["columns"] == {"stoi": "mean", "wer": "weighted mean"}
    assert card["failures"] == {"in_means": False, "counted_as_zero": 0, "reasons": {"Model": {}}}
    text = " ".join(sentences(card))
    assert NORMALIZER in text
    assert "there were none" in text
    assert frozen.load("large-unseen").sha256[:12] in text


def test_other_words_another_normalizer_and_failures_by_reason(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    root = make_run(tmp_path / "run", split="mine")
    clips = read_jsonl(root / "clips.jsonl", "run-clips", RunClip)[1]
    said = [
        replace(
            clip,
            sentence="the zebra sleeps" if i == 0 else clip.sentence,
            reference="" if i == 1 else clip.reference,
        )
        for i, clip in enumerate(clips)
    ]
    write_jsonl(root / "clips.jsonl", "run-clips", said)
    transcribed(root, "the zebra sleeps")
    soundfile.write(root / clips[2].wav, np.zeros(19_200), 16_000)
    card = built(root, names=("stoi", "wer")).protocol
    assert card["clips"]["split_sha256"] == []
    assert {n: e["scores"] for n, e in card["normalizers"].items()} == {
        ENGLISH_NORMALIZER: 1,
        NORMALIZER: 2,
    }
    assert card["reference"]["clips_without"] == 1
    assert card["failures"]["reasons"]["Model"] == {"no_reference": 1, "silent": 2}
    assert "Model: no_reference × 1, silent × 2" in " ".join(sentences(card))


def test_a_caption_keeps_what_its_numbers_need() -> None:
    urgent = "On the recordings of the same clips: WER 2.1 % [0.0, 8.7] (8/0), CER 0.5 % (8/0)."
    told = ["Recognizer: X.", "y" * 300 + ".", urgent]
    text = fitted(told)
    assert len(text) <= CAPTION_CHARS
    assert urgent in text
    assert text.endswith(ELSEWHERE)
    short = fitted(told, 100)
    assert "WER 2.1 %, CER 0.5 %." in short
    assert fitted(told[:1]) == "Recognizer: X."


def test_captions_have_three_lines_and_the_appendix_has_the_rest(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    root = transcribed(make_run(tmp_path / "run"))
    names = ("stoi", "stoi_as_xts2021", "wer", "wer_floor")
    settings = Settings(recognizer="transcripts", transcripts_by="Someone " + "very long " * 40)
    metrics = [get_metric(name, settings) for name in names]
    scored = score_runs([read_run(root)], metrics, progress=False)
    report = build_report(scored, metrics, TableOptions(), paper="all")
    out = tmp_path / "out"
    write_report(report, out, ("md", "latex"), rank_by=metrics[0].info, n_clips=0)
    assert all(len(table.caption) <= CAPTION_CHARS for table in report.printed)
    tex = [line for line in (out / "report.tex").read_text().splitlines() if r"\caption" in line]
    assert len(tex) == len(report.printed)
    plain = [line.partition("]{")[2].replace("\\", "") for line in tex]
    assert all(len(line) <= 1.1 * CAPTION_CHARS for line in plain)  # escapes are no letters
    assert any(ELSEWHERE in line for line in plain)
    appendix = (out / "definitions.md").read_text()
    assert "very long very long" in appendix
    assert "very long very long" not in (out / "report.tex").read_text()
    assert "CER of 5.6 %" in appendix
