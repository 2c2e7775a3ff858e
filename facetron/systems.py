"""Models by name, imported when used: a new one is a class with this contract and a line here.

Importing this module does not import PyTorch.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facetron.model.sizes import model_config
from manifests.errors import BadInput

if TYPE_CHECKING:
    from torch import nn

MODELS: dict[str, str] = {"facetron": "facetron.model.facetron:Facetron"}
"""name → "module:Class". The class is called with a `ModelConfig`; its instances map a batch of lips
(B, C, T, H, W) and faces (B, 3, H, W) to mels (B, n_mels, T') of their `mel_spec`. A `debug` size is
always there."""


def resolve(entry: str) -> Any:
    """What "module:name" names."""
    module, attribute = entry.split(":")
    return getattr(importlib.import_module(module), attribute)


def create(
    name: str, size: str | None = None, file: Path | None = None, sets: Sequence[str] = ()
) -> nn.Module:
    """A model with fresh weights; see `facetron.model.sizes.model_config` for the arguments.

    Raises:
        BadInput: an unknown name, size or option; the choices are listed.
    """
    if name not in MODELS:
        raise BadInput(f"no model {name!r}", f"choose one of {', '.join(MODELS)}")
    model: nn.Module = resolve(MODELS[name])(model_config(size, file, sets))
    return model
