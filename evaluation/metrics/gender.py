"""Gender agreement of voice and face: the objective counterpart of the paper's 99.22 % (Table II).

The face is that of the speaker who gave the voice (`voice` of a swap, else the speaker).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from evaluation.inputs.pairs import Array, Pair, Recording, RunDir, Unscorable
from evaluation.inputs.pitch import LEAST_VOICED_FRAMES
from evaluation.inputs.pitch import PARAMETERS as PITCH
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import Measured, Metric, MetricInfo
from evaluation.metrics.speaker import stated_parameters
from evaluation.models.gender import WEIGHTS, Kind
from evaluation.models.gender import female_probability as probability_of
from evaluation.models.weights import weights_sha256
from manifests.corpus_lists import SPEAKERS, gender_of
from manifests.records import RunClip

GENDERS = ("male", "female")


def female_probability(samples: Array, rate_hz: int, kind: Kind = "voice") -> float:
    """Probability that a voice is a woman's, by the toolkit's logistic regression.

    Args:
        samples: (n,) or (n, channels), floats of full scale ±1 or integers.
        rate_hz: of the samples; they are brought to 16 kHz.
        kind: `voice` looks at F0 and the speaker embedding, `f0` at the median F0 alone.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> t = np.arange(16_000) / 16_000
        >>> low = sum(np.sin(2 * np.pi * 110 * k * t) / k for k in range(1, 20)) / 8
        >>> metrics.female_probability(low, 16_000, "f0") < 0.5
        True
    """
    return probability_of(Recording(samples, rate_hz), kind)


def gender_agreement(female: ArrayLike, genders: Sequence[str]) -> float:
    """Percentage of voices that are heard as of the gender of the face that gave them: the mean of the
    percentages for women and for men, where there are both. Chance is 50.

    Args:
        female: (N,) probabilities that a voice is a woman's, such as those of `female_probability`.
        genders: N times `female` or `male`, of the faces.

    Raises:
        ValueError: no voice, other numbers of voices and faces, another gender, or what is no
            probability.

    Example:
        >>> from evaluation import metrics
        >>> metrics.gender_agreement([0.9, 0.2, 0.1, 0.3], ["female", "female", "male", "male"])
        75.0
        >>> metrics.gender_agreement([0.9, 0.2, 0.1], ["female", "male", "female"])
        75.0
    """
    heard = np.asarray(female, dtype=np.float64)
    if heard.shape != (len(genders),) or not len(heard) or not set(genders) <= set(GENDERS):
        raise ValueError(f"probabilities of shape {heard.shape} for {len(genders)} genders")
    if not ((heard >= 0) & (heard <= 1)).all():
        raise ValueError("a probability is not between 0 and 1")
    faces = np.array(genders)
    right = (heard > 0.5) == (faces == "female")
    return float(np.mean([100 * right[faces == gender].mean() for gender in np.unique(faces)]))


class GenderAgreement(Metric):
    kind: Kind = "voice"
    info = MetricInfo(
        name="gender_agreement",
        label="Gender",
        unit="%",
        direction="higher",
        definition=(
            "Percentage of clips whose voice a classifier (logistic regression on the median F0 and the "
            "ECAPA-TDNN embedding, trained without s1, s2, s4 and s29) assigns to the gender of the "
            "speaker whose face gave the voice; the mean of the percentages for men and for women, "
            "where there are both."
        ),
        citation="Um et al., section V-B, asks listeners; ECAPA-TDNN: Interspeech 2020",
        license="Apache-2.0 (SpeechBrain)",
        group="voice",
        decimals=1,
        needs_reference=False,
        pool="balanced",
        has_floor=True,
        libraries=("librosa", "speechbrain", "torch"),
    )

    def __init__(self) -> None:
        sha256 = weights_sha256(WEIGHTS)
        parameters: dict[str, Any] = {**PITCH, "least_voiced_frames": LEAST_VOICED_FRAMES}
        if self.kind == "voice":
            network = stated_parameters()
            parameters["network"] = network
            sha256 = f"{sha256} {network['source']}"
        parameters |= {"weights_sha256": weights_sha256(WEIGHTS), "source": sha256}
        self.info = type(self).info.variant(parameters=parameters)
        self.genders: dict[str, str] = {}

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return True

    def for_run(self, run: RunDir) -> Metric:
        bound = copy.copy(self)
        bound.genders = {c.speaker: c.gender for c in run.clips if c.gender in GENDERS}
        return bound

    def expected(self, clip: RunClip) -> str:
        """Returns the gender of the face from the run's clips, else from GRID's list; "" if unknown."""
        face = clip.voice or clip.speaker
        if face == clip.speaker and clip.gender in GENDERS:
            return clip.gender
        return self.genders.get(face) or (gender_of(face) if face in SPEAKERS else "")

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        return [self.expected(clip)]

    def measure(self, pair: Pair) -> Measured:
        female = probability_of(pair.degraded, self.kind)
        expected = self.expected(pair.clip)
        if not expected:
            raise Unscorable("no_gender", f"the gender of {pair.clip.speaker} is not known")
        heard = "female" if female > 0.5 else "male"
        details = {"expected": expected, "heard": heard, "female": round(female, 4), "chance": 50.0}
        return Measured(100.0 * (heard == expected), details=details)


class GenderAgreementF0(GenderAgreement):
    kind: Kind = "f0"
    info = GenderAgreement.info.variant(
        name="gender_agreement_f0",
        label="Gender (F0 only)",
        definition=(
            "Gender agreement by a classifier of the median F0 alone, the baseline for the classifier "
            "of F0 and embedding."
        ),
        license="ISC (librosa)",
        has_floor=True,
        libraries=("librosa",),
    )
