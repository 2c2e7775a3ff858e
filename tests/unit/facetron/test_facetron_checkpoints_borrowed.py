"""Parts that a checkpoint borrows from bundled weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from facetron_build import make_build
from test_facetron_baselines_lip2wav import eye_sets, facetron_eyes

from facetron.checkpoints import borrowed, bundled, checkpoint
from facetron.checkpoints.export import export
from facetron.synthesis.base import load_synthesizer
from facetron.train.run import train
from manifests.errors import BadInput


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Bundled weights `tiny` of a Facetron, lip and face encoder only."""
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "weights")
    (tmp_path / "weights" / "tiny").mkdir(parents=True)
    return facetron_eyes(tmp_path / "weights" / "tiny" / "model.safetensors")


def test_an_exported_system_speaks_with_the_lips_of_bundled_weights(
    weights: Path, tmp_path: Path
) -> None:
    build = make_build(tmp_path / "build", clips=2)
    best = train(
        "decoder", build, tmp_path / "out", "debug", sets=eye_sets(), sources=[weights],
        system="lip2wav",
    )  # fmt: skip
    whole = export([best], tmp_path / "whole.safetensors").info
    made = export([best], tmp_path / "small.safetensors", share={"lip": "tiny"})
    assert made.info.parts == tuple(part for part in whole.parts if part != "lip")
    info, tensors = checkpoint.load(tmp_path / "small.safetensors")
    assert not borrowed.of_part("lip", tensors)
    assert borrowed.source_of(info, "lip") == "tiny"
    voices = [
        load_synthesizer(tmp_path / name, "griffin-lim", "cpu")
        for name in ("whole.safetensors", "small.safetensors")
    ]
    states = [voice.model.state_dict() for voice in voices]  # type: ignore[attr-defined]
    for name, value in states[0].items():
        assert torch.allclose(states[1][name], value, atol=1e-3), name

    other, values = checkpoint.load(weights)
    values = {name: value + 1 for name, value in values.items()}
    checkpoint.save(weights, values, other)
    with pytest.raises(BadInput, match="borrows its lip from the weights tiny, which have another"):
        load_synthesizer(tmp_path / "small.safetensors")
    with pytest.raises(BadInput, match="the lip of the weights tiny is another one"):
        export([best], tmp_path / "again.safetensors", share={"lip": "tiny"})
    weights.unlink()
    with pytest.raises(BadInput, match="which are not installed"):
        load_synthesizer(tmp_path / "small.safetensors")


def test_what_cannot_be_shared_is_named(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="have no vocoder to share"):
        borrowed.lend("vocoder", "tiny", {})
    _, tensors = checkpoint.load(weights)
    assert borrowed.lend("lip", "tiny", {}) == "tiny:"
    note = borrowed.lend("lip", "tiny", tensors)
    assert note == f"tiny:{borrowed.digest('lip', tensors)}"
    info = replace(checkpoint.read_info(weights), borrowed={"lip": note})
    assert set(borrowed.fetched(info, weights)) == set(borrowed.of_part("lip", tensors))
