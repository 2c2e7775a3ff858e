"""Enrollment: embeddings of the speakers' real recordings, with which a clip's voice is compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs import speaker_recordings
from evaluation.inputs.pairs import Recording, RunDir, Samples, Unscorable, read_run
from evaluation.inputs.run_files import RunFiles
from evaluation.models.ecapa import active_mel, load_ecapa
from evaluation.models.ge2e import speech_of
from evaluation.models.wavlm import embed_voice
from manifests.ge2e import embed_voices

HeardT = TypeVar("HeardT")

CLIPS = 25
"""Recordings of a speaker at most, evenly over their names: more do not move the mean."""


@dataclass(frozen=True)
class Enrollment(RunFiles):
    """The recordings that a run's speakers are known by. Two runs of the same recordings have equal
    ones, so that a process listens to those once for all systems."""

    root: Path = field(compare=False)


@dataclass(frozen=True)
class Enrolled:
    """Embeddings of one speaker's recordings.

    Attributes:
        clips: n clip ids.
        embeddings: (n, E) of unit length.
    """

    clips: tuple[str, ...]
    embeddings: NDArray[np.float64]


@dataclass(frozen=True)
class Trials:
    """Cosines of one voice with each speaker of the run.

    Attributes:
        target: the speaker whom the voice should resemble.
        own: cosine with the target.
        others: speaker → cosine, of all the others.
    """

    target: str
    own: float
    others: dict[str, float]

    @property
    def nearest(self) -> str:
        """The speaker whom the voice resembles most; the target only where nobody is as near."""
        other = max(self.others, key=lambda name: self.others[name])
        return self.target if self.own > self.others[other] else other


def recordings(run: RunDir) -> dict[str, dict[str, Path]]:
    """Speaker → clip id → recording, at most `CLIPS` of each: the run's own, then its build's."""
    return speaker_recordings.recordings(run, CLIPS)


def enrollment_of(run: RunDir) -> Enrollment:
    """Hashes what `enrolled` will listen to."""
    return Enrollment.of(run, recordings(run))


@lru_cache(maxsize=4)
def enrolled(enrollment: Enrollment) -> dict[str, Enrolled]:
    """Speaker → embeddings by ECAPA; recordings without speech are left out. Listened to once a
    process."""
    network = load_ecapa()
    return _enrolled(enrollment, active_mel, network.embed)


@lru_cache(maxsize=4)
def enrolled_by_ge2e(enrollment: Enrollment) -> dict[str, Enrolled]:
    """The same by GE2E."""
    return _enrolled(enrollment, speech_of, embed_voices)


@lru_cache(maxsize=4)
def enrolled_by_wavlm(enrollment: Enrollment, folder: Path) -> dict[str, Enrolled]:
    """The same by the network of a folder (`evaluation.models.wavlm`)."""
    return _enrolled(enrollment, partial(embed_voice, folder), lambda voices: np.stack(voices))


def _enrolled(
    enrollment: Enrollment,
    hear: Callable[[Samples], HeardT],
    embed: Callable[[list[HeardT]], NDArray[np.float64]],
) -> dict[str, Enrolled]:
    voices = {}
    for speaker, clips in recordings(read_run(enrollment.root)).items():
        heard = {}
        for name, path in sorted(clips.items()):
            try:
                heard[name] = hear(Recording(path).samples)
            except Unscorable:
                continue  # silent or broken: its own floor says so
        if heard:
            voices[speaker] = Enrolled(tuple(heard), embed(list(heard.values())))
    return voices


def trials(
    voice: NDArray[np.float64], target: str, clip_id: str, voices: dict[str, Enrolled]
) -> Trials:
    """Compares a voice with the mean of every speaker's recordings, never with the clip's own: what
    was made from a recording resembles it beyond its speaker.

    Args:
        voice: (E,) of unit length.

    Raises:
        Unscorable: `no_enrollment`, where the target has no other recording.
    """
    cosines = {}
    for speaker, known in voices.items():
        kept = [i for i, name in enumerate(known.clips) if name != clip_id]
        if kept:
            mean = known.embeddings[kept].mean(axis=0)
            cosines[speaker] = float(voice @ mean / np.linalg.norm(mean))
    if target not in cosines:
        raise Unscorable("no_enrollment", f"the run holds no other recording of {target}")
    own = cosines.pop(target)
    return Trials(target, own, cosines)
