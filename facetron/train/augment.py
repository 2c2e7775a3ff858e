"""Augmentation of training clips: LipNet's flips, frame jitter and single words, and light.

The functions are pure: they take uint8 RGB or gray frames and a seeded generator, and keep the order
of the frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


NONE = Augmentation(0, 0, 0, 0, 0, 0)


def vary_picture(frames: Frames, how: Augmentation, rng: np.random.Generator) -> Frames:
    """Applies flip, shift and light, the same for all frames of a clip: (T, H, W, C) → the same shape."""
    if rng.random() < how.flip:
        frames = frames[:, :, ::-1]
    reach = round(how.shift * frames.shape[1])
    if reach:
        down, right = rng.integers(0, 2 * reach + 1, size=2)
        height, width = frames.shape[1:3]
        padded = np.pad(frames, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
        frames = padded[:, down : down + height, right : right + width]
    gain = 1 + how.contrast * rng.uniform(-1, 1)
    lift = 255 * how.brightness * rng.uniform(-1, 1)
    if how.contrast or how.brightness:
        # A table of 256 values instead of arithmetic on every pixel.
        table = np.clip(np.round((np.arange(256) - 127.5) * gain + 127.5 + lift), 0, 255)
        frames = table.astype(np.uint8)[frames]
    return np.ascontiguousarray(frames)


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
