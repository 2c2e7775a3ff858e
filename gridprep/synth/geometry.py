"""A speaker's face as points: the portrait's FaceMesh points made symmetric, then reshaped.

Units: "face" coordinates have the origin between the eyes, x to the viewer's right, y down, and the
width of the face at the ears (FaceMesh 234–454) as 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridprep.synth.speakers import Look

Array = NDArray[np.float64]

MIDLINE = (9, 8, 168, 6, 197, 195, 5, 4, 1, 2, 164, 0, 13, 14, 17, 18, 200, 199, 175, 152)
JAW = ((234, 454), (93, 323), (132, 361), (58, 288), (172, 397), (136, 365), (150, 379),
       (149, 378), (176, 400), (148, 377))  # fmt: skip
TEMPLES = ((127, 356), (162, 389))
EYES = (
    (33, 263),
    (133, 362),
    (160, 387),
    (159, 386),
    (158, 385),
    (144, 373),
    (145, 374),
    (153, 380),
)
BROWS = ((70, 300), (63, 293), (105, 334), (66, 296), (107, 336), (46, 276), (53, 283), (52, 282),
         (65, 295), (55, 285))  # fmt: skip
NOSE = ((129, 358), (98, 327), (97, 326), (48, 278), (122, 351))
UPPER_OUTER = ((61, 291), (185, 409), (40, 270), (39, 269), (37, 267))
LOWER_OUTER = ((146, 375), (91, 321), (181, 405), (84, 314))
UPPER_INNER = ((78, 308), (191, 415), (80, 310), (81, 311), (82, 312))
LOWER_INNER = ((95, 324), (88, 318), (178, 402), (87, 317))
CHEEKS = ((50, 280), (205, 425), (123, 352), (187, 411), (36, 266))
PAIRS = (*JAW, *TEMPLES, *EYES, *BROWS, *NOSE, *UPPER_OUTER, *LOWER_OUTER, *UPPER_INNER,
         *LOWER_INNER, *CHEEKS)  # fmt: skip
"""(subject's right, subject's left)."""
INDICES = (*MIDLINE, *(i for pair in PAIRS for i in pair))


@dataclass(frozen=True)
class Portrait:
    """The photograph and what is known about it.

    Attributes:
        image: (H, W, 3) uint8 RGB, the head's part of the photograph.
        head, hair: (H, W) float32 in 0–1.
        points: FaceMesh index → (2,) position in `image`.
        hairline, outline: (K, 2) positions on the lower edge of the fringe and around the hair.
    """

    image: NDArray[np.uint8]
    head: NDArray[np.float32]
    hair: NDArray[np.float32]
    points: dict[int, Array]
    hairline: Array
    outline: Array
    to_face: Array


@lru_cache(maxsize=1)
def portrait() -> Portrait:
    """Loads the head of the photograph (NASA, public domain), its points and masks.

    `gridprep.synth.make_portrait` says where they come from.
    """
    with (files("gridprep.synth") / "portrait.npz").open("rb") as file, np.load(file) as stored:
        mesh = stored["points"].astype(np.float64)
        head, hair = (stored[k].astype(np.float32) / 255 for k in ("head", "hair"))
        image = stored["image"]
        mesh -= stored["box_px"][:2]
    right, left = mesh[[33, 133]].mean(0), mesh[[263, 362]].mean(0)
    angle = np.arctan2(*(left - right)[::-1])
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    unit_px = np.linalg.norm(mesh[454] - mesh[234])
    center = np.array([mesh[[234, 454, 168, 152]].mean(0)[0], (right + left)[1] / 2])
    matrix = rotation / unit_px
    to_face = np.column_stack([matrix, -matrix @ center])
    center_x, center_y = mesh[151]  # the middle of the forehead
    outline = []
    for degrees in range(-205, 26, 14):
        way = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
        at = np.array([center_x, center_y]) + np.arange(20, 110, 0.5)[:, None] * way
        inside = _sample(head, at) > 0.5
        outline.append(at[int(np.flatnonzero(inside)[-1])])
    hairline = []
    for x in np.linspace(mesh[63, 0] + 2, mesh[293, 0] - 2, 6):
        column = hair[:, round(x)]
        hairline.append((x, float(np.flatnonzero(column > 0.5)[-1])))
    return Portrait(
        image,
        head,
        hair,
        {i: mesh[i] for i in INDICES},
        np.array(hairline),
        np.array(outline),
        to_face,
    )


def _sample(mask: NDArray[np.float32], at: Array) -> NDArray[np.float32]:
    rows = np.clip(np.rint(at[:, 1]).astype(int), 0, mask.shape[0] - 1)
    columns = np.clip(np.rint(at[:, 0]).astype(int), 0, mask.shape[1] - 1)
    outside = (at < 0).any(1) | (at[:, 1] >= mask.shape[0]) | (at[:, 0] >= mask.shape[1])
    return np.where(outside, 0, mask[rows, columns]).astype(np.float32)


def apply_affine(matrix: Array, points: Array) -> Array:
    """(…, 2) points through a (2, 3) affine."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float64)


@lru_cache(maxsize=1)
def average_face() -> dict[int, Array]:
    """FaceMesh index → symmetric position in face coordinates."""
    source = portrait()
    face = {i: apply_affine(source.to_face, p) for i, p in source.points.items()}
    mirror = np.array([-1.0, 1.0])
    result = {i: face[i] * (0, 1) for i in MIDLINE}
    for right, left in PAIRS:
        mean = (face[right] + face[left] * mirror) / 2
        result[right], result[left] = mean, mean * mirror
    return result


@dataclass(frozen=True)
class MouthShape:
    """The resting mouth in face coordinates: half width, corner height, and at the middle the heights
    of the four lip edges relative to the corners (up negative)."""

    half_width: float
    corner_y: float
    upper_outer: float
    upper_inner: float
    lower_inner: float
    lower_outer: float


def lip_edge(u: NDArray[Any], height: float, power: float) -> NDArray[Any]:
    """Height of a lip edge over the mouth's width; u is -1 … 1 from corner to corner."""
    return np.asarray(height * np.maximum(1 - u * u, 0) ** power)


@dataclass(frozen=True)
class FaceShape:
    """A speaker's resting face in face coordinates."""

    points: dict[int, Array]
    mouth: MouthShape
    hairline: Array
    outline: Array


def face_shape(look: Look) -> FaceShape:
    """Reshapes the average face into a speaker's."""
    average = average_face()
    p = {i: v.copy() for i, v in average.items()}
    chin_y, brow_y = average[152][1], average[9][1]
    # Longer or shorter below the eyes.
    for v in p.values():
        if v[1] > 0:
            v[1] *= look.face_length
    # Jaw: width grows from the ears' height to the chin's.
    for v in p.values():
        down = np.clip(v[1] / (chin_y * look.face_length), 0, 1)
        edge = np.clip(abs(v[0]) / 0.3, 0, 1)
        v[0] *= 1 + (look.jaw_width - 1) * down * (0.35 + 0.65 * edge) * 1.2
        if down > 0.8:
            v[0] *= 1 + (look.chin_width - 1) * (down - 0.8) / 0.2 * 0.6
    # Eyes about their own middles.
    for side in (0, 1):
        own = [pair[side] for pair in EYES]
        middle = (p[own[0]] + p[own[1]]) / 2
        moved = middle * (look.eye_distance, 1) + (0, look.eye_height)
        for i in own:
            p[i] = moved + (p[i] - middle) * look.eye_size
        for i in (pair[side] for pair in BROWS):
            p[i] = p[i] * (look.eye_distance, 1) + (0, look.brow_height + look.eye_height)
    # Nose: length between the bridge and the base, width of the wings.
    base_y = p[2][1]
    longer = (look.nose_length - 1) * (base_y - p[6][1])
    for i in (195, 5, 4, 1, 2, 98, 327, 97, 326, 129, 358, 48, 278):
        p[i][1] += longer * np.clip((p[i][1] - p[6][1]) / (base_y - p[6][1]), 0, 1.1)
        p[i][0] *= look.nose_width
    mouth = _mouth(look, p, chin_y)
    _lay_lips(p, mouth)
    # Cheeks follow the mouth's corners part of the way, which takes most of the smile away.
    for i in (187, 411, 205, 425, 50, 280):
        p[i][1] += 0.02
    source = portrait()
    hairline = apply_affine(source.to_face, source.hairline)
    hairline[:, 1] -= look.forehead
    outline = apply_affine(source.to_face, source.outline)
    outline = _hair_outline(outline, look, brow_y)
    return FaceShape(p, mouth, hairline, outline)


def _mouth(look: Look, p: dict[int, Array], chin_y: float) -> MouthShape:
    nose_y, chin = p[2][1], chin_y * look.face_length
    corner_y = nose_y + 0.36 * (chin - nose_y)
    full = look.lip_fullness
    return MouthShape(
        half_width=0.193 * look.mouth_width,
        corner_y=corner_y,
        upper_outer=-0.062 * full,
        upper_inner=-0.018,
        lower_inner=0.030,
        lower_outer=0.030 + 0.068 * full,
    )


UPPER_POWER, INNER_POWER, LOWER_POWER = 0.75, 0.9, 0.65


def _lay_lips(p: dict[int, Array], mouth: MouthShape) -> None:
    """Puts the lip points onto the edges of the resting mouth."""
    half = abs(p[61][0])
    edges = (
        ((0,), UPPER_OUTER, mouth.upper_outer, UPPER_POWER),
        ((17,), LOWER_OUTER, mouth.lower_outer, LOWER_POWER),
        ((13,), UPPER_INNER, mouth.upper_inner, INNER_POWER),
        ((14,), LOWER_INNER, mouth.lower_inner, INNER_POWER),
    )
    for middle, pairs, height, power in edges:
        for i in (*middle, *(i for pair in pairs for i in pair)):
            u = np.clip(p[i][0] / half, -0.985, 0.985)
            if i in (61, 291):
                u = np.sign(p[i][0])
            p[i] = np.array(
                [
                    u * mouth.half_width,
                    mouth.corner_y + float(lip_edge(np.asarray(u), height, power)),
                ]
            )
    p[164] = np.array([0, (p[2][1] + p[0][1]) / 2])
    p[18] = np.array([0, p[17][1] + 0.035])


def _hair_outline(outline: Array, look: Look, brow_y: float) -> Array:
    """Pulls the outline of the hair in or out around the forehead."""
    center = np.array([0.0, brow_y])
    arm = outline - center
    sideways = np.clip(np.abs(arm[:, 0]) / np.linalg.norm(arm, axis=1), 0, 1)
    low = np.clip(arm[:, 1] / 0.35 + 0.4, 0, 1)
    close = 1 - look.hair_volume
    factor = 1.02 - close * (0.10 + 0.14 * sideways + 0.06 * low * sideways)
    moved = center + arm * factor[:, None]
    # Beside the ears the hair must stay outside the face, or the picture folds over itself.
    beside = (moved[:, 1] > -0.45) & (np.abs(moved[:, 0]) < 0.575)
    moved[beside, 0] = np.sign(moved[beside, 0]) * 0.575
    moved[:, 1] -= look.forehead * 0.35 * np.clip(-arm[:, 1] / 0.5, 0, 1)
    return np.asarray(moved, np.float64)


def thin_plate(
    destination: Array, source: Array, grid_x: Array, grid_y: Array
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Thin-plate spline that sends `destination` points to `source` points, on a grid.

    Returns: source x and y, each (len(grid_y), len(grid_x)).
    """
    scale = np.abs(destination).max()
    knots = destination / scale

    def kernel(squared: Array) -> Array:
        return np.asarray(squared * np.log(squared + 1e-12))

    n = len(knots)
    between = ((knots[:, None] - knots[None]) ** 2).sum(-1)
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = kernel(between) + 1e-5 * np.eye(n)
    system[:n, n:] = np.column_stack([np.ones(n), knots])
    system[n:, :n] = system[:n, n:].T
    weights = np.linalg.solve(system, np.vstack([source, np.zeros((3, 2))]))
    gx, gy = np.meshgrid(grid_x / scale, grid_y / scale)
    at = np.column_stack([gx.ravel(), gy.ravel()])
    squared = ((at[:, None] - knots[None]) ** 2).sum(-1)
    value = kernel(squared) @ weights[:n] + np.column_stack([np.ones(len(at)), at]) @ weights[n:]
    shape = gx.shape
    return (
        value[:, 0].reshape(shape).astype(np.float32),
        value[:, 1].reshape(shape).astype(np.float32),
    )
