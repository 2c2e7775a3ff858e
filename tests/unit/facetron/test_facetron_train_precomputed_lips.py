"""Lips read beforehand teach the decoder what lips read in each step teach it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from facetron_build import make_build

from facetron.checkpoints import checkpoint
from facetron.model.lip import LipEncoder
from facetron.model.sizes import DEBUG
from facetron.train.batches import to_model
from facetron.train.config import train_config
from facetron.train.dataset import ClipDataset, open_training_set
from facetron.train.precomputed_lips import lip_readings
from facetron.train.run import launched, train
from manifests.errors import BadInput

SETS = (
    "train.batch_size=4",
    "train.lip.epochs=1",
    "train.decoder.epochs=3",
    "train.learning_rate=0.003",
    "face.dropout=0",
)
STILL = tuple(f"train.decoder.augment.{name}=0" for name in ("flip", "brightness", "contrast"))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"), clips=5, validation=2)


@pytest.fixture(scope="module")
def lip(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("lip", build, tmp_path_factory.mktemp("lip"), "debug", sets=SETS)


def decoder_curve(build: Path, out: Path, lip: Path, *sets: str) -> list[list[float]]:
    train("decoder", build, out, "debug", sets=(*SETS, *sets), sources=[lip])
    history = checkpoint.read_info(out / "last.safetensors").history
    return [[line[f"{part}_decoder_mel"] for line in history] for part in ("train", "val")]


def test_the_curve_is_that_of_lips_read_in_each_step(
    build: Path, lip: Path, tmp_path: Path
) -> None:
    anew = decoder_curve(build, tmp_path / "anew", lip, *STILL)
    before = decoder_curve(build, tmp_path / "before", lip, *STILL, "train.lip_variants=1")
    for a, b in zip(anew, before, strict=True):
        assert b == pytest.approx(a, rel=2e-3)  # the embeddings were kept in half precision
    assert anew[0][-1] < anew[0][0]


def test_without_weight_on_critics_there_are_none(build: Path, lip: Path, tmp_path: Path) -> None:
    sets = ("loss.adversarial=0", "loss.features=0", "train.lip_variants=2")
    train_curve, _ = decoder_curve(build, tmp_path, lip, *sets)
    assert train_curve[-1] < train_curve[0]
    info = checkpoint.read_info(tmp_path / "last.safetensors")
    assert set(info.parts) == {"lip", "face", "decoder"}
    assert not (tmp_path / "readings").exists()  # gigabytes at the paper's size


def test_variants_differ_and_come_in_turn(build: Path, lip: Path, tmp_path: Path) -> None:
    model, training = train_config("decoder", "debug", sets=["train.decoder.augment.flip=1"])
    data = open_training_set(build, model.mel_spec)
    encoder = LipEncoder(DEBUG.lip)
    checkpoint.fill(encoder, "lip", checkpoint.load(lip)[1], lip)
    how = training.augment
    lips = ClipDataset(build, "train", ("lips",), model, how)
    read = lip_readings(encoder, lips, 2, launched(training), tmp_path / "r" / "train.f16")
    assert read.shape == (len(data.train), 2, 75, DEBUG.lip.embedding_size)
    assert read[3, 0].dtype == torch.float16
    assert not torch.equal(read[3, 0], read[3, 1])
    read = pickle.loads(pickle.dumps(read))  # as it comes to a process that reads clips
    clips = ClipDataset(build, "train", ("mel",), model, how, readings=read)
    for epoch in range(4):
        item = clips[epoch, 3]
        assert "lips" not in item
        assert torch.equal(item["reading"], read[3, epoch % 2])
    with torch.no_grad():
        expected = encoder(to_model(lips[1, 3]["lips"][None])).embedding[0]
    torch.testing.assert_close(read[3, 1].float(), expected, atol=2e-3, rtol=2e-3)


def test_a_count_below_zero_is_refused() -> None:
    with pytest.raises(BadInput, match=r"train\.lip_variants is -1"):
        train_config("decoder", "debug", sets=["train.lip_variants=-1"])
