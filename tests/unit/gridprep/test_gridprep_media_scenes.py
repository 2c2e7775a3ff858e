"""Cuts are found where one clip goes over into another, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gridprep.media.decode import decode
from gridprep.media.quality import check_video
from gridprep.media.scenes import scene_cuts, thumbnail


@pytest.fixture(scope="module")
def speakers(synth_corpus: Path) -> list[NDArray[np.uint8]]:
    """(75, 288, 360, 3) of two speakers."""
    return [
        np.asarray(decode(sorted((synth_corpus / name).glob("*.mpg"))[0]).frames)
        for name in ("s1", "s4")
    ]


def cuts_of(frames: NDArray[np.uint8]) -> tuple[int, ...]:
    return scene_cuts([thumbnail(frame) for frame in frames])


def test_a_clip_has_no_cut(speakers: list[NDArray[np.uint8]]) -> None:
    for frames in speakers:
        assert cuts_of(frames) == ()
        assert cuts_of(frames[:1]) == ()
        assert cuts_of(frames[:0].reshape(0, 288, 360, 3)) == ()


def test_another_speaker_is_a_cut(speakers: list[NDArray[np.uint8]]) -> None:
    one, other = speakers
    assert cuts_of(np.concatenate([one[:30], other[30:]])) == (30,)
    assert cuts_of(np.concatenate([one[:1], other[1:20]])) == (1,)
    assert cuts_of(np.concatenate([one[:20], other[20:45], one[45:]])) == (20, 45)


def test_flashes_fades_and_movement_are_none(speakers: list[NDArray[np.uint8]]) -> None:
    one, other = (frames.astype(np.float32) for frames in speakers)
    flash = one.copy()
    flash[40] = 255
    share = np.clip((np.arange(75) - 30) / 15, 0, 1)[:, None, None, None]
    fade = one * (1 - share) + other * share
    pan = np.stack([np.roll(frame, 9 * t, axis=1) for t, frame in enumerate(one)])
    for frames in (flash, fade, pan):
        assert cuts_of(frames.astype(np.uint8)) == ()


def test_gray_levels_are_means_of_the_colors_to_the_bit() -> None:
    colors = np.arange(256, dtype=np.uint8)
    frames = np.stack(np.meshgrid(colors, colors, colors[::17], indexing="ij"), axis=-1)
    frames = frames.reshape(4, 256, -1, 3)
    step = frames.shape[2] // 48
    expected = frames[:, ::step, ::step].mean(-1, dtype=np.float32)
    assert step > 1
    np.testing.assert_array_equal(thumbnail(frames), expected)
    np.testing.assert_array_equal(thumbnail(frames[1]), expected[1])
    assert thumbnail(frames).dtype == np.float32


def test_a_cut_is_a_flag_of_a_clip(speakers: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    from clips import tiny_clip

    path = tiny_clip(tmp_path / "x.mpg", np.concatenate([speakers[0][:30], speakers[1][30:]]))
    checked = check_video(decode(path))
    assert checked.flags == ("scene_cut",)
    assert checked.qc["scene_cut_frames"] == [30]
