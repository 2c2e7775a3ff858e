"""Exponential moving average of the weights during training (Polyak averaging)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keeps the moving average of a network's weights and floating-point buffers.

    The average starts as the plain mean of the first steps: the decay of step n is at most
    n / (n + 10), so that a short training does not keep the weights it began with.

    Args:
        network: module whose weights are averaged.
        decay: share of the average that each step keeps, such as 0.999.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay = network, decay
        self.values = {name: value.clone() for name, value in self._current().items()}

    def _current(self) -> dict[str, Tensor]:
        return {
            name: value.detach()
            for name, value in self.network.state_dict(keep_vars=True).items()
            if value.is_floating_point()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes the weights after the `step`-th step (from 1) into the average."""
        kept = min(self.decay, step / (step + 10))
        for name, value in self._current().items():
            self.values[name].lerp_(value, 1 - kept)

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor]) -> None:
        """Sets the average, as it was saved."""
        for name, value in self.values.items():
            value.copy_(values[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Puts the average in the place of the weights, and the weights back at the end."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, value in self._current().items():
            kept = value.clone()
            value.copy_(self.values[name])
            self.values[name].copy_(kept)
