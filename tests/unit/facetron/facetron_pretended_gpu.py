"""A GPU that is pretended: tensors on it are the CPU's with a label, and mixing the two raises.

Where there is no GPU this shows what a GPU would refuse: a tensor made without `device=`, an average of the
weights that stayed behind, an array taken of a tensor that must be copied first. Values are the CPU's, so
that a step can be compared with one without the pretense. What it does not show: kernels, their precision
and their speed, autocast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter

GPU = torch.device("cuda", 0)


class OnGpu(torch.Tensor):
    """A tensor with the label."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


class ParameterOnGpu(nn.Parameter, OnGpu):
    """A parameter with the label."""


VF: Any = torch._VF  # type: ignore[attr-defined]
RECURRENT = {VF.gru, VF.lstm}
PACKED = {VF._pack_padded_sequence, VF._pad_packed_sequence}
"""Functions that give a tensor and, on the CPU, lengths."""

COUNTS = {torch.Tensor.__getitem__, torch.nn.functional.ctc_loss, *RECURRENT, *PACKED}
"""Functions that take whole numbers of the CPU: indices, and lengths that CUDA wants there."""

READS = {
    torch.Tensor.item,
    torch.Tensor.tolist,
    torch.Tensor.__float__,
    torch.Tensor.__int__,
    torch.Tensor.__bool__,
    torch.Tensor.__index__,
    torch.Tensor.cpu,
}
"""Functions that wait for the GPU."""


def label(tensor: Tensor) -> None:
    """Puts a tensor on the GPU in place, as `Module.to` does with those of a module."""
    if not isinstance(tensor, OnGpu):
        kind = ParameterOnGpu if isinstance(tensor, nn.Parameter) else OnGpu
        tensor.__class__ = kind  # type: ignore[assignment]


class PretendedGpu(TorchFunctionMode):
    """Within it, `cuda:0` is the pretended GPU.

    Attributes:
        waits: how often a value was read from it, which a step has to wait for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
        labeled = any(isinstance(x, OnGpu) for x in tensors)
        name = getattr(func, "__name__", "")
        asked = getattr(func, "__self__", None) if name == "__get__" else None
        if labeled and asked in (torch.Tensor.device, torch.Tensor.is_cuda):
            return GPU if asked is torch.Tensor.device else True
        if func is torch.Tensor.to or func is torch.Tensor.cpu:
            return self._moved(func, args, kwargs, labeled)
        wanted = self._device(kwargs.pop("device", None))
        on_gpu = labeled if wanted is None else wanted.type == "cuda"
        if labeled:
            self._check(func, name, tensors, args)
        if on_gpu and isinstance(kwargs.get("generator"), torch.Generator):
            raise RuntimeError(f"{name}: a generator of the CPU for a tensor on the GPU")
        if wanted is not None and wanted.type != "cuda":
            kwargs["device"] = wanted
        made = func(*args, **kwargs)
        if func in PACKED:
            label(made[0])
            return made
        if on_gpu:
            for tensor in tree_iter(made):
                if isinstance(tensor, Tensor):
                    label(tensor)
        return made

    @staticmethod
    def _device(given: Any) -> torch.device | None:
        return None if given is None else torch.device(given)

    def _moved(self, func: Any, args: Any, kwargs: Any, labeled: bool) -> Any:
        """`Tensor.to` and `Tensor.cpu`."""
        value, rest = args[0], list(args[1:])
        wanted = torch.device("cpu") if func is torch.Tensor.cpu else None
        for at, given in enumerate(rest):
            if isinstance(given, str | torch.device):
                wanted = torch.device(rest.pop(at))
                break
            if isinstance(given, Tensor):
                wanted = GPU if isinstance(given, OnGpu) else torch.device("cpu")
                rest[at] = given.dtype
                break
        if "device" in kwargs:
            wanted = self._device(kwargs.pop("device"))
        kwargs.pop("non_blocking", None)
        gpu = labeled if wanted is None else wanted.type == "cuda"
        if labeled and not gpu:
            self.waits += 1
        made = _plain(value)
        if func is torch.Tensor.to and (rest or kwargs):
            made = made.to(*rest, **kwargs)
        return made.as_subclass(OnGpu) if gpu else made

    def _check(self, func: Any, name: str, tensors: list[Tensor], args: Any) -> None:
        if func in READS:
            self.waits += 1
        if func is torch.Tensor.numpy or name == "__array__":
            raise TypeError("cannot convert a tensor on the GPU to NumPy: copy it first")
        if func in RECURRENT and torch.backends.cudnn.enabled and torch.is_grad_enabled():
            training = [x for x in args if isinstance(x, bool)][1]
            if not training and any(x.requires_grad for x in tensors):
                raise RuntimeError(f"{name}: cuDNN has no backward pass in evaluation mode")
        strangers = [x for x in tensors if not isinstance(x, OnGpu) and x.ndim > 0]
        if func in COUNTS:
            strangers = [x for x in strangers if x.is_floating_point()]
        if strangers and func is not torch.Tensor.copy_:
            shapes = [tuple(x.shape) for x in strangers]
            raise RuntimeError(f"{name}: tensors of the CPU, {shapes}, beside others on the GPU")


def _plain(value: Any) -> Any:
    return value.as_subclass(Tensor) if isinstance(value, OnGpu) else value


class PretendedFabric:
    """What `facetron.train.loop.Trainer` asks of Fabric, with one process and the pretended GPU."""

    device = GPU
    world_size, global_rank, is_global_zero = 1, 0, True

    def setup(self, module: nn.Module, optimizer: Any) -> tuple[nn.Module, Any]:
        module.to(self.device)
        return module, optimizer

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def autocast(self) -> AbstractContextManager[None]:
        return nullcontext()

    def no_backward_sync(self, module: nn.Module, enabled: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def barrier(self) -> None:
        pass

    def broadcast(self, value: Any) -> Any:
        return value


@contextmanager
def pretended_gpu() -> Iterator[PretendedGpu]:
    """The pretended GPU, to which `Module.to` moves modules as well."""
    plain = nn.Module.to

    def to(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        place = kwargs.get("device", args[0] if args else None)
        if isinstance(place, str | torch.device) and torch.device(place).type == "cuda":
            for tensor in (*self.parameters(), *self.buffers()):
                label(tensor)
            return self
        return plain(self, *args, **kwargs)

    nn.Module.to = to  # type: ignore[method-assign, assignment]
    try:
        with PretendedGpu() as gpu:
            yield gpu
    finally:
        nn.Module.to = plain  # type: ignore[method-assign]
