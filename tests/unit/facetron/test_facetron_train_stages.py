"""Every stage learns at `debug` size, and starts from what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from facetron_build import make_build

from facetron.checkpoints import checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.model.system import FACETRON
from facetron.train.collapse import collapse_metrics
from facetron.train.config import DEFAULTS, train_config
from facetron.train.run import train
from manifests.errors import BadInput, SpecMismatch
from manifests.io import read_manifest, write_jsonl

EPOCHS = {"lip": 30, "prosody": 8, "face": 25, "decoder": 4, "vocoder": 4, "joint": 2}
SETS = (
    "train.batch_size=6",
    "train.segment_frames=16",
    "train.learning_rate=0.003",
    "train.lip.word_loss=0.5",
    # So few steps tell what is learned only where nothing else varies.
    "train.lip.augment.word_crop=0",
    "lip.conv_dropout=0",
    "lip.dropout=0.1",
    "face.dropout=0",
    "train.face.patience=0",
    *(f"train.{stage}.epochs={n}" for stage, n in EPOCHS.items()),
)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"), clips=5, validation=2)


@pytest.fixture(scope="module")
def runs(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All stages in their order."""
    out = tmp_path_factory.mktemp("runs")
    assert train("all", build, out, "debug", sets=SETS) == out / "joint" / "best.safetensors"
    return out


def last(runs: Path, stage: str) -> CheckpointInfo:
    return checkpoint.read_info(runs / stage / "last.safetensors")


@pytest.mark.parametrize(
    ("stage", "metric"),
    [
        ("lip", "train_loss"),
        ("lip", "train_words"),
        ("prosody", "train_loss"),
        ("face", "train_loss"),
        ("decoder", "train_decoder_mel"),
        ("vocoder", "train_vocoder_mel"),
        ("joint", "train_decoder_mel"),
    ],
)
def test_loss_falls(runs: Path, stage: str, metric: str) -> None:
    curve = [line[metric] for line in last(runs, stage).history]
    assert len(curve) == EPOCHS[stage]
    assert curve[-1] < curve[0]


def test_checkpoints_say_what_they_are(runs: Path) -> None:
    for stage in FACETRON.stages:
        info = last(runs, stage)
        assert info.speakers == ("s3", "s5")
        assert info.crop == "0123456789abcdef"
        assert info.epoch == EPOCHS[stage]
        assert info.split == "large-unseen"
        assert (runs / stage / "log.csv").read_text().count("\n") == EPOCHS[stage] + 1
    assert set(last(runs, "joint").parts) >= {"lip", "face", "prosody", "decoder", "vocoder"}
    assert {"val_cer", "val_wer"} <= set(last(runs, "lip").metrics)
    assert {"val_face_other_cosine", "val_face_margin", "val_face_rank"} <= set(
        last(runs, "face").metrics
    )


def test_frozen_parts_stay_as_they_were(runs: Path) -> None:
    lip = checkpoint.load(runs / "lip" / "best.safetensors")[1]
    prosody = checkpoint.load(runs / "prosody" / "best.safetensors")[1]
    joint = checkpoint.load(runs / "joint" / "last.safetensors")[1]
    for name, value in lip.items():
        assert torch.equal(joint[name], value), name
    for name, value in prosody.items():
        assert torch.equal(joint[name], value), name


def test_stages_with_critics_are_taken_up_alike(build: Path, runs: Path, tmp_path: Path) -> None:
    """The joint stage has all there is: critics, spectral norms, batch norms, a frozen teacher."""
    sources = [runs / name / "best.safetensors" for name in FACETRON.stages if name != "joint"]
    sets = (*SETS, "face.dropout=0.3", "train.batch_size=3")
    curves = []
    for out, epochs in ((tmp_path / "whole", (2,)), (tmp_path / "parts", (1, 2))):
        for n in epochs:
            own = (*sets, f"train.joint.epochs={n}")
            train("joint", build, out, "debug", sets=own, sources=sources)
        tensors = checkpoint.load(out / "resume.safetensors")[1]
        history = checkpoint.read_info(out / "last.safetensors").history
        curves.append(([line["train_loss"] for line in history], tensors))
    assert curves[0][0] == curves[1][0]
    assert all(torch.equal(value, curves[1][1][name]) for name, value in curves[0][1].items())


def test_needed_parts_are_asked_for(build: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"needs a trained lip.*--from"):
        train("decoder", build, tmp_path, "debug", sets=SETS)


def test_parts_that_saw_a_held_out_speaker_are_refused(
    build: Path, runs: Path, tmp_path: Path
) -> None:
    _, rows = read_manifest(build)
    rows = [row for row in rows if row.speaker != "s5"]
    write_jsonl(tmp_path / "manifest.jsonl", "manifest", rows, held_out_speakers=["s5"])
    lip = runs / "lip" / "best.safetensors"
    with pytest.raises(SpecMismatch, match="was trained on s5, held out by the manifest's split"):
        train("decoder", tmp_path, tmp_path / "out", "debug", sets=SETS, sources=[lip])


def test_options_of_stages(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("size: debug\ntrain: {epochs: 7, face: {epochs: 9, augment: {flip: 0}}}\n")
    model, face = train_config("face", None, file, ["train.face.seed=4", "lip.gru_hidden=6"])
    assert (model.size, model.lip.gru_hidden) == ("debug", 6)
    assert (face.epochs, face.seed, face.augment.flip) == (9, 4, 0)
    assert face.patience == DEFAULTS["face"].patience
    assert train_config("lip", None, file)[1].epochs == 7
    with pytest.raises(BadInput, match=r"no option train\.epoch"):
        train_config("lip", sets=["train.epoch=3"])
    with pytest.raises(BadInput, match=r"no option train\.lip\.x"):
        train_config("lip", sets=["train.lip.x=3"])


def test_collapse_is_seen() -> None:
    speakers = ["a", "a", "b", "b"]
    apart = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert collapse_metrics(apart, speakers) == (0, 1, 1)
    other, margin, _ = collapse_metrics(torch.ones(4, 3), speakers)
    assert other == pytest.approx(1)
    assert margin == pytest.approx(0, abs=1e-6)
    assert collapse_metrics(apart, ["a", "b", "b", "a"])[2] == 2
    assert collapse_metrics(apart[:2], ["a", "a"]) == (None, None, None)
    assert collapse_metrics(apart[1:3], ["a", "b"]) == (0, None, None)


def test_a_part_that_is_only_used_keeps_the_record_of_its_training(runs: Path) -> None:
    joint, lip = last(runs, "joint"), last(runs, "lip")
    assert {part: joint.trained[part]["stage"] for part in ("lip", "prosody", "decoder")} == {
        "lip": "lip", "prosody": "prosody", "decoder": "joint",
    }  # fmt: skip
    assert joint.trained["lip"]["training"]["epochs"] == lip.training["epochs"]
