"""Parts that a checkpoint does not hold itself but takes from bundled weights when it is read.

Several systems that read lips with the same frozen encoder, or whose mels one vocoder says, need not
each bring a copy of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from facetron.checkpoints import bundled, checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from manifests.errors import BadInput

ANY = ""
"""In place of a digest: any weights of the part will do, as of a vocoder."""


def of_part(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors `part.…`."""
    return {name: value for name, value in tensors.items() if name.startswith(f"{part}.")}


def digest(part: str, tensors: Mapping[str, Tensor]) -> str:
    """16 hex digits over the names, shapes and float16 values of a part."""
    told = hashlib.sha256()
    for name, value in sorted(of_part(part, tensors).items()):
        short = value.to(torch.float16) if value.is_floating_point() else value
        told.update(f"{name}{tuple(value.shape)}".encode())
        told.update(short.contiguous().numpy().tobytes())
    return told.hexdigest()[:16]


def lend(part: str, name: str, tensors: Mapping[str, Tensor]) -> str:
    """Returns what a checkpoint with these tensors notes of a part that it borrows from weights `name`.

    Returns:
        `NAME:DIGEST`, without a digest where the checkpoint has no such part of its own.

    Raises:
        BadInput: the weights lack the part, or have another one than the checkpoint.
    """
    path = bundled.resolve(name)
    _, theirs = checkpoint.load(path)
    if not of_part(part, theirs):
        raise BadInput(f"the weights {name} have no {part} to share", "share another part")
    if not of_part(part, tensors):
        return f"{name}:{ANY}"
    found = digest(part, theirs)
    if found != digest(part, tensors):
        raise BadInput(
            f"the {part} of the weights {name} is another one", "leave it in the file, or retrain"
        )
    return f"{name}:{found}"


def source_of(info: CheckpointInfo, part: str) -> str:
    """Name of the bundled weights that a part is borrowed from, "" where it is not."""
    return info.borrowed.get(part, "").partition(":")[0]


def fetched(info: CheckpointInfo, path: Path) -> dict[str, Tensor]:
    """The tensors of all borrowed parts that are bound to a digest.

    Raises:
        BadInput: this installation has no such weights, or others than those that were borrowed.
    """
    found: dict[str, Tensor] = {}
    for part, note in info.borrowed.items():
        name, _, known = note.partition(":")
        if known == ANY:
            continue
        if name not in bundled.names():
            raise BadInput(
                f"{path} borrows its {part} from the weights {name}, which are not installed",
                "install the version that it came with",
            )
        _, theirs = checkpoint.load(bundled.resolve(name))
        if digest(part, theirs) != known:
            raise BadInput(
                f"{path} borrows its {part} from the weights {name}, which have another one now",
                "use the version that it came with",
            )
        found |= of_part(part, theirs)
    return found
