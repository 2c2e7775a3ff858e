"""Training from the shards of an export: the same batches as from the build itself."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from facetron_build import make_build
from facetron_trained import make_checkpoint

from facetron.checkpoints import checkpoint
from facetron.model.sizes import DEBUG
from facetron.synthesis.run import SynthesisOptions, synthesize
from facetron.train import augment
from facetron.train.batches import Batches, loader
from facetron.train.dataset import ClipDataset
from facetron.train.run import train
from gridprep.exporting.run import ExportOptions, export
from manifests.errors import BadInput, ManifestError
from manifests.manifest import Manifest

FIELDS = ("lips", "face", "mel", "wave")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"), clips=4, validation=1)


@pytest.fixture(scope="module")
def shards(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "wds"
    export(ExportOptions(str(build), "webdataset", str(out), options={"clips_per_shard": "4"}))
    assert len(list(out.glob("train-*.tar"))) == 2
    return out


def test_rows_and_header_are_those_of_the_build(build: Path, shards: Path) -> None:
    ours, theirs = Manifest(shards), Manifest(build)
    assert ours.path == shards / "export.json"
    assert (ours.split, ours.held_out_speakers) == (theirs.split, theirs.held_out_speakers)
    for subset in ("train", "val"):
        for row, other in zip(ours.where(subset=subset), theirs.where(subset=subset), strict=True):
            assert {**row.to_dict(), "paths": {}} == {**other.to_dict(), "paths": {}}
            assert (row.lips() == other.lips()).all()
            assert (row.faces() == other.faces()).all()
            assert (row.audio()[0] == other.audio()[0]).all()
    row = pickle.loads(pickle.dumps(ours[0]))
    assert (row.mel() == theirs[0].mel()).all()
    with pytest.raises(ManifestError, match="has no prosody in"):
        row.prosody()


def test_batches_are_those_of_the_build(build: Path, shards: Path) -> None:
    how = augment.Augmentation(flip=0.5, speed=0.2)
    made = [
        ClipDataset(place, "train", FIELDS, DEBUG, how, seed=3, segment_frames=20)
        for place in (build, shards)
    ]
    walks = [loader(clips, Batches(len(clips), 3, seed=5), 0) for clips in made]
    for ours, theirs in zip(*walks, strict=True):
        assert ours.keys() == theirs.keys()
        assert ours["clips"] == theirs["clips"]
        for name, value in ours.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, theirs[name]), name


def test_a_training_is_that_of_the_build(build: Path, shards: Path, tmp_path: Path) -> None:
    losses = []
    for place in (build, shards):
        sets = ("train.epochs=1", "train.batch_size=3", "train.loggers=csv")
        best = train("lip", place, tmp_path / place.name, "debug", sets=sets)
        (line,) = checkpoint.read_info(best).history
        losses.append((line["train_loss"], line["val_loss"], line["val_cer"]))
    assert losses[0] == losses[1]


def test_damaged_shards_are_named(shards: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in shards.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    opened = Manifest(copy)
    whole = (copy / "train-000001.tar").read_bytes()
    (copy / "train-000001.tar").write_bytes(whole[:3000])
    with pytest.raises(BadInput, match=r"train-000001\.tar/.* is cut off"):
        opened.where(subset="train")[-1].lips()
    with pytest.raises(ManifestError, match=r"train-000001\.tar"):
        Manifest(copy)
    (copy / "train-000001.tar").unlink()
    with pytest.raises(ManifestError, match=r"train-000001\.tar cannot be read"):
        Manifest(copy)
    (copy / "header.json").unlink()
    with pytest.raises(ManifestError, match=r"header\.json does not exist"):
        Manifest(copy)
    (copy / "export.json").write_text('{"layout": "kaldi"}')
    with pytest.raises(ManifestError, match=r"manifest\.jsonl"):
        Manifest(copy)


def test_what_reads_files_refuses_shards_in_one_line(shards: Path, tmp_path: Path) -> None:
    asked = SynthesisOptions(
        shards, str(make_checkpoint(tmp_path / "x.safetensors")), tmp_path / "run"
    )
    with pytest.raises(BadInput, match=f"{shards} holds shards, from which `facetron train`"):
        synthesize(asked)
    assert not (tmp_path / "run").exists()
