"""Which clips' lips are read, and which still gives the voice."""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from facetron_build import STEMS, make_build
from facetron_trained import make_checkpoint

from facetron.checkpoints import checkpoint
from facetron.model import i2i
from facetron.synthesis.stills import EMBEDDED, Faces
from facetron.synthesis.swaps import Pair
from facetron.synthesis.synthesizer import Synthesizer
from facetron.synthesis.tasks import (
    SynthesisTask,
    one_voice,
    own_voices,
    picture_voice,
    shuffled_lips,
    swapped,
)
from gridprep.features.crop_store import write_pictures
from manifests.errors import BadInput
from manifests.io import read_manifest
from manifests.pictures import read_pictures
from manifests.records import ManifestRow

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers of four clips; the last of each is for validation. Stills differ."""
    root = make_build(tmp_path_factory.mktemp("build"), ("s3", "s5", "s6"))
    rng = np.random.default_rng(0)
    for row in read_manifest(root)[1]:
        path = root / row.paths["face"]
        stills = read_pictures(path).astype(np.int64)
        stills = stills + rng.integers(-60, 60, (3, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
        write_pictures(path, np.clip(stills, 0, 255).astype(np.uint8), "jpeg90")
    return root


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Synthesizer:
    """It has seen s3."""
    path = make_checkpoint(tmp_path_factory.mktemp("weights") / "m.safetensors")
    return Synthesizer.load(path, device="cpu")


@pytest.fixture(scope="module")
def rows(build: Path) -> list[ManifestRow]:
    return read_manifest(build)[1]


def faces(
    voice: Synthesizer, build: Path, rows: list[ManifestRow], rule: str, clips: int = 20
) -> Faces:
    return Faces(voice, build, rows, "val", rule, 0, clips)


def of(rows: list[ManifestRow], speaker: str, subset: str = "val") -> ManifestRow:
    return next(row for row in rows if (row.speaker, row.subset) == (speaker, subset))


def embeddings(
    voice: Synthesizer, build: Path, rows: list[ManifestRow], speaker: str, subset: str
) -> torch.Tensor:
    parts = [
        voice.face_embeddings(read_pictures(build / row.paths["face"]))
        for row in rows
        if (row.speaker, row.subset) == (speaker, subset)
    ]
    return torch.from_numpy(np.concatenate(parts))


def test_everybody_speaks_for_himself(rows: list[ManifestRow]) -> None:
    val = [row for row in rows if row.subset == "val"]
    tasks = own_voices(val, seen=["s3"])
    assert [t.voice for t in tasks] == ["s3", "s5", "s6"]
    assert [t.face and t.face.clip_id for t in tasks] == [None, *(t.row.clip_id for t in tasks[1:])]
    assert not any(t.swapped for t in tasks)
    assert tasks[0].path("wavs", ".wav") == f"wavs/s3/{STEMS[3]}.wav"


def test_one_voice_for_all(rows: list[ManifestRow]) -> None:
    tasks = one_voice(rows, "s5")
    assert [t.swapped for t in tasks] == [t.row.speaker != "s5" for t in tasks]
    assert tasks[0].path("mels", ".npy") == "mels/s3/bbaf2n.s5.npy"
    assert picture_voice(Path("a/Mé 1.b.jpg")) == "image-M__1_b"
    assert SynthesisTask(rows[0], rows[0], picture_voice(Path("x.png"))).of_picture


def test_swapped_pairs_find_their_clips(rows: list[ManifestRow]) -> None:
    pairs = [Pair("s5", STEMS[0], "s3", STEMS[1]), Pair("s3", STEMS[0], "s6")]
    first, second = swapped(rows, pairs)
    assert (first.row.speaker, first.voice, first.face) == ("s3", "s6", None)
    assert second.face is not None
    assert second.face.clip_id == f"s3/{STEMS[1]}"
    assert second.lips is second.row
    for bad in (Pair("s3", "x", "s6"), Pair("s3", STEMS[0], "s9"), Pair("s3", STEMS[0], "s6", "x")):
        with pytest.raises(BadInput, match="a speaker that is not among the manifest's clips"):
            swapped(rows, [bad])


def test_shuffled_lips_are_never_the_own(rows: list[ManifestRow]) -> None:
    tasks = own_voices(rows, seen=["s3"])
    shuffled = shuffled_lips(tasks, seed=0)
    for before, after in zip(tasks, shuffled, strict=True):
        assert after.lips is not None
        assert after.lips.speaker == after.row.speaker
        assert after.lips.stem != after.row.stem
        assert (after.row, after.voice, after.face) == (before.row, before.voice, before.face)
    assert len({t.lips.clip_id for t in shuffled if t.lips}) == len(tasks)
    assert shuffled_lips(tasks, seed=0) == shuffled
    assert shuffled_lips(tasks, seed=3) != shuffled
    assert shuffled_lips(tasks[:1], seed=0)[0].lips is None


@pytest.mark.parametrize("rule", ["i2i", "i2i-literal", "mean"])
def test_a_seen_speaker_chooses_among_his_training_stills(
    voice: Synthesizer, build: Path, rows: list[ManifestRow], rule: str
) -> None:
    chosen = faces(voice, build, rows, rule).of(SynthesisTask(of(rows, "s3"), None, "s3"))
    pool = embeddings(voice, build, rows, "s3", "train")
    others = {name: embeddings(voice, build, rows, name, "val") for name in ("s5", "s6")}
    method: dict[str, i2i.Method] = {"i2i": "candidate", "i2i-literal": "literal", "mean": "mean"}
    expected = i2i.select(pool, others, method[rule])
    np.testing.assert_array_equal(chosen.embedding, expected.embedding.numpy())
    assert chosen.negative == expected.negative
    if expected.index is None:
        assert (chosen.clip, chosen.still) == ("", None)
    else:
        assert chosen.clip == f"s3/{STEMS[expected.index // 3]}"
        assert chosen.still == expected.index % 3


def test_an_unseen_speaker_comes_with_the_stills_of_the_clip(
    voice: Synthesizer, build: Path, rows: list[ManifestRow]
) -> None:
    row = of(rows, "s5")
    chosen = faces(voice, build, rows, "i2i").of(SynthesisTask(row, row, "s5", row))
    assert chosen.clip == row.clip_id
    own = voice.face_embeddings(read_pictures(build / row.paths["face"]))
    np.testing.assert_array_equal(chosen.embedding, own[chosen.still])


def test_random_stills_differ_by_clip_and_not_by_order(
    voice: Synthesizer, build: Path, rows: list[ManifestRow]
) -> None:
    tasks = one_voice(rows, "s3")
    forward = faces(voice, build, rows, "random")
    there = [forward.of(task).key for task in tasks]
    backward = faces(voice, build, rows, "random")
    assert [backward.of(task).key for task in reversed(tasks)][::-1] == there
    assert len(set(there)) > 3


def test_clips_looked_at_are_spread_and_limited(
    voice: Synthesizer, build: Path, rows: list[ManifestRow]
) -> None:
    two = faces(voice, build, rows, "mean", clips=2)
    assert [row.stem for row in two.pool_rows("s3")[1]] == [STEMS[0], STEMS[2]]
    where, found = two.pool_rows("s5")
    assert (where, [row.stem for row in found]) == ("val", [STEMS[3]])
    training_only = [row for row in rows if row.subset == "train"]
    where, found = faces(voice, build, training_only, "mean").pool_rows("s5")
    assert (where, len(found)) == ("all", 3)


def test_a_speaker_with_one_still(
    voice: Synthesizer, build: Path, rows: list[ManifestRow], tmp_path: Path
) -> None:
    row = of(rows, "s5")
    still = read_pictures(build / row.paths["face"])[:1]
    write_pictures(tmp_path / "one.jpg", still, "jpeg90")
    lone = replace(row, paths={"face": str(tmp_path / "one.jpg")})
    for rule in ("i2i", "i2i-literal", "mean", "random"):
        chosen = faces(voice, build, rows, rule).of(SynthesisTask(lone, None, "s5", lone))
        expected = voice.face_embeddings(read_pictures(tmp_path / "one.jpg"))[0]
        np.testing.assert_allclose(chosen.embedding, expected, atol=1e-6)


def test_stills_that_cannot_be_read(
    voice: Synthesizer, build: Path, rows: list[ManifestRow]
) -> None:
    gone = [replace(r, paths={"face": "no.jpg"}) if r.stem == STEMS[0] else r for r in rows]
    chooser = faces(voice, build, gone, "mean")
    assert chooser.of(SynthesisTask(rows[0], None, "s3")).embedding.shape == (8,)  # others are left
    task = SynthesisTask(gone[4], None, "s5", gone[4])
    with pytest.raises(BadInput, match=r"no\.jpg cannot be read"):
        chooser.of(task)
    bare = replace(gone[4], paths={})
    with pytest.raises(BadInput, match="has no face in the manifest"):
        chooser.of(SynthesisTask(bare, None, "s5", bare))


def test_a_lone_speaker_has_no_negative(
    voice: Synthesizer, build: Path, rows: list[ManifestRow]
) -> None:
    """The medoid, which needs none, takes the place of Eq. 6, and the run says so."""
    alone = [row for row in rows if row.speaker == "s3"]
    task = SynthesisTask(alone[0], None, "s3")
    fallen_back, literal = (faces(voice, build, alone, rule) for rule in ("i2i", "i2i-literal"))
    assert (fallen_back.alone, literal.alone) == (True, False)
    assert fallen_back.of(task).clip == literal.of(task).clip
    assert fallen_back.of(task).still == literal.of(task).still
    assert not faces(voice, build, rows, "i2i").alone


def test_a_picture_gives_the_voice(
    voice: Synthesizer,
    build: Path,
    rows: list[ManifestRow],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    still = np.random.default_rng(0).integers(0, 256, (1, 160, 160, 3)).astype(np.uint8)
    closed = []

    class Aligner:
        def stills(self, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
            assert cv2.imread(str(path)) is not None
            return still, ()

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setattr("facetron.video.align.Aligner", Aligner)
    cv2.imwrite(str(tmp_path / "me.png"), still[0])
    chooser = faces(voice, build, rows, f"image:{tmp_path / 'me.png'}")
    first, second = (chooser.of(task) for task in one_voice(rows, "image-me")[:2])
    assert first is second
    assert closed == [True]
    np.testing.assert_array_equal(first.embedding, voice.face_embeddings(still)[0])


def test_stills_are_embedded_once_for_all_syntheses_of_a_build(
    voice: Synthesizer, build: Path, rows: list[ManifestRow], tmp_path: Path
) -> None:
    root = tmp_path / "build"
    shutil.copytree(build, root, ignore=shutil.ignore_patterns(EMBEDDED))
    tasks = own_voices([of(rows, "s3"), of(rows, "s5")], ["s3"])
    first = [faces(voice, root, rows, "i2i").of(task) for task in tasks]
    (folder,) = (root / EMBEDDED).iterdir()
    assert folder.name == voice.face_fingerprint
    assert sorted(path.name for path in folder.iterdir()) == ["s3.npz", "s5.npz", "s6.npz"]

    class Blind(Synthesizer):
        def face_embeddings(self, stills: np.ndarray) -> np.ndarray:
            raise AssertionError("embedded again")

    blind = Blind(**{field.name: getattr(voice, field.name) for field in fields(voice)})
    again = [faces(blind, root, rows, "i2i").of(task) for task in tasks]
    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one.embedding, two.embedding)
        assert (one.clip, one.still, one.negative, one.key) == (
            two.clip, two.still, two.negative, two.key,
        )  # fmt: skip
    # Another picture, and a file that was cut off, are embedded anew.
    changed = root / of(rows, "s5").paths["face"]
    write_pictures(changed, np.full((3, 32, 32, 3), 90, np.uint8), "jpeg90")
    (folder / "s3.npz").write_bytes((folder / "s3.npz").read_bytes()[:100])
    now = [faces(voice, root, rows, "i2i").of(task) for task in tasks]
    assert np.array_equal(now[0].embedding, first[0].embedding)
    assert not np.array_equal(now[1].embedding, first[1].embedding)


def test_other_weights_have_other_embeddings(
    voice: Synthesizer, build: Path, rows: list[ManifestRow], tmp_path: Path
) -> None:
    path = make_checkpoint(tmp_path / "m.safetensors")
    info, tensors = checkpoint.load(path)
    changed = {n: v + 0.01 * n.startswith("face.") for n, v in tensors.items()}
    checkpoint.save(tmp_path / "other.safetensors", changed, info)
    other = Synthesizer.load(tmp_path / "other.safetensors", device="cpu")
    assert Synthesizer.load(path, device="cpu").face_fingerprint == voice.face_fingerprint
    assert other.face_fingerprint != voice.face_fingerprint
    (task,) = own_voices([of(rows, "s5")], ["s3"])
    told = [faces(each, build, rows, "i2i").of(task).embedding for each in (voice, other)]
    assert not np.array_equal(*told)


def test_a_build_that_cannot_be_written_is_as_good(
    voice: Synthesizer, build: Path, rows: list[ManifestRow], tmp_path: Path
) -> None:
    root = tmp_path / "build"
    shutil.copytree(build, root, ignore=shutil.ignore_patterns(EMBEDDED))
    (root / EMBEDDED).write_text("a file where the folder should be")
    (task,) = own_voices([of(rows, "s5")], ["s3"])
    found, held = (faces(voice, where, rows, "i2i").of(task) for where in (root, build))
    assert np.array_equal(found.embedding, held.embedding)
    (root / of(rows, "s5").paths["face"]).unlink()
    with pytest.raises(BadInput, match="No such file"):
        faces(voice, root, rows, "i2i-literal").of(replace(task, face=of(rows, "s5")))
