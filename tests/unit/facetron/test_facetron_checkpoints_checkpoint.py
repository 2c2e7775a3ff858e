"""Checkpoints: what is written comes back, and what is not ours is refused in one line."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from facetron import options
from facetron.checkpoints import checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.model.facetron import Facetron
from facetron.model.sizes import DEBUG
from manifests.errors import BadInput, SpecMismatch, ToolkitError
from manifests.io import read_json

INFO = CheckpointInfo(
    stage="lip",
    config=options.to_dict(DEBUG),
    parts=("lip",),
    mel="aaaa",
    crop="bbbb",
    speakers=("s3", "s5"),
    epoch=4,
    metrics={"val_cer": 0.25, "val_wer": None},
    history=({"epoch": 1, "train_loss": 2.0},),
)


def saved(folder: Path) -> tuple[Path, nn.Module]:
    lip = Facetron(DEBUG).lip
    path = folder / "best.safetensors"
    checkpoint.save(path, checkpoint.named({"lip": lip}), INFO)
    return path, lip


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path, lip = saved(tmp_path)
    other = Facetron(DEBUG).lip
    assert checkpoint.load_part(other, "lip", path) == INFO
    for name, value in lip.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    assert checkpoint.read_info(path).model_config() == DEBUG
    assert CheckpointInfo.from_dict(read_json(path.with_suffix(".json"))) == INFO
    assert INFO.has_seen("s3")
    assert not INFO.has_seen("s1")


def test_optimizers_come_back(tmp_path: Path) -> None:
    def stepped(steps: int) -> tuple[nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        layer = nn.Linear(3, 2)
        optimizer = torch.optim.AdamW(layer.parameters(), 0.1)
        for _ in range(steps):
            step(layer, optimizer)
        return layer, optimizer

    def step(layer: nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        layer(torch.ones(3)).square().sum().backward()
        optimizer.step()

    layer, optimizer = stepped(3)
    path = tmp_path / "resume.safetensors"
    tensors = checkpoint.named({"n": layer}) | checkpoint.optimizer_tensors(optimizer, "o")
    checkpoint.save(path, tensors, INFO, words=False)
    other, its = stepped(0)
    read = checkpoint.load(path)[1]
    checkpoint.fill(other, "n", read, path)
    checkpoint.fill_optimizer(its, "o", read)
    step(layer, optimizer)
    step(other, its)
    assert torch.equal(layer.weight, other.weight)


def test_faulty_files_are_named(tmp_path: Path) -> None:
    path, lip = saved(tmp_path)
    whole = path.read_bytes()
    for content in (b"", b"not safetensors at all", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(
            BadInput, match=r"best\.safetensors is not a readable safetensors file"
        ) as caught:
            checkpoint.load(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="does not exist"):
        checkpoint.load(tmp_path / "gone.safetensors")
    save_file({"lip.a": torch.ones(1)}, path, {"format": "pt"})
    with pytest.raises(BadInput, match="not a checkpoint of facetron"):
        checkpoint.load_part(lip, "lip", path)
    for header in ("[1]", "{", "{}"):
        save_file({"lip.a": torch.ones(1)}, path, {checkpoint.HEADER: header})
        with pytest.raises(BadInput, match="damaged header"):
            checkpoint.read_info(path)


def test_other_models_and_parts_are_refused(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    wider = Facetron(replace(DEBUG, lip=replace(DEBUG.lip, gru_hidden=10))).lip
    with pytest.raises(SpecMismatch, match=r"lip does not fit the config \(\d+ tensors differ"):
        checkpoint.load_part(wider, "lip", path)
    with pytest.raises(BadInput, match="has no face; it holds lip"):
        checkpoint.load_part(wider, "face", path)


def test_other_features_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    checkpoint.require_features(INFO, path, "aaaa", "bbbb")
    checkpoint.require_features(INFO, path, "aaaa", "")
    with pytest.raises(SpecMismatch, match="x was trained on mels aaaa, not cccc"):
        checkpoint.require_features(INFO, path, "cccc", "bbbb")
    with pytest.raises(SpecMismatch, match="x was trained on crops bbbb, not cccc"):
        checkpoint.require_features(INFO, path, "aaaa", "cccc")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lip = saved(tmp_path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space") as caught:
        checkpoint.save(path, checkpoint.named({"lip": lip}), replace(INFO, epoch=5))
    assert caught.value.filename == str(path)

    def refused(*_: object) -> None:
        raise checkpoint.SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", refused)
    with pytest.raises(ToolkitError, match=r"best\.safetensors cannot be written"):
        checkpoint.save(path, checkpoint.named({"lip": lip}), INFO)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".tmp-*"))
