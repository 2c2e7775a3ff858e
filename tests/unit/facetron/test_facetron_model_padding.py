"""Batch norms over the clips' own frames."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facetron.model.padding import inside, normed

torch.set_num_threads(1)
LENGTHS = torch.tensor([7, 3, 5])


@pytest.mark.parametrize("sides", [(6,), (4, 4)])
def test_statistics_are_those_of_own_frames(sides: tuple[int, ...]) -> None:
    kind = nn.BatchNorm2d if len(sides) == 1 else nn.BatchNorm3d
    x = 3 + 2 * torch.randn(3, 4, 7, *sides)
    own = inside(LENGTHS, x.transpose(1, 2))
    assert own.sum(1).tolist() == LENGTHS.tolist()
    norm = kind(4).train()
    made = normed(norm, x, own)
    assert made.shape == x.shape
    frames = x.transpose(1, 2)[own]  # (frames, 4, …)
    values = frames.transpose(0, 1).flatten(1)
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, 0.1 * values.mean(1))
    mean, deviation = values.mean(1), (values.var(1, unbiased=False) + norm.eps).sqrt()
    shape = (1, 4, *[1] * len(sides))
    expected = (frames - mean.reshape(shape)) / deviation.reshape(shape)
    torch.testing.assert_close(made.transpose(1, 2)[own], expected)
    assert not made.transpose(1, 2)[~own].any()


def test_without_padding_or_in_evaluation_it_is_the_norm() -> None:
    x = torch.randn(3, 4, 7, 6)
    own = inside(LENGTHS, x.transpose(1, 2))
    norm, other = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    assert torch.equal(normed(norm, x, None), other(x))
    assert torch.equal(normed(norm.eval(), x, own), other.eval()(x))


def test_memory_keeps_its_order() -> None:
    """Channels last, in which the convolutions of lips are twice as fast."""
    x = torch.randn(3, 4, 7, 6, 6).contiguous(memory_format=torch.channels_last_3d)
    own = inside(LENGTHS, x.transpose(1, 2))
    made = normed(nn.BatchNorm3d(4), x, own)
    assert made.is_contiguous(memory_format=torch.channels_last_3d)
