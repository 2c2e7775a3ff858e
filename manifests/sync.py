"""Estimate of the offset between picture and sound without a model, from lip height and loudness.

GRID's asynchrony varies by clip (Niu & Mak, arXiv 2303.00502). Syllables open the mouth and sound at the
same time, so the lag that maximizes the correlation of the two is the offset, once both have lost what
is slower than a syllable: the sentence as a whole is loud, and lips that part before it or rest open
after it pull a plain correlation frames away.

Measured on 1,036 real clips of ten speakers (929 of them s1; MediaPipe landmarks). "Gross" is the share
of clips further than 2 frames from their speaker's median, "spread" the median distance from it:

| lips ~ sound | gross s1 | gross others | spread s1 | spread others |
|---|---|---|---|---|
| inner gap ~ log energy, as they are | 29 % | 63 % | 0.66 | 2.60 |
| inner gap ~ log energy, high-passed | 26 % | 21 % | 0.58 | 0.49 |
| inner gap ~ log energy 300–3400 Hz, high-passed | 19 % | 24 % | 0.49 | 0.49 |
| outer height ~ log energy 300–3400 Hz, high-passed | 17 % | 10 % | 0.47 | 0.32 |
| speed of both lips ~ change of log energy 300–3400 Hz | 16 % | 20 % | 0.46 | 0.41 |
| outer height ~ log energy 300–3400 Hz, phase transform | 31 % | 38 % | 0.72 | 0.90 |
| outer height ~ mean log-mel, high-passed | 9 % | 5 % | 0.41 | 0.25 |
| the same with `LAG_COST` (this file) | 3 % | 2 % | 0.38 | 0.24 |

The constants below were chosen on 307 of these clips; neighboring values do much the same.

With a margin of `CONFIDENT_MARGIN` or more (86 % of the clips) 0.5 % are gross. On some 200 clips that are
not gross, sound moved by 2, 4, 6 or 8 frames either way moves the estimate as far, within one frame, in
99, 97, 94 and 88 %, and in 99 % or more of those that are confident then (8 frames: 98 %).

The check that does not depend on any of this is the release of a bilabial, where the lips part as the
burst sounds. Over 292 clear releases (blue, by, place, please; both answers within 3 frames, confident)
it puts the sound 0.2 frames (9 ms) later than the estimate does, for s1 as for the others, and release by
release the two correlate by 0.57: the medians of −0.7 frames for s1 and −0.7 … 0.1 for the others are
the recordings' own rather than a bias of the estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.records import POINT_NAMES
from manifests.specs import VIDEO_FPS

MAX_LAG_FRAMES = 10

SYLLABLE_HZ = 1.5
"""Slower movement than this belongs to the sentence, not to its syllables (2 to 5 per second)."""

SPEECH_RANGE = 5.0
"""Log-mel this far (43 dB) under the clip's loudest is taken for silence."""

LAG_COST = 0.03
"""Share of the correlation that a candidate loses per frame of lag. GRID's words follow each other every
6 to 8 frames, so the next word over correlates too; real offsets are small, but one of 8 frames still
wins if its correlation is a third better."""

RIVAL_FRAMES = 3
"""A second peak at least this far off is another answer, not the flank of the first."""

CONFIDENT_MARGIN = 0.15

EDGE_FRAMES = 9
"""Number of frames that are mirrored at either end before filtering."""

MATRIX_FRAMES = 250
"""Most frames of a clip that is filtered by a matrix; those of longer videos would fill the memory."""


@dataclass(frozen=True)
class AvOffset:
    """The offset of a clip's sound against its picture.

    Attributes:
        frames: video frames by which the sound comes after the lips, to a fraction of a frame.
        correlation: Pearson correlation of lips and sound at that lag.
        margin: lead over the best rival lag; near 0 the estimate is not reliable.
    """

    frames: float
    correlation: float
    margin: float

    @property
    def confident(self) -> bool:
        return self.margin >= CONFIDENT_MARGIN


def lip_height_px(points_px: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(T,) distance between the outer edges of both lips, in the units of (T, N, 2) `points_px`.

    The outer edge follows the jaw as well, and the inner one flickers where lips touch.
    """
    top = points_px[:, POINT_NAMES.index("lip_top_outer")]
    bottom = points_px[:, POINT_NAMES.index("lip_bottom_outer")]
    height: NDArray[np.float64] = np.linalg.norm((bottom - top).astype(np.float64), axis=1)
    return height


def loudness(log_mel: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(T,) loudness per video frame of a (80, 2T) natural-log mel at 50 Hz (`manifests.mel.DEFAULT`).

    The mean of the logarithms, not the logarithm of the mean: every band counts, so a vowel beats a
    louder but narrower hiss. Video frame i is on screen for mel frames 2i and 2i + 1.
    """
    mel = np.asarray(log_mel, np.float64)
    bands = np.maximum(mel, np.percentile(mel, 99) - SPEECH_RANGE).mean(0)
    return np.asarray(bands[: len(bands) // 2 * 2].reshape(-1, 2).mean(1))


def _syllables(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Removes what is slower than syllables, with a high-pass filter without delay."""
    exact = np.asarray(values, np.float64)
    if len(exact) <= MATRIX_FRAMES:
        return np.asarray(_high_pass_matrix(len(exact)) @ exact)
    return np.asarray(_high_pass(exact[:, None])[:, 0])


@lru_cache(maxsize=8)
def _high_pass_matrix(n: int) -> NDArray[np.float64]:
    """(n, n) matrix of `_high_pass`, read-only: a clip takes microseconds by it."""
    matrix = _high_pass(np.eye(n))
    matrix.flags.writeable = False
    return matrix


def _high_pass(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Filters (T, N) columns with a Butterworth high-pass of second order, forwards and backwards, the
    ends mirrored about their values: SciPy's `butter` and `sosfiltfilt`, whose import takes longer
    than this takes for a thousand clips."""
    k = math.tan(math.pi * SYLLABLE_HZ / VIDEO_FPS)
    gain = 1 / (1 + math.sqrt(2) * k + k * k)
    feedback = 2 * (k * k - 1) * gain, (1 - math.sqrt(2) * k + k * k) * gain

    def filtered(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The rows from first to last, from the steady state of the first one."""
        out = np.empty_like(rows)
        first, second = -gain * rows[0], gain * rows[0]
        for i, row in enumerate(rows):
            out[i] = gain * row + first
            first = -2 * gain * row - feedback[0] * out[i] + second
            second = gain * row - feedback[1] * out[i]
        return out

    before = 2 * columns[0] - columns[EDGE_FRAMES:0:-1]
    after = 2 * columns[-1] - columns[-2 : -2 - EDGE_FRAMES : -1]
    both_ways = filtered(filtered(np.concatenate([before, columns, after]))[::-1])[::-1]
    return np.ascontiguousarray(both_ways[EDGE_FRAMES : EDGE_FRAMES + len(columns)])


def _correlations(
    lips: NDArray[np.float64], sound: NDArray[np.float64], max_lag_frames: int
) -> NDArray[np.float64]:
    """(2 · max_lag + 1,) Pearson correlations, from sound first to lips first; 0 where one rests."""
    n = len(lips)
    lags = np.arange(-max_lag_frames, max_lag_frames + 1)[:, None]
    heard = np.arange(n) + lags  # for every lag, the frame of the sound beside each of the lips
    both = (heard >= 0) & (heard < n)
    count = both.sum(1, keepdims=True)

    def centered(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(
            np.where(both, values - (values * both).sum(1, keepdims=True) / count, 0.0)
        )

    a = centered(np.broadcast_to(lips, both.shape))
    b = centered(sound[np.clip(heard, 0, n - 1)])
    spread = np.sqrt((a**2).sum(1)), np.sqrt((b**2).sum(1))
    moves = (np.minimum(*spread) / np.sqrt(count[:, 0])) > 1e-9
    found = np.zeros(len(lags))
    np.divide((a * b).sum(1), spread[0] * spread[1], out=found, where=moves)
    return found


def av_offset(
    lips: NDArray[np.floating[Any]],
    sound: NDArray[np.floating[Any]],
    max_lag_frames: int = MAX_LAG_FRAMES,
) -> AvOffset:
    """Estimates the lag at which lips and sound agree best.

    Args:
        lips: (T,) opening of the mouth per video frame, in any unit (`lip_height_px`).
        sound: (T,) loudness per video frame (`loudness`).
        max_lag_frames: the greatest offset looked for, either way.

    Returns: offset, correlation and margin; all 0 where one of the two does not move, or where there
        are too few frames to tell.
    """
    n = min(len(lips), len(sound))
    nothing = AvOffset(0.0, 0.0, 0.0)
    if n < 2 * max_lag_frames + 1 or np.ptp(lips[:n]) < 1e-6 or np.ptp(sound[:n]) < 1e-6:
        return nothing
    correlations = _correlations(_syllables(lips[:n]), _syllables(sound[:n]), max_lag_frames)
    lags = np.arange(-max_lag_frames, max_lag_frames + 1)
    scores = correlations * (1 - LAG_COST * np.abs(lags))
    best = int(scores.argmax())
    if scores[best] <= 0:
        return nothing
    peaks = np.flatnonzero(
        (scores >= np.append(scores[1:], -np.inf)) & (scores >= np.insert(scores[:-1], 0, -np.inf))
    )
    rivals = scores[peaks[np.abs(peaks - best) >= RIVAL_FRAMES]]
    fraction = 0.0
    if 0 < best < len(lags) - 1:
        # The parabola through the correlations, not the scores: their cost has a kink at 0.
        left, middle, right = correlations[best - 1 : best + 2]
        bend = left - 2 * middle + right
        if bend < 0:
            fraction = float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))
    return AvOffset(
        frames=float(lags[best]) + fraction,
        correlation=float(correlations[best]),
        margin=float(scores[best] - max(0.0, rivals.max(initial=0.0))),
    )
