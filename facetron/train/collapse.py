"""Collapse of embeddings: whether they still separate speakers, since one point for all speakers
satisfies a cosine loss as well."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from facetron.train.observed import Observed


class Embeddings(Observed[tuple[Tensor, list[str]]]):
    """Collects the embeddings of a validation with their speakers.

    Args:
        name: prefix of the metrics, such as `face`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def add(self, vectors: Tensor, speakers: list[str]) -> None:
        """Adds (B, D) embeddings and their B speakers."""
        self.notes.append((vectors.detach().float().cpu(), speakers))

    def metrics(self) -> dict[str, float | None]:
        """Returns `collapse_metrics` of all embeddings added, and clears them."""
        notes = self.taken()
        speakers = [speaker for _, some in notes for speaker in some]
        found = (
            collapse_metrics(torch.cat([vectors for vectors, _ in notes]), speakers)
            if notes
            else (None,) * 3
        )
        names = ("other_cosine", "margin", "rank")
        return {f"{self.name}_{name}": value for name, value in zip(names, found, strict=True)}


def collapse_metrics(
    vectors: Tensor, speakers: list[str]
) -> tuple[float | None, float | None, float | None]:
    """Measures how far (N, D) embeddings have collapsed.

    Returns:
        Mean cosine between different speakers' clips (1 is one point); mean cosine of the same speaker
        less that; and the mean rank, 1 the best, of the true speaker among all, by the cosine of a
        clip with each speaker's mean of the other clips. None where there are too few speakers or
        clips.
    """
    names = sorted(set(speakers))
    owner = torch.tensor([names.index(speaker) for speaker in speakers])
    unit = functional.normalize(vectors, dim=-1)
    cosine = unit @ unit.T
    same = owner[:, None] == owner
    itself = torch.eye(len(owner), dtype=torch.bool)
    if len(names) < 2:
        return None, None, None
    other = float(cosine[~same].mean())
    if not bool((same & ~itself).any()):
        return other, None, None
    margin = float(cosine[same & ~itself].mean()) - other
    members = functional.one_hot(owner, len(names)).float()  # (N, speakers)
    sums = members.T @ unit
    ranks = []
    for i in range(len(owner)):
        if members[:, owner[i]].sum() < 2:
            continue  # the speaker's only clip has no other to be found by
        means = sums.clone()
        means[owner[i]] -= unit[i]
        likeness = functional.normalize(means, dim=-1) @ unit[i]
        ranks.append(1 + int((likeness > likeness[owner[i]]).sum()))
    return other, margin, sum(ranks) / len(ranks)
