"""Faces that were made from speech: whom a picture shows, and whether woman or man.

All metrics of this family look through the evaluation's own face encoder (`evaluation.models.face`), which
sees the oval of the face alone, and compare with the real stills of the run's speakers. Each score holds
beside its value what chance gives, and what the mean face of all speakers gives in the picture's place; the
floor is the same measure of the real still of the clip.
"""

from __future__ import annotations

import copy
import dataclasses
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import Pair, RunDir, Unscorable
from evaluation.inputs.pictures import (
    CLIPS,
    Gallery,
    Known,
    Seen,
    gallery_of,
    known,
    load_picture,
    mean_face,
    middle_still,
    seen,
)
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import MEAN_FACE, Measured, Metric, MetricInfo
from evaluation.models.face import PARAMETERS, WEIGHTS, load_face
from evaluation.models.weights import weights_sha256
from manifests.records import RunClip

DIGITS = 6
ENCODER = (
    "the evaluation's own face encoder (a small residual network on the oval of the face, trained on "
    "SynthGRID without s1, s2, s4 and s29)"
)


def stated_parameters() -> dict[str, Any]:
    """Returns the parameters of encoder and gallery; `source` distinguishes scores of other weights."""
    sha256 = weights_sha256(WEIGHTS)
    return {**PARAMETERS, "gallery_clips": CLIPS, "weights_sha256": sha256, "source": sha256}


class FaceMetric(Metric):
    """Base of the metrics of pictures."""

    def __init__(self) -> None:
        self.info = type(self).info.variant(parameters=self.parameters(), note=self.note())
        self.gallery: Gallery | None = None

    def parameters(self) -> dict[str, Any]:
        return stated_parameters()

    def note(self) -> str:
        """Returns the sentence for captions that names the judge."""
        return f"Faces are judged by face.safetensors ({weights_sha256(WEIGHTS)[:8]})."

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.faces is not None

    def applies(self, run: RunDir) -> bool:
        return run.of_faces

    def for_run(self, run: RunDir) -> Metric:
        bound = copy.copy(self)
        if run.of_faces:
            bound.gallery = gallery_of(run)
        return bound

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        return [clip.label, clip.gender, self.gallery.sha256 if self.gallery else ""]

    def speakers(self) -> dict[str, Known]:
        """Returns the run's speakers as their real stills show them. Raises `Unscorable`."""
        return known(self.bound_gallery())

    def bound_gallery(self) -> Gallery:
        """Returns the real stills of the run. Raises `Unscorable`."""
        if self.gallery is None:
            raise Unscorable("no_gallery", "no run with real stills to compare with was given")
        return self.gallery

    def speaker(self, name: str) -> Known:
        """Returns one of them. Raises `Unscorable`."""
        if name not in self.speakers():
            raise Unscorable("reference_file_missing", f"no real still of {name} can be read")
        return self.speakers()[name]

    def shown(self, pair: Pair) -> Seen:
        """Returns the picture, or the real still in its place, looked at once. Raises `Unscorable`."""
        if pair.of_recording:
            path = pair.reference_path
            if path is None:
                raise Unscorable("no_reference", "the run names no real stills of this clip")
            return pair.once("seen", lambda: seen(middle_still(path)))
        if pair.root is None or not pair.clip.picture:
            raise Unscorable("no_picture", "this clip has no picture")
        made = pair.root / pair.clip.picture
        return pair.once("seen", lambda: seen(load_picture(made)))

    @abstractmethod
    def look(self, face: Seen, pair: Pair) -> Measured:
        """Returns the value of a face in the place of the clip's picture. Raises `Unscorable`."""

    def of_mean_face(self, pair: Pair) -> Measured:
        """Returns the value of the mean face."""
        return self.look(mean_face(self.bound_gallery()), pair)

    def measure(self, pair: Pair) -> Measured:
        found = self.look(self.shown(pair), pair)
        if pair.of_recording:
            return found
        control = self.of_mean_face(pair)
        told = {"value": control.value, **control.details}
        return dataclasses.replace(found, details={**found.details, MEAN_FACE: told})


class Rank(FaceMetric):
    """Base of the metrics that look for the speaker in the gallery."""

    best = 0

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.faces is not None and settings.faces.speakers > max(cls.best, 1)

    def applies(self, run: RunDir) -> bool:
        return run.of_faces and len({clip.speaker for clip in run.clips}) > max(self.best, 1)

    def embedding(self, face: Seen) -> NDArray[np.float64]:
        """Returns the embedding (E,) of a face."""
        return face.embedding

    def embeddings(self) -> dict[str, NDArray[np.float64]]:
        """Returns speaker → (n, E) of the real stills, in the order of `Known.clips`."""
        return {name: speaker.embeddings for name, speaker in self.speakers().items()}

    def rank(self, face: Seen, clip: RunClip) -> tuple[int, int]:
        """Returns (place of the clip's speaker, 1 for the nearest; number of speakers). The clip's own
        still is left out: a picture may not be recognized by its pose and light."""
        own_embedding, table = self.embedding(face), self.embeddings()
        cosines = {}
        for name, speaker in self.speakers().items():
            others = table[name][speaker.others(clip.clip_id)]
            if len(others):
                mean = others.mean(axis=0)
                cosines[name] = float(own_embedding @ mean / np.linalg.norm(mean))
        if clip.speaker not in cosines:
            raise Unscorable("no_gallery", f"the run holds no other still of {clip.speaker}")
        own = cosines[clip.speaker]
        return 1 + sum(value > own for value in cosines.values()), len(cosines)

    def look(self, face: Seen, pair: Pair) -> Measured:
        place, n = self.rank(face, pair.clip)
        chance = 100 * self.best / n if self.best else (n + 1) / 2
        details = {"rank": place, "speakers": n, "chance": round(chance, DIGITS)}
        return Measured(100.0 * (place <= self.best) if self.best else place, details=details)


CITATION = "Wen, Raj, Singh, NeurIPS 2019; SF2F: Bai et al., AAAI 2022 (retrieval by embeddings)"


class FaceRank1(Rank):
    best = 1
    info = MetricInfo(
        name="face_rank1",
        label="R@1",
        unit="%",
        direction="higher",
        definition=(
            f"Percentage of pictures to which their speaker is nearest, by the cosine of {ENCODER} with "
            f"the mean of each speaker's real stills in the run ({CLIPS} clips at most, the clip itself "
            "left out). Speakers that the system never saw cannot be told from their voice: read "
            "gender, law and matching there."
        ),
        citation=CITATION,
        group="face_who",
        decimals=1,
        has_floor=True,
        libraries=("torch",),
    )


class FaceRank5(Rank):
    best = 5
    info = FaceRank1.info.variant(
        name="face_rank5",
        label="R@5",
        definition="Percentage of pictures whose speaker is among the five nearest, as R@1.",
    )


class FaceRank10(Rank):
    best = 10
    info = FaceRank1.info.variant(
        name="face_rank10",
        label="R@10",
        definition="Percentage of pictures whose speaker is among the ten nearest, as R@1.",
    )


class FaceRank(Rank):
    info = FaceRank1.info.variant(
        name="face_rank",
        label="Mean rank",
        unit="",
        direction="lower",
        definition="Mean place of a picture's speaker among the run's speakers, as R@1; 1 is the best.",
    )


class FaceGender(FaceMetric):
    info = FaceRank1.info.variant(
        name="face_gender",
        label="Gender of the face",
        definition=(
            "Percentage of pictures that a logistic regression on the embedding of "
            f"{ENCODER} assigns to the gender of their speaker; the mean of the percentages for men and "
            "for women, where there are both."
        ),
        citation="Wen, Raj, Singh, NeurIPS 2019, ask a classifier likewise",
        pool="balanced",
    )

    def look(self, face: Seen, pair: Pair) -> Measured:
        female = float(load_face().female(face.embedding[None])[0])
        expected = pair.clip.gender
        if expected not in ("male", "female"):
            raise Unscorable("no_gender", f"the gender of {pair.clip.speaker} is not known")
        shown = "female" if female > 0.5 else "male"
        details = {"expected": expected, "shown": shown, "female": round(female, 4), "chance": 50.0}
        return Measured(100.0 * (shown == expected), details=details)
