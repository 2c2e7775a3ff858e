"""Mouth movement from phonemes: visemes with coarticulation.

Each phoneme has a viseme, a target pose of lips, teeth and tongue. Neighbors pull on each other by
dominance (Cohen and Massaro, "Modeling coarticulation in synthetic visual speech", 1993): a pose is the
average of all targets, weighted by nearness in time and by how strictly the sound needs its pose, so a
/b/ always closes the lips while a /k/ takes its neighbors' shape.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manifests.specs import CLIP_FRAMES, VIDEO_FPS

POSE_NAMES = ("gap", "wide", "round", "tuck", "teeth", "lower_teeth", "tongue", "press")
"""gap: opening between the lips, 0–1 · wide: lips spread (negative: narrowed) · round: protruded ·
tuck: lower lip under the upper teeth · teeth, lower_teeth: how much of them shows · tongue: height of
its tip · press: lips pressed together."""

SPREAD_S = 0.042
"""How far a target reaches beyond its sound."""
LEAD_S = 0.018
"""Lips move ahead of the sound: closures, held strictly, would otherwise part too late. With it the
offset that `manifests.sync` sees is that of real GRID clips (−0.5 frames), without it −0.9."""


@dataclass(frozen=True)
class Viseme:
    """A target pose (in the order of `POSE_NAMES`) and how strictly it is held."""

    pose: tuple[float, ...]
    dominance: float


VISEMES: dict[str, Viseme] = {
    #               gap   wide  round tuck  teeth lower tongue press
    "rest": Viseme((0.00, 0.00, 0.00, 0.0, 0.0, 0.0, 0.0, 0.15), 1.0),
    "PBM": Viseme((0.00, 0.05, 0.05, 0.0, 0.0, 0.0, 0.1, 1.00), 9.0),
    "FV": Viseme((0.17, 0.12, 0.00, 1.0, 1.0, 0.0, 0.0, 0.00), 7.0),
    "TH": Viseme((0.34, 0.10, 0.00, 0.0, 0.5, 0.2, 1.0, 0.00), 4.0),
    "TDN": Viseme((0.26, 0.15, 0.00, 0.0, 0.6, 0.3, 0.75, 0.00), 1.6),
    "L": Viseme((0.40, 0.10, 0.00, 0.0, 0.5, 0.1, 0.95, 0.00), 2.0),
    "SZ": Viseme((0.22, 0.50, 0.00, 0.0, 1.0, 1.0, 0.1, 0.00), 3.0),
    "SH": Viseme((0.30, -0.10, 0.65, 0.0, 0.9, 0.8, 0.1, 0.00), 3.5),
    "R": Viseme((0.24, -0.10, 0.55, 0.0, 0.4, 0.0, 0.3, 0.00), 2.0),
    "W": Viseme((0.12, -0.20, 1.00, 0.0, 0.0, 0.0, 0.1, 0.00), 4.0),
    "KG": Viseme((0.34, 0.10, 0.00, 0.0, 0.4, 0.1, 0.25, 0.00), 0.7),
    "H": Viseme((0.40, 0.00, 0.00, 0.0, 0.3, 0.0, 0.2, 0.00), 0.4),
    "J": Viseme((0.20, 0.60, 0.00, 0.0, 0.7, 0.2, 0.5, 0.00), 1.2),
    "AA": Viseme((1.00, -0.05, 0.05, 0.0, 0.55, 0.15, 0.15, 0.00), 2.0),
    "AE": Viseme((0.85, 0.35, 0.00, 0.0, 0.6, 0.25, 0.25, 0.00), 2.0),
    "AH": Viseme((0.66, 0.05, 0.00, 0.0, 0.4, 0.1, 0.2, 0.00), 1.6),
    "EH": Viseme((0.58, 0.35, 0.00, 0.0, 0.6, 0.2, 0.35, 0.00), 1.6),
    "IH": Viseme((0.34, 0.60, 0.00, 0.0, 0.75, 0.2, 0.45, 0.00), 1.4),
    "EE": Viseme((0.28, 1.00, 0.00, 0.0, 0.95, 0.35, 0.5, 0.00), 2.0),
    "OH": Viseme((0.62, -0.15, 0.60, 0.0, 0.1, 0.0, 0.1, 0.00), 2.0),
    "OO": Viseme((0.20, -0.20, 0.95, 0.0, 0.0, 0.0, 0.1, 0.00), 2.4),
    "ER": Viseme((0.38, 0.00, 0.25, 0.0, 0.5, 0.1, 0.3, 0.00), 1.2),
    "UH": Viseme((0.36, 0.05, 0.05, 0.0, 0.4, 0.1, 0.25, 0.00), 0.8),
}  # fmt: skip
VISEME_NAMES = tuple(VISEMES)

PHONEMES: dict[str, tuple[str, ...]] = {
    "p": ("PBM",), "b": ("PBM",), "m": ("PBM",), "f": ("FV",), "v": ("FV",), "T": ("TH",),
    "D": ("TH",), "t": ("TDN",), "d": ("TDN",), "n": ("TDN",), "l": ("L",), "s": ("SZ",),
    "z": ("SZ",), "S": ("SH",), "Z": ("SH",), "tS": ("SH",), "dZ": ("SH",), "r": ("R",),
    "w": ("W",), "k": ("KG",), "g": ("KG",), "N": ("KG",), "h": ("H",), "j": ("J",), "?": ("KG",),
    "a": ("AE",), "aa": ("AE",), "A": ("AA",), "A:": ("AA",), "A@": ("AA",), "V": ("AH",),
    "0": ("OH",), "O": ("OH",), "O:": ("OH",), "O@": ("OH",), "o@": ("OH",), "E": ("EH",),
    "e": ("EH",), "e@": ("EH", "UH"), "I": ("IH",), "I2": ("IH",), "i": ("EE",), "i:": ("EE",),
    "i@": ("EE", "UH"), "i@3": ("EE", "UH"), "u": ("OO",), "u:": ("OO",), "U": ("OO",),
    "U@": ("OO", "UH"), "3": ("ER",), "3:": ("ER",), "@": ("UH",), "@2": ("UH",), "a#": ("UH",),
    "I#": ("IH",), "@L": ("UH", "L"), "eI": ("EH", "EE"), "aI": ("AA", "EE"), "aI@": ("AA", "EE", "UH"),
    "OI": ("OH", "EE"), "aU": ("AA", "OO"), "oU": ("OH", "OO"),
}  # fmt: skip
"""espeak-ng's names of English sounds → visemes; diphthongs have two."""


@dataclass(frozen=True)
class Phoneme:
    """One sound; `name` is espeak-ng's, without stress marks. Times from the start of the clip."""

    name: str
    start_s: float
    end_s: float


def plain_name(mnemonic: str) -> str:
    """espeak-ng's mnemonic without stress and variant marks: `'eI` → `eI`, `t2` → `t`."""
    if mnemonic == ";":  # the glide between "three" and "again"
        return "j"
    name = re.sub(r"[',%=;_|]", "", mnemonic)
    while name and name not in PHONEMES:
        name = name[:-1]
    return name


def _segments(phonemes: list[Phoneme]) -> list[tuple[str, float, float]]:
    """Visemes with their times, rests before, between and after included."""
    segments: list[tuple[str, float, float]] = []
    now_s = 0.0
    for phoneme in phonemes:
        if phoneme.start_s - now_s > 0.06:
            segments.append(("rest", now_s, phoneme.start_s))
        parts = PHONEMES.get(phoneme.name, ("UH",))
        step_s = (phoneme.end_s - phoneme.start_s) / len(parts)
        for k, part in enumerate(parts):
            segments.append(
                (part, phoneme.start_s + k * step_s, phoneme.start_s + (k + 1) * step_s)
            )
        now_s = phoneme.end_s
    segments.append(("rest", now_s, max(now_s + 0.1, CLIP_FRAMES / VIDEO_FPS)))
    return segments


def mouth_poses(
    phonemes: list[Phoneme], effort: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """The mouth's movement over a clip.

    Args:
        phonemes: sounds in order.
        effort: scales the opening and the spread; people differ in how much they move.

    Returns: (75, 8) poses in the order of `POSE_NAMES`, and (75,) indices into `VISEME_NAMES` of the
    strongest viseme in each frame.
    """
    segments = _segments(phonemes)
    targets = np.array([VISEMES[name].pose for name, _, _ in segments])
    dominance = np.array([VISEMES[name].dominance for name, _, _ in segments])
    start_s = np.array([s for _, s, _ in segments])
    end_s = np.array([e for _, _, e in segments])
    # The exposure lasts most of the frame: three moments of it are averaged.
    center_s = (np.arange(CLIP_FRAMES) + 0.5) / VIDEO_FPS
    moments_s = (center_s[:, None] + np.array([-0.012, 0.0, 0.012])).ravel() + LEAD_S
    outside_s = np.maximum(
        np.maximum(start_s - moments_s[:, None], moments_s[:, None] - end_s), 0.0
    )
    weights = dominance * np.exp(-((outside_s / SPREAD_S) ** 2)) + 1e-9
    poses = (weights @ targets) / weights.sum(1, keepdims=True)
    press = poses[:, POSE_NAMES.index("press")]
    gap = poses[:, 0] * np.clip(1 - 1.2 * press, 0, 1)
    poses[:, 0] = gap * effort
    poses[:, 1] *= effort
    mean = poses.reshape(CLIP_FRAMES, 3, -1).mean(1)
    middle = weights.reshape(CLIP_FRAMES, 3, -1)[:, 1]
    index = np.array([VISEME_NAMES.index(name) for name, _, _ in segments], np.int16)
    return mean.astype(np.float32), index[middle.argmax(1)]
