"""A whole corpus as it is met in the wild, through the program itself: every layout, container and
litter at once, and two folders of alignments swapped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clips import tiny_clip, write_alignment

from manifests.corpus_lists import expected_stems_of


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory, sound_clip: Path) -> Path:
    root = tmp_path_factory.mktemp("wild") / "GRID – Grün und weiß"

    def put(folder: str, stem: str, suffix: str = ".mpg") -> None:
        path = root / folder / f"{stem}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix.lower() == ".mpg":
            os.symlink(sound_clip, path)
        else:
            tiny_clip(path)

    def words(folder: str, stem: str, line_end: str = "\n") -> None:
        write_alignment(root / folder / f"{stem}.align", stem, line_end)

    def stems(number: int) -> tuple[str, str]:
        first, second = expected_stems_of(f"s{number}")[:2]
        return first, second

    # The archives' own folders, alignments beside.
    for stem in stems(1):
        put("s1/video/mpg_vcd/s1", stem)
        words("s1/align", stem)
    for stem in stems(2):
        put("s2.mpg_vcd/s2", stem)
        words("alignments/s2", stem)
    # Windows: capitals, CRLF, Thumbs.db.
    for stem in stems(3):
        put("S03", stem.upper(), ".MPG")
        words("S03", stem, "\r\n")
    (root / "S03" / "Thumbs.db").write_bytes(b"x")
    # Apple.
    (root / "__MACOSX" / "s1").mkdir(parents=True)
    (root / "__MACOSX" / "s1" / f"._{stems(1)[0]}.mpg").write_bytes(b"x")
    (root / "S03" / f"._{stems(3)[0]}.mpg").write_bytes(b"x")
    # Re-encoded.
    for number, suffix in ((4, ".mp4"), (7, ".mkv"), (8, ".avi")):
        for stem in stems(number):
            put(f"s{number}_processed", stem, suffix)
            words(f"s{number}_processed/align", stem)
    # Swapped alignments, as GRID distributes them.
    for clips, folder in ((5, 6), (6, 5)):
        for stem in stems(clips):
            put(f"s{clips}", stem)
            words(f"alignments/s{folder}", stem)
    # A whole speaker folder under another's name, and one stray.
    for stem in stems(9):
        put("s10", stem)
        words("alignments/s9", stem)
    put("s5", expected_stems_of("s11")[0])
    words("alignments/s11", expected_stems_of("s11")[0])
    return root


@pytest.fixture(scope="module")
def verified(wild: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, dict]:
    out = tmp_path_factory.mktemp("report") / "verify.json"
    done = subprocess.run(
        [sys.executable, "-m", "gridprep.cli", "verify", wild, "--jobs", "1", "--out", out],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, json.loads(out.read_text(encoding="utf-8"))


def test_every_clip_is_found_and_sound(verified: tuple[int, str, dict]) -> None:
    code, output, report = verified
    assert code == 0, output
    assert report["counts"]["checked"] == 19
    assert report["counts"]["failed"] == 0
    lines = {line["speaker"]: line for line in report["speakers"]}
    assert {s: line["found"] for s, line in lines.items()} == {
        **dict.fromkeys(("s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"), 2),
        "s11": 1,
    }
    assert all(line["alignments"] == line["found"] for line in lines.values())


def test_nothing_but_flags_of_the_re_encoding(verified: tuple[int, str, dict]) -> None:
    flags = set(verified[2]["counts"]["flags"])
    assert flags <= {"audio_shifted", "audio_cut"}


def test_repairs_are_told(verified: tuple[int, str, dict]) -> None:
    _, output, report = verified
    assert [(r["kind"], r["folders"]) for r in report["repairs"]] == [
        ("swapped", ["alignments/s5", "alignments/s6"]),
        ("strays", ["s5"]),
        ("holds_other", ["s10"]),
    ]
    assert "alignments/s5 and alignments/s6 are swapped" in output
    assert "s5 holds 1 clip of s11 among 2 of s5's own" in output
    assert "s10 holds 2 clips of s9: build pairs them by stem, nothing needs moving" in output


def test_litter_is_passed_over(verified: tuple[int, str, dict]) -> None:
    counts = verified[2]["counts"]
    assert (counts["junk_files"], counts["duplicates"], counts["orphan_alignments"]) == (3, 0, 0)


def test_the_corpus_is_only_read(wild: Path, verified: tuple[int, str, dict]) -> None:
    assert not list(wild.rglob("*.json"))
    assert not list(wild.rglob(".*tmp*"))
