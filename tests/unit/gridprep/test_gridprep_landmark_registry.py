"""Backends by name: lazily, with clear lines for what cannot be had."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys

import pytest

from gridprep.landmarks import registry
from manifests.errors import BadInput, MissingDependency
from manifests.specs import LandmarkSpec


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(
        BadInput, match="unknown landmark backend 'dlib'; choose from facemesh, face"
    ):
        registry.create("dlib")


def test_nothing_heavy_is_imported_before_a_backend_is_created() -> None:
    code = (
        "import sys, gridprep.landmarks.registry as r; r.names();"
        "print([m for m in ('ai_edge_litert', 'face_alignment', 'torch', 'cv2') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"facetron-toolkit\[face-alignment\]"):
        registry.create("face-alignment")
    with pytest.raises(MissingDependency, match="opencv-python-headless"):
        registry.create("facemesh")


def test_default_needs_no_library_of_its_own() -> None:
    assert registry.names()[0] == registry.DEFAULT == LandmarkSpec().backend == "facemesh"
    assert registry.is_installed(registry.DEFAULT)


def test_unknown_option_lists_the_options() -> None:
    with pytest.raises(BadInput, match="no option model; options: batch_size, detector"):
        registry.create("face-alignment", options={"model": "x"})
    with pytest.raises(BadInput, match="no option flip; options: models, runtime, who"):
        registry.create("facemesh", options=(("flip", "true"),))


def test_gpu_is_refused_where_the_backend_has_no_use_for_it() -> None:
    with pytest.raises(BadInput, match="facemesh runs on the CPU only, not on 'cuda'"):
        registry.create("facemesh", device="cuda")


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


def test_spec_of_a_default_build_does_not_change_with_options_left_alone() -> None:
    given = {"models": "/a/b", "runtime": "opencv", "who": ""}
    assert registry.spec_options("facemesh", given) == ()
    assert registry.spec_options("facemesh", {"who": "left"}) == (("who", "left"),)
    assert registry.spec_options("face-alignment", {"who": "2"}) == (("who", "2"),)
