"""Figure 2 of the paper: t-SNE of face embeddings, with CS loss left and without it right.

Its marks: the embeddings of one speaker have the same color and marker and are joined by translucent
lines; those of unseen speakers have a black border. Where there are prosody embeddings in the same
space, a second row shows both kinds together, prosody as small pale marks of the speaker's color.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.embeddings.measures import Array, Embeddings
from manifests.io import atomic_path
from manifests.ordering import natural

PERPLEXITY = 30.0
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
COLORS = (
    "#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#e377c2", "#17a2b8",
    "#bcbd22", "#5f6b7a", "#003f88",
)  # fmt: skip
"""Eleven colors and twelve markers go round separately: the first 132 speakers have pairs of their own."""


@dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        title: above it.
        key: of its points in `points.csv`: the set's file, then `face` or `face+prosody`.
        points: (N, 2).
        kinds: (N,) `face` or `prosody`.
        speaker, stem, gender: (N,). seen: (N,) bool.
    """

    title: str
    key: tuple[str, str]
    points: Array
    kinds: NDArray[np.str_]
    speaker: NDArray[np.str_]
    stem: NDArray[np.str_]
    gender: NDArray[np.str_]
    seen: NDArray[np.bool_]


def tsne(vectors: Array, seed: int = 0) -> Array:
    """(N, E) → (N, 2) by scikit-learn's t-SNE on cosine distances, started from the principal
    components, so that a seed gives one picture. Up to three points, which t-SNE cannot place, are
    shown by their principal components."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    n = len(unit)
    if n < 4:
        flat = np.zeros((n, 2))
        if n > 1 and unit.shape[1] > 1:
            flat = PCA(min(2, n, unit.shape[1])).fit_transform(unit)
            flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
        return np.asarray(flat)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that are zero where all points are one
        start = PCA(2, random_state=seed).fit_transform(unit) if unit.shape[1] > 1 else None
        if start is None or start[:, 0].std() < 1e-9:
            start = np.random.default_rng(seed).standard_normal((n, 2))
        model = TSNE(
            perplexity=min(PERPLEXITY, (n - 1) / 3),
            metric="cosine",
            init=1e-4 * start / start[:, 0].std(),
            random_state=seed,
        )
        return np.asarray(model.fit_transform(unit), np.float64)


def face_panel(embeddings: Embeddings, title: str, seed: int = 0) -> Panel:
    return Panel(
        title,
        (embeddings.path.name, "face"),
        tsne(embeddings.face, seed),
        np.full(len(embeddings), "face"),
        embeddings.speaker,
        embeddings.stem,
        embeddings.gender,
        embeddings.seen,
    )


def both_panel(embeddings: Embeddings, title: str, seed: int = 0) -> Panel | None:
    """Faces and prosody in one plane; None where they do not share a space."""
    prosody = embeddings.prosody
    if prosody is None or prosody.shape[1] != embeddings.face.shape[1]:
        return None
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (embeddings.face, prosody)]
    twice = np.tile(np.arange(len(embeddings)), 2)
    return Panel(
        title,
        (embeddings.path.name, "face+prosody"),
        tsne(np.concatenate(unit), seed),
        np.repeat(["face", "prosody"], len(embeddings)),
        embeddings.speaker[twice],
        embeddings.stem[twice],
        embeddings.gender[twice],
        embeddings.seen[twice],
    )


def mark(index: int) -> tuple[str, str]:
    """(color, marker) of the speaker at this place in the list."""
    return COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]


def draw(rows: Sequence[Sequence[Panel]], paths: Sequence[Path], captions: Sequence[str]) -> None:
    """Draws rows of panels with one legend, to each path in the format of its suffix.

    Args:
        captions: below each panel of the first row, its numbers.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    panels = [panel for row in rows for panel in row]
    speakers = sorted({s for panel in panels for s in panel.speaker.tolist()}, key=natural)
    unseen = {s for p in panels for s in p.speaker[~p.seen].tolist()}
    columns = max(len(row) for row in rows)
    figure = Figure(figsize=(5.6 * columns + 1.8, 5.4 * len(rows) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for i, row in enumerate(rows):
        for j in range(columns):
            axes = grid[i][j]
            if j >= len(row):
                axes.set_axis_off()
                continue
            _plot(axes, row[j], speakers)
            if i == 0 and j < len(captions):
                axes.set_xlabel(captions[j], fontsize=9)
    handles = []
    for index, speaker in enumerate(speakers):
        color, marker = mark(index)
        edge = "black" if speaker in unseen else color
        name = f"{speaker} (unseen)" if speaker in unseen else speaker
        handles.append(
            Line2D([], [], marker=marker, color="none", markerfacecolor=color,
                   markeredgecolor=edge, markersize=7, label=_plain(name))
        )  # fmt: skip
    if any("prosody" in panel.kinds for panel in panels):
        handles.append(
            Line2D([], [], marker="o", color="none", markerfacecolor="#dddddd",
                   markeredgecolor="#555555", markersize=5, label="small, pale: prosody")
        )  # fmt: skip
    figure.legend(
        handles=handles,
        loc="outside right upper",
        ncols=1 + (len(handles) - 1) // (20 * len(rows)),
        fontsize=8,
        frameon=False,
    )
    for path in paths:
        with atomic_path(path) as temporary:
            # No date in the file: the same embeddings give the same bytes.
            kind = path.suffix[1:]
            metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
            with _named_ids():
                figure.savefig(temporary, format=kind, dpi=130, metadata=metadata)


def _named_ids() -> Any:
    """SVG element ids that do not change from run to run, letters as paths."""
    from matplotlib import rc_context

    return rc_context({"svg.hashsalt": "facetron"})


def _plain(text: str) -> str:
    """Text that matplotlib will not read as mathematics, nor a legend as something to leave out."""
    shown = text.replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _plot(axes: Any, panel: Panel, speakers: Sequence[str]) -> None:
    from matplotlib.colors import to_rgba

    axes.set_title(_plain(panel.title), fontsize=11)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#cccccc")
    size = float(np.clip(9000 / max(len(panel.points), 1), 14, 60))
    for index, speaker in enumerate(speakers):
        color, marker = mark(index)
        for kind in ("face", "prosody"):
            rows = (panel.speaker == speaker) & (panel.kinds == kind)
            if not rows.any():
                continue
            points = panel.points[rows]
            if kind == "face":
                for a, b in tree(points):
                    axes.plot(*points[[a, b]].T, color=color, alpha=0.3, linewidth=1.2, zorder=1)
            black = not panel.seen[rows].any()
            axes.scatter(
                *points.T,
                marker=marker,
                s=size if kind == "face" else 0.45 * size,
                facecolors=to_rgba(color, 0.9 if kind == "face" else 0.15),
                edgecolors="black" if black else color,
                linewidths=1.0 if kind == "face" else 0.8,
                zorder=3 if kind == "face" else 2,
            )


def tree(points: Array) -> list[tuple[int, int]]:
    """Edges that join (N, 2) points with the least length: the line of a speaker, without loops."""
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.spatial.distance import cdist

    # What is close to zero would be read as "no edge".
    edges = minimum_spanning_tree(cdist(points, points) + 1e-6).tocoo()
    return list(zip(edges.row.tolist(), edges.col.tolist(), strict=True))
