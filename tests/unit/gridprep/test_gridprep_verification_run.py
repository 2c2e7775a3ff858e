"""Verdicts on single clips, counts, the report and the command."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from clips import pictures, tiny_clip, write_alignment

from gridprep.cli import cli
from gridprep.media import quality
from gridprep.verification import run as verify
from gridprep.verification.report import Finding, Problem, VerifyOptions
from gridprep.verification.run import VerifyTask, check_clip
from manifests.corpus_lists import expected_counts, expected_stems_of
from manifests.errors import BadInput
from manifests.execution import Died
from manifests.records import Clip

S1 = expected_stems_of("s1")[:6]
S2 = expected_stems_of("s2")[:3]

Run = Callable[..., Result]


@pytest.fixture
def corpus(tmp_path: Path, sound_clip: Path) -> Path:
    """Three clips of s1 and two of s2 with nothing wrong."""
    root = tmp_path / "grid"
    for speaker, stems in (("s1", S1[:3]), ("s2", S2[:2])):
        for stem in stems:
            (root / speaker).mkdir(parents=True, exist_ok=True)
            os.link(sound_clip, root / speaker / f"{stem}.mpg")
            write_alignment(root / "alignments" / speaker / f"{stem}.align", stem)
    return root


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in an empty folder, with this process as its worker."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    class Serial:
        def map(self, function: Callable[[Any], Any], items: list[Any]) -> Any:
            yield from map(function, items)

    monkeypatch.setattr(verify, "create_executor", lambda *_: Serial())

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(
            cli, ["verify", *map(str, arguments)], standalone_mode=False, catch_exceptions=False
        )

    return invoke


def clip(video: Path, alignment: Path | None, stem: str = S1[0]) -> Clip:
    return Clip("s1", stem, str(video), str(alignment or ""))


def reasons(finding: Finding) -> list[str]:
    return [problem.reason for problem in finding.problems]


def test_a_sound_clip_is_ok(sound_clip: Path, tmp_path: Path) -> None:
    finding = check_clip(VerifyTask(clip(sound_clip, write_alignment(tmp_path / "a.align", S1[0]))))
    assert (finding.verdict, finding.problems, finding.flags) == ("ok", (), ())


def test_all_problems_are_told_in_the_order_of_a_build(tmp_path: Path) -> None:
    frames = pictures(74)
    frames[:12] = 128
    video = tiny_clip(tmp_path / "x.mpg", frames, audio=np.zeros((131_328, 2)))
    finding = check_clip(VerifyTask(clip(video, None)))
    assert reasons(finding) == ["grey_frames", "alignment_missing", "audio_silent"]
    assert [p.stage for p in finding.problems] == ["decode", "alignment", "audio"]
    assert finding.verdict == "failed"


def test_an_unreadable_video_does_not_hide_a_bad_alignment(tmp_path: Path) -> None:
    video = tmp_path / "x.mpg"
    video.write_bytes(b"")
    words = write_alignment(tmp_path / "x.align", S1[1])
    assert reasons(check_clip(VerifyTask(clip(video, words)))) == [
        "empty_file",
        "alignment_wrong_sentence",
    ]


def test_flags_do_not_fail(tmp_path: Path) -> None:
    video = tiny_clip(tmp_path / "x.mpg", 74)
    words = write_alignment(tmp_path / "x.align", S1[0])
    finding = check_clip(VerifyTask(clip(video, words)))
    assert (finding.verdict, finding.flags) == ("flagged", ("frames_repeated",))


def test_a_defect_in_a_library_is_a_finding(
    sound_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upset(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(quality, "check_audio", upset)
    words = write_alignment(tmp_path / "x.align", S1[0])
    (problem,) = check_clip(VerifyTask(clip(sound_clip, words))).problems
    assert (problem.stage, problem.reason, problem.detail) == (
        "audio",
        "unexpected",
        "MemoryError: no room",
    )


def test_quick_looks_at_names_and_presence_only(tmp_path: Path) -> None:
    video, words = tmp_path / "x.mpg", tmp_path / "x.align"
    video.write_bytes(b"no video")
    words.write_bytes(b"no alignment")
    assert check_clip(VerifyTask(clip(video, words), quick=True)).verdict == "ok"
    video.write_bytes(b"")
    assert reasons(check_clip(VerifyTask(clip(video, None), quick=True))) == [
        "empty_file",
        "alignment_missing",
    ]
    video.unlink()
    assert reasons(check_clip(VerifyTask(clip(video, words), quick=True))) == ["unreadable"]


def test_records_are_written_in_full() -> None:
    finding = Finding("s1", "bbaf2n", (Problem("audio", "no_audio", "no sound", {"n": 1}),), ("f",))
    assert finding.to_dict() == {
        "verdict": "failed",
        "speaker": "s1",
        "stem": "bbaf2n",
        "problems": ({"stage": "audio", "reason": "no_audio", "detail": "no sound", "evidence": {"n": 1}},),
        "flags": ("f",),
        "repairs": (),
        "video": "",
    }  # fmt: skip
    assert Finding.from_dict(finding.to_dict()) == finding


def test_a_good_part_of_grid(corpus: Path, run: Run) -> None:
    result = run(corpus)
    assert result.return_value == 0
    report = json.loads(Path("verify.json").read_text())
    assert (report["schema"], report["schema_version"]) == ("verify", 1)
    assert report["corpus"] == str(corpus)
    assert report["counts"]["checked"] == report["counts"]["ok"] == 5
    assert report["counts"]["missing"] == sum(expected_counts().values()) - 5 == 32_865
    assert report["findings"] == []
    lines = {line["speaker"]: line for line in report["speakers"]}
    assert set(lines) == {"s1", "s2"}
    assert len(report["absent_speakers"]) == 31
    one = lines["s1"]
    assert (one["expected"], one["found"], one["ok"], one["alignments"]) == (1000, 3, 3, 3)
    assert one["missing"] == 997
    assert one["missing_stems"][:2] == list(expected_stems_of("s1")[3:5])
    assert {"python", "av", "facetron-toolkit"} <= set(report["versions"])
    assert "5 ok + 0 flagged + 0 failed = 5 clips, 32865 missing, 0 repairs" in result.output
    assert "warning: 32865 clips" in result.output


def test_missing_clips_fail_only_where_all_is_asked_for(corpus: Path, run: Run) -> None:
    assert run(corpus, "--complete").return_value == 6
    for stem in expected_stems_of("s15"):
        path = corpus / "s15" / f"{stem}.mpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        words = corpus / "alignments" / "s15" / f"{stem}.align"
        words.parent.mkdir(exist_ok=True)
        words.write_bytes(b"x")
    arguments = (corpus, "--quick", "--complete", "--speakers", "s15")
    result = run(*arguments)
    assert result.return_value == 0
    assert "983 ok + 0 flagged + 0 failed = 983 clips, 0 missing" in result.output
    path.unlink()
    assert run(*arguments).return_value == 6


def test_failures_are_named_and_decide_the_exit_code(corpus: Path, run: Run) -> None:
    (corpus / "s1" / f"{S1[3]}.mpg").write_bytes(b"")
    (corpus / "s1" / "trailer.mpg").write_bytes(b"x")
    tiny_clip(corpus / "s2" / f"{S2[2]}.mpg", 74)
    write_alignment(corpus / "s2" / f"{S2[2]}.align", S2[2])
    result = run(corpus)
    assert result.return_value == 6
    report = json.loads(Path("verify.json").read_text())
    counts = report["counts"]
    assert [counts[k] for k in ("checked", "ok", "flagged", "failed")] == [8, 5, 1, 2]
    assert counts["reasons"] == {"empty_file": 1, "alignment_missing": 1, "not_a_stem": 1}
    assert counts["flags"] == {"frames_repeated": 1}
    assert {f["stem"]: f["verdict"] for f in report["findings"]} == {
        S1[3]: "failed",
        "trailer": "failed",
        S2[2]: "flagged",
    }
    assert {f["video"] for f in report["findings"]} == {
        f"s1/{S1[3]}.mpg",
        "s1/trailer.mpg",
        f"s2/{S2[2]}.mpg",
    }
    line = report["speakers"][0]
    assert (line["found"], line["ok"] + line["flagged"] + line["failed"]) == (5, 5)
    assert line["missing"] == 996
    assert f"failed: 1 × empty_file: s1/{S1[3]} (" in result.output
    assert f"flagged: 1 × frames_repeated: s2/{S2[2]}\n" in result.output


def test_repairs_and_duplicates_are_told_and_are_no_failures(
    corpus: Path, run: Run, sound_clip: Path
) -> None:
    shutil.move(corpus / "alignments" / "s1", corpus / "alignments" / "x")
    shutil.move(corpus / "alignments" / "s2", corpus / "alignments" / "s1")
    shutil.move(corpus / "alignments" / "x", corpus / "alignments" / "s2")
    os.link(sound_clip, corpus / "s2" / f"{S1[0]}.mpg")
    (corpus / "s1" / "Thumbs.db").write_bytes(b"x")
    write_alignment(corpus / "alignments" / "s3" / "x.align", expected_stems_of("s3")[0])
    before = sorted(str(p) for p in corpus.rglob("*"))
    result = run(corpus)
    assert result.return_value == 0
    report = json.loads(Path("verify.json").read_text())
    assert [r["kind"] for r in report["repairs"]] == ["swapped"]
    assert report["counts"]["repairs"] == {"alignment_folder": 5}
    assert report["duplicates"] == [{"used": f"s1/{S1[0]}.mpg", "passed_over": f"s2/{S1[0]}.mpg"}]
    assert (report["counts"]["orphan_alignments"], report["counts"]["junk_files"]) == (1, 1)
    assert "repaired: alignments/s1 and alignments/s2 are swapped" in result.output
    assert sorted(str(p) for p in corpus.rglob("*")) == before


def test_choices(corpus: Path, run: Run) -> None:
    assert "2 ok + 0 flagged + 0 failed = 2 clips" in run(corpus, "--speakers", "s2").output
    result = run(corpus, "--limit", 2)
    assert "2 ok + 0 flagged + 0 failed = 2 clips" in result.output
    report = json.loads(Path("verify.json").read_text())
    # A limit is dealt over the speakers, and what is here is counted all the same.
    assert [(s["found"], s["checked"]) for s in report["speakers"]] == [(3, 1), (2, 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "does not exist"),
        (["grid", "--speakers", "s3"], "no clip for this choice"),
        (["grid", "--speakers", "s21"], "s21"),
        (["grid", "--out", "grid/verify.json"], "inside the corpus"),
        (["grid", "--out", "grid/new/verify.json"], "inside the corpus"),
    ],
)
def test_bad_input(corpus: Path, run: Run, arguments: list[str], message: str) -> None:
    arguments = [a.replace("grid", str(corpus)) for a in arguments]
    with pytest.raises(BadInput, match=message) as caught:
        run(*arguments)
    assert caught.value.exit_code == 2
    assert not Path("verify.json").exists()


def test_a_place_that_cannot_be_written_is_found_before_the_work(
    corpus: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(BadInput, match="No space left on device"):
        run(corpus)


def test_a_worker_that_dies_is_a_finding(
    corpus: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deadly:
        def map(self, function: Callable[[Any], Any], items: list[Any]) -> Any:
            yield Died(items[0], "the worker process died on it twice")
            yield from map(function, items[1:])

    monkeypatch.setattr(verify, "create_executor", lambda *_: Deadly())
    found = verify.verify(VerifyOptions(str(corpus)))
    assert len(found.findings) == 5
    assert reasons(found.findings[0]) == ["worker_died"]


def test_file_names_that_are_no_utf8_do_not_end_the_report(corpus: Path, run: Run) -> None:
    try:
        open(os.fsencode(corpus) + b"/s1/caf\xe9.mpg", "wb").close()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    result = run(corpus)
    assert result.return_value == 6
    (finding,) = json.loads(Path("verify.json").read_text())["findings"]
    assert finding["problems"][0]["reason"] == "not_a_stem"
    assert os.fsencode(finding["video"]) == b"s1/caf\xe9.mpg"
