"""Finds speech that is the recording itself: nothing that a system made has the recording's wave form.

A copy scores like the recording, so a row of copies would be the best of every table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.comparable import some
from evaluation.inputs.pairs import RunDir, Samples

ALIKE = 0.999
"""Correlation of two wave forms from which on one is a copy of the other, whatever their level and sign:
the difference is 27 dB below them. Speech synthesized again from the recording's mel stays far below."""
WINDOW_S = 0.5
"""Looked at first, in the middle: it settles the matter for all speech that is no copy."""


def copied(run: RunDir) -> tuple[str, ...]:
    """Labels of the clips of a model's run that hold the recording's own wave form at its own rate.

    A copy that was delayed or resampled is not found.
    """
    if run.of_faces or run.info.kind != "model":
        return ()
    return tuple(
        clip.label
        for clip in run.clips
        if (recording := run.reference(clip)) is not None and is_copy(run.wav(clip), recording)
    )


def told(run: RunDir, labels: Sequence[str]) -> str:
    """A warning for people.

    Args:
        labels: of `copied`, at least one.
    """
    return (
        f"{run.info.name}: the speech of {len(labels)} of {len(run.clips)} clips is the recording itself "
        f"({some(labels)}), so it wins nothing."
    )


def is_copy(made: Path, recording: Path) -> bool:
    """Returns whether two files hold one wave form, whatever its level; False where one cannot be read."""
    import soundfile

    try:
        with soundfile.SoundFile(made) as one, soundfile.SoundFile(recording) as other:
            if one.samplerate != other.samplerate:
                return False
            n = min(len(one), len(other))
            window = min(n, round(WINDOW_S * one.samplerate))
            start = (n - window) // 2
            return _alike(one, other, start, window) and _alike(one, other, 0, n)
    except (soundfile.SoundFileError, OSError):
        return False


def _alike(one: Any, other: Any, start: int, n: int) -> bool:
    a, b = (_part(file, start, n) for file in (one, other))
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return bool(np.isfinite(norm) and norm > 0 and abs(float(a @ b)) >= ALIKE * norm)


def _part(file: Any, start: int, n: int) -> Samples:
    file.seek(start)
    read: NDArray[np.float64] = file.read(n, dtype="float64", always_2d=True)
    return np.asarray(read.mean(axis=1))
