"""Files of weights that the user brings: what they are, by content."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from manifests.errors import MissingDependency
from manifests.io import sha256_file


def weights_sha256(path: Path | None) -> str:
    """SHA-256 of a file, or of a folder's names and contents; "" where there is nothing there."""
    if path is None or not path.exists():
        return ""
    if path.is_file():
        return _file(path, *_stamp(path))
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        name = file.relative_to(path).as_posix()
        digest.update(f"{len(name)}:{name}={_file(file, *_stamp(file))}\n".encode())
    return digest.hexdigest()


def require_file(path: Path | None, metric: str, how: str, whose: str = "its") -> None:
    """Raises `MissingDependency` unless the user gave a file of weights; `how` says what to give."""
    if path is None:
        raise MissingDependency(f"{metric} needs {whose} weights", how)
    if not path.is_file():
        raise MissingDependency(f"{metric}: {path} is no file", how)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=4096)
def _file(path: Path, _mtime_ns: int, _size: int) -> str:
    return sha256_file(path)
