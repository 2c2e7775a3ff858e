"""`facetron synthesize` on a small build: complete, resumable, and honest about what failed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from facetron_build import STEMS, make_build
from facetron_trained import PARTS, make_checkpoint

from facetron.commands.synthesize import synthesize as synthesize_command
from facetron.synthesis import files
from facetron.synthesis.run import SynthesisOptions, synthesize
from facetron.synthesis.swaps import read_pairs
from facetron.synthesis.synthesizer import Synthesizer
from manifests.errors import BadInput, ManifestError, SpecMismatch, TooManyFailures
from manifests.io import read_manifest, sha256_file, write_jsonl
from manifests.mel import PRESETS
from manifests.pictures import read_pictures
from manifests.runs import read_run

torch.set_num_threads(1)

pytestmark = pytest.mark.usefixtures("few_rounds")


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """s3 and s5 with two training and two validation clips; s5 speaks as a woman."""
    root = make_build(tmp_path / "build", validation=2)
    header, rows = read_manifest(root)
    rows = [replace(r, gender="female") if r.speaker == "s5" else r for r in rows]
    write_jsonl(
        root / "manifest.jsonl", "manifest", rows, split=header["split"], corpus_kind="synthgrid"
    )
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """They have seen s3."""
    return make_checkpoint(tmp_path_factory.mktemp("weights") / "debug.safetensors")


def options(build: Path, weights: Path, **changes: Any) -> SynthesisOptions:
    first = SynthesisOptions(build, str(weights), build.parent / "run", subset="val", device="cpu")
    return replace(first, **{"batch_size": 3, **changes})


def contents(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_run_is_complete(build: Path, weights: Path) -> None:
    report = synthesize(options(build, weights))
    assert (report.asked, report.wrote, report.kept, report.failures) == (4, 4, 0, ())
    assert [(t.name, t.seen, t.clips) for t in report.speakers] == [
        ("s3", True, 2),
        ("s5", False, 2),
    ]
    root = build.parent / "run"
    info, clips, failures = read_run(root)
    assert (info.kind, info.split, info.subset, info.n_expected) == (
        "model", "large-unseen", "val", 4,
    )  # fmt: skip
    assert info.name == "Facetron (debug)"
    assert info.corpus == "synthgrid"
    assert info.parameters["checkpoint_sha256"] == sha256_file(weights)
    assert info.parameters["speakers"] == {"s3": "seen", "s5": "unseen"}
    assert info.parameters["vocoder"]["vocoder"] == "hifigan-refined"
    assert not failures
    rows = {row.clip_id: row for row in read_manifest(build)[1]}
    voice = Synthesizer.load(weights, device="cpu")
    for clip in clips:
        row = rows[clip.clip_id]
        assert (clip.sentence, clip.gender, clip.voice) == (row.sentence, row.gender, row.speaker)
        assert clip.seen is (clip.speaker == "s3")
        assert (root / clip.reference).is_file()
        facts = np.load(root / "embeddings" / f"{clip.clip_id}.npz")
        assert str(facts["still_clip"]).startswith(clip.speaker)
        assert (str(facts["still_clip"]) == clip.clip_id) is (clip.speaker == "s5")
        spoken = voice.speak(read_pictures(build / row.paths["lips"]), facts["face"])
        np.testing.assert_allclose(np.load(root / clip.mel), spoken.mel, atol=1e-4)
        wav, rate = soundfile.read(root / clip.wav, dtype="float32")
        assert (rate, len(wav)) == (16_000, 48_000)
        np.testing.assert_allclose(wav, spoken.wave, atol=1e-2)
        assert clip.transcript == spoken.text == str(facts["text"])


def test_what_is_there_is_kept_and_what_changed_is_made_again(
    build: Path, weights: Path, tmp_path: Path
) -> None:
    asked = options(build, weights)
    synthesize(asked)
    first = contents(asked.out)
    again = synthesize(asked)
    assert (again.wrote, again.kept) == (0, 4)
    assert contents(asked.out) == first
    for name in (f"mels/s3/{STEMS[2]}.npy", f"embeddings/s5/{STEMS[2]}.npz"):
        (asked.out / name).unlink()
    (asked.out / f"embeddings/s5/{STEMS[3]}.npz").write_bytes(b"damaged")
    mended = synthesize(asked)
    assert (mended.wrote, mended.kept) == (3, 1)
    assert contents(asked.out) == first
    other = make_checkpoint(tmp_path / "other" / "debug.safetensors", seed=1)
    assert synthesize(replace(asked, checkpoint=str(other))).wrote == 4
    lips = build / read_manifest(build)[1][2].paths["lips"]
    lips.write_bytes((build / read_manifest(build)[1][3].paths["lips"]).read_bytes())
    changed = synthesize(replace(asked, checkpoint=str(other)))
    assert (changed.wrote, changed.kept) == (1, 3)


@pytest.mark.parametrize("after", [1, 3])
def test_killed_and_resumed_gives_the_same_bytes(
    build: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Killed between a clip's mel and its wav, the worst moment."""
    whole = options(build, weights, out=build.parent / "whole")
    synthesize(whole)
    broken = replace(whole, out=build.parent / "broken")
    write, calls = files.write_wav, []

    def dying(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) > after:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(files, "write_wav", dying)
    with pytest.raises(KeyboardInterrupt):
        synthesize(broken)
    assert not (broken.out / "clips.jsonl").exists()
    monkeypatch.undo()
    report = synthesize(broken)
    assert (report.kept, report.wrote) == (after, 4 - after)
    assert contents(broken.out) == contents(whole.out)


def test_files_of_other_weights_are_never_mixed(
    build: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while other weights replaced a clip, then back to the first: its sound is gone too."""
    asked = options(build, weights)
    synthesize(asked)
    first = contents(asked.out)
    other = make_checkpoint(tmp_path / "other" / "debug.safetensors", seed=1)

    def dying(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_wav", dying)
    with pytest.raises(KeyboardInterrupt):
        synthesize(replace(asked, checkpoint=str(other)))
    monkeypatch.undo()
    assert synthesize(asked).wrote == 1
    assert contents(asked.out) == first


def test_clips_without_their_features_fail_and_others_go_on(build: Path, weights: Path) -> None:
    rows = read_manifest(build)[1]
    by_id = {row.clip_id: row for row in rows}
    (build / by_id[f"s3/{STEMS[2]}"].paths["lips"]).unlink()
    (build / by_id[f"s3/{STEMS[3]}"].paths["lips"]).write_bytes(b"RIFF, but no video")
    (build / by_id[f"s5/{STEMS[2]}"].paths["face"]).unlink()
    report = synthesize(options(build, weights))
    assert (report.asked, report.wrote, len(report.failures)) == (4, 1, 3)
    _, clips, failures = read_run(build.parent / "run")
    assert [clip.clip_id for clip in clips] == [f"s5/{STEMS[3]}"]
    for failure, word in zip(
        failures, ("does not exist", "cannot be read", "cannot be read"), strict=True
    ):
        assert (failure.stage, failure.reason) == ("synthesis", "unusable_features")
        assert word in failure.detail
        assert str(build) in failure.detail


def test_lips_of_another_length_fail(build: Path, weights: Path) -> None:
    rows = read_manifest(build)[1]
    rows = [replace(r, video_frames=74) if r.clip_id == f"s3/{STEMS[2]}" else r for r in rows]
    write_jsonl(build / "manifest.jsonl", "manifest", rows)
    report = synthesize(options(build, weights))
    assert [f.clip_id for f in report.failures] == [f"s3/{STEMS[2]}"]
    assert "not 74 squares" in report.failures[0].detail


def test_shuffled_lips_are_a_run_of_their_own(build: Path, weights: Path) -> None:
    synthesize(options(build, weights, out=build.parent / "own"))
    report = synthesize(options(build, weights, shuffle_lips=True))
    assert report.wrote == 4
    root = build.parent / "run"
    info, clips, _ = read_run(root)
    assert info.name == "Facetron (debug, shuffled lips)"
    own = {clip.clip_id: clip for clip in read_run(build.parent / "own")[1]}
    for clip in clips:
        other = STEMS[2] if clip.stem == STEMS[3] else STEMS[3]
        assert (clip.sentence, clip.reference) == (
            own[clip.clip_id].sentence, own[clip.clip_id].reference,
        )  # fmt: skip
        assert str(np.load(root / "embeddings" / f"{clip.clip_id}.npz")["lips_clip"]) == (
            f"{clip.speaker}/{other}"
        )
        assert clip.transcript == own[f"{clip.speaker}/{other}"].transcript
    lone = synthesize(options(build, weights, shuffle_lips=True, limit=2, out=build.parent / "x"))
    assert [f.detail.split(";")[0] for f in lone.failures] == [
        f"{name} has no other clip whose lips could be read" for name in ("s3", "s5")
    ]


def test_swapped_faces(build: Path, weights: Path) -> None:
    report = synthesize(options(build, weights, swap="4"))
    assert report.wrote == 4
    root = build.parent / "run"
    pairs = read_pairs(root / "pairs.csv")
    _, clips, _ = read_run(root)
    assert [(p.speaker, p.stem, p.voice) for p in pairs] == [
        (c.speaker, c.stem, c.voice) for c in clips
    ]
    for clip, pair in zip(clips, pairs, strict=True):
        assert clip.voice != clip.speaker
        assert clip.seen is (clip.voice == "s3")
        assert clip.wav == f"wavs/{clip.clip_id}.{clip.voice}.wav"
        still = str(np.load(root / "embeddings" / f"{clip.clip_id}.{clip.voice}.npz")["still_clip"])
        assert still.startswith(clip.voice)
        if clip.voice == "s5":
            assert still == f"s5/{pair.voice_stem}"
    # The file that it wrote asks for the same run.
    same = options(build, weights, swap=str(root / "pairs.csv"), out=build.parent / "same")
    synthesize(same)
    for name in ("pairs.csv", "clips.jsonl"):
        assert (same.out / name).read_bytes() == (root / name).read_bytes()


def test_swapped_faces_say_the_same_words(build: Path, weights: Path) -> None:
    synthesize(options(build, weights, out=build.parent / "own"))
    synthesize(options(build, weights, swap="4"))
    own = {c.clip_id: c.transcript for c in read_run(build.parent / "own")[1]}
    for clip in read_run(build.parent / "run")[1]:
        assert clip.transcript == own[clip.clip_id]


def test_one_face_for_all(build: Path, weights: Path) -> None:
    synthesize(options(build, weights, face="speaker:s5"))
    _, clips, _ = read_run(build.parent / "run")
    assert {clip.voice for clip in clips} == {"s5"}
    assert [Path(clip.wav).name.count(".s5.") for clip in clips] == [1, 1, 0, 0]
    with pytest.raises(BadInput, match="no speaker 's9'"):
        synthesize(options(build, weights, face="speaker:s9", out=build.parent / "x"))


def test_griffin_lim_speaks_for_any_checkpoint(build: Path, tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "half.safetensors", parts=PARTS[:3])
    report = synthesize(options(build, path, vocoder="griffin-lim", limit=2))
    assert report.wrote == 2
    assert read_run(build.parent / "run")[0].parameters["vocoder"]["vocoder"] == "griffin-lim"


def test_nothing_is_written_where_nothing_can_be_made(
    build: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_manifest(build)[1]
    for number, row in enumerate(rows):
        rows[number] = replace(row, fingerprints=row.fingerprints | {"crop": "f" * 16})
    other_crops = tmp_path / "crops.jsonl"
    write_jsonl(other_crops, "manifest", rows)
    mel = PRESETS["lip2wav"].fingerprint()
    other_mels = tmp_path / "mels.jsonl"
    write_jsonl(other_mels, "manifest", [replace(r, fingerprints={"mel": mel}) for r in rows])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"subset": "test"}, BadInput, "has no test clip"),
        ({"manifest": tmp_path / "none"}, ManifestError, "does not exist"),
        ({"manifest": other_mels}, SpecMismatch, "mels.jsonl has MelSpec"),
        ({"manifest": other_crops}, SpecMismatch, "trained on crops"),
        ({"checkpoint": "nonsense"}, BadInput, "nor the name of bundled weights"),
        ({"device": "cuda"}, BadInput, "0 CUDA devices"),
        ({"face": "magic"}, BadInput, "no face rule 'magic'"),
        ({"swap": "999"}, BadInput, "make 4 pairs"),
        ({"swap": "4", "shuffle_lips": True}, BadInput, "one of these experiments"),
        ({"swap": "4", "face": "speaker:s3"}, BadInput, "one of these experiments"),
        ({"swap": str(tmp_path / "none.csv")}, BadInput, "cannot be read"),
        ({"batch_size": 0}, BadInput, "give at least 1"),
    ]
    for changes, kind, word in cases:
        with pytest.raises(kind, match=word) as error:
            synthesize(options(build, weights, **changes))
        assert "\n" not in str(error.value)
    assert not (build.parent / "run").exists()


def test_the_command_says_who_was_seen(build: Path, tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "spoilt.safetensors", speakers=("s3", "s5"))
    rows = read_manifest(build)[1]
    write_jsonl(build / "manifest.jsonl", "manifest", rows, held_out_speakers=["s5"])
    arguments = ["--manifest", str(build), "--subset", "val", "--checkpoint", str(path)]
    arguments += ["--out", str(tmp_path / "run"), "--device", "cpu"]
    done = CliRunner().invoke(synthesize_command, arguments)
    assert done.exit_code == 0, done.output
    assert "s3: seen (2 clips)" in done.output
    assert "s5: seen, although the manifest's split holds it out (2 clips)" in done.output
    assert "wrote 4 + failed 0 = asked 4" in done.output
    (build / rows[2].paths["lips"]).unlink()
    bad = CliRunner().invoke(synthesize_command, arguments)
    assert isinstance(bad.exception, TooManyFailures)
    assert "wrote 3 (3 of them kept from before) + failed 1 = asked 4" in bad.output
    assert (
        CliRunner().invoke(synthesize_command, [*arguments, "--max-failures", "1"]).exit_code == 0
    )
