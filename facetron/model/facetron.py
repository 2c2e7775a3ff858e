"""The whole model (III, Figure 1, Eq. 1 to 3): silent lips and one still of a face → mel → waveform."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from facetron.model import encoders
from facetron.model.config import ModelConfig
from facetron.model.decoder import Decoder
from facetron.model.face import FaceEncoder
from facetron.model.lip import LipEncoder, LipOutput
from facetron.model.vocoder import Vocoder
from manifests.errors import BadInput
from manifests.specs import MelSpec


class Facetron(nn.Module):
    """The mel-spectrogram generator of Figure 1: lip encoder + face encoder + decoder.

        l_k = E_lip(X_k),  f = E_face(X)        (1)
        c_k = concat(l_k, f)                    (2)
        M̂   = G_decoder(c_1 … c_L)              (3)

    Where `lip.frozen` holds, the lip encoder takes no gradient and stays in evaluation mode however
    the rest is trained (IV-A: it "is trained beforehand").
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.lip: LipEncoder = encoders.build("lip", config.lip)
        self.face: FaceEncoder = encoders.build("face", config.face)
        size = self.lip.embedding_size + self.face.embedding_size
        self.decoder = Decoder(config.decoder, size, config.mel_spec.n_mels)
        if config.lip.frozen:
            self.lip.requires_grad_(False)
            self.lip.eval()

    @property
    def mel_spec(self) -> MelSpec:
        """The spec of the mels that it makes."""
        return self.config.mel_spec

    def train(self, mode: bool = True) -> Facetron:
        super().train(mode)
        if self.config.lip.frozen:
            self.lip.eval()
        return self

    def read_lips(self, lips: Tensor, lengths: Tensor | None = None) -> LipOutput:
        """Eq. 1, left: (B, C, T, H, W) → embedding (B, T, E) and logits (B, T, 28)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.lip.frozen):
            output: LipOutput = self.lip(lips, lengths)
        return output

    def see_face(self, faces: Tensor) -> Tensor:
        """Eq. 1, right: (B, 3, H, W) → f (B, D) of length 1."""
        embedding: Tensor = self.face(faces)
        return embedding

    def speak(self, lip_embedding: Tensor, face_embedding: Tensor) -> Tensor:
        """Eq. 2 and 3: lip embeddings and a face embedding, which may be of two people, become a mel.

        Args:
            lip_embedding: (B, T, E).
            face_embedding: (B, D).

        Returns:
            (B, n_mels, 2 · T) log mel.
        """
        if len(lip_embedding) != len(face_embedding):
            raise BadInput(
                f"{len(lip_embedding)} clips of lips with {len(face_embedding)} faces",
                "give one face per clip",
            )
        mel: Tensor = self.decoder(concatenate(lip_embedding, face_embedding))
        return mel

    def forward(self, lips: Tensor, faces: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Eq. 1 to 3.

        Args:
            lips: (B, C, T, H, W) as `facetron.model.lip.lip_input` makes them.
            faces: (B, 3, H, W) as `facetron.model.face.face_input` makes them.
            lengths: (B,) frames of each clip where shorter ones were padded. What is read from the
                lips does not depend on the padding; the last mel frames of a shorter clip do, for
                the decoder's convolutions reach over its end. Batch equal lengths to be exact.

        Returns:
            (B, n_mels, 2 · T) log mel of `mel_spec`.
        """
        return self.speak(self.read_lips(lips, lengths).embedding, self.see_face(faces))


def concatenate(lip_embedding: Tensor, face_embedding: Tensor) -> Tensor:
    """Eq. 2: c_k = concat(l_k, f), (B, T, E) and (B, D) → (B, E + D, T), f the same in each frame."""
    repeated = face_embedding[:, None].expand(-1, lip_embedding.shape[1], -1)
    return torch.cat([lip_embedding, repeated], dim=2).transpose(1, 2)


class Speech(NamedTuple):
    """Attributes:
    mel: (B, n_mels, 2 · T) log mel.
    wave: (B, 1, 2 · T · hop) waveform in ±1.
    """

    mel: Tensor
    wave: Tensor


class FaceToSpeech(nn.Module):
    """Figure 1 end to end: Facetron, then the vocoder. The joint stage trains it by Eq. 4.

    Raises:
        SpecMismatch: the vocoder takes other mels than the decoder makes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.facetron = Facetron(config)
        self.vocoder = Vocoder(config.vocoder)
        self.vocoder.require(config.mel_spec.fingerprint(), f"the decoder's mel {config.mel!r}")

    def forward(self, lips: Tensor, faces: Tensor, lengths: Tensor | None = None) -> Speech:
        """Does what `Facetron.forward` does, and adds the waveform of the mel."""
        mel = self.facetron(lips, faces, lengths)
        return Speech(mel, self.vocoder(mel))
