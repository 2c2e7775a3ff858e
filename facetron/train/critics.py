"""Critics beside the least-squares ones of `facetron.train.stage`: Wasserstein's distance with a gradient
penalty, and critics that are told the condition of what they judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from facetron.model.losses import adversarial_loss, discriminator_loss, feature_loss
from facetron.train.lengths import LENGTHS, averaged
from facetron.train.stage import Critics, Pairs, lengths_of
from manifests.precision import full_precision
from manifests.specs import MelSpec

CONDITION = "condition"
"""Key in `Pairs` of what the samples were made from, as a pair (x, x); see `ConditionalCritics`."""


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, made: Tensor) -> Tensor:
    """Gradient penalty of Gulrajani et al. (2017), "Improved Training of Wasserstein GANs".

    Args:
        critic: (B, …) → one score a sample. It may close over a condition.
        real, made: (B, …) samples of one shape.

    Returns:
        Mean over the batch of (slope − 1)², the slope being the norm of the critic's gradient at a
        random point between `real` and `made`. Gradients of gradients overflow in half precision:
        call it outside autocast, with gradients enabled.

    Example:
        >>> import torch
        >>> from facetron.train.critics import gradient_penalty
        >>> samples = torch.zeros(4, 1, 8)
        >>> float(gradient_penalty(lambda wave: 3 * wave[:, 0, 0], samples, samples))
        4.0
    """
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = (share * real + (1 - share) * made).requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    length: Tensor = slope.flatten(1).norm(dim=1)
    return (length - 1).square().mean()


class WassersteinCritics(Critics):
    """Critics of Wasserstein's distance, whose own loss has a gradient penalty.

    Args:
        critics: by name, each (B, …) → (B,) scores.
        spec: see `Critics`.
        penalty: weight of `gradient_penalty`.
    """

    def __init__(self, critics: Mapping[str, nn.Module], spec: MelSpec, penalty: float) -> None:
        super().__init__(critics, spec)
        self.penalty = penalty

    def forward(self, pairs: Pairs) -> Tensor:
        """Returns the sum over the critics of score of made − score of real + penalty, in float32; of
        padded clips what is their own is judged (`LENGTHS`)."""
        losses = []
        for name, (real, made) in pairs.items():
            if not name.endswith(LENGTHS):
                with full_precision(real.device), torch.enable_grad():
                    told = partial(self._apart, name)
                    samples = real.float(), made.detach().float()
                    losses.append(averaged(told, lengths_of(name, pairs), *samples))
        return torch.stack(losses).sum()

    def _apart(self, name: str, real: Tensor, made: Tensor) -> Tensor:
        critic = self.critics[name]
        apart: Tensor = critic(made).mean() - critic(real).mean()
        return apart + self.penalty * gradient_penalty(critic, real, made)

    def score(self, name: str, made: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The generator's side for one critic, a loss to minimize: minus the mean score of `made`, of
        which the first `lengths` (B,) samples count; None is all."""

        def scored(made: Tensor) -> Tensor:
            scores: Tensor = self.critics[name](made)
            return -scores.mean()

        with full_precision(made.device):
            return averaged(scored, lengths, made.float())


class ConditionalCritics(Critics):
    """Critics that are told what a sample was made from, such as the speech beside a picture.

    Each critic is called as critic(samples, condition). The condition travels in `Pairs` under
    `CONDITION` as the pair (x, x): the loop detaches the second of every pair, and that one is used,
    for through the first the critics' backward would walk the graph of the generator.

    Its own loss is LSGAN's with real samples beside another sample's condition as a third kind, to be
    told from real ones like made ones (Reed et al., 2016, "Generative Adversarial Text to Image
    Synthesis"): without it a critic need not look at the condition. Those are the batch's own, rolled
    by one, so that neighbors in a batch must not share a condition. A system with another loss
    overrides `forward` and uses `judged` and `condition`.

    Args:
        critics: by name, each (samples, condition) → list of `Judgment`.
        spec: see `Critics`.
        mismatched: weight of real samples beside a wrong condition; 0 leaves them out.
    """

    def __init__(
        self, critics: Mapping[str, nn.Module], spec: MelSpec, mismatched: float = 1.0
    ) -> None:
        super().__init__(critics, spec)
        self.mismatched = mismatched

    @staticmethod
    def condition(pairs: Pairs) -> Tensor:
        """The condition of a batch, detached."""
        return pairs[CONDITION][1].detach()

    @staticmethod
    def judged(pairs: Pairs) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Name of a critic, real samples and made ones, for every pair but the condition."""
        for name, (real, made) in pairs.items():
            if name != CONDITION:
                yield name, real, made

    def forward(self, pairs: Pairs) -> Tensor:
        """Returns the discriminators' loss, summed over all critics."""
        condition = self.condition(pairs)
        losses = []
        for name, real, made in self.judged(pairs):
            critic = self.critics[name]
            of_real = critic(real, condition)
            losses.append(discriminator_loss(of_real, critic(made.detach(), condition)))
            if self.mismatched:
                others = critic(real.roll(1, 0), condition)
                wrong = torch.stack([one.score.float().square().mean() for one in others]).sum()
                losses.append(self.mismatched * wrong)
        return torch.stack(losses).sum()

    def against(self, name: str, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """The generator's side for one critic: (adversarial, feature matching)."""
        real, made = pairs[name]
        condition = self.condition(pairs)
        with torch.no_grad():
            of_real = self.critics[name](real, condition)
        of_made = self.critics[name](made, condition)
        return adversarial_loss(of_made), feature_loss(of_real, of_made)
