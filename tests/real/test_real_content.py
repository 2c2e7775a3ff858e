"""Real clips ruined on purpose: what passes every check of the container is found in its content."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import tiny_clip
from numpy.typing import NDArray

import gridprep
from manifests.manifest import Manifest

Pictures = NDArray[np.uint8]
Sound = NDArray[Any]
RATE_HZ = 44_100


def read(path: Path) -> tuple[Pictures, Sound]:
    """(T, H, W, 3) and (N, 2) of a clip as distributed."""
    with av.open(str(path)) as container:
        pictures = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "stereo", RATE_HZ)
        parts = [
            part.to_ndarray().reshape(-1, 2)
            for frame in container.decode(audio=0)
            for part in resampler.resample(frame)
        ]
    return pictures, np.concatenate(parts)


def upside_down(pictures: Pictures, sound: Sound) -> tuple[Pictures, Sound]:
    return np.ascontiguousarray(pictures[:, ::-1]), sound


def half_gray(pictures: Pictures, sound: Sound) -> tuple[Pictures, Sound]:
    pictures[20:50, pictures.shape[1] // 2 :] = 128
    return pictures, sound


def noise(pictures: Pictures, sound: Sound) -> tuple[Pictures, Sound]:
    rng = np.random.default_rng(0)
    pictures[30:42] = rng.integers(0, 255, pictures[30:42].shape, dtype=np.uint8)
    return pictures, sound


def frozen(pictures: Pictures, sound: Sound) -> tuple[Pictures, Sound]:
    pictures[20:] = pictures[20]
    return pictures, sound


def silent_second(pictures: Pictures, sound: Sound) -> tuple[Pictures, Sound]:
    sound[RATE_HZ : 2 * RATE_HZ] = 0
    return pictures, sound


def second_cut_out(pictures: Pictures, sound: Sound) -> tuple[Pictures, Sound]:
    start = round(0.9 * RATE_HZ)
    gap = np.random.default_rng(0).normal(0, 1e-3, (RATE_HZ, 2)).astype(sound.dtype)
    return pictures, np.concatenate([sound[:start], sound[start + RATE_HZ :], gap])


RUINS: dict[Callable[[Pictures, Sound], tuple[Pictures, Sound]], set[str]] = {
    upside_down: {"upside_down"},
    half_gray: {"lips_hidden"},
    noise: {"noise_frames"},
    frozen: {"frozen_frames"},
    silent_second: {"sound_dropout"},
    second_cut_out: {"words_not_said"},
}


@pytest.fixture(scope="module")
def built(
    real_grid: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[gridprep.BuildReport, dict[str, str]]:
    """A build of ruined clips of s1 beside healthy ones; the ruin by stem."""
    root = tmp_path_factory.mktemp("ruined")
    clips = sorted((real_grid / "original" / "s1").glob("*.mpg"))[: len(RUINS) + 8]
    what = {}
    for clip, ruin in zip(clips, RUINS, strict=False):
        pictures, sound = ruin(*read(clip))
        tiny_clip(root / "grid" / "s1" / f"{clip.stem}.mkv", pictures, audio=sound)
        what[clip.stem] = ruin.__name__
    # The words of one healthy clip under the sound and pictures of another.
    wrong, other = clips[len(RUINS)], clips[-1]
    shutil.copy(other, root / "grid" / "s1" / wrong.name)
    what[wrong.stem] = "another sentence"
    for clip in clips[len(RUINS) + 1 :]:
        shutil.copy(clip, root / "grid" / "s1" / clip.name)
    folder = root / "grid" / "alignments" / "s1"
    folder.mkdir(parents=True)
    for clip in clips:
        shutil.copy(real_grid / "alignments" / "s1" / f"{clip.stem}.align", folder)
    report = gridprep.build(root / "grid", root / "out", split="all-seen", jobs=2)
    return report, what


def test_ruined_clips_are_failures_of_their_kind(
    built: tuple[gridprep.BuildReport, dict[str, str]],
) -> None:
    report, what = built
    found = {what[failure.stem]: failure.reason for failure in report.failures}
    expected = {ruin.__name__: reasons for ruin, reasons in RUINS.items()}
    assert {
        name: found.get(name) in reasons for name, reasons in expected.items()
    } == dict.fromkeys(expected, True), found


def test_healthy_clips_stay_rows(built: tuple[gridprep.BuildReport, dict[str, str]]) -> None:
    report, what = built
    assert {failure.stem for failure in report.failures} <= set(what)
    rows = [row for row in Manifest(report.manifest) if row.stem not in what]
    assert len(rows) == 7
    assert all(row.flags == () for row in rows), {row.stem: row.flags for row in rows}


def test_another_sentence_is_told(built: tuple[gridprep.BuildReport, dict[str, str]]) -> None:
    report, what = built
    (stem,) = [stem for stem, kind in what.items() if kind == "another sentence"]
    told = {f.stem: f.reason for f in report.failures}.get(stem, "")
    rows = [row for row in Manifest(report.manifest) if row.stem == stem]
    assert told == "words_not_said" or "words_unsure" in rows[0].flags
