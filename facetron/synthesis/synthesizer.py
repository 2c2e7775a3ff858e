"""Facetron's synthesizer: from lips and a face to text, mel and waveform, for clips of any length.

`facetron synthesize` and `speak` both use it, so that the speech that is scored is the speech heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from facetron.checkpoints import checkpoint
from facetron.model import ctc, encoders
from facetron.model.config import ModelConfig
from facetron.model.facetron import Facetron
from facetron.published.norms import remove_norms
from facetron.synthesis.base import (
    Decoding,
    Float,
    Pictures,
    SpeechSynthesizer,
    Spoken,
    choose_vocoder,
    identity,
    of_one_length,
    read_weights,
    texts_of,
)
from facetron.synthesis.confidence import ReadingCheck, check_readings
from facetron.synthesis.windows import WINDOW_FRAMES, Blend, windows
from facetron.vocoders.registry import AUTO

WINDOWS_AT_ONCE = 4


@dataclass(frozen=True)
class Reading:
    """The result of reading the lips of a clip.

    Attributes:
        embedding: (T, E), the l_k of Eq. 1.
        log_probs: (T, 28), natural logarithms over `facetron.model.ctc.VOCABULARY`.
        text: text by the decoding of the `Synthesizer`.
    """

    embedding: Float
    log_probs: Float
    text: str


@dataclass(frozen=True)
class Synthesizer(SpeechSynthesizer):
    """A trained `FaceToSpeech` ready to speak; make it with `load`.

    Attributes:
        config: of the model.
    """

    system: ClassVar[str] = "facetron"

    config: ModelConfig
    _model: Facetron = field(repr=False)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        vocoder: str = AUTO,
        device: str = "auto",
        decoding: Decoding = "greedy",
        seed: int = 0,
    ) -> Synthesizer:
        """Reads a checkpoint; weights of any precision are computed with as float32.

        Args:
            checkpoint: bundled weights (`synthgrid`, `grid-s1`) or a path of a safetensors
                checkpoint with the parts lip, face, decoder and, for `hifigan`, vocoder.
            vocoder: a name in `facetron.vocoders.registry`, or `auto`: the checkpoint's own where
                it has one (refined, if that has no harmonic source), else Griffin-Lim.
            device: `auto`, `cpu`, `cuda`.

        Raises:
            BadInput: the checkpoint is absent, damaged, foreign or without a part, there is no such
                CUDA device, or an option is unknown.
            SpecMismatch: parts of another config than the file states.
        """
        return _load(checkpoint, vocoder, device, decoding, seed)

    @property
    def model(self) -> Facetron:
        """The network, in evaluation mode, on `device`."""
        return self._model

    @property
    def face_encoder(self) -> nn.Module:
        return self._model.face

    @property
    def face_size(self) -> int:
        return self.config.face.embedding_size

    def see_faces(self, stills: Tensor) -> Tensor:
        """Eq. 1, each of length 1."""
        seen = encoders.prepare("face", stills, self.config.face)
        return self._model.see_face(seen.to(self.device))

    def read(self, lips: Pictures) -> Reading:
        """Reads lips (T, H, W, 3), aligned crops of any T ≥ 1. Clips of more than
        `windows.WINDOW_FRAMES` are read in overlapping windows. Raises `BadInput`."""
        return self.read_many([lips])[0]

    def read_many(self, lips: Sequence[Pictures]) -> list[Reading]:
        """Reads several clips like `read`; clips of one length are computed together."""
        found: list[Reading | None] = [None] * len(lips)
        for numbers in of_one_length(lips):
            clips = [lips[i] for i in numbers]
            for i, reading in zip(numbers, self._read(clips), strict=True):
                found[i] = reading
        return [reading for reading in found if reading is not None]

    def speak_alike(self, lips: Sequence[Pictures], faces: Sequence[Float]) -> list[Spoken]:
        """Eq. 1 to 3 and the vocoder."""
        readings = self._read(list(lips))
        mels = self._mels(readings, faces)
        return [
            Spoken(mel, wave, reading.text, check)
            for mel, wave, reading, check in zip(
                mels, self.sounds(mels), readings, self.checks(readings), strict=True
            )
        ]

    def checks(self, readings: Sequence[Reading]) -> Sequence[ReadingCheck | None]:
        """Returns how far each reading can be trusted; None where the checkpoint is not calibrated."""
        if self.calibration is None:
            return [None] * len(readings)
        return check_readings([reading.log_probs for reading in readings], self.calibration)

    def _read(self, clips: list[Pictures]) -> list[Reading]:
        """Reads clips of one length."""
        frames = len(clips[0])
        if frames <= WINDOW_FRAMES:
            output = self._model.read_lips(self._lip_batch(clips))
            embeddings, logs = output.embedding.cpu(), output.logits.log_softmax(-1).cpu()
            parts = list(zip(embeddings, logs, strict=True))
        else:
            parts = [self._read_long(clip) for clip in clips]
        log_probs = np.stack([logs.numpy() for _, logs in parts])
        texts = texts_of(log_probs, self.decoding, self.info, self.config.lip.language)
        return [
            Reading(embedding.numpy(), logs.numpy(), text)
            for (embedding, logs), text in zip(parts, texts, strict=True)
        ]

    def _read_long(self, clip: Pictures) -> tuple[Tensor, Tensor]:
        spans = windows(len(clip))
        embedding = Blend(len(clip), self.config.lip.embedding_size)
        probability = Blend(len(clip), len(ctc.vocabulary(self.config.lip.language)))
        for i in range(0, len(spans), WINDOWS_AT_ONCE):
            some = spans[i : i + WINDOWS_AT_ONCE]
            output = self._model.read_lips(
                self._lip_batch([clip[start:end] for start, end in some])
            )
            for (start, _), values, logits in zip(
                some, output.embedding.cpu(), output.logits.cpu(), strict=True
            ):
                embedding.add(start, values)
                probability.add(start, logits.softmax(-1))
        return embedding.result(), probability.result().clamp_min(1e-30).log()

    def _lip_batch(self, clips: list[Pictures]) -> Tensor:
        made = [encoders.prepare("lip", torch.from_numpy(clip), self.config.lip) for clip in clips]
        return torch.stack(made).to(self.device)

    def _mels(self, readings: Sequence[Reading], faces: Sequence[Float]) -> list[Float]:
        words = torch.from_numpy(np.stack([reading.embedding for reading in readings]))
        voices = torch.from_numpy(np.stack(faces).astype(np.float32))
        mels = self._model.speak(words.to(self.device), voices.to(self.device)).cpu().numpy()
        return [np.asarray(mel, np.float32) for mel in mels]


def _load(
    name: str | Path, vocoder: str, device: str, decoding: Decoding, seed: int
) -> Synthesizer:
    weights = read_weights(name, Synthesizer.system, device, decoding)
    config = weights.config
    assert isinstance(config, ModelConfig)
    model = checkpoint.unfilled(lambda: Facetron(config))
    weights.fill({part: getattr(model, part) for part in ("lip", "face", "decoder")})
    remove_norms(model)
    model.requires_grad_(False).eval().to(weights.device)
    voice = choose_vocoder(name, weights, vocoder, _suited(config))
    return Synthesizer(*identity(weights), voice, decoding, seed, config, model)


def _suited(config: ModelConfig) -> str:
    """Returns the neural vocoder for mels that a decoder predicted. Their harmonics are blurred, so
    that rounds of Griffin-Lim add noise between them and weaken the voicing of a harmonic source: of
    40 clips of unseen speakers a pitch tracker found 39 voiced without the rounds, and 21 with them."""
    return "hifigan" if config.vocoder.source == "harmonic" else "hifigan-refined"
