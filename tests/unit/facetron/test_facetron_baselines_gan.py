"""The GAN-based system: sound in stretches, the critic's penalty, and a segment as the whole has it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from facetron_build import make_build

from facetron.baselines.gan import (
    DEBUG,
    PAPER,
    SMALL,
    Gan,
    GanStage,
    WaveCritic,
    defaults,
    departures,
    overlapped,
)
from facetron.checkpoints import checkpoint
from facetron.train.critics import WassersteinCritics
from facetron.train.dataset import ClipDataset, collate
from facetron.train.run import train
from manifests.errors import BadInput, SpecMismatch
from manifests.manifest import Manifest


@pytest.mark.parametrize("pictures", [1, 20, 75])
def test_stretches_add_up_to_the_samples_of_the_pictures(pictures: int) -> None:
    steady = torch.hann_window(1280).expand(2, pictures, 1280)
    whole = overlapped(steady)
    assert whole.shape == (2, 1, 640 * pictures)
    assert torch.allclose(whole[..., 320:-320], torch.ones(()), atol=1e-6)
    marked = torch.zeros(1, pictures, 1280)
    marked[:, -1, 640] = 1  # its middle is the middle of its picture
    assert int(overlapped(marked).argmax()) == 640 * pictures - 320


def test_the_critic_learns_to_tell_and_takes_a_second_of_anywhere() -> None:
    torch.manual_seed(0)
    critics = WassersteinCritics({"waves": WaveCritic(DEBUG)}, DEBUG.mel_spec, 10.0)
    optimizer = torch.optim.Adam(critics.parameters(), 0.01, (0.5, 0.9))
    real, made = 0.3 * torch.randn(4, 1, 16_000), torch.zeros(4, 1, 16_000)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = critics({"waves": (real, made)})
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert critics.critics["waves"](real[..., :4000]).shape == (4,)


def test_a_segment_sounds_as_in_the_whole_clip(tmp_path: Path) -> None:
    build = make_build(tmp_path, clips=3)
    torch.manual_seed(0)
    model = Gan(DEBUG).eval()
    for epoch in range(4):
        data = ClipDataset(build, "train", ("lips", "wave"), DEBUG, segment_frames=50)
        batch = collate([data[(epoch, number)] for number in range(2)])
        with torch.no_grad():
            segment = model(batch)["wave"]
            whole = overlapped(model.frames(*model.eyes.see(batch)))
        for made, all_of_it, start in zip(segment, whole, batch["wave_start"], strict=True):
            first = int(start) * 320
            assert torch.allclose(made, all_of_it[:, first : first + 16_000], atol=1e-5)


def test_strides_that_do_not_make_two_pictures_are_refused() -> None:
    with pytest.raises(BadInput, match="which multiply to 1280"):
        replace(DEBUG, strides=(5, 4, 4, 4, 2, 4))


def test_the_level_is_a_distance_of_each_clip() -> None:
    torch.manual_seed(0)
    voice = 0.1 * torch.randn(2, 1, DEBUG.mel_spec.sample_rate_hz)
    # One clip at half the level, one at twice: even on the whole, and neither is right.
    said = voice * torch.tensor([0.5, 2.0])[:, None, None]

    def losses(level: float) -> dict[str, torch.Tensor]:
        config = replace(DEBUG, adversarial=0.0, level=level)
        stage = GanStage(config, defaults("waves", config))
        return stage.losses({"wave": said}, {"wave": voice}, {})

    plain, with_level = losses(0.0), losses(3.0)
    assert float(plain["level"]) == pytest.approx(math.log(2), rel=1e-4)
    torch.testing.assert_close(with_level["loss"] - plain["loss"], 3 * plain["level"])
    energy = voice.square().mean((1, 2))
    expected = 10 * torch.log10((0.25 * energy[0] + 4 * energy[1]) / energy.sum())
    torch.testing.assert_close(plain["level_db"], expected)
    assert "level" in departures(SMALL)[-1]
    assert "level" not in departures(PAPER)[-1]
    with pytest.raises(BadInput, match="weight of a loss is below 0"):
        replace(DEBUG, level=-1.0)


def test_a_wave_model_refuses_features_of_another_rate(tmp_path: Path) -> None:
    build = make_build(tmp_path, clips=2)
    with pytest.raises(SpecMismatch, match="MelSpec"):
        train("waves", build, tmp_path / "out", "debug", sets=("mel=vca-gan",), system="gan")


def test_a_wave_model_refuses_sounds_of_another_rate(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=2)
    for row in Manifest(build):
        soundfile.write(row.path("audio"), np.zeros(66_150, np.float32), 22_050, "PCM_16")
    with pytest.raises(BadInput, match=r"\.wav has 22050 Hz, not 16000"):
        train("waves", build, tmp_path / "out", "debug", system="gan")


def test_critic_steps_are_steps_of_the_critic_alone(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=2)
    tensors = []
    for steps in (1, 3):
        sets = ("train.epochs=1", "train.batch_size=2", "train.loggers=csv")
        sets = (*sets, f"train.critic_steps={steps}", "adversarial=0.0001")
        out = tmp_path / str(steps)
        best = train("waves", build, out, "debug", sets=sets, system="gan")
        tensors.append(checkpoint.load(best)[1])
        _, resume = checkpoint.load(out / "resume.safetensors")
        done = {float(v) for n, v in resume.items() if n.startswith("optimizer1") and "step" in n}
        assert done == {float(steps)}
    with pytest.raises(BadInput, match="critic_steps is 0"):
        train(
            "waves", build, tmp_path / "no", "debug", sets=("train.critic_steps=0",), system="gan"
        )
