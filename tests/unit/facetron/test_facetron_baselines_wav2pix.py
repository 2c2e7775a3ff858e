"""Wav2Pix: shapes, what its critic is told, and that it learns whose face a voice has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from facetron_build import make_build

from facetron import systems
from facetron.baselines.faces import FACES, FaceGenerator, WaveEncoder, mean_features, others
from facetron.baselines.wav2pix import (
    CONDITION,
    DEBUG,
    PAPER,
    REAL,
    SMALL,
    WRONG,
    FaceCritics,
    PaintingStage,
    Wav2Pix,
    Wav2PixPainter,
    defaults,
    departures,
    speech_encoder,
)
from facetron.checkpoints import checkpoint
from facetron.checkpoints.export import export
from facetron.inventory import inventory
from facetron.model.config import FaceConfig
from facetron.model.discriminators import Judgment
from facetron.train.run import train
from manifests.errors import BadInput, SpecMismatch
from manifests.manifest import Manifest

SETS = ("train.batch_size=4", "train.loggers=csv", "train.workers=0", "train.show_every=0")


def stage() -> PaintingStage:
    torch.manual_seed(0)
    return PaintingStage(DEBUG, defaults("painting", DEBUG))


def batch(speakers: list[str]) -> dict[str, object]:
    n = len(speakers)
    return {
        "wave": torch.randn(n, 1, DEBUG.heard_samples),
        "face": torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8),
        "speakers": speakers,
        "clips": [f"{name}/{i}" for i, name in enumerate(speakers)],
    }


def test_the_paper_size_has_the_published_shapes() -> None:
    rows = {row.name: row for row in inventory(systems.get("wav2pix").modules(PAPER))}
    assert rows["speech encoder"].entry.shapes == [(1, 16_000)]
    assert rows["speech encoder"].output_shapes == ((128,),)
    assert rows["generator"].output_shapes == ((3, 128, 128),)
    assert rows["critic"].output_shapes[0] == (1,)
    small = {row.name: row for row in inventory(systems.get("wav2pix").modules(SMALL))}
    millions = [
        round(small[name].parameters / 1e6, 2) for name in ("speech encoder", "generator", "critic")
    ]
    assert millions == [0.98, 0.47, 0.33]


def test_four_seconds_make_the_published_width() -> None:
    with torch.device("meta"):
        whole = WaveEncoder(PAPER.speech, PAPER.hidden, 128, 64_000, 0.95)
    first = whole.full[0]
    assert isinstance(first, torch.nn.Linear)
    assert first.in_features == 4096


def test_the_level_of_the_speech_does_not_matter() -> None:
    encoder = speech_encoder(DEBUG).eval()
    wave = torch.randn(2, 1, 16_000)
    torch.testing.assert_close(encoder(wave), encoder(0.01 * wave), atol=1e-5, rtol=1e-4)
    assert torch.isfinite(encoder(torch.zeros(1, 1, 16_000))).all()


def test_no_dropout_before_the_last_layer() -> None:
    layers = [type(layer).__name__ for layer in FaceGenerator(8, (6, 5, 4), 0.5).body]
    assert [i for i, name in enumerate(layers) if name == "Dropout"] == [1, 4]
    assert layers[-4:] == [
        "ParametrizedConvTranspose2d",
        "ReLU",
        "ParametrizedConvTranspose2d",
        "Tanh",
    ]


def test_wrong_faces_are_of_other_speakers() -> None:
    assert others(["a", "b", "a", "a"]) == [1, 2, 1, 1]
    assert others(["a", "a"]) is None
    made = stage()
    told = batch(["s3", "s5", "s3"])
    pairs = made.pairs(made.generator(told), told)
    real = pairs[FACES][0]
    torch.testing.assert_close(pairs[WRONG][0], real[[1, 2, 1]])
    assert WRONG not in made.pairs(made.generator(told), batch(["s3", "s3", "s3"]))


def test_the_critic_is_told_three_kinds_apart() -> None:
    """By hand: real 0.9, made 0, another's face 0."""

    class Says(torch.nn.Module):
        def forward(self, pictures: torch.Tensor, code: torch.Tensor) -> list[Judgment]:
            return [Judgment(pictures.mean((1, 2, 3))[:, None], [pictures])]

    critics = FaceCritics({FACES: Says()}, DEBUG.mel_spec)

    def flat(level: float) -> torch.Tensor:
        return torch.full((2, 3, 4, 4), level)

    code = torch.zeros(2, 6)
    pairs = {FACES: (flat(0.5), flat(0.2)), CONDITION: (code, code)}
    expected = (0.5 - REAL) ** 2 + 0.2**2
    assert float(critics(pairs)) == pytest.approx(expected)
    pairs[WRONG] = (flat(0.3), flat(0.3))
    assert float(critics(pairs)) == pytest.approx(expected + 0.3**2)
    adversarial, features = critics.against(FACES, pairs)
    assert float(adversarial) == pytest.approx(0.8**2)
    assert float(features) == pytest.approx(0.3**2)


def test_feature_matching_compares_means_over_the_batch() -> None:
    maps = torch.randn(4, 3, 2, 2)
    real, made = Judgment(maps[:, :1, 0, 0], [maps]), Judgment(maps[:, :1, 0, 0], [maps.flip(0)])
    assert float(mean_features(real, made)) == pytest.approx(0, abs=1e-12)


def test_losses_are_weighted_as_told_and_reach_every_part() -> None:
    made = stage()
    made.survey(FakeClips(["s3", "s5"]))  # type: ignore[arg-type]
    told = batch(["s3", "s5", "s3", "s9"])
    drawn = made.generator(told)
    found = made.losses(drawn, told, made.pairs(drawn, told))
    whole = (
        found["adversarial"]
        + 100 * found["features"]
        + 50 * found["absolute"]
        + 20 * found["identity"]
    )
    torch.testing.assert_close(found["loss"], whole)
    found["loss"].backward()
    for name in ("speech", "generator", "classifier"):
        assert all(p.grad is not None for p in made.parts[name].parameters()), name


class FakeClips(list):  # type: ignore[type-arg]
    def __init__(self, names: list[str]) -> None:
        super().__init__(type("Row", (), {"speaker": name})() for name in names)


def test_more_speakers_than_classes_are_refused() -> None:
    clips = FakeClips([f"s{i}" for i in range(5)])
    with pytest.raises(BadInput, match="5 speakers to train on, and a classifier of 4"):
        stage().survey(clips)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"face": FaceConfig(kind="residual", input_px=32)},
        {"critic": (4, 6, 8)},
        {"absolute": -1.0},
        {"heard_s": 4.0},
        {"dropout": 1.0},
    ],
)
def test_options_that_do_not_fit_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        replace(DEBUG, **change)  # type: ignore[arg-type]


def test_where_it_departs_is_said() -> None:
    told = "\n".join(departures(PAPER))
    assert "real number" in told
    assert "--dropout" in told


def test_it_learns_whose_face_a_voice_has(tmp_path: Path) -> None:
    """Of two speakers, one red with a low hum and one blue with a high one."""
    build = make_build(tmp_path / "build", clips=5)
    sets = (*SETS, "train.epochs=25", "train.learning_rate=1e-2", "train.critic_learning_rate=1e-3",
            "train.betas=[0.9, 0.99]", "generator=[16, 8]", "dropout=0.0", "identity=1.0")  # fmt: skip
    best = train("painting", build, tmp_path / "out", "debug", sets=sets, system="wav2pix")
    history = checkpoint.read_info(tmp_path / "out" / "last.safetensors").history
    assert min(line["val_absolute"] for line in history) < 0.26 < history[0]["val_absolute"]
    export([best], tmp_path / "model.safetensors", half=True)
    painter = Wav2PixPainter.load(tmp_path / "model.safetensors", "cpu")
    bluer = {}
    for row in Manifest(build).where(subset="val"):
        (picture,) = painter.draw(row.audio()[0])
        assert picture.shape == (16, 16, 3)
        seen = picture[4:-4, 4:-4].mean((0, 1))
        bluer[row.speaker] = seen[2] - seen[0]
    assert bluer["s5"] > bluer["s3"] + 40
    rows = list(Manifest(build))
    with pytest.raises(SpecMismatch, match=r"sound of 22050 Hz, and .* hears 16000 Hz"):
        painter.require([replace(rows[0], sample_rate_hz=22_050)], build)
    for bad in (np.zeros(48_000), np.full(48_000, np.nan), np.zeros(0)):
        with pytest.raises(BadInput, match="silent or no finite numbers"):
            painter.draw(bad.astype(np.float32))
    assert painter.draw(np.ones(100, np.float32))[0].shape == (16, 16, 3)  # padded


def test_dropout_is_noise_that_a_seed_decides(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Wav2Pix(DEBUG)
    assert model.draw(torch.randn(2, 1, 16_000)).shape == (2, 3, 16, 16)
    build = make_build(tmp_path / "build", clips=3)
    best = train(
        "painting",
        build,
        tmp_path / "out",
        "debug",
        sets=(*SETS, "train.epochs=1"),
        system="wav2pix",
    )
    wave = next(iter(Manifest(build))).audio()[0]
    drawn = {
        (seed, on): Wav2PixPainter.load(best, "cpu", seed, on).draw(wave)[0].tobytes()
        for seed in (0, 1)
        for on in (False, True)
    }
    assert drawn[0, False] == drawn[1, False]
    assert len({drawn[0, False], drawn[0, True], drawn[1, True]}) == 3
    again = Wav2PixPainter.load(best, "cpu", 1, True)
    assert again.draw(wave)[0].tobytes() == again.draw(wave)[0].tobytes() == drawn[1, True]
