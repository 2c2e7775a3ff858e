"""Augmentation of training clips: LipNet's flips, frame jitter and single words, and light.

The functions are pure: they take uint8 RGB or gray frames and a seeded generator, and keep the order
of the frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from manifests.records import WordSpan

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """Strength of each augmentation; zeros change nothing.

    Attributes:
        flip: probability of a mirrored clip.
        shift: largest shift of the whole clip, as a share of its side.
        frame_jitter: probability per frame of being dropped or repeated (LipNet's 0.05).
        brightness, contrast: largest change, of full scale and of the spread.
        word_crop: probability at the first epoch that a clip is cut to a run of its words.
        word_crop_decay: factor of that probability per epoch (LipNet's curriculum).
        speed: largest relative change of the speed of speech; frames are left out or repeated evenly.
        time_mask_frames: longest run of frames that is replaced by the clip's mean frame, drawn once
            per second (Auto-AVSR masks up to 0.4 s, 10 frames).
        stretch: largest relative change of the width and of the height of the pictures, each drawn for
            itself: mouths are not of one shape.
        turn_degrees: largest turn about the middle of the picture.
    """

    flip: float = 0.5
    shift: float = 0.05
    frame_jitter: float = 0.05
    brightness: float = 0.08
    contrast: float = 0.15
    word_crop: float = 0.5
    word_crop_decay: float = 0.925
    speed: float = 0.0
    time_mask_frames: int = 0
    stretch: float = 0.0
    turn_degrees: float = 0.0


NONE = Augmentation(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Variation:
    """The numbers drawn for a clip: the same flip, shift, light and shape for all its frames.

    Attributes:
        flip: whether it is mirrored.
        down, right: pixels by which the view moves; edges are repeated.
        gain, lift: of the gray levels about 127.5.
        wide, high, turn_degrees: factors of width and height about the middle, then the turn.
    """

    flip: bool = False
    down: int = 0
    right: int = 0
    gain: float = 1.0
    lift: float = 0.0
    wide: float = 1.0
    high: float = 1.0
    turn_degrees: float = 0.0

    def places(self, side: int, shift: int, flip: bool = False) -> NDArray[np.int64]:
        """(side,) which row or column of the picture each one of the view shows."""
        places = np.clip(np.arange(side) + shift, 0, side - 1)
        return side - 1 - places if flip else places

    def table(self) -> NDArray[np.uint8]:
        """(256,) new gray levels: a table instead of arithmetic on every pixel."""
        levels = np.round((np.arange(256) - 127.5) * self.gain + 127.5 + self.lift)
        return np.clip(levels, 0, 255).astype(np.uint8)

    @property
    def reshapes(self) -> bool:
        """Whether pixels are interpolated, and not only moved."""
        return (self.wide, self.high, self.turn_degrees) != (1.0, 1.0, 0.0)

    def linear(self) -> NDArray[np.float64]:
        """(2, 2) matrix from places of the view to places of the picture, (x, y) about the middle."""
        angle = np.deg2rad(self.turn_degrees)
        back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return np.asarray(back / np.array([[self.wide], [self.high]]))

    def numbers(self) -> NDArray[np.float64]:
        """(8,) for a batch that varies later; `Variation.of` reads them."""
        return np.array([float(value) for value in astuple(self)])

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Variation:
        """The inverse of `numbers`."""
        flip, down, right, *rest = numbers
        return cls(bool(flip), int(down), int(right), *rest)


def drawn(how: Augmentation, side: int, rng: np.random.Generator) -> Variation:
    """Draws the variation of a clip of square pictures."""
    flip = bool(rng.random() < how.flip)
    reach = round(how.shift * side)
    down, right = rng.integers(0, 2 * reach + 1, size=2) - reach if reach else (0, 0)
    gain = 1 + how.contrast * rng.uniform(-1, 1)
    lift = 255 * how.brightness * rng.uniform(-1, 1)
    wide, high = 1 + how.stretch * rng.uniform(-1, 1, 2) if how.stretch else (1.0, 1.0)
    turn_degrees = how.turn_degrees * rng.uniform(-1, 1) if how.turn_degrees else 0.0
    return Variation(
        flip, int(down), int(right), gain, lift, float(wide), float(high), turn_degrees
    )


def varied(frames: Frames, by: Variation) -> Frames:
    """Applies flip, shift, shape and light, the same for all frames of a clip of square pictures:
    (T, H, W, C) → the same shape, in memory of its own."""
    if by.flip:
        frames = frames[:, :, ::-1]
    frames = _moved(_moved(frames, by.down, 1), by.right, 2)
    frames = np.ascontiguousarray(frames)
    if by.reshapes:
        frames = _reshaped(frames, by)
    if by.gain != 1 or by.lift:
        # OpenCV's table is ten times as fast as NumPy's indexing.
        frames = cv2.LUT(frames.reshape(len(frames), -1), by.table()).reshape(frames.shape)
    return frames


def _moved(frames: Frames, shift: int, axis: int) -> Frames:
    """The view moved along an axis, the edge repeated."""
    if not shift:
        return frames
    side = frames.shape[axis]
    places = np.clip(np.arange(side) + shift, 0, side - 1)
    return np.take(frames, places, axis=axis)


def _reshaped(frames: Frames, by: Variation) -> Frames:
    """(T, H, H, C) frames stretched and turned about their middle, edges repeated."""
    side = frames.shape[1]
    linear, middle = by.linear(), np.full(2, (side - 1) / 2)
    matrix = np.hstack([linear, (middle - linear @ middle)[:, None]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    made = np.empty_like(frames)
    for frame, out in zip(frames, made, strict=True):
        turned = cv2.warpAffine(
            frame, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        out[...] = turned.reshape(out.shape)
    return made


def vary_batch(pictures: torch.Tensor, variations: torch.Tensor) -> torch.Tensor:
    """Varies a batch as `varied` varies a clip, where the batch is, such as on a GPU.

    Args:
        pictures: (B, C, …, H, W) uint8.
        variations: (B, 8) `Variation.numbers`, on the CPU.

    Returns:
        The same shape, uint8.
    """
    made = torch.empty_like(pictures)
    height, width = pictures.shape[-2:]
    chosen = [Variation.of(values) for values in variations.tolist()]
    # All numbers cross to the GPU at once: each crossing waits for what it still does.
    rows, columns, tables = (
        torch.from_numpy(np.stack(values)).to(pictures.device)
        for values in (
            [by.places(height, by.down) for by in chosen],
            [by.places(width, by.right, by.flip) for by in chosen],
            [by.table() for by in chosen],
        )
    )
    for number, picture in enumerate(pictures):
        moved = picture.index_select(-2, rows[number]).index_select(-1, columns[number])
        if chosen[number].reshapes:
            moved = _reshaped_tensor(moved, chosen[number])
        made[number] = tables[number][moved.long()]
    return made


def _reshaped_tensor(picture: torch.Tensor, by: Variation) -> torch.Tensor:
    """(C, …, H, H) uint8 stretched and turned as `_reshaped` does it, to a gray level."""
    planes = picture.reshape(1, -1, *picture.shape[-2:]).float()
    # Its places run from −1 to 1 over the picture: the matrix about the middle is the same.
    matrix = np.hstack([by.linear(), np.zeros((2, 1))])[None]
    theta = torch.tensor(matrix, dtype=torch.float32, device=picture.device)
    grid = functional.affine_grid(theta, list(planes.shape), align_corners=False)
    turned = functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    return turned.round().to(torch.uint8).reshape(picture.shape)


def jittered_times(n_frames: int, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Returns (n_frames,) indices of the frames to show: some dropped, as many repeated, in order, so
    that the clip keeps its length."""
    times = np.arange(n_frames)
    n = min(int(rng.binomial(n_frames, share)) if share else 0, n_frames - 1)
    if n == 0:
        return times
    kept = np.sort(rng.choice(n_frames, n_frames - n, replace=False))
    repeated = kept[rng.integers(0, len(kept), n)]
    return np.sort(np.concatenate([kept, repeated]))


def resampled_times(n_frames: int, change: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Returns the indices of the frames to show, evenly spaced, for a clip that is spoken up to
    `change` faster or slower."""
    n_shown = max(round(n_frames / (1 + change * rng.uniform(-1, 1))), 1)
    return np.floor((np.arange(n_shown) + 0.5) * n_frames / n_shown).astype(np.int64)


def mask_time(frames: Frames, longest: int, rng: np.random.Generator) -> Frames:
    """Replaces runs of up to `longest` frames by the mean frame, one per second of 25 frames:
    (T, H, W, C) → the same shape. Sequences shorter than a second, such as single words, stay."""
    n_masks = len(frames) // 25
    if n_masks == 0:
        return frames
    masked = frames.copy()
    mean = frames.mean(axis=0)
    for _ in range(n_masks):
        length = int(rng.integers(0, longest + 1))
        start = int(rng.integers(0, max(len(frames) - length, 1)))
        masked[start : start + length] = mean
    return masked


def some_words(
    words: Sequence[WordSpan], probability: float, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Draws a run of words [first, last) to cut a clip to, or None for the whole clip."""
    if not words or rng.random() >= probability:
        return None
    length = int(rng.integers(1, len(words) + 1))
    first = int(rng.integers(0, len(words) - length + 1))
    return first, first + length
