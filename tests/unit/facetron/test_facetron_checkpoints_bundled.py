"""Bundled weights by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facetron import systems
from facetron.checkpoints import bundled, checkpoint
from facetron.drawing.base import load_painter
from facetron.synthesis.base import load_synthesizer
from facetron.synthesis.confidence import stored
from manifests.errors import BadInput
from manifests.io import sha256_file


def test_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "weights")
    assert bundled.names() == ()
    for name in ("two", "one", "three"):
        (tmp_path / "weights" / name).mkdir(parents=True)
    for name in ("two", "one"):
        (tmp_path / "weights" / name / bundled.FILE).touch()
    assert bundled.names() == ("one", "two")
    assert bundled.resolve("one") == tmp_path / "weights" / "one" / bundled.FILE
    own = tmp_path / "mine.safetensors"
    own.touch()
    assert bundled.resolve(own) == bundled.resolve(str(own)) == own
    with pytest.raises(BadInput, match=r"three is neither a checkpoint file.*\(one, two\)"):
        bundled.resolve("three")


def test_what_is_bundled_is_there() -> None:
    for name in bundled.names():
        assert bundled.resolve(name).stat().st_size <= 16_000_000


@pytest.mark.parametrize("name", ["grid-s1", "synthgrid"])
def test_the_bundled_readers_of_lips_are_calibrated(name: str) -> None:
    path = bundled.resolve(name)
    found = stored(path, sha256_file(path))
    assert found is not None
    assert found.kept >= 0.95
    assert set(found.voices) == set(checkpoint.read_info(path).speakers)


def baselines(draw: bool) -> list[str]:
    """Bundled weights of the systems beside Facetron, of those that draw or those that speak."""
    found = {name: checkpoint.read_info(bundled.resolve(name)) for name in bundled.names()}
    return [
        name
        for name, info in found.items()
        if info.system != systems.DEFAULT and bool(systems.get(info.system).painter) is draw
    ]


@pytest.mark.parametrize("name", baselines(draw=True))
def test_bundled_painters_are_small_and_draw_speakers_that_they_never_saw(name: str) -> None:
    path = bundled.resolve(name)
    assert path.stat().st_size <= 5_000_000
    assert "Weights" in (path.parent / "README.md").read_text(encoding="utf-8")
    painter = load_painter(name, device="cpu")
    assert painter.system == name
    assert len(painter.info.speakers) == 29
    assert not any(painter.seen(speaker) for speaker in ("s1", "s2", "s4", "s29"))


@pytest.mark.parametrize("name", baselines(draw=False))
def test_bundled_baselines_are_small_and_speak_for_speakers_that_they_never_saw(name: str) -> None:
    if name == "voc":
        pytest.importorskip("pyworld", reason="the extra world is not installed")
    path = bundled.resolve(name)
    assert path.stat().st_size <= 5_000_000
    assert "Weights" in (path.parent / "README.md").read_text(encoding="utf-8")
    voice = load_synthesizer(name, device="cpu")
    assert voice.system == name
    assert voice.notes
    assert len(voice.info.speakers) == 29
    assert not any(voice.seen(speaker) for speaker in ("s1", "s2", "s4", "s29"))
    rng = np.random.default_rng(0)
    (face,) = voice.face_embeddings(rng.integers(0, 255, (1, 160, 160, 3), dtype=np.uint8))
    spoken = voice.speak(rng.integers(0, 255, (10, 144, 144, 3), dtype=np.uint8), face)
    assert len(spoken.wave) == 6400
    assert np.isfinite(spoken.wave).all()
    assert spoken.mel.shape == (80, 20)
