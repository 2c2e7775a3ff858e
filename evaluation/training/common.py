"""Parts that all trainings here share: schedules, averaged weights, and states to take training up from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from manifests.errors import BadInput
from manifests.io import atomic_path


def learning_rate(peak: float, step: int, steps: int, warmup: float = 0.05) -> float:
    """Rises linearly over the first share `warmup` of all steps, then falls as a half cosine to
    1 % of the peak."""
    progress = min((step + 1) / steps, 1.0)
    if progress < warmup:
        return peak * progress / warmup
    fallen = (progress - warmup) / (1 - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fallen)))


@torch.no_grad()
def average_into(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the weights of `averaged` towards those of `model` by 1 − decay; buffers are copied."""
    for mean, value in zip(averaged.parameters(), model.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
    for own, other in zip(averaged.buffers(), model.buffers(), strict=True):
        own.copy_(other)


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Atomically writes tensors and plain values."""
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def read_state(path: Path) -> dict[str, Any] | None:
    """The state that `write_state` wrote, None where there is nothing. Runs no code of the file.

    Raises:
        BadInput: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        line = " ".join(str(error).split())[:120]
        raise BadInput(f"{path} cannot be read ({line})", "remove it to start anew") from None
    return state
