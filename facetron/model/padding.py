"""Clips of different lengths in one batch: what is a clip's own, and modules that see nothing else.

Shorter clips of a batch are padded at the end. A convolution sees zeros beyond the end of a clip that is
alone, so that with its padding set to zero a clip gives the same in any batch; a batch norm in training
takes its statistics from the clips' own frames (`normed`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn


def inside(lengths: Tensor | None, timed: Tensor) -> Tensor:
    """(B, T) whether a frame of (B, T, …) is a clip's own and no padding; `lengths` (B,) in frames, None
    where none was padded."""
    clips, frames = timed.shape[:2]
    if lengths is None:
        return torch.ones(clips, frames, dtype=torch.bool, device=timed.device)
    return torch.arange(frames, device=timed.device) < lengths.to(timed.device)[:, None]


def of_each_length(lengths: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(length, indices of the clips that have it), shortest first."""
    for length in sorted(set(lengths.tolist())):
        yield length, (lengths == length).nonzero().flatten()


def embedded(module: Callable[[Tensor], Tensor], lengths: Tensor | None, timed: Tensor) -> Tensor:
    """(B, D) embeddings of (B, …, T) clips, each of its own length. For modules whose clips do not
    depend on each other, such as one in evaluation mode."""
    if lengths is None:
        return module(timed)
    found: list[Tensor] = [timed] * len(lengths)
    for length, which in of_each_length(lengths):
        for index, embedding in zip(
            which.tolist(), module(timed[which][..., :length]), strict=True
        ):
            found[index] = embedding
    return torch.stack(found)


def normed(norm: nn.Module, x: Tensor, own: Tensor | None) -> Tensor:
    """A batch norm of two or three dimensions over the frames that are clips' own.

    Args:
        norm: of images or volumes; one that processes share as well.
        x: (B, C, T, …).
        own: (B, T) bool as `inside` gives it; None where nothing was padded.

    Returns:
        The same shape. In training the frames beyond the end of a clip come back as zeros and count in
        no statistic; in evaluation, where every value is scaled by itself, they are scaled as well.

    Example:
        >>> import torch
        >>> from facetron.model.padding import normed
        >>> clips = torch.tensor([1.0, 3.0, 99.0]).reshape(1, 1, 3, 1)
        >>> normed(torch.nn.BatchNorm2d(1), clips, torch.tensor([[True, True, False]])).flatten()
        tensor([-1.0000,  1.0000,  0.0000], grad_fn=<ViewBackward0>)
    """
    if own is None or not norm.training:
        every: Tensor = norm(x)
        return every
    frames = x.movedim(1, 2)  # (B, T, C, …)
    seen = norm(frames[own].unsqueeze(2))  # (frames of all clips, C, 1, …)
    made = torch.zeros_like(frames, dtype=seen.dtype)
    made[own] = seen.squeeze(2)
    return made.movedim(2, 1)
