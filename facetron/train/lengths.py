"""Losses of batches whose shorter clips were padded: nothing of a clip is compared beyond its end.

The loss of a batch is the mean of its clips' own losses, each clip counting alike however long it is,
so that it neither depends on what a clip is padded with nor on which others it is batched with. Clips
of one length are computed together; a batch of one length (all of GRID) is computed as one, as if there
were no lengths.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from facetron.model.padding import of_each_length
from facetron.train.dataset import Batch

LENGTHS = ".lengths"
"""Ending of the key in `Pairs` of how long the samples of a critic are, as a pair (x, x): the loop detaches
the second of every pair. Absent where all are as long as the batch."""


def mel_lengths(batch: Batch) -> Tensor | None:
    """(B,) mel frames of each clip; None where none was padded."""
    found: Tensor | None = batch.get("mel_lengths")
    return found


def wave_lengths(batch: Batch, unit: int = 1) -> Tensor | None:
    """(B,) mel frames of each clip's segment, times `unit`; None where none was padded."""
    found: Tensor | None = batch.get("wave_mel_lengths")
    return None if found is None else found * unit


def averaged(loss: Callable[..., Tensor], lengths: Tensor | None, *timed: Tensor) -> Tensor:
    """A loss as the mean over the clips of a batch, each by its own length.

    Args:
        loss: takes tensors as `timed`, returns means over the clips given: a scalar, or several.
        lengths: (B,) in units of the last axis of `timed`; None is the whole of it.
        timed: (B, …, T) each.

    Example:
        >>> import torch
        >>> made = torch.tensor([[[1.0, 1.0, 9.0]], [[2.0, 2.0, 2.0]]])
        >>> float(averaged(lambda x: x.mean(), torch.tensor([2, 3]), made))
        1.5
    """
    if lengths is None:
        return loss(*timed)
    parts = [
        loss(*(value[which][..., :length] for value in timed)) * (len(which) / len(lengths))
        for length, which in of_each_length(lengths)
    ]
    return torch.stack(parts).sum(0)
