"""`Manifest` and `Run`: clips that read their own files, chosen and tabulated."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_manifests_records import row

from gridprep.features.crop_store import write_pictures
from manifests import Manifest, Run
from manifests.audio import write_wav
from manifests.errors import BadInput, ManifestError
from manifests.io import read_manifest, write_jsonl
from manifests.manifest import FeatureRow, SpeechClip, dealt, select
from manifests.mel import DEFAULT, mel_spectrogram
from manifests.records import POINT_NAMES, ClipFailure, ManifestRow, RunClip, RunInfo
from manifests.runs import close_run, open_run

PATHS = {
    "lips": "lips/s1/bbaf2n.avi",
    "face": "face/s1/bbaf2n.jpg",
    "audio": "audio/s1/bbaf2n.wav",
    "mel": "mel/s1/bbaf2n.npy",
    "prosody": "prosody/s1/bbaf2n.npz",
    "landmarks": "landmarks/s1/bbaf2n.npz",
}
LIPS = np.repeat(np.arange(75, dtype=np.uint8) * 3, 16 * 16 * 3).reshape(75, 16, 16, 3)
SOUND = (0.25 * np.sin(np.arange(48_000) / 20)).astype(np.float32)


def rows() -> list[ManifestRow]:
    """s1 has a test clip and is the only one with features; s3 and s4 have one of each subset."""
    others = [
        replace(row(), speaker=speaker, stem=stem, subset=subset, flags=(), gender=gender)
        for speaker, gender in (("s3", "male"), ("s4", "female"))
        for stem, subset in (("bbaf2n", "train"), ("lrwm5s", "val"), ("swiz8a", "test"))
    ]
    return [
        replace(row(), paths=PATHS, extra_mels={"lip2wav": "mel-lip2wav/s1/bbaf2n.npy"}),
        *others,
    ]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("build")
    header = {"split": "small", "held_out_speakers": ["s1"], "specs": {"mel": DEFAULT.to_dict()}}
    write_jsonl(root / "manifest.jsonl", "manifest", rows(), **header)
    for path in (*PATHS.values(), "mel-lip2wav/s1/bbaf2n.npy"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    write_pictures(root / PATHS["lips"], LIPS, "mjpeg90")
    write_pictures(root / PATHS["face"], LIPS[:15], "jpeg90")
    soundfile.write(root / PATHS["audio"], SOUND, 16_000, "PCM_16")
    np.save(root / PATHS["mel"], mel_spectrogram(SOUND))
    np.save(root / "mel-lip2wav/s1/bbaf2n.npy", np.zeros((80, 240), np.float32))
    frames = np.full(150, 100, np.float32)
    np.savez(root / PATHS["prosody"], f0_hz=frames, voiced=frames > 0, energy=frames)
    points = np.zeros((75, len(POINT_NAMES), 2), np.float32)
    found = np.ones(75, np.bool_)
    np.savez(
        root / PATHS["landmarks"], points_px=points, found=found, faces=found.astype(np.int16),
        names=np.array(POINT_NAMES), backend=np.array("some 1"), choice=np.array("only"),
    )  # fmt: skip
    return root


# -- the rows ---------------------------------------------------------------------------------------


def test_a_folder_and_its_manifest_are_the_same(build: Path) -> None:
    clips = Manifest(build)
    assert len(clips) == 7
    assert list(clips) == list(Manifest(build / "manifest.jsonl"))
    assert clips.root == build
    assert (clips.split, clips.held_out_speakers) == ("small", ("s1",))
    assert clips.mel_spec == DEFAULT
    assert repr(clips).endswith("2 train, 2 val, 3 test; split small)")


def test_rows_are_those_of_the_contract_and_are_written_without_their_folder(build: Path) -> None:
    _, stored = read_manifest(build)
    assert [clip.to_dict() for clip in Manifest(build)] == [record.to_dict() for record in stored]


def test_an_index_is_a_clip_and_a_slice_a_manifest(build: Path) -> None:
    clips = Manifest(build)
    assert clips[0].clip_id == "s1/bbaf2n"
    assert clips[-1].clip_id == "s4/swiz8a"
    part = clips[1:3]
    assert isinstance(part, Manifest)
    assert [c.clip_id for c in part] == ["s3/bbaf2n", "s3/lrwm5s"]
    with pytest.raises(IndexError):
        _ = clips[7]


def test_a_clip_reads_all_its_features(build: Path) -> None:
    clip = Manifest(build)[0]
    assert clip.lips().shape == LIPS.shape
    assert np.abs(clip.lips().astype(int) - LIPS).max() <= 4
    assert clip.faces().shape == (15, 16, 16, 3)
    sound, rate_hz = clip.audio()
    assert rate_hz == 16_000
    assert sound.dtype == np.float32
    np.testing.assert_allclose(sound, SOUND, atol=1 / 32768)
    np.testing.assert_array_equal(clip.mel(), mel_spectrogram(SOUND))
    assert clip.mel("lip2wav").shape == (80, 240)
    assert clip.prosody().f0_hz.tolist() == [100.0] * 150
    assert clip.landmarks().points_px.shape == (75, len(POINT_NAMES), 2)
    assert clip.landmarks().backend == "some 1"
    assert [word.word for word in clip.words] == clip.sentence.split()


def test_manifests_and_clips_cross_process_boundaries(build: Path) -> None:
    clips = pickle.loads(pickle.dumps(Manifest(build)))
    assert clips[0].mel().shape == (80, 150)


# -- choosing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"subset": "train"}, ["s3/bbaf2n", "s4/bbaf2n"]),
        ({"subset": ("train", "val"), "speaker": "s4"}, ["s4/bbaf2n", "s4/lrwm5s"]),
        ({"subset": "all", "stem": "swiz8a"}, ["s3/swiz8a", "s4/swiz8a"]),
        ({"flag": "frames_repeated"}, ["s1/bbaf2n"]),
        ({"flag": ["several_faces"]}, []),
        ({"gender": "female", "subset": "test"}, ["s4/swiz8a"]),
        ({"limit": 3}, ["s1/bbaf2n", "s3/bbaf2n", "s4/bbaf2n"]),
        ({}, [r.clip_id for r in rows()]),
    ],
)
def test_conditions_choose_clips(
    build: Path, condition: dict[str, object], found: list[str]
) -> None:
    chosen = Manifest(build).where(**condition)  # type: ignore[arg-type]
    assert [clip.clip_id for clip in chosen] == found


def test_conditions_can_follow_each_other(build: Path) -> None:
    clips = Manifest(build)
    assert list(clips.where(speaker="s3").where(subset="val")) == list(
        clips.where(speaker="s3", subset="val")
    )
    assert len(clips) == 7


def test_a_split_gives_its_own_subsets(build: Path) -> None:
    from manifests.splits.frozen import load

    clips = Manifest(build).where(split="all-seen")
    assert clips.split == "all-seen"
    assert clips.held_out_speakers == ()
    frozen = load("all-seen")
    assert {c.clip_id: c.subset for c in clips} == {
        c.clip_id: frozen.subset_of(c.speaker, c.stem) for c in clips
    }
    assert {c.subset for c in Manifest(build).where(split="large-unseen", speaker="s1")} == {"test"}


def test_an_unknown_subset_or_split_lists_those_there_are(build: Path) -> None:
    clips = Manifest(build)
    with pytest.raises(BadInput, match="no subset 'trian'; choose one of train, val, test"):
        clips.where(subset="trian")
    with pytest.raises(BadInput, match=r"no split 'mine'; choose one of small, "):
        clips.where(split="mine")


def test_a_deal_takes_from_every_speaker_in_turn() -> None:
    assert [r.clip_id for r in dealt(rows(), 5)] == [
        "s1/bbaf2n", "s3/bbaf2n", "s3/lrwm5s", "s4/bbaf2n", "s4/lrwm5s"
    ]  # fmt: skip
    assert dealt(rows(), 0) == dealt(rows(), 99) == rows()


def test_an_empty_choice_says_what_there_is() -> None:
    only = [r for r in rows() if r.subset == "test"]
    with pytest.raises(BadInput, match=r"here has no train clip \(0 train, 0 val, 3 test\)"):
        select(only, "train", 0, "here")
    with pytest.raises(BadInput, match="choose one of train, val, test, all"):
        select(only, "tset", 0, "here")
    with pytest.raises(BadInput, match=r"here lists no clip; see failures\.jsonl beside it"):
        select([], "all", 0, "here")


# -- tables -----------------------------------------------------------------------------------------


def test_a_table_has_a_line_for_each_clip_in_flat_columns(build: Path) -> None:
    table = Manifest(build).to_dataframe()
    assert len(table) == 7
    first = table.iloc[0]
    assert first["lips"] == PATHS["lips"]
    assert first["mel-lip2wav"] == "mel-lip2wav/s1/bbaf2n.npy"
    assert first["flags"] == "frames_repeated"
    assert first["qc_peak"] == 0.5
    assert table["samples_added"].dtype.kind == "i"
    assert table.groupby("subset").size().to_dict() == {"test": 3, "train": 2, "val": 2}


def test_a_table_of_nothing_has_its_columns(build: Path) -> None:
    table = Manifest(build).where(flag="nothing").to_dataframe()
    assert len(table) == 0
    assert {"speaker", "lips", "flags"} <= set(table.columns)


# -- what is wrong ----------------------------------------------------------------------------------


def test_an_absent_manifest_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="nowhere does not exist; run `gridprep build` first"):
        Manifest(tmp_path / "nowhere")
    with pytest.raises(ManifestError, match=r"manifest.jsonl does not exist; run"):
        Manifest(tmp_path)


def test_a_damaged_manifest_names_its_line(build: Path, tmp_path: Path) -> None:
    lines = (build / "manifest.jsonl").read_text().splitlines()
    (tmp_path / "manifest.jsonl").write_text("\n".join([*lines[:3], lines[3][:40]]))
    with pytest.raises(ManifestError, match=r"manifest.jsonl, line 4: "):
        Manifest(tmp_path)


def test_a_feature_that_the_row_has_not_is_named(build: Path) -> None:
    clip = Manifest(build)[1]
    with pytest.raises(ManifestError, match=r"s3/bbaf2n has no mel in .*; run"):
        clip.mel()
    with pytest.raises(ManifestError, match=r"no mel 'vca-gan' beside its own \(there: lip2wav\)"):
        Manifest(build)[0].mel("vca-gan")


@pytest.mark.parametrize("feature", list(PATHS))
@pytest.mark.parametrize("content", [None, b"", b"nothing of the kind"])
def test_an_absent_or_damaged_file_is_named(
    tmp_path: Path, feature: str, content: bytes | None
) -> None:
    clip = FeatureRow.of(replace(row(), paths=PATHS), tmp_path)
    path = tmp_path / PATHS[feature]
    if content is not None:
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    read = {"face": "faces"}.get(feature, feature)
    with pytest.raises(BadInput, match=f"{path.name} .*; run") as caught:
        getattr(clip, read)()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("feature", ["prosody", "landmarks"])
def test_one_array_is_no_archive(tmp_path: Path, feature: str) -> None:
    clip = FeatureRow.of(replace(row(), paths=PATHS), tmp_path)
    path = tmp_path / PATHS[feature]
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(BadInput, match=rf"{path.name} cannot be read \(one array, no .npz\); run"):
        getattr(clip, feature)()


def test_a_mel_spec_that_is_not_stated_is_asked_for(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "manifest.jsonl", "manifest", rows())
    with pytest.raises(ManifestError, match="states no mel spec"):
        _ = Manifest(tmp_path).mel_spec


def test_a_sound_of_two_channels_is_refused(tmp_path: Path) -> None:
    clip = FeatureRow.of(replace(row(), paths={"audio": "a.wav"}), tmp_path)
    soundfile.write(tmp_path / "a.wav", np.zeros((10, 2)), 16_000)
    with pytest.raises(BadInput, match=r"a.wav holds \(10, 2\), not mono samples"):
        clip.audio()


# -- runs -------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Path:
    root = tmp_path / "run"
    open_run(root, RunInfo("Lip2Wav", "model", "small", "test", 16_000, 3))
    write_wav(root / "wavs/s1/bbaf2n.wav", SOUND, 16_000)
    write_wav(root / "real.wav", SOUND[:100], 16_000)
    clips = [
        RunClip("s1", "bbaf2n", "bin blue", "male", "wavs/s1/bbaf2n.wav", "real.wav", voice="s1"),
        RunClip("s2", "lrwm5s", "lay red", "male", "wavs/s2/lrwm5s.wav"),
    ]
    close_run(root, clips, [ClipFailure("s1", "swiz8a", "synthesis", "x", "why")])
    return root


def test_a_run_has_clips_failures_and_what_made_it(run: Path) -> None:
    made = Run(run)
    assert (made.info.name, len(made), made.failures[0].stem) == ("Lip2Wav", 2, "swiz8a")
    assert made.clips == tuple(made) == made[:]
    sound, rate_hz = made[0].audio()
    assert rate_hz == 16_000
    np.testing.assert_allclose(sound, SOUND, atol=1 / 32768)
    assert made[0].reference_audio()[0].shape == (100,)
    assert repr(made).endswith("Lip2Wav, 2 clips, 1 failures)")


def test_a_run_is_a_table(run: Path) -> None:
    table = Run(run).to_dataframe()
    assert table["speaker"].tolist() == ["s1", "s2"]
    assert "root" not in table.columns
    assert table["wav"].tolist() == ["wavs/s1/bbaf2n.wav", "wavs/s2/lrwm5s.wav"]


def test_what_a_run_lacks_is_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"lrwm5s.wav does not exist; synthesize this run again"):
        Run(run)[1].audio()
    with pytest.raises(ManifestError, match=r"s2/lrwm5s of .* names no reference"):
        Run(run)[1].reference_audio()
    with pytest.raises(ManifestError, match="names no mel"):
        Run(run)[0].read_mel()
    with pytest.raises(ManifestError, match="nowhere is not a folder"):
        Run(tmp_path / "nowhere")
    (run / "clips.jsonl").unlink()
    with pytest.raises(ManifestError, match=r"clips.jsonl is missing"):
        Run(run)


def test_a_clip_of_a_run_is_written_without_its_folder(run: Path) -> None:
    clip = RunClip("s1", "bbaf2n", "bin blue", "male", "a.wav")
    assert SpeechClip.of(clip, run).to_dict() == clip.to_dict()


def test_rows_stay_in_their_file_whatever_replaces_it(build: Path, tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    write_jsonl(path, "manifest", rows(), split="small")
    clips = Manifest(path)
    sent = pickle.dumps(clips)
    write_jsonl(path, "manifest", rows()[:1], split="other")
    assert [row.clip_id for row in clips] == [row.clip_id for row in rows()]
    with pytest.raises(ManifestError, match="changed while it was in use; run this again"):
        pickle.loads(sent)
    path.unlink()
    assert clips[-1].subset == "test"
    with pytest.raises(ManifestError, match="cannot be read any more"):
        pickle.loads(sent)


def test_an_opened_manifest_takes_a_few_bytes_a_clip(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    speakers = [replace(row(), stem=f"stem{i}", speaker=f"s{i % 30}") for i in range(2_000)]
    write_jsonl(path, "manifest", speakers)
    del speakers
    Manifest(path)  # what is loaded and remembered once
    tracemalloc.start()
    try:
        clips = Manifest(path).where(subset="test").where(speaker=[f"s{i}" for i in range(20)])
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(clips) == 1_340
    assert kept / 2_000 < 60
    assert peak / 2_000 < 250
    assert clips[1_000].clip_id == f"s{1_000 % 20}/stem{1_000 // 20 * 30 + 1_000 % 20}"


def test_rows_hold_no_dictionary_of_their_fields(build: Path) -> None:
    for one in (Manifest(build)[0], rows()[0], rows()[0].words[0]):
        assert not hasattr(one, "__dict__")
