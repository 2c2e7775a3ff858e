"""Parts that all trainings here share: whom no network may know, schedules, averaged weights, states to
take training up from, cards, and options of the commands."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import torch
from torch import nn

from evaluation.models.shipped import card_of
from manifests.errors import BadInput, in_short
from manifests.io import atomic_path, write_json, write_text

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

UNSEEN = ("s1", "s2", "s4", "s29")
"""The speakers that the large-unseen protocol keeps from every model, the evaluation's included."""

PATH = click.Path(path_type=Path)
real_option = click.option("--real", type=PATH, required=True, help="A build of GRID.")
synthetic_option = click.option(
    "--synthetic", type=PATH, required=True, help="A build of SynthGRID."
)
out_option = click.option("--out", type=PATH, required=True, help="Folder to write to.")
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads."
)
seed_option = click.option("--seed", default=0, show_default=True, help="Seed of the training.")
measure_only_option = click.option(
    "--measure-only",
    is_flag=True,
    help="Measure the weights in OUT and write their card again, without training.",
)


def steps_option(default: int) -> Callable[[CommandT], CommandT]:
    """Returns the option `--steps`."""
    return click.option(
        "--steps",
        type=click.IntRange(min=1),
        default=default,
        show_default=True,
        help="Optimizer steps.",
    )


def write_card(path: Path, card: dict[str, Any], text: str) -> str:
    """Writes both cards of the weights at `path`, for programs and for people; returns `text`."""
    write_json(card_of(path), card)
    write_text(path.with_suffix(".md"), text)
    return text


def learning_rate(peak: float, step: int, steps: int, warmup: float = 0.05) -> float:
    """Rises linearly over the first share `warmup` of all steps, then falls as a half cosine to
    1 % of the peak."""
    progress = min((step + 1) / steps, 1.0)
    if progress < warmup:
        return peak * progress / warmup
    fallen = (progress - warmup) / (1 - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fallen)))


@torch.no_grad()
def average_into(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the weights of `averaged` towards those of `model` by 1 − decay; buffers are copied."""
    for mean, value in zip(averaged.parameters(), model.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
    for own, other in zip(averaged.buffers(), model.buffers(), strict=True):
        own.copy_(other)


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Atomically writes tensors and plain values."""
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def read_state(path: Path) -> dict[str, Any] | None:
    """The state that `write_state` wrote, None where there is nothing. Runs no code of the file.

    Raises:
        BadInput: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise BadInput(
            f"{path} cannot be read ({in_short(error, 120)})", "remove it to start anew"
        ) from None
    return state
