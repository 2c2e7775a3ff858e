"""Every stage on a GPU: a step in single precision is the CPU's, and bf16 trains to finite losses.

Skipped without CUDA; the comparison itself is run on two CPUs' worth of the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from facetron_build import make_build

from facetron.checkpoints import checkpoint
from facetron.train.config import train_config
from facetron.train.dataset import open_training_set
from facetron.train.loop import Trainer
from facetron.train.run import create, launched, train

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
STAGES = ("lip", "prosody", "face", "decoder", "vocoder", "joint")
STEADY = (
    "lip.conv_dropout=0",
    "lip.dropout=0",
    "face.dropout=0",
    "train.batch_size=4",
    "train.workers=0",
    "train.loggers=csv",
    "train.precision=float32",
)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"), clips=5, validation=1)


def step_of(stage: str, device: str, build: Path, out: Path) -> tuple[dict[str, float], Any]:
    """Losses of a step and of the next, and the weights after both."""
    model, training = train_config(stage, "debug", sets=(*STEADY, f"train.device={device}"))
    data = open_training_set(build, model.mel_spec)
    trainer = Trainer(
        create(stage, model, training), data, out, launched(training), lambda line: None
    )
    trainer.batches.start(0)
    losses: dict[str, float] = {}
    for number, batch in enumerate(trainer.train_loader):
        found = trainer._train_step(trainer._moved(batch), number)
        losses |= {f"{name} {number}": value for name, value in found.items()}
    weights = {
        name: value.float().cpu()
        for name, value in checkpoint.named(trainer.stage.parts).items()
        if value.is_floating_point()
    }
    return losses, weights


def compare(stage: str, device: str, build: Path, tmp_path: Path, tolerance: float) -> None:
    expected, their = step_of(stage, "cpu", build, tmp_path / "cpu")
    found, ours = step_of(stage, device, build, tmp_path / device)
    assert len(expected) >= 2
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)
    for name, value in their.items():
        torch.testing.assert_close(ours[name], value, rtol=tolerance, atol=tolerance)


@CUDA
@pytest.mark.parametrize("stage", STAGES)
def test_steps_on_a_gpu_are_the_cpus(stage: str, build: Path, tmp_path: Path) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    compare(stage, "cuda", build, tmp_path, 5e-3)


@pytest.mark.parametrize("stage", ["face", "vocoder"])
def test_the_comparison_holds_for_a_cpu_and_itself(stage: str, build: Path, tmp_path: Path) -> None:
    compare(stage, "cpu", build, tmp_path, 1e-6)


@CUDA
def test_all_stages_train_in_bf16(build: Path, tmp_path: Path) -> None:
    sets = ("train.epochs=2", "train.batch_size=4", "train.device=cuda", "train.precision=bf16")
    best = train("all", build, tmp_path, "debug", sets=sets)
    assert best == tmp_path / "joint" / "best.safetensors"
    for stage in STAGES:
        history = checkpoint.read_info(tmp_path / stage / "last.safetensors").history
        assert len(history) == 2
        assert all(isinstance(line["train_loss"], float) for line in history)
