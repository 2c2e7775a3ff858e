"""What `pyproject.toml` says of the packages is true: their data, their libraries, their version."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from tracked_files import tracked

from manifests.libraries import EXTRA_OF_PROGRAM, EXTRAS, PROJECT, REQUIRED, install_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[2]
PACKAGES = ("manifests", "gridprep", "facetron", "evaluation")
DISTRIBUTIONS = {
    "cv2": "opencv-python",
    "yaml": "pyyaml",
    "PIL": "pillow",
    "dlib": "dlib-bin",
    "pyworld": "pyworld-prebuilt",
    "sklearn": "scikit-learn",
    "distributed": "dask",
    "mlflow": "mlflow-skinny",
}
"""Name in `import` statements → distribution, where they differ by more than a hyphen."""
UNDECLARED = {
    # Recognizers of other people: their own page says how to install them, one line names them.
    "whisper",
    "transformers",
    # A script that made a file of the repository; no program runs it.
    "skimage",
    # Comes with speechbrain, which is given a placeholder for it.
    "torchaudio",
}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def distribution_of(library: str) -> str:
    return DISTRIBUTIONS.get(library, library.replace("_", "-"))


def names_of(requirements: list[str]) -> set[str]:
    """Distributions in a list of requirements; headless OpenCV is OpenCV."""
    found = {re.split(r"[\[<>=;!~ ]", line)[0].lower() for line in requirements}
    return {name.removesuffix("-headless") for name in found}


def third_party() -> dict[str, str]:
    """Library → a file that imports it, over the four packages."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                modules = []
                if isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    modules = [node.module or ""]
                for module in modules:
                    library = module.split(".")[0]
                    if library not in sys.stdlib_module_names and library not in PACKAGES:
                        found[library] = file.relative_to(ROOT).as_posix()
    return found


def test_every_library_is_declared_with_its_extra() -> None:
    unknown = {
        library: file
        for library, file in third_party().items()
        if library not in REQUIRED and library not in EXTRAS and library not in UNDECLARED
    }
    assert not unknown, "neither required nor in an extra of manifests/libraries.py"


def test_what_is_required_is_a_dependency(project: dict[str, Any]) -> None:
    base = names_of(project["project"]["dependencies"])
    assert {distribution_of(library) for library in REQUIRED} <= base
    declared = base - {distribution_of(library) for library in third_party()}
    assert not declared, "required and imported nowhere"


def test_every_extra_brings_what_it_is_named_for(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    for library, bringing in EXTRAS.items():
        for extra in bringing:
            assert distribution_of(library) in names_of(extras[extra]), library
        assert install_line(f"{library}.part") == f"pip install '{PROJECT}[{bringing[0]}]'"
    assert set(EXTRA_OF_PROGRAM.values()) <= set(extras)


def test_training_and_scoring_install_nothing_of_each_other(project: dict[str, Any]) -> None:
    extras = {
        name: names_of(lines) for name, lines in project["project"]["optional-dependencies"].items()
    }
    assert extras["train"] == {"lightning-fabric"}
    assert not extras["eval"] & {"espeakng-loader", "ai-edge-litert", "lightning-fabric"}
    assert not any("torch" in line and "<" in line for line in project["project"]["dependencies"])


def test_the_version_stands_in_one_place_and_is_repeated_right(project: dict[str, Any]) -> None:
    version = project["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    assert citation["license"] == project["project"]["license"]
    heading = re.search(
        r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert heading is not None
    assert heading.group(1) == version


def test_package_data_is_what_is_there(project: dict[str, Any]) -> None:
    patterns = project["tool"]["setuptools"]["package-data"]
    files = [name for package in PACKAGES for name in tracked(package) if not name.endswith(".py")]
    shipped: set[str] = set()
    for package, globs in patterns.items():
        for glob in globs:
            folder = package.replace(".", "/")
            matched = {name for name in files if PurePosixPath(name).match(f"{folder}/{glob}")}
            assert matched, f"{package}: {glob} matches nothing"
            shipped |= matched
    assert set(files) <= shipped, "not in package-data of pyproject.toml"


def test_setup_py_says_nothing_of_its_own() -> None:
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert len(calls) == 1
    assert not calls[0].args
    assert not calls[0].keywords
