"""Every stage of every system, and what speaks and draws with it, on a GPU that is pretended.

No tensor of the CPU meets one of the GPU, and the numbers are the CPU's: in training, in validation, taken
up again from a file, in synthesis. See `facetron_pretended_gpu` for what a real GPU alone can show.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from facetron_build import make_build
from facetron_pretended_gpu import (
    GPU,
    OnGpu,
    ParameterOnGpu,
    PretendedFabric,
    pretended_gpu,
)
from torch import nn

from facetron import systems
from facetron.checkpoints.export import export
from facetron.drawing.run import DrawOptions, draw
from facetron.synthesis.embedding import embed
from facetron.synthesis.run import SynthesisOptions, synthesize
from facetron.train import run
from facetron.train.average import WeightAverage

pytestmark = pytest.mark.usefixtures("few_rounds")
SETS = (
    "train.batch_size=4",
    "train.segment_frames=16",
    "train.loggers=csv",
    "train.workers=0",
    "train.ema=0.9",
    "train.device=cpu",
)
ALSO = {
    "facetron": (
        "train.lip.word_loss=1",
        "train.joint.lip_variants=1",
        "train.decoder.accumulate=2",
        "loss.swap=1",
        "loss.contrastive=1",
        "loss.words=1",
        "loss.spectra=1",
        "mel_discriminator.perceptual=true",
    )
}
"""Options of a system that add to what is computed."""
TIMES = ("seconds", "data_wait_share")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"), clips=3)


@pytest.fixture(autouse=True)
def _no_pinning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*pin_memory.*")
        yield


def histories(system: str, build: Path, out: Path, epochs: tuple[int, ...]) -> dict[str, list[str]]:
    """Trains all stages, each taken up again for more epochs. Returns their logs without times."""
    sources: list[Path] = []
    logs = {}
    for stage in systems.get(system).stages:
        for last in epochs:
            sets = (*SETS, *ALSO.get(system, ()), f"train.epochs={last}")
            best = run.train(
                stage, build, out / stage, "debug", sets=sets, sources=sources, system=system
            )
        sources.append(best)
        with (out / stage / "log.csv").open(newline="") as log:
            logs[stage] = [
                str({name: value for name, value in line.items() if name not in TIMES})
                for line in csv.DictReader(log)
            ]
    return logs


def made(system: str, build: Path, weights: Path, out: Path, device: str) -> dict[str, bytes]:
    """The files that the trained system makes of the clips to validate on."""
    if systems.get(system).painter:
        drawn = draw(DrawOptions(build, str(weights), out, subset="val", device=device))
        assert (drawn.wrote, len(drawn.failures)) == (2, 0)
    else:
        asked = SynthesisOptions(build, str(weights), out, subset="val", device=device)
        report = synthesize(asked)
        assert (report.wrote, len(report.failures)) == (2, 0)
    files = (*out.rglob("*.wav"), *out.rglob("*.png"))
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.mark.parametrize("system", [*systems.SYSTEMS])
def test_a_system_is_at_home_on_a_gpu(
    system: str, build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = histories(system, build, tmp_path / "cpu", (2,))
    with monkeypatch.context() as patch, pretended_gpu() as gpu:
        patch.setattr(run, "launched", lambda training: PretendedFabric())
        found = histories(system, build, tmp_path / "gpu", (1, 2))
    assert gpu.waits
    assert found == expected
    sources = [tmp_path / "gpu" / stage / "best.safetensors" for stage in found]
    export(sources, tmp_path / "weights.safetensors", half=False)
    on_cpu = made(system, build, tmp_path / "weights.safetensors", tmp_path / "a", "cpu")
    with monkeypatch.context() as patch, pretended_gpu() as gpu:
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        on_gpu = made(system, build, tmp_path / "weights.safetensors", tmp_path / "b", "cuda:0")
    assert gpu.waits
    assert on_gpu == on_cpu
    assert len(on_cpu) >= 2
    if system == "facetron":
        of_cpu = embed(build, tmp_path / "weights.safetensors", "val", device="cpu")
        with monkeypatch.context() as patch, pretended_gpu():
            patch.setattr(torch.cuda, "device_count", lambda: 1)
            of_gpu = embed(build, tmp_path / "weights.safetensors", "val", device="cuda:0")
        np.testing.assert_array_equal(of_gpu.face, of_cpu.face)
        np.testing.assert_array_equal(of_gpu.prosody, of_cpu.prosody)


def test_the_pretense_refuses_what_a_gpu_does() -> None:
    layer, cell = nn.Linear(3, 2), nn.GRU(3, 2).eval()
    there = [(layer, nn.Parameter), (cell, nn.Parameter)]
    stranger = torch.ones(2, 3)
    with pretended_gpu() as gpu:
        for module, kind in there:
            module.to(GPU)
            weights = list(module.parameters())
            assert all(isinstance(w, ParameterOnGpu) and isinstance(w, kind) for w in weights)
            assert {w.device for w in weights} == {GPU}
        x = stranger.to(GPU)
        assert isinstance(layer(x), OnGpu)
        assert (x * torch.tensor(2.0)).device == GPU
        assert torch.zeros(3, device=x.device).device == GPU == x.new_zeros(2).device
        for mixed in (
            lambda: x + stranger,
            lambda: layer(stranger),
            lambda: torch.where(x > 0, x, torch.zeros(2, 3)),
            lambda: torch.cat([x, stranger]),
        ):
            with pytest.raises(RuntimeError, match=r"tensors of the CPU, \[\(2, 3\)\]"):
                mixed()
        with pytest.raises(TypeError, match="copy it first"):
            x.numpy()
        with pytest.raises(RuntimeError, match="a generator of the CPU"):
            torch.randn(2, device=GPU, generator=torch.Generator())
        with pytest.raises(RuntimeError, match="no backward pass in evaluation mode"):
            cell(x)
        before = gpu.waits
        assert float(x.sum()) == 6.0
        assert gpu.waits == before + 1
        assert not isinstance(x.cpu(), OnGpu)
        assert x.cpu().numpy().tolist() == stranger.tolist()
        layer(x).sum().backward()
        average = WeightAverage(layer, 0.9)
        average.update(1)
        assert {value.device for value in average.values.values()} == {GPU}


def test_an_average_that_stayed_behind_is_found() -> None:
    layer = nn.Linear(3, 2)
    average = WeightAverage(layer, 0.9)
    with pretended_gpu():
        layer.to(GPU)
        with pytest.raises(RuntimeError, match="lerp_: tensors of the CPU"):
            average.update(1)
