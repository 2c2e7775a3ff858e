"""The distribution as a stranger gets it: built from the source archive, installed into an empty
environment, run away from the repository; and with libraries missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import builds
import numpy as np
import pytest
import soundfile
from tracked_files import tracked

from manifests.libraries import EXTRAS

ROOT = Path(__file__).parents[2]
PACKAGES = ("manifests", "gridprep", "facetron", "evaluation")
PROGRAMS = {"gridprep": "gridprep", "facetron": "facetron", "facetron-eval": "evaluation"}
BUILD = "from setuptools import build_meta; import sys; print(build_meta.{hook}(sys.argv[1]))"

pytestmark = pytest.mark.timeout(900)


def ran(
    *command: object, cwd: Path, expected: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))}
    ended = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == expected, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(source archive, wheel built from what the source archive holds)."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    ran(sys.executable, "-c", BUILD.format(hook="build_sdist"), folder, cwd=source)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    ran(sys.executable, "-c", BUILD.format(hook="build_wheel"), folder, cwd=unpacked)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(archives: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of a new environment that holds the wheel and, behind it, the libraries
    of this one (so that nothing is downloaded)."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    (site,) = (folder / "lib").glob("python*/site-packages")
    ran(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
        "--no-index", archives[1], cwd=folder,
    )  # fmt: skip
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def test_the_source_archive_holds_what_it_should(archives: tuple[Path, Path]) -> None:
    with tarfile.open(archives[0]) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    kept = ("manifests/", "gridprep/", "facetron/", "evaluation/", "tests/", "docs/", "benchmarks/")
    files = {"README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md", "constraints.txt", "Makefile",
             "pyproject.toml", "setup.py", "ARCHITECTURE.md", "CONTRIBUTING.md"}  # fmt: skip
    assert {name for name in tracked() if name.startswith(kept)} | files <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(".ci")]


def test_the_wheel_holds_the_packages_and_nothing_else(archives: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(archives[1]) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {name for name in tracked() if name.split("/")[0] in PACKAGES}


@pytest.mark.parametrize("program", PROGRAMS)
def test_installed_programs_say_what_they_do(program: str, installed: Path, tmp_path: Path) -> None:
    assert "Usage: " in ran(installed / program, "--help", cwd=tmp_path).stdout
    assert "0.1.0" in ran(installed / program, "--version", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("program", "typed", "completed"),
    [
        ("gridprep", "bu", "build"),
        ("facetron", "syn", "synthesize"),
        ("facetron-eval", "sc", "score"),
    ],
)
def test_shells_complete_the_programs(
    program: str, typed: str, completed: str, installed: Path, tmp_path: Path
) -> None:
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    script = ran(installed / program, cwd=tmp_path, **{variable: "bash_source"}).stdout
    assert f"complete -o nosort -F _{program.replace('-', '_')}_completion {program}" in script
    found = ran(
        installed / program,
        cwd=tmp_path,
        **{variable: "bash_complete", "COMP_WORDS": f"{program} {typed}", "COMP_CWORD": "1"},
    )
    assert f"plain,{completed}" in found.stdout.splitlines()


def test_installed_programs_do_a_small_job(
    installed: Path, synth_corpus: Path, tmp_path: Path
) -> None:
    """From clips to scores, away from the repository, by what the wheel alone holds."""
    python = installed / "python"
    where = ran(python, "-c", "import gridprep; print(gridprep.__file__)", cwd=tmp_path).stdout
    assert where.startswith(str(installed.parent))
    build, run = tmp_path / "build", tmp_path / "run"
    made = ran(
        installed / "gridprep", "build", "--corpus", synth_corpus, "--out", build, "--split",
        "all-seen", "--speakers", "s1", "--jobs", "1", cwd=tmp_path,
    )  # fmt: skip
    assert "2 rows + 0 failures = 2 clips" in made.stdout
    ran(
        installed / "facetron", "synthesize", "--manifest", build, "--subset", "all",
        "--checkpoint", "synthgrid", "--face", "mean", "--out", run, cwd=tmp_path,
    )  # fmt: skip
    ran(
        installed / "facetron-eval",
        "score",
        run,
        "--metrics",
        "mcd,stoi,degradation_index",
        cwd=tmp_path,
    )
    scores = (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    assert {json.loads(line)["status"] for line in scores} == {"ok"}


# -- without libraries ------------------------------------------------------------------------------

WITHOUT = """
import importlib.machinery, importlib.metadata, os

absent = set(os.environ["ABSENT"].split(","))
find, from_name = importlib.machinery.PathFinder.find_spec, importlib.metadata.Distribution.from_name

def find_spec(name, path=None, target=None):
    return None if name.split(".")[0] in absent else find(name, path, target)

def named(name):
    if name.replace("-", "_") in absent:
        raise importlib.metadata.PackageNotFoundError(name)
    return from_name(name)

importlib.machinery.PathFinder.find_spec = staticmethod(find_spec)
importlib.metadata.Distribution.from_name = staticmethod(named)
"""
"""Read by every Python process at its start, so by workers too."""

EVERY_HELP = """
import sys
from click.testing import CliRunner
for package in sys.argv[1:]:
    cli = __import__(package + ".cli", fromlist=["cli"]).cli
    for command in ([], *([name] for name in cli.lazy)):
        ended = CliRunner().invoke(cli, [*command, "--help"])
        assert ended.exit_code == 0, (package, command, ended.output, ended.exception)
        print(package, *command)
"""


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hook")
    (folder / "sitecustomize.py").write_text(WITHOUT)
    return folder


def without(
    hook: Path, libraries: Iterable[str], *arguments: object
) -> subprocess.CompletedProcess[str]:
    """Python where some libraries cannot be imported."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(hook), str(ROOT))),
            "ABSENT": ",".join(libraries),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def small_build(synth_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small") / "build"
    code, _, errors = builds.gridprep(
        "build", "--corpus", synth_corpus, "--out", out, "--split", "all-seen", "--jobs", "1"
    )  # fmt: skip
    assert code == 0, errors
    return out


@pytest.fixture(scope="module")
def small_run(small_build: Path, hook: Path) -> Path:
    """A run directory whose speech is the recordings with a little noise."""
    folder = small_build.parent / "wavs"
    noise = np.random.default_rng(0)
    for wav in sorted((small_build / "audio").rglob("*.wav")):
        sound, rate = soundfile.read(wav)
        target = folder / wav.parent.name / wav.name
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, sound + 0.001 * noise.standard_normal(len(sound)), rate)
    ended = without(
        hook, (), "-m", "evaluation", "import", "--wavs", folder, "--pattern", "{speaker}/{stem}.wav",
        "--name", "noisy", "--manifest", small_build, "--subset", "all", "--out", small_build.parent / "run",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return small_build.parent / "run"


def test_help_needs_no_extra(hook: Path) -> None:
    ended = without(hook, EXTRAS, "-c", EVERY_HELP, *PROGRAMS.values())
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) > 20


def test_the_main_jobs_need_no_extra(
    hook: Path, small_build: Path, small_run: Path, synth_corpus: Path, tmp_path: Path
) -> None:
    built = without(
        hook, EXTRAS, "-m", "gridprep", "build", "--corpus", synth_corpus, "--out", tmp_path / "build",
        "--split", "all-seen", "--speakers", "s1", "--jobs", "1",
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    spoken = without(
        hook, EXTRAS, "-m", "facetron", "synthesize", "--manifest", small_build, "--subset", "all",
        "--checkpoint", "synthgrid", "--out", tmp_path / "spoken",
    )  # fmt: skip
    assert spoken.returncode == 0, spoken.stderr
    scored = without(
        hook, EXTRAS, "-m", "evaluation", "score", small_run, "--metrics", "mcd,stoi,estoi"
    )
    assert scored.returncode == 0, scored.stderr


@pytest.mark.parametrize(
    ("library", "package", "arguments", "extra"),
    [
        ("espeakng_loader", "gridprep", ("synth", "{out}", "--speakers", "s1"), "prep"),
        ("matplotlib", "gridprep", ("inspect", "{build}", "--out", "{out}"), "prep"),
        ("dask,distributed", "gridprep",
         ("build", "--corpus", "{corpus}", "--out", "{out}", "--split", "all-seen", "--backend",
          "dask"), "dask"),
        ("face_alignment", "gridprep",
         ("build", "--corpus", "{corpus}", "--out", "{out}", "--split", "all-seen", "--landmarks",
          "face-alignment"), "face-alignment"),
        ("lightning_fabric", "facetron",
         ("train", "lip", "--manifest", "{build}", "--size", "debug", "--out", "{out}"), "train"),
        ("librosa", "evaluation", ("score", "{run}", "--metrics", "f0_rmse"), "eval"),
        ("speechbrain", "evaluation", ("score", "{run}", "--metrics", "wer"), "eval"),
        ("jiwer", "evaluation", ("score", "{run}", "--metrics", "wer"), "eval"),
        ("pesq", "evaluation", ("score", "{run}", "--metrics", "pesq_wb"), "pesq"),
    ],
)  # fmt: skip
def test_a_missing_library_is_one_line_that_names_its_extra(
    library: str,
    package: str,
    arguments: tuple[str, ...],
    extra: str,
    hook: Path,
    small_build: Path,
    small_run: Path,
    synth_corpus: Path,
    tmp_path: Path,
) -> None:
    names = {
        "out": tmp_path / "out",
        "build": small_build,
        "run": small_run,
        "corpus": synth_corpus,
    }
    ended = without(
        hook, library.split(","), "-m", package, *(word.format(**names) for word in arguments)
    )
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert f"pip install 'facetron-toolkit[{extra}]'" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
