"""Embeddings of lips that were read beforehand, in a file that all processes map into memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Readings:
    """An array (clips, variants, T, E) float16 in a file. Pickles as its path: the processes that read
    clips share the pages that the system keeps of it.

    Attributes:
        path: the file, raw numbers.
        shape: of the array.
    """

    path: Path
    shape: tuple[int, int, int, int]

    @cached_property
    def _array(self) -> NDArray[np.float16]:
        return np.memmap(self.path, np.float16, "r", shape=self.shape)

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "shape": self.shape}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        """(T, E) of a clip and a variant."""
        return torch.from_numpy(np.array(self._array[key]))

    def __len__(self) -> int:
        return self.shape[0]
