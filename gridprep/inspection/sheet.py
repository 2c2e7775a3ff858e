"""A sheet: one picture that shows a clip and its features on a common time axis.

Laid out in pixels, because the lip crops tile the time axis: each stands where its frame is shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridprep.inspection import panels
from gridprep.inspection.style import BLUE, INK, LINE, ORANGE, SKY, SOFT, WASH
from gridprep.inspection.view import ClipView
from manifests.records import POINT_NAMES
from manifests.specs import CLIP_FRAMES, CLIP_SECONDS

WIDTH_PX, HEIGHT_PX = 1500, 1175
LEFT_PX, RIGHT_PX = 76, 74
DPI = 100

_GROUPS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    # color, points, whether a line closes round them
    (SKY, ("right_eye_outer", "right_eye_inner"), False),
    (SKY, ("left_eye_inner", "left_eye_outer"), False),
    (SKY, ("nose_bridge", "nose_tip", "nose_base"), False),
    (
        "#ffe14d",
        (
            *("mouth_right", "lip_upper_right", "lip_top_outer", "lip_upper_left"),
            *("mouth_left", "lip_lower_left", "lip_bottom_outer", "lip_lower_right"),
        ),
        True,
    ),
    ("#ff8fb1", ("lip_top_inner", "lip_bottom_inner"), False),
    ("#b6f2a1", ("jaw_right", "chin", "jaw_left"), False),
)

_QC = (
    ("av_offset_frames", "sound after lips", "{:+.1f} frames"),
    ("av_correlation", "correlation at that lag", "{:.2f}"),
    ("av_margin", "its margin over the next lag", "{:.2f}"),
    ("jitter_px", "landmark jitter", "{:.2f} px"),
    ("interpolated_frames", "frames interpolated", "{:.0f}"),
    ("mouth_off_center_px", "mouth off center, at most", "{:.1f} px"),
    ("lips_border_px", "lip crop over border", "{:.1f} px"),
    ("face_border_px", "face crop over border", "{:.1f} px"),
    ("scale", "enlargement to mean face", "{:.2f} ×"),
    ("rms_dbfs", "level", "{:.1f} dBFS"),
    ("f0_median_hz", "median F0", "{:.0f} Hz"),
    ("voiced_share", "voiced", "{:.0%}"),
)


def draw_sheet(view: ClipView) -> NDArray[np.uint8]:
    """(HEIGHT_PX, WIDTH_PX, 3) uint8 RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    row = view.row
    _text(figure, LEFT_PX, 30, f"{row.speaker} / {row.stem}", 17, INK, weight="bold")
    _text(figure, LEFT_PX + 190, 30, row.sentence, 17, INK)
    about = [row.gender, row.subset, row.source_path, *row.flags]
    _text(figure, LEFT_PX, 56, "  ·  ".join(a for a in about if a), 10.5, SOFT)
    top = 78
    _draw_frame(_axes(figure, LEFT_PX, top, 375, 300), view)
    _draw_faces(figure, LEFT_PX + 375 + 24, top, view)
    _draw_numbers(figure, LEFT_PX + 375 + 24 + 505 + 28, top, view)

    width = WIDTH_PX - LEFT_PX - RIGHT_PX
    tile = width * panels.STRIP_EVERY / CLIP_FRAMES
    y = 462.0
    drawn = []
    for height, gap, draw in (
        (tile, 0, panels.draw_strip),
        (28, 4, panels.draw_words),
        (96, 4, panels.draw_wave),
        (250, 10, panels.draw_mel),
        (170, 10, panels.draw_curves),
    ):
        y += gap
        axes = _axes(figure, LEFT_PX, y, width, height)
        draw(axes, view)
        axes.set_xlim(0, CLIP_SECONDS)
        drawn.append(axes)
        y += height
    for axes in drawn[:-1]:
        axes.tick_params(axis="x", bottom=False, labelbottom=False)
    panels.frame_ticks(drawn[0])
    panels.word_lines(drawn[2:], view)
    last = drawn[-1]
    last.set_xticks(np.arange(0, CLIP_SECONDS + 0.01, 0.25))
    last.set_xlabel("time (s)", color=INK, fontsize=10)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    return np.ascontiguousarray(pixels[..., :3])


def _axes(figure: Any, x: float, y: float, width: float, height: float) -> Any:
    """Axes with their top left corner at (x, y), all in pixels of the sheet."""
    axes = figure.add_axes(
        (
            x / WIDTH_PX,
            1 - (y + height) / HEIGHT_PX,
            width / WIDTH_PX,
            height / HEIGHT_PX,
        )
    )
    axes.tick_params(labelsize=9, colors=SOFT, length=3)
    for spine in axes.spines.values():
        spine.set_color(LINE)
    return axes


def _text(figure: Any, x: float, y: float, text: str, size: float, color: str, **more: Any) -> Any:
    # parse_math: a `$` in a path is no formula.
    return figure.text(
        *(x / WIDTH_PX, 1 - y / HEIGHT_PX, text),
        **{"fontsize": size, "color": color, "va": "center", "parse_math": False, **more},
    )


def _draw_frame(axes: Any, view: ClipView) -> None:
    """The source picture with points and crop boxes, or a note where it is gone."""
    axes.set_xticks([])
    axes.set_yticks([])
    if view.frame is None:
        axes.set_facecolor(WASH)
        note = f"no source picture:\n{view.frame_note}"
        axes.text(
            *(0.5, 0.5, note),
            ha="center",
            va="center",
            color=SOFT,
            fontsize=10,
            wrap=True,
            transform=axes.transAxes,
            parse_math=False,
        )
        return
    height, width = view.frame.shape[:2]
    axes.imshow(view.frame, interpolation="bicubic", aspect="auto")
    for box, color in ((view.face_box_px, BLUE), (view.lip_box_px, ORANGE)):
        closed = np.vstack([box, box[:1]])
        axes.plot(*closed.T, color="white", linewidth=3.2, alpha=0.55)
        axes.plot(*closed.T, color=color, linewidth=1.8)
    for color, names, closed_line in _GROUPS:
        points = view.points_px[[POINT_NAMES.index(name) for name in names]]
        line = np.vstack([points, points[:1]]) if closed_line else points
        axes.plot(*line.T, color=color, linewidth=0.9, alpha=0.9)
        axes.plot(*points.T, "o", color=color, markersize=3.4, markeredgecolor=INK, mew=0.5)
    # Crops may reach over the border: the picture then shrinks to show by how much.
    boxes = np.vstack([view.face_box_px, view.lip_box_px, [[0, 0]], [[width - 1, height - 1]]])
    (x0, y0), (x1, y1) = boxes.min(0) - 0.5, boxes.max(0) + 0.5
    spare = max((x1 - x0) / width, (y1 - y0) / height)
    x_mid, y_mid = (x0 + x1) / 2, (y0 + y1) / 2
    axes.set_xlim(x_mid - spare * width / 2, x_mid + spare * width / 2)
    axes.set_ylim(y_mid + spare * height / 2, y_mid - spare * height / 2)
    axes.set_aspect("equal", adjustable="datalim")  # pictures of any shape, undistorted
    axes.set_facecolor(WASH)
    figure = axes.figure
    y = 78 + 300 + 14
    size = f"{width}×{height}"
    label = f"frame {view.frame_number} of {size}, widest open mouth"
    _text(figure, LEFT_PX, y, label, 9.5, SOFT)
    _text(figure, LEFT_PX + 375, y, "■ face", 9.5, BLUE, ha="right")
    _text(figure, LEFT_PX + 325, y, "■ lips", 9.5, ORANGE, ha="right")


def _draw_faces(figure: Any, x: float, y: float, view: ClipView) -> None:
    """Up to 15 face stills, five in a row, each with its frame number."""
    chosen = np.linspace(0, len(view.faces) - 1, min(15, len(view.faces))).round().astype(int)
    for k, i in enumerate(chosen):
        axes = _axes(figure, x + k % 5 * 101, y + k // 5 * 101, 98, 98)
        axes.imshow(view.faces[i], interpolation="bilinear", aspect="auto")
        axes.axis("off")
        axes.text(
            *(0.04, 0.93, str(view.face_frames[i])),
            transform=axes.transAxes,
            color="white",
            fontsize=8,
            va="top",
            bbox={"facecolor": "black", "alpha": 0.45, "pad": 1.2, "linewidth": 0},
        )
    side = view.faces.shape[1]
    label = f"face stills {side}×{side} px, {len(view.faces)} stored, number of the video frame"
    _text(figure, x, y + 314, label, 9.5, SOFT)


def _draw_numbers(figure: Any, x: float, y: float, view: ClipView) -> None:
    """The clip's QC numbers."""
    rows = []
    for key, label, form in _QC:
        value = view.row.qc.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            rows.append((label, form.format(value).replace("-", "−")))
    rows.append(("zeros appended", f"{view.row.samples_added} samples"))
    for i, (label, value) in enumerate(rows):
        _text(figure, x, y + 10 + 23.5 * i, label, 10.5, SOFT)
        _text(figure, WIDTH_PX - RIGHT_PX, y + 10 + 23.5 * i, value, 10.5, INK, ha="right")
