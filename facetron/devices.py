"""Choice of the PyTorch device from the value of `--device`."""

from __future__ import annotations

import torch

from manifests.errors import BadInput


def choose(name: str) -> torch.device:
    """Returns the device for `auto` (CUDA where there is any), `cpu`, `cuda` or `cuda:1`.

    Raises:
        BadInput: the name is unknown, or there is no such CUDA device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise BadInput(f"there is no device {name!r}", "choose auto, cpu, cuda or cuda:NUMBER")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise BadInput(f"--device {name}, but there are {count} CUDA devices", "use --device cpu")
    return torch.device(name)
