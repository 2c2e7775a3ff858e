"""An estimate of the offset between picture and sound that needs no model: lip opening against energy.

GRID's asynchrony varies by clip (Niu & Mak, arXiv 2303.00502). Energy peaks where the mouth is open, so
the lag that maximises the correlation of the two is the offset; the correlation itself says how far to
trust it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_LAG_FRAMES = 10


def av_offset(
    opening: NDArray[np.floating[Any]],
    energy: NDArray[np.floating[Any]],
    max_lag_frames: int = MAX_LAG_FRAMES,
) -> tuple[int, float]:
    """The lag at which lip opening and energy agree best.

    Args:
        opening: (T,) distance between the lips per video frame.
        energy: (T,) root mean square of the sound per video frame.

    Returns: (video frames by which the sound comes after the lips, Pearson correlation at that lag);
        (0, 0.0) where one of the two does not move.
    """
    n = min(len(opening), len(energy))
    lips = np.asarray(opening[:n], np.float64)
    # Loudness: speech energy spans decades, lip opening does not.
    sound = np.log10(np.asarray(energy[:n], np.float64) + 1e-4)
    best, best_correlation = 0, 0.0
    for lag in range(-max_lag_frames, max_lag_frames + 1):
        a = lips[max(0, -lag) : n - max(0, lag)]
        b = sound[max(0, lag) : n - max(0, -lag)]
        if a.std() < 1e-9 or b.std() < 1e-9:
            continue
        correlation = float(np.corrcoef(a, b)[0, 1])
        if correlation > best_correlation:
            best, best_correlation = lag, correlation
    return best, best_correlation
