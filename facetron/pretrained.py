"""A trained model in two lines: `facetron.load("synthgrid").speak("clip.mpg")`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facetron.synthesis.base import Decoding, SpeechSynthesizer, load_synthesizer
from facetron.synthesis.confidence import ReadingCheck, domain, notes_of
from facetron.video.speak import choose_still, fitted, say
from facetron.vocoders.registry import AUTO
from manifests.errors import BadInput
from manifests.grammar import VOCABULARY

if TYPE_CHECKING:
    from facetron.video.align import Aligner

Pictures = NDArray[np.uint8]
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Speech:
    """Synthesized speech.

    Attributes:
        wave: (samples,) float32 in ±1, 0.04 s for every frame of the lips.
        rate_hz: samples per second of `wave`.
        mel: (n_mels, 2 · T) float32 log mel of the checkpoint's spec; T frames of lips.
        text: text read from the lips.
        still: (H, W, 3) uint8, the still that gave the voice; None where an embedding did.
        confidence: expected share of the words read that are right, 0 to 1; None where the weights are not
            calibrated (`facetron calibrate`).
        is_grid: whether the lips seem to speak a sentence of GRID; None likewise.
        warnings: reasons to doubt the result, one line each: several faces in the video, frames
            without a face, another frame rate, speakers and words that the weights do not know.
    """

    wave: Float
    rate_hz: int
    mel: Float
    text: str
    still: Pictures | None
    warnings: tuple[str, ...]
    confidence: float | None = None
    is_grid: bool | None = None


class PretrainedModel:
    """A trained model that synthesizes speech; `load` creates it.

    Attributes:
        synthesizer: the underlying synthesizer, for batches of clips and for embeddings.
    """

    def __init__(self, synthesizer: SpeechSynthesizer, landmarks: str = "", who: str = "") -> None:
        self.synthesizer = synthesizer
        self._landmarks, self._who = landmarks, who
        self._aligner: Aligner | None = None

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers that the weights were trained on; every other speaker is unseen."""
        return self.synthesizer.info.speakers

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the speech."""
        return self.synthesizer.sample_rate_hz

    def speak(
        self, video: str | os.PathLike[str], face: str | os.PathLike[str] | None = None
    ) -> Speech:
        """Synthesizes speech from the lips in a video, with the voice that the face determines.

        Args:
            video: any format, size and frame rate, 0.2 s to ten minutes. Its sound is not used.
            face: picture or video of the face that determines the voice; None is the video's own.

        Raises:
            BadInput: the file is absent, no video, too short, too long or without a face, or the
                checkpoint was trained on other crops.
            MissingDependency: the library of the landmark backend is not installed.

        Example:
            >>> import facetron
            >>> speech = facetron.load("synthgrid").speak("clip.mpg")
            >>> speech.wave.shape, speech.rate_hz, speech.mel.shape
            ((48000,), 16000, (80, 150))
            >>> type(speech.text), len(speech.warnings) > 0
            (<class 'str'>, True)
        """
        from facetron.video.align import Aligner, open_video

        if self._aligner is None:
            self._aligner = Aligner(self._landmarks, who=self._who)
        for path in (video, face):
            if path is not None and not Path(path).is_file():
                raise BadInput(
                    f"{os.fspath(path)} does not exist or is not a file", "check the path"
                )
        with open_video(video) as footage:
            said = say(
                footage, None if face is None else Path(face), self.synthesizer, self._aligner
            )
        warnings = (*said.notes, *self._warnings(said.text))
        return Speech(
            said.wave,
            said.rate_hz,
            said.mel,
            said.text,
            said.still,
            warnings,
            *_trust(said.check),
        )

    def synthesize(self, lips: Pictures, face: Pictures | Float) -> Speech:
        """Synthesizes speech from arrays of lips and of a face.

        Args:
            lips: (T, H, H, 3) uint8 RGB crops at 25 frames per second, as `Manifest` rows and
                `gridprep.crop` give them; any T ≥ 1.
            face: stills (K, H, H, 3) or one still (H, H, 3), uint8 RGB, of which the medoid gives the
                voice (Eq. 6); or an embedding (E,) of `synthesizer.face_embeddings`.

        Raises:
            BadInput: the arrays have other shapes or types.

        Example:
            >>> import facetron
            >>> from manifests import Manifest
            >>> row = Manifest("features")[0]
            >>> speech = facetron.load("synthgrid").synthesize(row.lips(), row.faces())
            >>> speech.wave.shape, speech.still.shape
            ((48000,), (160, 160, 3))
        """
        given = np.asarray(face)
        still: Pictures | None = None
        if given.dtype == np.uint8 and given.ndim in (3, 4) and given.shape[-1] == 3:
            stills = np.asarray(given[None] if given.ndim == 3 else given, np.uint8)
            chosen, voice = choose_still(stills, self.synthesizer)
            still = stills[chosen]
        elif given.ndim == 1 and np.issubdtype(given.dtype, np.floating):
            voice = np.asarray(given, np.float32)
        else:
            raise BadInput(
                f"a face of shape {given.shape} and {given.dtype}",
                "pass (K, H, H, 3) or (H, H, 3) uint8 stills, or an embedding (E,)",
            )
        spoken = self.synthesizer.speak(lips, voice)
        wave = fitted(spoken.wave, len(lips), self.sample_rate_hz)
        notes = self._warnings(spoken.text)
        notes += notes_of(
            spoken.check,
            self.synthesizer.calibration,
            voice,
            sees_faces=self.synthesizer.face_size > 0,
            other=False,
        )
        return Speech(
            wave,
            self.sample_rate_hz,
            spoken.mel,
            spoken.text,
            still,
            notes,
            *_trust(spoken.check),
        )

    def close(self) -> None:
        """Frees the landmark backend, if a video was read."""
        if self._aligner is not None:
            self._aligner.close()
            self._aligner = None

    def _warnings(self, text: str) -> tuple[str, ...]:
        """Returns warnings about the limits of the weights, in general and for this text."""
        found = [
            f"the weights were trained on {domain(self.synthesizer.info)}: other people and other words "
            "are read with more mistakes"
        ]
        words = text.split()
        if not words:
            found.append("no word was read from the lips")
        elif len(words) != len(VOCABULARY) or any(
            word not in slot.values() for word, slot in zip(words, VOCABULARY, strict=False)
        ):
            found.append(f"the text read, {text!r}, is not a sentence of GRID's grammar")
        return tuple(found)

    def __repr__(self) -> str:
        made = self.synthesizer
        return (
            f"PretrainedModel({made.path}: {len(self.speakers)} speakers, {self.sample_rate_hz} Hz, "
            f"vocoder {made.vocoder.label}, on {made.device})"
        )


def _trust(check: ReadingCheck | None) -> tuple[float | None, bool | None]:
    return (None, None) if check is None else (check.confidence, check.is_grid)


def load(
    checkpoint: str | os.PathLike[str] = "synthgrid",
    *,
    vocoder: str = AUTO,
    device: str = "auto",
    decoding: Decoding = "greedy",
    landmarks: str = "",
    who: str = "",
    seed: int = 0,
    vocoder_checkpoint: str | os.PathLike[str] = "",
) -> PretrainedModel:
    """Loads a trained model, ready to synthesize speech.

    Args:
        checkpoint: bundled weights (`synthgrid`, `grid-s1`), or the path of a checkpoint.
        vocoder: a name in `facetron.vocoders.registry`; `auto` is the checkpoint's own where it has
            one, else Griffin-Lim.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        decoding: CTC decoding of the lips: `greedy`, `beam`, `letters`, which prefers the spellings of
            the training's sentences, or `grammar`, which allows GRID's sentences only.
        landmarks: landmark backend for videos; "" is the default one.
        who: which of several faces in a video: `left`, `right`, `largest`, or the N-th from the left;
            "" is the most central and large one.
        seed: seed of Griffin-Lim's first phase.
        vocoder_checkpoint: weights of another vocoder, such as HiFi-GAN's, BigVGAN's or Vocos's, in
            place of `vocoder`; the speech then has their sample rate.

    Raises:
        BadInput: the checkpoint is absent or damaged, or a name is unknown; the message lists the
            choices.

    Example:
        >>> import facetron
        >>> model = facetron.load("synthgrid")
        >>> len(model.speakers) > 20, model.sample_rate_hz
        (True, 16000)
    """
    name = checkpoint if isinstance(checkpoint, str) else Path(checkpoint)
    made = load_synthesizer(name, vocoder, device, decoding, seed, os.fspath(vocoder_checkpoint))
    return PretrainedModel(made, landmarks, who)
