"""Names and shapes of the published HiFi-GAN's weights, written down from its architecture and not
from our code (`models.py` of jik876/hifi-gan and its three configs)."""

from __future__ import annotations

from itertools import pairwise

Shapes = dict[str, tuple[int, ...]]


def weight_normed(name: str, weight: tuple[int, ...], bias: int) -> Shapes:
    gain = (weight[0], *(1 for _ in weight[1:]))
    return {f"{name}.weight_g": gain, f"{name}.weight_v": weight, f"{name}.bias": (bias,)}


def spectrally_normed(name: str, weight: tuple[int, ...]) -> Shapes:
    rest = 1
    for size in weight[1:]:
        rest *= size
    return {
        f"{name}.weight_orig": weight,
        f"{name}.weight_u": (weight[0],),
        f"{name}.weight_v": (rest,),
        f"{name}.bias": (weight[0],),
    }


def generator(channels: int, kernels: list[int], resblock: int) -> Shapes:
    shapes = weight_normed("conv_pre", (channels, 80, 7), channels)
    block = 0
    for stage, kernel in enumerate(kernels):
        before, after = channels >> stage, channels >> (stage + 1)
        shapes |= weight_normed(f"ups.{stage}", (before, after, kernel), after)
        for size in (3, 7, 11) if resblock == 1 else (3, 5, 7):
            for part in ("convs1", "convs2") if resblock == 1 else ("convs",):
                for layer in range(3 if resblock == 1 else 2):
                    name = f"resblocks.{block}.{part}.{layer}"
                    shapes |= weight_normed(name, (after, after, size), after)
            block += 1
    return shapes | weight_normed("conv_post", (1, channels >> len(kernels), 7), 1)


def mpd() -> Shapes:
    shapes: Shapes = {}
    widths = [1, 32, 128, 512, 1024, 1024]
    for n in range(5):
        for layer, (before, after) in enumerate(pairwise(widths)):
            name = f"discriminators.{n}.convs.{layer}"
            shapes |= weight_normed(name, (after, before, 5, 1), after)
        shapes |= weight_normed(f"discriminators.{n}.conv_post", (1, 1024, 3, 1), 1)
    return shapes


def msd() -> Shapes:
    layers = [
        (128, 1, 15),
        (128, 32, 41),
        (256, 8, 41),
        (512, 16, 41),
        (1024, 32, 41),
        (1024, 64, 41),
        (1024, 1024, 5),
    ]
    shapes: Shapes = {}
    for n in range(3):
        named = [(f"discriminators.{n}.convs.{k}", shape) for k, shape in enumerate(layers)]
        for name, shape in [*named, (f"discriminators.{n}.conv_post", (1, 1024, 3))]:
            if n == 0:
                shapes |= spectrally_normed(name, shape)
            else:
                shapes |= weight_normed(name, shape, shape[0])
    return shapes
