"""Eq. 6, by its properties: over many random speakers, and at its edges."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from facetron.model.i2i import METHODS, candidate_scores, intra_distances, nearest_other, select
from manifests.errors import BadInput

torch.set_num_threads(1)


def speakers(seed: int, stills: int = 7, others: int = 4) -> tuple[Tensor, dict[str, Tensor]]:
    rng = torch.Generator().manual_seed(seed)
    target = normalize(torch.randn(stills, 6, generator=rng), dim=1)
    return target, {
        f"s{n}": normalize(torch.randn(5, 6, generator=rng), dim=1) for n in range(others)
    }


def distance(a: Tensor, b: Tensor) -> float:
    return math.dist(a.tolist(), b.tolist())


@pytest.mark.parametrize("seed", range(10))
def test_literal_is_the_medoid(seed: int) -> None:
    target, others = speakers(seed)
    sums = [sum(distance(f, x) for x in target) for f in target]
    chosen = select(target, others, "literal")
    assert chosen.index == sums.index(min(sums))
    assert torch.equal(chosen.embedding, target[chosen.index])
    assert select(target, {}, "literal").index == chosen.index


@pytest.mark.parametrize("seed", range(10))
def test_candidate_is_equation_6_with_f_in_the_numerator(seed: int) -> None:
    target, others = speakers(seed)
    means = {name: x.mean(dim=0) for name, x in others.items()}
    negative = min(means, key=lambda name: distance(means[name], target.mean(dim=0)))
    ratios = [
        distance(means[negative], f) / (sum(distance(f, x) for x in target) / len(target))
        for f in target
    ]
    chosen = select(target, others)
    assert chosen.negative == negative == nearest_other(target, others)[0]
    assert chosen.index == ratios.index(max(ratios))
    scores = candidate_scores(target, means[negative])
    torch.testing.assert_close(scores, torch.tensor(ratios).double(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_is_of_the_still_not_of_its_place(seed: int) -> None:
    target, others = speakers(seed)
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))
    for method in ("candidate", "literal"):
        first = select(target, others, method)  # type: ignore[arg-type]
        second = select(target[order], dict(reversed(others.items())), method)  # type: ignore[arg-type]
        assert torch.equal(first.embedding, second.embedding)
    # Doubling every still changes no mean distance, hence no choice.
    twice = select(target.repeat(2, 1), others)
    assert torch.equal(twice.embedding, select(target, others).embedding)


def test_candidate_prefers_the_far_side_where_intra_distances_are_equal() -> None:
    target = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert select(target, {"s2": torch.tensor([[-3.0, 0.0]])}).index == 0
    assert select(target, {"s2": torch.tensor([[3.0, 0.0]])}).index == 1


def test_many_stills_in_parts_are_as_few_in_one() -> None:
    target = speakers(0, stills=700)[0]
    direct = (target.double()[:, None] - target.double()[None]).norm(dim=2).mean(dim=1)
    torch.testing.assert_close(intra_distances(target), direct)


def test_an_outlier_is_not_chosen() -> None:
    rng = torch.Generator().manual_seed(0)
    cluster = normalize(torch.tensor([1.0, 0, 0]) + 0.05 * torch.randn(9, 3, generator=rng), dim=1)
    target = torch.cat([cluster, torch.tensor([[0.0, 1.0, 0.0]])])
    others = {"s2": torch.tensor([[0.0, 0.0, 1.0]])}
    assert select(target, others, "literal").index != 9
    assert select(target, others).index != 9


def test_mean_and_random() -> None:
    target, others = speakers(0)
    mean = select(target, others, "mean")
    assert mean.index is None
    torch.testing.assert_close(mean.embedding, normalize(target.mean(dim=0), dim=0))
    drawn = [
        select(target, others, "random", torch.Generator().manual_seed(seed)).index
        for seed in range(40)
    ]
    assert set(drawn) == set(range(7))
    again = select(target, others, "random", torch.Generator().manual_seed(3))
    assert again.index == drawn[3]


@pytest.mark.parametrize("method", METHODS)
def test_one_still_or_equal_stills_divide_by_nothing(method: str) -> None:
    others = {"s2": torch.randn(3, 6)}
    one = speakers(1)[0][:1]
    for target in (one, one.repeat(4, 1)):
        chosen = select(target, others, method)  # type: ignore[arg-type]
        torch.testing.assert_close(chosen.embedding, one[0])
        assert bool((intra_distances(target) == 0).all())
    same = select(one.repeat(3, 1), {"s2": one}, method)  # type: ignore[arg-type]
    torch.testing.assert_close(same.embedding, one[0])


def test_faults_are_named() -> None:
    target, others = speakers(0)
    with pytest.raises(BadInput, match="negative speaker"):
        select(target, {})
    with pytest.raises(BadInput, match="candidate, literal, mean, random"):
        select(target, others, "best")  # type: ignore[arg-type]
    for bad in (target[:0], target[0], target * float("nan")):
        with pytest.raises(BadInput, match="face embeddings"):
            select(bad, others)
