"""A build of real clips: what a person would say of each of them, and the numbers that are promised."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from builds import gridprep

from gridprep.features.crop_store import read_pictures
from gridprep.features.crops import apply_warps, track
from manifests.corpus_lists import speaker_of
from manifests.features import read_landmarks
from manifests.grammar import words_of
from manifests.io import read_jsonl, read_manifest, validate
from manifests.records import LIP_POINTS, ClipFailure, ManifestRow
from manifests.specs import CropSpec, LandmarkSpec

CLIPS = {
    "bbaf2n": "compact/s1",
    "bbizzn": "compact/s1",  # begins with twelve grey frames
    "lrae3s": "compact/s1",  # 74 frames
    "sgib8n": "compact/s1",  # a damaged bitstream, before it was encoded again
    "bbal8p": "original/s1",
    "bbaf2a": "original/s4",  # 74 frames
    "bbaf1p": "original/s4",
}
GREY = "bbizzn"
SHORT = ("lrae3s", "bbaf2a")


@dataclass(frozen=True)
class Built:
    """A build of `CLIPS`."""

    out: Path
    code: int
    printed: str
    rows: dict[str, ManifestRow]
    failures: list[ClipFailure]


@pytest.fixture(scope="module")
def built(real_grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("real")
    for stem, folder in CLIPS.items():
        speaker = folder.split("/")[1]
        assert speaker_of(stem) == speaker
        (source,) = (real_grid / folder).glob(f"{stem}.*")
        words = real_grid / "alignments" / speaker / f"{stem}.align"
        for link, target in (
            (root / "corpus" / speaker / source.name, source),
            (root / "corpus" / "alignments" / speaker / words.name, words),
        ):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
    out = root / "out"
    code, printed, _ = gridprep(
        "build", "--corpus", root / "corpus", "--out", out, "--split", "large-unseen", "--jobs", "2"
    )
    _, rows = read_manifest(out)
    _, failures = read_jsonl(out / "failures.jsonl", "failures", ClipFailure)
    return Built(out, code, printed, {row.stem: row for row in rows}, failures)


def test_rows_and_failures_are_what_a_person_would_say(built: Built) -> None:
    (failure,) = built.failures
    assert (failure.stem, failure.stage, failure.reason) == (GREY, "decode", "grey_frames")
    assert failure.detail == "12 of 75 frames are plain gray (0-11)"
    assert set(built.rows) == set(CLIPS) - {GREY}
    assert built.code == 6
    assert "6 rows + 1 failures = 7 clips" in built.printed
    validate(built.rows.values(), built.out)


def test_flags_say_what_was_odd(built: Built) -> None:
    for stem, row in built.rows.items():
        assert ("frames_repeated" in row.flags) == (stem in SHORT), stem
        for crop in ("lips", "face"):  # some speakers sit low in the picture
            assert (f"{crop}_over_border" in row.flags) == (row.qc[f"{crop}_border_px"] > 0)
        known = {"frames_repeated", "lips_over_border", "face_over_border"}
        assert not set(row.flags) - known, row.flags
        assert row.subset == "test"  # s1 and s4 are held out
        assert (row.gender == "female") == (row.speaker == "s4")


def test_word_spans_are_the_alignments_to_the_frame(built: Built, real_grid: Path) -> None:
    """Read here without the toolkit's own reader: 1000 units are a frame, 25,000 a second."""
    for stem, row in built.rows.items():
        text = (real_grid / "alignments" / row.speaker / f"{stem}.align").read_text()
        lines = [line.split() for line in text.splitlines()]
        spoken = [(int(a), int(b), w) for a, b, w in lines if w not in ("sil", "sp")]
        assert tuple(w for _, _, w in spoken) == words_of(stem)
        for span, (start, end, word) in zip(row.words, spoken, strict=True):
            assert span.word == word
            assert (span.start_s, span.end_s) == (start / 25_000, end / 25_000)
            assert (span.start_frame, span.end_frame) == (start // 1000, -(-end // 1000))


def test_artifacts_have_the_promised_shapes(built: Built) -> None:
    for row in built.rows.values():
        lips = read_pictures(built.out / row.paths["lips"])
        assert (lips.shape, lips.dtype) == ((75, 144, 144, 3), np.uint8)
        assert lips.std() > 10
        assert read_pictures(built.out / row.paths["face"]).shape == (15, 160, 160, 3)
        samples, rate_hz = soundfile.read(built.out / row.paths["audio"], dtype="int16")
        assert (samples.shape, rate_hz) == ((48_000,), 16_000)
        assert 300 < row.samples_added < 1300
        assert not samples[-row.samples_added :].any()
        assert samples[: -row.samples_added].any()
        mel = np.load(built.out / row.paths["mel"])
        assert (mel.shape, mel.dtype) == ((80, 150), np.float32)
        assert np.isfinite(mel).all()


def test_the_mouth_is_in_the_middle_of_the_crop(built: Built) -> None:
    """Within 2 px on at least 99 % of frames, measured from the stored landmarks."""
    landmark_spec, crop_spec = LandmarkSpec(), CropSpec()
    off_px = []
    for row in built.rows.values():
        landmarks = read_landmarks(str(built.out / row.paths["landmarks"]))
        geometry = track(landmarks, landmark_spec, crop_spec)
        lips = [landmarks.names.index(name) for name in LIP_POINTS]
        mouth = apply_warps(geometry.warps, geometry.points_px[:, lips]).mean(1)
        off_px.append(np.linalg.norm(mouth - geometry.lip_centers_px, axis=1))
        assert row.qc["mouth_off_center_over_2px"] == int((off_px[-1] > 2).sum())
        assert row.qc["found_share"] == 1.0
        assert row.qc["interpolated_frames"] == 0
    assert (np.concatenate(off_px) <= 2).mean() >= 0.99


def test_the_last_frame_is_repeated_where_one_was_missing(built: Built) -> None:
    for stem in SHORT:
        row = built.rows[stem]
        assert row.qc["source_frames"] == 74
        assert row.qc["frames_repeated"] == 1
        landmarks = read_landmarks(str(built.out / row.paths["landmarks"]))
        assert landmarks.found[74]
        np.testing.assert_allclose(
            landmarks.points_px[74], landmarks.points_px[72], atol=2.5, rtol=0
        )


def test_provenance_says_what_made_it(built: Built) -> None:
    provenance = json.loads((built.out / "provenance.json").read_text())
    assert provenance["failures"] == {"grey_frames": 1}
    assert (provenance["clips"], provenance["rows"], provenance["processed"]) == (7, 6, 7)
    assert {"python", "numpy", "av", "ai-edge-litert"} <= set(provenance["versions"])


def test_a_second_run_has_nothing_to_do(built: Built) -> None:
    corpus = built.out.parent / "corpus"
    code, printed, _ = gridprep("build", "--corpus", corpus, "--out", built.out)
    assert code == 6
    assert "6 rows + 1 failures = 7 clips (0 worked on, 7 unchanged" in printed
    assert os.path.getsize(built.out / "manifest.jsonl") > 1000
