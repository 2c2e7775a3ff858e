"""Weight files of landmark networks: found by path or in torch's cache, else downloaded; always
checked against the hash in their name and never unpickled.

Files are named as torch.hub names them: `2DFAN4-11f355bf06.pth.tar` carries the first hex digits of
its SHA-256.
"""

from __future__ import annotations

import contextlib
import http.client
import pickle
import re
import socket
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.errors import BadInput, MissingDependency
from manifests.io import sha256_file

NETWORK_TIMEOUT_S = 20.0
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")


@dataclass(frozen=True)
class WeightFile:
    """One file that a network needs.

    Attributes:
        name: its file name in torch's cache.
        url: where its authors publish it.
        option: the backend option that names a local copy.
        given: path of that local copy, or "".
    """

    name: str
    url: str
    option: str
    given: str = ""


@dataclass(frozen=True)
class FoundWeights:
    """A weight file at hand, and what is in it."""

    path: Path
    sha256: str


def cache_folder() -> Path:
    """`$TORCH_HOME/hub/checkpoints`, where torch and its libraries keep weights."""
    import torch.hub

    return Path(torch.hub.get_dir()) / "checkpoints"


def find_weights(files: Sequence[WeightFile]) -> list[FoundWeights]:
    """All files, in order: the given copy, else torch's cache, else downloaded into it.

    Raises: `BadInput` for a given path that does not exist or a file whose content is not what its
        name says; `MissingDependency`, one line for all files, where some cannot be had.
    """
    found: list[FoundWeights] = []
    missing: list[WeightFile] = []
    why = ""
    for file in files:
        path = Path(file.given) if file.given else cache_folder() / file.name
        if file.given and not path.is_file():
            raise BadInput(f"{path} does not exist", f"check --landmark-option {file.option}")
        if not path.is_file():
            # One unreachable network is enough: the next file is listed without waiting again.
            why = why or _download(file, path)
            if why:
                missing.append(file)
                continue
        found.append(FoundWeights(path, _checked_sha256(path)))
    if missing:
        listed = " and ".join(f"{f.name} ({f.url})" for f in missing)
        options = " ".join(f"--landmark-option {f.option}=PATH" for f in missing)
        raise MissingDependency(
            f"weights of the landmark network cannot be downloaded ({why}): {listed}",
            f"put the files into {cache_folder()} or pass {options}",
        )
    return found


def _download(file: WeightFile, target: Path) -> str:
    """Downloads into torch's cache; returns "" or why it did not work."""
    import torch.hub

    carried = _HASH_IN_NAME.search(file.name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _socket_timeout(NETWORK_TIMEOUT_S):
            torch.hub.download_url_to_file(
                file.url, str(target), carried.group(1) if carried else None, progress=False
            )
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return ""


@contextlib.contextmanager
def _socket_timeout(timeout_s: float) -> Iterator[None]:
    # torch's downloader sets no timeout: behind a silent firewall it would wait for ever.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout_s)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _checked_sha256(path: Path) -> str:
    digest = sha256_file(path)
    carried = _HASH_IN_NAME.search(path.name)
    if carried and not digest.startswith(carried.group(1)):
        raise BadInput(
            f"{path} is damaged: its SHA-256 begins with {digest[: len(carried.group(1))]}, "
            "not with what its name carries",
            "delete it and download it again",
        )
    return digest


def load_tensors(path: Path) -> dict[str, Any]:
    """A state dict, read without running any code from the file (`weights_only`).

    Raises `BadInput` for anything but a mapping of names to tensors, such as the TorchScript
    archives that face-alignment shipped up to 1.4.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch would warn of is refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not state:
            raise TypeError("not a mapping of tensors")
        if not all(isinstance(value, torch.Tensor) for value in state.values()):
            raise TypeError("not a mapping of tensors")
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        TypeError,
        ValueError,
        KeyError,
    ) as error:
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else "empty"
        raise BadInput(
            f"{path} does not hold plain weights ({reason})",
            "use the file that face-alignment 1.5 downloads",
        ) from None
    return state
