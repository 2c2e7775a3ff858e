"""Builds of broken corpora, broken folders and broken workers: one clear line each, recorded, and
nothing else lost. Real faces (SynthGRID) and the real landmark backend."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from builds import add_clip, count_states, digests, gridprep, temporaries

from gridprep.features.crop_store import read_pictures
from gridprep.synth.faults import BYTE_FAULTS, CHANGES, FAULTS, make_fault
from manifests.corpus_lists import stems_of
from manifests.io import read_jsonl, read_manifest, validate
from manifests.records import ClipFailure, ManifestRow

KINDS = tuple(kind for kind in FAULTS if kind not in ("not_a_stem", "other_speaker", "junk"))
STEMS = dict(zip(KINDS, stems_of("s1")[100:], strict=False))
MISPLACED = stems_of("s3")[0]


@dataclass(frozen=True)
class Broken:
    """A corpus with one clip of every fault, built."""

    corpus: Path
    out: Path
    code: int
    printed: str
    rows: dict[str, ManifestRow]
    failures: dict[str, ClipFailure]


def sound_source(synth_corpus: Path) -> tuple[Path, Path]:
    """(video, alignment) of one sound clip."""
    video = min((synth_corpus / "s1").glob("*.mpg"))
    return video, synth_corpus / "alignments" / "s1" / f"{video.stem}.align"


@pytest.fixture(scope="module")
def broken(synth_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Broken:
    root = tmp_path_factory.mktemp("faults of s 1 é")
    corpus, out = root / "corpus", root / "out"
    video, _ = sound_source(synth_corpus)
    for kind, stem in STEMS.items():
        target = add_clip(corpus, "s1", stem, video)
        words = corpus / "alignments" / "s1" / f"{stem}.align"
        make_fault(kind, video, target, words, words)
    (corpus / "s1" / "holiday.mpg").write_bytes(video.read_bytes())
    (corpus / "s1" / os.fsdecode(b"caf\xe9.mpg")).write_bytes(video.read_bytes())
    make_fault("junk", video, corpus / "s1" / "holiday.mpg")
    add_clip(corpus, "s1", MISPLACED, video)  # folder and alignment claim s1
    code, printed, error = gridprep(
        "build", "--corpus", corpus, "--out", out, "--split", "large-unseen", "--jobs", "2"
    )
    assert "Traceback" not in error
    _, rows = read_manifest(out)
    validate(rows, out)
    _, failures = read_jsonl(out / "failures.jsonl", "failures", ClipFailure)
    return Broken(
        corpus,
        out,
        code,
        printed,
        {row.stem: row for row in rows},
        {failure.stem: failure for failure in failures},
    )


def test_every_clip_is_a_row_or_a_failure(broken: Broken) -> None:
    clips = len(STEMS) + 3
    assert len(broken.rows) + len(broken.failures) == clips
    assert f"{len(broken.rows)} rows + {len(broken.failures)} failures = {clips} clips" in (
        broken.printed
    )
    assert broken.code == 6
    assert not temporaries(broken.out)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_becomes_what_is_documented(broken: Broken, kind: str) -> None:
    fault, stem = FAULTS[kind], STEMS[kind]
    if fault.outcome == "failure":
        failure = broken.failures[stem]
        assert failure.reason == fault.expected
        assert "\n" not in failure.detail
        assert failure.video == f"s1/{stem}.mpg"
        assert stem not in broken.rows
    else:
        row = broken.rows[stem]
        assert fault.expected == "" or fault.expected in row.flags
        assert read_pictures(broken.out / row.paths["lips"]).shape == (75, 144, 144, 3)


def test_evidence_says_what_was_found(broken: Broken) -> None:
    def of(kind: str) -> ClipFailure:
        return broken.failures[STEMS[kind]]

    assert of("frames_60").detail == "60 frames, not 75"
    assert of("frames_80").evidence["source_frames"] == 80
    assert of("grey_start").detail.startswith("12 of 75 frames are plain gray (0-11)")
    assert of("black").evidence["plain_frames"] == 75
    assert "15.00 frames per second, at least 25 needed" in of("fps_15").detail
    assert "1.2" in of("audio_short").detail
    assert "line 3 is not `start end word`" in of("alignment_garbled").detail
    assert "outside the clip of 3 s" in of("alignment_out_of_range").detail
    assert STEMS["alignment_wrong_sentence"] in of("alignment_wrong_sentence").detail
    repeated = broken.rows[STEMS["frames_74"]]
    assert (repeated.qc["source_frames"], repeated.qc["frames_repeated"]) == (74, 1)
    assert broken.rows[STEMS["size_720x576"]].qc["source_size"] == "720x576"
    assert broken.rows[STEMS["fps_50"]].qc["source_fps"] == 50.0
    assert broken.rows[STEMS["two_faces"]].qc["faces"] == 2


def test_names_outside_the_grammar_and_litter(broken: Broken) -> None:
    for name in ("holiday", os.fsdecode(b"caf\xe9")):
        failure = broken.failures[name]
        assert (failure.stage, failure.reason) == ("find", "not_a_stem")
    assert json.loads((broken.out / "provenance.json").read_text())["junk_files"] == 3


def test_a_clip_in_anothers_folder_goes_to_its_true_speaker(broken: Broken) -> None:
    row = broken.rows[MISPLACED]
    assert (row.speaker, row.subset) == ("s3", "train")
    assert set(row.repairs) == {"speaker_folder", "alignment_folder"}
    assert row.source_path == f"s1/{MISPLACED}.mpg"
    assert row.paths["lips"].startswith("lips/s3/")


def test_the_report_names_an_example_of_every_reason(broken: Broken) -> None:
    for reason in {f.reason for f in broken.failures.values()}:
        assert f" × {reason}: e.g. " in broken.printed
    assert str(broken.out / "failures.jsonl") in broken.printed


def test_failures_stand_and_rows_are_kept(broken: Broken) -> None:
    before = digests(broken.out)
    code, printed, _ = gridprep("build", "--corpus", broken.corpus, "--out", broken.out)
    assert code == 6
    assert "(0 worked on, " in printed
    assert digests(broken.out) == before


def test_a_mended_clip_becomes_a_row(broken: Broken, synth_corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(broken.corpus, tmp_path / "corpus", symlinks=True)
    shutil.copytree(broken.out, tmp_path / "out")
    video, _ = sound_source(synth_corpus)
    for kind in ("truncated", "alignment_missing"):
        add_clip(tmp_path / "corpus", "s1", STEMS[kind], video)
    code, printed, _ = gridprep(
        "build", "--corpus", tmp_path / "corpus", "--out", tmp_path / "out", "--jobs", "1"
    )
    assert code == 6
    assert f"{len(broken.rows) + 2} rows + {len(broken.failures) - 2} failures" in printed


# -- broken folders ---------------------------------------------------------------------------------


@pytest.fixture
def three(synth_corpus: Path, tmp_path: Path) -> Path:
    """A corpus of three sound clips of s1."""
    video, _ = sound_source(synth_corpus)
    for stem in stems_of("s1")[:3]:
        add_clip(tmp_path / "corpus", "s1", stem, video)
    return tmp_path / "corpus"


def program(*arguments: str | Path, limit_bytes: int = 0) -> tuple[int, str, str]:
    """Runs gridprep as a process of its own, which may write no file over `limit_bytes`."""

    def set_limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    done = subprocess.run(
        [sys.executable, "-m", "gridprep.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        preexec_fn=set_limit if limit_bytes else None,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def the_line(error: str) -> str:
    """The one line for the user; progress may stand before it."""
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if not line.startswith("build: ")]
    assert len(lines) == 1, error
    return lines[0]


def test_a_disk_that_fills_up_stops_with_one_line_and_keeps_what_was_done(three: Path) -> None:
    """A limit on the size of files stands in for the disk: crops no longer fit, sound still does."""
    out = three.parent / "out"
    common = ("--corpus", three, "--out", out, "--jobs", "1")
    assert program("build", *common, "--limit", "1")[0] == 0
    before = digests(out)
    code, printed, error = program("build", *common, limit_bytes=100_000)
    assert code == 2
    assert printed == ""
    line = the_line(error)
    assert line.startswith(f"gridprep: {out}/")
    assert line.endswith("File too large; free space or choose another --out, then run it again")
    assert not temporaries(out)
    assert digests(out).items() >= before.items()
    assert count_states(out) == 1
    code, printed, _ = program("build", *common)
    assert code == 0
    assert "3 rows + 0 failures = 3 clips (2 worked on, 1 unchanged" in printed


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount a small disk"
)
def test_a_really_full_disk(three: Path) -> None:
    disk = three.parent / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        code, _, error = program("build", "--corpus", three, "--out", disk / "out", "--jobs", "1")
        assert code == 2
        assert "No space left on device; free space or choose another --out" in the_line(error)
        assert not temporaries(disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount read-only"
)
def test_a_read_only_disk(three: Path) -> None:
    out = three.parent / "out"
    out.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(out)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a read-only disk cannot be mounted here")
    try:
        code, _, error = program("build", "--corpus", three, "--out", out, "--jobs", "1")
        assert code == 2
        assert the_line(error) == (
            f"gridprep: {out}: Read-only file system; choose a path that is not read-only"
        )
    finally:
        subprocess.run(["umount", str(out)], check=True)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not stop root"
)
def test_folders_and_files_without_permission(three: Path) -> None:
    out = three.parent / "out"
    out.mkdir()
    out.chmod(0o500)
    code, _, error = program("build", "--corpus", three, "--out", out, "--jobs", "1")
    assert code == 2
    assert "Permission denied" in the_line(error)
    out.chmod(0o700)
    video = min((three / "s1").glob("*.mpg"))
    video.chmod(0)
    assert program("build", "--corpus", three, "--out", out, "--jobs", "1")[0] == 6
    _, (failure,) = read_jsonl(out / "failures.jsonl", "failures", ClipFailure)
    assert (failure.reason, failure.stem) == ("unreadable", video.stem)
    video.chmod(0o600)
    assert program("build", "--corpus", three, "--out", out, "--jobs", "1")[0] == 0


def test_the_kinds_of_fault_are_all_tried() -> None:
    assert len(STEMS) == len(KINDS)
    assert set(CHANGES) | set(BYTE_FAULTS) <= set(KINDS)
