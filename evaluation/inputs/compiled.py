"""librosa with a cache that can be written.

librosa's functions are compiled by numba, which keeps what it compiled beside the module or in the
user's cache folder, and refuses to be imported where neither can be written: a user without a home, an
installation that is read-only. A folder of this process's own then takes their place.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

VARIABLE = "NUMBA_CACHE_DIR"


def import_librosa() -> ModuleType:
    """The module librosa, whose compiled functions find somewhere to be kept."""
    if "librosa" not in sys.modules:
        prepare_cache()
    return importlib.import_module("librosa")


def prepare_cache() -> None:
    """Points numba to a folder that can be written, unless it has one. Worker processes inherit it.

    Without any such folder, not even a temporary one, nothing is compiled: slow, and correct.
    """
    if os.environ.get(VARIABLE) or _has_cache():
        return
    try:
        folder = tempfile.mkdtemp(prefix="facetron-numba-")
    except OSError:
        os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
        return
    os.environ[VARIABLE] = folder
    atexit.register(_remove, folder, os.getpid())


def _has_cache() -> bool:
    """Returns whether numba finds a folder by itself: `__pycache__` beside librosa, or the user's cache."""
    found = importlib.util.find_spec("librosa")
    if found is None or found.origin is None:
        return True  # nothing to compile
    package = Path(found.origin).parent
    folders = [package, *(path for path in package.iterdir() if (path / "__init__.py").is_file())]
    beside = all(_writable(folder / "__pycache__") for folder in folders)
    return beside or _writable(_user_cache())


def _user_cache() -> Path:
    home = Path(os.path.expanduser("~"))
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "numba"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "numba"


def _writable(folder: Path) -> bool:
    """Returns whether files can be made in a folder, or it can be made itself."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked child
        shutil.rmtree(folder, ignore_errors=True)
