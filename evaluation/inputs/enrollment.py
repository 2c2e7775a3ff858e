"""Whose voice is whose in a run: the talkers' real recordings, by which a clip's talker is told."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs import speaker_recordings
from evaluation.inputs.pairs import Recording, Run, Unscorable, read_run
from evaluation.models.ecapa import active_mel, load_ecapa
from evaluation.models.weights import weights_sha256

CLIPS = 25
"""Recordings of a talker at most, evenly over their names: more do not move the mean."""


@dataclass(frozen=True)
class Enrolment:
    """The recordings that a run's talkers are known by. Travels to worker processes.

    Attributes:
        root: the run directory.
        sha256: of the recordings' content and whose they are.
    """

    root: Path
    sha256: str


@dataclass(frozen=True)
class Enrolled:
    """Embeddings of one talker's recordings.

    Attributes:
        clips: n clip ids.
        embeddings: (n, E) of unit length.
    """

    clips: tuple[str, ...]
    embeddings: NDArray[np.float64]


@dataclass(frozen=True)
class Trials:
    """Cosines of one voice with each talker of the run.

    Attributes:
        target: whose voice it should be.
        own: cosine with the target.
        others: talker → cosine, of all the others.
    """

    target: str
    own: float
    others: dict[str, float]

    @property
    def nearest(self) -> str:
        """The talker whom the voice resembles most; the target only where nobody is as near."""
        other = max(self.others, key=lambda name: self.others[name])
        return self.target if self.own > self.others[other] else other


def recordings(run: Run) -> dict[str, dict[str, Path]]:
    """Talker → clip id → recording, at most `CLIPS` of each: the run's own, then its build's."""
    return speaker_recordings.recordings(run, CLIPS)


def enrolment_of(run: Run) -> Enrolment:
    """Hashes what `enrolled` will listen to."""
    content = {
        talker: {name: weights_sha256(path) for name, path in clips.items()}
        for talker, clips in recordings(run).items()
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return Enrolment(run.root, digest)


@lru_cache(maxsize=4)
def enrolled(enrolment: Enrolment) -> dict[str, Enrolled]:
    """Talker → embeddings; recordings without speech are left out. Listened to once a process."""
    network = load_ecapa()
    voices = {}
    for talker, clips in recordings(read_run(enrolment.root)).items():
        heard = {}
        for name, path in clips.items():
            try:
                heard[name] = active_mel(Recording(path).samples)
            except Unscorable:
                continue  # silent or broken: its own floor says so
        if heard:
            voices[talker] = Enrolled(tuple(heard), network.embed(list(heard.values())))
    return voices


def trials(
    voice: NDArray[np.float64], target: str, clip_id: str, voices: dict[str, Enrolled]
) -> Trials:
    """Compares a voice with the mean of every talker's recordings, never with the clip's own: what
    was made from a recording resembles it beyond its talker.

    Args:
        voice: (E,) of unit length.

    Raises:
        Unscorable: `no_enrolment`, where the target has no other recording.
    """
    cosines = {}
    for talker, known in voices.items():
        kept = [i for i, name in enumerate(known.clips) if name != clip_id]
        if kept:
            mean = known.embeddings[kept].mean(axis=0)
            cosines[talker] = float(voice @ mean / np.linalg.norm(mean))
    if target not in cosines:
        raise Unscorable("no_enrolment", f"the run holds no other recording of {target}")
    own = cosines.pop(target)
    return Trials(target, own, cosines)
