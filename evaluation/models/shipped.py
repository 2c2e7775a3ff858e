"""Weights that come with the toolkit: a safetensors file and, beside it, the card that names its
content. A file that is not the card's is refused: its scores would carry a name that is not theirs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.models.weights import weights_sha256
from manifests.errors import BadInput, in_short
from manifests.io import read_json

Tensors = dict[str, NDArray[Any]]
REMEDY = "install the toolkit again, or restore both from its repository"


@dataclass(frozen=True)
class Shipped:
    """
    Attributes:
        tensors: name → values, float32 (files hold float16 to be small).
        metadata: of the file's header.
        card: the JSON beside it.
        sha256: of the file.
    """

    tensors: Tensors
    metadata: dict[str, Any]
    card: dict[str, Any]
    sha256: str


def card_of(path: Path) -> Path:
    return path.with_suffix(".json")


@lru_cache(maxsize=8)
def open_shipped(path: Path) -> Shipped:
    """Raises `BadInput` where the file or its card is absent, broken, or not the other's."""
    from safetensors import SafetensorError, safe_open

    sha256 = weights_sha256(path)
    if not sha256:
        raise BadInput(f"{path} does not exist", REMEDY)
    card = read_json(card_of(path))
    if card["sha256"] != sha256:
        raise BadInput(
            f"{path} is not the file of its card (sha256 {sha256[:8]}…, not {card['sha256'][:8]}…)",
            REMEDY,
        )
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get("about", "{}"))
            tensors = {name: _wide(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} holds no weights ({in_short(error)})", REMEDY) from None
    return Shipped(tensors, metadata, card, sha256)


def _wide(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float32) if values.dtype == np.float16 else values


def save_shipped(path: Path, tensors: Tensors, about: dict[str, Any], card: dict[str, Any]) -> str:
    """Writes weights and card; returns the sha256.

    Args:
        tensors: float32 becomes float16, other types stay.
        about: for the header.
        card: what a reader is owed; the hash is added.
    """
    from safetensors.numpy import save

    from manifests.io import atomic_open, write_json

    # Row by row: safetensors writes memory as it lies, and a transposed array would come back scrambled.
    narrow = {
        name: np.ascontiguousarray(
            values.astype(np.float16) if values.dtype == np.float32 else values
        )
        for name, values in tensors.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_open(path, "wb") as file:
        file.write(save(narrow, {"about": json.dumps(about, sort_keys=True)}))
    sha256 = weights_sha256(path)
    write_json(card_of(path), {"sha256": sha256, **card})
    return sha256
