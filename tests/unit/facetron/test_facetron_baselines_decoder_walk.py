"""The decoder's walk: forward as PyTorch's own layers do it, backward as finite differences have it."""

from __future__ import annotations

import torch
from torch import Tensor

from facetron.baselines.decoder_walk import Draws, Weights, walk
from facetron.baselines.lip2wav import DEBUG, Decoded

CLIPS, STEPS, PICTURES = 2, 4, 5


def by_layers(
    decoder: Decoded, memory: Tensor, true: Tensor, draws: Draws
) -> tuple[Tensor, Tensor]:
    """The walk with PyTorch's LSTM cells and convolution, a module at a time."""
    attention = decoder.attention
    states = [memory.new_zeros(CLIPS, decoder.first.units) for _ in range(4)]
    context, cumulative = (
        memory.new_zeros(CLIPS, memory.shape[2]),
        memory.new_zeros(memory.shape[:2]),
    )
    frames: list[Tensor] = []
    weights = []
    for number, forced in enumerate(draws.forced):
        x = true[:, number] if forced else frames[-1][:, -true.shape[2] :]
        for layer, drop in zip(decoder.prenet, draws.drops[number], strict=True):
            x = torch.relu(layer(x)) * drop
        inputs = torch.cat([x, context], dim=1)
        for which, cell in enumerate((decoder.first.cell, decoder.second.cell)):
            at = slice(2 * which, 2 * which + 2)
            fresh = cell(inputs, tuple(states[at]))
            states[at] = [
                kept * old + (1 - kept) * new
                for kept, old, new in zip(draws.kept[number, at], states[at], fresh, strict=True)
            ]
            inputs = states[2 * which]
        place = attention.project(attention.location(cumulative[:, None]).transpose(1, 2))
        query = attention.query(states[2])[:, None]
        energy = attention.score(torch.tanh(query + attention.memory(memory) + place))
        weight = energy.squeeze(-1).softmax(dim=-1)
        cumulative = cumulative + weight
        context = torch.bmm(weight[:, None], memory).squeeze(1)
        frames.append(decoder.frame(torch.cat([states[2], context], dim=1)))
        weights.append(weight)
    return torch.stack(frames, 1), torch.stack(weights, 1)


def given() -> tuple[Decoded, Tensor, Tensor, Draws]:
    """A small decoder in double precision, a memory, true frames, and draws of every kind."""
    torch.manual_seed(0)
    decoder = Decoded(DEBUG, 6).double()
    units, size = decoder.first.units, 2 * DEBUG.encoder_units
    memory = torch.randn(CLIPS, PICTURES, size, dtype=torch.float64, requires_grad=True)
    true = torch.randn(CLIPS, STEPS, 80, dtype=torch.float64)
    drops = torch.rand(STEPS, 2, CLIPS, DEBUG.prenet, dtype=torch.float64)
    kept = torch.rand(STEPS, 4, CLIPS, units, dtype=torch.float64)
    return decoder, memory, true, Draws(drops, kept, [True, False, True, False])


def test_it_goes_as_the_layers_go_with_their_gradients() -> None:
    decoder, memory, true, draws = given()
    frames, weights = walk(memory, decoder.attention.memory(memory), true, decoder.weights(), draws)
    expected = by_layers(decoder, memory, true, draws)
    torch.testing.assert_close((frames, weights), expected)
    learned = [
        p for name, p in decoder.named_parameters() if not name.startswith(("encoder", "postnet"))
    ]
    pulls = torch.randn_like(frames), torch.randn_like(weights)
    found = [
        torch.autograd.grad(made, [memory, *learned], pulls)
        for made in ((frames, weights), expected)
    ]
    assert all(bool(gradient.abs().sum() > 0) for gradient in found[1])
    torch.testing.assert_close(*found)


def test_its_gradients_are_those_of_finite_differences() -> None:
    decoder, memory, true, draws = given()
    weights = [weight.detach().requires_grad_(True) for weight in decoder.weights()]
    keys = decoder.attention.memory(memory).detach().requires_grad_(True)

    def made(memory: Tensor, keys: Tensor, *told: Tensor) -> tuple[Tensor, Tensor]:
        return walk(memory, keys, true, Weights(*told), draws)

    assert torch.autograd.gradcheck(made, (memory, keys, *weights), fast_mode=True)
