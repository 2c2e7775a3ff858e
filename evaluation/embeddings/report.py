"""Writes the files of `facetron-eval embeddings`: the figure, its points, and the numbers beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.embeddings import figure
from evaluation.embeddings.figure import Panel
from evaluation.embeddings.measures import NEIGHBORS, Measures
from evaluation.embeddings.sets import Set
from evaluation.reporting.printed import (
    PrintedTable,
    bullets,
    markdown_table,
    terminal_table,
    text_table,
    write_document,
)
from evaluation.stats.numbers import fixed
from manifests.io import write_json
from manifests.records import SCHEMA_VERSION
from manifests.tables import write_csv

DASH = "–"
HEADS = (
    "set", "of", "speakers", "clips", "n speakers", "silhouette", f"{NEIGHBORS}-NN (chance)",
    "cos same", "cos other", "margin", "rank face→prosody (chance)", "first (chance)",
)  # fmt: skip
READING = (
    "Silhouette of the speakers by cosine distance, 0 or a little less where embeddings know none.",
    f"{NEIGHBORS}-NN: share of clips whose speaker the nearest other clips name; chance guesses by "
    "how many clips each speaker has.",
    "cos: mean cosine between clips of one speaker and of different ones; the margin is 0 where all "
    "embeddings are one point.",
    "rank: of the right speaker's mean prosody (without the clip's own) among the set's speakers, by its "
    "cosine to the face; first: share of faces for which it is the nearest.",
    "seen, unseen: each among themselves.",
)


def _with_chance(value: float | None, chance: float | None, digits: int) -> str:
    if value is None or chance is None:
        return DASH
    return f"{fixed(value, digits)} ({fixed(chance, digits)})"


def cells(title: str, kind: str, group: str, m: Measures) -> list[str]:
    def number(value: float | None) -> str:
        return DASH if value is None else fixed(value, 3)

    return [
        title,
        kind,
        group,
        str(m.n_clips),
        str(m.n_speakers),
        number(m.silhouette),
        _with_chance(m.knn, m.knn_chance, 3),
        number(m.same),
        number(m.other),
        number(m.margin),
        _with_chance(m.rank, m.rank_chance, 2),
        _with_chance(m.top1, m.top1_chance, 3),
    ]


def rows(sets: Sequence[Set]) -> list[list[str]]:
    return [
        cells(item.title, kind, group, m)
        for item in sets
        for (kind, group), m in item.measures.items()
    ]


def table(sets: Sequence[Set]) -> PrintedTable:
    """The numbers as they are printed, a row for each group of a set."""
    return text_table(
        HEADS, rows(sets), key="embeddings", title="Embeddings", n_text=3, caption=" ".join(READING)
    )


def terminal(sets: Sequence[Set]) -> str:
    return "\n".join([terminal_table(table(sets)), *READING])


def caption(item: Set) -> str:
    """The line below a panel."""
    parts = []
    for group in ("all", "seen", "unseen"):
        m = item.measures.get(("face", group))
        if m is not None and m.silhouette is not None:
            knn = "" if m.knn is None else f", {NEIGHBORS}-NN {m.knn:.2f}"
            parts.append(f"{group}: silhouette {fixed(m.silhouette, 2)}{knn}")
    return "\n".join(parts)


def panels(sets: Sequence[Set], seed: int = 0) -> list[list[Panel]]:
    """A row of faces, and a second one of faces with prosody where all sets have both."""
    faces = [figure.face_panel(s.embeddings, s.title, seed) for s in sets]
    both = [figure.both_panel(s.embeddings, f"{s.title}: faces and prosody", seed) for s in sets]
    second = [panel for panel in both if panel is not None]
    return [faces, second] if len(second) == len(faces) else [faces]


def figure_svg(sets: Sequence[Set], seed: int = 0) -> bytes:
    """Figure 2 as `write` draws it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "embeddings.svg"
        figure.draw(panels(sets, seed), [path], [caption(item) for item in sets])
        return path.read_bytes()


def write(sets: Sequence[Set], out: Path, *, seed: int = 0) -> list[Path]:
    """Writes figure (PNG, SVG), points (CSV) and numbers (JSON, Markdown); returns their paths."""
    rows_of_panels = panels(sets, seed)
    paths = [
        out / name
        for name in ("embeddings.png", "embeddings.svg", "points.csv", "embeddings.json",
                     "embeddings.md")
    ]  # fmt: skip
    figure.draw(rows_of_panels, paths[:2], [caption(item) for item in sets])
    _write_points(paths[2], [panel for row in rows_of_panels for panel in row])
    write_json(
        paths[3],
        {
            "schema": "embedding-measures",
            "schema_version": SCHEMA_VERSION,
            "seed": seed,
            "sets": [_values(item) for item in sets],
        },
    )
    _write_document(paths[4], sets)
    return paths


def _write_points(path: Path, panels: Sequence[Panel]) -> None:
    lines = []
    for panel in panels:
        for i, (x, y) in enumerate(panel.points.tolist()):
            names = (panel.speaker[i], panel.stem[i], panel.gender[i])
            lines.append(
                [*panel.key, panel.kinds[i], *map(str, names), int(panel.seen[i]), f"{x:.4f}", f"{y:.4f}"]
            )  # fmt: skip
    columns = ("set", "panel", "kind", "speaker", "stem", "gender", "seen", "x", "y")
    write_csv(path, columns, lines)


def _values(item: Set) -> dict[str, Any]:
    found = []
    for (kind, group), m in item.measures.items():
        derived = {
            "margin": m.margin, "rank_chance": m.rank_chance, "top1_chance": m.top1_chance,
        }  # fmt: skip
        found.append({"of": kind, "speakers": group, **vars(m), **derived})
    return {
        "title": item.title,
        "file": item.embeddings.path.name,
        "info": item.embeddings.info,
        "measures": found,
    }


def _write_document(path: Path, sets: Sequence[Set]) -> None:
    parts = [
        "# Embeddings",
        "![t-SNE of the embeddings: same speaker, same color and marker; unseen speakers with a black "
        "border](embeddings.png)",
        markdown_table(table(sets)),
        bullets(READING),
    ]
    write_document(path, parts)
