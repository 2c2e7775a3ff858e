"""Painting of everything around a speaker's face: background, neck, clothes and long hair."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from gridprep.synth.speakers import Look

FRAME_WIDTH_PX, FRAME_HEIGHT_PX = 360, 288
SUPER = 1.5
WIDTH_PX, HEIGHT_PX = int(FRAME_WIDTH_PX * SUPER), int(FRAME_HEIGHT_PX * SUPER)

Floats = NDArray[np.float32]
Points = dict[int, NDArray[np.float64]]
"""FaceMesh index → position in pixels of the picture."""


def soft(polygon: NDArray[np.float64], blur_px: float) -> Floats:
    """A polygon in texture pixels as a soft mask."""
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    cv2.fillPoly(mask, [np.rint(polygon * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    if blur_px > 0:
        mask = cv2.GaussianBlur(mask, (0, 0), blur_px)
    return np.asarray(mask.astype(np.float32) / 255, np.float32)


def over(base: Floats, color: Floats, mask: Floats) -> Floats:
    alpha = mask[..., None]
    return np.asarray(base * (1 - alpha) + color * alpha, np.float32)


def noise(rng: np.random.Generator, sigma_x: float, sigma_y: float) -> Floats:
    """Smooth noise of unit variance."""
    field = rng.standard_normal((HEIGHT_PX, WIDTH_PX)).astype(np.float32)
    field = cv2.GaussianBlur(field, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
    return np.asarray(field / field.std(), np.float32)


def background(look: Look, rng: np.random.Generator) -> Floats:
    y, x = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float32)
    light_x, light_y = WIDTH_PX * 0.3, HEIGHT_PX * 0.35
    away = np.hypot((x - light_x) / WIDTH_PX, (y - light_y) / HEIGHT_PX)
    level = 1.16 - 0.62 * away**1.3 + 0.012 * noise(rng, 40, 40)
    return np.asarray(np.array(look.background, np.float32) * level[..., None], np.float32)


def strands(rng: np.random.Generator, center_x: float) -> Floats:
    """Light and dark hair strands running down, fanned out from above the head."""
    fine = 0.6 * noise(rng, 1.0, 40) + 0.5 * noise(rng, 4, 80)
    y, x = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float32)
    fan = center_x + (x - center_x) * (1.25 - 0.5 * y / HEIGHT_PX)
    return np.asarray(cv2.remap(fine, fan, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def long_hair(
    image: Floats,
    look: Look,
    hair: Floats,
    center: NDArray[np.float64],
    unit: float,
    rng: np.random.Generator,
) -> Floats:
    wide = 0.60 + 0.10 * look.hair_volume
    end = 0.35 + 1.0 * look.hair_length
    side = np.array(
        [(-0.30, -0.45), (-0.52, -0.42), (-wide, -0.05), (-wide - 0.02, 0.5 * end),
         (-wide + 0.02, 0.85 * end), (-wide + 0.11, end), (-0.48, end + 0.03), (-0.40, 0.9 * end),
         (-0.36, 0.6 * end), (-0.33, 0.2)]
    )  # fmt: skip
    mask = np.maximum(
        soft(side * unit + center, 3.0), soft(side * (-unit, unit * 1.02) + center, 3.0)
    )
    level = 0.72 + 0.13 * strands(rng, float(center[0]))
    return over(image, hair * level[..., None], mask)


def neck(
    image: Floats,
    look: Look,
    skin: Floats,
    points: Points,
    unit: float,
    rng: np.random.Generator,
) -> Floats:
    chin = points[152]
    half = unit * (0.30 + 0.10 * (look.jaw_width - 0.9) / 0.2)
    top = chin[1] - 0.30 * unit
    outline = np.array(
        [(chin[0] - half, top), (chin[0] - half * 0.97, chin[1] + 0.12 * unit),
         (chin[0] - half * 1.25, chin[1] + 0.42 * unit), (chin[0] - half * 2, HEIGHT_PX + 20),
         (chin[0] + half * 2, HEIGHT_PX + 20), (chin[0] + half * 1.25, chin[1] + 0.42 * unit),
         (chin[0] + half * 0.97, chin[1] + 0.12 * unit), (chin[0] + half, top)]
    )  # fmt: skip
    x = (np.arange(WIDTH_PX, dtype=np.float32)[None] - chin[0]) / half
    round_ = (
        0.90 - 0.22 * np.clip(np.abs(x), 0, 1.3) ** 3 + 0.05 * np.exp(-(((x + 0.4) / 0.2) ** 2))
    )
    level = round_ + 0.012 * noise(rng, 3, 6)
    return over(image, skin * level[..., None].astype(np.float32), soft(outline, 1.5))


def clothes(
    image: Floats, look: Look, chin: NDArray[np.float64], unit: float, rng: np.random.Generator
) -> Floats:
    x, y = chin
    collar_y = y + 0.20 * unit
    dip = (0.16 + 0.35 * look.collar) * unit
    half = 0.37 * unit
    slope = 1.28 * unit
    right = [(half, collar_y - 0.02 * unit), (half * 1.3, collar_y + 0.04 * unit),
             (half + slope * 0.55, collar_y + 0.22 * unit), (half + slope, collar_y + 0.52 * unit),
             (half + slope * 1.3, HEIGHT_PX + 40)]  # fmt: skip
    neckline = [
        (half * np.sin(a), collar_y - 0.02 * unit + dip * np.cos(a) ** (0.7 + look.collar))
        for a in np.linspace(-np.pi / 2, np.pi / 2, 15)
    ]
    outline = [*right, *[(-px, py) for px, py in right[::-1]], *neckline]
    mask = soft(np.array([(x + px, py) for px, py in outline]), 1.0)
    folds = 1 + 0.06 * noise(rng, 14, 30) + 0.03 * noise(rng, 1.0, 1.0)
    side = (np.arange(WIDTH_PX, dtype=np.float32)[None] - x) / WIDTH_PX
    level = folds * (1.0 - 0.5 * side**2 - 0.15 * side)
    edge = cv2.GaussianBlur(mask, (0, 0), 4)
    level = level * (0.72 + 0.28 * np.clip(edge * 1.6 - 0.5, 0, 1))
    return over(
        image, np.array(look.clothes, np.float32) * level[..., None].astype(np.float32), mask
    )
