"""The offset between picture and sound on real clips, with the landmarks of the default backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridprep.corpora.grid import find_clips
from gridprep.features.crops import track
from gridprep.landmarks.registry import create
from gridprep.media import quality
from gridprep.media.decode import decode
from manifests.errors import ClipError, MissingDependency
from manifests.mel import mel_spectrogram
from manifests.specs import AudioSpec, CropSpec, LandmarkSpec
from manifests.sync import av_offset, lip_height_px, loudness

CLIPS_PER_SPEAKER = 2


@pytest.fixture(scope="module")
def measured(real_grid: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(clip, lip height (75,), sound (48000,)) of two clips of every speaker."""
    try:
        backend: Any = create("facemesh")
    except MissingDependency as error:
        pytest.skip(str(error))
    taken: dict[str, int] = {}
    found = []
    for clip in find_clips(real_grid).clips:
        if taken.get(clip.speaker, 0) == CLIPS_PER_SPEAKER:
            continue
        media = decode(clip.video)
        try:
            frames = quality.check_video(media).frames
            sound = quality.check_audio(media, AudioSpec()).samples
            landmarks = backend.detect(frames, LandmarkSpec().every)
        except ClipError:
            continue
        taken[clip.speaker] = taken.get(clip.speaker, 0) + 1
        points = track(landmarks, LandmarkSpec(), CropSpec()).points_px
        found.append((clip.clip_id, lip_height_px(points), sound))
    backend.close()
    return found


def test_offsets_are_small_where_the_estimate_is_sure(
    measured: list[tuple[str, np.ndarray, np.ndarray]],
) -> None:
    offsets = [av_offset(lips, loudness(mel_spectrogram(sound))) for _, lips, sound in measured]
    sure = [o for o in offsets if o.confident]
    assert len(sure) >= 0.7 * len(measured)
    assert max(abs(o.frames) for o in sure) < 2
    assert np.median([o.frames for o in sure]) == pytest.approx(-0.3, abs=0.4)
    assert np.median([o.correlation for o in offsets]) > 0.5


@pytest.mark.parametrize("frames", [-3, 4])
def test_moved_sound_is_noticed(
    frames: int, measured: list[tuple[str, np.ndarray, np.ndarray]]
) -> None:
    hits = 0
    judged = 0
    for _, lips, sound in measured:
        before = av_offset(lips, loudness(mel_spectrogram(sound)))
        after = av_offset(lips, loudness(mel_spectrogram(np.roll(sound, 640 * frames))))
        if before.confident and after.confident:
            judged += 1
            hits += abs(after.frames - before.frames - frames) < 1
    assert judged >= 0.4 * len(measured)
    assert hits == judged
