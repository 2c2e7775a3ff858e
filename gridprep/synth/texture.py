"""A speaker's still picture: the reshaped portrait over neck, clothes, long hair and background.

The picture is half as fine again as the 360×288 frame (`SUPER`), with the mouth at rest; the moving
parts are bent from it by `gridprep.synth.mouth` and `gridprep.synth.face`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from gridprep.synth.geometry import FaceShape, face_shape, portrait, thin_plate
from gridprep.synth.scenery import (
    HEIGHT_PX,
    SUPER,
    WIDTH_PX,
    Floats,
    Points,
    background,
    clothes,
    long_hair,
    neck,
    noise,
    over,
    soft,
)
from gridprep.synth.speakers import Look

OVAL = (162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152,
        377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356, 389)  # fmt: skip
LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
BROWS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
HAIR_COLORS = np.array(
    [(30, 24, 22), (62, 42, 30), (104, 74, 48), (150, 116, 72), (206, 174, 116)], np.float32
)
SKIN_COLORS = np.array(
    [(122, 84, 64), (178, 132, 104), (214, 170, 146), (236, 200, 182)], np.float32
)


@dataclass(frozen=True)
class Texture:
    """A speaker's resting picture and where things are in it.

    Attributes:
        image: (432, 540, 3) uint8 RGB.
        points_px: FaceMesh index → position in `image`.
        shape: the face in face coordinates; `unit_px` of the picture's pixels are its unit, and
            `center_px` is its origin.
        head: (432, 540) float32, 1 where the picture moves with the head, falling to 0.
    """

    image: NDArray[np.uint8]
    points_px: Points
    shape: FaceShape
    unit_px: float
    center_px: NDArray[np.float64]
    head: Floats


def _between(colors: Floats, place: float) -> Floats:
    at = float(np.clip(place, 0, 1)) * (len(colors) - 1)
    low = min(int(at), len(colors) - 2)
    return np.asarray(colors[low] + (colors[low + 1] - colors[low]) * (at - low), np.float32)


def make_texture(look: Look, seed: int) -> Texture:
    """Paints a speaker; about 0.2 s."""
    rng = np.random.default_rng([seed, 4])
    shape = face_shape(look)
    unit_px = look.face_width_px * SUPER
    center_px = np.array(look.center_px) * SUPER

    def to_px(face: NDArray[np.float64]) -> NDArray[np.float64]:
        return face * unit_px + center_px

    points_px = {i: to_px(p) for i, p in shape.points.items()}
    skin = _between(SKIN_COLORS, look.skin_tone) + np.array(
        [5 * look.skin_red, -3 * look.skin_red, -4 * look.skin_red], np.float32
    )
    hair = _between(HAIR_COLORS, look.hair_tone) + np.array(
        [14 * look.hair_red, -4 * look.hair_red, -10 * look.hair_red], np.float32
    )
    hair = np.clip(hair, 8, 245)
    image = background(look, rng)
    chin_px = points_px[152]
    image = neck(image, look, skin, points_px, unit_px, rng)
    image = clothes(image, look, chin_px, unit_px, rng)
    if look.hair_length > 0:
        image = long_hair(image, look, hair, center_px, unit_px, rng)
    bent, head_mask, is_hair = _reshaped(shape, points_px, center_px, unit_px)
    head_rgb = _colored(bent, is_hair, look, skin, hair, points_px, unit_px, rng)
    # The chin's shadow on the neck.
    shadow = soft(
        np.array([points_px[i] for i in OVAL[2:22]]) * (0.96, 1)
        + (0.04 * center_px[0], 0.075 * unit_px),
        0.05 * unit_px,
    )
    image *= 1 - 0.38 * shadow[..., None]
    image = over(image, head_rgb, head_mask)
    moves = _moving_part(points_px, to_px(shape.outline), unit_px)
    return Texture(
        np.clip(image, 0, 255).astype(np.uint8), points_px, shape, unit_px, center_px, moves
    )


def _reshaped(
    shape: FaceShape, points: Points, center: NDArray[np.float64], unit: float
) -> tuple[Floats, Floats, Floats]:
    """The photograph bent to the speaker's shape: RGB, mask of the head, mask of the hair."""
    source = portrait()
    indices = sorted(shape.points)
    destination = np.vstack(
        [np.array([shape.points[i] for i in indices]), shape.hairline, shape.outline]
    )
    origin = np.vstack(
        [np.array([source.points[i] for i in indices]), source.hairline, source.outline]
    )
    step = 4
    grid_x = (np.arange(0, WIDTH_PX + step, step) - center[0]) / unit
    grid_y = (np.arange(0, HEIGHT_PX + step, step) - center[1]) / unit
    coarse_x, coarse_y = thin_plate(destination, origin, grid_x, grid_y)
    yy, xx = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float32) / step
    map_x = cv2.remap(coarse_x, xx, yy, cv2.INTER_LINEAR)
    map_y = cv2.remap(coarse_y, xx, yy, cv2.INTER_LINEAR)
    rgb = cv2.remap(source.image, map_x, map_y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    rgb = _mend_corner(rgb.astype(np.float32), points)
    head = cv2.remap(source.head, map_x, map_y, cv2.INTER_LINEAR)
    is_hair = cv2.remap(source.hair, map_x, map_y, cv2.INTER_LINEAR)
    # A tight mask leaves the photograph's own background out of the hair's edge.
    return rgb, np.clip((head - 0.35) / 0.6, 0, 1).astype(np.float32), is_hair


def _colored(
    rgb: Floats,
    is_hair: Floats,
    look: Look,
    skin: Floats,
    hair: Floats,
    points: Points,
    unit: float,
    rng: np.random.Generator,
) -> Floats:
    """Skin, lips, eyes, brows, stubble and hair in the speaker's colors."""
    light = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    hair_light = light / 118.0
    hair_rgb = hair * (hair_light[..., None] ** (0.8))
    skin_mean = _skin_of_portrait()
    lip_mask = soft(np.array([points[i] for i in LIPS]), 1.5)
    # Away from the lips the photograph keeps its own small differences of color.
    skin_rgb = rgb * (skin / skin_mean)
    lip_color = skin * np.array([0.86, 0.58, 0.57], np.float32) * (light / 165.0)[..., None]
    amount = np.clip(look.lip_red, 0, 1)
    lips_rgb = 0.93 * skin_rgb * (1 - amount) + lip_color * amount
    if look.lip_red > 1:
        lips_rgb = lips_rgb * (
            1.0,
            1.0 - 0.45 * (look.lip_red - 1),
            1.0 - 0.30 * (look.lip_red - 1),
        )
    out = over(skin_rgb, lips_rgb.astype(np.float32), lip_mask)
    # Eyes keep their own colors, a little darker in a dark face.
    eye_light = 0.72 + 0.28 * look.skin_tone
    for ring in ((33, 160, 159, 158, 133, 153, 145, 144), (263, 387, 386, 385, 362, 380, 374, 373)):
        out = over(out, rgb * eye_light, soft(np.array([points[i] for i in ring]), 1.2))
    out = over(out, np.minimum(hair * 0.55, 110), _brow_mask(look, points, unit))
    if look.stubble > 0:
        beard = _beard_mask(points, unit) * (1 - lip_mask)
        grain = 1 + 0.25 * noise(rng, 0.8, 0.8)
        shade = np.array([0.55, 0.60, 0.66], np.float32)
        amount = (0.50 * look.stubble * beard * np.clip(grain, 0, 2))[..., None]
        out = out * (1 - amount + amount * shade)
    out = over(out, hair_rgb.astype(np.float32), is_hair)
    return np.clip(out, 0, 255).astype(np.float32)


def _mend_corner(rgb: Floats, points: Points) -> Floats:
    """Replaces the left corner of the mouth, in deep shade in the photograph, by the right one's mirror
    image."""
    right, left = points[61], points[291]
    radius = 0.30 * (left[0] - right[0])
    y, x = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float32)
    mask = np.exp(-((np.hypot(x - left[0], y - left[1]) / radius) ** 4)).astype(np.float32)
    mirrored = cv2.remap(rgb, np.float32(left[0] + right[0]) - x, y, cv2.INTER_LINEAR)
    return over(rgb, mirrored, mask)


@lru_cache(maxsize=1)
def _skin_of_portrait() -> Floats:
    """Mean color of the photograph's cheeks and chin."""
    source = portrait()
    patches = []
    for i in (50, 280, 205, 425, 199, 9):
        x, y = np.rint(source.points[i]).astype(int)
        patches.append(source.image[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3))
    return np.asarray(np.concatenate(patches).mean(0), np.float32)


def _brow_mask(look: Look, points: Points, unit: float) -> Floats:
    total = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    for ring in BROWS:
        ridge = np.array([points[i] for i in ring[:5]])
        thick = unit * 0.017 * look.brow_thickness
        profile = np.array([0.45, 0.9, 1.1, 1.15, 0.95])[:, None] * (0, thick)
        shift = (0, unit * 0.022)
        outline = np.vstack([ridge - profile + shift, (ridge + profile + shift)[::-1]])
        total = np.maximum(total, soft(outline, 0.012 * unit))
    return np.asarray(total * np.clip(0.30 + 0.33 * look.brow_thickness, 0, 0.75), np.float32)


def _beard_mask(points: Points, unit: float) -> Floats:
    ring = [points[i] for i in OVAL[3:21]]
    top = [points[454] * (0.85, 1) + points[234] * (0.15, 0), points[327], points[98],
           points[234] * (0.85, 1) + points[454] * (0.15, 0)]  # fmt: skip
    top[0][1] = top[3][1] = points[61][1] - 0.10 * unit
    return soft(np.array([*ring, *top]), 0.05 * unit)


def _moving_part(points: Points, outline: NDArray[np.float64], unit: float) -> Floats:
    """Returns how far each pixel follows the head: 1 on face and hair, 0 at the frame's edge."""
    ring = np.vstack([[points[i] for i in OVAL], outline])
    hull = cv2.convexHull(ring.astype(np.float32))[:, 0]
    middle = hull.mean(0)
    grown = middle + (hull - middle) * 1.12
    solid = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    cv2.fillConvexPoly(solid, grown.astype(np.int32), 1)
    away = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5) / (0.55 * unit)
    fall = np.clip(1 - away, 0, 1)
    return np.asarray(fall * fall * (3 - 2 * fall), np.float32)
