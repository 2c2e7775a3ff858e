"""Vocoders of others by path: their names and numbers, the bridge of their mels, and speech by them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from facetron_build import make_build
from facetron_hifigan_names import generator
from facetron_published_names import bigvgan, fixed, mellotron, vocos
from facetron_trained import make_checkpoint
from torch import Tensor

from facetron.commands.resynth import resynth
from facetron.synthesis.base import load_synthesizer
from facetron.vocoders import bigvgan as ours_bigvgan
from facetron.vocoders import vocos as ours_vocos
from facetron.vocoders.bridge import VocoderMel, bridge
from facetron.vocoders.published import PublishedVocoder
from facetron.vocoders.registry import create
from manifests.errors import BadInput, SpecMismatch
from manifests.io import read_manifest, write_jsonl
from manifests.mel import DEFAULT, PRESETS, mel_spectrogram
from manifests.runs import read_run

torch.set_num_threads(1)


def speechlike(rate_hz: int, seconds: float = 1.5) -> np.ndarray:
    """A buzz whose pitch and formants move, with breath, sampled at any rate."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    pitch = 2 * np.pi * np.cumsum(140 + 30 * np.sin(5 * times)) / rate_hz
    formant_hz = 900 + 500 * np.sin(3 * times)
    sound = np.zeros_like(times)
    for n in range(1, 45):
        weight = np.exp(-(((n * 140 - formant_hz) / 500) ** 2)) + 0.03
        sound += weight * np.sin(n * pitch)
    return (0.05 * sound * (1 + 0.5 * np.sin(25 * times))).astype(np.float32)


def given(bands: int) -> Tensor:
    place = torch.arange(bands * 20, dtype=torch.float64).reshape(1, bands, 20)
    return (torch.sin(0.013 * place) * 2 - 4).float()


# Computed by the authors' code from the same values: samples 0, 1, 50, 80, 159 or 303; mean magnitude.
BIGVGAN = {
    True: ([-0.09471, -0.10393, -0.06649, -0.07433, -0.09393], 0.07340984),
    False: ([0.00147, -0.00239, -0.01129, -0.01215, -0.00334], 0.01170965),
}


def bigvgan_values(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    values = fixed(shapes)
    for name in values:
        if name.endswith("weight_g"):
            values[name] *= 0.4
        elif name.endswith("filter"):
            values[name] = ours_bigvgan.kaiser_sinc()
    return values


@pytest.mark.parametrize("bias", [True, False])
def test_bigvgan_gives_the_originals_numbers(bias: bool) -> None:
    values = bigvgan_values(bigvgan(80, 32, [8, 4], bias=bias))
    network = ours_bigvgan.BigVgan(ours_bigvgan.config_of(values)).eval()
    network.load_state_dict(values)
    with torch.no_grad():
        wave = network(given(80))
    assert wave.shape == (1, 1, 160)
    expected, mean = BIGVGAN[bias]
    picked = wave[0, 0, [0, 1, 50, 80, 159]]
    torch.testing.assert_close(picked, torch.tensor(expected), atol=2e-5, rtol=0)
    assert float(wave.abs().mean()) == pytest.approx(mean, rel=1e-4)


def test_the_filter_of_bigvgan_is_the_published_one() -> None:
    """As computed by its authors' `kaiser_sinc_filter1d(0.25, 0.3, 12)`."""
    half = [0.002029, 0.0093895, -0.0255435, -0.0576574, 0.1285726, 0.4432098]
    values = ours_bigvgan.kaiser_sinc().flatten()
    np.testing.assert_allclose(values, [*half, *half[::-1]], atol=2e-6)


@pytest.mark.parametrize(
    ("bands", "channels", "kernels", "beta", "bias"),
    [
        (100, 512, [16, 16, 4, 4], True, True),
        (128, 1536, [16, 8, 4, 4, 4, 4], True, False),
    ],
)
def test_published_bigvgans_are_recognized_by_their_shapes(
    bands: int, channels: int, kernels: list[int], beta: bool, bias: bool
) -> None:
    shapes = bigvgan(bands, channels, kernels, beta, bias)
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in shapes.items()}
        config = ours_bigvgan.config_of(state)
        network = ours_bigvgan.BigVgan(config)
    assert {n: tuple(v.shape) for n, v in network.state_dict().items()} == shapes
    assert config.rates == tuple(kernel // 2 for kernel in kernels)


def test_vocos_gives_the_originals_numbers() -> None:
    buffers = ("feature_extractor.", "head.istft.")
    shapes = {n: s for n, s in vocos(100, 32, 64, 2, 64).items() if not n.startswith(buffers)}
    # The original's window takes its place in the order of the names.
    values = fixed(shapes | {"head.istft.window": (64,)})
    del values["head.istft.window"]
    network = ours_vocos.Vocos(ours_vocos.config_of(values)).eval()
    network.load_state_dict(values)
    with torch.no_grad():
        wave = network(given(100))[0, 0]
    assert wave.shape == (304,)
    expected = [-0.00175, 0.01382, 0.05573, -0.00073, 0.00869]
    picked = wave[[0, 1, 50, 80, 303]]
    torch.testing.assert_close(picked, torch.tensor(expected), atol=2e-5, rtol=0)
    assert float(wave.abs().mean()) == pytest.approx(0.0268681, rel=1e-4)
    published = vocos(100, 512, 1536, 8, 1024)
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in published.items()}
        whole = ours_vocos.Vocos(ours_vocos.config_of(state))
    assert {n: tuple(v.shape) for n, v in whole.state_dict().items()} == {
        n: s for n, s in published.items() if not n.startswith(buffers)
    }


OF_HIFIGAN = VocoderMel.of(PRESETS["hifigan-22k"])
OF_VOCOS = VocoderMel(24_000, 1024, 256, 100, 0.0, 12_000.0, "htk", 1e-7, True)


def measured(sound: np.ndarray, to: VocoderMel) -> np.ndarray:
    """The mels of a sound by their definition."""
    pad = to.n_fft // 2 if to.centered else (to.n_fft - to.hop_samples) // 2
    padded = np.pad(sound.astype(np.float64), pad, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, to.n_fft)[:: to.hop_samples]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(to.n_fft + 1)[:-1], axis=1)).T
    return np.log(np.maximum(to.filters() @ spectrum, to.floor))


@pytest.mark.parametrize("to", [OF_HIFIGAN, OF_VOCOS])
def test_a_bridged_mel_is_near_the_one_of_the_sound(to: VocoderMel) -> None:
    mel = mel_spectrogram(speechlike(16_000), DEFAULT)
    made, true = bridge(mel, DEFAULT, to), measured(speechlike(to.sample_rate_hz), to)
    assert made.shape[0] == to.n_mels
    assert abs(made.shape[1] - true.shape[1]) <= 1
    frames = min(made.shape[1], true.shape[1])
    centers_hz = (to.filters() @ to.bins_hz) / to.filters().sum(1)
    made, true = made[centers_hz < 6000, :frames], true[centers_hz < 6000, :frames]
    loud = true > true.max() - 6
    difference = (made - true)[loud]
    assert abs(difference.mean()) < 0.15  # 1.3 dB; nothing is shifted in level
    assert np.abs(difference).mean() < 0.45
    # Half a band or four frames aside it would be another.
    assert np.abs(difference).mean() < 0.8 * np.abs(np.roll(made, 2, 0) - true)[loud].mean()
    assert np.abs(difference).mean() < 0.8 * np.abs(np.roll(made, 8, 1) - true)[loud].mean()


def test_what_a_bridge_keeps_and_what_it_refuses() -> None:
    mel = mel_spectrogram(speechlike(16_000), DEFAULT)
    same = bridge(mel, DEFAULT, VocoderMel.of(DEFAULT))
    assert same.shape == mel.shape
    loud = mel > mel.max() - 6
    assert np.abs(same - mel)[loud].mean() < 0.12  # read and averaged again: a little smoother
    above = bridge(mel, DEFAULT, OF_VOCOS)[-8:]
    np.testing.assert_allclose(above, np.log(1e-7), atol=1e-5)  # nothing above 8 kHz
    emphasized = mel_spectrogram(speechlike(16_000), PRESETS["lip2wav"])
    back = bridge(emphasized, PRESETS["lip2wav"], VocoderMel.of(DEFAULT))
    frames = min(back.shape[1], mel.shape[1])
    level = (back[:60, :frames] - mel[:60, :frames])[mel[:60, :frames] > mel.max() - 6]
    assert abs(level.mean()) < 0.35
    with pytest.raises(SpecMismatch, match="filtered or scaled in a way of their own"):
        VocoderMel.of(PRESETS["vca-gan"])
    with pytest.raises(BadInput):
        bridge(mel[:40], DEFAULT, OF_HIFIGAN)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small relatives of the published files."""
    folder = tmp_path_factory.mktemp("published")
    big = bigvgan_values(bigvgan(80, 64, [8, 8, 4, 4, 4, 4], bias=False))
    small = {n: 0.2 * v for n, v in fixed(vocos(100, 32, 64, 1, 1024)).items()}
    universal = fixed(generator(512, [16, 16, 4, 4], 1))
    contents: dict[str, Any] = {
        "bigvgan": {"generator": big},
        "vocos": small,
        "hifi-gan": {"generator": universal},
        "mellotron": {"state_dict": fixed(mellotron())},
    }
    for name, content in contents.items():
        torch.save(content, folder / name)
    made = {name: folder / name for name in contents}
    return made | {"ours": make_checkpoint(folder / "ours.safetensors", ("s3",))}


@pytest.mark.parametrize(
    ("name", "rate_hz", "label"),
    [
        ("bigvgan", 22_050, "BigVGAN-v2, mel bridged"),
        ("vocos", 24_000, "Vocos, mel bridged"),
        ("hifi-gan", 22_050, "HiFi-GAN, mel bridged"),
        ("ours", 16_000, "HiFi-GAN"),
    ],
)
def test_every_family_speaks_our_mels(
    name: str, rate_hz: int, label: str, files: dict[str, Path]
) -> None:
    vocoder = create("published", DEFAULT, checkpoint=files[name])
    assert (vocoder.sample_rate_hz, vocoder.label) == (rate_hz, label)
    mel = mel_spectrogram(speechlike(16_000, 0.4), DEFAULT)
    rng = np.random.default_rng(0)
    sound = vocoder(mel, rng)
    assert sound.shape == (round(0.4 * rate_hz),)
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert 0 < np.abs(sound).max() <= 1
    np.testing.assert_array_equal(vocoder(mel, rng, 5000), np.resize(sound, 5000))
    again = pickle.loads(pickle.dumps(vocoder))
    np.testing.assert_array_equal(again(mel, rng), sound)
    stated = vocoder.parameters()
    assert len(stated["checkpoint_sha256"]) == 64
    json.dumps(stated)


def test_long_mels_are_made_in_chunks(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    vocoder = PublishedVocoder(DEFAULT, files["vocos"])
    mel = mel_spectrogram(speechlike(16_000, 1.5), DEFAULT)
    whole = vocoder(mel)
    monkeypatch.setattr("facetron.vocoders.published.CHUNK_FRAMES", 40)
    np.testing.assert_allclose(vocoder(mel), whole, atol=1e-5)


def test_config_json_beside_the_weights_decides(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "bigvgan_generator.pt"
    path.write_bytes(files["bigvgan"].read_bytes())
    stated = {"sampling_rate": 24_000, "n_fft": 1024, "hop_size": 256, "fmin": 0, "fmax": None}
    (tmp_path / "config.json").write_text(json.dumps(stated))
    vocoder = PublishedVocoder(DEFAULT, path)
    assert vocoder.sample_rate_hz == 24_000
    assert vocoder._loaded.mel.fmax_hz == 12_000
    other = tmp_path / "other" / "bigvgan_generator.pt"
    other.parent.mkdir()
    other.write_bytes(path.read_bytes())
    (other.parent / "config.json").write_text(json.dumps(stated | {"hop_size": 512}))
    with pytest.raises(BadInput, match="makes 256 samples a frame, and config"):
        PublishedVocoder(DEFAULT, other)


def test_a_model_speaks_by_it(files: dict[str, Path]) -> None:
    model = load_synthesizer(files["ours"], vocoder_checkpoint=files["vocos"], device="cpu")
    assert model.sample_rate_hz == 24_000
    lips = np.random.default_rng(0).integers(0, 255, (9, 32, 32, 3), np.uint8)
    face = model.face_embeddings(np.zeros((1, 32, 32, 3), np.uint8))[0]
    spoken = model.speak(lips, face)
    assert spoken.wave.shape == (round(9 / 25 * 24_000),)
    with pytest.raises(BadInput, match="exclude each other"):
        load_synthesizer(files["ours"], "griffin-lim", vocoder_checkpoint=files["vocos"])
    with pytest.raises(BadInput, match="holds mellotron, which is no vocoder"):
        load_synthesizer(files["ours"], vocoder_checkpoint=files["mellotron"])
    with pytest.raises(BadInput, match="the vocoder published needs weights"):
        create("published", DEFAULT)


def test_resynth_speaks_with_it(files: dict[str, Path], tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=2)
    header, rows = read_manifest(build)
    write_jsonl(
        build / "manifest.jsonl",
        "manifest",
        rows,
        split=header["split"],
        held_out_speakers=header["held_out_speakers"],
        specs={"mel": DEFAULT.to_dict()},
    )
    arguments = ["--manifest", build, "--subset", "all", "--limit", 1, "--jobs", 1]
    arguments += ["--vocoder", "published", "--checkpoint", files["vocos"], "--out", tmp_path / "r"]
    done = CliRunner().invoke(resynth, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    run = read_run(tmp_path / "r")
    assert run[0].sample_rate_hz == 24_000
    sound, rate_hz = soundfile.read(tmp_path / "r" / run[1][0].wav)
    assert (len(sound), rate_hz) == (72_000, 24_000)
