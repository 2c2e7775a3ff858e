"""A trained model that talks: lips and a face in, words, mel and sound out, any length.

All programs that speak (`facetron synthesize`, `speak`, `embed`) stand on `Synthesizer`, so that what
is measured is what is heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facetron.checkpoints import bundled, checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.devices import choose
from facetron.model import ctc
from facetron.model.config import ModelConfig
from facetron.model.face import face_input
from facetron.model.facetron import Facetron
from facetron.model.lip import lip_input
from facetron.model.norms import remove_norms
from facetron.model.prosody import ProsodyEncoder
from facetron.synthesis.windows import WINDOW_FRAMES, Blend, windows
from facetron.vocoders import registry as vocoders
from facetron.vocoders.neural import NeuralVocoder
from facetron.vocoders.registry import AUTO, Vocoder
from manifests.errors import BadInput, ToolkitError
from manifests.io import sha256_file
from manifests.records import ManifestRow

Float = NDArray[np.float32]
Pictures = NDArray[np.uint8]
Decoding = Literal["greedy", "beam", "grammar"]
DECODINGS: tuple[Decoding, ...] = get_args(Decoding)

STILLS_AT_ONCE = 64
WINDOWS_AT_ONCE = 4


@dataclass(frozen=True)
class Reading:
    """What the lips said.

    Attributes:
        embedding: (T, E), the l_k of Eq. 1.
        log_probs: (T, 28), natural logarithms over `facetron.model.ctc.VOCABULARY`.
        text: decoded as the `Synthesizer` was told to.
    """

    embedding: Float
    log_probs: Float
    text: str


@dataclass(frozen=True)
class Spoken:
    """
    Attributes:
        mel: (n_mels, 2 · T) log mel of the checkpoint's spec.
        wave: (2 · T · hop,) in ±1 at the `Synthesizer`'s `sample_rate_hz`.
        text: what was read from the lips.
    """

    mel: Float
    wave: Float
    text: str


@dataclass(frozen=True)
class Synthesizer:
    """A trained `FaceToSpeech` ready to talk; make it with `load`.

    Attributes:
        info: what the checkpoint says of itself.
        config: of the model.
        path: of the checkpoint.
        sha256: of the checkpoint's file.
        device: that computes.
        vocoder: of `facetron.vocoders.registry`.
        decoding: `greedy`; `beam`, free; `grammar`, a beam over GRID's sentences alone.
        seed: of the phase that Griffin-Lim starts from, the same for every clip.
    """

    info: CheckpointInfo
    config: ModelConfig
    path: Path
    sha256: str
    device: torch.device
    vocoder: Vocoder
    decoding: Decoding
    seed: int
    _model: Facetron = field(repr=False)
    _prosody: ProsodyEncoder | None = field(repr=False)

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
            BadInput: no such checkpoint, a damaged or foreign one, one without a part, CUDA that is
                not there, unknown words.
            SpecMismatch: parts of another config than the file states.
        """
        return _load(checkpoint, vocoder, device, decoding, seed)

    @property
    def sample_rate_hz(self) -> int:
        return self.config.mel_spec.sample_rate_hz

    def seen(self, speaker: str) -> bool:
        """Whether the weights were trained on a speaker, by the checkpoint's own record."""
        return self.info.has_seen(speaker)

    def require(self, rows: Iterable[ManifestRow], what: str | Path) -> None:
        """Raises `SpecMismatch` unless the rows of a manifest have the mels and crops that the
        checkpoint was trained on."""
        mel = self.info.mel or self.config.mel_spec.fingerprint()
        pairs = {
            (row.fingerprints.get("mel", ""), row.fingerprints.get("crop", "")) for row in rows
        }
        for its_mel, its_crop in sorted(pairs):
            self.config.mel_spec.require(its_mel or "none", f"{what}")
            checkpoint.require_features(self.info, self.path, its_mel or mel, its_crop)

    def face_embeddings(self, stills: Pictures) -> Float:
        """Eq. 1: aligned stills (N, H, W, 3) → (N, E), each of length 1. Raises `BadInput`."""
        if np.ndim(stills) != 4 or len(stills) == 0:
            raise BadInput(f"stills of shape {np.shape(stills)}", "pass (N, H, H, 3), N ≥ 1")
        parts = [
            self._model.see_face(
                face_input(torch.from_numpy(stills[i : i + STILLS_AT_ONCE]), self.config.face).to(
                    self.device
                )
            ).cpu()
            for i in range(0, len(stills), STILLS_AT_ONCE)
        ]
        return np.asarray(torch.cat(parts).numpy(), np.float32)

    def prosody_embeddings(self, mels: Sequence[Float] | Float) -> Float:
        """Eq. 5: log mels, each (n_mels, T), → (N, E). Raises `BadInput` where the checkpoint has no
        prosody encoder."""
        if self._prosody is None:
            raise BadInput(f"{self.path} has no prosody", f"it holds {', '.join(self.info.parts)}")
        parts = []
        for mel in mels:
            batch = torch.from_numpy(np.asarray(mel, np.float32))[None]
            parts.append(self._prosody(batch.to(self.device)).cpu())
        return np.asarray(torch.cat(parts).numpy(), np.float32)

    def read(self, lips: Pictures) -> Reading:
        """Lips (T, H, W, 3), aligned crops, any T ≥ 1. Clips of more than
        `windows.WINDOW_FRAMES` are read in overlapping windows. Raises `BadInput`."""
        return self.read_many([lips])[0]

    def read_many(self, lips: Sequence[Pictures]) -> list[Reading]:
        """As `read`, clips of one length together."""
        found: list[Reading | None] = [None] * len(lips)
        for numbers in _of_one_length(lips):
            clips = [lips[i] for i in numbers]
            for i, reading in zip(numbers, self._read(clips), strict=True):
                found[i] = reading
        return [reading for reading in found if reading is not None]

    def speak(self, lips: Pictures, face: Float) -> Spoken:
        """Eq. 1 to 3 and the vocoder: the words of the lips in the voice of the face.

        Args:
            lips: (T, H, W, 3).
            face: (E,) of `face_embeddings`.
        """
        return self.speak_many([lips], [face])[0]

    def speak_many(self, lips: Sequence[Pictures], faces: Sequence[Float]) -> list[Spoken]:
        """As `speak`, clips of one length together; the same up to rounding."""
        if len(lips) != len(faces):
            raise BadInput(f"{len(lips)} clips of lips with {len(faces)} faces", "one face a clip")
        size = self.config.face.embedding_size
        for face in faces:
            if np.shape(face) != (size,) or not np.isfinite(face).all():
                raise BadInput(
                    f"a face of shape {np.shape(face)}", f"pass ({size},) finite numbers"
                )
        found: list[Spoken | None] = [None] * len(lips)
        for numbers in _of_one_length(lips):
            readings = self._read([lips[i] for i in numbers])
            mels = self._mels(readings, [faces[i] for i in numbers])
            for i, reading, mel, wave in zip(
                numbers, readings, mels, self._waves(mels), strict=True
            ):
                found[i] = Spoken(mel, wave, reading.text)
        return [spoken for spoken in found if spoken is not None]

    def _read(self, clips: list[Pictures]) -> list[Reading]:
        """Clips of one length."""
        frames = len(clips[0])
        if frames <= WINDOW_FRAMES:
            output = self._model.read_lips(self._lip_batch(clips))
            embeddings, logs = output.embedding.cpu(), output.logits.log_softmax(-1).cpu()
            parts = list(zip(embeddings, logs, strict=True))
        else:
            parts = [self._read_long(clip) for clip in clips]
        texts = self._texts(np.stack([logs.numpy() for _, logs in parts]))
        return [
            Reading(embedding.numpy(), logs.numpy(), text)
            for (embedding, logs), text in zip(parts, texts, strict=True)
        ]

    def _read_long(self, clip: Pictures) -> tuple[Tensor, Tensor]:
        spans = windows(len(clip))
        embedding = Blend(len(clip), self.config.lip.embedding_size)
        probability = Blend(len(clip), len(ctc.VOCABULARY))
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
        made = [lip_input(torch.from_numpy(clip), self.config.lip) for clip in clips]
        return torch.stack(made).to(self.device)

    def _texts(self, log_probs: Float) -> list[str]:
        if self.decoding == "greedy":
            return ctc.greedy(log_probs)
        allowed = None
        if self.decoding == "grammar":
            rules = ctc.grid_sentences()
            # A clip too short for any sentence of GRID is spelt freely.
            if log_probs.shape[1] >= int(rules.frames_needed[0, ctc.BLANK]):
                allowed = rules
        return [hypothesis.text for hypothesis in ctc.beam(log_probs, allowed=allowed)]

    def _mels(self, readings: list[Reading], faces: list[Float]) -> list[Float]:
        words = torch.from_numpy(np.stack([reading.embedding for reading in readings]))
        voices = torch.from_numpy(np.stack(faces).astype(np.float32))
        mels = self._model.speak(words.to(self.device), voices.to(self.device)).cpu().numpy()
        return [np.asarray(mel, np.float32) for mel in mels]

    def _waves(self, mels: list[Float]) -> list[Float]:
        if isinstance(self.vocoder, NeuralVocoder):
            return self.vocoder.many(mels)
        samples = mels[0].shape[1] * self.config.mel_spec.hop_samples
        return [self.vocoder(mel, np.random.default_rng(self.seed), samples) for mel in mels]


def _load(
    name: str | Path, vocoder: str, device: str, decoding: Decoding, seed: int
) -> Synthesizer:
    if decoding not in DECODINGS:
        raise BadInput(f"no decoding {decoding!r}", f"choose one of {', '.join(DECODINGS)}")
    where = choose(device)
    path = bundled.resolve(name)
    info, tensors = checkpoint.load(path)
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise BadInput(f"{path} holds weights that are no finite numbers", "fetch it again")
    try:
        config = info.model_config()
    except ToolkitError as error:
        raise BadInput(f"{path}: {error.problem}", "use the version that trained it") from None
    prosody = None
    with torch.random.fork_rng(devices=[]):  # fresh weights are drawn only to be replaced
        model = Facetron(config)
        if "prosody" in info.parts:
            prosody = ProsodyEncoder(config.prosody, config.mel_spec.n_mels)
    for part in ("lip", "face", "decoder"):
        checkpoint.fill(getattr(model, part), part, tensors, path)
    if prosody is not None:
        checkpoint.fill(prosody, "prosody", tensors, path)
        prosody.requires_grad_(False).eval().to(where)
    remove_norms(model)
    model.requires_grad_(False).eval().to(where)
    options: dict[str, Any] = {}
    if vocoder == AUTO:
        vocoder = _suited(config, info.parts)
    if vocoder.startswith("hifigan"):
        if "vocoder" not in info.parts:
            raise BadInput(
                f"{path} has no vocoder", "choose --vocoder griffin-lim, or train the stage vocoder"
            )
        options = {"checkpoint": name, "device": str(where)}
    voice = vocoders.create(vocoder, config.mel_spec, **options)
    return Synthesizer(
        info, config, path, sha256_file(path), where, voice, decoding, seed, model, prosody
    )


def _suited(config: ModelConfig, parts: Sequence[str]) -> str:
    """The vocoder for mels that a decoder made. Between their blurred harmonics Griffin-Lim's rounds
    put noise, which is what the mel says, and take a harmonic source's voice away: of 40 clips of
    unseen speakers a pitch tracker found 39 voiced without the rounds, and 21 with them."""
    if "vocoder" not in parts:
        return "griffin-lim"
    return "hifigan" if config.vocoder.source == "harmonic" else "hifigan-refined"


def _of_one_length(clips: Sequence[Pictures]) -> list[list[int]]:
    """Numbers of clips, grouped by their frames. Raises `BadInput` for what are no clips."""
    groups: dict[int, list[int]] = {}
    for number, clip in enumerate(clips):
        if np.ndim(clip) != 4 or len(clip) == 0 or clip.dtype != np.uint8:
            raise BadInput(
                f"lips of shape {np.shape(clip)}", "pass (T, H, H, 3) uint8 pictures, T ≥ 1"
            )
        groups.setdefault(len(clip), []).append(number)
    return list(groups.values())
