"""Whether embeddings still tell speakers apart: a cosine loss is also met by one point for all."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


class Embeddings:
    """Embeddings of a validation with their speakers.

    Args:
        name: of the metrics, `face`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._vectors: list[Tensor] = []
        self._speakers: list[str] = []

    def add(self, vectors: Tensor, speakers: list[str]) -> None:
        """(B, D) and their B speakers."""
        self._vectors.append(vectors.detach().float().cpu())
        self._speakers += speakers

    def metrics(self) -> dict[str, float | None]:
        """`collapse_metrics` of all that was added, which is then forgotten."""
        vectors, speakers = self._vectors, self._speakers
        self._vectors, self._speakers = [], []
        found = collapse_metrics(torch.cat(vectors), speakers) if vectors else (None,) * 3
        names = ("other_cosine", "margin", "rank")
        return {f"{self.name}_{name}": value for name, value in zip(names, found, strict=True)}


def collapse_metrics(
    vectors: Tensor, speakers: list[str]
) -> tuple[float | None, float | None, float | None]:
    """How far (N, D) embeddings have collapsed.

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
