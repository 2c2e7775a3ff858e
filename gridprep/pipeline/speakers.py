"""Comparison of the face and voice of each clip with the other clips of its speaker.

A clip under the name of another speaker passes every check of the clip alone. Beside the speaker's
other clips it stands out by its picture (face, clothes, background: GRID recorded each speaker in
one session) and by its voice (pitch and mean spectrum).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridprep.pipeline.recipe import ContentPolicy
from manifests.records import ClipFailure, ManifestRow

Array = NDArray[np.float64]

LEAST_CLIPS = 5
"""Least number of clips of a speaker, this one included, for a comparison."""
FACE_LIKENESS = 0.6
"""Correlation of the face pattern with the speaker's median. (1,036 real clips: at least 0.76; of
clips of others under 0.6 in four of five.)"""
PITCH_OCTAVES = 0.5
"""Distance of the median pitch from the speaker's. (Real: at most 0.40; of others 0.66 in the median.)"""
VOICE_DISTANCE = 0.4
"""Mean distance of the mean spectrum from the speaker's, natural logs. (Real: at most 0.395.)"""


@dataclass(frozen=True)
class Patterns:
    """The face pattern and the voice pattern of a clip.

    Attributes:
        face: (144,) gray levels (`gridprep.features.content.face_pattern`).
        voice: (20,) mean spectrum of its voiced frames; None where too few are voiced.
        f0_hz: median pitch; None likewise.
    """

    face: Array
    voice: Array | None
    f0_hz: float | None

    @classmethod
    def of_stages(cls, stages: Mapping[str, Any]) -> Patterns | None:
        """Patterns from the finished stages of a clip; None where another version built them."""
        content, mels = stages.get("content"), stages.get("mels")
        if content is None or mels is None or "face_pattern" not in content.data:
            return None
        face = np.frombuffer(bytes.fromhex(content.data["face_pattern"]), np.uint8)
        voice = content.data.get("voice_pattern")
        return cls(
            face.astype(np.float64),
            None if voice is None else np.asarray(voice, np.float64),
            mels.data.get("qc", {}).get("f0_median_hz"),
        )


Result = tuple[ManifestRow | ClipFailure, Patterns | None]


def compared(
    results: Iterable[Result], policy: ContentPolicy = "fail"
) -> Iterator[ManifestRow | ClipFailure]:
    """Results in their order, clips that stand out among their speaker's flagged or failed.

    Holds the rows of one speaker at a time, so results must come speaker by speaker.

    Args:
        policy: whether a clip of another speaker is a failure or a row with flags.
    """
    for _, group in groupby(results, key=lambda result: result[0].speaker):
        yield from _speaker(list(group), policy)


def _speaker(results: list[Result], policy: ContentPolicy) -> Iterator[ManifestRow | ClipFailure]:
    known = [p for result, p in results if p is not None and isinstance(result, ManifestRow)]
    if len(known) < LEAST_CLIPS:
        yield from (result for result, _ in results)
        return
    faces = np.stack([_centered_unit(p.face) for p in known])
    usual = _centered_unit(np.median(faces, axis=0))
    voices = [p.voice for p in known if p.voice is not None]
    voice = np.median(np.stack(voices), axis=0) if len(voices) >= LEAST_CLIPS else None
    pitches = [np.log2(p.f0_hz) for p in known if p.f0_hz]
    pitch = float(np.median(pitches)) if len(pitches) >= LEAST_CLIPS else None
    for result, patterns in results:
        if patterns is None or isinstance(result, ClipFailure):
            yield result
            continue
        likeness = float(_centered_unit(patterns.face) @ usual)
        qc: dict[str, object] = {"face_likeness": round(likeness, 3)}
        other_voice = False
        if voice is not None and pitch is not None and patterns.voice is not None:
            octaves = float(np.log2(patterns.f0_hz) - pitch) if patterns.f0_hz else 0.0
            distance = float(np.abs(patterns.voice - voice).mean())
            qc |= {"pitch_octaves": round(octaves, 3), "voice_distance": round(distance, 3)}
            other_voice = abs(octaves) > PITCH_OCTAVES and distance > VOICE_DISTANCE
        other_face = likeness < FACE_LIKENESS
        if other_face and other_voice and policy == "fail":
            yield ClipFailure(
                result.speaker,
                result.stem,
                "content",
                "other_speaker",
                f"neither face (likeness {likeness:.2f}) nor voice ({qc['pitch_octaves']:+} octaves) "
                f"are those of the other {len(known) - 1} clips of {result.speaker}",
                result.source_path,
                {**result.qc, **qc},
            )
            continue
        flags = [
            name
            for name, odd in (
                ("face_unlike_speaker", other_face),
                ("voice_unlike_speaker", other_voice),
            )
            if odd
        ]
        yield replace(result, qc={**result.qc, **qc}, flags=(*result.flags, *flags))


def _centered_unit(values: Array) -> Array:
    centered = values - values.mean()
    return np.asarray(centered / max(float(np.linalg.norm(centered)), 1e-9))
