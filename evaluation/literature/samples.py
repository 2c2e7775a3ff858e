"""Samples of published systems: fetched from their authors, and made run directories of."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from evaluation.importing.matching import ImportOptions
from evaluation.importing.run import import_run
from evaluation.literature.recipes import Recipe
from manifests.errors import BadInput, ToolkitError
from manifests.io import write_json


def fetch(recipe: Recipe, out: Path, git: str = "") -> Path:
    """Clones the authors' repository into `out/NAME`, unless it is there; returns the samples' folder.

    Args:
        git: another place of the repository, a copy on this disk for instance.

    Raises:
        BadInput: the samples lie on no known repository, or the repository lacks them.
        ToolkitError: git is missing or fails.
    """
    source = git or recipe.git
    if not source:
        where = f"save them from {recipe.page}" if recipe.page else "ask its authors for them"
        raise BadInput(f"{recipe.name}: the samples lie in no known repository", where)
    target = out / recipe.name
    if not target.exists():
        program = shutil.which("git")
        if program is None:
            raise ToolkitError("git is not installed", f"install it, or clone {source} by hand")
        out.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # of a call that was killed
        done = subprocess.run(
            [program, "clone", "--quiet", "--depth", "1", "--", source, str(part)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            shutil.rmtree(part, ignore_errors=True)
            told = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            raise ToolkitError(
                f"{source} could not be cloned: {told}", "see whether it is reachable"
            )
        part.rename(target)
    folder = target / recipe.folder
    if not folder.is_dir():
        raise BadInput(
            f"{target} has no folder {recipe.folder}",
            "remove it and fetch again, or mend the recipe",
        )
    return folder


def make_runs(recipe: Recipe, samples: Path, out: Path) -> list[Path]:
    """Makes a run directory `out/SYSTEM` of each system of a recipe.

    Args:
        samples: the folder that `fetch` returned, or a copy of it.

    Raises:
        BadInput: nothing is known of the files, or none matches.
    """
    if not recipe.systems:
        raise BadInput(f"{recipe.name}: the names of its files are not known", recipe.remarks)
    runs = []
    for system in recipe.systems:
        root = out / "".join(c if c.isalnum() else "-" for c in system.name).strip("-").lower()
        import_run(
            ImportOptions(
                wavs=samples,
                pattern=system.pattern,
                name=system.name,
                out=root,
                references=samples,
                reference_pattern=recipe.reference_pattern,
            )
        )
        write_json(root / "published.json", {"recipe": recipe.name, "printed": system.printed})
        runs.append(root)
    return runs
