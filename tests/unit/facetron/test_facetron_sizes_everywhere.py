"""Every size × everything that builds a model: commands, modules, stages, on the CPU and on `meta`."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

from facetron.cli import cli
from facetron.inventory import measured
from facetron.model.facetron import FaceToSpeech
from facetron.model.lip import LipEncoder
from facetron.model.prosody import ProsodyEncoder
from facetron.model.sizes import SIZES, VOCODERS
from facetron.model.system import FACETRON
from facetron.model.vocoder import Vocoder
from facetron.train.config import train_config
from facetron.train.mel_score import mel_estoi
from facetron.train.run import create
from manifests.mel import PRESETS, mel_spectrogram
from manifests.precision import full_precision

torch.set_num_threads(1)


def info(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["info", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.mark.parametrize("size", SIZES)
def test_info_counts_every_size(size: str) -> None:
    output = info("--size", size)
    assert f"Facetron, {size}: 3 s of silent video → 150 mel frames → 48000 samples" in output
    assert "total for synthesis" in output


@pytest.mark.parametrize("vocoder", VOCODERS)
def test_every_vocoder_is_counted(vocoder: str) -> None:
    config = VOCODERS[vocoder]
    _, shapes, gflop = measured(lambda: Vocoder(config), [(config.mel_spec.n_mels, 10)])
    assert shapes == ((1, 10 * config.mel_spec.hop_samples),)
    assert gflop > 0


@pytest.mark.parametrize("size", SIZES)
def test_the_whole_model_has_shapes_without_memory(size: str) -> None:
    config = SIZES[size]
    lip, face = config.lip, config.face
    with torch.device("meta"):
        model = FaceToSpeech(config).eval()
        lips = torch.empty(2, lip.input_channels, 75, lip.input_px, lip.input_px)
        made = model(lips, torch.empty(2, 3, face.input_px, face.input_px))
    assert made.mel.shape == (2, config.mel_spec.n_mels, 150)
    assert made.wave.shape == (2, 1, 150 * config.mel_spec.hop_samples)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stage", FACETRON.stages)
def test_every_stage_of_every_size_is_built_on_meta(size: str, stage: str) -> None:
    model, training = train_config(stage, size)
    with torch.device("meta"):
        made = create(stage, model, training)
    assert sum(p.numel() for p in made.generator.parameters()) > 0
    assert set(made.needs) <= set(made.parts)


@pytest.mark.parametrize("mel", PRESETS)
def test_mels_and_their_scores_have_shapes_on_meta(mel: str) -> None:
    spec = PRESETS[mel]
    samples = 3 * spec.sample_rate_hz
    wave = torch.empty(2, samples, device="meta")
    if spec.highpass_hz:
        pytest.skip(f"{mel} is filtered by SciPy, which needs numbers")
    made = mel_spectrogram(wave, spec)
    assert made.shape == mel_spectrogram(torch.zeros(2, samples), spec).shape
    assert mel_estoi(made, made, spec).shape == (2,)


@pytest.mark.parametrize("size", SIZES)
def test_shapes_on_meta_are_those_of_the_vocoder_itself(size: str) -> None:
    config = SIZES[size].vocoder
    shapes = []
    for device in ("cpu", "meta"):
        with torch.device(device):
            vocoder = Vocoder(config).eval()
            with torch.no_grad():
                shapes.append(vocoder(torch.zeros(1, config.mel_spec.n_mels, 20)).shape)
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_full_precision_ends_autocast_where_there_is_any(device: str) -> None:
    layer = torch.nn.Linear(3, 3, device=device)
    with torch.autocast("cpu", torch.bfloat16), full_precision(torch.device(device)):
        assert layer(torch.zeros(1, 3, device=device)).dtype == torch.float32


@pytest.mark.parametrize("size", ["small", "debug"])
def test_recurrences_are_computed_in_single_precision(size: str) -> None:
    """cuDNN would cast them to half whatever the autocast; the same holds on every device."""
    config = SIZES[size]
    lip = LipEncoder(config.lip).eval()
    prosody = ProsodyEncoder(config.prosody, config.mel_spec.n_mels).eval()
    seen: list[torch.dtype] = []
    for gru in (lip.gru, prosody.encoder.gru):
        gru.register_forward_hook(lambda module, given, made: seen.append(made[1].dtype))
    side, channels = config.lip.input_px, config.lip.input_channels
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        lip(torch.zeros(2, channels, 10, side, side))
        lip(torch.zeros(2, channels, 10, side, side), torch.tensor([10, 4]))
        prosody(torch.zeros(1, config.mel_spec.n_mels, 80))
    assert len(seen) == 3
    assert set(seen) == {torch.float32}
