"""Cutting long videos into parts at silences, as a list that a build takes (`gridprep segment`).

The level of the sound is measured every 20 ms. What lies `SILENCE_DB` below the loud parts of the same
video for `PAUSE_S` is a silence. Parts end in the middle of silences, the last one that keeps them short
enough; where somebody speaks on for longer than that, at the quietest moment, which the list's column
`cut` tells (`silence`, `quiet` or `end`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridprep.media.decode import pcm_of
from gridprep.media.opening import decoded, opened
from manifests.errors import ClipError
from manifests.mediafile import best_stream

STEP_S = 0.02
SILENCE_DB = 30.0
LOUD_PERCENTILE = 95.0
PAUSE_S = 0.2
MARGIN_S = 0.2
"""Silence that is kept before and after what is said."""
LEAST_S = 1.0
FLOOR_DB = -90.0


@dataclass(frozen=True)
class Part:
    """A part of a video, in seconds since its first picture; how its end was chosen."""

    start_s: float
    end_s: float
    cut: str


@dataclass(frozen=True)
class Levels:
    """The level of a video's sound.

    Attributes:
        db: (T,) dBFS, every `STEP_S`.
        start_s: when the sound begins, since the first picture.
    """

    db: NDArray[np.float64]
    start_s: float

    @property
    def end_s(self) -> float:
        """Returns when it ends."""
        return self.start_s + len(self.db) * STEP_S


def measure(path: str | os.PathLike[str]) -> Levels:
    """Levels of a video of any length; its sound is never in memory as a whole.

    Raises:
        ClipError: as `gridprep.media.opening.opened`, or `no_audio`.
    """
    with opened(path) as container:
        sound, pictures = best_stream(container, "audio"), best_stream(container, "video")
        if sound is None:
            raise ClipError(
                "audio", "no_audio", f"{os.fspath(path)} has no sound to find silences in"
            )
        first_s = 0.0
        if pictures is not None and pictures.start_time is not None:
            first_s = float(pictures.start_time * pictures.time_base)
        found: list[float] = []
        start_s: float | None = None
        left = np.zeros(0, np.float32)
        for frame in decoded(container, [sound], []):
            if start_s is None:
                start_s = (frame.time or 0.0) - first_s
            step = max(round(frame.sample_rate * STEP_S), 1)
            samples = np.concatenate([left, pcm_of(frame).mean(axis=1)])
            whole = len(samples) // step * step
            blocks = samples[:whole].reshape(-1, step).astype(np.float64)
            level = np.sqrt((blocks**2).mean(axis=1))
            found += list(20 * np.log10(np.maximum(level, 10 ** (FLOOR_DB / 20))))
            left = samples[whole:]
    if start_s is None:
        raise ClipError("audio", "no_audio", f"no sound of {os.fspath(path)} could be decoded")
    return Levels(np.asarray(found), start_s)


def parts_of(levels: Levels, longest_s: float) -> list[Part]:
    """The parts of a video, each up to `longest_s`; none where nothing is said.

    >>> import numpy as np
    >>> db = np.full(500, -20.0)  # 10 s
    >>> db[200:250] = -80.0  # silent from 4 to 5 s
    >>> [(p.start_s, p.end_s, p.cut) for p in parts_of(Levels(db, 0.0), 6.0)]
    [(0.0, 4.2, 'silence'), (4.8, 10.0, 'end')]
    """
    if not len(levels.db):
        return []
    loud = levels.db > np.percentile(levels.db, LOUD_PERCENTILE) - SILENCE_DB
    loud &= levels.db > FLOOR_DB + 1
    if not loud.any():
        return []
    spoken = np.flatnonzero(loud)
    first, last = int(spoken[0]), int(spoken[-1]) + 1
    pauses = [p for p in _runs(~loud) if p[1] - p[0] >= PAUSE_S / STEP_S and p[0] >= first]
    most, least = round(longest_s / STEP_S), round(LEAST_S / STEP_S)
    margin = round(MARGIN_S / STEP_S)
    parts = []
    start = max(first - margin, 0)
    while start < last:
        end = min(last + margin, len(levels.db))
        cut, following = "end", last
        if end - start > most:
            fits = [
                p
                for p in pauses
                if start + least <= p[0] and min(p[1], p[0] + margin) <= start + most
            ]
            if fits:
                silent, ends = fits[-1]
                end, following, cut = (
                    min(silent + margin, ends),
                    max(ends - margin, silent),
                    "silence",
                )
            else:
                quiet = levels.db[start + most // 2 : start + most]
                end = start + most // 2 + int(quiet.argmin())
                following, cut = end, "quiet"
        parts.append(_part(levels, start, end, cut))
        start = following
    return parts


def _part(levels: Levels, start: int, end: int, cut: str) -> Part:
    start_s, end_s = (round(levels.start_s + i * STEP_S, 3) for i in (start, end))
    return Part(max(start_s, 0.0), end_s, cut)


def _runs(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """(start, end) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
