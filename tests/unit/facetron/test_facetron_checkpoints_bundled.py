"""Bundled weights by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from facetron.checkpoints import bundled
from manifests.errors import BadInput


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
        assert bundled.resolve(name).stat().st_size <= 12_000_000
