"""The HTML page: one file that needs nothing else, with sortable tables, distributions, and the
best and worst clips to hear and see. Every text from outside passes through `html.escape`."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from evaluation.embeddings import report as embedding_report
from evaluation.inputs.mels import log_mel
from evaluation.inputs.pairs import Recording, Unscorable, clip_label
from evaluation.metrics.base import MetricInfo
from evaluation.reporting import confusions, figures
from evaluation.reporting.tables import (
    Cell,
    Row,
    Table,
    caption,
    failure_lines,
    format_interval,
    format_mean,
    row_counts,
    same_counts,
)
from evaluation.reporting.writers import EvaluationReport, definition, row_heads, row_labels
from evaluation.scoring.run import ScoredRun
from manifests.io import atomic_open
from manifests.ordering import natural
from manifests.records import RunClip

LARGEST_CLIP_TABLE = 3000

esc = html.escape


def write_page(path: Path, report: EvaluationReport, *, rank_by: MetricInfo, n_clips: int) -> None:
    """Writes the page.

    Args:
        rank_by: the metric that decides which clips are best and worst.
        n_clips: how many of each are shown for every system; 0 leaves them out.
    """
    names = [item.run.info.name for item in report.scored]
    sections = [
        *(
            (t.key, t.title, _table_section(report, t))
            for t in (*report.paper, *report.tables, *report.listening)
        ),
        ("distributions", "Distributions", _distributions(report)),
        ("speakers", report.speakers.title, _table_section(report, report.speakers)),
        ("clips", "Best and worst clips", _clips(report, rank_by, n_clips) if n_clips else ""),
        ("confusions", "Letters heard", confusions.section(report.scored)),
        ("embeddings", "Embeddings", _embeddings(report) if report.embeddings else ""),
        ("failures", "Failed and missing", _failures(report)),
        ("every-clip", "Every clip", _every_clip(report)),
        ("definitions", "Definitions", _definitions(report)),
        ("systems", "Systems", _systems(report)),
    ]
    sections = [section for section in sections if section[2]]
    body = "".join(f'<p class="note">{esc(note)}</p>' for note in report.notes)
    body += "\n".join(
        f'<section id="{key}" class="{key}"><h2>{esc(title)}</h2>{content}</section>'
        for key, title, content in sections
    )
    template = Template((resources.files("evaluation.reporting") / "page.html").read_text("utf-8"))
    page = template.substitute(
        title=esc("Evaluation of " + ", ".join(names)),
        lead=esc(" ".join(report.reading())),
        nav="".join(f'<a href="#{key}">{esc(title)}</a>' for key, title, _ in sections),
        body=body,
    )
    with atomic_open(path) as file:
        file.write(page)


# --- tables


def _head(label: str, *, text: bool = False, first: str = "ascending") -> str:
    kind = ' class="text"' if text else ""
    return (
        f'<th scope="col"{kind} aria-sort="none" data-first="{first}">'
        f'<button type="button">{esc(label)}</button></th>'
    )


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    return (
        '<div class="scroll"><table class="sortable"><thead><tr>'
        f"{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _text(content: str) -> str:
    return f'<td class="text">{esc(content)}</td>'


def _cell(cell: Cell, info: MetricInfo, *, counts: bool) -> str:
    mean = esc(format_mean(cell, info))
    mean = f"<b>{mean}</b>" if cell.best else mean
    spread = format_interval(cell, info)
    below = f'<span class="spread">{esc(spread)}</span>' if spread else ""
    why = "; ".join(f"{n} × {reason}" for reason, n in cell.reasons.items())
    counts = counts and not cell.shown
    shown = f'<span class="n" title="{esc(why)}">{cell.counts}</span>' if counts else ""
    value = "" if cell.mean is None else repr(cell.mean)
    return f'<td data-value="{value}">{mean}{below}{shown}</td>'


def _row(table: Table, row: Row, *, shared: bool) -> str:
    *before, label = row_labels(table, row)
    cells = [_text(text) for text in before]
    plain = row.kind in ("model", "reported", row.label.casefold())
    kind = "" if plain else f'<span class="kind">{esc(row.kind)}</span>'
    cells.append(f'<td class="text" data-value="{esc(label)}">{esc(label)}{kind}</td>')
    cells += [
        _cell(cell, info, counts=not shared)
        for cell, info in zip(row.cells, table.columns, strict=True)
    ]
    if shared:
        cells.append(f"<td>{row_counts(row)}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _table_section(report: EvaluationReport, table: Table) -> str:
    shared = same_counts(table)
    heads = [_head(label, text=True) for label in row_heads(table)]
    for info in table.columns:
        first = "descending" if info.direction == "higher" else "ascending"
        heads.append(_head(info.heading, first=first))
    if shared:
        heads.append(_head("n"))
    rows = [_row(table, row, shared=shared) for row in table.rows]
    below = " ".join(caption(table))
    return _table(heads, rows) + (f'<p class="caption">{esc(below)}</p>' if below else "")


def _every_clip(report: EvaluationReport) -> str:
    columns = [metric.info for metric in report.metrics if metric.info.group != "floor"]
    n_rows = sum(len(item.run.clips) for item in report.scored)
    if n_rows > LARGEST_CLIP_TABLE:
        return (
            f'<p class="caption">{n_rows} lines are too many for a page: see report_clips.csv.</p>'
        )
    rows = []
    for item in report.scored:
        for clip in sorted(item.run.clips, key=lambda c: natural(clip_label(c))):
            cells = [_text(item.run.info.name), _text(clip_label(clip))]
            for info in columns:
                score = item.scores.get((clip_label(clip), info.name))
                if score is None:  # the metric does not apply to this run
                    cells.append('<td data-value="">–</td>')
                elif score.value is None:
                    reason = score.reason.split(":")[0]
                    cells.append(
                        f'<td class="bad" data-value="" title="{esc(score.reason)}">'
                        f"{esc(reason)}</td>"
                    )
                else:
                    shown = f"{score.value:.{info.decimals}f}"
                    cells.append(f'<td data-value="{score.value!r}">{shown}</td>')
            rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = [_head("System", text=True), _head("Clip", text=True)]
    heads += [_head(info.heading) for info in columns]
    return f"<details><summary>{n_rows} lines</summary>{_table(heads, rows)}</details>"


def _failures(report: EvaluationReport) -> str:
    lines = failure_lines(report.scored)
    if not lines:
        return '<p class="caption">None: every clip has every score.</p>'
    heads = [_head(name, text=True) for name in ("System", "Reason", "Metrics")] + [_head("Clips")]
    rows = [
        f"<tr>{''.join(map(_text, (name, why, metrics)))}<td>{n}</td></tr>"
        for name, why, metrics, n in lines
    ]
    return _table(heads, rows)


# --- figures


def _distributions(report: EvaluationReport) -> str:
    chosen = [t for t in report.tables if t.key in ("headline", "main")] or report.tables[:1]
    panels = []
    for table, (column, info) in ((t, c) for t in chosen for c in enumerate(t.columns)):
        strips = []
        for item, row in zip(report.scored, table.rows, strict=True):
            values = {
                clip_label(clip): value
                for clip in item.run.clips
                if (score := item.scores.get((clip_label(clip), info.name)))
                and (value := score.value) is not None
            }
            strips.append(figures.Strip(row.label, values, row.cells[column]))
        panels.append(figures.strip_panel(info, strips))
    legend = "".join(
        f'<span><i style="background:{figures.PALETTE[i % len(figures.PALETTE)]}"></i>'
        f"{esc(row.label)}</span>"
        for i, row in enumerate(report.tables[0].rows)
    )
    return (
        f'<p class="legend">{legend}</p><div class="panels">{"".join(panels)}</div>'
        '<p class="caption">A point is a clip (hover for its name); of more than '
        f"{figures.POINTS_A_STRIP} clips, evenly spaced quantiles. Bars are means, lines their "
        "intervals.</p>"
    )


def _clips(report: EvaluationReport, rank_by: MetricInfo, n_clips: int) -> str:
    parts = []
    lead = (
        f'<p class="caption">Ranked by {esc(rank_by.label)}. Sound is inlined at 16 kHz, levels as '
        "they are; the pictures are log-mels, 0–8 kHz from bottom to top, both on the recording's "
        "color scale.</p>"
    )
    columns = [info for table in report.tables for info in table.columns]
    for item in report.scored:
        if item.run.info.kind == "recording":
            continue  # nothing to compare: each would stand beside itself
        ranked = sorted(
            (
                (score.value, natural(clip_label(clip)), clip)
                for clip in item.run.clips
                if (score := item.scores.get((clip_label(clip), rank_by.name)))
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
        cards = "".join(_card(item, clip, tag, columns) for tag, clip in chosen)
        parts.append(f'<h3>{esc(item.run.info.name)}</h3><div class="cards">{cards}</div>')
    return lead + "".join(parts) if parts else ""


def _card(item: ScoredRun, clip: RunClip, tag: str, columns: Sequence[MetricInfo]) -> str:
    label = clip_label(clip)
    sides = [(item.run.info.name, Recording(item.run.wav(clip)))]
    reference = item.run.reference(clip)
    if reference is not None:
        sides.insert(0, ("Recording", Recording(reference)))
    low, high = -11.5, 1.0
    figure_parts = []
    for i, (name, recording) in enumerate(sides):
        try:
            mel = log_mel(recording)
            if i == 0:
                low, high = (float(v) for v in np.percentile(mel, [2, 99.9]))
            content = (
                f'<img src="{figures.mel_uri(mel, low, high)}" alt="log-mel of {esc(label)}, '
                f'{esc(name)}"><audio controls preload="none" '
                f'src="{figures.sound_uri(recording.samples)}"></audio>'
            )
        except Unscorable as failure:
            content = f'<p class="bad">{esc(str(failure))}</p>'
        figure_parts.append(f"<figure><figcaption>{esc(name)}</figcaption>{content}</figure>")
    numbers = []
    wer = item.scores.get((label, "wer"))
    heard = f" · heard: {wer.details['heard'] or '–'}" if wer and "heard" in wer.details else ""
    for info in columns:
        score = item.scores.get((label, info.name))
        value = None if score is None else score.value
        if value is not None and info.group != "input":
            unit = f" {info.unit}" if info.unit else ""
            numbers.append(f"{info.label} {value:.{info.decimals}f}{unit}")
    return (
        f'<article class="card"><header><b>{esc(label)}</b><span class="tag">{tag}</span></header>'
        f'<p class="sentence">{esc(clip.sentence)}{esc(heard)}</p>'
        f'<div class="pair">{"".join(figure_parts)}</div>'
        f'<p class="scores">{esc(" · ".join(numbers))}</p></article>'
    )


def _embeddings(report: EvaluationReport) -> str:
    """Figure 2 of the paper, and its numbers."""
    sets = report.embeddings
    uri = figures.data_uri("image/svg+xml", embedding_report.figure_svg(sets, report.options.seed))
    heads = [_head(name, text=i < 3) for i, name in enumerate(embedding_report.HEADS)]
    rows = [
        "<tr>"
        + "".join(_text(text) if i < 3 else f"<td>{esc(text)}</td>" for i, text in enumerate(row))
        + "</tr>"
        for row in embedding_report.rows(sets)
    ]
    return (
        f'<img class="wide" src="{uri}" alt="t-SNE of face embeddings: same speaker, same color and '
        'marker; unseen speakers with a black border">'
        + _table(heads, rows)
        + f'<p class="caption">{esc(" ".join(embedding_report.READING))}</p>'
    )


# --- small print


def _definitions(report: EvaluationReport) -> str:
    entries = "".join(
        f"<dt>{esc(info.heading)}</dt><dd>{esc(definition(info))} "
        f"<code>{esc(info.name)}</code>{esc(f', license {info.license}.' if info.license else '.')}"
        "</dd>"
        for info in report.columns
    )
    return f"<dl>{entries}</dl>"


def _systems(report: EvaluationReport) -> str:
    parts = []
    for item in report.scored:
        details = json.dumps(item.run.info.to_dict(), indent=2, ensure_ascii=False, default=str)
        parts.append(
            f"<details><summary>{esc(item.run.info.name)} ({esc(item.run.info.kind)}, "
            f"{len(item.run.clips)} of {item.run.info.n_expected} clips)</summary>"
            f"<pre>{esc(details)}</pre></details>"
        )
    return "".join(parts)
