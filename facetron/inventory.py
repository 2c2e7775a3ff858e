"""Inventory of a config: the shapes, parameters and GFLOP of every module of a system.

Modules are built on PyTorch's `meta` device, so that nothing is allocated and nothing computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ModuleEntry:
    """A module of a system to count.

    Attributes:
        build: builds the module.
        shapes: shapes of its inputs for a clip of 3 s, without the batch.
        says: section and words of the source on the module.
        speaks: whether synthesis needs it; others are used in training only.
        planned: million parameters and GFLOP per clip that were counted independently, for the config
            that they were counted for.
        note: why a count here differs from the planned one.
    """

    build: Callable[[], nn.Module]
    shapes: Sequence[Shape]
    says: str
    speaks: bool = False
    planned: tuple[float, float] | None = None
    note: str = ""


@dataclass(frozen=True)
class ModuleRow:
    """The counts of a module.

    Attributes:
        name: name of the module.
        entry: the module that was counted.
        output_shapes: shapes without the batch; for a discriminator those of its scores.
        parameters: number of parameters.
        gflop: 10⁹ operations (two per multiply-add) forward for one clip of 3 s; convolutions and
            matrix products only.
    """

    name: str
    entry: ModuleEntry
    output_shapes: tuple[Shape, ...]
    parameters: int
    gflop: float


def inventory(modules: Mapping[str, ModuleEntry]) -> list[ModuleRow]:
    """Counts modules, one row per module in the given order; `facetron.systems.System.modules` gives
    those of a system."""
    rows = []
    for name, entry in modules.items():
        module, outputs, gflop = measured(entry.build, entry.shapes)
        parameters = sum(p.numel() for p in module.parameters())
        rows.append(ModuleRow(name, entry, outputs, parameters, gflop))
    return rows


def measured(
    build: Callable[[], nn.Module], shapes: Sequence[Shape]
) -> tuple[nn.Module, tuple[Shape, ...], float]:
    """Builds a module without memory and runs it once.

    Returns:
        The module (on `meta`), the shapes of its outputs without the batch, GFLOP of one item.
    """
    with torch.device("meta"):
        module = build().eval()
        inputs = [torch.empty(1, *shape) for shape in shapes]
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        output = module(*inputs)
    return module, tuple(_shapes(output)), counter.get_total_flops() / 1e9


def _shapes(output: Any) -> list[Shape]:
    if isinstance(output, Tensor):
        return [tuple(output.shape[1:])]
    if hasattr(output, "score"):  # of a discriminator, beside the maps of its layers
        return _shapes(output.score)
    return [shape for item in output for shape in _shapes(item)]
