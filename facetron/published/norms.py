"""Weight and spectral normalization under the names of HiFi-GAN's published weights.

PyTorch has named the two tensors of a weight-normed layer twice: `weight_g`, `weight_v` (the old
`torch.nn.utils.weight_norm`, in every published HiFi-GAN) and `parametrizations.weight.original0`,
`…1` (its successor). Layers normed here write the old names, so that what we save loads into the
original code, and read both, and also a plain `weight`, whether the layer is still normed or not.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

ModuleT = TypeVar("ModuleT", bound=nn.Module)

OLD_OF_NEW = {
    "weight": {
        "parametrizations.weight.original0": "weight_g",
        "parametrizations.weight.original1": "weight_v",
    },
    "spectral": {
        "parametrizations.weight.original": "weight_orig",
        "parametrizations.weight.0._u": "weight_u",
        "parametrizations.weight.0._v": "weight_v",
    },
}


def weight_norm(layer: ModuleT) -> ModuleT:
    """The layer with weight = g · v / ‖v‖ (Salimans and Kingma, 2016), one g an output channel, an
    input channel where the convolution is transposed. Starts at the layer's own weight."""
    _keep_old_names(layer)
    parametrizations.weight_norm(layer)
    return layer


def spectral_norm(layer: ModuleT) -> ModuleT:
    """The layer with its weight divided by its largest singular value (Miyato et al., 2018)."""
    _keep_old_names(layer)
    parametrizations.spectral_norm(layer)
    return layer


def remove_norms(module: nn.Module) -> None:
    """Folds every norm below `module` into plain weights; the outputs stay the same. For inference:
    the weights are then no longer computed anew in every call."""
    for layer in module.modules():
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")


def _kind(layer: nn.Module) -> str:
    """`weight`, `spectral`, or `plain` where there is no norm (any more)."""
    if not parametrize.is_parametrized(layer, "weight"):
        return "plain"
    return (
        "weight"
        if "original0" in layer.get_submodule("parametrizations.weight")._parameters
        else "spectral"
    )


def _keep_old_names(layer: nn.Module) -> None:
    # Before PyTorch's own hook, which would rename for a norm that may have been removed since.
    layer.register_load_state_dict_pre_hook(_read_any_names)  # type: ignore[no-untyped-call]
    layer.register_state_dict_post_hook(_write_old_names)  # type: ignore[no-untyped-call]


def _write_old_names(
    layer: nn.Module, state: dict[str, torch.Tensor], prefix: str, metadata: dict[str, Any]
) -> None:
    for new, old in OLD_OF_NEW.get(_kind(layer), {}).items():
        if prefix + new in state:
            state[prefix + old] = state.pop(prefix + new)


def _read_any_names(layer: nn.Module, state: dict[str, torch.Tensor], prefix: str, *_: Any) -> None:
    kind = _kind(layer)
    if kind == "spectral":
        for new, old in OLD_OF_NEW["spectral"].items():
            if prefix + old in state:
                state[prefix + new] = state.pop(prefix + old)
        return
    keys = {new: prefix + new for new in OLD_OF_NEW["weight"]}
    for new, old in OLD_OF_NEW["weight"].items():
        if prefix + old in state:
            state[keys[new]] = state.pop(prefix + old)
    new_g, new_v = keys.values()
    plain = prefix + "weight"
    if kind == "weight" and plain in state:
        v = state.pop(plain)
        state[new_g], state[new_v] = torch.norm_except_dim(v, 2, 0), v
    elif kind == "plain" and new_g in state and new_v in state:
        g, v = state.pop(new_g), state.pop(new_v)
        state[plain] = v * (g / torch.norm_except_dim(v, 2, 0))
