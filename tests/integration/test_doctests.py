"""The Python API: what the four packages export is there, comes lazily, and its examples run."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ("manifests", "gridprep", "facetron", "evaluation")
EXPORTING = [p for p in PACKAGES if hasattr(importlib.import_module(p), "__all__")]
EXPORTS = [(p, name) for p in EXPORTING for name in importlib.import_module(p).__all__]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

HEAVY = ("torch", "pandas", "scipy", "cv2", "av", "mediapipe", "soundfile", "sklearn", "matplotlib")
"""Libraries that no import of a package may load."""


def examples(package: str, name: str) -> list[doctest.DocTest]:
    """The examples of an exported name and, of a class, of its methods."""
    value = getattr(importlib.import_module(package), name)
    module = value if inspect.ismodule(value) else sys.modules[value.__module__]
    if not (callable(value) or inspect.ismodule(value)):
        return []
    found = doctest.DocTestFinder(recurse=not inspect.ismodule(value)).find(
        value, f"{package}.{name}", module=module, globs={}
    )
    return [test for test in found if test.examples]


def needs_example(value: Any) -> bool:
    """Functions and classes that do something; records and errors explain themselves."""
    if inspect.isclass(value):
        return not (issubclass(value, Exception) or dataclasses.is_dataclass(value))
    return callable(value)


@pytest.mark.parametrize(("package", "name"), EXPORTS)
def test_the_examples_of_every_export_run(
    package: str, name: str, python_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = getattr(importlib.import_module(package), name)
    found = examples(package, name)
    assert found or not needs_example(value), f"{package}.{name} has no example"
    monkeypatch.chdir(python_folder)
    for test in found:
        lines: list[str] = []
        results = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=lines.append)
        assert results.failed == 0, "".join(lines)


@pytest.mark.parametrize("package", EXPORTING)
def test_exports_are_listed_and_nothing_else_is(package: str) -> None:
    module = importlib.import_module(package)
    assert len(module.__all__) == len(set(module.__all__)) > 0
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_no_heavy_library(package: str) -> None:
    code = f"import sys, {package}; dir({package}); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {name.split(".")[0] for name in loaded} & set(HEAVY)


def test_the_contract_and_the_programs_export() -> None:
    assert {"manifests", "gridprep", "facetron"} <= set(EXPORTING)


def test_an_example_that_is_wrong_is_found() -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(optionflags=FLAGS).run(test, out=lambda _: None).failed == 1
