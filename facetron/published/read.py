"""Weights that others published, read without unpickling anything."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from manifests.errors import BadInput


def read_published(path: Path, part: str = "") -> dict[str, torch.Tensor]:
    """A `state_dict` out of a checkpoint file of PyTorch.

    Args:
        path: such as HiFi-GAN's `g_02500000` (part `generator`) or `do_02500000` (parts `mpd`,
            `msd`), or a bare `state_dict` such as facenet-pytorch's (no part).
        part: key of the `state_dict` in the file.

    Raises:
        BadInput: no such file, no checkpoint, one that holds code, or no such part in it.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}", "check the path") from None
    except (
        RuntimeError,
        pickle.UnpicklingError,
        EOFError,
        zipfile.BadZipFile,
        ValueError,
    ) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "damaged"
        raise BadInput(
            f"{path} is not a checkpoint of plain tensors ({reason[:100]})", "fetch it again"
        ) from None
    if part:
        if not isinstance(content, dict) or part not in content:
            held = ", ".join(map(str, content)) if isinstance(content, dict) else "no parts"
            raise BadInput(f"{path} has no {part!r}", f"it holds {held[:200]}")
        content = content[part]
    if not isinstance(content, dict) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise BadInput(f"{path} is not a plain state_dict", "name the part of it that is one")
    return content


def load_published(module: nn.Module, path: Path, part: str = "") -> None:
    """Loads all weights of `module` from a published file. Raises `BadInput` as `read_published`,
    or naming the first tensor that does not fit."""
    state = read_published(path, part)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = _misfit(module, state) or str(error).splitlines()[0]
        raise BadInput(
            f"{path} does not fit {type(module).__name__}: {reason}",
            "choose the config that it was trained with",
        ) from None


def _misfit(module: nn.Module, state: dict[str, torch.Tensor]) -> str:
    own = module.state_dict()
    for name, value in own.items():
        if name not in state:
            return f"it has no {name}"
        if state[name].shape != value.shape:
            return f"its {name} is {tuple(state[name].shape)}, not {tuple(value.shape)}"
    surplus = [name for name in state if name not in own]
    return f"it has {surplus[0]}, which the module lacks" if surplus else ""
