"""The files of one synthesized clip, and how a later run recognizes that they are current.

    mels/s1/bbaf2n.npy         (n_mels, T) mel given to the vocoder
    embeddings/s1/bbaf2n.npz   embedding and name of the face still that gave the voice; text read
    wavs/s1/bbaf2n.wav         written last, with the key of all its inputs in its comment

In swaps a name ends in the voice: `wavs/s1/bbaf2n.s4.wav`. The wav is removed before any other file
of its clip is replaced, so a run killed at any moment never leaves files that do not belong together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facetron.synthesis.base import SpeechSynthesizer, Spoken
from facetron.synthesis.stills import Face
from facetron.synthesis.tasks import SynthesisTask
from manifests.audio import wav_key, write_wav
from manifests.errors import BadInput
from manifests.features import npy, npz, open_arrays
from manifests.io import sha256_file, write_bytes
from manifests.records import RunClip
from manifests.runs import content_key, run_clip

VERSION = 1
"""Version of how speech is made; another one makes everything anew."""


class ClipFiles:
    """Args:
    root: the run directory.
    build: folder of the manifest.
    """

    def __init__(self, root: Path, build: Path, synthesizer: SpeechSynthesizer) -> None:
        self.root, self.build, self.synthesizer = root, build, synthesizer

    def samples(self, task: SynthesisTask) -> int:
        """Length of the waveform: the duration of the recording at the model's rate."""
        row = task.row
        return round(row.audio_samples * self.synthesizer.sample_rate_hz / row.sample_rate_hz)

    def key(self, task: SynthesisTask, face: Face, lips: Path) -> str:
        """Returns the key of all inputs; equal keys mean equal speech. Raises `OSError` where the lips
        cannot be read."""
        voice, trust = self.synthesizer, self.synthesizer.calibration
        return content_key(
            VERSION,
            voice.sha256,
            voice.vocoder.parameters(),
            voice.decoding,
            voice.seed,
            list(face.key),
            sha256_file(lips),
            self.samples(task),
            *([] if trust is None else [list(trust.word_weights), trust.threshold]),
            *(voice.told_key(task.lips) if task.lips is not None else ()),
        )

    def kept(self, task: SynthesisTask, key: str) -> RunClip | None:
        """Returns the clip of an earlier run if all of its files are present and current."""
        if wav_key(self.root / task.path("wavs", ".wav"), self.samples(task)) != key:
            return None
        if not (self.root / task.path("mels", ".npy")).is_file():
            return None
        try:
            with open_arrays(self.root / task.path("embeddings", ".npz")) as file:
                if str(file["key"]) != key:
                    return None
                text, check = str(file["text"]), _check(file)
        except BadInput:
            return None
        return self._clip(task, text, *check)

    def write(self, task: SynthesisTask, face: Face, spoken: Spoken, key: str) -> RunClip:
        """Writes the files of a clip. Raises `BadInput` for an unusable waveform, `OSError` for a full
        disk."""
        wav = self.root / task.path("wavs", ".wav")
        wav.unlink(missing_ok=True)
        assert task.lips is not None
        write_bytes(self.root / task.path("mels", ".npy"), npy(spoken.mel))
        facts: dict[str, Any] = {
            "face": face.embedding,
            "voice": task.voice,
            "still_clip": face.clip,
            "still": -1 if face.still is None else face.still,
            "negative": face.negative,
            "lips_clip": task.lips.clip_id,
            "text": spoken.text,
            "key": key,
        }
        if spoken.check is not None:
            facts |= {"confidence": spoken.check.confidence, "in_domain": spoken.check.is_grid}
        write_bytes(self.root / task.path("embeddings", ".npz"), npz(facts))
        n_samples = self.samples(task)
        sound = np.pad(spoken.wave[:n_samples], (0, max(0, n_samples - len(spoken.wave))))
        write_wav(wav, sound, self.synthesizer.sample_rate_hz, key)
        return self._clip(task, spoken.text, *_check(facts))

    def _clip(
        self, task: SynthesisTask, text: str, confidence: float | None, in_domain: bool | None
    ) -> RunClip:
        return run_clip(
            task.row,
            self.root,
            self.build,
            wav=task.path("wavs", ".wav"),
            mel=task.path("mels", ".npy"),
            voice=task.voice,
            seen=None if task.of_picture else self.synthesizer.seen(task.voice),
            transcript=text,
            confidence=confidence,
            in_domain=in_domain,
        )


def _check(facts: Mapping[str, Any]) -> tuple[float | None, bool | None]:
    """Returns (confidence, in domain) of a clip's facts, None where they were not known."""
    if "confidence" not in facts:
        return None, None
    return round(float(facts["confidence"]), 4), bool(facts["in_domain"])
