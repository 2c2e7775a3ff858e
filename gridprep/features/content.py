"""Checks of a clip's content: a mouth is seen, it moves, and the words of the alignment are said.

Counts of frames, rates and levels say nothing about a clip that is frozen, half gray, noise for half
a second, played backwards, silent in the middle of a word, or another sentence under this stem. Such
clips pass every check of the container, and their features look fine and are wrong. The measures
here are functions of what a build stores: lip crops, sound, mel, words. Their limits were set on
1,036 real clips of ten speakers, beside the values of clips ruined on purpose; docs/formats.md has
the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from gridprep.features.word_templates import words_score
from manifests.errors import ClipError
from manifests.records import Record, WordSpan
from manifests.sync import AvOffset, av_offset

Array = NDArray[np.float64]

FROZEN_CHANGE = 0.1
"""Mean change of gray levels from one lip crop to the next, under which the picture stands still.
(24 real clips: under it in 3 of 1,776 frames, never in two that follow each other, for camera noise is
in each. Of 29 changes in frozen pictures at least 15 in a row.)"""
FROZEN_FLAG_FRAMES, FROZEN_FAIL_FRAMES = 5, 12
NOISE_GRAIN = 2.0
"""Fine detail of a crop beside the clip's median, above which it is noise. (Real: at most 1.26.)"""
NOISE_FAIL_FRAMES = 2
HIDDEN_CONTRAST = 12.0
"""Standard deviation of gray levels under which a crop shows no mouth. (Real: at least 18.6.)"""
HIDDEN_SHARE = 0.5
"""The same beside the clip's median. (Real: at least 0.76.)"""
HIDDEN_FAIL_FRAMES = 3
LOST_FLAG_FRAMES, LOST_FAIL_FRAMES = 6, 25
"""Longest time without a detected face. (Real: the 2 frames of `--every 2`.)"""
DROPOUT_FLAG_S, DROPOUT_FAIL_S = 0.01, 0.1
"""Digital silence inside the sentence. (Real: at most 3 samples.)"""
WORDS_FLAG, WORDS_FAIL = 0.1, 0.05
"""`words_score` of the sound for the words of the alignment. (By templates without the clip's own
speaker, real clips have at least 0.08 and SynthGRID's 0.2; another sentence of the same speaker is
under 0.05 in 74 % and under 0.1 in 89 %.)"""
REVERSED = 0.2
"""Gain in correlation with the sound above which lips count as played backwards. (Real: 1 %.)"""


@dataclass(frozen=True)
class LipMotion(Record):
    """What is remarkable about the lip crops of a clip, in a few numbers.

    Attributes:
        frames: number of crops.
        noise_frames, noise_from: crops with too much fine detail, and the first of them.
        hidden_frames, hidden_from: crops with too little contrast, and the first of them.
        still_frames, still_from: the longest run of crops that equal the one before, and its start.
        grain: greatest detail of a crop beside the clip's median.
        contrast: least standard deviation of the gray levels of a crop.
    """

    frames: int
    noise_frames: int
    noise_from: int
    hidden_frames: int
    hidden_from: int
    still_frames: int
    still_from: int
    grain: float
    contrast: float


@dataclass(frozen=True)
class ContentReport:
    """The findings about a clip that passes the checks.

    Attributes:
        flags: oddities that should be inspected.
        qc: numbers for the manifest row.
    """

    flags: tuple[str, ...]
    qc: dict[str, object] = field(default_factory=dict)


def lip_motion(lips: NDArray[np.uint8]) -> LipMotion:
    """Measures (T, H, W, 3) uint8 RGB lip crops by three numbers a frame: the contrast (standard
    deviation of the gray levels), the change from the crop before (mean absolute difference) and the
    grain (mean absolute Laplacian: fine detail, and noise above all)."""
    pixels = lips.shape[1] * lips.shape[2]
    deviations, changes, details = [], [], []
    before = None
    for frame in lips:  # all of a frame while it is in the processor's cache
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        deviations.append(float(cv2.meanStdDev(gray)[1][0, 0]))
        details.append(cv2.norm(cv2.Laplacian(gray, cv2.CV_16S), cv2.NORM_L1))
        if before is not None:
            changes.append(cv2.norm(before, gray, cv2.NORM_L1))
        before = gray
    contrast, change, detail = (np.array(each) for each in (deviations, changes, details))
    change, detail = change / pixels, detail / pixels
    grain = detail / max(float(np.median(detail)), 1e-9)
    noise = grain > NOISE_GRAIN
    hidden = contrast < max(HIDDEN_CONTRAST, HIDDEN_SHARE * float(np.median(contrast)))
    start, still = longest_run(change < FROZEN_CHANGE)
    return LipMotion(
        frames=len(lips),
        noise_frames=int(noise.sum()),
        noise_from=int(noise.argmax()),
        hidden_frames=int(hidden.sum()),
        hidden_from=int(hidden.argmax()),
        still_frames=still,
        still_from=start,
        grain=round(float(grain.max()), 3),
        contrast=round(float(contrast.min()), 1),
    )


def longest_run(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """(start, length) of the longest run of True in (T,); (0, 0) without one.

    >>> longest_run(np.array([True, False, True, True]))
    (2, 2)
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    if not len(edges):
        return 0, 0
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    best = int(np.argmax(lengths))
    return int(starts[best]), int(lengths[best])


def dropout_samples(
    samples: NDArray[np.float32], words: Sequence[WordSpan], rate_hz: int
) -> tuple[int, int]:
    """(start, length) of the longest run of digital silence, under a step of 16 bits, between the
    beginning of the first and the end of the last word of (N,) samples."""
    if not words:
        return 0, 0
    first, last = (round(t * rate_hz) for t in (words[0].start_s, words[-1].end_s))
    start, length = longest_run(np.abs(samples[first:last]) < 0.6 / 32768)
    return first + start, length


def check_lips(motion: LipMotion, found: NDArray[np.bool_]) -> ContentReport:
    """Checks that a moving mouth is seen in the whole clip.

    Args:
        motion: what `lip_motion` measured.
        found: (T,) whether the landmark backend saw the face in each frame; frames between those
            that it looks at count as not seen.

    Raises:
        ClipError: stage `content`, reasons `noise_frames`, `lips_hidden`, `frozen_frames`,
            `face_unseen`.
    """
    seen = np.flatnonzero(found)
    gap = int(np.diff(seen, prepend=-1, append=len(found)).max()) if len(seen) else len(found)
    still, frames = motion.still_frames, motion.frames
    qc: dict[str, object] = {
        "lips_still_frames": still + 1 if still else 0,
        "lips_grain": motion.grain,
        "lips_contrast": motion.contrast,
        "face_unseen_frames": gap,
    }
    if motion.noise_frames >= NOISE_FAIL_FRAMES:
        first = motion.noise_from
        detail = f"{motion.noise_frames} of {frames} lip crops are noise (from frame {first})"
        raise ClipError("content", "noise_frames", detail, qc)
    if motion.hidden_frames >= HIDDEN_FAIL_FRAMES:
        first = motion.hidden_from
        detail = f"{motion.hidden_frames} of {frames} lip crops show no mouth (from frame {first})"
        raise ClipError("content", "lips_hidden", detail, qc)
    if still >= FROZEN_FAIL_FRAMES:
        first = motion.still_from
        detail = f"the picture stands still for {still + 1} frames (from frame {first})"
        raise ClipError("content", "frozen_frames", detail, qc)
    if gap >= LOST_FAIL_FRAMES:
        raise ClipError("content", "face_unseen", f"no face is seen for {gap} frames", qc)
    flags = [
        name
        for name, odd in (
            ("noise_frame", motion.noise_frames > 0),
            ("frames_frozen", still >= FROZEN_FLAG_FRAMES),
            ("face_unseen", gap >= LOST_FLAG_FRAMES),
        )
        if odd
    ]
    return ContentReport(tuple(flags), qc)


def check_sound(
    samples: NDArray[np.float32],
    rate_hz: int,
    mel: NDArray[np.float32],
    words: Sequence[WordSpan],
    templates: bool = True,
) -> ContentReport:
    """Checks that the words of the alignment are said without a gap.

    Args:
        samples: (N,) samples of the sound.
        mel: (80, frames) default log mel of the sound.
        words: words of the alignment without silences.
        templates: whether to compare the words of GRID with how they sound on average.

    Raises:
        ClipError: stage `content`, reasons `sound_dropout`, `words_not_said`.
    """
    start, length = dropout_samples(samples, words, rate_hz)
    score = words_score(mel, words) if templates else None
    qc: dict[str, object] = {"dropout_s": round(length / rate_hz, 4)}
    if score is not None:
        qc["words_score"] = round(score, 4)
    if length >= DROPOUT_FAIL_S * rate_hz:
        detail = f"{length / rate_hz:.2f} s of digital silence inside the sentence"
        raise ClipError("content", "sound_dropout", f"{detail} (at {start / rate_hz:.2f} s)", qc)
    if score is not None and score < WORDS_FAIL:
        said = " ".join(word.word for word in words)
        detail = f"the sound does not say '{said}' at the times of the alignment ({score:.2f})"
        raise ClipError("content", "words_not_said", detail, qc)
    flags = [
        name
        for name, odd in (
            ("sound_gap", length >= DROPOUT_FLAG_S * rate_hz),
            ("words_unsure", score is not None and score < WORDS_FLAG),
        )
        if odd
    ]
    return ContentReport(tuple(flags), qc)


def check_direction(
    height_px: Array, loud: Array, forwards: AvOffset | None = None
) -> ContentReport:
    """Flags a clip whose lips follow the sound better when they are played backwards.

    Args:
        height_px: (T,) lip height (`manifests.sync.lip_height_px`).
        loud: loudness by mel frame (`manifests.sync.loudness`).
        forwards: their `av_offset` as they are, where it is known.
    """
    forwards = forwards or av_offset(height_px, loud)
    backwards = av_offset(np.ascontiguousarray(height_px[::-1]), loud)
    gain = backwards.correlation - forwards.correlation
    return ContentReport(
        ("lips_backwards",) if gain > REVERSED else (), {"backwards_gain": round(gain, 3)}
    )


def checked(check: Callable[[], ContentReport], policy: str) -> ContentReport:
    """Runs a check; under the policy `flag`, its failure becomes a flag named after the reason."""
    try:
        return check()
    except ClipError as error:
        if policy == "fail":
            raise
        return ContentReport((error.reason,), {**error.evidence, error.reason: error.detail})


FACE_SIDE_PX = 12
VOICE_BANDS = 20


def face_pattern(stills: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(144,) gray levels of the mean of (N, H, W, 3) uint8 face stills, 12 × 12: enough to tell whose
    recordings a clip belongs to, by face, clothes and background."""
    side = (FACE_SIDE_PX, FACE_SIDE_PX)
    strip = cv2.cvtColor(stills.reshape(-1, *stills.shape[2:]), cv2.COLOR_RGB2GRAY)
    mean = strip.reshape(stills.shape[:3]).sum(0, dtype=np.uint32).astype(np.float32) / len(stills)
    small = cv2.resize(mean, side, interpolation=cv2.INTER_AREA)
    return np.asarray(small.round(), np.uint8).ravel()


def voice_pattern(mel: NDArray[np.float32], voiced: NDArray[np.bool_]) -> Array | None:
    """(20,) mean spectrum of the voiced frames of an (80, frames) log mel, its mean removed; None
    with fewer than 10 voiced frames."""
    frames = min(mel.shape[1], len(voiced))
    inside = mel[:, :frames][:, voiced[:frames]]
    if inside.shape[1] < 10:
        return None
    bands = inside.mean(1).reshape(VOICE_BANDS, -1).mean(1).astype(np.float64)
    return np.asarray(bands - bands.mean())
