"""Training data of the face encoder: stills of a build of SynthGRID, each time seen a little differently.

A generated picture is softer than a still, a little to the side and of other colors, and is shown to an
encoder that knows only stills it is "somebody else". So every still is shifted, turned, blurred, lit and
made noisy at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.build_files import source_of
from evaluation.inputs.pictures import read_law
from evaluation.models.face import Picture
from manifests.console import Progress
from manifests.errors import BadInput
from manifests.io import read_manifest
from manifests.pictures import read_pictures
from manifests.records import ManifestRow

STILLS = 3
"""Of a clip, evenly over it."""
VIEWS = 3
"""Varied pictures of a clip, beside its stills, that regressions are fitted on."""
TURN_DEG, SCALE, SHIFT = 5.0, 0.05, 0.03
"""Largest turn, change of size, and shift in sides of the picture."""
LIGHT, TINT = 0.15, 0.06
"""Standard deviations of the gain of all colors and of each, natural logarithms."""
SOFT_PX = (20, 64)
"""Sides through which a soft picture goes."""
SOFT, NOISY = 0.6, 0.3
"""Shares of pictures."""


@dataclass(frozen=True)
class Face:
    """A clip's stills and what is true of its speaker.

    Attributes:
        stills: (n, H, H, 3) uint8 RGB.
        law: (2,) `LAW` of the speaker.
    """

    speaker: str
    clip_id: str
    gender: str
    stills: NDArray[np.uint8]
    law: NDArray[np.float64]


def law_or_none(build: Path) -> dict[str, NDArray[np.float64]] | None:
    """Speaker → (2,) `LAW`, from `speakers.json` of the build's corpus; None where there is none."""
    corpus = source_of(build)
    path = None if corpus is None else corpus / "speakers.json"
    if path is None or not path.is_file():
        return None
    return {name: np.array([told.ln_f0, told.tract_place]) for name, told in read_law(path).items()}


def law_of(build: Path) -> dict[str, NDArray[np.float64]]:
    """The same. Raises `BadInput` where there is none."""
    found = law_or_none(build)
    if found is None:
        raise BadInput(
            f"{build} was made from no SynthGRID that is still there",
            "give a build of a folder that `gridprep synth` wrote",
        )
    return found


def read_faces(build: Path, rows: Sequence[ManifestRow], *, progress: bool = True) -> list[Face]:
    """The stills of these clips."""
    law = law_of(build)
    faces = []
    with Progress(len(rows), "clips looked at") if progress else nullcontext() as bar:
        for row in rows:
            strip = read_pictures(build / row.paths["face"])
            kept = np.linspace(0, len(strip) - 1, STILLS).round().astype(int)
            faces.append(Face(row.speaker, row.clip_id, row.gender, strip[kept], law[row.speaker]))
            if bar is not None:
                bar.update(1)
    return faces


@dataclass(frozen=True)
class Rows:
    """Rows of a build by what may be done with them.

    Attributes:
        learnt: of the train subset, without the held-out speakers.
        new_clips: of the speakers that were learned from, other clips.
        unseen: of held-out speakers.
    """

    learnt: tuple[ManifestRow, ...]
    new_clips: tuple[ManifestRow, ...]
    unseen: tuple[ManifestRow, ...]


def read_rows(build: Path, held_out: Sequence[str]) -> Rows:
    """Raises `BadInput` where a part is empty."""
    rows = read_manifest(build)[1]
    mine = [row for row in rows if row.speaker not in held_out]
    found = Rows(
        tuple(row for row in mine if row.subset == "train"),
        tuple(row for row in mine if row.subset != "train"),
        tuple(row for row in rows if row.speaker in held_out),
    )
    for name, part in vars(found).items():
        if not part:
            raise BadInput(
                f"{build} holds no clips to use as {name}",
                "build SynthGRID with --split large-unseen",
            )
    return found


def varied(still: Picture, rng: np.random.Generator) -> Picture:
    """(H, H, 3) → (H, H, 3): turned, sized, shifted and mirrored; lit and tinted; soft and noisy."""
    side = still.shape[0]
    turn = cv2.getRotationMatrix2D(
        (side / 2, side / 2),
        float(rng.uniform(-TURN_DEG, TURN_DEG)),
        float(np.exp(rng.uniform(-SCALE, SCALE))),
    )
    turn[:, 2] += rng.uniform(-SHIFT, SHIFT, 2) * side
    seen = cv2.warpAffine(
        still, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if rng.random() < 0.5:
        seen = seen[:, ::-1]
    if rng.random() < SOFT:
        small = int(rng.integers(*SOFT_PX))
        seen = cv2.resize(np.ascontiguousarray(seen), (small, small), interpolation=cv2.INTER_AREA)
        seen = cv2.resize(seen, (side, side), interpolation=cv2.INTER_LINEAR)
    gain = np.exp(rng.normal(0, LIGHT) + rng.normal(0, TINT, 3))
    values = seen.astype(np.float32) * gain.astype(np.float32)
    if rng.random() < NOISY:
        values += rng.normal(0, rng.uniform(1, 10), seen.shape).astype(np.float32)
    return np.asarray(np.clip(values, 0, 255), np.uint8)
