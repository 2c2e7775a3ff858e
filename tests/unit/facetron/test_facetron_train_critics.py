"""Critics of Wasserstein's distance, critics with a condition, and their own learning rate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from facetron_build import make_build
from torch import Tensor, nn

from facetron.baselines.gan import DEBUG, GanStage
from facetron.model.discriminators import Judgment
from facetron.train.config import TrainConfig, train_config
from facetron.train.critics import CONDITION, ConditionalCritics, gradient_penalty
from facetron.train.dataset import open_training_set
from facetron.train.loop import Trainer
from facetron.train.run import create, launched
from manifests.errors import BadInput
from manifests.mel import PRESETS


class Slope(nn.Module):
    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, wave: Tensor) -> Tensor:
        return self.slope * wave[:, 0, 0]


def test_the_penalty_of_a_slope_of_1_is_0() -> None:
    real, made = torch.randn(3, 1, 50), torch.randn(3, 1, 50)
    assert float(gradient_penalty(Slope(1.0), real, made)) == pytest.approx(0)
    assert float(gradient_penalty(Slope(3.0), real, made)) == pytest.approx(4)


class Matching(nn.Module):
    """Scores a sample by its distance from its condition."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.0))
        self.offset = nn.Parameter(torch.tensor(0.0))

    def forward(self, samples: Tensor, condition: Tensor) -> list[Judgment]:
        near = -(samples - condition).square().mean(1)
        return [Judgment(self.offset + self.scale * near, [near])]


def test_a_conditional_critic_learns_which_condition_a_sample_has() -> None:
    torch.manual_seed(0)
    condition = 3 * torch.randn(8, 4)
    real, made = condition.clone(), condition.clone()
    told = []
    for mismatched in (0.0, 1.0):
        critics = ConditionalCritics(
            {"still": Matching()}, PRESETS["facetron"], mismatched=mismatched
        )
        optimizer = torch.optim.Adam(critics.parameters(), 0.05)
        for _ in range(60):
            optimizer.zero_grad()
            critics({"still": (real, made), CONDITION: (condition, condition)}).backward()
            optimizer.step()
        right = critics.critics["still"](real, condition)[0].score.mean()
        wrong = critics.critics["still"](real.roll(1, 0), condition)[0].score.mean()
        told.append(float((right - wrong).detach()))
    # Made ones are as the real ones here: only the wrong condition has anything to tell.
    assert told[0] == 0
    assert told[1] > 0.3


def test_a_conditional_critic_leaves_the_generator_alone() -> None:
    source = torch.randn(4, 4, requires_grad=True)
    condition, made = 2 * source, 3 * source
    critics = ConditionalCritics({"still": Matching()}, PRESETS["facetron"])
    pairs = {"still": (torch.randn(4, 4), made), CONDITION: (condition, condition)}
    critics(pairs).backward()
    assert source.grad is None
    adversarial, features = critics.against("still", pairs)
    (adversarial + features).backward()
    assert source.grad is not None


def test_critics_may_have_a_rate_of_their_own(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=2)
    for asked, wanted in ((0.0, 0.5), (0.25, 0.125)):
        training = TrainConfig(
            epochs=1, batch_size=2, learning_rate=1.0, critic_learning_rate=asked, warmup_steps=2,
            loggers=("csv",), device="cpu",
        )  # fmt: skip
        stage = create("waves", DEBUG, training, "gan")
        assert isinstance(stage, GanStage)
        data = open_training_set(build, DEBUG.mel_spec)
        trainer = Trainer(stage, data, tmp_path / "out", launched(training), lambda line: None)
        trainer._set_rate()
        rates = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
        assert rates == [0.5, wanted]
    with pytest.raises(BadInput, match="critic_learning_rate is -1"):
        train_config("waves", "debug", sets=("train.critic_learning_rate=-1",), system="gan")
