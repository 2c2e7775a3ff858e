"""Landmarks on every k-th frame: what it saves, and how far it moves the crops."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gridprep.corpora.grid import find_clips
from gridprep.features.crops import Track, track
from gridprep.landmarks.registry import create
from gridprep.media.decode import decode
from gridprep.media.quality import check_video
from manifests.console import format_table
from manifests.errors import ClipError
from manifests.specs import CropSpec, LandmarkSpec

STEPS = (1, 2, 3, 5)


def centers_in_source_px(geometry: Track) -> NDArray[np.float64]:
    """(T, 2) centers of the lip crops, back in pixels of the source picture."""
    linear, shift = geometry.warps[:, :, :2], geometry.warps[:, :, 2]
    centers: NDArray[np.float64] = np.linalg.solve(
        linear, (geometry.lip_centers_px - shift)[..., None]
    )[..., 0]
    return centers


def table(corpus: Path, clips: int, scratch: Path) -> str:
    """Compares each step with landmarks on every frame."""
    del scratch
    backend, crop_spec = create("facemesh"), CropSpec()
    found = find_clips(corpus).clips
    moved: dict[int, list[NDArray[np.float64]]] = {k: [] for k in STEPS}
    off: dict[int, list[NDArray[np.float64]]] = {k: [] for k in STEPS}
    spent = dict.fromkeys(STEPS, 0.0)
    n = 0
    for clip in found[:: max(1, len(found) // clips)]:
        try:
            frames = check_video(decode(clip.video, audio=False)).frames
        except ClipError:
            continue
        n += 1
        tracks = {}
        for every in STEPS:
            started_s = time.perf_counter()
            landmarks = backend.detect(frames, every)
            spent[every] += time.perf_counter() - started_s
            tracks[every] = track(landmarks, replace(LandmarkSpec(), every=every), crop_spec)
        truth = centers_in_source_px(tracks[1])
        for every in STEPS:
            shift = np.linalg.norm(centers_in_source_px(tracks[every]) - truth, axis=1)
            moved[every].append(shift)
            # The mouth as seen on every frame, in the crop that this step makes.
            warps = tracks[every].warps
            mouth = np.linalg.solve(
                tracks[1].warps[:, :, :2],
                (tracks[1].mouth_px - tracks[1].warps[:, :, 2])[..., None],
            )
            mouth = (warps[:, :, :2] @ mouth)[..., 0] + warps[:, :, 2]
            off[every].append(np.linalg.norm(mouth - tracks[every].lip_centers_px, axis=1))
    rows = []
    for every in STEPS:
        shift, distance = np.concatenate(moved[every]), np.concatenate(off[every])
        rows.append(
            (
                every,
                f"{spent[every] / n * 1e3:.0f}",
                f"{spent[every] / spent[1]:.2f}×",
                f"{shift.mean():.3f}",
                f"{np.percentile(shift, 99):.3f}",
                f"{shift.max():.3f}",
                f"{np.mean(shift < 0.5):.3%}",
                f"{np.mean(distance < 2):.2%}",
            )
        )
    return (
        format_table(
            (
                "every",
                "ms a clip",
                "ratio",
                "moved: mean px",
                "p99",
                "max",
                "under 0.5 px",
                "mouth within 2 px",
            ),
            rows,
        )
        + f"\n{n} clips; movement of the crop center in source pixels against every frame; the last "
        "column in pixels of the 144² crop"
    )
