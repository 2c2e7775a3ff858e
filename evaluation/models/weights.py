"""Files of weights that the user brings or a wheel holds: what they are, by content, and reading them."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from manifests.errors import BadInput, MissingDependency, in_short
from manifests.io import sha256_file

if TYPE_CHECKING:
    from torch import nn

NetworkT = TypeVar("NetworkT", bound="nn.Module")


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


def loaded(network: NetworkT, path: Path, what: str, remedy: str, key: str = "") -> NetworkT:
    """`network` with the weights of a file of PyTorch's, ready to score. Runs no code of the file.

    Args:
        what: completes "FILE …" where it cannot be used, such as "is no SyncNet".
        key: where the file holds the weights; "" where it holds nothing else.

    Raises:
        BadInput: no such file, damaged, or weights of another network.
    """
    import torch

    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        # Files of the time before they existed lack these counters, which scoring does not use.
        own = {k: v for k, v in network.state_dict().items() if k.endswith("num_batches_tracked")}
        network.load_state_dict({**own, **(saved[key] if key else saved)})
    except Exception as error:  # whatever torch raises for a file that is not its own
        raise BadInput(f"{path} {what} ({in_short(error)})", remedy) from None
    return network.eval().requires_grad_(False)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=4096)
def _file(path: Path, _mtime_ns: int, _size: int) -> str:
    return sha256_file(path)
