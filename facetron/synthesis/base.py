"""Interface of the synthesizers of all systems: from lips and a face to text, mel and waveform.

`facetron synthesize` and `speak` use nothing else of a system, so that all rows of a table are
synthesized in the same way, with the same vocoders, faces and seeds.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facetron import systems
from facetron.checkpoints import borrowed, bundled, checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.devices import choose
from facetron.model import ctc
from facetron.model.letters import letter_model, some_sentences
from facetron.synthesis.confidence import Calibration, ReadingCheck, stored
from facetron.systems import DRAW, SystemConfig
from facetron.vocoders import registry as vocoders
from facetron.vocoders.neural import NeuralVocoder
from facetron.vocoders.registry import AUTO, PUBLISHED, Vocoder
from manifests.errors import BadInput, ToolkitError
from manifests.io import sha256_file
from manifests.language import GRID
from manifests.records import ManifestRow

Float = NDArray[np.float32]
Pictures = NDArray[np.uint8]
Decoding = Literal["greedy", "beam", "letters", "grammar"]
DECODINGS: tuple[Decoding, ...] = get_args(Decoding)
TextFrom = Literal["given", "lips"]
"""Where the text of a system that speaks text comes from: a manifest's sentence, or its lips."""
Durations = Literal["predicted", "reference"]
"""Where the timing of a given text comes from: the system, or the recording's alignment."""

STILLS_AT_ONCE = 64


@dataclass(frozen=True)
class Spoken:
    """
    Attributes:
        mel: (n_mels, T') log mel of the checkpoint's spec; a system that makes waveforms gives the
            mel of its sound.
        wave: (samples,) in ±1 at the synthesizer's `sample_rate_hz`.
        text: text read from the lips, "" where the system reads none.
        check: how far the text can be trusted; None where the checkpoint is not calibrated
            (`facetron calibrate`).
    """

    mel: Float
    wave: Float
    text: str
    check: ReadingCheck | None = None


class Weights(NamedTuple):
    """A checkpoint in memory; `facetron.checkpoints.checkpoint.fill` fills a module from it.

    Attributes:
        path: path of the file.
        info: header of the checkpoint.
        config: the options of its system.
        tensors: tensors by `part.tensor`, all finite.
        device: device to compute on.
    """

    path: Path
    info: CheckpointInfo
    config: SystemConfig
    tensors: dict[str, Tensor]
    device: torch.device

    def fill(self, modules: Mapping[str, nn.Module]) -> None:
        """Fills modules, each from the part of its name; see `checkpoint.fill`."""
        for part, module in modules.items():
            checkpoint.fill(module, part, self.tensors, self.path)


@dataclass(frozen=True)
class Trained(ABC):
    """A trained model of some system.

    Attributes:
        info: header of the checkpoint.
        path: path of the checkpoint.
        sha256: SHA-256 of the checkpoint's file.
        device: device to compute on.
    """

    system: ClassVar[str]
    """Name of the system in `facetron.systems`."""

    info: CheckpointInfo
    path: Path
    sha256: str
    device: torch.device

    def seen(self, speaker: str) -> bool:
        """Returns whether the weights were trained on a speaker, by the checkpoint's record."""
        return self.info.has_seen(speaker)

    def parameters(self, checkpoint: str | Path, speakers: Mapping[str, bool]) -> dict[str, Any]:
        """Returns what a run records of the model.

        Args:
            checkpoint: as the caller named it.
            speakers: speaker → whether it is a seen one.
        """
        return {
            "system": self.info.system,
            "checkpoint": Path(checkpoint).name,
            "checkpoint_sha256": self.sha256,
            "stage": self.info.stage,
            "size": self.info.model_config().size,
            "epoch": self.info.epoch,
            "revision": self.info.revision,
            "trained_on_split": self.info.split,
            "trained_on": list(self.info.speakers),
            "speakers": {name: "seen" if seen else "unseen" for name, seen in speakers.items()},
        }


@dataclass(frozen=True)
class SpeechSynthesizer(Trained):
    """A trained model of some system, ready to speak; make it with `load`.

    Attributes:
        vocoder: a vocoder of `facetron.vocoders.registry`.
        decoding: CTC decoding: `greedy`; `beam`, over any text; `letters`, the same with the letter
            model of the training's sentences; `grammar`, over GRID's sentences only.
        seed: seed of everything that synthesis draws, the same for every clip.
    """

    vocoder: Vocoder
    decoding: Decoding
    seed: int

    @cached_property
    def calibration(self) -> Calibration | None:
        """Returns what `facetron calibrate` measured for the checkpoint, if it was run. Raises
        `BadInput` for a calibration of other weights."""
        return stored(self.path, self.sha256)

    @classmethod
    @abstractmethod
    def load(
        cls,
        checkpoint: str | Path,
        vocoder: str = AUTO,
        device: str = "auto",
        decoding: Decoding = "greedy",
        seed: int = 0,
    ) -> SpeechSynthesizer:
        """Reads a checkpoint of this system.

        Raises:
            BadInput: the checkpoint is absent, damaged, of another system or without a part, there
                is no such CUDA device, or an option is unknown.
        """

    @property
    def face_encoder(self) -> nn.Module | None:
        """Returns the network that embeds faces; None for a system that sees none."""
        return None

    @cached_property
    def face_fingerprint(self) -> str:
        """16 hexadecimal digits of everything that decides the embedding of a still: weights and
        options of the encoder, kind of device, version of PyTorch; "" for a system that sees none."""
        if self.face_encoder is None:
            return ""
        face = getattr(self.info.model_config(), "face")  # noqa: B009 - no protocol has it
        told = hashlib.sha256(repr((face, self.device.type, torch.__version__)).encode())
        for name, value in sorted(self.face_encoder.state_dict().items()):
            told.update(name.encode() + value.cpu().numpy().tobytes())
        return told.hexdigest()[:16]

    @property
    def face_size(self) -> int:
        """Numbers of the embedding of a face; 0 for a system that sees none."""
        return 0

    def see_faces(self, stills: Tensor) -> Tensor:
        """Embeds some stills (N, H, W, 3) uint8 → (N, `face_size`), for `face_embeddings`, which has
        checked them. Only asked of a system that sees faces."""
        raise NotImplementedError(f"{self.system} sees no face")

    @abstractmethod
    def speak_alike(self, lips: Sequence[Pictures], faces: Sequence[Float]) -> list[Spoken]:
        """Synthesizes clips of one length for `speak_many`, which has checked them."""

    @torch.inference_mode()
    def face_embeddings(self, stills: Pictures) -> Float:
        """Embeds aligned stills (N, H, W, 3) → (N, E), among which Eq. 6 chooses; zeros (N, 1) for a
        system that sees no face. Raises `BadInput`."""
        if np.ndim(stills) != 4 or len(stills) == 0:
            raise BadInput(f"stills of shape {np.shape(stills)}", "pass (N, H, H, 3), N ≥ 1")
        if not self.face_size:
            return np.zeros((len(stills), 1), np.float32)
        parts = [
            self.see_faces(torch.from_numpy(stills[i : i + STILLS_AT_ONCE])).cpu()
            for i in range(0, len(stills), STILLS_AT_ONCE)
        ]
        return np.asarray(torch.cat(parts).numpy(), np.float32)

    @torch.inference_mode()
    def speak_many(self, lips: Sequence[Pictures], faces: Sequence[Float]) -> list[Spoken]:
        """Synthesizes clips of lips, each (T, H, W, 3), with a face embedding (E,) each. Clips of one
        length are computed together; the same up to rounding. Raises `BadInput`."""
        return self.by_length(
            lips,
            faces,
            lambda some: self.speak_alike([lips[i] for i in some], [faces[i] for i in some]),
        )

    def by_length(
        self,
        lips: Sequence[Pictures],
        faces: Sequence[Float],
        speak: Callable[[list[int]], Sequence[Spoken]],
    ) -> list[Spoken]:
        """Checks clips and faces, and has the clips of each length spoken together.

        Args:
            speak: is given indices of clips of one length and returns their speech.

        Raises:
            BadInput: arrays that are no clips or no embeddings of faces.
        """
        if len(lips) != len(faces):
            raise BadInput(
                f"{len(lips)} clips of lips with {len(faces)} faces", "give one face per clip"
            )
        size = self.face_size
        for face in faces:
            if size and (np.shape(face) != (size,) or not np.isfinite(face).all()):
                raise BadInput(
                    f"a face of shape {np.shape(face)}", f"pass ({size},) finite numbers"
                )
        found: dict[int, Spoken] = {}
        for numbers in of_one_length(lips):
            found |= zip(numbers, speak(numbers), strict=True)
        return [found[number] for number in range(len(lips))]

    def speak_rows(
        self, lips: Sequence[Pictures], faces: Sequence[Float], rows: Sequence[ManifestRow]
    ) -> list[Spoken]:
        """`speak_many` for clips of a manifest, whose rows hold the text of those systems that are
        given one."""
        return self.speak_many(lips, faces)

    def told(
        self, text: TextFrom | None, durations: Durations | None, reader: str | None
    ) -> SpeechSynthesizer:
        """The same synthesizer with another source of its text.

        Args:
            text, durations: see `TextFrom` and `Durations`; None leaves it as it is.
            reader: bundled weights or a path of Facetron's, which read the text from the lips.

        Raises:
            BadInput: the system speaks no text, or the sources do not go together.
        """
        if text or durations or reader:
            raise BadInput(
                f"{self.system} speaks what the lips show, and no text",
                "leave out --text, --durations and --reader",
            )
        return self

    @property
    def told_parameters(self) -> Mapping[str, Any]:
        """Returns what a run records of the source of its text; empty where the system speaks none."""
        return {}

    def told_key(self, row: ManifestRow) -> tuple[Any, ...]:
        """Returns what decides the speech of a clip beside its lips and its face: JSON values."""
        return ()

    def speak(self, lips: Pictures, face: Float) -> Spoken:
        """Synthesizes the lips (T, H, W, 3) with the voice of a face (E,) of `face_embeddings`."""
        return self.speak_many([lips], [face])[0]

    @property
    def sample_rate_hz(self) -> int:
        return self.vocoder.sample_rate_hz

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns what the name of a run must say beside the system and the checkpoint."""
        return ()

    def require(self, rows: Iterable[ManifestRow], what: str | Path) -> None:
        """Raises `SpecMismatch` unless the rows of a manifest have the mels and crops that the
        checkpoint was trained on."""
        spec = self.info.model_config().mel_spec
        mel = self.info.mel or spec.fingerprint()
        pairs = {
            (row.fingerprints.get("mel", ""), row.fingerprints.get("crop", "")) for row in rows
        }
        for its_mel, its_crop in sorted(pairs):
            spec.require(its_mel or "none", f"{what}")
            checkpoint.require_features(self.info, self.path, its_mel or mel, its_crop)

    def sounds(self, mels: Sequence[Float]) -> list[Float]:
        """Turns mels of one length, each (n_mels, T), into waveforms (T · hop,) in ±1 by the vocoder."""
        if isinstance(self.vocoder, NeuralVocoder):
            return self.vocoder.many(mels)
        spec = self.info.model_config().mel_spec
        seconds = mels[0].shape[1] * spec.hop_samples / spec.sample_rate_hz
        samples = round(seconds * self.vocoder.sample_rate_hz)
        return [self.vocoder(mel, np.random.default_rng(self.seed), samples) for mel in mels]


def load_synthesizer(
    checkpoint: str | Path,
    vocoder: str = AUTO,
    device: str = "auto",
    decoding: Decoding = "greedy",
    seed: int = 0,
    vocoder_checkpoint: str | Path = "",
) -> SpeechSynthesizer:
    """Loads the synthesizer of a checkpoint of any system; the checkpoint names its system.

    Args:
        checkpoint: bundled weights (`synthgrid`, `grid-s1`) or a path.
        vocoder: a name in `facetron.vocoders.registry`, or `auto`: the checkpoint's own where it
            has one, else Griffin-Lim.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        decoding: CTC decoding of the lips, where the system reads text.
        seed: seed of everything that is drawn.
        vocoder_checkpoint: weights of a vocoder, of facetron or published ones (see
            `facetron.vocoders.published`), in place of `vocoder`; the speech then has their rate.

    Raises:
        BadInput: the checkpoint is absent, damaged, of a system that is not registered or that does
            not speak, there is no such CUDA device, or an option is unknown.
    """
    path = bundled.resolve(checkpoint)
    system = _system_of(path)
    if not system.synthesizer:
        raise BadInput(f"{path} is of {system.name}, which draws faces and does not speak", DRAW)
    if not str(vocoder_checkpoint):
        return system.synthesizer_class().load(checkpoint, vocoder, device, decoding, seed)
    if vocoder not in (AUTO, PUBLISHED):
        raise BadInput(
            f"the vocoder {vocoder} and weights of a vocoder exclude each other", "give one of them"
        )
    made = system.synthesizer_class().load(checkpoint, "griffin-lim", device, decoding, seed)
    spec = made.info.model_config().mel_spec
    options: dict[str, Any] = {"checkpoint": vocoder_checkpoint, "device": str(made.device)}
    return replace(made, vocoder=vocoders.create(PUBLISHED, spec, **options))


def _system_of(path: Path) -> systems.System:
    info = checkpoint.read_info(path)
    try:
        return systems.get(info.system)
    except ToolkitError as error:
        raise BadInput(f"{path}: {error.problem}", "use the version that trained it") from None


def read_weights(
    name: str | Path, system: str, device: str = "auto", decoding: Decoding = "greedy"
) -> Weights:
    """Reads the checkpoint of a bundled name or a path, for a synthesizer of `system`.

    Raises:
        BadInput: the checkpoint is absent, damaged or of another system, its weights are not finite,
            there is no such CUDA device, or the decoding is unknown.
    """
    if decoding not in DECODINGS:
        raise BadInput(
            f"there is no decoding {decoding!r}", f"choose one of {', '.join(DECODINGS)}"
        )
    where = choose(device)
    path = bundled.resolve(name)
    info, tensors = checkpoint.load(path)
    info.require_system(system, path)
    tensors |= borrowed.fetched(info, path)
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise BadInput(f"{path} holds weights that are not finite numbers", "fetch it again")
    try:
        config = info.model_config()
    except ToolkitError as error:
        raise BadInput(f"{path}: {error.problem}", "use the version that trained it") from None
    return Weights(path, info, config, tensors, where)


def choose_vocoder(
    name: str | Path, weights: Weights, vocoder: str, own: str = "hifigan"
) -> Vocoder:
    """Creates the vocoder for the mels that the weights predict.

    Args:
        name: checkpoint as the caller named it.
        vocoder: a name in `facetron.vocoders.registry`, or `auto`.
        own: vocoder for `auto` where the checkpoint has the part `vocoder`; else it is Griffin-Lim.

    Raises:
        BadInput: there is no such vocoder, or the checkpoint lacks the part for a neural one.
    """
    lender = borrowed.source_of(weights.info, "vocoder")
    name = lender or name
    has_own = bool(lender) or "vocoder" in weights.info.parts
    if vocoder == AUTO:
        vocoder = own if has_own else "griffin-lim"
    options: dict[str, Any] = {}
    if vocoder.startswith("hifigan"):
        if not has_own:
            raise BadInput(
                f"{weights.path} has no vocoder",
                "choose --vocoder griffin-lim, or train the stage vocoder",
            )
        options = {"checkpoint": name, "device": str(weights.device)}
    return vocoders.create(vocoder, weights.config.mel_spec, **options)


def identity(weights: Weights) -> tuple[CheckpointInfo, Path, str, torch.device]:
    """The first fields of a `Trained` model."""
    return weights.info, weights.path, sha256_file(weights.path), weights.device


def of_one_length(clips: Sequence[Pictures]) -> list[list[int]]:
    """Groups indices of clips by their number of frames. Raises `BadInput` for arrays that are no clips."""
    groups: dict[int, list[int]] = {}
    for number, clip in enumerate(clips):
        if np.ndim(clip) != 4 or len(clip) == 0 or clip.dtype != np.uint8:
            raise BadInput(
                f"lips of shape {np.shape(clip)}", "pass (T, H, H, 3) uint8 pictures, T ≥ 1"
            )
        groups.setdefault(len(clip), []).append(number)
    return list(groups.values())


def texts_of(
    log_probs: Float, decoding: Decoding, info: CheckpointInfo, language: str = GRID
) -> list[str]:
    """Decodes (B, T, V) log probabilities of letters.

    Args:
        log_probs: over the classes of `facetron.model.ctc.vocabulary(language)`.
        decoding: see `SpeechSynthesizer`.
        info: header of the weights, with the sentences that they were trained on.
    """
    if decoding == "greedy":
        return ctc.greedy(log_probs)
    allowed = None
    if decoding == "letters":
        allowed = letter_model(info.sentences or some_sentences(), language=language)
    if decoding == "grammar":
        rules = ctc.grid_sentences()
        # A clip too short for any sentence of GRID is spelt freely.
        if log_probs.shape[1] >= int(rules.frames_needed[0, ctc.BLANK]):
            allowed = rules
    return [hypothesis.text for hypothesis in ctc.beam(log_probs, allowed=allowed)]
