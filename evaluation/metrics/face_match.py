"""K-way matching of pictures and voices: among K voices, one of which the picture should belong to, the
evaluation's own matcher chooses (Nagrani et al., CVPR 2018, ask this of real faces).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.inputs.pairs import Pair, Recording, RunDir, Unscorable, read_run
from evaluation.inputs.pictures import Seen, recording_of
from evaluation.inputs.run_files import RunFiles
from evaluation.inputs.settings import Settings
from evaluation.inputs.speaker_recordings import even
from evaluation.metrics.base import Measured, Metric
from evaluation.metrics.faces import DIGITS, FaceMetric, FaceRank1
from evaluation.metrics.faces import stated_parameters as face_parameters
from evaluation.metrics.speaker import stated_parameters as voice_parameters
from evaluation.models.match import WEIGHTS, Codes, k_way, load_match, nearness, voice_features
from evaluation.models.weights import weights_sha256
from manifests.records import RunClip

VOICES = 5
"""Recordings of each other speaker at most."""


class Voices(RunFiles):
    """The recordings that pictures are matched with."""


def recordings(run: RunDir) -> dict[str, dict[str, Path]]:
    """Speaker → clip id → recording, at most `VOICES` of each speaker."""
    found: dict[str, dict[str, Path]] = {}
    for clip in run.clips:
        try:
            found.setdefault(clip.speaker, {})[clip.clip_id] = recording_of(run, clip)
        except Unscorable:
            continue
    return {speaker: even(clips, VOICES) for speaker, clips in found.items()}


def voices_of(run: RunDir) -> Voices:
    """Hashes what `heard` will listen to."""
    return Voices.of(run, recordings(run))


@lru_cache(maxsize=4)
def heard(voices: Voices) -> dict[str, Codes]:
    """Speaker → (n, 2) codes of the recordings that hold speech. Listened to once a process."""
    found = {}
    for speaker, clips in recordings(read_run(voices.root)).items():
        features = []
        for path in clips.values():
            try:
                features.append(voice_features(Recording(path)))
            except Unscorable:
                continue
        if features:
            found[speaker] = load_match().voices(np.stack(features))
    return found


class FaceMatch(FaceMetric):
    """Base of the K-way matchings."""

    k = 2

    def __init__(self) -> None:
        super().__init__()
        self.voices: Voices | None = None

    def parameters(self) -> dict[str, Any]:
        faces, voices = face_parameters(), voice_parameters()
        sha256 = weights_sha256(WEIGHTS)
        source = " ".join((sha256, faces["source"], voices["source"]))
        return {
            "k": self.k, "voices": VOICES, "faces": faces, "speakers": voices,
            "weights_sha256": sha256, "source": source,
        }  # fmt: skip

    def note(self) -> str:
        return f"Voices and faces are matched by match.safetensors ({weights_sha256(WEIGHTS)[:8]})."

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.faces is not None and settings.faces.speakers >= cls.k

    def applies(self, run: RunDir) -> bool:
        return run.of_faces and len({clip.speaker for clip in run.clips}) >= self.k

    def for_run(self, run: RunDir) -> Metric:
        bound = super().for_run(run)
        assert isinstance(bound, FaceMatch)
        if run.of_faces:
            bound.voices = voices_of(run)
        return bound

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        return [*super().clip_inputs(root, clip), self.voices.sha256 if self.voices else ""]

    def own_voice(self, pair: Pair) -> Codes:
        """Returns the code (2,) of the recording of the clip. Raises `Unscorable`."""

        def listen() -> Codes:
            if pair.root is None:
                raise Unscorable("no_build", "this clip belongs to no run")
            recording = Recording(recording_of(_run(pair.root), pair.clip))
            return np.asarray(load_match().voices(voice_features(recording)[None])[0])

        return pair.once("voice", listen)

    def look(self, face: Seen, pair: Pair) -> Measured:
        if self.voices is None:
            raise Unscorable("no_run", "no run with other voices was given")
        code = load_match().faces(face.embedding[None])[0]
        others = [
            nearness(codes, code)
            for speaker, codes in heard(self.voices).items()
            if speaker != pair.clip.speaker
        ]
        if len(others) < self.k - 1:
            raise Unscorable("too_few_speakers", f"{len(others)} other speakers can be heard")
        own = float(nearness(self.own_voice(pair)[None], code)[0])
        details = {"nearness": round(own, 4), "chance": round(100 / self.k, DIGITS)}
        return Measured(round(100 * k_way(own, others, self.k), DIGITS), details=details)


@lru_cache(maxsize=8)
def _run(root: Path) -> RunDir:
    return read_run(root)


class FaceMatch2(FaceMatch):
    k = 2
    info = FaceRank1.info.variant(
        name="face_match_2",
        label="Match 1 of 2",
        definition=(
            "Percentage of draws in which the picture is nearer to the voice of its clip's recording than to "
            "one voice of another speaker of the run, by the evaluation's own matcher (pitch and vocal tract "
            "by SynthGRID's rule, read from the voice and from the face by ridge regressions without s1, s2, "
            f"s4 and s29); over all draws of another speaker and one of {VOICES} recordings."
        ),
        citation="Nagrani, Albanie, Zisserman, CVPR 2018 (matching); Choi et al., ICLR 2020",
        libraries=("torch", "speechbrain"),
    )


class FaceMatch4(FaceMatch):
    k = 4
    info = FaceMatch2.info.variant(
        name="face_match_4",
        label="Match 1 of 4",
        definition="The same among four voices, one of each speaker.",
    )


class FaceMatch10(FaceMatch):
    k = 10
    info = FaceMatch2.info.variant(
        name="face_match_10",
        label="Match 1 of 10",
        definition="The same among ten voices, one of each speaker.",
    )
