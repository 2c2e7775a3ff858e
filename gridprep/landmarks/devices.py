"""Devices of landmark backends, CPU or CUDA, checked with one-line errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from manifests.errors import BadInput


def checked_device(device: str) -> str:
    """Returns the device. Raises `BadInput` unless it is `cpu` or an available CUDA GPU."""
    if device == "cpu":
        return device
    if not re.fullmatch(r"cuda(:\d+)?", device):
        raise BadInput(f"unknown device {device!r}", "give cpu, cuda or cuda:N")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise BadInput(
            f"device {device}: PyTorch {torch.__version__} sees no CUDA GPU",
            "use --device cpu, or install PyTorch for CUDA and check the driver",
        )
    if int(device.partition(":")[2] or 0) >= count:
        raise BadInput(f"device {device}: the last GPU is cuda:{count - 1}", "give an existing GPU")
    return device


def use_bfloat16(precision: str, device: str) -> bool:
    """`bfloat16`, `float32` or `auto`: bfloat16 on GPUs that have it, float32 elsewhere."""
    if precision == "auto" and device != "cpu":
        import torch

        return bool(torch.cuda.is_bf16_supported())
    return precision == "bfloat16"


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Makes cuDNN use deterministic algorithms, whatever a library has set globally."""
    import torch

    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield
