"""Mels as pictures, for training logs and the demo page."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput

Mel = NDArray[np.floating[Any]]
Picture = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""

GAP_PX = 2


def color_range(mel: Mel) -> tuple[float, float]:
    """The values that the scale of a picture ends at. Mels to be compared share one scale, that of
    the real mel."""
    low, high = (float(value) for value in np.percentile(mel, [2, 99.9]))
    return low, max(high, low + 1e-3)


def mel_picture(mel: Mel, scale: tuple[float, float], zoom: int = 1) -> Picture:
    """Low bands at the bottom, from black (`scale[0]` and less) to light yellow.

    Args:
        mel: (n_mels, T). What is no number is drawn as the lowest value.
        zoom: side of a value in pixels.

    Returns:
        (n_mels · zoom, T · zoom, 3).

    Raises:
        BadInput: another shape.
    """
    import cv2

    if mel.ndim != 2 or 0 in mel.shape:
        raise BadInput(f"a mel of shape {mel.shape}", "pass (n_mels, frames)")
    low, high = scale
    level = np.nan_to_num((mel - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    gray = np.rint(level.clip(0, 1) * 255).astype(np.uint8)[::-1]
    gray = np.ascontiguousarray(gray.repeat(zoom, axis=0).repeat(zoom, axis=1))
    colored = cv2.applyColorMap(gray, cv2.COLORMAP_MAGMA)
    return np.asarray(cv2.cvtColor(colored, cv2.COLOR_BGR2RGB), np.uint8)


def above(real: Mel, made: Mel, zoom: int = 1) -> Picture:
    """The real mel above the made one, on the real one's scale, a white line between them."""
    scale = color_range(real)
    upper, lower = mel_picture(real, scale, zoom), mel_picture(made, scale, zoom)
    width = max(upper.shape[1], lower.shape[1])
    padded = [np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0))) for p in (upper, lower)]
    line = np.full((GAP_PX * zoom, width, 3), 255, np.uint8)
    return np.concatenate([padded[0], line, padded[1]])
