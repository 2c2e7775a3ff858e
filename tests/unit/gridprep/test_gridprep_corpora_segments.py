"""Long videos cut at silences, and the parts decoded as the whole video would be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builds import gridprep as program
from clips import pictures, place_of
from odd_media import Pictures, Sound, write

from gridprep.corpora.base import ANY_LENGTH
from gridprep.corpora.folder import FOLDER
from gridprep.corpora.segments import Levels, measure, parts_of
from gridprep.media.decode import decode
from gridprep.media.expectation import ANY_CLIP
from gridprep.media.quality import check_audio, check_video
from gridprep.media.window import Window
from manifests.errors import ClipError

RATE_HZ = 16_000


def speech(*spans_s: tuple[float, float], seconds: float) -> np.ndarray:
    """Noise within the spans, silence elsewhere."""
    samples = np.zeros(round(seconds * RATE_HZ))
    rng = np.random.default_rng(0)
    for start_s, end_s in spans_s:
        inside = slice(round(start_s * RATE_HZ), round(end_s * RATE_HZ))
        samples[inside] = 0.2 * rng.standard_normal(len(samples[inside])).clip(-3, 3) / 3
    return samples


@pytest.fixture(scope="module", params=[".mp4", ".mkv", ".avi"])
def long_video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9.6 s whose every frame tells its number within 80, with speech from 1 to 4 and 5 to 9 s."""
    path = tmp_path_factory.mktemp("long") / f"long{request.param}"
    frames = np.concatenate([pictures(80, (160, 128))] * 3)
    samples = speech((1, 4), (5, 9), seconds=9.6)
    codec = "pcm_s16le" if request.param == ".avi" else "aac"
    options = {"g": "20", "bf": "0" if request.param == ".avi" else "2", "preset": "ultrafast"}
    video = Pictures(frames, options=options)
    return write(path, video, Sound(samples, codec=codec, rate_hz=RATE_HZ))


def test_silences_are_found(long_video: Path) -> None:
    levels = measure(long_video)
    assert abs(levels.end_s - 9.6) < 0.1
    first, second = parts_of(levels, 5.0)
    assert (first.cut, second.cut) == ("silence", "end")
    assert [first.start_s, first.end_s, second.start_s, second.end_s] == pytest.approx(
        [0.8, 4.2, 4.8, 9.2], abs=0.1
    )


def test_who_speaks_on_is_cut_at_the_quietest_moment_and_told() -> None:
    db = np.full(500, -20.0)
    db[230] = -35.0
    first, second = parts_of(Levels(db, 0.5), 6.0)
    assert (first.start_s, first.end_s, first.cut) == (0.5, 5.1, "quiet")
    assert (second.start_s, second.end_s, second.cut) == (5.1, 10.5, "end")
    assert parts_of(Levels(np.full(500, -90.0), 0.0), 6.0) == []


@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, 2.0), (2.4, 4.4), (5.02, 9.02)])
def test_a_part_is_what_the_whole_video_shows_there(
    long_video: Path, start_s: float, end_s: float
) -> None:
    part = decode(long_video, window=Window(start_s, end_s))
    video = check_video(part, ANY_CLIP)
    n_frames = round((end_s - start_s) * 25)
    assert len(video.frames) == n_frames
    shown = [place_of(np.asarray(video.frames[i])) for i in (0, 1, n_frames - 1)]
    first = round(start_s * 25)
    assert shown == [n % 80 for n in (first, first + 1, first + n_frames - 1)]
    sound = check_audio(part, ANY_LENGTH, ANY_CLIP, n_frames)
    assert len(sound.samples) == 640 * n_frames
    assert "audio_shifted" not in sound.flags
    whole = decode(long_video, most_s=60)
    at = round((start_s - whole.audio_start_s) * RATE_HZ)
    expected = whole.audio[at : at + len(sound.samples), 0]
    assert np.corrcoef(expected, sound.samples[: len(expected)])[0, 1] > 0.99


def test_a_part_beyond_the_end_and_a_video_that_is_too_long_are_refused(long_video: Path) -> None:
    assert len(decode(long_video, window=Window(9.0, 12.0)).frames) == 15
    with pytest.raises(ClipError, match="is longer than 4 s: list its parts with start_s"):
        decode(long_video, most_s=4)


def test_the_list_of_parts_is_a_corpus(tmp_path: Path) -> None:
    folder = tmp_path / "talks" / "anna"
    folder.mkdir(parents=True)
    still = Pictures(np.zeros((240, 112, 112, 3), np.uint8) + 99)
    write(folder / "long.mp4", still, Sound(speech((1, 4), (5, 9), seconds=9.6), rate_hz=RATE_HZ))
    short = Pictures(still.frames[:25])
    write(folder / "short.mp4", short, Sound(speech((0, 1), seconds=1.0), rate_hz=RATE_HZ))
    write(folder / "silent.mp4", short)
    out = tmp_path / "parts.csv"
    code, told, _ = program("segment", folder.parent, "--out", out, "--longest-s", "5")
    assert code == 6
    assert "silent.mp4 has no sound" in told
    assert "3 videos, 3 clips, 1 not cut" in told
    found = FOLDER.find(str(out))
    assert not found.failures
    assert [clip.speaker for clip in found.clips] == ["anna"] * 3
    assert [clip.is_part for clip in found.clips] == [True, True, False]
