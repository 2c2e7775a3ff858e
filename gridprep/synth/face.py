"""Renders a speaker's clip: mouth, blinks, head motion and sensor noise over 75 frames."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from gridprep.synth.mouth import Mouth
from gridprep.synth.scenery import FRAME_HEIGHT_PX, FRAME_WIDTH_PX, SUPER
from gridprep.synth.speakers import SyntheticSpeaker
from gridprep.synth.texture import make_texture
from manifests.records import POINT_NAMES
from manifests.specs import CLIP_FRAMES

Floats = NDArray[np.float32]

POINT_INDEX: dict[str, int] = {
    "right_eye_outer": 33, "right_eye_inner": 133, "left_eye_inner": 362, "left_eye_outer": 263,
    "nose_bridge": 168, "nose_tip": 4, "nose_base": 2, "mouth_right": 61, "mouth_left": 291,
    "lip_top_outer": 0, "lip_bottom_outer": 17, "lip_top_inner": 13, "lip_bottom_inner": 14,
    "lip_upper_right": 37, "lip_upper_left": 267, "lip_lower_right": 84, "lip_lower_left": 314,
    "chin": 152, "jaw_right": 172, "jaw_left": 397,
}  # fmt: skip
"""Named points → FaceMesh indices."""
EYES = ((33, 133, 159, 145, 105), (263, 362, 386, 374, 334))
"""Per eye: outer and inner corner, middles of the upper and lower lid, brow."""
NOISE_SIGMA = 1.6
NOISE_FRAMES = 8


class Eye:
    """An eyelid that closes: between brow and lid the skin is stretched down, the eye stays put."""

    def __init__(
        self,
        image: NDArray[np.uint8],
        points: dict[int, NDArray[np.float64]],
        ring: tuple[int, ...],
    ) -> None:
        outer, inner, top, bottom, brow = (points[i] for i in ring)
        left, right = sorted((outer[0], inner[0]))
        self.x0, self.x1 = int(left) - 2, int(right) + 3
        self.y0, self.y1 = int(brow[1]) + 4, int(bottom[1]) + 5
        self.source = np.ascontiguousarray(image[self.y0 : self.y1, self.x0 : self.x1])
        x = np.arange(self.x0, self.x1, dtype=np.float32)
        self.y = np.arange(self.y0, self.y1, dtype=np.float32)[:, None]
        u = np.clip((x - (left + right) / 2) / ((right - left) / 2), -1, 1)
        line = inner[1] + (outer[1] - inner[1]) * (x - inner[0]) / (outer[0] - inner[0])
        arch = 1 - u * u
        self.top = (line + (top[1] - 1.0 - line) * arch).astype(np.float32)
        self.bottom = (line + (bottom[1] + 1.5 - line) * arch).astype(np.float32)
        self.map_x = np.broadcast_to(x - self.x0, self.source.shape[:2]).astype(np.float32)

    def draw(self, closed: float) -> NDArray[np.uint8]:
        lid = self.top + closed * (self.bottom - self.top)
        stretched = self.y0 + (self.y - self.y0) * (self.top - self.y0) / np.maximum(
            lid - self.y0, 1
        )
        map_y = np.where(self.y < lid, stretched, self.y) - self.y0
        return np.asarray(
            cv2.remap(
                self.source,
                self.map_x,
                map_y.astype(np.float32),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )


class Face:
    """A speaker ready to be filmed; build once, `film` many clips."""

    def __init__(self, person: SyntheticSpeaker, seed: int) -> None:
        number = int(person.speaker[1:])
        self.texture = make_texture(person.look, seed * 100 + number)
        self.mouth = Mouth(self.texture)
        self.eyes = [Eye(self.texture.image, self.texture.points_px, ring) for ring in EYES]
        y, x = np.mgrid[0:FRAME_HEIGHT_PX, 0:FRAME_WIDTH_PX].astype(np.float32)
        half = np.float32((SUPER - 1) / 2)
        self.x, self.y = x * np.float32(SUPER) + half, y * np.float32(SUPER) + half
        head = cv2.remap(self.texture.head, self.x, self.y, cv2.INTER_LINEAR)
        pivot = self.texture.points_px[152] + (0, 0.25 * self.texture.unit_px)
        self.pivot = pivot.astype(np.float32)
        self.head = head
        self.head_x, self.head_y = head * (self.x - pivot[0]), head * (self.y - pivot[1])
        self.head_x, self.head_y = self.head_x.astype(np.float32), self.head_y.astype(np.float32)

    def film(
        self, poses: Floats, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Films a clip.

        Args:
            poses: (75, 8) mouth poses from `visemes.mouth_poses`.
            rng: decides blinks, head motion and noise.

        Returns: (75, 288, 360, 3) uint8 RGB and the true named points, (75, N, 2) in pixels.
        """
        motion, blinks = head_motion(rng), blink_track(rng)
        frames = np.empty((CLIP_FRAMES, FRAME_HEIGHT_PX, FRAME_WIDTH_PX, 3), np.uint8)
        points = np.empty((CLIP_FRAMES, len(POINT_NAMES), 2), np.float32)
        picture = self.texture.image.copy()
        mouth = self.mouth
        shifts = rng.integers(0, 16, (CLIP_FRAMES, 3))
        map_x, map_y, part = np.empty_like(self.x), np.empty_like(self.y), np.empty_like(self.x)
        lighter, darker = sensor_noise()
        for k in range(CLIP_FRAMES):
            picture[mouth.y0 : mouth.y1, mouth.x0 : mouth.x1] = mouth.draw(poses[k])
            for eye in self.eyes:
                picture[eye.y0 : eye.y1, eye.x0 : eye.x1] = eye.draw(float(blinks[k]))
            a, b, move_x, move_y = _inverse(*motion[k])
            # x + (a-1) head_x - b head_y + move_x head, without six new arrays for every frame.
            np.add(self.x, np.multiply(self.head_x, a - 1, out=part), out=map_x)
            np.subtract(map_x, np.multiply(self.head_y, b, out=part), out=map_x)
            np.add(map_x, np.multiply(self.head, move_x, out=part), out=map_x)
            np.add(self.y, np.multiply(self.head_x, b, out=part), out=map_y)
            np.add(map_y, np.multiply(self.head_y, a - 1, out=part), out=map_y)
            np.add(map_y, np.multiply(self.head, move_y, out=part), out=map_y)
            frame = cv2.remap(
                picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            dy, dx, which = shifts[k]
            window = np.s_[
                which % NOISE_FRAMES, dy : dy + FRAME_HEIGHT_PX, dx : dx + FRAME_WIDTH_PX
            ]
            cv2.add(frame, lighter[window], dst=frame)
            cv2.subtract(frame, darker[window], dst=frames[k])
            points[k] = self._points(poses[k], motion[k])
        return frames, points

    def _points(self, pose: Floats, motion: NDArray[np.float64]) -> Floats:
        """(N, 2) true points in pixels of the frame."""
        texture = self.texture
        lips = self.mouth.lip_points(pose)
        face = [lips.get(POINT_INDEX[n], texture.shape.points[POINT_INDEX[n]]) for n in POINT_NAMES]
        at = np.array(face) * texture.unit_px + texture.center_px - self.pivot
        angle, scale, move_x, move_y = motion
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        turned = np.column_stack([cos * at[:, 0] - sin * at[:, 1], sin * at[:, 0] + cos * at[:, 1]])
        frame = turned + self.pivot + (move_x, move_y)
        return np.asarray((frame - (SUPER - 1) / 2) / SUPER, np.float32)


def _inverse(
    angle: float, scale: float, move_x: float, move_y: float
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """The head's motion backwards: picture = [a -b; b a] (frame - pivot) + move + pivot."""
    a, b = np.cos(-angle) / scale, np.sin(-angle) / scale
    back_x, back_y = -(a * move_x - b * move_y), -(b * move_x + a * move_y)
    return np.float32(a), np.float32(b), np.float32(back_x), np.float32(back_y)


def head_motion(rng: np.random.Generator) -> NDArray[np.float64]:
    """(75, 4): angle in radians, scale, shift in x and y (texture pixels); slow and small."""
    time = np.arange(CLIP_FRAMES) / CLIP_FRAMES
    size = np.array([np.radians(1.1), 0.006, 1.6 * SUPER, 1.1 * SUPER])
    track = np.zeros((CLIP_FRAMES, 4))
    for cycles in (0.5, 1.1, 2.3):
        phase = rng.uniform(0, 2 * np.pi, 4)
        track += (
            np.sin(2 * np.pi * cycles * time[:, None] + phase)
            * rng.uniform(0.2, 1, 4)
            / (0.7 + cycles)
        )
    offset = rng.normal(0, [np.radians(0.5), 0.004, 2.0 * SUPER, 1.2 * SUPER])
    limit = np.array([np.radians(2), 0.015, 5 * SUPER, 3.5 * SUPER])
    track = np.clip(track * size + offset, -limit, limit)
    return np.asarray(track + np.array([0, 1, 0, 0]), np.float64)


def blink_track(rng: np.random.Generator) -> NDArray[np.float64]:
    """(75,) eyelid closure 0–1: none, one or two blinks of five frames."""
    closed = np.zeros(CLIP_FRAMES)
    for _ in range(int(rng.choice(3, p=[0.35, 0.5, 0.15]))):
        start = int(rng.integers(0, CLIP_FRAMES - 5))
        closed[start : start + 5] = np.maximum(
            closed[start : start + 5], [0.45, 0.95, 1.0, 0.7, 0.3]
        )
    return closed


@lru_cache(maxsize=1)
def sensor_noise() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(8, 304, 376, 3) pictures of noise, what it adds and what it takes away; every frame gets a
    window of one, drawn for the clip. (OpenCV adds bytes to bytes 30 times as fast as signed ones.)"""
    rng = np.random.default_rng(5)
    shape = (NOISE_FRAMES, FRAME_HEIGHT_PX + 16, FRAME_WIDTH_PX + 16, 3)
    noise = np.asarray((rng.standard_normal(shape, np.float32) * NOISE_SIGMA).round(), np.int8)
    return np.maximum(noise, 0).astype(np.uint8), np.maximum(-noise, 0).astype(np.uint8)


@lru_cache(maxsize=2)
def face_of(person: SyntheticSpeaker, seed: int) -> Face:
    """The face of a speaker, kept for the next clip."""
    return Face(person, seed)
