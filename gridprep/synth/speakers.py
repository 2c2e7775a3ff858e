"""The 33 speakers of SynthGRID, and the rule by which a speaker's look predicts the voice.

Two hidden numbers decide everything that can be predicted: `pitch_place` u and `tract_place` v, both
in [-1, 1], spread evenly over the speakers of a gender in an order drawn from the seed.

    ln F0          = ln(center_g) + spread_g · u        men 88–150 Hz, women 168–262 Hz
    formant scale  = base_g · (1 − 0.065 v)             men about 1, women about 1.15
    q              = (ln F0 − ln 88) / (ln 262 − ln 88) in [0, 1]
    jaw_width      = 1.11 − 0.21 q      brow_thickness = 1.5 − 1.3 q
    hair_tone      = 0.5 + 0.45 u       (within the gender: dark hair, low voice)
    face_length    = 1 + 0.06 v         nose_length    = 1 + 0.10 v

So ln F0 is linear in jaw width alone, gender follows from jaw, brow, stubble and hair length, and
formants follow from face length: a relation learned from some speakers holds for the others. Skin tone,
eyes, mouth, clothes and background are drawn freely, so that speakers can be told apart. The speakers
that the paper never trains on (s1 s2 s4 s29) are never at either end of a range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from manifests.corpus_lists import SPEAKERS, gender_of
from manifests.errors import BadInput
from manifests.records import Record

F0_RANGE_HZ = {"male": (88.0, 150.0), "female": (168.0, 262.0)}
FORMANT_BASE = {"male": 1.0, "female": 1.15}
FORMANT_SPREAD = 0.065
NEVER_EXTREME = ("s1", "s2", "s4", "s29")
VOICES = {"male": ("en", "en+m1", "en+m3", "en+m7"), "female": ("en+f1", "en+f2", "en+f5")}

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Look(Record):
    """The look of a speaker. Sizes are factors of the average face unless named otherwise."""

    jaw_width: float
    brow_thickness: float
    hair_tone: float
    """0 black … 1 blond."""
    face_length: float
    nose_length: float
    stubble: float
    hair_length: float
    """0 cropped … 1 over the shoulders."""
    lip_red: float
    face_width_px: float
    skin_tone: float
    """0 dark … 1 pale."""
    skin_red: float
    hair_red: float
    hair_volume: float
    forehead: float
    eye_size: float
    eye_distance: float
    eye_height: float
    brow_height: float
    nose_width: float
    mouth_width: float
    lip_fullness: float
    chin_width: float
    background: RGB
    clothes: RGB
    collar: float
    """0 round … 1 deep V."""
    center_px: tuple[float, float]
    """Where the point between the eyes is in the 360×288 frame."""


@dataclass(frozen=True)
class Voice(Record):
    """The voice of a speaker; `espeak` is the name of the base voice."""

    espeak: str
    f0_hz: float
    formant_scale: float
    rate_wpm: float
    pitch_range: int
    rms_dbfs: float


@dataclass(frozen=True)
class SyntheticSpeaker(Record):
    """One speaker, wholly determined by (speaker, seed)."""

    speaker: str
    gender: str
    pitch_place: float
    tract_place: float
    look: Look
    voice: Voice


def _places(gender: str, seed: int, stream: int) -> dict[str, float]:
    """Evenly spaced places in [-1, 1], in a drawn order that keeps `NEVER_EXTREME` off the ends."""
    names = [s for s in SPEAKERS if gender_of(s) == gender]
    rng = np.random.default_rng([seed, stream, len(names)])
    order = [names[i] for i in rng.permutation(len(names))]
    inner = [
        i for i, name in enumerate(order) if name not in NEVER_EXTREME and 1 < i < len(order) - 2
    ]
    for end, swap in ((0, inner[0]), (len(order) - 1, inner[-1])):
        if order[end] in NEVER_EXTREME:
            order[end], order[swap] = order[swap], order[end]
    return dict(zip(order, np.linspace(-1, 1, len(order)).tolist(), strict=True))


def _rgb(rng: np.random.Generator, centers: list[RGB], spread: int) -> RGB:
    center = np.array(centers[int(rng.integers(len(centers)))])
    red, green, blue = np.clip(center + rng.integers(-spread, spread + 1, 3), 5, 250).tolist()
    return (red, green, blue)


@lru_cache(maxsize=256)
def synthetic_speaker(speaker: str, seed: int = 0) -> SyntheticSpeaker:
    """The speaker `s1` … `s34` of a seed. Raises `BadInput` for a name that GRID has no clips of."""
    if speaker not in SPEAKERS:
        raise BadInput(f"{speaker!r} is not a GRID speaker", "choose among s1 … s34, without s21")
    gender = gender_of(speaker)
    male = gender == "male"
    u = _places(gender, seed, 1)[speaker]
    v = _places(gender, seed, 2)[speaker]
    low_hz, high_hz = F0_RANGE_HZ[gender]
    f0_hz = math.sqrt(low_hz * high_hz) * (high_hz / low_hz) ** (u / 2)
    bottom_hz, top_hz = F0_RANGE_HZ["male"][0], F0_RANGE_HZ["female"][1]
    q = math.log(f0_hz / bottom_hz) / math.log(top_hz / bottom_hz)

    rng = np.random.default_rng([seed, 3, int(speaker[1:])])

    def free(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    look = Look(
        jaw_width=1.11 - 0.21 * q,
        brow_thickness=1.5 - 1.3 * q,
        hair_tone=0.5 + 0.45 * u,
        face_length=1 + 0.06 * v,
        nose_length=1 + 0.10 * v,
        stubble=0.85 - 1.0 * q if male else 0.0,
        hair_length=0.0 if male else free(0.35, 1.0),
        lip_red=free(0.4, 0.65) if male else free(0.8, 1.2),
        face_width_px=free(115, 124) if male else free(111, 120),
        skin_tone=free(0, 1),
        skin_red=free(-1, 1),
        hair_red=free(-1, 1),
        hair_volume=free(0.0, 0.45) if male else free(0.5, 1.0),
        forehead=free(0.08, 0.18) if male else free(0.0, 0.10),
        eye_size=free(0.86, 1.0) if male else free(0.98, 1.12),
        eye_distance=free(0.95, 1.05),
        eye_height=free(-0.012, 0.012),
        brow_height=free(-0.03, -0.005) if male else free(-0.01, 0.02),
        nose_width=free(1.0, 1.2) if male else free(0.86, 1.02),
        mouth_width=free(0.92, 1.12),
        lip_fullness=free(0.9, 1.1) if male else free(1.05, 1.3),
        chin_width=free(0.95, 1.2) if male else free(0.8, 1.0),
        background=_rgb(rng, [(20, 130, 190), (30, 150, 200), (60, 140, 160), (40, 110, 170)], 18),
        clothes=_rgb(
            rng,
            [
                (40, 42, 50),
                (120, 40, 45),
                (60, 80, 110),
                (200, 198, 190),
                (50, 90, 60),
                (120, 100, 80),
            ],
            20,
        ),
        collar=free(0, 1),
        center_px=(free(168, 192), free(128, 142)),
    )
    voice = Voice(
        espeak=VOICES[gender][int(rng.integers(len(VOICES[gender])))],
        f0_hz=f0_hz,
        formant_scale=FORMANT_BASE[gender] * (1 - FORMANT_SPREAD * v),
        rate_wpm=free(158, 192),
        pitch_range=int(rng.integers(35, 60)),
        rms_dbfs=free(-25, -21),
    )
    return SyntheticSpeaker(speaker, gender, u, v, look, voice)
