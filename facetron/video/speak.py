"""Speech for a video of a face: alignment, choice of a face still, synthesis, muxing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facetron.checkpoints.checkpoint import require_features
from facetron.model import i2i
from facetron.synthesis.base import SpeechSynthesizer
from facetron.synthesis.confidence import ReadingCheck, domain, notes_of
from facetron.video import mux
from facetron.video.align import Aligner, Footage, open_video, takes_crops
from manifests.audio import write_wav
from manifests.errors import BadInput
from manifests.io import check_writable
from manifests.outputs import check_outputs
from manifests.specs import VIDEO_FPS

STILL_METHOD: i2i.Method = "literal"
"""Eq. 6 as printed, the medoid: the still that is the most like all the others of its video. The
other readings need a second speaker to keep away from, and there is none here."""


@dataclass(frozen=True)
class SpeakRequest:
    """The files that one call of `speak` reads and writes.

    Attributes:
        video: video with the lips that are read.
        out: .mp4 file to write.
        face: picture or video of the face that determines the voice; None is the video's own face.
        wav: WAV file to write the speech to as well.
    """

    video: Path
    out: Path
    face: Path | None = None
    wav: Path | None = None


@dataclass(frozen=True)
class SpeakOutcome:
    """The result of `speak`.

    Attributes:
        text: text read from the lips.
        speech_s: duration of the speech.
        face: which face gave the voice, in words.
        pictures_copied: whether the video's pictures are in `out` as they were, not encoded again.
        took_s: seconds by step, in order.
        notes: what the user should know.
        check: how far the text can be trusted; None where the weights are not calibrated.
        domain: what the weights were trained on, in words.
    """

    text: str
    speech_s: float
    face: str
    pictures_copied: bool
    took_s: dict[str, float]
    notes: tuple[str, ...]
    check: ReadingCheck | None = None
    domain: str = ""


def check(request: SpeakRequest) -> None:
    """Checks the files of a request before long work begins. Raises `BadInput`, or `OSError` for a
    folder that cannot be written to."""
    for path in (request.video, request.face):
        if path is not None and not path.is_file():
            raise BadInput(f"{path} does not exist or is not a file", "check the path")
    check_outputs(
        {"VIDEO": request.video, "--face": request.face},
        {"--out": request.out, "--wav": request.wav},
    )
    mux.check_target(request.out)
    if request.wav is not None:
        if request.wav.is_dir():
            raise BadInput(f"{request.wav} is a folder", "name a file")
        check_writable(request.wav)


def speak(request: SpeakRequest, synthesizer: SpeechSynthesizer, aligner: Aligner) -> SpeakOutcome:
    """Writes `request.out`, and `request.wav` if named. A file is written whole or not at all.

    Raises:
        BadInput: what cannot be used, in one line: no video, no face, too short or long, an `out`
            that cannot be, a checkpoint that learned from other crops.
        OSError: `out` or `wav` cannot be written.
    """
    check(request)
    steps = Steps()
    with open_video(request.video) as footage:
        said = say(footage, request.face, synthesizer, aligner, steps)
        if request.wav is not None:
            write_wav(request.wav, said.wave, said.rate_hz)
        copied = mux.write_mp4(footage, said.wave, said.rate_hz, request.out)
        steps.done("writing")
    return SpeakOutcome(
        said.text,
        len(said.wave) / said.rate_hz,
        said.face,
        copied,
        steps.took_s,
        said.notes,
        said.check,
        domain(synthesizer.info),
    )


@dataclass(frozen=True)
class Said:
    """The speech of a video.

    Attributes:
        wave: (samples,) in ±1, as long as the video.
        rate_hz: of `wave`.
        mel: (n_mels, 2 · T) log mel.
        text: what was read from the lips.
        still: (H, W, 3) uint8 RGB, the still that gave the voice.
        face: which face gave the voice, in words.
        notes: what the user should know.
        check: how far the text can be trusted; None where the weights are not calibrated.
    """

    wave: NDArray[np.float32]
    rate_hz: int
    mel: NDArray[np.float32]
    text: str
    still: NDArray[np.uint8]
    face: str
    notes: tuple[str, ...]
    check: ReadingCheck | None = None


def say(
    footage: Footage,
    face: Path | None,
    synthesizer: SpeechSynthesizer,
    aligner: Aligner,
    steps: Steps | None = None,
) -> Said:
    """Synthesizes speech from the lips of a video and a face.

    Args:
        footage: the video, from `open_video`.
        face: picture or video of the face that determines the voice; None is the video's own face.
        steps: records the duration of each step.

    Raises:
        BadInput: no face, or a checkpoint that learned from other crops.
    """
    steps = steps or Steps()
    if not takes_crops(synthesizer.info.crop, aligner.crop):
        require_features(
            synthesizer.info, synthesizer.path, mel="", crop=aligner.crop.fingerprint()
        )
    aligned = aligner.video(footage)
    notes = aligned.notes
    steps.done("aligning")
    stills = aligned.stills
    if face is not None:
        stills, more = aligner.stills(face)
        notes += more
    chosen, voice = choose_still(stills, synthesizer)
    steps.done("seeing the face")
    spoken = synthesizer.speak(aligned.lips, voice)
    wave = fitted(spoken.wave, len(footage), synthesizer.sample_rate_hz)
    steps.done("speaking")
    whose = (
        str(face)
        if face is not None
        else (f"frame {aligned.still_frames[chosen]} of {footage.path}")
    )
    notes += notes_of(
        spoken.check,
        synthesizer.calibration,
        voice,
        sees_faces=synthesizer.face_size > 0,
        other=face is not None,
    )
    return Said(
        wave,
        synthesizer.sample_rate_hz,
        spoken.mel,
        spoken.text,
        stills[chosen],
        whose,
        notes,
        spoken.check,
    )


def choose_still(
    stills: NDArray[np.uint8], synthesizer: SpeechSynthesizer
) -> tuple[int, NDArray[np.float32]]:
    """Returns the index of the still, among (K, H, W, 3), that gives the voice, and its embedding (E,)."""
    voices = synthesizer.face_embeddings(stills)
    chosen = i2i.select(torch.from_numpy(voices), {}, STILL_METHOD).index or 0
    return chosen, voices[chosen]


class Steps:
    """Seconds that each step took."""

    def __init__(self) -> None:
        self.took_s: dict[str, float] = {}
        self._since_s = time.perf_counter()

    def done(self, step: str) -> None:
        now_s = time.perf_counter()
        self.took_s[step] = now_s - self._since_s
        self._since_s = now_s


def fitted(wave: NDArray[np.float32], frames: int, rate_hz: int) -> NDArray[np.float32]:
    """Returns the waveform (samples,) cut or padded with silence to the duration of frames at 25 fps."""
    samples = round(frames * rate_hz / VIDEO_FPS)
    return np.pad(wave[:samples], (0, max(samples - len(wave), 0)))
