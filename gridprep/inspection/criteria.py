"""Criteria by which a clip is an outlier: for each a number per clip, a limit and an explanation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from manifests.records import ManifestRow
from manifests.specs import CLIP_SECONDS
from manifests.sync import CONFIDENT_MARGIN


@dataclass(frozen=True)
class Norm:
    """The medians of a speaker's clips; None where there are too few clips."""

    scale: float | None
    f0_hz: float | None


@dataclass(frozen=True)
class Criterion:
    """A criterion by which clips are ranked and outliers are flagged.

    Attributes:
        title: heading of its table.
        says: explanation of a high (or low) value for the reader of the page.
        unit: unit of the value, as printed after it.
        worst: which values are bad: `high`, `low`, or those `far` from 0 either way.
        limit: values beyond it are flagged (for `far`: beyond ± limit).
        value: the value of a clip; None where it was not measured or is not reliable.
        decimals: number of decimals to print.
    """

    key: str
    title: str
    says: str
    unit: str
    worst: Literal["high", "low", "far"]
    limit: float
    value: Callable[[ManifestRow, Norm], float | None]
    decimals: int = 2

    def of(self, row: ManifestRow, norm: Norm) -> float | None:
        """The value of a clip without floating-point noise in the last digits: 49.999… ms are 50."""
        value = self.value(row, norm)
        return None if value is None else round(value, 6)

    def badness(self, value: float) -> float:
        """Returns how bad a value is: larger is worse, for all three kinds of `worst`."""
        return {"high": value, "low": -value, "far": abs(value)}[self.worst]

    def is_flagged(self, value: float) -> bool:
        return self.badness(value) > (-self.limit if self.worst == "low" else self.limit)

    @property
    def rule(self) -> str:
        """`above 0.30 px`."""
        word = {"high": "above", "low": "below", "far": "beyond ±"}[self.worst]
        space = "" if self.worst == "far" else " "
        limit = f"{self.limit:g}".replace("-", "−")
        return f"{word}{space}{limit} {self.unit}".rstrip()


def number(row: ManifestRow, name: str) -> float | None:
    """A finite number of the row's QC, else None: builds of other versions have other numbers."""
    value = row.qc.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        return None
    return float(value)


def interpolated_percent(row: ManifestRow) -> float | None:
    share = number(row, "found_share")
    return None if share is None else 100 * (1 - share)


def confident_offset(row: ManifestRow) -> float | None:
    """The A/V offset in frames where the estimate can be trusted, else None."""
    margin = number(row, "av_margin")
    return number(row, "av_offset_frames") if margin and margin >= CONFIDENT_MARGIN else None


def _face_size(row: ManifestRow, norm: Norm) -> float | None:
    scale = number(row, "scale")
    # The scale enlarges to the mean face: a small face has a large scale.
    return None if not scale or not norm.scale else 100 * (norm.scale / scale - 1)


def _voice(row: ManifestRow, norm: Norm) -> float | None:
    f0_hz = number(row, "f0_median_hz")
    return None if not f0_hz or not norm.f0_hz else 12 * float(np.log2(f0_hz / norm.f0_hz))


def _share_voiced(row: ManifestRow) -> float | None:
    share = number(row, "voiced_share")
    return None if share is None else 100 * share


CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        "jitter",
        "Landmark jitter",
        "Eyes and nose tremble from frame to frame: a weak detection, or a cut inside the clip.",
        "px",
        "high",
        0.45,  # of 1,036 real clips, half have under 0.16 and none over 0.40
        lambda row, _: number(row, "jitter_px"),
    ),
    Criterion(
        "interpolated",
        "Frames without a face",
        "Share of the frames looked at in which no face was found; their points are interpolated.",
        "%",
        "high",
        5.0,
        lambda row, _: interpolated_percent(row),
        1,
    ),
    Criterion(
        "lips-border",
        "Lip crop over the border",
        "The lip crop reaches over the edge of the picture; what lies outside repeats the edge.",
        "px",
        "high",
        0.0,
        lambda row, _: number(row, "lips_border_px"),
        1,
    ),
    Criterion(
        "face-border",
        "Face crop over the border",
        "The same for the face stills, usually at the chin or at the forehead.",
        "px",
        "high",
        0.0,
        lambda row, _: number(row, "face_border_px"),
        1,
    ),
    Criterion(
        "mouth",
        "Mouth off the center",
        "Farthest that the mouth gets from the middle of its 144×144 crop, whose path is smoothed.",
        "px",
        "high",
        3.0,
        lambda row, _: number(row, "mouth_off_center_px"),
    ),
    Criterion(
        "face-size",
        "Face larger or smaller than usual",
        "Size of the face against the speaker's median: another face, or another distance.",
        "%",
        "far",
        15.0,
        _face_size,
        1,
    ),
    Criterion(
        "av-offset",
        "Sound against picture",
        "Frames of 40 ms by which the sound comes after the lips, where the estimate is sure "
        f"(its margin over the next best lag is {CONFIDENT_MARGIN:g} or more).",
        "frames",
        "far",
        2.5,
        lambda row, _: confident_offset(row),
    ),
    Criterion(
        "av-correlation",
        "Lips that do not follow the sound",
        "Correlation of lip height and loudness at the best lag: hidden lips, or another's sound.",
        "",
        "low",
        0.25,
        lambda row, _: number(row, "av_correlation"),
    ),
    Criterion(
        "level",
        "Quiet sound",
        "Root mean square of the whole clip against full scale.",
        "dBFS",
        "low",
        -35.0,
        lambda row, _: number(row, "rms_dbfs"),
        1,
    ),
    Criterion(
        "voiced",
        "Hardly any voice",
        "Share of the clip with a pitch: whisper, noise, or a sentence cut off.",
        "%",
        "low",
        15.0,
        lambda row, _: _share_voiced(row),
        1,
    ),
    Criterion(
        "voice",
        "Pitch unlike the speaker's",
        "Median F0 against the speaker's median: another voice, or octave errors.",
        "semitones",
        "far",
        5.0,
        _voice,
        1,
    ),
    Criterion(
        "samples-added",
        "Sound that ends early",
        "Zeros appended to reach 3 s. GRID's own files lack 352 samples (22 ms).",
        "samples",
        "high",
        800.0,
        lambda row, _: float(row.samples_added),
        0,
    ),
    Criterion(
        "last-word",
        "No room after the last word",
        "Time from the end of the last word to the end of the clip: an alignment that ends late, or "
        "speech cut off.",
        "ms",
        "low",
        80.0,
        lambda row, _: 1000 * (CLIP_SECONDS - row.words[-1].end_s) if row.words else None,
        0,
    ),
)
