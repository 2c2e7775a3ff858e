"""Measures how pictures look: their distance from real stills as sets and one by one, and how much they vary.

None of these is a headline. Distances of sets see no condition (a system that shows real faces of the
wrong people does well), and pixels reward the mean face.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import Pair, RunDir, Unscorable
from evaluation.inputs.pictures import COMPARED_PX, Drawn, Seen, drawn_of, pictures_of, still_at
from evaluation.inputs.pictures import seen as look_at
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import Measured, Metric
from evaluation.metrics.faces import DIGITS, ENCODER, FaceMetric, FaceRank1
from evaluation.models.face import load_face, oval
from evaluation.stats.pooling import kernel
from manifests.records import RunClip

FRECHET_PICTURES = 640
"""Ten times the numbers of an embedding: with fewer the covariances are noise."""
SSIM_SIGMA_PX, SSIM_K1, SSIM_K2 = 1.5, 0.01, 0.03
Pixels = NDArray[np.float64]


def pixel_distance(one: NDArray[np.uint8], other: NDArray[np.uint8] | Pixels) -> float:
    """Mean absolute difference inside the oval of the face, in percent of the range.

    Args:
        one, other: (H, H, 3) of 0 to 255, framed as face stills.
    """
    weight = oval(one.shape[0]).astype(np.float64)
    apart = np.abs(one.astype(np.float64) - other).mean(axis=2)
    return float(100 / 255 * (weight * apart).sum() / weight.sum())


def similarity(one: NDArray[np.uint8] | Pixels, other: NDArray[np.uint8] | Pixels) -> float:
    """SSIM of the gray pictures inside the oval, a Gaussian of 1.5 pixels (Wang et al., 2004).

    Args:
        one, other: (H, H, 3) of 0 to 255.
    """
    a, b = (np.asarray(p, np.float64) @ np.array([0.299, 0.587, 0.114]) for p in (one, other))

    def local(values: Pixels) -> Pixels:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), SSIM_SIGMA_PX))

    mean_a, mean_b = local(a), local(b)
    var_a, var_b = local(a * a) - mean_a**2, local(b * b) - mean_b**2
    both = local(a * b) - mean_a * mean_b
    c1, c2 = (SSIM_K1 * 255) ** 2, (SSIM_K2 * 255) ** 2
    found = ((2 * mean_a * mean_b + c1) * (2 * both + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    )
    weight = oval(len(a)).astype(np.float64)
    return float((weight * found).sum() / weight.sum())


class FaceDistance(FaceMetric):
    """Base of the distances between sets of embeddings, computed by `evaluation.stats.pooling`."""

    def look(self, face: Seen, pair: Pair) -> Measured:
        path = pair.reference_path
        if path is None:
            raise Unscorable("no_reference", "the run names no real stills of this clip")
        # A real still in the place of the picture is compared with another one of its clip.
        at = 0.0 if pair.of_recording else 0.5
        real = pair.once("other still", lambda: look_at(still_at(path, at)))
        details: dict[str, Any] = {
            "clip": pair.clip.clip_id,
            "shown": face.embedding.round(4).tolist(),
            "real": real.embedding.round(4).tolist(),
        }
        return Measured(self.apart(face.embedding, real.embedding), details=details)

    @abstractmethod
    def apart(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        """Returns the distance of a pair of embeddings, the score of a single clip."""


class FaceKid(FaceDistance):
    info = FaceRank1.info.variant(
        name="face_kid",
        label="KID",
        unit="",
        direction="lower",
        definition=(
            "Kernel distance of the set of pictures from the set of their clips' real stills: the unbiased "
            "squared maximum mean discrepancy of the kernel (1 + x·y)³ on the unit embeddings of "
            f"{ENCODER}, pairs of one clip left out. 0 for equal sets. Of the real stills: their first "
            "against that in the middle of each clip. It does not see whom a picture should show."
        ),
        citation="Bińkowski et al., ICLR 2018 (KID), on other features",
        group="face_looks",
        decimals=4,
        pool="kid",
    )

    def apart(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        pair = np.stack([one, other])
        table = kernel(pair, pair)
        return float(max(0.0, table[0, 0] + table[1, 1] - 2 * table[0, 1]))


class FaceFrechet(FaceDistance):
    info = FaceKid.info.variant(
        name="face_frechet",
        label="Fréchet distance",
        definition=(
            "Fréchet distance of the same two sets of embeddings, as if they were normally distributed; "
            f"only for {FRECHET_PICTURES} pictures and more, ten for each number of an embedding."
        ),
        citation="Heusel et al., NeurIPS 2017, on other features",
        pool="frechet",
    )

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.faces is not None and settings.faces.pictures >= FRECHET_PICTURES

    def applies(self, run: RunDir) -> bool:
        return run.of_faces and len(run.clips) >= FRECHET_PICTURES

    def refusal(self, run: RunDir) -> str:
        if not run.of_faces or self.applies(run):
            return ""
        return (
            f"{run.info.name}: {len(run.clips)} pictures are too few for a Fréchet distance "
            f"({FRECHET_PICTURES} at least); KID is printed"
        )

    def apart(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        return float(((one - other) ** 2).sum())


class FaceL1(FaceMetric):
    info = FaceKid.info.variant(
        name="face_l1",
        label="L1",
        unit="%",
        direction="lower",
        definition=(
            "Mean absolute difference of the pixels inside the oval of the face from the mean of the "
            "speaker's real stills (the clip itself left out), in percent of the range, at "
            f"{COMPARED_PX} × {COMPARED_PX}."
        ),
        citation="as all pictures are compared",
        decimals=2,
        pool="",
        highest=100.0,
    )

    def look(self, face: Seen, pair: Pair) -> Measured:
        return Measured(round(pixel_distance(face.picture, self.mean_still(pair)), DIGITS))

    def mean_still(self, pair: Pair) -> Pixels:
        """Returns (H, H, 3), the mean of the speaker's other stills. Raises `Unscorable`."""
        speaker = self.speaker(pair.clip.speaker)
        others = speaker.pictures[speaker.others(pair.clip.clip_id)]
        if not len(others):
            raise Unscorable("no_gallery", f"the run holds no other still of {pair.clip.speaker}")
        return np.asarray(others.mean(axis=0))


class FaceSsim(FaceL1):
    info = FaceL1.info.variant(
        name="face_ssim",
        label="SSIM",
        unit="",
        direction="higher",
        definition="Structural similarity with the same mean of the speaker's stills, inside the oval.",
        citation="Wang et al., IEEE TIP 13(4), 2004",
        decimals=3,
        highest=1.0,
    )

    def look(self, face: Seen, pair: Pair) -> Measured:
        return Measured(round(similarity(face.picture, self.mean_still(pair)), DIGITS))


class Variety(FaceMetric):
    """Base of the metrics that compare a run's pictures with each other."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: Drawn | None = None
        self.clips: dict[str, RunClip] = {}

    def for_run(self, run: RunDir) -> Metric:
        bound = super().for_run(run)
        assert isinstance(bound, Variety)
        if run.of_faces:
            bound.drawn = drawn_of(run)
            bound.clips = {clip.label: clip for clip in run.clips}
        return bound

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        return [*super().clip_inputs(root, clip), self.drawn.sha256 if self.drawn else ""]

    def pictures(self) -> dict[str, Seen]:
        """Returns label → picture of the whole run. Raises `Unscorable`."""
        if self.drawn is None:
            raise Unscorable("no_run", "no run with other pictures was given")
        return pictures_of(self.drawn)

    def variants(self, clip: RunClip) -> list[Seen]:
        """Returns the other pictures of the same speech. Raises `Unscorable`."""
        found = [
            face
            for label, face in self.pictures().items()
            if self.clips[label].clip_id == clip.clip_id and label != clip.label
        ]
        if not found:
            raise Unscorable("one_variant", "the run holds one picture of this speech only")
        return found


class FaceVarietySpeakers(Variety):
    info = FaceL1.info.variant(
        name="face_variety_speakers",
        label="Spread over speakers",
        direction="none",
        definition=(
            "Mean absolute difference, inside the oval, of a picture from the mean pictures of the run's "
            "other speakers (of the same variant), in percent of the range. 0 means that everybody gets the "
            "same face."
        ),
        citation="docs/systems.md",
    )

    def look(self, face: Seen, pair: Pair) -> Measured:
        mine = pair.clip
        if pair.of_recording:
            means = {name: known.pictures.mean(axis=0) for name, known in self.speakers().items()}
        else:
            means = {
                name: picture
                for (name, variant), picture in self.means().items()
                if variant == mine.variant
            }
        apart = [pixel_distance(face.picture, p) for s, p in means.items() if s != mine.speaker]
        if not apart:
            raise Unscorable("one_speaker", "the run holds pictures of one speaker only")
        return Measured(round(float(np.mean(apart)), DIGITS))

    def means(self) -> dict[tuple[str, str], Pixels]:
        """Returns (speaker, variant) → mean picture of the run."""
        self.pictures()  # raises where there is none
        assert self.drawn is not None
        labels = tuple((c.label, c.speaker, c.variant) for c in self.clips.values())
        return _means(self.drawn, labels)

    def of_mean_face(self, pair: Pair) -> Measured:
        return Measured(0.0)  # the same face for all


@lru_cache(maxsize=4)
def _means(drawn: Drawn, labels: tuple[tuple[str, str, str], ...]) -> dict[tuple[str, str], Pixels]:
    groups: dict[tuple[str, str], list[NDArray[np.uint8]]] = {}
    pictures = pictures_of(drawn)
    for label, speaker, variant in labels:
        if label in pictures:
            groups.setdefault((speaker, variant), []).append(pictures[label].picture)
    return {key: np.mean(group, axis=0) for key, group in groups.items()}


class FaceVarietyNoise(Variety):
    info = FaceVarietySpeakers.info.variant(
        name="face_variety_noise",
        label="Spread over noise",
        definition=(
            "Mean absolute difference, inside the oval, of a picture from the other pictures of the same "
            "speech, which differ in the noise drawn, in percent of the range."
        ),
        has_floor=False,
    )

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.faces is not None and settings.faces.variants > 1

    def applies(self, run: RunDir) -> bool:
        return run.of_faces and len({clip.variant for clip in run.clips}) > 1

    def look(self, face: Seen, pair: Pair) -> Measured:
        others = self.variants(pair.clip)
        apart = [pixel_distance(face.picture, other.picture) for other in others]
        return Measured(round(float(np.mean(apart)), DIGITS))

    def of_mean_face(self, pair: Pair) -> Measured:
        return Measured(0.0)


class FaceGenderSteady(FaceVarietyNoise):
    info = FaceVarietyNoise.info.variant(
        name="face_gender_steady",
        label="Gender steady over noise",
        direction="higher",
        definition=(
            "Percentage of the other pictures of the same speech whose gender, by the same classifier as the "
            "gender of the face, is that of the picture."
        ),
        decimals=1,
        group="face_who",
    )

    def look(self, face: Seen, pair: Pair) -> Measured:
        table = np.stack([face.embedding, *(v.embedding for v in self.variants(pair.clip))])
        female = load_face().female(table) > 0.5
        return Measured(100.0 * float(np.mean(female[1:] == female[0])))

    def of_mean_face(self, pair: Pair) -> Measured:
        return Measured(100.0)
