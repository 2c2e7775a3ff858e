"""vid2voc: WORLD as a cache and as a ceiling, the scale of what is learned, and its text branch."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from facetron_build import make_build

from facetron.baselines import world
from facetron.baselines.voc import DEBUG, Features, VocStage, VocSynthesizer, defaults
from facetron.train.dataset import ClipDataset
from manifests.errors import BadInput, SpecMismatch
from manifests.libraries import install_line
from manifests.manifest import Manifest

pytest.importorskip("pyworld", reason="the extra world is not installed")
SPEC = world.spec_of(16_000)


def vowel(f0_hz: float = 120.0) -> np.ndarray:
    """3 s, of which the middle second is a buzz in two formants."""
    time_s = np.arange(48_000) / 16_000
    buzz = np.zeros(48_000)
    for harmonic in range(1, int(7000 / f0_hz)):
        at_hz = harmonic * f0_hz
        loud = np.exp(-(((at_hz - 600) / 300) ** 2)) + 0.4 * np.exp(-(((at_hz - 1500) / 400) ** 2))
        buzz += (loud + 0.01) * np.cos(2 * np.pi * at_hz * time_s)
    rng = np.random.default_rng(0)
    inside = (time_s > 1) & (time_s < 2)
    return np.asarray(0.1 * buzz * inside + 1e-4 * rng.standard_normal(48_000), np.float32)


def test_the_features_of_a_clip_are_eight_a_picture() -> None:
    assert (SPEC.bands, SPEC.per_picture, SPEC.size) == (1, 8, 63)
    assert world.WorldSpec(sample_rate_hz=50_000).bands == 5
    found = world.analyze(vowel(), SPEC)
    assert found.shape == (600, 63)
    voiced = found[:, -1] > 0.5
    assert 0.25 < voiced.mean() < 0.42
    assert np.median(np.exp(found[voiced, -2])) == pytest.approx(120, rel=0.02)
    assert found[:, :60].min() >= SPEC.quiet_ln
    with pytest.raises(BadInput, match="no aperiodicity band at 8000 Hz"):
        world.spec_of(8000)


def test_a_vowel_comes_back_at_its_pitch_and_level() -> None:
    sound = vowel()
    made = world.sound_of(world.analyze(sound, SPEC), SPEC)
    assert made.shape == sound.shape
    middle = slice(18_000, 30_000)
    level_db = 20 * np.log10(np.std(made[middle]) / np.std(sound[middle]))
    assert abs(level_db) < 1.5
    again = world.analyze(made, SPEC)
    voiced = again[:, -1] > 0.5
    assert np.median(np.exp(again[voiced, -2])) == pytest.approx(120, rel=0.02)


def test_a_jump_inside_a_voiced_run_is_smoothed_and_silence_kept() -> None:
    f0_hz = np.array([100.0, 100, 300, 100, 100, 90, 100])
    voiced = np.array([True, True, True, True, True, False, True])
    assert world.smoothed(f0_hz, voiced).tolist() == [100, 100, 100, 100, 100, 0, 100]


def test_features_are_computed_once_beside_the_build(tmp_path: Path) -> None:
    build = make_build(tmp_path, clips=2)
    row = Manifest(build)[0]
    soundfile.write(row.path("audio"), vowel(), 16_000, "PCM_16")
    first = world.cached(row, SPEC)
    (held,) = (tmp_path / "world" / SPEC.fingerprint()).rglob("*.npz")
    np.savez(held, features=first + 1)
    assert np.array_equal(world.cached(row, SPEC), first + 1)
    data = ClipDataset(build, "train", ("world", "text"), DEBUG)
    assert torch.equal(data[0]["world"], torch.from_numpy(first + 1))
    assert len(data[0]["targets"]) == len(row.sentence)
    other = replace(SPEC, points=50)
    assert world.cached(row, other).shape == (600, 53)
    soundfile.write(row.path("audio"), vowel(), 22_050, "PCM_16")
    with pytest.raises(BadInput, match="has 22050 Hz, not 16000"):
        world.cached(row, replace(SPEC, points=40))


def test_scaled_features_of_the_training_clips_lie_within_0_and_1(tmp_path: Path) -> None:
    build = make_build(tmp_path, clips=2)
    rows = Manifest(build).where(subset="train")
    for number, row in enumerate(rows):
        soundfile.write(row.path("audio"), vowel(110 + 60 * number), 16_000, "PCM_16")
    stage = VocStage(DEBUG, defaults("features", DEBUG))
    stage.survey(rows)
    scaled = torch.cat(
        [stage.model.features.scaled(torch.from_numpy(world.cached(row, SPEC))) for row in rows]
    )
    voiced = scaled[:, -1] > 0.5
    assert float(scaled[:, :-2].min()) == pytest.approx(0, abs=1e-5)
    assert float(scaled[:, :-2].max()) == pytest.approx(1, abs=1e-5)
    assert 0 <= float(scaled[voiced, -2].min()) < 0.2 < 0.8 < float(scaled[voiced, -2].max()) <= 1
    back = stage.model.features.back(scaled)
    assert torch.allclose(stage.model.features.scaled(back), scaled, atol=1e-4)


def test_clips_without_a_voice_are_refused(tmp_path: Path) -> None:
    build = make_build(tmp_path, clips=2)
    rows = Manifest(build).where(subset="train")
    for row in rows:
        soundfile.write(row.path("audio"), np.zeros(48_000, np.float32), 16_000, "PCM_16")
    with pytest.raises(BadInput, match="no training clip has a voiced frame"):
        VocStage(DEBUG, defaults("features", DEBUG)).survey(rows)


def test_f0_is_learned_on_voiced_frames_only() -> None:
    stage = VocStage(replace(DEBUG, text=False), defaults("features", DEBUG))
    wanted = torch.rand(1, 600, 63)
    wanted[:, :, -1] = 0
    wanted[:, :200, -1] = 1
    made = wanted.clone()
    made[:, 200:, -2] += 0.5
    batch = {"world": wanted}
    none = {"features": made, "logits": torch.zeros(1, 75, 0)}
    members = stage.losses(none, batch, {})
    assert float(members["loss"]) == pytest.approx(0)
    made[:, :100, -2] += 0.5
    assert float(stage.losses(none, batch, {})["pitch"]) == pytest.approx(0.125)
    made[:, :300, -1] = 1
    assert float(stage.losses(none, batch, {})["vuv_error"]) == pytest.approx(100 / 600)


def test_one_picture_makes_eight_frames_and_letters() -> None:
    features = Features(DEBUG, 6).eval()
    with torch.no_grad():
        scaled, logits = features(torch.randn(2, 5, 6), torch.zeros(2, 0))
    assert (scaled.shape, logits.shape) == ((2, 40, 63), (2, 5, 28))
    assert float(scaled[..., -2:].min()) >= 0
    assert float(scaled[..., -2:].max()) <= 1
    assert VocSynthesizer.system == "voc"


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyworld", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        world.analyze(vowel(), SPEC)
    assert install_line(caught.value.name or "", "facetron") == (
        "pip install 'facetron-toolkit[world]'"
    )
    assert importlib.import_module("facetron.baselines.voc")


def test_a_mel_of_another_rate_is_refused(tmp_path: Path) -> None:
    build = make_build(tmp_path, clips=2)
    from facetron.train.run import train

    with pytest.raises(SpecMismatch, match="MelSpec"):
        train("features", build, tmp_path / "out", "debug", sets=("mel=vca-gan",), system="voc")
