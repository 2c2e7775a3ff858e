"""The recurrence of Tacotron 2's decoder with location-sensitive attention, with a backward of its own.

Autograd walks back over each of a step's sixty operations and adds up the gradient of every weight and of
the whole memory in every step. Here a step goes back by hand, and what does not depend on the order,
the gradients of the weights and of the memory, is one product for all steps after the walk: two
thirds of the time on a CPU. The test compares it with autograd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from manifests.precision import full_precision


class Weights(NamedTuple):
    """Weights of the walk. P: units of the prenet, U of an LSTM, M of the memory, A of the attention, K its
    kernel, R mel frames of a step times their bands, N bands."""

    prenet1: Tensor
    """(P, N)."""
    prenet1_bias: Tensor
    prenet2: Tensor
    """(P, P)."""
    prenet2_bias: Tensor
    first: Tensor
    """(4 U, P + M + U) of what is heard, the context and the state: i, f, g, o."""
    first_bias: Tensor
    second: Tensor
    """(4 U, U + U) of the first LSTM's state and its own."""
    second_bias: Tensor
    query: Tensor
    """(A, U)."""
    place: Tensor
    """(A, K) of the cumulative attention about a picture."""
    place_bias: Tensor
    score: Tensor
    """(A,)."""
    frame: Tensor
    """(R, U + M) of the second LSTM's state and the context."""
    frame_bias: Tensor


@dataclass(frozen=True)
class Draws:
    """The numbers drawn for a walk of S steps of B clips, or fixed.

    Attributes:
        drops: (S, 2, B or 1, P) factors of the prenet's layers.
        kept: (S, 4, B, U) share that the first LSTM's h and c, and the second's, keep of what they were.
        forced: for each step whether it is given the true frame before.
    """

    drops: Tensor
    kept: Tensor
    forced: Sequence[bool]


class _Cell(NamedTuple):
    """The values that a step of an LSTM leaves for the way back, (B, U) each but `into`, (B, inputs)."""

    into: Tensor
    i: Tensor
    f: Tensor
    g: Tensor
    o: Tensor
    c_before: Tensor
    squashed: Tensor
    kept_h: Tensor
    kept_c: Tensor


class _Step(NamedTuple):
    """The values that a step of the walk leaves for the way back."""

    heard: Tensor
    hidden: Tensor
    prenet: Tensor
    first: _Cell
    second: _Cell
    h: Tensor
    cumulative: Tensor
    energy: Tensor
    weight: Tensor
    context: Tensor


def walk(
    memory: Tensor, keys: Tensor, true: Tensor, weights: Weights, draws: Draws
) -> tuple[Tensor, Tensor]:
    """Decodes step by step.

    Args:
        memory: (B, T, M) encoder steps, and `keys`, (B, T, A), what the attention sees of them.
        true: (B, S, N) the true frame before each step; zeros for the first.

    Returns:
        (B, S, R) mel frames and (B, S, T) attention.
    """
    made, attention = _Walk.apply(memory, keys, true, draws, *weights)  # type: ignore[no-untyped-call]
    return cast(Tensor, made), cast(Tensor, attention)


class _Walk(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, memory: Tensor, keys: Tensor, true: Tensor, draws: Draws, *told: Tensor
    ) -> tuple[Tensor, Tensor]:
        weights = Weights(*told)
        ctx.steps, ctx.draws, ctx.weights = [], draws, weights
        ctx.save_for_backward(memory)
        clips, pictures, _ = memory.shape
        units, bands = weights.query.shape[1], true.shape[2]
        h1, c1, h2, c2 = (memory.new_zeros(clips, units) for _ in range(4))
        context = memory.new_zeros(clips, memory.shape[2])
        cumulative = memory.new_zeros(clips, pictures)
        keeps_steps = any(ctx.needs_input_grad)
        frames: list[Tensor] = []
        attention: list[Tensor] = []
        for number, forced in enumerate(draws.forced):
            heard = true[:, number] if forced else frames[-1][:, -bands:]
            drop1, drop2 = draws.drops[number]
            hidden = torch.relu(functional.linear(heard, weights.prenet1, weights.prenet1_bias))
            hidden = hidden * drop1
            prenet = torch.relu(functional.linear(hidden, weights.prenet2, weights.prenet2_bias))
            prenet = prenet * drop2
            kept = draws.kept[number]
            into = torch.cat([prenet, context, h1], dim=1)
            h1, c1, first = _cell(into, h1, c1, weights.first, weights.first_bias, kept[0], kept[1])
            into = torch.cat([h1, h2], dim=1)
            h2, c2, second = _cell(
                into, h2, c2, weights.second, weights.second_bias, kept[2], kept[3]
            )
            energy = _about(cumulative, weights.place.shape[1]) @ weights.place.T
            energy += keys
            energy += (functional.linear(h2, weights.query) + weights.place_bias)[:, None]
            energy.tanh_()
            weight = (energy @ weights.score).softmax(dim=1)
            context = torch.bmm(weight[:, None], memory)[:, 0]
            made = functional.linear(
                torch.cat([h2, context], dim=1), weights.frame, weights.frame_bias
            )
            if keeps_steps:
                ctx.steps.append(
                    _Step(
                        heard,
                        hidden,
                        prenet,
                        first,
                        second,
                        h2,
                        cumulative,
                        energy,
                        weight,
                        context,
                    )
                )
            cumulative = cumulative + weight
            frames.append(made)
            attention.append(weight)
        return torch.stack(frames, dim=1), torch.stack(attention, dim=1)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        (memory,) = ctx.saved_tensors
        with full_precision(memory.device):
            return _back(memory, ctx.steps, ctx.draws, ctx.weights, given[0], given[1])


def _cell(
    into: Tensor, h: Tensor, c: Tensor, weight: Tensor, bias: Tensor, kept_h: Tensor, kept_c: Tensor
) -> tuple[Tensor, Tensor, _Cell]:
    """A step of an LSTM with zoneout."""
    gates = functional.linear(into, weight, bias)
    units = h.shape[1]
    i, f = gates[:, : 2 * units].sigmoid().chunk(2, dim=1)
    g, o = gates[:, 2 * units : 3 * units].tanh(), gates[:, 3 * units :].sigmoid()
    fresh = torch.addcmul(f * c, i, g)
    squashed = fresh.tanh()
    left = _Cell(into, i, f, g, o, c, squashed, kept_h, kept_c)
    return torch.lerp(o * squashed, h, kept_h), torch.lerp(fresh, c, kept_c), left


def _cell_back(left: _Cell, d_h: Tensor, d_c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of its new states → those of its gates (B, 4 U), and of its old h and c by way of the
    zoneout and of the forget gate; what the gates pull at is the caller's."""
    i, f, g, o, squashed = left.i, left.f, left.g, left.o, left.squashed
    kept_h, kept_c = d_h * left.kept_h, d_c * left.kept_c
    d_h = d_h - kept_h
    d_fresh = d_c - kept_c + d_h * o * (1 - squashed * squashed)
    gates = torch.cat(
        [
            d_fresh * g * i * (1 - i),
            d_fresh * left.c_before * f * (1 - f),
            d_fresh * i * (1 - g * g),
            d_h * squashed * o * (1 - o),
        ],
        dim=1,
    )
    return gates, kept_h, torch.addcmul(kept_c, d_fresh, f)


def _about(cumulative: Tensor, kernel: int) -> Tensor:
    """(B, T) → (B, T, kernel) what stands about each picture, zeros beyond the ends."""
    return functional.pad(cumulative, (kernel // 2, kernel // 2)).unfold(1, kernel, 1)


def _gathered(spread: Tensor) -> Tensor:
    """The transpose of `_about`: (B, T, kernel) → (B, T)."""
    clips, pictures, kernel = spread.shape
    half = kernel // 2
    # Reversed, so that a picture's share of its neighbors lies on a diagonal of positive strides.
    padded = functional.pad(spread.flip(2), (0, 0, half, half))
    diagonal = padded.as_strided((clips, pictures, kernel), (padded.stride(0), kernel, kernel + 1))
    return diagonal.sum(dim=2)


def _back(
    memory: Tensor,
    steps: list[_Step],
    draws: Draws,
    weights: Weights,
    d_frames: Tensor,
    d_attention: Tensor,
) -> tuple[Tensor | None, ...]:
    clips, _, size = memory.shape
    units, bands = weights.query.shape[1], weights.prenet1.shape[1]
    heard_units = weights.prenet2.shape[0]
    d_h1, d_c1, d_h2, d_c2 = (memory.new_zeros(clips, units) for _ in range(4))
    d_context = memory.new_zeros(clips, size)
    d_cumulative = memory.new_zeros(memory.shape[:2])
    d_keys = torch.zeros_like(steps[0].energy)
    d_score = torch.zeros_like(weights.score)
    d_place = torch.zeros_like(weights.place)
    d_heard: Tensor | None = None
    # Per step, last first: gradients of what the weights made.
    made, contexts, gates1, gates2, queries, hiddens, prenets = ([] for _ in range(7))  # type: ignore[var-annotated]
    for number in reversed(range(len(steps))):
        step = steps[number]
        d_made = d_frames[:, number]
        if d_heard is not None:
            d_made = d_made.clone()
            d_made[:, -bands:] += d_heard
        d_both = d_made @ weights.frame
        d_h2 = d_h2 + d_both[:, :units]
        d_context = d_context + d_both[:, units:]
        d_weight = torch.bmm(memory, d_context[..., None])[..., 0]
        d_weight += d_cumulative
        d_weight += d_attention[:, number]
        d_energy = step.weight * (d_weight - (step.weight * d_weight).sum(dim=1, keepdim=True))
        d_score += torch.einsum("bta,bt->a", step.energy, d_energy)
        d_inner = (1 - step.energy * step.energy) * weights.score * d_energy[..., None]
        d_keys += d_inner
        d_query = d_inner.sum(dim=1)
        kernel = weights.place.shape[1]
        about = _about(step.cumulative, kernel).reshape(-1, kernel)
        d_place.addmm_(d_inner.reshape(len(about), -1).T, about)
        d_cumulative = d_cumulative + _gathered(d_inner @ weights.place)
        made.append(d_made)
        contexts.append(d_context)
        queries.append(d_query)
        d_h2 = d_h2 + d_query @ weights.query
        d_gates, d_h2, d_c2 = _cell_back(step.second, d_h2, d_c2)
        gates2.append(d_gates)
        d_into = d_gates @ weights.second
        d_h1, d_h2 = d_h1 + d_into[:, :units], d_h2 + d_into[:, units:]
        d_gates, d_h1, d_c1 = _cell_back(step.first, d_h1, d_c1)
        gates1.append(d_gates)
        d_into = d_gates @ weights.first
        d_context = d_into[:, heard_units:-units]
        d_h1 = d_h1 + d_into[:, -units:]
        drop1, drop2 = draws.drops[number]
        d_prenet = d_into[:, :heard_units] * drop2 * (step.prenet > 0)
        d_hidden = (d_prenet @ weights.prenet2) * drop1 * (step.hidden > 0)
        prenets.append(d_prenet)
        hiddens.append(d_hidden)
        d_heard = None if draws.forced[number] else d_hidden @ weights.prenet1
    steps = steps[::-1]

    def of(gradients: list[Tensor], inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The gradients of a weight and of its bias, over all steps."""
        pulled = torch.cat(gradients)
        return pulled.T @ torch.cat(inputs), pulled.sum(dim=0)

    query, query_bias = of(queries, [step.h for step in steps])
    spread = torch.stack([step.weight for step in steps], dim=2)
    d_memory = torch.bmm(spread, torch.stack(contexts, dim=1))
    both = [torch.cat([step.h, step.context], dim=1) for step in steps]
    return (
        d_memory,
        d_keys,
        None,
        None,
        *of(hiddens, [step.heard for step in steps]),
        *of(prenets, [step.hidden for step in steps]),
        *of(gates1, [step.first.into for step in steps]),
        *of(gates2, [step.second.into for step in steps]),
        query,
        d_place,
        query_bias,
        d_score,
        *of(made, both),
    )
