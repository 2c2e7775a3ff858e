"""Discriminators of mels and of waveforms."""

import dataclasses

import pytest
import torch
from torch import nn

from facetron.model.config import DiscriminatorConfig, MelDiscriminatorConfig
from facetron.model.discriminators import (
    MelDiscriminator,
    MultiPeriodDiscriminator,
    MultiScaleDiscriminator,
    PerceptualDiscriminator,
    PeriodDiscriminator,
    ScaleDiscriminator,
    WaveDiscriminator,
)
from facetron.model.paper import departures
from facetron.model.sizes import DEBUG, PAPER, SMALL, model_config

torch.set_num_threads(1)
MEL, WAVE = DEBUG.mel_discriminator, DEBUG.vocoder.discriminator


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_paper_size() -> None:
    """With HiFi-GAN's strides."""
    printed = model_config(sets=["mel_discriminator=hifigan-strides"]).mel_discriminator
    with torch.device("meta"):
        mpd = MultiPeriodDiscriminator(printed, 80)
        scale = ScaleDiscriminator(printed, 80, spectral=True)
        by_period = mpd(torch.empty(2, 80, 150))
        by_scale = scale(torch.empty(2, 80, 150))
    # 3 × (80·32·5 + 32·128·5 + 128·512·5 + 512·1024·5 + 1024²·5 + 1024·3), gains and biases twice
    assert count(mpd) == 3 * (8_228_352 + 2 * 2_721)
    # 80·80·15 + 160·20·41 + 240·10·41 + 480·15·41 + 960·30·41 + 960²·5 + 960·3 and biases
    assert count(scale) == 6_412_480 + 2_881
    assert [len(j.features) for j in by_period] == [6, 6, 6]
    assert [j.features[-2].shape[2:] for j in by_period] == [(1, 2), (1, 3), (1, 5)]
    assert [f.shape[1] for f in by_scale.features] == [80, 160, 240, 480, 960, 960, 1]
    assert [f.shape[2] for f in by_scale.features] == [150, 75, 38, 10, 3, 3, 3]


def test_gentler_strides_keep_more_frames() -> None:
    with torch.device("meta"):
        judge = MelDiscriminator(PAPER.mel_discriminator, 80)
        scores = [judgment.score.shape[1] for judgment in judge(torch.empty(1, 80, 150))]
    assert scores == [6, 6, 10, 10, 5, 3]  # 3·2, 2·3, 2·5 of the periods; three scales
    assert any("gentler strides" in line for line in departures(PAPER))
    printed = model_config(sets=["mel_discriminator=hifigan-strides"])
    assert not any("gentler strides" in line for line in departures(printed))


@pytest.mark.parametrize("config", [MEL, SMALL.mel_discriminator])
@pytest.mark.parametrize("frames", [24, 25, 150])
def test_mel_judgments(config: MelDiscriminatorConfig, frames: int) -> None:
    torch.manual_seed(0)
    model, mel = MelDiscriminator(config, 80).eval(), torch.randn(2, 80, frames)
    judgments = model(mel)
    assert len(judgments) == len(config.periods) + config.scales
    for judgment in judgments:
        assert judgment.score.shape[0] == 2
        assert bool(torch.isfinite(judgment.score).all())
        assert torch.equal(judgment.features[-1].flatten(1), judgment.score)
    for whole, one in zip(judgments, model(mel[1:]), strict=True):
        torch.testing.assert_close(whole.score[1:], one.score)
    assert model.perceptual is None


@pytest.mark.parametrize(("frames", "period"), [(10, 5), (11, 5), (14, 5), (3, 5), (1, 3), (2, 3)])
def test_any_length_is_padded_to_the_period(frames: int, period: int) -> None:
    model = PeriodDiscriminator(MEL, 3, period)
    x = torch.randn(1, 3, frames)
    first = model(x).features[0]
    assert first.shape[-1] == period
    missing = -frames % period
    mode = "reflect" if missing < frames else "replicate"
    padded = nn.functional.pad(x, (0, missing), mode) if missing else x
    assert torch.equal(model(padded).score, model(x).score)


def test_a_period_discriminator_sees_every_pth_frame() -> None:
    model, x = PeriodDiscriminator(MEL, 2, 3), torch.randn(1, 2, 12)
    changed = x.clone()
    changed[..., 4] += 1  # row 1, column 1
    difference = (model(x).features[0] - model(changed).features[0]).abs().sum(dim=(0, 1, 2))
    assert torch.nonzero(difference).flatten().tolist() == [1]


def test_the_first_scale_is_spectrally_normed_and_the_rest_weight_normed() -> None:
    names = MultiScaleDiscriminator(MEL, 80).state_dict()
    assert "discriminators.0.convs.0.weight_orig" in names
    assert "discriminators.1.convs.0.weight_g" in names
    model = ScaleDiscriminator(MEL, 80, spectral=True)
    for _ in range(50):  # power iterations
        model.train()(torch.randn(1, 80, 20))
    weight = model.eval().convs[0].weight.detach().flatten(1)
    assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1, abs=0.02)


def test_scales_halve() -> None:
    model, mel = MultiScaleDiscriminator(MEL, 80).eval(), torch.randn(1, 80, 40)
    pooled = nn.functional.avg_pool1d(mel, 4, 2, padding=2)
    assert torch.equal(model(mel)[1].score, model.discriminators[1](pooled).score)


def test_wave_judgments_and_gradients() -> None:
    model, wave = WaveDiscriminator(DEBUG.vocoder), torch.randn(2, 1, 641, requires_grad=True)
    judgments = model(wave)
    assert len(judgments) == len(WAVE.periods) + WAVE.scales
    torch.stack([j.score.square().mean() for j in judgments]).sum().backward()
    assert wave.grad is not None
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_default_is_hifigans() -> None:
    config = DiscriminatorConfig()
    assert config.periods == (2, 3, 5, 7, 11)
    assert config.scale_channels == (128, 128, 256, 512, 1024, 1024, 1024)
    assert PAPER.vocoder.discriminator == config


def test_perceptual_head_compares_two_mels() -> None:
    config = dataclasses.replace(MEL, perceptual=True)
    head = MelDiscriminator(config, 80).perceptual
    assert isinstance(head, PerceptualDiscriminator)
    mel, real = torch.randn(3, 80, 50), torch.randn(3, 80, 50)
    score = head.eval()(mel, real)
    assert score.shape == (3,)
    assert bool(((score > 0) & (score < 1)).all())
    assert not torch.equal(score, head(real, mel))
    score.sum().backward()
    assert [name for name, p in head.named_parameters() if p.grad is None] == []
