"""What is known of the real clips, found again: only the odd ones and a few others are decoded."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gridprep.corpora.alignment import parse_alignment, read_alignment
from gridprep.corpora.grid import Corpus, find_clips
from gridprep.media.decode import decode
from gridprep.media.quality import check_audio, check_video
from gridprep.verification.run import VerifyTask, check_clip
from manifests.specs import AudioSpec

GREY = [  # exactly those that a public list leaves out
    "bbizzn",
    "brwa4p",
    "brwg8p",
    "bwwuzn",
    "lgbf8n",
    "lrarzn",
    "pbio7a",
    "pbwx1s",
    "prii9a",
    "sbbh4p",
    "sran9s",
]
SHORT = ["s1/lrae3s", "s1/srbb4n", "s1/srwi5a", "s1/swao7a", "s4/bbaf2a"]


@pytest.fixture(scope="module")
def corpus(real_grid: Path) -> Corpus:
    return find_clips(real_grid)


@pytest.fixture(scope="module")
def tasks(corpus: Corpus) -> dict[str, VerifyTask]:
    return {clip.clip_id: VerifyTask(clip) for clip in corpus.clips}


def test_every_clip_is_found_with_its_alignment(corpus: Corpus, real_grid: Path) -> None:
    lines = (real_grid / "index.csv").read_text().splitlines()[1:]
    listed = ["/".join(line.split(",")[:2]) for line in lines]
    assert sorted(clip.clip_id for clip in corpus.clips) == sorted(listed)
    assert len(corpus.clips) == len(lines) == 1047
    assert all(clip.alignment for clip in corpus.clips)
    assert (corpus.failures, corpus.claims, corpus.duplicates) == ((), (), ())
    assert (corpus.orphan_alignments, corpus.junk_files) == (0, 0)


def test_every_alignment_reads_and_spells_its_stem(corpus: Corpus) -> None:
    for clip in corpus.clips:
        spans = read_alignment(clip.alignment, clip.stem)
        assert 0 < spans[0].start_s < spans[-1].end_s <= 2.98
        tokens = parse_alignment(Path(clip.alignment).read_text())
        assert (tokens[0].start_units, tokens[-1].end_units) == (0, 74_500)


def test_words_of_a_known_clip(corpus: Corpus) -> None:
    clip = next(c for c in corpus.clips if c.clip_id == "s1/bbaf2n")
    first = read_alignment(clip.alignment, clip.stem)[0]
    assert (first.word, first.start_s, first.end_s) == ("bin", 0.95, 1.18)
    assert (first.start_frame, first.end_frame) == (23, 30)


@pytest.mark.parametrize("stem", GREY)
def test_the_eleven_grey_clips_fail(tasks: dict[str, VerifyTask], stem: str) -> None:
    finding = check_clip(tasks[f"s1/{stem}"])
    (problem,) = finding.problems  # the sound is complete, and so is the alignment
    assert problem.reason == "grey_frames"
    assert problem.detail == "12 of 75 frames are plain gray (0-11)"


@pytest.mark.parametrize("clip_id", SHORT)
def test_the_five_of_74_frames_are_rows_with_a_flag(
    tasks: dict[str, VerifyTask], clip_id: str
) -> None:
    finding = check_clip(tasks[clip_id])
    assert (finding.verdict, finding.flags) == ("flagged", ("frames_repeated",))
    media = decode(tasks[clip_id].clip.video, audio=False)
    assert len(media.frames) == 74
    checked = check_video(media)
    assert np.array_equal(checked.frames[:74], media.frames)
    assert np.array_equal(checked.frames[74], media.frames[73])


@pytest.mark.parametrize("speaker", ["s2", "s4", "s30", "s33"])
def test_an_original_clip(corpus: Corpus, speaker: str) -> None:
    clip = [c for c in corpus.clips if c.speaker == speaker][-1]
    assert check_clip(VerifyTask(clip)).verdict == "ok"
    media = decode(clip.video)
    assert media.frames.shape == (75, 288, 360, 3)
    assert (media.audio.shape, media.sample_rate_hz) == ((131_328, 2), 44_100)
    assert media.codecs == "mpeg1video+mp2"
    assert np.allclose(media.frame_times_s, np.arange(75) / 25, atol=1e-6)
    assert check_audio(media, AudioSpec()).samples_added == 353
    alone = decode(clip.video, video=False)
    assert alone.audio_start_s == media.audio_start_s == 0


def test_the_clip_with_the_shortest_sound(tasks: dict[str, VerifyTask]) -> None:
    task = tasks["s1/swwv9a"]
    assert check_clip(task).verdict == "ok"
    assert check_audio(decode(task.clip.video, video=False), AudioSpec()).samples_added == 1188


def test_verify_reads_only(real_grid: Path, tmp_path: Path) -> None:
    """The program over a few clips of every speaker, and the corpus as it was."""

    def listing() -> str:
        entries = sorted(
            (str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in real_grid.rglob("*")
        )
        return hashlib.sha256(repr(entries).encode()).hexdigest()

    before = listing()
    out = tmp_path / "verify.json"
    command = [sys.executable, "-m", "gridprep.cli", "verify", os.fspath(real_grid)]
    done = subprocess.run(
        [*command, "--limit", "20", "--jobs", "1", "--out", os.fspath(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 6), done.stderr
    report = json.loads(out.read_text())
    assert report["counts"]["checked"] == 20
    # Two of each of the ten speakers; the second of s4, bbaf2a, has 74 frames.
    assert (report["counts"]["failed"], report["counts"]["flags"]) == (0, {"frames_repeated": 1})
    assert {s["speaker"]: s["found"] for s in report["speakers"]}["s1"] == 940
    assert listing() == before
