"""Choi et al.: which voice and face are one person's, and faces from what was heard."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from facetron_build import make_build
from torch.nn import functional

from facetron.baselines.choi import (
    CONDITION,
    DEBUG,
    OTHER,
    PAPER,
    SMALL,
    ChoiPainter,
    Drawing,
    GenerationStage,
    Matcher,
    ProjectionCritic,
    RelativisticCritics,
    defaults,
    departures,
    generator,
    heard,
    k_way,
    matching_loss,
    speech_encoder,
)
from facetron.baselines.choi import told as told_voice
from facetron.baselines.faces import FACES, WaveEncoder
from facetron.checkpoints import checkpoint
from facetron.checkpoints.export import export
from facetron.model.prosody import ProsodyEncoder
from facetron.train.run import train
from manifests.errors import BadInput
from manifests.manifest import Manifest

SETS = ("train.batch_size=4", "train.loggers=csv", "train.workers=0", "train.show_every=0")


def test_what_it_hears_is_an_option() -> None:
    assert isinstance(speech_encoder(DEBUG), ProsodyEncoder)
    with torch.device("meta"):
        assert isinstance(speech_encoder(PAPER), WaveEncoder)
    batch = {"wave": torch.zeros(1), "wave_mel": torch.ones(1)}
    assert heard(DEBUG, batch) is batch["wave_mel"]
    assert heard(PAPER, batch) is batch["wave"]
    made = Matcher(replace(DEBUG, hears="wave")).eval()
    unit = made.voice(torch.randn(2, 1, DEBUG.heard_samples))
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(2))


def test_the_matching_loss_leaves_out_other_clips_of_the_speaker() -> None:
    torch.manual_seed(0)
    voice = functional.normalize(torch.randn(3, 4), dim=1)
    face = functional.normalize(torch.randn(3, 4), dim=1)
    speakers = ["a", "b", "a"]
    logits = (5 * voice @ face.T).tolist()
    allowed = {0: (0, 1), 1: (0, 1, 2), 2: (1, 2)}
    losses = []
    for i, among in allowed.items():
        across = math.log(sum(math.exp(logits[i][j]) for j in among)) - logits[i][i]
        down = math.log(sum(math.exp(logits[j][i]) for j in among)) - logits[i][i]
        losses += [across, down]
    found = matching_loss(voice, face, torch.tensor(5.0), speakers)
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)


def test_k_way_counts_all_choices() -> None:
    rng = np.random.default_rng(0)
    likeness = rng.normal(size=(6, 6))
    speakers = ["a", "a", "b", "c", "c", "d"]
    for k in (2, 3):
        shares = []
        for i, name in enumerate(speakers):
            others = [j for j, other in enumerate(speakers) if other != name]
            right = [
                all(likeness[i, j] < likeness[i, i] for j in chosen)
                for chosen in combinations(others, k - 1)
            ]
            shares.append(np.mean(right))
        assert k_way(torch.from_numpy(likeness), speakers, k) == pytest.approx(np.mean(shares))
    assert k_way(torch.from_numpy(likeness), speakers, 6) is None
    assert k_way(torch.zeros(4, 4), ["a", "b", "c", "d"], 2) == 0.5


def critics(**options: object) -> RelativisticCritics:
    config = replace(DEBUG, **options)  # type: ignore[arg-type]
    torch.manual_seed(0)
    return RelativisticCritics(ProjectionCritic(config), config)


def told() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(1)
    voice, other = torch.randn(3, 8), torch.randn(3, 8)
    return {
        FACES: (torch.randn(3, 3, 16, 16), torch.randn(3, 3, 16, 16)),
        CONDITION: (voice, voice),
        OTHER: (other, other),
    }


def test_the_critic_compares_relative_to_each_other() -> None:
    pairs, made = told(), critics(penalty=0.0)
    critic, voice = made.critics[FACES], pairs[CONDITION][0]

    def score(pictures: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = critic(pictures, beside)[0].score
        return found

    real, fake = pairs[FACES]
    own, drawn, others = (
        score(real, voice),
        score(fake, voice),
        score(real, pairs[OTHER][0]),
    )
    expected = functional.softplus(drawn - own).mean() + functional.softplus(others - own).mean()
    torch.testing.assert_close(made(pairs), expected)
    side = made.fool(pairs)
    torch.testing.assert_close(side["adversarial"], functional.softplus(own - drawn).mean())
    del pairs[OTHER]
    torch.testing.assert_close(made(pairs), functional.softplus(drawn - own).mean())
    assert "made_identity" not in made.fool(pairs)


def test_r1_is_the_slope_at_real_faces() -> None:
    pairs = told()
    plain, punished = critics(penalty=0.0)(pairs), critics(penalty=3.0)(pairs)
    made = critics()
    real = pairs[FACES][0].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(
        made.critics[FACES](real, pairs[CONDITION][0])[0].score.sum(), real
    )
    expected = 1.5 * slope.square().flatten(1).sum(dim=1).mean()
    torch.testing.assert_close(punished - plain, expected)
    assert punished.requires_grad
    assert critics(penalty=3.0).eval()(pairs).item() == pytest.approx(plain.item())


def test_the_projection_is_that_of_features_and_speech() -> None:
    critic = ProjectionCritic(DEBUG).eval()
    picture, voice = torch.randn(2, 3, 16, 16), torch.randn(2, 8)
    seen = critic.trunk(picture)[-1].mean((2, 3))
    expected = critic.psi(seen)[:, 0] + (critic.project(voice) * seen).sum(1)
    torch.testing.assert_close(critic(picture, voice)[0].score[:, 0], expected)


def test_noise_is_drawn_in_training_only_and_what_hears_is_frozen() -> None:
    torch.manual_seed(0)
    model = Drawing(DEBUG)
    batch = {"wave_mel": torch.randn(2, 80, 120), "face": torch.zeros(2, 3, 32, 32)}
    model.train()
    assert not model.matcher.training
    assert not any(p.requires_grad for p in model.matcher.parameters())
    assert not torch.equal(model(batch)["picture"], model(batch)["picture"])
    model.eval()
    torch.testing.assert_close(model(batch)["picture"], model(batch)["picture"])


def test_what_is_heard_is_blurred_in_training_only() -> None:
    batch = {"wave_mel": torch.randn(64, 80, 120), "face": torch.zeros(64, 3, 32, 32)}
    torch.manual_seed(0)
    for blur in (0.0, 0.5):
        model = Drawing(replace(DEBUG, blur=blur))
        clear = model.eval()(batch)["voice"]
        blurred = model.train()(batch)["voice"]
        torch.testing.assert_close(blurred.norm(dim=1), torch.ones(64))
        # A noise of length b at a right angle turns c by atan b.
        turned = (clear * blurred).sum(dim=1).mean()
        assert float(turned) == pytest.approx(math.cos(math.atan(blur)), abs=0.02)


def test_voices_are_told_at_the_size_of_the_noise() -> None:
    voice = functional.normalize(torch.randn(5, 128), dim=1)
    torch.testing.assert_close(told_voice(voice).square().mean(dim=1), torch.ones(5))


@pytest.mark.parametrize("normed", ["batch", "spectral"])
def test_the_generator_has_one_norm_or_the_other(normed: Literal["batch", "spectral"]) -> None:
    made = generator(replace(DEBUG, normed=normed))
    names = {type(module).__name__ for module in made.body}
    assert ("BatchNorm2d" in names) is (normed == "batch")
    assert any("original" in name for name, _ in made.named_parameters()) is (normed == "spectral")
    picture = made(torch.randn(4, DEBUG.voice_size + DEBUG.noise))
    assert picture.shape == (4, 3, 16, 16)
    assert float(picture.detach().abs().max()) < 1


@pytest.mark.parametrize(
    "change",
    [
        {"critic": (4, 6, 8)},
        {"face": replace(DEBUG.face, embedding_size=9)},
        {"noise": 0},
        {"penalty": -1.0},
        {"blur": -0.1},
        {"heard_s": 3.5},
    ],
)
def test_options_that_do_not_fit_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        replace(DEBUG, **change)  # type: ignore[arg-type]


def test_the_choices_of_each_size_are_said() -> None:
    assert "R1" not in "".join(departures(PAPER))
    small = "".join(departures(SMALL))
    for word in ("hears=mel", "batch norm", "blur", "made_identity", "features"):
        assert word in small
    spectral = "".join(departures(replace(SMALL, stability="spectral", normed="spectral")))
    assert "stability=spectral" in spectral
    assert "with spectral norm" in spectral


def test_matching_is_learned_and_handed_on(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=4)
    sets = (*SETS, "train.epochs=12", "train.learning_rate=1e-2")
    matching = train("matching", build, tmp_path / "m", "debug", sets=sets, system="choi")
    history = checkpoint.read_info(tmp_path / "m" / "last.safetensors").history
    best = min(history, key=lambda line: line["val_loss"])
    assert best["val_loss"] < 0.4  # ln 2 for knowing nothing
    assert best["val_match_2"] == 1.0
    with pytest.raises(BadInput, match="needs a trained speech, face"):
        train("generation", build, tmp_path / "none", "debug", sets=SETS, system="choi")
    sets = (*SETS, "train.epochs=2")
    best = train(
        "generation", build, tmp_path / "g", "debug", sets=sets, sources=[matching], system="choi"
    )
    _, before = checkpoint.load(matching)
    _, after = checkpoint.load(best)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=0, rtol=0)  # frozen
    export([matching, best], tmp_path / "model.safetensors", half=False)
    painter = ChoiPainter.load(tmp_path / "model.safetensors", "cpu")
    rows = list(Manifest(build).where(subset="val"))
    voices = np.stack([painter.embed_voice(row.audio()[0]) for row in rows])
    faces = painter.embed_faces(np.stack([row.faces()[1] for row in rows]))
    assert (voices @ faces.T).argmax(axis=1).tolist() == [0, 1]
    assert painter.variants == ("z0", "z1", "z2", "z3")
    pictures = painter.draw(rows[0].audio()[0])
    assert [picture.shape for picture in pictures] == [(16, 16, 3)] * 4
    assert len({picture.tobytes() for picture in pictures}) == 4
    again = ChoiPainter.load(tmp_path / "model.safetensors", "cpu", seed=1)
    other = again.draw(rows[0].audio()[0])
    assert np.array_equal(other[0], pictures[0])
    assert not np.array_equal(other[1], pictures[1])
    with pytest.raises(BadInput, match="no dropout to leave on"):
        ChoiPainter.load(tmp_path / "model.safetensors", "cpu", dropout=True)


def test_the_generator_is_taught_by_all_losses() -> None:
    config = replace(DEBUG, made_identity=2.0, features=3.0)
    torch.manual_seed(0)
    stage = GenerationStage(config, defaults("generation", config))
    batch = {
        "wave_mel": torch.randn(3, 80, 120),
        "face": torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8),
        "speakers": ["a", "b", "a"],
        "clips": ["a/1", "b/1", "a/2"],
    }
    made = stage.generator(batch)
    found = stage.losses(made, batch, stage.pairs(made, batch))
    whole = found["adversarial"] + 2 * found["made_identity"] + 3 * found["features"]
    torch.testing.assert_close(found["loss"], whole)
    found["loss"].backward()
    assert all(p.grad is not None for p in stage.parts["generator"].parameters())
    assert all(p.grad is None for p in stage.parts["speech"].parameters())
