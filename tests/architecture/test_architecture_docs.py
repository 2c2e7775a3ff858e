"""CONTRIBUTING.md and ARCHITECTURE.md say what is true: the files they name exist, and the recipes'
code runs against the real interfaces."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("ARCHITECTURE.md", "CONTRIBUTING.md")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def named_paths(text: str) -> list[str]:
    """Paths in backticks that start in a folder of the repository."""
    folders = "manifests|gridprep|facetron|evaluation|benchmarks|tests|docs"
    return re.findall(rf"`((?:{folders})/[\w./-]*)`", text)


def recipe(file: str) -> str:
    """The code block of CONTRIBUTING.md that is headed by a file's name."""
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", text_of("CONTRIBUTING.md"), re.DOTALL)
    (block,) = [code for name, code in blocks if name == file]
    return block


def entry(file: str, names: dict[str, Any]) -> dict[str, Any]:
    """A block that shows one line of a dictionary, as that dictionary."""
    made: dict[str, Any] = eval("{" + recipe(file) + "}", names)
    return made


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page: str) -> None:
    recipes = re.findall(r"^# (\S+\.py)$", text_of(page), re.MULTILINE)
    gone = [
        path
        for path in named_paths(text_of(page))
        if not (ROOT / path).exists() and path not in recipes
    ]
    assert not gone, f"{page} names {gone}"


@pytest.mark.parametrize("page", PAGES)
def test_named_things_are_in_the_named_files(page: str) -> None:
    pairs = re.findall(r"`(\w+)`,? (?:in|of) `([\w.]+/[\w/.]+\.py)`", text_of(page))
    gone = [(n, f) for n, f in pairs if n not in (ROOT / f).read_text(encoding="utf-8")]
    assert not gone
    assert pairs or page != "CONTRIBUTING.md"


def pages(*patterns: str) -> list[str]:
    found = [path for pattern in patterns for path in ROOT.glob(pattern)]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def anchors(page: Path) -> set[str]:
    """Anchors that the headings of a page have on the usual hosts of repositories."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in headings}


@pytest.mark.parametrize("page", pages("*.md", "docs/*.md", "*/weights/*.md", "*/weights/*/*.md"))
def test_links_lead_somewhere(page: str) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        found = target.exists() and (not anchor or anchor in anchors(target))
        if not found and "://" not in link:
            broken.append(link)
    assert not broken


def test_every_page_is_linked_from_the_readme() -> None:
    readme = text_of("README.md")
    assert pages("docs/*.md")
    assert [page for page in pages("docs/*.md") if f"]({page})" not in readme] == []


def test_rooms_of_the_architecture_name_modules() -> None:
    """What stands in a room is there. (A new module may wait for its line.)"""
    rooms = re.findall(
        r"^### `(\w+)/`.*?\n(.*?)(?=^##)", text_of("ARCHITECTURE.md") + "\n##", re.M | re.S
    )
    assert {name for name, _ in rooms} == {"manifests", "gridprep", "facetron", "evaluation"}
    for package, body in rooms:
        listed = {name for row in re.findall(r"^\| (.*?) \|", body, re.M) for name in named(row)}
        modules = {
            file.relative_to(ROOT / package).as_posix()
            for file in (ROOT / package).rglob("*.py")
            if file.name != "__init__.py" and file.parent.name != "commands"
        }
        assert listed, package
        assert listed - modules == set(), f"{package}/ of ARCHITECTURE.md names what is not there"


def named(cell: str) -> list[str]:
    return list(re.findall(r"`([\w/.]+\.py)`", cell))


def test_exit_codes_of_the_architecture_are_the_errors() -> None:
    from manifests import errors

    listed = re.findall(r"^\| (\d) \| `(\w+)`", text_of("ARCHITECTURE.md"), re.MULTILINE)
    assert {name: int(code) for code, name in listed} == {
        name: error.exit_code
        for name, error in vars(errors).items()
        if isinstance(error, type)
        and issubclass(error, errors.ToolkitError)
        and name not in ("SpecMismatch", "ManifestError")
    }


class FakeBox:
    def left(self) -> int:
        return 100

    def top(self) -> int:
        return 80

    def right(self) -> int:
        return 220

    def bottom(self) -> int:
        return 200


def test_landmark_recipe_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gridprep.landmarks import registry

    dlib = types.ModuleType("dlib")
    dlib.__version__ = "19.24"  # type: ignore[attr-defined]
    dlib.__spec__ = types.SimpleNamespace(name="dlib")  # type: ignore[assignment]
    dlib.get_frontal_face_detector = lambda: (
        lambda frame, scale: (  # type: ignore[attr-defined]
            [FakeBox()] if frame.any() else []
        )
    )
    part = lambda k: types.SimpleNamespace(x=100 + k, y=200 - k)  # noqa: E731
    dlib.shape_predictor = lambda path: (  # type: ignore[attr-defined]
        lambda frame, box: types.SimpleNamespace(part=part)
    )
    module = types.ModuleType("gridprep.landmarks.dlib")
    exec(recipe("gridprep/landmarks/dlib.py"), vars(module))
    monkeypatch.setitem(sys.modules, "dlib", dlib)
    monkeypatch.setitem(sys.modules, "gridprep.landmarks.dlib", module)
    (line,) = entry("gridprep/landmarks/registry.py", vars(registry)).items()
    monkeypatch.setitem(registry.BACKENDS, *line)
    weights = tmp_path / "dlib.dat"
    weights.write_bytes(b"x")

    backend = registry.create("dlib", options={"weights": str(weights)})
    frames = np.full((4, 288, 360, 3), 9, np.uint8)
    frames[2] = 0
    found = backend.detect(frames, every=2)
    assert found.found.tolist() == [True, False, False, True]
    assert found.named("chin")[0].tolist() == [[108, 192]]
    assert np.isnan(found.points_px[2]).all()
    backend.close()


def test_metric_recipe_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluation.metrics import base

    module = types.ModuleType("evaluation.metrics.convergence")
    exec(recipe("evaluation/metrics/convergence.py"), vars(module))
    monkeypatch.setitem(sys.modules, "evaluation.metrics.convergence", module)
    (line,) = entry("evaluation/metrics/base.py", {}).items()
    monkeypatch.setitem(base.REGISTRY, *line)
    metric = base.get_metric("spectral_convergence")
    assert metric.info.heading == "SC ↓"
    mel = np.log(np.full((80, 150), 2.0))
    assert module.spectral_convergence(mel, mel) == 0
    assert module.spectral_convergence(mel, np.log(np.full((80, 150), 3.0))) == pytest.approx(0.5)
    monkeypatch.setattr(module, "paired_mels", lambda pair: (mel, mel))
    assert metric.value(None) == 0  # type: ignore[arg-type]


def test_split_recipe_runs() -> None:
    from manifests.splits import rules

    (made,) = entry("manifests/splits/rules.py", vars(rules)).values()
    rows = made.make()
    assert {speaker for speaker, _, subset in rows if subset == "test"} == {"s4", "s7", "s11"}
    assert len({row[:2] for row in rows}) == len(rows)
