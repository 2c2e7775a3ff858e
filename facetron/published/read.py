"""Weights that others published, read without unpickling anything."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from facetron.checkpoints.checkpoint import HEADER
from manifests.errors import BadInput


class _Inert:
    """Stands in for every class and function that a checkpoint names beside its tensors: it keeps
    nothing and does nothing, so that nothing of others is imported or run."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Takes whatever the original took."""

    def __setstate__(self, _: Any) -> None:
        """Forgets it."""

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return self

    def append(self, _: Any) -> None:
        """Takes an item, like a list."""

    def __setitem__(self, *_: Any) -> None:
        """Takes a key and a value, like a dictionary."""


def _loaded(path: Path) -> Any:
    """The content of a checkpoint file, without running anything that it names.

    PyTorch's restricted reader makes tensors and plain containers only. Checkpoints of fairseq also
    name classes of their options and dictionaries; the reader is given an inert class for each.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if not zipfile.is_zipfile(path):
            raise
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        if not named:
            raise
        inert: list[Any] = [(type("Inert", (_Inert,), {}), name) for name in named]
        with torch.serialization.safe_globals(inert):
            return torch.load(path, map_location="cpu", weights_only=True)


def _checked(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is an error below
            return _loaded(path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}", "check the path") from None
    except Exception as error:  # bytes of any origin, read as a program, fail in any way
        raise BadInput(
            f"{path} is not a checkpoint of plain tensors ({_reason(error)})", "fetch it again"
        ) from None


def _reason(error: Exception) -> str:
    """Why a file cannot be read, in a few words."""
    text = str(error).strip()
    named = re.search(r"GLOBAL ([\w.]+)", text)
    if named:
        return f"it asks to run {named[1]}"
    if "TorchScript" in text:
        return "it is a program of TorchScript"
    if isinstance(error, pickle.UnpicklingError | KeyError | IndexError | EOFError) or not text:
        return "it is damaged, or no checkpoint at all"
    return text.splitlines()[0][:100]


def is_safetensors(path: Path) -> bool:
    """Returns whether a file is named or begins like safetensors, rather than like PyTorch's own format."""
    if path.suffix == ".safetensors":
        return True
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"


def is_foreign(path: Path) -> bool:
    """Returns whether a file is there and holds weights, but is no checkpoint of facetron."""
    if not path.is_file():
        return False
    if not is_safetensors(path):
        return True
    try:
        with safe_open(path, framework="pt") as file:
            return HEADER not in (file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return False


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a file of PyTorch or of safetensors, named by their way through nested
    dictionaries: `generator.conv_pre.bias`. What is no tensor is passed over, as is the state of
    optimizers.

    Raises:
        BadInput: no such file, no checkpoint, or no tensors in it.
    """
    if path.is_file() and is_safetensors(path):
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise BadInput(
                f"{path} is not a readable safetensors file ({error})", "fetch it again"
            ) from None
    else:
        tensors = {}
        _collect(_checked(path), "", tensors)
    if not tensors:
        raise BadInput(f"{path} holds no tensors", "check the path of the weights")
    return tensors


def _collect(content: Any, prefix: str, into: dict[str, torch.Tensor]) -> None:
    if not isinstance(content, dict):
        return
    for name, value in content.items():
        if isinstance(value, torch.Tensor):
            into[f"{prefix}{name}"] = value
        elif not str(name).startswith("optim"):
            _collect(value, f"{prefix}{name}.", into)


def read_published(path: Path, part: str = "") -> dict[str, torch.Tensor]:
    """A `state_dict` out of a checkpoint file of PyTorch.

    Args:
        path: such as HiFi-GAN's `g_02500000` (part `generator`) or `do_02500000` (parts `mpd`,
            `msd`), or a bare `state_dict` such as facenet-pytorch's (no part).
        part: key of the `state_dict` in the file.

    Raises:
        BadInput: no such file, no checkpoint, or no such part in it.
    """
    content = _checked(path)
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
