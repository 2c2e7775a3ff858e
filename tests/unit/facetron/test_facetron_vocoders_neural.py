"""HiFi-GAN by name: our part `vocoder` and published weights, long mels, `facetron resynth`."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from facetron_build import make_build
from facetron_trained import make_checkpoint

from facetron.commands.resynth import resynth
from facetron.model import sizes
from facetron.model.vocoder import Vocoder
from facetron.vocoders import neural
from facetron.vocoders import registry as vocoders
from facetron.vocoders.neural import CHUNK_FRAMES, NeuralVocoder
from manifests.errors import BadInput, SpecMismatch
from manifests.io import read_manifest, write_jsonl
from manifests.mel import DEFAULT, PRESETS
from manifests.runs import read_run

torch.set_num_threads(1)
RNG = np.random.default_rng(0)


def mel(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).normal(-4, 2, (80, frames)).astype(np.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("weights") / "m.safetensors", parts=("vocoder",))


def test_our_part_by_name(path: Path) -> None:
    vocoder = vocoders.create("hifigan", DEFAULT, checkpoint=path)
    sound = vocoder(mel(50), RNG)
    assert sound.shape == (16_000,)
    assert sound.dtype == np.float32
    assert 0 < np.abs(sound).max() <= 1
    np.testing.assert_array_equal(vocoder(mel(50), RNG, 15_000), sound[:15_000])
    padded = vocoder(mel(50), RNG, 17_000)
    np.testing.assert_array_equal(padded[16_000:], 0)
    stated = vocoder.parameters()
    assert (stated["vocoder"], stated["checkpoint"]) == ("hifigan", "m.safetensors")
    assert len(stated["checkpoint_sha256"]) == 64
    assert vocoder.label == "HiFi-GAN"


def test_it_pickles_small_and_speaks_the_same(path: Path) -> None:
    vocoder = NeuralVocoder(DEFAULT, path)
    data = pickle.dumps(vocoder)
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data)(mel(9), RNG), vocoder(mel(9), RNG))


ISTFT = sizes.VocoderConfig(rates=(5, 4), kernels=(11, 8), istft_hop=16)


@pytest.mark.parametrize("version", [sizes.DEBUG.vocoder, sizes.V3, sizes.V1, ISTFT, sizes.SOURCE])
def test_chunks_join_without_a_seam(
    version: sizes.VocoderConfig, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of versions in their full depth, though thin: their reach does not depend on their width."""
    torch.manual_seed(0)
    module = Vocoder(replace(version, channels=32)).eval().requires_grad_(False)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if name.endswith("original0"):  # louder, so that what is far away is heard
                value.mul_(2)
    monkeypatch.setattr(neural, "_module", lambda *_: module)
    monkeypatch.setattr(neural, "CHUNK_FRAMES", 20)  # four chunks, the last moved back
    long = mel(200)
    whole = module(torch.from_numpy(long)[None])[0, 0].numpy()
    sound = NeuralVocoder(DEFAULT, path)(long, RNG)
    np.testing.assert_allclose(sound, whole, atol=1e-4 * np.abs(whole).max())


def test_a_clip_is_one_chunk() -> None:
    assert CHUNK_FRAMES >= 150


def test_published_weights_tell_their_version(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Vocoder(sizes.V3_22K).eval()
    file = tmp_path / "g_02500000"
    torch.save({"generator": module.state_dict()}, file)
    spec = PRESETS["hifigan-22k"]
    vocoder = NeuralVocoder(spec, file)
    assert vocoder.sample_rate_hz == 22_050
    with torch.no_grad():
        expected = module(torch.from_numpy(mel(6))[None])[0, 0].numpy()
    np.testing.assert_allclose(vocoder(mel(6), RNG), expected, atol=1e-5)
    torch.save(module.state_dict(), tmp_path / "bare.pt")
    np.testing.assert_allclose(
        NeuralVocoder(spec, tmp_path / "bare.pt")(mel(6), RNG), expected, atol=1e-5
    )
    with pytest.raises(SpecMismatch, match="g_02500000 has MelSpec"):
        NeuralVocoder(DEFAULT, file)


def test_faults_are_one_line(path: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="hifigan needs weights"):
        vocoders.create("hifigan", DEFAULT)
    other = make_checkpoint(tmp_path / "lips.safetensors", parts=("lip",))
    with pytest.raises(BadInput, match="has no vocoder"):
        NeuralVocoder(DEFAULT, other)
    torch.save({"conv_pre.weight": torch.zeros(3)}, tmp_path / "g_1")
    with pytest.raises(SpecMismatch, match="not a HiFi-GAN of a known version"):
        NeuralVocoder(DEFAULT, tmp_path / "g_1")
    (tmp_path / "g_2").write_bytes(b"garbage that is long enough")
    with pytest.raises(BadInput, match="g_2 is not a checkpoint of plain tensors"):
        NeuralVocoder(DEFAULT, tmp_path / "g_2")
    vocoder = NeuralVocoder(DEFAULT, path)
    for bad in (mel(5)[:40], mel(5)[0], mel(5)[:, :0]):
        with pytest.raises(BadInput, match="mel has shape"):
            vocoder(bad, RNG)
    with pytest.raises(BadInput, match="NaN"):
        vocoder(np.full((80, 5), np.nan, np.float32), RNG)


def test_resynth_speaks_with_it(path: Path, tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=2)
    header, rows = read_manifest(build)
    write_jsonl(
        build / "manifest.jsonl",
        "manifest",
        rows,
        split=header["split"],
        specs={"mel": DEFAULT.to_dict()},
    )
    arguments = ["--manifest", str(build), "--subset", "all", "--vocoder", "hifigan", "--jobs", "1"]
    arguments += ["--out", str(tmp_path / "run")]
    bare = CliRunner().invoke(resynth, arguments)
    assert isinstance(bare.exception, BadInput)
    done = CliRunner().invoke(resynth, [*arguments, "--checkpoint", str(path)])
    assert done.exit_code == 0, done.output
    info, clips, _ = read_run(tmp_path / "run")
    assert info.name == "analysis-synthesis (HiFi-GAN)"
    assert (
        info.parameters["checkpoint_sha256"]
        == NeuralVocoder(DEFAULT, path).parameters()["checkpoint_sha256"]
    )
    wav, rate = soundfile.read(tmp_path / "run" / clips[0].wav)
    expected = NeuralVocoder(DEFAULT, path)(np.load(build / rows[0].paths["mel"]), RNG)
    assert (rate, len(wav)) == (16_000, 48_000)
    np.testing.assert_allclose(wav, expected, atol=1e-3)
    again = CliRunner().invoke(resynth, [*arguments, "--checkpoint", str(path)])
    assert "(4 of them kept from before)" in again.output
