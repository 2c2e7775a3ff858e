"""GE2E and SGE2E against the formulas of their papers, loop by loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from facetron.baselines.voices import (
    Similarity,
    VoiceConfig,
    VoiceEncoder,
    fixed_centroid_loss,
    ge2e_loss,
)
from manifests.errors import BadInput

WEIGHT, BIAS = 10.0, -5.0
Vectors = NDArray[np.float64]


def embeddings(speakers: int, clips: int) -> tuple[torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(3)
    found = functional.normalize(torch.randn(speakers * clips, 6, generator=generator), dim=-1)
    return found, [f"s{k}" for k in range(speakers) for _ in range(clips)]


def cosine(a: Vectors, b: Vectors) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def by_loops(found: Vectors, speakers: int, clips: int, leave_out: bool) -> float:
    """−S_ji,j + log Σ_k exp S_ji,k with S_ji,k = w cos(e_ji, c_k) + b (Wan et al., Eq. 5, 6, 8, 9)."""
    e = found.reshape(speakers, clips, -1)
    total = 0.0
    for j in range(speakers):
        for i in range(clips):
            similarities = []
            for k in range(speakers):
                members = [e[k, m] for m in range(clips) if not (leave_out and k == j and m == i)]
                similarities.append(WEIGHT * cosine(e[j, i], np.mean(members, axis=0)) + BIAS)
            total += -similarities[j] + math.log(sum(map(math.exp, similarities)))
    return total / speakers / clips


@pytest.mark.parametrize("leave_out", [False, True])
def test_the_loss_is_the_papers(leave_out: bool) -> None:
    found, speakers = embeddings(4, 3)
    wanted = by_loops(found.double().numpy(), 4, 3, leave_out)
    similarity = Similarity().requires_grad_(False)
    assert float(ge2e_loss(found, speakers, similarity, leave_out)) == pytest.approx(wanted, 1e-5)
    # The order of the clips is nobody's business.
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0)).tolist()
    mixed = ge2e_loss(found[order], [speakers[i] for i in order], similarity, leave_out)
    assert float(mixed) == pytest.approx(wanted, 1e-5)


def test_a_speakers_only_clip_is_its_own_centroid() -> None:
    found, speakers = embeddings(3, 1)
    similarity = Similarity().requires_grad_(False)
    plain = float(ge2e_loss(found, speakers, similarity, leave_out=False))
    assert float(ge2e_loss(found, speakers, similarity, leave_out=True)) == pytest.approx(plain)
    assert float(ge2e_loss(found[:1], ["s0"], similarity)) == pytest.approx(0, abs=1e-6)


def test_fixed_centroids_are_compared_with_as_they_are() -> None:
    found, _ = embeddings(4, 1)
    centroids = 3 * embeddings(5, 1)[0]  # lengths do not count
    owner = torch.tensor([4, 0, 0, 2])
    wanted = 0.0
    for e, own in zip(found.double().numpy(), owner.tolist(), strict=True):
        s = [WEIGHT * cosine(e, c) + BIAS for c in centroids.double().numpy()]
        wanted += (-s[own] + math.log(sum(map(math.exp, s)))) / 4
    loss = fixed_centroid_loss(found, owner, centroids, Similarity().requires_grad_(False))
    assert float(loss) == pytest.approx(wanted, 1e-5)


def test_the_weight_of_the_cosine_stays_positive() -> None:
    similarity = Similarity()
    assert similarity(torch.ones(())).item() == pytest.approx(WEIGHT + BIAS)
    optimizer = torch.optim.SGD(similarity.parameters(), 5.0)
    for _ in range(20):
        optimizer.zero_grad()
        similarity(torch.ones(())).backward()  # as if likeness were wrong
        optimizer.step()
    assert 0 <= float(similarity.log_weight.exp()) < WEIGHT


def test_a_voice_is_the_mean_of_the_cuts_of_its_clip() -> None:
    torch.manual_seed(0)
    config = VoiceConfig(hidden=6, layers=2, embedding_size=4, cut_frames=20)
    encoder = VoiceEncoder(config, 5).eval()
    mel = torch.randn(2, 5, 50)
    with torch.no_grad():
        cuts = [encoder.hear(mel[:, :, start : start + 20]) for start in (0, 10, 20, 30)]
        wanted = functional.normalize(torch.stack(cuts).mean(0), dim=-1)
        torch.testing.assert_close(encoder(mel), wanted)
        torch.testing.assert_close(encoder(mel[:, :, :12]), encoder.hear(mel[:, :, :12]))
        drawn = encoder.drawn(mel)
        exact = [encoder.hear(mel[:1, :, start : start + 20])[0] for start in range(31)]
        assert any(torch.allclose(drawn[0], each, atol=1e-6) for each in exact)
    assert drawn.norm(dim=-1).tolist() == pytest.approx([1, 1])
    with pytest.raises(BadInput, match="cut_frames 1"):
        VoiceConfig(cut_frames=1)
