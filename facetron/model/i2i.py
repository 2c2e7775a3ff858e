"""Inter-to-intra distance (IV-B, Eq. 6): which of a speaker's face embeddings the voice is made from.

As printed, the numerator of Eq. 6 holds no candidate f, so the ratio is largest where the mean
distance to the speaker's own embeddings is smallest: it selects the medoid (`literal`). The method it
cites (Um et al., arXiv 1911.01635) asks for the largest distance to the other category, which makes
the numerator ‖f_N^Ave − f‖ (`candidate`, the default). The ½ before arg max changes no choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from manifests.errors import BadInput

Method = Literal["candidate", "literal", "mean", "random"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Selection:
    """A speaker's chosen embedding.

    Attributes:
        embedding: (D,) what the decoder is given.
        index: which of the speaker's embeddings it is; None for `mean`, which is none of them.
        negative: the negative speaker of Eq. 6; "" where none was needed.
    """

    embedding: Tensor
    index: int | None
    negative: str = ""


def select(
    target: Tensor,
    others: Mapping[str, Tensor],
    method: Method = "candidate",
    generator: torch.Generator | None = None,
) -> Selection:
    """Eq. 6: f_T^I2I.

    Args:
        target: (N, D) X_T, the embeddings of the target speaker's stills.
        others: name of every other speaker → (M, D) theirs.
        method: `candidate`, `literal`, `mean` (of length 1, like every face embedding), `random`.
        generator: for `random`.

    Raises:
        BadInput: no embedding, one that is no number, an unknown method, or `candidate` without
            any other speaker.
    """
    if target.ndim != 2 or len(target) == 0 or not bool(torch.isfinite(target).all()):
        raise BadInput(
            f"face embeddings of shape {tuple(target.shape)}", "give (stills, size) finite numbers"
        )
    if method == "mean":
        return Selection(functional.normalize(target.mean(dim=0), dim=0), None)
    if method == "random":
        return _chosen(target, int(torch.randint(len(target), (1,), generator=generator)))
    if method == "literal":
        # The numerator is the same for every candidate: left out, it cannot be zero either.
        return _chosen(target, int(intra_distances(target).argmin()))
    if method == "candidate":
        negative, mean = nearest_other(target, others)
        return _chosen(target, int(candidate_scores(target, mean).argmax()), negative)
    raise BadInput(f"there is no I2I method {method!r}", f"choose one of {', '.join(METHODS)}")


def _chosen(target: Tensor, index: int, negative: str = "") -> Selection:
    return Selection(target[index], index, negative)


def nearest_other(target: Tensor, others: Mapping[str, Tensor]) -> tuple[str, Tensor]:
    """The negative speaker, whose mean lies closest to the target's: (name, f_N^Ave (D,))."""
    if not others:
        raise BadInput(
            "Eq. 6 needs a negative speaker, and there is no other speaker",
            "choose the face by `literal`, `mean` or `random`",
        )
    names = sorted(others)
    means = torch.stack([others[name].double().mean(dim=0) for name in names])
    center = target.double().mean(dim=0)
    nearest = int(torch.linalg.vector_norm(means - center, dim=1).argmin())
    return names[nearest], means[nearest]


def intra_distances(target: Tensor) -> Tensor:
    """The denominator: (N, D) → (N,) E_x ‖f − x‖ over the speaker's own embeddings."""
    points = target.double()
    # In parts: a seen speaker has more than ten thousand stills, whose distances fill gigabytes.
    parts = [torch.cdist(part, points).mean(dim=1) for part in torch.split(points, 512)]
    return torch.cat(parts)


def candidate_scores(target: Tensor, negative_mean: Tensor) -> Tensor:
    """‖f_N^Ave − f‖ / E_x ‖f − x‖ of every candidate: (N, D), (D,) → (N,).

    The denominator is zero only where all the speaker's embeddings are one point (a single still,
    say); then the numerator alone decides, and the first candidate wins.
    """
    inter: Tensor = torch.linalg.vector_norm(target.double() - negative_mean.double(), dim=1)
    intra = intra_distances(target)
    return inter / intra if bool((intra > 0).all()) else inter
