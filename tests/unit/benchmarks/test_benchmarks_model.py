"""The measurements of the model run, at the debug size, and give finite numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from benchmarks import module_speed, speaking_speed, training_speed
from benchmarks.__main__ import MEASUREMENTS
from benchmarks.children import Outcome
from facetron.model.sizes import DEBUG
from facetron.train.config import train_config

torch.set_num_threads(1)


def here() -> object:
    """In place of waiting for other processes."""
    return None


def test_every_part_is_measured_in_each_way_that_it_knows() -> None:
    variants = (*module_speed.VARIANTS[:2], *module_speed.VARIANTS[3:])
    found = list(module_speed.rates(here, "debug", "cpu", (), variants, 0.0))
    torch.set_num_threads(1)
    assert all(math.isfinite(rate) and rate > 0 for _, _, rate in found)
    ways = {name: [v for n, v, _ in found if n == name] for name, _, _ in found}
    modules = ("lip encoder", "face encoder", "decoder", "vocoder", "lips to wave")
    assert all(ways[name] == [v.name for v in variants] for name in modules)
    assert all(
        ways[f"CTC {name}"] == ["eager", "batch 8", "batch 16"]
        for name in ("greedy", "beam", "grammar")
    )
    assert ways["Griffin-Lim"] == ["eager"]
    assert len(ways) == 9


def test_a_table_has_ratios_to_eager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(work: object, *args: object, copies: int = 1, limit_s: float = 0) -> Outcome:
        if work is module_speed.compiled_rates:
            return Outcome(([],), "over 120 s")
        if copies == 2:
            return Outcome(([("decoder", "batch 8", 12.0)], [("decoder", "batch 8", 13.0)]), "")
        return Outcome(([("decoder", "eager", 5.0), ("decoder", "batch 8", 20.0)],), "")

    monkeypatch.setattr(module_speed, "run", run)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda name: name)
    lines = module_speed.modules(tmp_path, 0, tmp_path, sizes=("debug",)).splitlines()
    row = next(line for line in lines if line.startswith("decoder"))
    ratios = ["–", "–", "4.00×", "–", "–", "–", "5.00×"]
    assert row.split()[1:] == ["5.0", "0.0667", *ratios, "25.0", "0.0133"]
    assert lines[-1] == "compiled: over 120 s"


def test_long_clips_are_spoken(tmp_path: Path) -> None:
    name, label = speaking_speed.random_weights(tmp_path, "debug")
    assert label == "random weights of size debug"
    for vocoder in speaking_speed.VOCODERS:
        ((found),) = speaking_speed.long_clip(here, name, vocoder, 1.0, "cpu", 1)
        assert found["took_s"] > 0
        assert found["lips_mb"] == pytest.approx(25 * 144 * 144 * 3 / 1e6)
        assert 0 < found["more_mb"] + 50 < found["peak_mb"]


def test_a_clip_is_spoken_step_by_step(
    synth_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(work: object, *args: object) -> Outcome:
        return Outcome((list(work(here, *args)),), "")  # type: ignore[operator]

    monkeypatch.setattr(speaking_speed, "run", run)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    text = speaking_speed.speak(synth_corpus, 0, tmp_path, times=1, size="debug")
    assert "random weights of size debug on cpu" in text
    steps = text.splitlines()[1]
    assert all(step in steps for step in ("aligning", "seeing the face", "speaking", "writing"))
    assert text.endswith("bar: under 4 s")


@pytest.mark.parametrize("stage", training_speed.STAGES)
def test_a_step_is_measured_on_noise(stage: str) -> None:
    ((found),) = training_speed.steps(here, stage, "debug", 2, 1, "cpu")
    assert all(math.isfinite(value) for value in found.values())
    assert found["step_s"] > 0


def test_noise_has_the_shapes_of_a_batch() -> None:
    config, training = train_config("vocoder", "debug")
    batch = training_speed.random_batch(config, training, 3)
    assert batch["lips"].shape == (3, 1, 75, 16, 16)
    assert batch["lips"].dtype == batch["face"].dtype == torch.uint8
    assert batch["wave"].shape[-1] == training.segment_frames * DEBUG.mel_spec.hop_samples
    assert batch["wave_mel"].shape[-1] == training.segment_frames


def test_they_are_measurements_of_make_bench() -> None:
    assert {"modules", "speak", "clip-length", "training"} <= set(MEASUREMENTS)
