"""Backends by name: lazily, with clear lines for what cannot be had."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys

import pytest

from gridprep.landmarks import registry
from manifests.errors import BadInput, MissingDependency


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(
        BadInput, match="unknown landmark backend 'dlib'; choose from mediapipe, face"
    ):
        registry.create("dlib")


def test_nothing_heavy_is_imported_before_a_backend_is_created() -> None:
    code = (
        "import sys, gridprep.landmarks.registry as r; r.default_backend(); r.names();"
        "print([m for m in ('mediapipe', 'face_alignment', 'torch', 'cv2') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"facetron-toolkit\[face-alignment\]"):
        registry.create("face-alignment")
    with pytest.raises(MissingDependency, match=r"mediapipe 0\.10\.21"):
        registry.create("mediapipe")


def test_default_is_mediapipe_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "is_installed", lambda name: True)
    assert registry.default_backend() == "mediapipe"
    assert registry.default_note() == ""


@pytest.mark.parametrize(
    ("version", "says"), [((3, 13, 0), "no release for Python 3.13"), ((3, 11, 2), "not installed")]
)
def test_default_falls_back_and_says_why(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], says: str
) -> None:
    monkeypatch.setattr(registry, "is_installed", lambda name: name != "mediapipe")
    monkeypatch.setattr(registry.sys, "version_info", version)
    assert registry.default_backend() == "face-alignment"
    assert says in registry.default_note()
    assert "\n" not in registry.default_note()


def test_unknown_option_lists_the_options() -> None:
    with pytest.raises(BadInput, match="no option model; options: batch_size, detector"):
        registry.create("face-alignment", options={"model": "x"})
    with pytest.raises(BadInput, match="no option flip; options: it has none"):
        registry.create("mediapipe", options=(("flip", "true"),))


def test_gpu_is_refused_where_the_backend_has_no_use_for_it() -> None:
    with pytest.raises(BadInput, match="mediapipe runs on the CPU only, not on 'cuda'"):
        registry.create("mediapipe", device="cuda")


def test_options_listed_are_the_options_understood() -> None:
    pytest.importorskip("face_alignment")
    from gridprep.landmarks.face_alignment import FaceAlignmentOptions

    assert registry.entry("face-alignment").options == tuple(
        sorted(f.name for f in dataclasses.fields(FaceAlignmentOptions))
    )


def test_spec_takes_only_options_that_change_the_points() -> None:
    options = {"flip": "true", "fan_weights": "/a/b.pth", "batch_size": "8", "detector": "yunet"}
    assert registry.spec_options("face-alignment", options) == (
        ("detector", "yunet"),
        ("flip", "true"),
    )
