"""`train.compile`: the modules of a stage compiled by `torch.compile`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import Any

import torch

from facetron.train.stage import Stage
from manifests.errors import BadInput

INDUCTOR = "inductor"
"""PyTorch's compiler: of C++ on the CPU, of Triton on CUDA."""


def compile_parts(stage: Stage[Any], backend: str, device: torch.device) -> None:
    """Compiles in place what a stage computes most with: the parts that learn, the lip encoder, which
    may be frozen, and the discriminators. Weights keep their names, and checkpoints their form.

    The whole step is not compiled: which clips of a batch are whose speakers' is decided in Python, and
    would be compiled anew for every batch.

    Raises:
        BadInput: this PyTorch has no such backend, or the backend has no compiler here.
    """
    known = torch.compiler.list_backends(exclude_tags=None)
    if backend not in known:
        raise BadInput(
            f"train.compile_backend is {backend!r}, which this PyTorch does not have",
            f"choose one of {', '.join(torch.compiler.list_backends())}, eager, aot_eager",
        )
    if backend == INDUCTOR and (missing := _missing_compiler(device)):
        raise BadInput(
            f"train.compile needs {missing}, which is not installed",
            "install it, or leave train.compile out",
        )
    chosen = [
        part
        for name, part in stage.parts.items()
        if name == "lip" or any(p.requires_grad for p in part.parameters())
    ]
    if stage.critic is not None:
        chosen += stage.critic.critics.values()
    for module in dict.fromkeys(chosen):  # a discriminator may be a part as well
        module.compile(backend=backend)


def _missing_compiler(device: torch.device) -> str:
    """Returns the name of what `inductor` lacks on this machine, "" where it lacks nothing."""
    default = "clang++" if sys.platform == "darwin" else "g++"
    compiler = os.environ.get("CXX") or default
    if shutil.which(compiler) is None:
        return f"a C++ compiler ({compiler})"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "triton"
    return ""
