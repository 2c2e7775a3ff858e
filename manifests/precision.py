"""Single precision for computations that must not be cast to half precision in training."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context in which autocast is off on a device.

    Devices that have no autocast, such as `meta`, on which modules are only counted, need nothing:
    `torch.autocast` itself raises for them.

    Args:
        device: device of the tensors of the computation; cast them yourself, `x.float()`.

    Example:
        >>> with full_precision(torch.device("meta")):
        ...     torch.empty(2, device="meta").mean().shape
        torch.Size([])
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a @ b in single precision, also where autocast would have it in half: cosines of embeddings that
    lie close together differ by less than bf16 can say (0.004 near 1).

    Example:
        >>> a = torch.tensor([[1.0, 0.001]])
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     float(a @ a.T) == 1.0, float(product(a, a.T)) > 1.0
        (True, True)
    """
    with full_precision(a.device):
        return a.float() @ b.float()
