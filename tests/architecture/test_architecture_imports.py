"""The house rules that a reader would otherwise have to trust: who imports whom, where heavy
libraries live, and what no file may hold. Lazy imports count like any other.

Every rule is a function over source text, and each is shown below to find what it forbids.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tracked_files import tracked

ROOT = Path(__file__).parents[2]

MAY_IMPORT = {
    "manifests": ("manifests",),
    "gridprep": ("gridprep", "manifests"),
    "facetron": ("facetron", "manifests"),
    "evaluation": ("evaluation", "manifests"),
}
"""Package → what it may import of ours. Nothing else crosses but the files below."""

FILE_MAY_IMPORT = {
    # `facetron speak` takes videos that no build has seen, and must cut them as a build would.
    "facetron/video/align.py": (
        "gridprep.features.crops",
        "gridprep.features.crop_store",
        "gridprep.media.footage",
        "gridprep.media.scenes",
        "gridprep.landmarks",
    ),
    # A face is found in a generated picture where the preprocessing would find one.
    "evaluation/models/face_points.py": ("gridprep.landmarks",),
}
"""File → what it alone of its package may import besides."""

OURS = (*MAY_IMPORT, "benchmarks", "tests")

HOMES = {
    # PyAV: files are opened at one site; clips are decoded at another, and other people's speech at a
    # third, since evaluation may not import gridprep's; the others are the writers of containers.
    "av": (
        "manifests/mediafile.py",
        "gridprep/media/decode.py",
        "gridprep/media/window.py",
        "gridprep/media/opening.py",
        "gridprep/features/crop_store.py",
        "gridprep/synth/container.py",
        "evaluation/importing/audio.py",
        "facetron/demo/video.py",
        "facetron/video/mux.py",
    ),
    "ai_edge_litert": ("gridprep/landmarks/networks.py",),
    "face_alignment": ("gridprep/landmarks/face_alignment.py",),
    "dask": ("manifests/dask_execution.py",),
    "distributed": ("manifests/dask_execution.py",),
    "pyarrow": ("gridprep/exporting/hugging_face.py",),
    "fsspec": ("gridprep/exporting/sinks.py",),
    "sentencepiece": ("gridprep/exporting/auto_avsr.py",),
    "speechbrain": (
        "evaluation/models/ecapa.py",
        "evaluation/models/speechbrain_pretrained.py",
        "evaluation/models/las.py",
        "evaluation/models/las_decoding.py",
    ),
    "whisper": ("evaluation/models/whisper.py",),
    "transformers": ("evaluation/models/whisper.py", "evaluation/models/wavlm.py"),
    "onnxruntime": ("evaluation/models/dnsmos.py",),
    "pocketsphinx": ("evaluation/models/pocketsphinx.py",),
    "torchaudio": ("evaluation/models/torchaudio_placeholder.py",),
    "dlib": ("evaluation/models/dlib_faces.py",),
    "jiwer": ("evaluation/inputs/text.py",),
}
"""Heavy or optional library → the only files that may import it."""

FORBIDDEN_TEXT = {
    "a path of one machine": re.compile(r"(?<![\w.:/-])/(?:work|root|home/\w+)/"),
    "a package registry's host": re.compile("pypi" + r"\.org|python" + "hosted", re.IGNORECASE),
}


# --- the rules -----------------------------------------------------------------------------------


def imported(tree: ast.AST, module: str) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of everything that a module imports, at the top or lazily: `import`,
    `from … import`, `import_module("…")`, `__import__("…")` and registry entries "module:Class".

    Args:
        module: dotted name of the module's package, to resolve relative imports.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: len(module.split(".")) - node.level + 1]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno
        elif isinstance(node, ast.Call) and node.args:
            function = node.func
            called = getattr(function, "attr", None) or getattr(function, "id", None)
            if called in ("import_module", "__import__"):
                start = _leading_text(node.args[0])
                if start:
                    yield start, node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            entry = re.fullmatch(r"([a-z_]+(?:\.\w+)+):\w+", node.value)
            if entry and entry.group(1).split(".")[0] in OURS:
                yield entry.group(1), node.lineno


def _leading_text(node: ast.expr) -> str:
    """The text that a string or an f-string certainly starts with."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _package(path: str) -> str:
    """`gridprep/landmarks/base.py` → `gridprep.landmarks`."""
    return ".".join(path.split("/")[:-1])


def crossings(path: str, source: str) -> list[str]:
    """Imports that break the table of who may import whom."""
    allowed = MAY_IMPORT[path.split("/")[0]] + FILE_MAY_IMPORT.get(path, ())
    return [
        f"{path}:{line} imports {name}"
        for name, line in imported(ast.parse(source, path), _package(path))
        if name.split(".")[0] in OURS and not any(f"{name}.".startswith(f"{a}.") for a in allowed)
    ]


def strays(path: str, source: str) -> list[str]:
    """Heavy libraries imported outside their homes."""
    return [
        f"{path}:{line} imports {name}"
        for name, line in imported(ast.parse(source, path), _package(path))
        if path not in HOMES.get(name.split(".")[0], (path,))
    ]


def prints(path: str, source: str) -> list[str]:
    """Calls of `print`: programs speak through click, libraries not at all."""
    return [
        f"{path}:{node.lineno} prints"
        for node in ast.walk(ast.parse(source, path))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]


def swallowed(path: str, source: str) -> list[str]:
    """`except:` without a type, and handlers that do nothing but `pass` or `continue`."""
    found = []
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                found.append(f"{path}:{node.lineno} catches everything")
            elif len(node.body) == 1 and isinstance(node.body[0], ast.Pass):
                found.append(f"{path}:{node.lineno} swallows an error")
    return found


def forbidden_text(path: str, text: str) -> list[str]:
    """Lines that hold what speaks of one machine or of where packages come from."""
    return [
        f"{path}:{number} holds {what}: {line.strip()[:80]}"
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in FORBIDDEN_TEXT.items()
        if pattern.search(line)
    ]


def missing_targets(path: str, source: str, root: Path) -> list[str]:
    """Registry entries "module:Name" whose module or name does not exist."""
    found = []
    for node in ast.walk(ast.parse(source, path)):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        entry = re.fullmatch(
            r"((?:gridprep|facetron|evaluation|manifests)(?:\.\w+)+):(\w+)", node.value
        )
        if entry is None:
            continue
        file = root / (entry.group(1).replace(".", "/") + ".py")
        if not file.is_file():
            found.append(f"{path}:{node.lineno} {node.value}: no such module")
        elif entry.group(2) not in _top_level_names(file.read_text(encoding="utf-8")):
            found.append(f"{path}:{node.lineno} {node.value}: no such name in it")
    return found


def _top_level_names(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


# --- the project ---------------------------------------------------------------------------------


def sources() -> dict[str, str]:
    """Path → source of every module of the four packages."""
    return {
        file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
        for package in MAY_IMPORT
        for file in sorted((ROOT / package).rglob("*.py"))
    }


def texts() -> dict[str, str]:
    """Path → text of every file that git tracks or would track."""
    found = {}
    for name in tracked():
        data = (ROOT / name).read_bytes()
        if b"\0" not in data:
            found[name] = data.decode("utf-8", errors="replace")
    return found


def check_all(rule: Any) -> None:
    faults = [fault for path, source in sources().items() for fault in rule(path, source)]
    assert not faults, "\n".join(faults)


def test_only_allowed_imports_cross() -> None:
    check_all(crossings)


def test_heavy_libraries_stay_in_their_files() -> None:
    check_all(strays)


def test_homes_of_heavy_libraries_exist() -> None:
    gone = [path for homes in HOMES.values() for path in homes if not (ROOT / path).is_file()]
    assert not gone


def test_packages_do_not_print() -> None:
    check_all(prints)


def test_no_error_is_swallowed() -> None:
    check_all(swallowed)


def test_every_registered_target_exists() -> None:
    check_all(lambda path, source: missing_targets(path, source, ROOT))


def test_no_text_speaks_of_one_machine() -> None:
    faults = [fault for path, text in texts().items() for fault in forbidden_text(path, text)]
    assert not faults, "\n".join(faults)


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {str(Path(path).parent) for path in sources()}
    bare = [folder for folder in sorted(folders) if not (ROOT / folder / "__init__.py").is_file()]
    assert not bare


# --- the rules find what they forbid -------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("manifests/io.py", "import gridprep"),
        ("manifests/io.py", "from evaluation.metrics import base"),
        ("manifests/splits/rules.py", "from ...gridprep import mel"),
        ("gridprep/features/crops.py", "import evaluation.scoring.run"),
        ("gridprep/features/crops.py", "def f():\n    from facetron import data"),
        ("facetron/train/dataset.py", "import gridprep"),
        ("facetron/train/dataset.py", "from gridprep import corpus"),
        ("facetron/train/dataset.py", "import gridprep.melody"),
        ("facetron/train/dataset.py", "from gridprep.media.footage import Footage"),
        ("facetron/video/align.py", "from gridprep.pipeline.stages import read_landmarks"),
        ("evaluation/scoring/run.py", "from gridprep.media.decode import decode"),
        (
            "evaluation/scoring/run.py",
            "import importlib\nimportlib.import_module('facetron.model.facetron')",
        ),
        ("evaluation/scoring/run.py", "__import__('facetron')"),
        ("evaluation/scoring/run.py", "importlib.import_module(f'facetron.{name}')"),
        ("evaluation/metrics/registry.py", "METRICS = {'x': 'facetron.model.losses:Loss'}"),
        ("gridprep/pipeline/run.py", "from benchmarks import demo"),
        ("manifests/mel.py", "from gridprep import media"),
        ("manifests/grammar.py", "from gridprep.corpora.grid import Clip"),
    ],
)
def test_crossings_are_found(path: str, source: str) -> None:
    assert len(crossings(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("facetron/train/dataset.py", "from manifests import mel, grammar"),
        ("facetron/train/dataset.py", "from manifests.mel import log_mel"),
        ("facetron/video/align.py", "from gridprep.media.footage import Footage"),
        (
            "evaluation/scoring/run.py",
            "import manifests.grammar as g\nfrom manifests.io import read_json",
        ),
        ("evaluation/metrics/base.py", "from . import registry\nfrom ..score import f"),
        ("manifests/mel.py", "import numpy\nfrom manifests.specs import MelSpec"),
        ("gridprep/pipeline/run.py", "TEXT = 'a: b'; URL = 'http://evaluation.example:80'"),
    ],
)
def test_allowed_imports_pass(path: str, source: str) -> None:
    assert crossings(path, source) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("gridprep/features/crops.py", "import av"),
        ("gridprep/features/crops.py", "def f():\n    import av.error"),
        ("evaluation/scoring/run.py", "from ai_edge_litert.interpreter import Interpreter"),
        ("gridprep/landmarks/registry.py", "importlib.import_module('face_alignment.api')"),
        ("gridprep/pipeline/run.py", "from dask.distributed import Client"),
        ("gridprep/pipeline/run.py", "if x:\n    import distributed"),
        ("facetron/model/facetron.py", "import speechbrain"),
    ],
)
def test_strays_are_found(path: str, source: str) -> None:
    assert len(strays(path, source)) == 1
    assert strays("gridprep/media/decode.py", "import av, numpy, cv2") == []


def test_prints_are_found() -> None:
    assert len(prints("gridprep/a.py", "def f():\n    print('x')")) == 1
    assert prints("gridprep/a.py", "'print(1)'\nclick.echo('x')\nx.print()") == []


def test_swallowed_errors_are_found() -> None:
    assert len(swallowed("a.py", "try:\n    f()\nexcept:\n    raise")) == 1
    assert len(swallowed("a.py", "try:\n    f()\nexcept OSError:\n    pass")) == 1
    assert swallowed("a.py", "try:\n    f()\nexcept OSError:\n    return 1") == []


@pytest.mark.parametrize(
    "text",
    [
        "see /" + "work/data for more",
        "'/" + "root/.cache'",
        "PATH=/" + "home/me/x",
        "pip install --index-url https://py" + "pi.org/simple",
    ],
)
def test_forbidden_text_is_found(text: str) -> None:
    assert len(forbidden_text("README.md", f"fine\n{text}\n")) == 1
    assert forbidden_text("README.md", "https://a.example/work/x framework/ ./home/") == []


def test_missing_targets_are_found(tmp_path: Path) -> None:
    (tmp_path / "gridprep").mkdir()
    (tmp_path / "gridprep" / "cli.py").write_text(
        "def main(): ...\nX: int = 1\nfrom a import b as c"
    )
    source = "T = ['gridprep.cli:main', 'gridprep.cli:X', 'gridprep.cli:c', 'other.mod:f']"
    assert missing_targets("x.py", source, tmp_path) == []
    assert len(missing_targets("x.py", "T = 'gridprep.cli:gone'", tmp_path)) == 1
    assert len(missing_targets("x.py", "T = 'gridprep.gone:main'", tmp_path)) == 1
