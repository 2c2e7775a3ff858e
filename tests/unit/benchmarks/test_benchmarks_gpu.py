"""What is prepared for a machine with a GPU: the pack of clips, the configs, the table of the loader."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks import loader_speed
from benchmarks.gpu_pack import pack
from facetron import systems
from facetron.train.config import train_config
from facetron.train.dataset import ClipDataset, open_training_set
from manifests.errors import BadInput
from manifests.manifest import Manifest
from manifests.mel import DEFAULT

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import sys

    sys.path.insert(0, str(ROOT / "tests" / "unit" / "facetron"))
    from facetron_build import make_build

    return make_build(tmp_path_factory.mktemp("build"), clips=3)


def test_a_pack_holds_what_a_training_of_lips_and_decoder_reads(
    build: Path, tmp_path: Path
) -> None:
    rows = pack(build, tmp_path / "pack", 60.0)
    assert len(rows) == 6
    data = open_training_set(tmp_path / "pack", DEFAULT)
    assert (len(data.train), len(data.val)) == (4, 2)
    item = ClipDataset(tmp_path / "pack", "train", ("lips", "face"))[0]
    assert item["lips"].shape == (3, 75, 32, 32)
    light, whole = (Manifest(m).where(subset="train")[0] for m in (tmp_path / "pack", build))
    assert light.mel().dtype == np.float16
    assert np.abs(light.mel() - whole.mel()).max() < 0.01
    shown = item["lips"].movedim(0, -1).numpy().astype(int)
    assert np.abs(shown - whole.lips().astype(int)).mean() < 8
    some = pack(build, tmp_path / "some", 60.0, ["s3"])
    assert {row.speaker for row in some} == {"s3"}
    with pytest.raises(BadInput, match="hold no clip to train on"):
        pack(build, tmp_path / "none", 0.001)
    with pytest.raises(BadInput, match="exists"):
        pack(build, tmp_path / "pack", 60.0)


@pytest.mark.parametrize("name", ["paper", "small"])
def test_configs_say_options_that_every_stage_has(name: str) -> None:
    for stage in systems.get().stages:
        model, training = train_config(stage, file=ROOT / "configs" / f"{name}.yaml")
        assert model.size == name
        assert training.epochs >= 1
    assert train_config("lip", file=ROOT / "configs" / "paper.yaml")[1].batch_size == 32


def test_the_loaders_table(build: Path) -> None:
    told = loader_speed.measured(build)
    assert "JPEG decoded (the floor)" in told
    assert "paper: varied later, on a GPU" in told
    assert told.splitlines()[-1].startswith("For a GPU a core prepares ")


def test_the_script_is_a_script_and_says_how_it_is_used(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "gpu.sh"
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    bare = subprocess.run([script], capture_output=True, text=True)
    assert bare.returncode == 2
    assert "benchmarks/gpu.sh PACK OUT" in bare.stdout
    empty = subprocess.run([script, tmp_path, tmp_path / "o"], capture_output=True, text=True)
    assert empty.returncode == 2
    assert "holds no manifest.jsonl" in empty.stdout
