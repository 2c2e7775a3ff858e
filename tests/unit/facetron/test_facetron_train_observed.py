"""Notes of a validation that several processes take together."""

from __future__ import annotations

import pytest
import torch

from facetron import systems
from facetron.train.collapse import Embeddings
from facetron.train.config import train_config
from facetron.train.observed import interleaved, of_stage
from facetron.train.run import create
from facetron.train.stage import Stage


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_shares_come_into_the_order_of_one_process(processes: int) -> None:
    items = list(range(7))
    assert interleaved([items[i::processes] for i in range(processes)]) == items


def test_the_metrics_of_two_processes_are_those_of_one() -> None:
    torch.manual_seed(0)
    batches = [(torch.randn(3, 8), ["s1", "s2", "s1"]) for _ in range(5)]
    whole, halves = Embeddings("face"), [Embeddings("face"), Embeddings("face")]
    for number, (vectors, speakers) in enumerate(batches):
        whole.add(vectors, speakers)
        halves[number % 2].add(vectors, speakers)
    joined = Embeddings("face")
    joined.notes = interleaved([half.taken() for half in halves])
    assert joined.metrics() == whole.metrics()
    assert joined.notes == []


def stages() -> list[tuple[str, str]]:
    return [(name, stage) for name in systems.names() for stage in systems.get(name).stages]


@pytest.mark.parametrize(("system", "name"), stages())
def test_every_stage_that_observes_keeps_notes_that_processes_exchange(
    system: str, name: str
) -> None:
    kind = systems.get(system).stage(name)
    if kind.observe is Stage.observe:
        return
    model, training = train_config(name, "debug", system=system)
    stage = create(name, model, training, system)
    assert of_stage(stage), "its metrics would be those of one process's share"
