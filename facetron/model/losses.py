"""Losses of the paper (IV-A, Eq. 4 and 5) as pure functions, and those of ours that it does not have.

Means are over elements, sums over discriminators and layers, as in HiFi-GAN.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from facetron.model.ctc import BLANK
from facetron.model.discriminators import Judgment
from facetron.model.padding import inside
from manifests.errors import BadInput
from manifests.precision import product

MASKED = -1e9
"""In place of minus infinity, whose gradient is no number where all of a row is masked."""


def total_loss(decoder: Tensor, face: Tensor, vocoder: Tensor) -> Tensor:
    """Eq. 4: L_total = L_Decoder + L_CS + L_Vocoder."""
    return decoder + face + vocoder


def cosine_loss(
    face: Tensor,
    prosody: Tensor,
    direction: Literal["one_minus_cosine", "literal"] = "one_minus_cosine",
) -> Tensor:
    """Eq. 5: L_CS = CS(f, p), between (B, D) face and (B, D) prosody embeddings.

    Minimized as printed (`literal`) it would push the two apart; the default is 1 − CS. The prosody
    encoder is the teacher: no gradient reaches p.
    """
    cosine = functional.cosine_similarity(face.float(), prosody.detach().float(), dim=-1).mean()
    if direction == "one_minus_cosine":
        return 1 - cosine
    if direction == "literal":
        return cosine
    raise BadInput(f"L_CS has no direction {direction!r}", "choose one_minus_cosine or literal")


def contrastive_loss(
    found: Tensor,
    wanted: Tensor,
    found_speakers: Sequence[str],
    wanted_speakers: Sequence[str],
    temperature: float = 0.1,
) -> Tensor:
    """Cross-modal InfoNCE with several positives (Khosla et al., 2020, "Supervised contrastive
    learning", L_in): each embedding must be nearer to those of its own speaker than to the others.

    Not in the paper, whose cosine (Eq. 5) one point for all speakers satisfies as well as the
    teacher's embeddings lie together.

    Args:
        found: (B, D) embeddings that learn.
        wanted: (N, D) embeddings to be near to; no gradient reaches them.
        found_speakers, wanted_speakers: B and N names. An embedding without a positive counts 0.
        temperature: the lower, the more the nearest negatives matter.
    """
    a = functional.normalize(found.float(), dim=-1)
    b = functional.normalize(wanted.detach().float(), dim=-1)
    log_p = (product(a, b.T) / temperature).log_softmax(dim=1)
    return _away_from_positives(log_p, same_names(found_speakers, wanted_speakers, found.device))


def speaker_contrast(found: Tensor, speakers: Sequence[str], temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss (Khosla et al., 2020, L_in) within a batch: (B, D) embeddings of
    the same speaker lie together, those of others apart. Not in the paper, whose prosody encoder
    comes pretrained on many speakers; an embedding alone of its speaker counts 0."""
    unit = functional.normalize(found.float(), dim=-1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    log_p = (product(unit, unit.T) / temperature).masked_fill(itself, MASKED).log_softmax(dim=1)
    return _away_from_positives(log_p, same_names(speakers, speakers, unit.device) & ~itself)


def same_names(these: Sequence[str], those: Sequence[str], device: torch.device) -> Tensor:
    """(B, N) bool: whether two names are equal."""
    return torch.tensor([[x == y for y in those] for x in these], device=device)


def _away_from_positives(log_p: Tensor, positive: Tensor) -> Tensor:
    """Mean over the rows of −ln of the probability of all positives, 0 for rows without any.

    Args:
        log_p: (B, N) log probabilities.
        positive: (B, N) bool.
    """
    mass = torch.logsumexp(log_p.masked_fill(~positive, MASKED), dim=1)
    return -mass.masked_fill(~positive.any(1), 0.0).mean()


def discriminator_loss(real: Sequence[Judgment], made: Sequence[Judgment]) -> Tensor:
    """Least-squares GAN (Mao et al., 2017), the discriminators' side: real → 1, made → 0."""
    return _total(
        (1 - r.score.float()).square().mean() + m.score.float().square().mean()
        for r, m in zip(real, made, strict=True)
    )


def adversarial_loss(made: Sequence[Judgment]) -> Tensor:
    """Least-squares GAN, the generator's side: made → 1."""
    return _total((1 - m.score.float()).square().mean() for m in made)


def feature_loss(real: Sequence[Judgment], made: Sequence[Judgment]) -> Tensor:
    """Feature matching ("feature mapping" in IV-A): L1 between the discriminators' maps."""
    return _total(
        functional.l1_loss(b.float(), a.detach().float())
        for r, m in zip(real, made, strict=True)
        for a, b in zip(r.features, m.features, strict=True)
    )


def mel_loss(made: Tensor, real: Tensor, lengths: Tensor | None = None) -> Tensor:
    """L1 between log mels (B, n_mels, T), over the first `lengths` (B,) frames of each clip."""
    if made.shape != real.shape:
        raise BadInput(
            f"mels of shapes {tuple(made.shape)} and {tuple(real.shape)}", "compare equal lengths"
        )
    if lengths is None:
        return functional.l1_loss(made.float(), real.float())
    own = inside(lengths, made.transpose(1, 2))
    difference = (made.float() - real.float()).abs() * own[:, None]
    return difference.sum() / (own.sum() * made.shape[1])


def spectral_loss(
    made: Tensor, real: Tensor, sizes: Sequence[int] = (128, 256, 512, 1024)
) -> Tensor:
    """Multi-resolution STFT loss of Parallel WaveGAN (Yamamoto, Song and Kim, 2020): spectral
    convergence plus L1 of log magnitudes of (B, 1, samples), windows of `sizes`, hops a quarter."""
    total = made.new_zeros((), dtype=torch.float32)
    for size in sizes:
        window = torch.hann_window(size, device=made.device)
        a, b = (
            torch.stft(wave.float().squeeze(1), size, size // 4, size, window, return_complex=True)
            .abs()
            .clamp(min=1e-5)
            for wave in (made, real)
        )
        convergence = torch.linalg.norm(a - b) / torch.linalg.norm(b)
        total = total + convergence + functional.l1_loss(a.log(), b.log())
    return total / len(sizes)


def ctc_loss(logits: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """CTC (III; Graves et al., 2006), each clip's loss divided by its letters, then the mean.

    Args:
        logits: (B, T, 28) of the lip encoder.
        lengths: (B,) frames.
        targets: (B, S) classes of `facetron.model.ctc`, padded with anything.
        target_lengths: (B,) letters. A clip with more than its frames can spell counts as 0: no
            alignment exists and the loss would be infinite.
    """
    log_p = logits.float().log_softmax(dim=-1).transpose(0, 1)  # (T, B, V); half precision is short
    return functional.ctc_loss(
        log_p, targets, lengths, target_lengths, blank=BLANK, zero_infinity=True
    )


def perceptual_discriminator_loss(
    predicted_made: Tensor, measured_made: Tensor, predicted_real: Tensor
) -> Tensor:
    """MetricGAN, the discriminator's side, all (B,): learn the measured score (scaled to 0 … 1) of
    what was made, and 1 for the real beside itself."""
    made = functional.mse_loss(predicted_made.float(), measured_made.detach().float())
    return made + (1 - predicted_real.float()).square().mean()


def perceptual_loss(predicted_made: Tensor) -> Tensor:
    """MetricGAN, the generator's side: be predicted a perfect score."""
    return (1 - predicted_made.float()).square().mean()


def _total(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum()
