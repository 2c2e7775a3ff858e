"""The law of SynthGRID in pictures: its rule gives every face a pitch and a length of the vocal tract, so
a face that was made from speech should give back what was heard.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path
from typing import Any

from evaluation.inputs.pairs import Pair, RunDir, Unscorable
from evaluation.inputs.pictures import Law, Seen, law_path, read_law
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import Measured, Metric
from evaluation.metrics.faces import DIGITS, ENCODER, FaceMetric, FaceRank1
from evaluation.models.face import load_face
from evaluation.models.weights import weights_sha256
from manifests.records import RunClip

RIDGE = (
    f"what a ridge regression on the embedding of {ENCODER}, fitted on the real stills of the speakers "
    "that it was trained on, reads from the picture"
)


class FaceLaw(FaceMetric):
    """Base: what a ridge regression on the embedding reads, against SynthGRID's rule."""

    def __init__(self) -> None:
        super().__init__()
        self.path: Path | None = None

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.faces is not None and settings.faces.law

    def applies(self, run: RunDir) -> bool:
        return run.of_faces and law_path(run) is not None

    def for_run(self, run: RunDir) -> Metric:
        bound = super().for_run(run)
        assert isinstance(bound, FaceLaw)
        bound.path = law_path(run) if run.of_faces else None
        return bound

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        return [*super().clip_inputs(root, clip), weights_sha256(self.path)]

    def truth(self, speaker: str) -> Law:
        """Returns what the rule gives to a speaker. Raises `Unscorable`."""
        if self.path is None:
            raise Unscorable("no_law", "the stills are of no SynthGRID whose rule is known")
        laws = read_law(self.path)
        if speaker not in laws:
            raise Unscorable("no_law", f"{self.path.name} does not name {speaker}")
        return laws[speaker]

    def look(self, face: Seen, pair: Pair) -> Measured:
        ln_f0, tract_place = load_face().law(face.embedding[None])[0]
        return self.compare(
            Law(float(ln_f0), float(tract_place)), self.truth(pair.clip.speaker), pair
        )

    @abstractmethod
    def compare(self, said: Law, true: Law, pair: Pair) -> Measured:
        """Returns the score of a picture that says one thing where the rule says another."""

    def measured(self, error: float, said: float, true: float, pair: Pair) -> Measured:
        details = {
            "speaker": pair.clip.speaker,
            "said": round(said, DIGITS),
            "true": round(true, DIGITS),
        }
        return Measured(round(error, DIGITS), details=details)


class FaceF0Correlation(FaceLaw):
    info = FaceRank1.info.variant(
        name="face_f0_corr",
        label="F0 law r",
        unit="",
        highest=1.0,
        lowest=-1.0,
        definition=(
            f"Correlation over the run's speakers of ln F0 as SynthGRID's rule gives it with {RIDGE}, "
            "the mean over a speaker's pictures. Men and women differ in F0, so the gender alone "
            "correlates. The score of a single clip is its error in semitones. Chance: 0."
        ),
        citation="docs/systems.md, the law of SynthGRID",
        group="face_who",
        decimals=3,
        pool="speaker_correlation",
    )

    def compare(self, said: Law, true: Law, pair: Pair) -> Measured:
        found = self.measured(semitones(said, true), said.ln_f0, true.ln_f0, pair)
        found.details["chance"] = 0.0
        return found


class FaceF0Error(FaceLaw):
    info = FaceF0Correlation.info.variant(
        name="face_f0_error",
        label="F0 law error",
        unit="semitones",
        direction="lower",
        highest=None,
        lowest=None,
        decimals=2,
        pool="",
        definition=f"Mean difference of the F0 of SynthGRID's rule from {RIDGE}.",
    )

    def compare(self, said: Law, true: Law, pair: Pair) -> Measured:
        return self.measured(semitones(said, true), said.ln_f0, true.ln_f0, pair)


class FaceTractCorrelation(FaceLaw):
    info = FaceF0Correlation.info.variant(
        name="face_tract_corr",
        label="Tract law r",
        definition=(
            "The same for the place of the vocal tract's length within the gender, which face length and "
            "nose length show. The score of a single clip is its error (places lie in ±1). Chance: 0."
        ),
    )

    def compare(self, said: Law, true: Law, pair: Pair) -> Measured:
        error = abs(said.tract_place - true.tract_place)
        found = self.measured(error, said.tract_place, true.tract_place, pair)
        found.details["chance"] = 0.0
        return found


def semitones(said: Law, true: Law) -> float:
    """Distance of two F0."""
    return abs(said.ln_f0 - true.ln_f0) * 12 / math.log(2)
