"""What `facetron-eval embeddings` writes: the figure, its points, and the numbers beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation import embedding_figure
from evaluation.embedding_figure import Panel
from evaluation.embeddings import NEIGHBOURS, Embeddings, Measures, measure_groups
from evaluation.tables import fixed
from evaluation.writers import csv_text, markdown
from manifests.console import format_table
from manifests.io import atomic_open, write_csv, write_json
from manifests.records import SCHEMA_VERSION

DASH = "–"
HEADS = (
    "set", "of", "talkers", "clips", "n talkers", "silhouette", f"{NEIGHBOURS}-NN (chance)",
    "cos same", "cos other", "margin", "rank face→prosody (chance)", "first (chance)",
)  # fmt: skip
READING = (
    "Silhouette of the talkers by cosine distance, 0 or a little less where embeddings know none.",
    f"{NEIGHBOURS}-NN: share of clips whose talker the nearest other clips name; chance guesses by "
    "how many clips each talker has.",
    "cos: mean cosine between clips of one talker and of different ones; the margin is 0 where all "
    "embeddings are one point.",
    "rank: of the right talker's mean prosody (without the clip's own) among the set's talkers, by its "
    "cosine to the face; first: share of faces for which it is the nearest.",
    "seen, unseen: each among themselves.",
)


@dataclass(frozen=True)
class Set:
    """One file with its title and numbers."""

    title: str
    embeddings: Embeddings
    measures: dict[tuple[str, str], Measures]


def measured(title: str, embeddings: Embeddings) -> Set:
    return Set(title, embeddings, measure_groups(embeddings))


def titles(embeddings: Sequence[Embeddings]) -> list[str]:
    """`with CS loss` and `without CS loss` for two files; what its writer says of a single one."""
    if len(embeddings) == 2:
        return ["with CS loss", "without CS loss"]
    weight = embeddings[0].info.get("loss_cs")
    if isinstance(weight, int | float):
        return ["with CS loss" if weight > 0 else "without CS loss"]
    return [embeddings[0].path.stem]


def warnings_of(embeddings: Sequence[Embeddings]) -> list[str]:
    """Where the files say something else than their places do."""
    notes = []
    if len(embeddings) == 2:
        for item, expected in zip(embeddings, (True, False), strict=True):
            weight = item.info.get("loss_cs")
            if isinstance(weight, int | float) and (weight > 0) is not expected:
                notes.append(
                    f"{item.path} stands for {'with' if expected else 'without'} CS loss, but was "
                    f"trained with a weight of {weight:g}."
                )
    for item in embeddings:
        if item.seen.all():
            notes.append(f"{item.path}: every talker was seen in training.")
    return notes


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


def terminal(sets: Sequence[Set]) -> str:
    return "\n".join([format_table(HEADS, rows(sets)), *READING])


def caption(item: Set) -> str:
    """The line below a panel."""
    parts = []
    for group in ("all", "seen", "unseen"):
        m = item.measures.get(("face", group))
        if m is not None and m.silhouette is not None:
            knn = "" if m.knn is None else f", {NEIGHBOURS}-NN {m.knn:.2f}"
            parts.append(f"{group}: silhouette {fixed(m.silhouette, 2)}{knn}")
    return "\n".join(parts)


def write(sets: Sequence[Set], out: Path, *, seed: int = 0) -> list[Path]:
    """Writes figure (PNG, SVG), points (CSV) and numbers (JSON, Markdown); returns their paths."""
    faces = [embedding_figure.face_panel(s.embeddings, s.title, seed) for s in sets]
    both = [
        embedding_figure.both_panel(s.embeddings, f"{s.title}: faces and prosody", seed)
        for s in sets
    ]
    second = [panel for panel in both if panel is not None]
    panels = [faces, second] if len(second) == len(faces) else [faces]
    paths = [
        out / name
        for name in ("embeddings.png", "embeddings.svg", "points.csv", "embeddings.json",
                     "embeddings.md")
    ]  # fmt: skip
    embedding_figure.draw(panels, paths[:2], [caption(item) for item in sets])
    _write_points(paths[2], [panel for row in panels for panel in row])
    write_json(
        paths[3],
        {
            "schema": "embedding-measures",
            "schema_version": SCHEMA_VERSION,
            "seed": seed,
            "sets": [_values(item) for item in sets],
        },
    )
    _write_markdown(paths[4], sets)
    return paths


def _write_points(path: Path, panels: Sequence[Panel]) -> None:
    lines = []
    for panel in panels:
        for i, (x, y) in enumerate(panel.points.tolist()):
            names = (panel.speaker[i], panel.stem[i], panel.gender[i])
            lines.append(
                [csv_text(panel.key[0]), panel.key[1], panel.kinds[i], *map(csv_text, map(str, names)),
                 int(panel.seen[i]), f"{x:.4f}", f"{y:.4f}"]
            )  # fmt: skip
    columns = ("set", "panel", "kind", "speaker", "stem", "gender", "seen", "x", "y")
    write_csv(path, columns, lines)


def _values(item: Set) -> dict[str, Any]:
    found = []
    for (kind, group), m in item.measures.items():
        derived = {
            "margin": m.margin, "rank_chance": m.rank_chance, "top1_chance": m.top1_chance,
        }  # fmt: skip
        found.append({"of": kind, "talkers": group, **vars(m), **derived})
    return {
        "title": item.title,
        "file": item.embeddings.path.name,
        "info": item.embeddings.info,
        "measures": found,
    }


def _write_markdown(path: Path, sets: Sequence[Set]) -> None:
    lines = [list(map(markdown, HEADS)), ["---"] * 3 + ["---:"] * (len(HEADS) - 3)]
    lines += [list(map(markdown, row)) for row in rows(sets)]
    parts = [
        "# Embeddings",
        "![t-SNE of the embeddings: same talker, same colour and marker; unseen talkers with a black "
        "border](embeddings.png)",
        "\n".join(f"| {' | '.join(line)} |" for line in lines),
        "\n".join(f"- {markdown(sentence)}" for sentence in READING),
    ]
    with atomic_open(path) as file:
        file.write("\n\n".join(parts) + "\n")
