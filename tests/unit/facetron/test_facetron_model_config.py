"""Configs: sizes, YAML, `--set`, and what is refused."""

import json
from pathlib import Path

import pytest
import yaml

from facetron import options
from facetron.model.config import DecoderConfig, ModelConfig, VocoderConfig
from facetron.model.sizes import PAPER, SIZES, SMALL, VOCODERS, model_config
from manifests.errors import BadInput
from manifests.mel import PRESETS


def test_paper_is_the_papers() -> None:
    assert PAPER.lip.input_px == 144
    assert (PAPER.lip.channels[-1], PAPER.lip.bottleneck, PAPER.lip.residual_scale) == (96, 32, 0.2)
    assert PAPER.lip.gru_layers == 2
    assert PAPER.decoder.rates == (1, 1, 2)
    assert PAPER.decoder.kernels == (16, 16, 4)
    assert PAPER.decoder.channels[0] == 640 == PAPER.condition_size
    assert PAPER.mel_discriminator.periods == (2, 3, 5)
    assert PAPER.mel_discriminator.scale_channels == (80, 160, 240, 480, 960, 960)
    assert not PAPER.mel_discriminator.perceptual
    assert PAPER.mel_spec == PRESETS["facetron"]
    assert PAPER.loss.cs_direction == "one_minus_cosine"
    assert (PAPER.loss.mel, PAPER.loss.features) == (45.0, 2.0)
    assert PAPER.i2i == "candidate"


@pytest.mark.parametrize("size", SIZES)
def test_config_survives_json_and_yaml(size: str) -> None:
    config = SIZES[size]
    assert config.size == size
    assert options.from_dict(ModelConfig, json.loads(json.dumps(options.to_dict(config)))) == config
    assert options.from_dict(ModelConfig, yaml.safe_load(options.to_yaml(config))) == config


def test_sizes_are_chosen_by_flag_then_file_then_paper(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("size: small\nlip: {input_px: 64}\nvocoder: v2\n")
    assert model_config() == PAPER
    assert model_config("small") == SMALL
    from_file = model_config(file=file)
    assert from_file.size == "small"
    assert from_file.lip.input_px == 64
    assert from_file.lip.channels == SMALL.lip.channels
    assert from_file.vocoder == VOCODERS["v2"]
    assert model_config("debug", file).lip.gru_hidden == SIZES["debug"].lip.gru_hidden
    assert model_config("debug", file).lip.input_px == 64


def test_set_wins_over_file_and_the_later_over_the_earlier(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("vocoder: {size: v2, channels: 64}\ni2i: mean\n")
    assert model_config(file=file).vocoder.channels == 64
    assert model_config(file=file, sets=["vocoder.channels=32"]).vocoder.channels == 32
    assert model_config(file=file, sets=["vocoder.channels=32"]).vocoder.rates == (8, 5, 4, 2)
    assert model_config(file=file, sets=["vocoder=v3"]).vocoder == VOCODERS["v3"]
    mixed = model_config(sets=["lip=small", "lip.input_px=64", "lip.input_px=72", "i2i=literal"])
    assert mixed.lip.input_px == 72
    assert mixed.lip.gru_hidden == 128
    assert mixed.i2i == "literal"
    again = model_config(sets=["vocoder.channels=32", "vocoder=v3"])
    assert again.vocoder == VOCODERS["v3"]


@pytest.mark.parametrize(
    "text",
    [
        "loss.cs_direction=literal",
        "i2i=random",
        "lip.bottleneck=0",
        "lip.embedding=gru",
        "lip.frozen=false",
        "decoder.resblock=2",
        "mel_discriminator.scale_strides=[1, 2, 2, 4, 4, 1]",
        "mel_discriminator.periods=2,3,5,7",
        "mel_discriminator.period_strided=4",
        "mel_discriminator.perceptual=true",
        "decoder.output=tanh",
        "face.kind=residual",
        "face.dropout=0",
        "prosody.kind=gst",
        "vocoder.discriminator.scales=2",
        "loss.mel=1e1",
    ],
)
def test_every_choice_is_an_option(text: str) -> None:
    changed = model_config(sets=[text])
    assert changed != PAPER
    assert options.from_dict(ModelConfig, options.to_dict(changed)) == changed


def test_values_are_read_as_their_types() -> None:
    config = model_config(
        sets=[
            "loss.mel=45e-1",
            "loss.cs=2",
            "decoder.resblock_kernels=[3, 5]",
            "decoder.resblock_dilations=[[1, 2], [2]]",
            "vocoder.discriminator.periods=2",
        ]
    )
    assert config.loss.mel == 4.5
    assert type(config.loss.cs) is float
    assert config.decoder.mrf == ((3, (1, 2)), (5, (2,)))
    assert config.vocoder.discriminator.periods == (2,)
    assert DecoderConfig().mrf[2] == (11, (1, 3, 5))
    assert DecoderConfig(resblock=2).mrf[2] == (7, (3, 12))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lips.input_px=3", "mel_discriminator"),
        ("lip.side=3", "lip.input_px"),
        ("vocoder.discriminator.side=3", "vocoder.discriminator.scales"),
        ("lip.input_px=large", "a whole number"),
        ("lip.input_px=1.5", "a whole number"),
        ("lip.input_px=true", "a whole number"),
        ("lip.frozen=1", "true or false"),
        ("lip.embedding=fc2", "fc1, gru"),
        ("lip.input_channels=2", "1, 3"),
        ("lip.channels=[a]", "a whole number"),
        ("decoder.rates=", "a list"),
        ("loss.mel=much", "a number"),
        ("lip=huge", "paper, small, debug"),
        ("vocoder=v4", "v3-22k"),
        ("loss=paper", "set loss.KEY=VALUE"),
        ("lip=3", "set lip.KEY=VALUE"),
        ("size=huge", "paper, small, debug"),
        ("lip.input_px", "--set key=value"),
        ("=3", "--set key=value"),
        ("lip.channels=[1", "YAML value"),
        ("mel=huge", "hifigan-22k"),
    ],
)
def test_what_is_wrong_is_named_with_the_choices(text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        model_config(sets=[text])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sets",
    [
        ["face.embedding_size=64"],
        ["decoder.rates=[1, 2, 2]"],
        ["decoder.kernels=[16, 16, 1]"],
        ["decoder.kernels=[16, 16]"],
        ["decoder.channels=[640, 320]"],
        ["decoder.resblock_kernels=[3]"],
        ["decoder.resblock_kernels=[4]", "decoder.resblock_dilations=[[1]]"],
        ["vocoder.rates=[8, 8, 2, 2]", "vocoder.kernels=[16, 16, 4, 4]"],
        ["vocoder.channels=16"],
        ["mel=lip2wav"],
        ["lip.channels=[1, 2]"],
        ["lip.input_px=8"],
        ["lip.gru_layers=0"],
        ["face.input_px=64"],
        ["prosody.heads=7"],
        ["mel_discriminator.scale_strides=[1]"],
        ["mel_discriminator.scale_groups=[1, 4, 16, 16, 7, 1]"],
        ["mel_discriminator.periods=[]"],
    ],
)
def test_values_that_do_not_fit_together_are_refused(sets: list[str]) -> None:
    with pytest.raises(BadInput):
        model_config(sets=sets)


def test_values_that_only_fit_together_are_taken_together() -> None:
    both = model_config(sets=["face.embedding_size=64", "prosody.embedding_size=64"])
    assert both.condition_size == 576
    finer = model_config(sets=["mel=vca-gan", "decoder.rates=[1, 2, 2]"])
    assert finer.mel_spec.frame_rate_hz == 25 * finer.decoder.upsampling


def test_vocoders_upsample_by_the_hop() -> None:
    assert {name: config.mel_spec.hop_samples for name, config in VOCODERS.items()} == {
        **dict.fromkeys(["v1", "v2", "v3", "v1-from-22k"], 320),
        **dict.fromkeys(["v1-22k", "v2-22k", "v3-22k"], 256),
    }
    with pytest.raises(BadInput, match="multiply to 320"):
        VocoderConfig(mel="hifigan-22k")


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"absent\.yaml"):
        model_config(file=tmp_path / "absent.yaml")
    file = tmp_path / "bad.yaml"
    for content in (b"lip:\n  input_px: [1", b"- 1", b"\xff\xfe\xff"):
        file.write_bytes(content)
        with pytest.raises(BadInput, match=r"bad\.yaml"):
            model_config(file=file)
    file.write_text("")
    assert model_config(file=file) == PAPER
    file.write_text("lip: {1: 2}")
    with pytest.raises(BadInput, match=r"no option lip\.1"):
        model_config(file=file)


def test_unknown_fields_of_stored_configs_are_refused() -> None:
    values = options.to_dict(PAPER)
    values["lip"]["unknown"] = 1
    with pytest.raises(BadInput, match=r"lip\.unknown"):
        options.from_dict(ModelConfig, values)
