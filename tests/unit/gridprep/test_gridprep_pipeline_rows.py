"""From a state to a row or a failure, and the files that hold them."""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from gridprep.pipeline.recipe import ALL_STAGES, Recipe, expected_keys
from gridprep.pipeline.rows import manifest_writer, not_built, relative_to, row_or_failure
from gridprep.pipeline.state import Artifact, ClipState, StageState, stamp
from manifests.io import read_jsonl, read_manifest, validate
from manifests.records import Clip, ClipFailure, ManifestRow
from manifests.specs import CropSpec

RECIPE = Recipe(mels=("facetron", "lip2wav"))
PARAMETERS = RECIPE.stage_parameters()
WORDS = ("bin", "blue", "at", "f", "two", "now")


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    video = tmp_path / "corpus" / "s1" / "bbaf2n.mpg"
    video.parent.mkdir(parents=True)
    video.write_bytes(b"video")
    return Clip("s1", "bbaf2n", str(video), "", "s2", ("speaker_folder",), gender="male")


def finished(clip: Clip, build: Path) -> ClipState:
    """A state with every stage done, and its files."""
    state = ClipState(source=replace(stamp(clip.video), sha256="c0ffee"))
    keys = expected_keys(state, clip, PARAMETERS)
    files = {
        "audio": {"audio": "audio/s1/bbaf2n.wav"},
        "align": {"landmarks": "landmarks/s1/bbaf2n.npz"},
        "crop": {"lips": "lips/s1/bbaf2n.avi", "face": "face/s1/bbaf2n.jpg"},
        "mels": {
            "mel": "mel/s1/bbaf2n.npy",
            "mel:lip2wav": "mel-lip2wav/s1/bbaf2n.npy",
            "prosody": "prosody/s1/bbaf2n.npz",
        },
    }
    words = [
        {"word": w, "start_s": 0.4 * i, "end_s": 0.4 * (i + 1),
         "start_frame": 10 * i, "end_frame": 10 * (i + 1)}
        for i, w in enumerate(WORDS)
    ]  # fmt: skip
    data: dict[str, dict[str, object]] = {
        "decode": {"flags": ["frames_repeated"], "qc": {"source_frames": 74}},
        "alignment": {"words": words},
        "audio": {
            "flags": ["audio_cut"],
            "qc": {"peak": 0.5},
            "samples": 48_000,
            "samples_added": 7,
        },
        "crop": {"video_frames": 75},
        "mels": {"mel_frames": 150, "qc": {"f0_median_hz": None}},
    }
    for stage in ALL_STAGES:
        sizes = {}
        for name, path in files.get(stage, {}).items():
            (build / path).parent.mkdir(parents=True, exist_ok=True)
            (build / path).write_bytes(b"123")
            sizes[name] = Artifact(path, 3, hashlib.sha256(b"123").hexdigest())
        state.stages[stage] = StageState(keys[stage], sizes, data.get(stage, {}))
    return state


def test_a_finished_clip_is_a_row(clip: Clip, tmp_path: Path) -> None:
    state = finished(clip, tmp_path / "out")
    root = str(tmp_path / "corpus")
    row = row_or_failure(clip, state, "test", RECIPE, root)
    assert isinstance(row, ManifestRow)
    validate([row], tmp_path / "out")
    assert (row.speaker, row.gender, row.subset) == ("s1", "male", "test")
    assert row.sentence == "bin blue at f two now"
    assert row.flags == ("frames_repeated", "audio_cut")
    assert row.repairs == ("speaker_folder",), (
        "what was wrong with the corpus is no flag of the clip"
    )
    assert row.qc == {"source_frames": 74, "peak": 0.5, "f0_median_hz": None}
    assert set(row.paths) == {"lips", "face", "audio", "mel", "prosody", "landmarks"}
    assert set(row.sha256) == {*row.paths, "mel:lip2wav"}
    assert set(row.sha256.values()) == {hashlib.sha256(b"123").hexdigest()}
    assert row.extra_mels == {"lip2wav": "mel-lip2wav/s1/bbaf2n.npy"}
    assert row.source_path == "s1/bbaf2n.mpg"
    assert row.source_sha256 == "c0ffee"
    assert row.fingerprints["crop"] == CropSpec().fingerprint()
    assert set(row.fingerprints) == {"audio", "mel", "crop", "landmarks", "prosody"}
    assert row.words[5].end_frame == 60


def test_broken_physics_are_a_failure(clip: Clip, tmp_path: Path) -> None:
    state = finished(clip, tmp_path / "out")
    state.stages["audio"].data["samples"] = 47_999
    state.stages["mels"].data["mel_frames"] = 149
    state.stages["crop"].data["video_frames"] = 74
    failure = row_or_failure(clip, state, "test", RECIPE, str(tmp_path / "corpus"))
    assert isinstance(failure, ClipFailure)
    assert (failure.stage, failure.reason) == ("manifest", "physics")
    assert failure.detail.startswith(
        "47999 samples, not 47360 at 16000 Hz; 149 mel frames, not 148; 74 video frames, not 75"
    )


def test_lists_that_are_not_finished_leave_the_old_ones(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text("old")
    with pytest.raises(AttributeError), manifest_writer(str(tmp_path), {}) as writer:
        writer.add(None)  # type: ignore[arg-type]
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("manifest.jsonl", "old")]


def test_mel_frames_are_judged_by_the_builds_own_mel(clip: Clip, tmp_path: Path) -> None:
    state = finished(clip, tmp_path / "out")
    recipe = replace(RECIPE, mels=("hifigan-22k",))
    failure = row_or_failure(clip, state, "test", recipe, str(tmp_path / "corpus"))
    assert isinstance(failure, ClipFailure)
    assert "150 mel frames, not 258" in failure.detail
    state.stages["mels"].data["mel_frames"] = 258
    assert isinstance(
        row_or_failure(clip, state, "test", recipe, str(tmp_path / "corpus")), ManifestRow
    )


def test_a_failure_names_its_source_relative_to_the_corpus(clip: Clip, tmp_path: Path) -> None:
    state = ClipState(failure=ClipFailure("s1", "bbaf2n", "align", "no_face", "none", clip.video))
    failure = row_or_failure(clip, state, "test", RECIPE, str(tmp_path / "corpus"))
    assert isinstance(failure, ClipFailure)
    assert failure.video == "s1/bbaf2n.mpg"


def test_only_what_is_true_counts_as_built(clip: Clip, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    state = finished(clip, tmp_path / "out")

    def why(state: ClipState, recipe: Recipe = RECIPE) -> str | None:
        failure = not_built(clip, state, recipe.stage_parameters(), out)
        assert failure is None or (failure.stage, failure.reason) == ("manifest", "not_built")
        return failure.detail if failure else None

    assert why(state) is None
    assert why(ClipState()) == "not built yet"
    other = replace(RECIPE, crop=CropSpec(face_every=25))
    assert why(state, other) == "not done, or with other parameters: crop, content"
    (tmp_path / "out" / "mel" / "s1" / "bbaf2n.npy").unlink()
    assert why(state) == "not done, or with other parameters: mels"
    Path(clip.video).write_bytes(b"another video")
    assert why(state) == "the source changed since it was built"


def test_a_failure_of_these_parameters_is_trusted_and_another_is_not(
    clip: Clip, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    state = finished(clip, tmp_path / "out")
    key = expected_keys(state, clip, PARAMETERS)["align"]
    state.failure = ClipFailure("s1", "bbaf2n", "align", "no_face", "none")
    state.failure_key = key
    assert not_built(clip, state, PARAMETERS, out) is None
    state.failure_key = "another"
    again = not_built(clip, state, PARAMETERS, out)
    assert again is not None
    assert again.detail == "not done, or with other parameters: what failed before"
    unreadable = ClipState(failure=ClipFailure("s1", "bbaf2n", "decode", "unreadable", "x"))
    assert not_built(clip, unreadable, PARAMETERS, out) is None


def test_relative_paths_are_those_of_os_path() -> None:
    for root, path in (("/a/b", "/a/b/c/d.mpg"), ("/a/b", "/a/bc/d.mpg"), ("/a/b", "/x")):
        assert relative_to(root, path) == os.path.relpath(path, root)


def test_files_hold_rows_and_failures(clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out"
    state = finished(clip, out)
    row = row_or_failure(clip, state, "test", RECIPE, str(tmp_path / "corpus"))
    assert isinstance(row, ManifestRow)
    failure = ClipFailure("s1", "bbaf3s", "decode", "grey_frames", "grey", "s1/x", {"n": 12})
    with manifest_writer(str(out), {"split": "large-unseen"}) as writer:
        writer.add(failure)
        writer.add(row)
    assert (writer.rows, writer.failures) == (1, [failure])
    header, rows = read_manifest(out)
    assert (header["schema"], header["split"], header["rows"]) == ("manifest", "large-unseen", 1)
    assert rows == [row]
    assert read_jsonl(out / "failures.jsonl", "failures", ClipFailure)[1] == [failure]
    lines = {s: list(csv.DictReader((out / f"{s}.csv").open())) for s in ("train", "val", "test")}
    assert (lines["train"], lines["val"]) == ([], [])
    (line,) = lines["test"]
    assert line["lips"] == "lips/s1/bbaf2n.avi"
    assert line["flags"] == "frames_repeated audio_cut"
    assert line["samples_added"] == "7"
