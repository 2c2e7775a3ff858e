"""Speech levels as ITU-T P.56 measures them, so that pauses do not count, and one level for all.

P.800 asks for speech at one active level; −26 dBov is the custom of P.800 and P.808. dBov is
20·log10 of the RMS with full scale 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]

TIME_CONSTANT_S = 0.03
HANGOVER_S = 0.2
MARGIN_DB = 15.9
N_THRESHOLDS = 15

CUSTOMARY_DBOV = -26.0
PEAK = 0.97
"""Nothing is played above this: −0.26 dBFS leaves room for a player's resampler."""
MOST_LOWERED_DB = 6.0
"""How far one peaky file may pull down the level of all."""


def active_level_dbov(samples: Samples, rate_hz: int) -> float:
    """Active speech level by P.56 method B.

    An envelope (two exponential averages of 30 ms) is compared with thresholds 6 dB apart; time
    above one, with 200 ms of hangover, is active. The level is that over the active time of the
    threshold that lies 15.9 dB below it, interpolated in dB.

    Args:
        samples: (n,) full scale ±1.

    Raises:
        ValueError: no sound at all.
    """
    energy = float(np.sum(samples**2))
    if energy == 0:
        raise ValueError("silence has no active level")
    g = np.exp(-1 / (rate_hz * TIME_CONSTANT_S))
    from scipy import signal

    once = signal.lfilter([1 - g], [1, -g], np.abs(samples))
    envelope = signal.lfilter([1 - g], [1, -g], once)
    hangover = int(np.ceil(HANGOVER_S * rate_hz))
    place = np.arange(len(samples))
    previous: tuple[float, float] | None = None
    for power in range(-N_THRESHOLDS, 0):
        threshold_db = 20 * np.log10(2.0**power)
        last = np.maximum.accumulate(np.where(envelope >= 2.0**power, place, -(10**9)))
        n_active = int(np.count_nonzero(place - last <= hangover))
        if n_active == 0:
            break
        level_db = 10 * np.log10(energy / n_active)
        above_db = level_db - threshold_db
        if above_db <= MARGIN_DB:
            if previous is None:
                return float(level_db)
            share = (previous[1] - MARGIN_DB) / (previous[1] - above_db)
            return float(previous[0] + share * (level_db - previous[0]))
        previous = (level_db, above_db)
    if previous is None:  # below the lowest threshold, −90 dBov
        return float(10 * np.log10(energy / len(samples)))
    return float(previous[0])


def clip_level_dbov(samples: Samples, rate_hz: int) -> float:
    """The active level of a clip, measured so that clips of all kinds compare.

    Silence follows it, so that the hangover after its last word counts whether or not the file goes
    on; and it is measured a second time near −26 dBov, since thresholds 6 dB apart make a short
    clip's level depend on its gain by some tenths of a dB.
    """
    followed = np.pad(samples, (0, round((HANGOVER_S + 10 * TIME_CONSTANT_S) * rate_hz)))
    first = active_level_dbov(followed, rate_hz)
    gain_db = CUSTOMARY_DBOV - first
    return active_level_dbov(followed * 10 ** (gain_db / 20), rate_hz) - gain_db


def common_level_dbov(
    levels_dbov: Sequence[float], peaks: Sequence[float], wanted_dbov: float
) -> float:
    """The level that all sounds get: the wanted one, or, where a peak would not fit, the highest
    at which all fit, but at most 6 dB less (`gain_for` then turns the peaky one down alone)."""
    fits = [
        level + 20 * np.log10(PEAK / peak) for level, peak in zip(levels_dbov, peaks, strict=True)
    ]
    return float(max(wanted_dbov - MOST_LOWERED_DB, min([wanted_dbov, *fits])))


def gain_for(level_dbov: float, peak: float, target_dbov: float) -> float:
    """Factor that brings a sound to the target, or to the peak limit where that is less."""
    return float(min(10 ** ((target_dbov - level_dbov) / 20), PEAK / peak))
