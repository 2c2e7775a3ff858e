"""The HTML page: one file that needs nothing else, with sortable tables, distributions, and the best and
worst clips to hear and see. This module collects what `report.html` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.embeddings import report as embedding_report
from evaluation.inputs.mels import log_mel
from evaluation.inputs.pairs import Recording, Unscorable
from evaluation.metrics.base import MetricInfo
from evaluation.reporting import confusions, figures, protocol
from evaluation.reporting.face_grid import face_grid
from evaluation.reporting.printed import Head, Printed, PrintedTable, printed
from evaluation.reporting.writers import EvaluationReport, definition, failure_table
from evaluation.scoring.run import ScoredRun
from manifests.html import data_uri, render
from manifests.io import write_text
from manifests.ordering import natural
from manifests.records import RunClip

LARGEST_CLIP_TABLE = 3000
MEL_RANGE = (-11.5, 1.0)
"""Colors of a log-mel whose recording cannot be read."""


def write_page(path: Path, report: EvaluationReport, *, rank_by: MetricInfo, n_clips: int) -> None:
    """Writes the page.

    Args:
        rank_by: the metric that decides which clips are best and worst.
        n_clips: how many of each are shown for every system; 0 leaves them out.
    """
    tables = [printed(t) for t in (*report.paper, *report.tables, *report.listening)]
    faces = face_grid(report.scored) if n_clips else None
    shown = _systems_shown(report, rank_by, n_clips) if n_clips and faces is None else []
    matrices = confusions.matrices(report.scored)
    nav = [
        *((table.key, table.title) for table in tables),
        ("distributions", "Distributions"),
        ("speakers", report.speakers.title),
        *([("faces", "Speech, picture, truth")] if faces else []),
        *([("clips", "Best and worst clips")] if shown else []),
        *([("confusions", "Letters heard")] if matrices else []),
        *([("embeddings", "Embeddings")] if report.embeddings else []),
        ("failures", "Failed and missing"),
        ("every-clip", "Every clip"),
        ("protocol", "Protocol"),
        ("definitions", "Definitions"),
        ("systems", "Systems"),
    ]
    page = render(
        "evaluation.reporting",
        "report.html",
        title="Evaluation of " + ", ".join(item.run.info.name for item in report.scored),
        lead=" ".join(report.reading()),
        nav=nav,
        notes=report.notes,
        tables=tables,
        legend=[(figures.color(i), row.label) for i, row in enumerate(report.tables[0].rows)],
        panels=_panels(report),
        points_a_strip=figures.POINTS_A_STRIP,
        speakers=printed(report.speakers),
        systems_shown=shown,
        faces=faces,
        rank_by=rank_by.label,
        confusions=matrices,
        embeddings=_embeddings(report),
        failures=failure_table(report),
        every_clip=_every_clip(report),
        n_clip_lines=sum(len(item.run.clips) for item in report.scored),
        definitions=[
            {
                "heading": info.heading,
                "name": info.name,
                "text": definition(info),
                "license": f", license {info.license}." if info.license else ".",
            }
            for info in report.columns
        ],
        protocol=protocol.sentences(report.protocol),
        method=[*report.method(), *report.captions(cut=True)],
        systems=[
            {
                "summary": f"{item.run.info.name} ({item.run.info.kind}, {len(item.run.clips)} of "
                f"{item.run.info.n_expected} clips)",
                "details": json.dumps(
                    item.run.info.to_dict(), indent=2, ensure_ascii=False, default=str
                ),
            }
            for item in report.scored
        ],
    )
    write_text(path, page)


def _every_clip(report: EvaluationReport) -> PrintedTable | None:
    """A row for each clip of each system; None where they are too many for a page."""
    columns = [metric.info for metric in report.metrics if metric.info.group != "floor"]
    if sum(len(item.run.clips) for item in report.scored) > LARGEST_CLIP_TABLE:
        return None
    rows = []
    for item in report.scored:
        for clip in sorted(item.run.clips, key=lambda c: natural(c.label)):
            cells = [Printed(item.run.info.name), Printed(clip.label)]
            for info in columns:
                score = item.scores.get((clip.label, info.name))
                if score is None:  # the metric does not apply to this run
                    cells.append(Printed("–", value=None))
                elif score.value is None:
                    reason = score.reason.split(":")[0]
                    cells.append(Printed(reason, why=score.reason, value=None, is_bad=True))
                else:
                    text = f"{score.value:.{info.decimals}f}"
                    cells.append(Printed(text, value=score.value))
            rows.append(tuple(cells))
    heads = [Head("System", is_text=True), Head("Clip", is_text=True)]
    heads += [Head(info.heading) for info in columns]
    return PrintedTable("every-clip", "Every clip", tuple(heads), tuple(rows))


def _panels(report: EvaluationReport) -> list[figures.Panel]:
    chosen = [
        t for t in report.tables if t.key in ("headline", "main", "face_who")
    ] or report.tables[:1]
    panels = []
    for table, (column, info) in ((t, c) for t in chosen for c in enumerate(t.columns)):
        strips = []
        for item, row in zip(report.scored, table.rows, strict=False):  # controls follow
            values = {
                clip.label: value
                for clip in item.run.clips
                if (score := item.scores.get((clip.label, info.name)))
                and (value := score.value) is not None
            }
            strips.append(figures.Strip(row.label, values, row.cells[column]))
        panel = figures.strip_panel(info, strips)
        if panel is not None:
            panels.append(panel)
    return panels


def _systems_shown(
    report: EvaluationReport, rank_by: MetricInfo, n_clips: int
) -> list[dict[str, Any]]:
    columns = [info for table in report.tables for info in table.columns]
    shown = []
    for item in report.scored:
        if item.run.info.kind == "recording":
            continue  # nothing to compare: each would stand beside itself
        ranked = sorted(
            (
                (score.value, natural(clip.label), clip)
                for clip in item.run.clips
                if (score := item.scores.get((clip.label, rank_by.name)))
                and score.value is not None
            ),
            key=lambda entry: entry[:2],
            reverse=rank_by.direction != "lower",
        )
        if not ranked:
            continue
        # With few clips, best and worst must not show the same one twice.
        n_best = min(n_clips, (len(ranked) + 1) // 2)
        n_worst = min(n_clips, len(ranked) - n_best)
        chosen = [("best", clip) for _, _, clip in ranked[:n_best]]
        chosen += [("worst", clip) for _, _, clip in ranked[len(ranked) - n_worst :][::-1]]
        cards = [_card(item, clip, tag, columns) for tag, clip in chosen]
        shown.append({"name": item.run.info.name, "cards": cards})
    return shown


def _card(
    item: ScoredRun, clip: RunClip, tag: str, columns: Sequence[MetricInfo]
) -> dict[str, Any]:
    label = clip.label
    sides = [(item.run.info.name, Recording(item.run.wav(clip)))]
    reference = item.run.reference(clip)
    if reference is not None:
        sides.insert(0, ("Recording", Recording(reference)))
    low, high = MEL_RANGE
    drawn = []
    for i, (name, recording) in enumerate(sides):
        side = {"name": name, "mel": "", "sound": "", "failure": ""}
        try:
            mel = log_mel(recording)
            if i == 0:
                low, high = (float(v) for v in np.percentile(mel, [2, 99.9]))
            side["mel"] = figures.mel_uri(mel, low, high)
            side["sound"] = figures.sound_uri(recording.samples)
        except Unscorable as failure:
            side["failure"] = str(failure)
        drawn.append(side)
    numbers = []
    for info in columns:
        score = item.scores.get((label, info.name))
        value = None if score is None else score.value
        if value is not None and info.group != "input":
            unit = f" {info.unit}" if info.unit else ""
            numbers.append(f"{info.label} {value:.{info.decimals}f}{unit}")
    wer = item.scores.get((label, "wer"))
    heard = f" · heard: {wer.details['heard'] or '–'}" if wer and "heard" in wer.details else ""
    return {
        "label": label,
        "tag": tag,
        "sentence": f"{clip.sentence}{heard}",
        "sides": drawn,
        "scores": " · ".join(numbers),
    }


def _embeddings(report: EvaluationReport) -> dict[str, Any] | None:
    """Figure 2 of the paper, and its numbers."""
    if not report.embeddings:
        return None
    figure = embedding_report.figure_svg(report.embeddings, report.options.seed)
    return {
        "figure": data_uri("image/svg+xml", figure),
        "table": embedding_report.table(report.embeddings),
    }
