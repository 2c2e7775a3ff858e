"""The evaluation's own matcher of voices and faces: whether a recording and a picture may be one person's.

Two ridge regressions, fitted by `evaluation.training.match`, say of a voice and of a face what SynthGRID's
rule connects: the pitch, and the place of the vocal tract's length. The voice is heard through the embedding
of the speaker network (`evaluation.models.ecapa`) and its mean spectrum, the face seen through the face
encoder (`evaluation.models.face`). The nearer the two say, the better they match. A system that was trained
to please a matcher of its own has not met this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import Recording
from evaluation.models.ecapa import active_mel, embedding_of
from evaluation.models.face import linear
from evaluation.models.shipped import open_shipped

WEIGHTS = Path(__file__).parents[1] / "weights" / "match.safetensors"
Codes = NDArray[np.float64]


def voice_features(recording: Recording) -> NDArray[np.float64]:
    """(E + 160,): the speaker embedding, and mean and standard deviation over time of each mel band.
    Raises `Unscorable`."""

    def compute() -> NDArray[np.float64]:
        mel = active_mel(recording.samples).astype(np.float64)
        return np.concatenate([embedding_of(recording), mel.mean(axis=0), mel.std(axis=0)])

    return recording.once("voice features", compute)


@dataclass(frozen=True)
class Matcher:
    """The two maps.

    Attributes:
        numbers: for each SIDE `voice` and `face`: `SIDE.mean`, `SIDE.scale` (inputs,), `SIDE.weight`
            (2, inputs), `SIDE.bias` (2,).
    """

    numbers: dict[str, NDArray[Any]]

    def voices(self, features: NDArray[np.float64]) -> Codes:
        """(n, E + 160) of `voice_features` → (n, 2) pitch and tract in standard deviations."""
        return self._map("voice", features)

    def faces(self, embeddings: NDArray[np.float64]) -> Codes:
        """(n, E) of the face encoder → (n, 2)."""
        return self._map("face", embeddings)

    def _map(self, side: str, values: NDArray[np.float64]) -> Codes:
        standard = (values - self.numbers[f"{side}.mean"]) / self.numbers[f"{side}.scale"]
        return linear(standard, self.numbers, side)


def nearness(codes: Codes, code: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2), (2,) → (n,), higher is nearer: the negative squared distance."""
    return np.asarray(-((codes - code) ** 2).sum(axis=1))


@lru_cache(maxsize=2)
def load_match(path: Path = WEIGHTS) -> Matcher:
    """The maps of a file that `evaluation.training.match` wrote.

    Raises:
        BadInput: no such file, or not the one that its card names.
    """
    return Matcher({k: v.astype(np.float64) for k, v in open_shipped(path).tensors.items()})


def k_way(own: float, others: list[NDArray[np.float64]], k: int) -> float:
    """Probability that the right one of K candidates has the highest score, over all draws of K − 1 other
    speakers and one candidate of each.

    Args:
        own: score of the right candidate.
        others: scores of each of the other speakers' candidates, a speaker an array; a tie counts half.
        k: 2 or more, at most one more than there are others.

    Example:
        >>> import numpy as np
        >>> k_way(0.5, [np.array([0.1, 0.9]), np.array([0.2])], 2)  # wins ½ and 1
        0.75
        >>> k_way(0.5, [np.array([0.1, 0.9]), np.array([0.2])], 3)
        0.5
    """
    if not 2 <= k <= len(others) + 1:
        raise ValueError(f"{k} candidates of {len(others) + 1} speakers")
    # Sums of products over all subsets of j speakers, by their elementary symmetric polynomials; each
    # step divided by the number of subsets, so that the last is their mean.
    sums = np.zeros(k)
    sums[0] = 1
    for n, scores in enumerate(others, start=1):
        wins = float(np.mean((scores < own) + 0.5 * (scores == own)))
        for j in range(min(n, k - 1), 0, -1):
            sums[j] += wins * sums[j - 1]
    n_subsets = 1.0
    for j in range(k - 1):
        n_subsets *= (len(others) - j) / (j + 1)
    return float(sums[k - 1] / n_subsets)
