"""The moving mouth: lips and jaw bent out of the resting picture, teeth and tongue painted between.

Every column of the mouth's part of the picture is stretched on its own, piecewise, between six
heights: below the nose, the outer and inner edge of each lip, the chin. That can neither fold nor tear,
and it closes the portrait's smile as well as it opens the jaw.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gridprep.synth.geometry import (
    INNER_POWER,
    LOWER_INNER,
    LOWER_OUTER,
    LOWER_POWER,
    UPPER_INNER,
    UPPER_OUTER,
    UPPER_POWER,
    lip_edge,
)
from gridprep.synth.texture import Texture

Floats = NDArray[np.floating[Any]]

FULL_GAP = 0.150
"""Opening of the lips at gap 1, in face widths."""
JAW_SHARE, LIFT_SHARE, CORNER_SHARE = 0.74, 0.20, 0.30
"""Parts of the opening by which the chin drops, the upper lip rises and the corners drop."""
CLOSED_Y = 0.006
"""Where the lips meet, below the corners' resting height."""
SEAM, SEAM_POWER = 0.006, 0.45
"""Left out of the picture around the portrait's teeth, most at the shaded corners of its smile."""
CAVITY = np.array([40, 14, 16], np.float32)
TEETH = np.array([226, 214, 198], np.float32)
TONGUE = np.array([168, 78, 78], np.float32)


def _smooth(x: Floats) -> Floats:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


class Edges:
    """The four lip edges of one pose, in face units."""

    def __init__(self, mouth_half: float, fullness: tuple[float, float], pose: Floats) -> None:
        gap, wide, rounded, tuck, self.teeth, self.lower_teeth, self.tongue, press = map(
            float, pose
        )
        self.opening = gap * FULL_GAP
        self.half = mouth_half * (1 + 0.17 * wide - 0.36 * rounded - 0.10 * gap * (1 - rounded))
        self.corner = CORNER_SHARE * self.opening
        self.upper_inner = CLOSED_Y - LIFT_SHARE * self.opening - 0.006 * tuck
        self.lower_inner = self.upper_inner + self.opening
        thick = 1 + 0.30 * rounded - 0.42 * press - 0.12 * max(wide, 0) - 0.12 * gap
        self.upper_outer = self.upper_inner - fullness[0] * thick
        self.lower_outer = self.lower_inner + fullness[1] * max(thick - 0.5 * tuck, 0.3)
        self.jaw = JAW_SHARE * self.opening + 0.012 * rounded * gap
        # Rounded lips are nearer to a circle than spread ones.
        self.inner_power = INNER_POWER - 0.35 * rounded
        self.outer_powers = (UPPER_POWER - 0.15 * rounded, LOWER_POWER - 0.1 * rounded)

    def at(self, u: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Heights below the resting corners of upper outer, upper inner, lower inner, lower outer."""
        corner = self.corner
        upper = corner + lip_edge(u, self.upper_outer - corner, self.outer_powers[0])
        lower = corner + lip_edge(u, self.lower_outer - corner, self.outer_powers[1])
        upper_inner = corner + lip_edge(u, self.upper_inner - corner, self.inner_power)
        lower_inner = corner + lip_edge(u, self.lower_inner - corner, self.inner_power)
        return upper, np.maximum(upper_inner, upper), np.minimum(lower_inner, lower), lower


class Mouth:
    """The mouth of one speaker.

    Args:
        texture: the speaker's resting picture.
    """

    def __init__(self, texture: Texture) -> None:
        self.texture = texture
        shape, unit = texture.shape, texture.unit_px
        self.rest = shape.mouth
        points = shape.points
        self.top_y = float(points[2][1]) + 0.01
        self.chin_y = float(points[152][1])
        self.neck_y = self.chin_y + 0.30
        self.fullness = (
            0.80 * (self.rest.upper_inner - self.rest.upper_outer) + 0.010,
            0.95 * (self.rest.lower_outer - self.rest.lower_inner),
        )
        cx, cy = texture.center_px
        height, width = texture.image.shape[:2]
        self.x0 = max(int(cx - 0.45 * unit), 0)
        self.x1 = min(int(cx + 0.45 * unit) + 1, width)
        self.y0 = max(int(cy + self.top_y * unit), 0)
        self.y1 = min(int(cy + self.neck_y * unit) + 1, height)
        self.x = ((np.arange(self.x0, self.x1) - cx) / unit).astype(np.float32)
        self.y = ((np.arange(self.y0, self.y1) - cy) / unit).astype(np.float32)
        self.source = np.ascontiguousarray(texture.image[self.y0 : self.y1, self.x0 : self.x1])
        away = np.abs(self.x)
        self.jaw_fade = 1 - _smooth((away - 0.12) / 0.32)
        mouth_y = self.rest.corner_y
        self.side_fade = (
            _smooth((self.y - self.top_y) / max(mouth_y - 0.07 - self.top_y, 0.02))
            * (1 - _smooth((self.y - mouth_y - 0.10) / 0.11))
        )[:, None]
        # How far along the lips each lip point lies, for the ground truth.
        rows = ((0, UPPER_OUTER), (13, UPPER_INNER), (14, LOWER_INNER), (17, LOWER_OUTER))
        lips = [
            (i, row) for row, (middle, pairs) in enumerate(rows) for i in (middle, *np.ravel(pairs))
        ]
        self.lip_indices = [int(i) for i, _ in lips]
        self.lip_rows = np.array([row for _, row in lips])
        self.lip_along = np.array(
            [np.clip(points[int(i)][0] / self.rest.half_width, -1, 1) for i, _ in lips], np.float32
        )

    def edges(self, pose: Floats) -> Edges:
        return Edges(self.rest.half_width, self.fullness, pose)

    def draw(self, pose: Floats) -> NDArray[np.uint8]:
        """The mouth's part of the picture, (y1 - y0, x1 - x0, 3), in the given pose."""
        edges = self.edges(pose)
        rest, x, y = self.rest, self.x, self.y[:, None]
        away, half = np.abs(x), edges.half
        limit = 0.36
        inside = away <= half
        reach = np.where(
            inside,
            away * (rest.half_width / half),
            rest.half_width + (away - half) * ((limit - rest.half_width) / (limit - half)),
        )
        source_x = np.where(away < limit, np.copysign(reach, x), x)
        u = np.clip(x / half, -1, 1)
        fade = np.where(inside, 1.0, 1 - _smooth((away - half) / (0.38 - half)))
        target: list[Floats] = [rest.corner_y + e * fade for e in edges.at(u)]
        source: list[Floats] = [
            rest.corner_y + lip_edge(u, height, power)
            for height, power in (
                (rest.upper_outer, UPPER_POWER),
                (rest.upper_inner - SEAM, SEAM_POWER),
                (rest.lower_inner + SEAM, SEAM_POWER),
                (rest.lower_outer, LOWER_POWER),
            )
        ]
        map_y = self._bend(y, target, source, edges.jaw)
        map_x = x + self.side_fade * (source_x - x)
        unit, (cx, cy) = self.texture.unit_px, self.texture.center_px
        picture: NDArray[np.uint8] = cv2.remap(
            self.source,
            (map_x * unit + (cx - self.x0)).astype(np.float32),
            (map_y * unit + (cy - self.y0)).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if edges.opening * unit > 0.3:
            self._fill(picture, edges, u, target)
        return picture

    def _bend(self, y: Floats, target: list[Floats], source: list[Floats], jaw: float) -> Floats:
        """Source height of every pixel: piecewise linear between the knots of its column."""
        tiny = 1e-4
        t_uo, t_ui, t_li, t_lo = target
        s_uo, s_ui, s_li, s_lo = source
        t_chin = self.chin_y + jaw * self.jaw_fade
        first = np.maximum(t_uo - self.top_y, tiny)
        second = np.maximum(t_ui - t_uo, tiny)
        # Every pixel is of the upper or of the lower lip's side; only rows that the middle of the
        # mouth crosses hold both.
        middle = (t_ui + t_li) / 2
        above, below = np.searchsorted(y[:, 0], (middle.min(), middle.max()))
        whole_y, y = y, y[:below]
        upper = self.top_y + np.minimum(y - self.top_y, first) * ((s_uo - self.top_y) / first)
        upper += np.clip(y - t_uo, 0, second) * ((s_ui - s_uo) / second)
        third = np.maximum(t_lo - t_li, tiny)
        fourth = np.maximum(t_chin - t_lo, tiny)
        fifth = self.neck_y - t_chin
        y = whole_y[above:]
        lower = s_li + np.clip(y - t_li, 0, third) * ((s_lo - s_li) / third)
        lower += np.clip(y - t_lo, 0, fourth) * ((self.chin_y - s_lo) / fourth)
        lower += np.maximum(y - t_chin, 0) * ((self.neck_y - self.chin_y) / fifth)
        mixed = whole_y[above:below] < middle
        both = np.where(mixed, upper[above:], lower[: below - above])
        bent = np.concatenate([upper[:above], both, lower[below - above :]])
        return np.asarray(bent, np.float32)

    def _fill(
        self, picture: NDArray[np.uint8], edges: Edges, u: Floats, target: list[Floats]
    ) -> None:
        """Paints cavity, lower teeth, tongue and upper teeth between the lips."""
        unit = self.texture.unit_px
        _, t_ui, t_li, _ = target
        columns = np.flatnonzero(np.abs(u) < 1)
        left, right = int(columns[0]), int(columns[-1]) + 1
        u, t_ui, t_li = u[left:right], t_ui[left:right], t_li[left:right]
        top = max(int(np.searchsorted(self.y, t_ui.min())) - 1, 0)
        bottom = min(int(np.searchsorted(self.y, t_li.max())) + 2, len(self.y))
        y = self.y[top:bottom, None]

        def above(line: Floats | float) -> Floats:
            return np.asarray(np.clip((line - y) * unit + 0.5, 0, 1), np.float32)

        cover = (1 - above(t_ui)) * above(t_li)
        base_y, opening = self.rest.corner_y, edges.opening
        upper_y, lower_y = base_y + edges.upper_inner, base_y + edges.lower_inner
        depth = np.clip((y - t_ui) / (0.35 * FULL_GAP), 0, 1)
        shade = (1 - 0.45 * u * u) * np.ones_like(y)
        color = CAVITY * (1.25 - 0.5 * depth)[..., None]

        def paint(value: Floats, mask: Floats) -> None:
            nonlocal color
            color = color + (value - color) * mask[..., None]

        gaps = 1 - 0.16 * np.clip(np.cos(u * edges.half * 2 * np.pi / 0.052) * 4 - 3, 0, 1)
        round_teeth = np.clip((0.86 - np.abs(u)) * 6, 0, 1)
        if edges.lower_teeth > 0.02:
            line = lower_y - 0.034 * edges.lower_teeth * (1 - 0.3 * u * u)
            paint(TEETH * (0.80 * shade * gaps)[..., None], (1 - above(line)) * round_teeth)
        if edges.tongue > 0.02:
            height = (0.10 + 0.80 * edges.tongue) * opening
            line = lower_y - height * np.sqrt(np.clip(1 - (u / 0.78) ** 2, 0, 1)) + 0.004
            lit = 0.62 + 0.38 * edges.tongue
            paint(TONGUE * (lit * shade)[..., None], (1 - above(line)) * (np.abs(u) < 0.78))
        if edges.teeth > 0.02:
            line = upper_y + 0.050 * edges.teeth * (1 - 0.35 * u * u)
            lit = (0.74 + 0.26 * depth) * shade * gaps
            paint(TEETH * lit[..., None], above(line) * round_teeth)
        part = picture[top:bottom, left:right]
        part[:] = (part + (color - part) * cover[..., None] + 0.5).astype(np.uint8)

    def lip_points(self, pose: Floats) -> dict[int, NDArray[np.float64]]:
        """FaceMesh index → position in face units of the lip points and the chin."""
        edges = self.edges(pose)
        heights = np.stack(edges.at(self.lip_along))[self.lip_rows, np.arange(len(self.lip_rows))]
        at = np.column_stack([self.lip_along * edges.half, self.rest.corner_y + heights])
        found = dict(zip(self.lip_indices, at.astype(np.float64), strict=True))
        found[152] = np.array([0.0, self.chin_y + edges.jaw])
        return found
