"""The panels of a sheet that share one time axis: lips, words, sound, mel with F0, energy with lip
movement. Each draws on matplotlib axes whose x is seconds from the start of the clip."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridprep.inspection.style import BLUE, GREEN, INK, LINE, ORANGE, RED, SKY, SOFT
from gridprep.inspection.view import ClipView
from manifests.mel import mel_basis
from manifests.specs import CLIP_FRAMES, CLIP_SECONDS, VIDEO_FPS, MelSpec

STRIP_EVERY = 5
"""A lip crop on every k-th frame: 15 of 75, each as wide as the time until the next."""

WAVE_COLUMNS = 1500


def draw_strip(axes: Any, view: ClipView) -> None:
    """Every k-th lip crop, centered on the time at which its frame is on screen."""
    half = STRIP_EVERY / VIDEO_FPS / 2
    for i in range(STRIP_EVERY // 2, len(view.lips), STRIP_EVERY):
        middle = view.lip_s[i]
        axes.imshow(
            view.lips[i],
            extent=(middle - half, middle + half, 0, 1),
            interpolation="bilinear",
            aspect="auto",
        )
        axes.axvline(middle + half, color="white", linewidth=1.5)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_ylabel("lips", color=INK, fontsize=10)


def frame_ticks(axes: Any) -> None:
    """Video frame numbers over the strip; frame i is on screen from its tick to the next."""
    above = axes.secondary_xaxis("top", functions=(_to_frames, _to_seconds))
    above.set_xticks(np.arange(0, CLIP_FRAMES + 1, 5))
    above.set_xticks(np.arange(0, CLIP_FRAMES + 1), minor=True)
    above.tick_params(labelsize=9, colors=SOFT, length=5)
    above.tick_params(which="minor", length=3, colors=LINE)
    above.set_xlabel("video frame (25 per second)", color=INK, fontsize=10)


def _to_frames(seconds: Any) -> Any:
    return np.asarray(seconds) * VIDEO_FPS


def _to_seconds(frames: Any) -> Any:
    return np.asarray(frames) / VIDEO_FPS


def draw_words(axes: Any, view: ClipView) -> None:
    """The aligned words, one bar each."""
    for word in view.row.words:
        axes.axvspan(word.start_s, word.end_s, facecolor="#dce7f5", edgecolor=BLUE, linewidth=0.8)
        middle = (word.start_s + word.end_s) / 2
        # A very short word would not hold its own name in full size.
        small = (word.end_s - word.start_s) < 0.022 * max(len(word.word), 2)
        axes.text(
            *(middle, 0.47, word.word),
            ha="center",
            va="center",
            color=INK,
            fontsize=9 if small else 11,
            parse_math=False,
        )
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_ylabel("words", color=INK, fontsize=10, rotation=0, ha="right", va="center")


def word_lines(panels: list[Any], view: ClipView) -> None:
    edges = {edge for word in view.row.words for edge in (word.start_s, word.end_s)}
    for axes in panels:
        for edge in edges:
            on_mel = bool(axes.images)
            color = "white" if on_mel else BLUE
            axes.axvline(edge, color=color, linewidth=0.8, alpha=0.55 if on_mel else 0.45)


def draw_wave(axes: Any, view: ClipView) -> None:
    """The sound as an envelope, one column a pixel."""
    rate_hz = view.row.sample_rate_hz
    columns = WAVE_COLUMNS
    usable = len(view.sound) // columns * columns
    pieces = view.sound[:usable].reshape(columns, -1)
    at_s = (np.arange(columns) + 0.5) * pieces.shape[1] / rate_hz
    axes.fill_between(at_s, pieces.min(1), pieces.max(1), color=INK, linewidth=0)
    peak = max(float(np.abs(view.sound).max()), 1e-3)
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    axes.axhline(0, color=LINE, linewidth=0.6, zorder=0)
    axes.set_ylabel("sound", color=INK, fontsize=10)
    axes.locator_params(axis="y", nbins=3)
    if view.row.samples_added:
        start_s = (len(view.sound) - view.row.samples_added) / rate_hz
        axes.axvspan(start_s, CLIP_SECONDS, color=RED, alpha=0.18, linewidth=0)


def band_of_hz(hz: NDArray[np.floating[Any]], spec: MelSpec) -> NDArray[np.float64]:
    """Returns where frequencies lie on a mel's band axis (0 is the middle of the lowest band)."""
    basis = mel_basis(spec)
    bins_hz = np.arange(basis.shape[1]) * spec.sample_rate_hz / spec.n_fft
    centers_hz = (basis @ bins_hz) / basis.sum(1)
    return np.asarray(np.interp(hz, centers_hz, np.arange(len(centers_hz))), np.float64)


def draw_mel(axes: Any, view: ClipView) -> None:
    """The mel, low frequencies at the bottom, with F0 over it on an axis of its own."""
    spec = view.mel_spec
    hop_s = spec.hop_samples / spec.sample_rate_hz
    bands = len(view.mel)
    axes.imshow(
        view.mel,
        origin="lower",
        aspect="auto",
        cmap="magma",
        interpolation="nearest",
        vmin=float(np.percentile(view.mel, 2)),
        vmax=float(view.mel.max()),
        extent=(view.mel_s[0] - hop_s / 2, view.mel_s[-1] + hop_s / 2, -0.5, bands - 0.5),
    )
    marks_hz = np.array([250, 500, 1000, 2000, 4000, 8000])
    marks_hz = marks_hz[(marks_hz > spec.fmin_hz) & (marks_hz <= spec.fmax_hz)]
    axes.set_yticks(band_of_hz(marks_hz, spec), [f"{hz / 1000:g}" for hz in marks_hz])
    axes.set_ylim(-0.5, bands - 0.5)
    axes.set_ylabel(f"mel, {bands} bands (kHz)", color=INK, fontsize=10)
    pitch = axes.twinx()
    pitch.plot(view.prosody_s, view.f0_hz, color="black", linewidth=4.2, alpha=0.6)
    pitch.plot(view.prosody_s, view.f0_hz, color=SKY, linewidth=2.0)
    pitch.set_ylim(50, 400)
    pitch.set_ylabel("F0 (Hz), light blue", color=INK, fontsize=10)
    pitch.tick_params(labelsize=9, colors=SOFT, length=3)


def draw_curves(axes: Any, view: ClipView) -> None:
    """Energy and lip movement: syllables raise both."""
    axes.fill_between(view.prosody_s, -100, view.energy_db, color=GREEN, alpha=0.16, linewidth=0)
    axes.plot(view.prosody_s, view.energy_db, color=GREEN, linewidth=1.4)
    axes.set_ylim(-75, 3)
    axes.set_ylabel("energy (dBFS)", color=GREEN, fontsize=10)
    lips = axes.twinx()
    height, gap = view.lip_height_px, view.lip_gap_px
    lips.plot(view.lip_s, height, color=ORANGE, linewidth=1.8, marker=".", markersize=4)
    lips.plot(view.lip_s, gap, color=ORANGE, linewidth=1.1, linestyle=(0, (3, 2)))
    lips.set_ylim(0, 1.25 * max(float(height.max()), 1.0))
    lips.set_ylabel("lips (px of source)", color=ORANGE, fontsize=10)
    lips.tick_params(labelsize=9, colors=SOFT, length=3)
    lips.text(
        *(0.006, 0.93, "lip height, outer edges (solid) and gap, inner edges (dashed)"),
        transform=axes.transAxes,
        color=ORANGE,
        fontsize=9,
        va="top",
    )
    axes.grid(axis="x", color=LINE, linewidth=0.5)
