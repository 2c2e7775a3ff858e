"""Embeddings of clips: what is in the file, whose weights made it, and what is refused."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from facetron_build import make_build

from facetron import options
from facetron.checkpoints import checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.commands.embed import embed as command
from facetron.model.face import FaceEncoder, face_input
from facetron.model.prosody import ProsodyEncoder
from facetron.model.sizes import model_config
from facetron.synthesis.embedding import Embeddings, embed, write_npz
from manifests.errors import BadInput, SpecMismatch
from manifests.io import read_manifest
from manifests.pictures import read_pictures

CONFIG = model_config("debug")
CROP = "0123456789abcdef"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"), ("s5", "s3", "s6"), clips=3)


def trained(
    path: Path, *parts: str, crop: str = CROP, mel: str = "", n_speakers: int = 2
) -> tuple[Path, dict[str, torch.nn.Module]]:
    torch.manual_seed(3)
    modules: dict[str, torch.nn.Module] = {
        "face": FaceEncoder(CONFIG.face).eval(),
        "prosody": ProsodyEncoder(CONFIG.prosody, CONFIG.mel_spec.n_mels).eval(),
        "word_head": torch.nn.Linear(2, 2),
    }
    held = {part: modules[part] for part in parts}
    info = CheckpointInfo(
        "face", options.to_dict(CONFIG), parts, mel or CONFIG.mel_spec.fingerprint(), crop,
        ("s3", "s5", "s6")[:n_speakers], split="large-unseen",
    )  # fmt: skip
    checkpoint.save(path, checkpoint.named(held), info)
    return path, modules


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.nn.Module]]:
    return trained(tmp_path_factory.mktemp("run") / "best.safetensors", "face", "prosody")


@pytest.fixture(scope="module")
def made(build: Path, weights: tuple[Path, dict[str, torch.nn.Module]]) -> Embeddings:
    return embed(build, weights[0], "all", device="cpu")


def test_they_are_what_the_encoders_give(
    build: Path, weights: tuple[Path, dict[str, torch.nn.Module]], made: Embeddings
) -> None:
    modules = weights[1]
    assert made.face is not None
    assert made.prosody is not None
    assert made.face.shape == made.prosody.shape == (9, CONFIG.face.embedding_size)
    for i in (0, 4, 8):
        row = made.rows[i]
        stills = torch.from_numpy(read_pictures(build / row.paths["face"]))
        mel = torch.from_numpy(np.load(build / row.paths["mel"]))[None]
        with torch.no_grad():
            face = modules["face"](face_input(stills[1:2], CONFIG.face))[0].numpy()
            prosody = modules["prosody"](mel)[0].numpy()
        np.testing.assert_allclose(made.face[i], face, atol=1e-5)
        np.testing.assert_allclose(made.prosody[i], prosody / np.linalg.norm(prosody), atol=1e-5)
    assert [row.speaker for row in made.rows] == ["s5"] * 3 + ["s3"] * 3 + ["s6"] * 3
    assert made.seen.tolist() == [True] * 6 + [False] * 3


def test_the_mean_over_stills_is_of_length_one(
    build: Path, weights: tuple[Path, dict[str, torch.nn.Module]], made: Embeddings
) -> None:
    mean = embed(build, weights[0], "all", stills="mean", device="cpu")
    assert mean.face is not None
    assert made.face is not None
    np.testing.assert_allclose(np.linalg.norm(mean.face, axis=1), 1, atol=1e-5)
    row = mean.rows[2]
    stills = torch.from_numpy(read_pictures(build / row.paths["face"]))
    with torch.no_grad():
        each = weights[1]["face"](face_input(stills, CONFIG.face)).mean(0).numpy()
    np.testing.assert_allclose(mean.face[2], each / np.linalg.norm(each), atol=1e-5)
    assert mean.info["stills"] == "mean"


def test_the_file_holds_plain_arrays(made: Embeddings, tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", made)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    assert set(arrays) == {
        "face", "prosody", "speaker", "stem", "gender", "subset", "seen", "info",
    }  # fmt: skip
    assert arrays["face"].dtype == arrays["prosody"].dtype == np.float32
    assert arrays["seen"].dtype == np.bool_
    assert arrays["subset"].tolist() == ["train", "train", "val"] * 3
    assert arrays["stem"][0] == "bbaf2n"
    info = json.loads(str(arrays["info"]))
    assert info["schema"] == "embeddings"
    assert info["mel"] == CONFIG.mel_spec.fingerprint()
    assert info["loss_cs"] == CONFIG.loss.cs
    assert info["speakers_trained"] == ["s3", "s5"]
    write_npz(tmp_path / "b.npz", made)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(("part", "other"), [("prosody", "face"), ("face", "prosody")])
def test_a_checkpoint_with_one_encoder_gives_one_embedding(
    build: Path, tmp_path: Path, part: str, other: str
) -> None:
    path, _ = trained(tmp_path / "a.safetensors", part)
    assert set(embed(build, path, "val", device="cpu").held()) == {part}


def test_the_command(
    build: Path, weights: tuple[Path, dict[str, torch.nn.Module]], tmp_path: Path
) -> None:
    out, table = tmp_path / "e.npz", tmp_path / "e.csv"
    arguments = ["--manifest", str(build), "--checkpoint", str(weights[0]), "--subset", "val"]
    result = CliRunner().invoke(
        command, [*arguments, "--out", str(out), "--csv", str(table), "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    assert "3 clips of 3 speakers, 2 of them seen" in result.output
    lines = list(csv.DictReader(table.open()))
    with np.load(out) as file:
        assert [float(line["face_3"]) for line in lines] == pytest.approx(file["face"][:, 3])
        assert [line["seen"] for line in lines] == ["1", "1", "0"]
    wrong = CliRunner().invoke(command, [*arguments, "--out", str(table)])
    assert isinstance(wrong.exception, BadInput)


def test_what_is_refused(
    build: Path, tmp_path: Path, weights: tuple[Path, dict[str, torch.nn.Module]]
) -> None:
    with pytest.raises(SpecMismatch, match=r"trained on crops ffff, not 0123456789abcdef"):
        embed(build, trained(tmp_path / "a.safetensors", "face", crop="ffff")[0], "val")
    with pytest.raises(SpecMismatch, match="trained on mels eeee"):
        embed(build, trained(tmp_path / "b.safetensors", "face", mel="eeee")[0], "val")
    with pytest.raises(
        BadInput, match=r"neither a face nor a prosody encoder \(it holds word_head\)"
    ):
        embed(build, trained(tmp_path / "c.safetensors", "word_head")[0], "val")
    with pytest.raises(BadInput, match="has no test clip"):
        embed(build, weights[0], "test", device="cpu")
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="CUDA devices"):
            embed(build, weights[0], "val", device="cuda")


def test_a_missing_feature_is_named(
    tmp_path: Path, weights: tuple[Path, dict[str, torch.nn.Module]]
) -> None:
    root = make_build(tmp_path, ("s3",), clips=2)
    _, rows = read_manifest(root)
    (root / rows[0].paths["mel"]).write_bytes(b"no array")
    with pytest.raises(BadInput, match=r"bbaf2n\.npy cannot be read"):
        embed(root, weights[0], "all", device="cpu")


def test_collapse_of_points_that_fall_together(made: Embeddings) -> None:
    assert made.face is not None
    same = replace(made, face=np.ones_like(made.face))
    other, margin, _ = same.collapse()["face"]
    assert other == pytest.approx(1)
    assert margin == pytest.approx(0, abs=1e-6)
