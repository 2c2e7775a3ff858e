"""The face stage: E_face learns to predict the prosody embedding from a face (IV-A, Eq. 5), until
1 − cos no longer falls."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facetron.model import encoders
from facetron.model.config import LossConfig, ModelConfig
from facetron.model.face import FaceEncoder
from facetron.model.losses import contrastive_loss, cosine_loss
from facetron.model.padding import embedded
from facetron.model.prosody import ProsodyEncoder
from facetron.train.batches import to_model
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch
from facetron.train.lengths import mel_lengths
from facetron.train.stage import FacetronStage, Made, Pairs


class Teacher(nn.Module):
    """A frozen prosody encoder, p of Eq. 5, in evaluation mode whatever mode the rest is in."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.prosody: ProsodyEncoder = encoders.build(
            "prosody", config.prosody, config.mel_spec.n_mels
        )
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Teacher:
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, n_mels, T), (B,) frames of each clip where shorter ones were padded → (B, D)."""
        return embedded(self.prosody, lengths, mel)


def face_losses(made: Made, batch: Batch, weights: LossConfig) -> tuple[Tensor, dict[str, Tensor]]:
    """Computes Eq. 5 (`cs`) and, where it has weight, the contrastive term, which is not in the paper:
    one point for all speakers satisfies the cosine alone as far as the teacher's embeddings are close
    to each other.

    Returns:
        The weighted sum, and its terms.
    """
    cosine = cosine_loss(made["face"], made["prosody"], weights.cs_direction)
    loss, members = weights.cs * cosine, {"cs": cosine}
    if weights.contrastive:
        speakers = batch["speakers"]
        members["contrastive"] = contrastive_loss(
            made["face"], made["prosody"], speakers, speakers, weights.temperature
        )
        loss = loss + weights.contrastive * members["contrastive"]
    return loss, members


class FaceAndProsody(nn.Module):
    """Computes f and p of Eq. 5 from one still and the mel of the same clip."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.face: FaceEncoder = encoders.build("face", config.face)
        self.teacher = Teacher(config)

    def forward(self, batch: Batch) -> Made:
        return {
            "face": self.face(to_model(batch["face"])),
            "prosody": self.teacher(batch["mel"], mel_lengths(batch)),
        }


class FaceStage(FacetronStage):
    name = "face"
    fields = ("face", "mel")
    needs = ("prosody",)
    takes = ("face",)
    watched = "face"

    def __init__(self, config: ModelConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        model = FaceAndProsody(config)
        self.generator = model
        self.parts = {"face": model.face, "prosody": model.teacher.prosody}

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        loss, members = face_losses(made, batch, self.config.loss)
        return {"loss": loss, **members}
