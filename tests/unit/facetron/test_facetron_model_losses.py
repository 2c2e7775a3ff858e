"""Losses: values by hand, directions, and where gradients go."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from facetron.baselines import vcvts
from facetron.baselines.choi import matching_loss
from facetron.baselines.voices import Similarity, ge2e_loss
from facetron.model.discriminators import Judgment
from facetron.model.losses import (
    adversarial_loss,
    contrastive_loss,
    cosine_loss,
    ctc_loss,
    discriminator_loss,
    feature_loss,
    mel_loss,
    perceptual_discriminator_loss,
    perceptual_loss,
    speaker_contrast,
    total_loss,
)
from manifests.errors import BadInput

torch.set_num_threads(1)


def judged(*scores: float, features: float = 0.0) -> list[Judgment]:
    return [Judgment(torch.full((2, 3), s), [torch.full((2, 4), features)] * 2) for s in scores]


def test_equation_4_is_a_sum() -> None:
    assert total_loss(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(4.0)) == 7


def test_equation_5_pulls_together_and_its_letter_pushes_apart() -> None:
    face = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    prosody = torch.tensor([[3.0, 0.0], [8.0, -6.0]])
    assert float(cosine_loss(face, prosody)) == pytest.approx(0.5)
    assert float(cosine_loss(face, prosody, "literal")) == pytest.approx(0.5)
    assert float(cosine_loss(face, face)) == pytest.approx(0, abs=1e-6)
    assert float(cosine_loss(face, face, "literal")) == pytest.approx(1)

    for direction, better in (("one_minus_cosine", True), ("literal", False)):
        f = torch.tensor([[1.0, 0.2]], requires_grad=True)
        p = torch.tensor([[0.3, 1.0]], requires_grad=True)
        cosine_loss(f, p, direction).backward()  # type: ignore[arg-type]
        assert p.grad is None
        assert f.grad is not None
        moved = f.detach() - 0.1 * f.grad
        before, after = (torch.cosine_similarity(x, p).item() for x in (f, moved))
        assert (after > before) is better
    with pytest.raises(BadInput, match="one_minus_cosine or literal"):
        cosine_loss(face, prosody, "up")  # type: ignore[arg-type]


def test_least_squares_gan_by_hand() -> None:
    assert float(discriminator_loss(judged(1, 1), judged(0, 0))) == 0
    assert float(discriminator_loss(judged(0.5, 1), judged(0, 2))) == pytest.approx(0.25 + 4)
    assert float(adversarial_loss(judged(1, 0.5, 3))) == pytest.approx(0.25 + 4)
    with pytest.raises(ValueError, match="zip"):
        discriminator_loss(judged(1), judged(0, 0))


def test_feature_matching_sums_layers_and_teaches_the_generator_only() -> None:
    real, made = judged(0, 0, features=1.0), judged(0, 0, features=3.0)
    assert float(feature_loss(real, made)) == pytest.approx(2 * 2 * 2)
    x, y = torch.zeros(1, 3, requires_grad=True), torch.ones(1, 3, requires_grad=True)
    feature_loss([Judgment(x, [x])], [Judgment(y, [y])]).backward()
    assert x.grad is None
    assert y.grad is not None


def test_mel_loss_counts_real_frames_only() -> None:
    made, real = torch.zeros(2, 3, 4), torch.ones(2, 3, 4)
    assert float(mel_loss(made, real)) == 1
    real[0, :, 2:] = 100
    assert float(mel_loss(made, real, torch.tensor([2, 4]))) == 1
    made[1] = 1
    assert float(mel_loss(made, real, torch.tensor([2, 4]))) == pytest.approx(2 / 6)
    with pytest.raises(BadInput, match="equal lengths"):
        mel_loss(made, real[:, :, :3])


def alignments(logits: Tensor, target: list[int]) -> float:
    """−ln of the summed probability of all alignments, by trying every one."""
    p = logits.softmax(dim=-1)
    total = 0.0
    for path in itertools.product(range(p.shape[1]), repeat=p.shape[0]):
        joined = [c for c, _ in itertools.groupby(path)]
        if [c for c in joined if c != 0] == target:
            total += math.prod(float(p[t, c]) for t, c in enumerate(path))
    return -math.log(total)


def test_ctc_equals_all_alignments() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 4)
    targets = torch.tensor([[1, 1, 3], [2, 99, 99]])
    loss = ctc_loss(logits, torch.tensor([5, 3]), targets, torch.tensor([3, 1]))
    expected = (alignments(logits[0], [1, 1, 3]) / 3 + alignments(logits[1, :3], [2])) / 2
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_ctc_of_what_cannot_be_spelt_is_zero_and_half_precision_is_fine() -> None:
    logits = torch.randn(1, 3, 28, requires_grad=True)
    args = (torch.tensor([3]), torch.tensor([[5, 5, 6]]), torch.tensor([3]))
    loss = ctc_loss(logits, *args)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert bool((logits.grad == 0).all())
    half = ctc_loss(torch.randn(1, 9, 28).bfloat16(), torch.tensor([9]), *args[1:])
    assert half.dtype == torch.float32


def test_perceptual_losses_by_hand() -> None:
    made, measured, real = (torch.full((4,), x) for x in (0.5, 0.7, 0.9))
    assert float(perceptual_discriminator_loss(made, measured, real)) == pytest.approx(0.05)
    assert float(perceptual_loss(made)) == pytest.approx(0.25)


def test_likenesses_are_exact_where_autocast_is_on() -> None:
    """Embeddings close together, as those of faces are: bf16 cannot tell their cosines apart."""
    speakers = ["s1", "s1", "s2", "s2"]
    generator = torch.Generator().manual_seed(0)
    close = 1 + 0.02 * torch.randn(4, 64, generator=generator)
    other = 1 + 0.02 * torch.randn(4, 64, generator=generator)
    unit = torch.nn.functional.normalize(close, dim=-1)
    book = vcvts.Codebook(vcvts.DEBUG)
    codes = book.table[:4].clone()[None] + 1e-4
    losses: dict[str, Callable[[], torch.Tensor]] = {
        "contrastive": lambda: contrastive_loss(close, other, speakers, speakers, 0.1),
        "speakers": lambda: speaker_contrast(close, speakers, 0.1),
        "ge2e": lambda: ge2e_loss(unit, speakers, Similarity(), leave_out=True),
        "matching": lambda: matching_loss(unit, unit, torch.tensor(100.0), speakers),
        "codes": lambda: book.nearest(codes),
    }
    for name, loss in losses.items():
        exact = loss()
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(), exact), name
    assert book.nearest(codes).tolist() == [[0, 1, 2, 3]]
