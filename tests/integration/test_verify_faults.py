"""Every fault that SynthGRID can make, against the verdict that it must get."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from clips import write_alignment

from gridprep.corpora.alignment import read_alignment
from gridprep.synth.clips import Job, make_clip
from gridprep.synth.faults import FAULTS, make_fault
from manifests.corpus_lists import expected_stems_of

SEED = 3
STEMS = dict(zip(FAULTS, expected_stems_of("s1"), strict=False))


def name_of(kind: str) -> tuple[str, str]:
    """(folder, file name) of a fault's clip."""
    if kind == "not_a_stem":
        return "s1", "bbaw2n"
    if kind == "other_speaker":
        return "s2", STEMS[kind]
    return "s1", STEMS[kind]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """One talking face, broken in every way, verified by the program with `--faces`."""
    scratch = tmp_path_factory.mktemp("faults")
    spoken = expected_stems_of("s1")[-1]
    make_clip(Job(str(scratch / "made"), "s1", spoken, SEED))
    source = scratch / "made" / "s1" / f"{spoken}.mpg"
    assert read_alignment(scratch / "made" / "alignments" / "s1" / f"{spoken}.align", spoken)
    root = scratch / "grid"
    (root / "s1").mkdir(parents=True)
    shutil.copy(source, root / "s1" / f"{spoken}.mpg")
    write_alignment(root / "alignments" / "s1" / f"{spoken}.align", spoken)
    for kind in FAULTS:
        folder, stem = name_of(kind)
        words = write_alignment(scratch / f"{kind}.align", STEMS[kind])
        target_words = root / "alignments" / folder / f"{stem}.align"
        target_words.parent.mkdir(exist_ok=True)
        (root / folder).mkdir(exist_ok=True)
        make_fault(kind, source, root / folder / f"{stem}.mpg", words, target_words)
    out = scratch / "verify.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gridprep.cli", "verify", str(root)),
            *("--jobs", "1", "--faces", "--out", str(out)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    assert "Traceback" not in done.stderr
    found: dict = json.loads(out.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("kind", FAULTS)
def test_fault_gets_its_verdict(report: dict, kind: str) -> None:
    fault = FAULTS[kind]
    folder, stem = name_of(kind)
    findings = [f for f in report["findings"] if f["stem"] == stem]
    if fault.outcome == "failure":
        (finding,) = findings
        assert finding["verdict"] == "failed"
        # The first is the one that a build names; a file cut off lacks sound as well.
        further = ["audio_short"] if kind == "truncated" else []
        assert [p["reason"] for p in finding["problems"]] == [fault.expected, *further]
        assert finding["video"] == f"{folder}/{stem}.mpg"
        assert all(p["detail"] for p in finding["problems"])
    elif kind == "other_speaker":
        assert findings == []
        told = {repair["says"].partition(":")[0] for repair in report["repairs"]}
        assert told == {"s2 holds 1 clip of s1", "alignments/s2 holds 1 alignment of s1"}
        assert report["counts"]["repairs"] == {"speaker_folder": 1, "alignment_folder": 1}
    elif kind == "junk":
        assert findings == []
        assert report["counts"]["junk_files"] == 3
    elif fault.expected:
        (finding,) = findings
        assert finding["verdict"] == "flagged"
        assert fault.expected in finding["flags"]
    else:
        assert findings == []


def test_nothing_is_lost_and_nothing_else_found(report: dict) -> None:
    counts = report["counts"]
    clips = [kind for kind in FAULTS if kind != "junk"]
    assert counts["checked"] == len(clips) + 1
    assert counts["ok"] + counts["flagged"] + counts["failed"] == counts["checked"]
    assert counts["failed"] == sum(f.outcome == "failure" for f in FAULTS.values())
    assert "unexpected" not in counts["reasons"]
    assert report["duplicates"] == []
