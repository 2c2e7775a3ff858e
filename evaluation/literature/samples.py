"""Samples of published systems: fetched from their authors, and made run directories of."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

from evaluation.importing.matching import ImportOptions
from evaluation.importing.run import import_run
from evaluation.literature.recipes import Recipe, recipes
from manifests.console import Progress
from manifests.errors import BadInput, ToolkitError
from manifests.io import atomic_open

TIMEOUT_S = 60.0
LARGEST_BYTES = 100 << 20
"""Largest size of a page or a sample: more is none."""


def fetch(recipe: Recipe, out: Path, git: str = "", page: str = "") -> Path:
    """Brings the authors' samples into `out/NAME`, unless they are there; returns their folder.

    Of a repository the samples' folder alone is checked out; of a page every sample that it links to is
    loaded.

    Args:
        git: another place of the repository, a copy on this disk for instance.
        page: another place of the page.

    Raises:
        BadInput: the samples lie at no known place, or the place lacks them.
        ToolkitError: git is missing, or the place cannot be reached.
    """
    target = out / recipe.name
    source = git or recipe.git
    address = page or recipe.page
    if not source and not (address and recipe.links):
        where = f"save them from {recipe.page}" if recipe.page else "ask its authors for them"
        raise BadInput(f"{recipe.name}: the samples lie in no known repository", where)
    if not target.exists():
        out.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # of a call that was killed
        try:
            if source:
                _clone(source, part, recipe.folder)
            else:
                _load_page(address, re.compile(recipe.links), part)
        except ToolkitError:
            shutil.rmtree(part, ignore_errors=True)
            raise
        part.rename(target)
    folder = target / recipe.folder
    if not folder.is_dir():
        raise BadInput(
            f"{target} has no folder {recipe.folder}",
            "remove it and fetch again, or mend the recipe",
        )
    return folder


def _clone(source: str, part: Path, folder: str) -> None:
    """Clones a repository and checks out one folder: demos hold many films besides. A server that knows how
    sends no others."""
    program = shutil.which("git")
    if program is None:
        raise ToolkitError("git is not installed", f"install it, or clone {source} by hand")

    def git(*arguments: str) -> None:
        done = subprocess.run([program, *arguments], capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if not line.startswith("warning:")]
            told = " ".join(lines[-1:]) or f"exit code {done.returncode}"
            raise ToolkitError(
                f"{source} could not be cloned: {told}", "see whether it is reachable"
            )

    git(
        *("clone", "--quiet", "--depth", "1", "--filter=blob:none", "--no-checkout"),
        *("--", source, str(part)),
    )
    # A repository without that folder is left empty: `fetch` says so.
    if has_folder(program, part, folder):
        git("-C", str(part), "checkout", "--quiet", "HEAD", "--", folder or ".")


def has_folder(program: str, part: Path, folder: str) -> bool:
    """Returns whether the last commit of a clone holds a folder."""
    shown = subprocess.run(
        [program, "-C", str(part), "cat-file", "-e", f"HEAD:{folder}"], capture_output=True
    )
    return shown.returncode == 0


class _Links(HTMLParser):
    """Everything that a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def _load_page(address: str, wanted: re.Pattern[str], part: Path) -> None:
    """Loads the samples that a page links to, each to its own path below the page."""
    links = _Links()
    links.feed(_load(address).decode("utf-8", "replace"))
    paths = sorted(
        {
            path
            for link in links.found
            if wanted.fullmatch(path := PurePosixPath(urllib.parse.unquote(link)).as_posix())
            and ".." not in PurePosixPath(path).parts
        }
    )
    if not paths:
        raise BadInput(
            f"{address} links to no sample that matches {wanted.pattern!r}",
            "the page has changed: save its samples by hand",
        )
    with Progress(len(paths), "fetch", "file") as progress:
        for path in paths:
            content = _load(urllib.parse.urljoin(address, urllib.parse.quote(path)))
            with atomic_open(part / path, "wb") as file:
                file.write(content)
            progress.update()


def _load(address: str) -> bytes:
    if not address.startswith(("http://", "https://")):
        raise BadInput(f"{address} is no address of a page", "begin it with http:// or https://")
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            content: bytes = answer.read(LARGEST_BYTES + 1)
    except (urllib.error.URLError, OSError) as error:
        told = getattr(error, "reason", None) or error
        raise ToolkitError(
            f"{address} could not be loaded: {told}", "see whether it is reachable"
        ) from None
    if len(content) > LARGEST_BYTES:
        raise ToolkitError(f"{address} is larger than {LARGEST_BYTES >> 20} MiB", "load it by hand")
    return content


def fetched(published: Path) -> dict[str, Path]:
    """Recipe → folder of its samples, of those that lie in `published/NAME`: a clone or a saved page, or
    a copy of the folder with the samples alone.

    Raises:
        BadInput: there are none.
    """
    found = {}
    for name, recipe in recipes().items():
        if recipe.systems and (published / name).is_dir():
            inside = published / name / recipe.folder
            found[name] = inside if inside.is_dir() else published / name
    if not found:
        known = ", ".join(name for name, recipe in recipes().items() if recipe.systems)
        raise BadInput(
            f"{published} holds no samples of a known publication", f"fetch one of {known}"
        )
    return found


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
    with tempfile.TemporaryDirectory() as folder:
        sentences = _sentences(recipe, Path(folder))
        for system in recipe.systems:
            root = out / run_name(system.name)
            import_run(
                ImportOptions(
                    wavs=samples,
                    pattern=system.pattern,
                    name=system.name,
                    out=root,
                    references=samples if recipe.reference_pattern else None,
                    reference_pattern=recipe.reference_pattern,
                    sentences=sentences,
                    corpus=recipe.corpus,
                )
            )
            runs.append(root)
    return runs


def run_name(system: str) -> str:
    """Folder of a system's run."""
    words = "".join(c if c.isalnum() else " " for c in system).split()
    return "-".join(words).lower()


def _sentences(recipe: Recipe, folder: Path) -> Path | None:
    """The recipe's sentences as the table that an import reads."""
    if not recipe.sentences:
        return None
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("stem", "speaker", "text"))
    writer.writerows((s.stem, s.speaker, s.text) for s in recipe.sentences)
    path = folder / "sentences.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    return path
