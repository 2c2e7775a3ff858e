"""The Python API: what the packages export is there, comes lazily and has examples; and every example
in a docstring runs, in a folder of `python_folder`."""

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
EXPORTS = [(p, name) for p in PACKAGES for name in importlib.import_module(p).__all__]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

HEAVY = ("torch", "pandas", "scipy", "cv2", "av", "mediapipe", "soundfile", "sklearn", "matplotlib")
"""Libraries that no import of a package may load."""


ROOT = Path(__file__).parents[2]
WITH_EXAMPLES = sorted(
    file.relative_to(ROOT).as_posix()
    for package in PACKAGES
    for file in (ROOT / package).rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)


def has_example(value: Any) -> bool:
    """Whether a function, or a class or one of its methods, has an example."""
    found = doctest.DocTestFinder().find(value, value.__name__, module=inspect.getmodule(value))
    return any(test.examples for test in found)


def needs_example(value: Any) -> bool:
    """Functions and classes that do something; records and errors explain themselves."""
    if inspect.isclass(value):
        return not (issubclass(value, Exception) or dataclasses.is_dataclass(value))
    return callable(value)


@pytest.mark.parametrize(("package", "name"), EXPORTS)
def test_every_export_that_does_something_has_an_example(package: str, name: str) -> None:
    value = getattr(importlib.import_module(package), name)
    assert not needs_example(value) or has_example(value), f"{package}.{name} has no example"


@pytest.mark.parametrize("path", WITH_EXAMPLES)
def test_examples_run(path: str, python_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    monkeypatch.chdir(python_folder)
    found = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert found
    for test in found:
        lines: list[str] = []
        results = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=lines.append)
        assert results.failed == 0, "".join(lines)


@pytest.mark.parametrize("package", PACKAGES)
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


def test_an_example_that_is_wrong_is_found() -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(optionflags=FLAGS).run(test, out=lambda _: None).failed == 1
