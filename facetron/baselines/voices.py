"""GE2E, as Face2Speech trains its speech encoder and, with fixed centroids, its face encoder.

Wan, Wang, Papir and Lopez Moreno, "Generalized end-to-end loss for speaker verification" (ICASSP 2018);
Goto et al., "Face2Speech" (Interspeech 2020), for SGE2E. `facetron.model.ge2e` runs an encoder of the
same kind that others trained on thousands of speakers; this one is trained here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.baselines.eyes import Scale
from manifests.errors import BadInput
from manifests.precision import full_precision, product


@dataclass(frozen=True)
class VoiceConfig:
    """Options of the speech encoder; the defaults are Face2Speech's."""

    hidden: int = 768
    layers: int = 3
    embedding_size: int = 256
    cut_frames: int = 80
    """Mel frames that are heard at once, 1.6 s; of an utterance, cuts half as far apart are averaged."""

    def __post_init__(self) -> None:
        if min(self.hidden, self.layers, self.embedding_size) < 1 or self.cut_frames < 2:
            raise BadInput(
                f"prosody.hidden {self.hidden}, layers {self.layers}, embedding_size "
                f"{self.embedding_size}, cut_frames {self.cut_frames}",
                "give at least 1, and 2 frames",
            )


class VoiceEncoder(nn.Module):
    """LSTMs over a mel, whose last state becomes an embedding of the voice of length 1."""

    def __init__(self, config: VoiceConfig, n_mels: int) -> None:
        super().__init__()
        self.config = config
        self.scale = Scale()
        self.lstm = nn.LSTM(n_mels, config.hidden, config.layers, batch_first=True)
        self.project = nn.Linear(config.hidden, config.embedding_size)

    def hear(self, mel: Tensor) -> Tensor:
        """(B, n_mels, T) log mels, T of any length, heard as one → (B, E)."""
        with full_precision(mel.device):
            heard = self.scale(mel.float()).transpose(1, 2)
            state = self.lstm(heard)[1][0][-1]
            return functional.normalize(self.project(state), dim=-1)

    def drawn(self, mel: Tensor) -> Tensor:
        """The embedding of one cut of each clip at random, for training."""
        frames = min(self.config.cut_frames, mel.shape[2])
        starts = torch.randint(mel.shape[2] - frames + 1, (len(mel),)).tolist()
        cuts = [clip[:, start : start + frames] for clip, start in zip(mel, starts, strict=True)]
        return self.hear(torch.stack(cuts))

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, T) log mels → (B, E), the mean over the cuts of each, of length 1."""
        frames = min(self.config.cut_frames, mel.shape[2])
        last = mel.shape[2] - frames
        n_cuts = math.ceil(last / (self.config.cut_frames // 2)) + 1
        starts = [round(last * k / max(n_cuts - 1, 1)) for k in range(n_cuts)]
        heard = self.hear(torch.cat([mel[:, :, start : start + frames] for start in starts]))
        return functional.normalize(heard.reshape(n_cuts, len(mel), -1).mean(0), dim=-1)


class Similarity(nn.Module):
    """w · cos + b with w above 0, learned from w = 10 and b = −5 as Wan et al. start. (They also scale
    the gradients of both by 0.01; Adam's steps do not depend on that.)"""

    def __init__(self) -> None:
        super().__init__()
        self.log_weight = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-5.0))

    def forward(self, cosine: Tensor) -> Tensor:
        return self.log_weight.exp() * cosine + self.bias


def ge2e_loss(
    found: Tensor, speakers: Sequence[str], similarity: Similarity, leave_out: bool = False
) -> Tensor:
    """GE2E's softmax: −S of an embedding and its own speaker's centroid + ln Σ exp S over all speakers
    of the batch, the mean over the embeddings.

    Args:
        found: (B, E), of length 1.
        speakers: of each.
        leave_out: an embedding is no part of its own speaker's centroid, as Wan et al. have it;
            otherwise centroids are plain means, as Face2Speech has it. The only one of a speaker
            always is.
    """
    names = sorted(set(speakers))
    owner = torch.tensor([names.index(speaker) for speaker in speakers], device=found.device)
    unit = found.float()
    members = functional.one_hot(owner, len(names)).float()  # (B, speakers)
    sums = product(members.T, unit)
    cosine = product(unit, functional.normalize(sums, dim=-1).T)
    if leave_out:
        others = functional.cosine_similarity(unit, sums[owner] - unit, dim=-1)
        several = members.sum(0)[owner] > 1
        own = torch.where(several, others, cosine.gather(1, owner[:, None])[:, 0])
        cosine = torch.where(members.bool(), own[:, None], cosine)
    return functional.cross_entropy(similarity(cosine), owner)


def fixed_centroid_loss(
    found: Tensor, owner: Tensor, centroids: Tensor, similarity: Similarity
) -> Tensor:
    """SGE2E: GE2E's softmax with centroids that do not move.

    Args:
        found: (B, E) of another encoder, of length 1.
        owner: (B,) rows of `centroids`.
        centroids: (speakers, E), each the mean of all embeddings of a speaker's speech.
    """
    cosine = product(found, functional.normalize(centroids, dim=-1).T)
    return functional.cross_entropy(similarity(cosine), owner)
