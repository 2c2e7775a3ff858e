"""The HTML page: one file that needs nothing else. Every text from outside is escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from string import Template
from typing import Any

from gridprep.inspection.criteria import Criterion, confident_offset, number
from gridprep.inspection.markup import cell, data_uri, esc, head, histogram, signed, table
from gridprep.inspection.outliers import FailureGroup, Finding, Ranking, Speaker
from manifests.io import SUBSETS
from manifests.sync import CONFIDENT_MARGIN


@dataclass(frozen=True)
class SheetPicture:
    """A sheet on the page.

    Attributes:
        file: name of the full PNG beside the page.
        jpeg: what the page itself carries.
    """

    speaker: str
    clip_id: str
    sentence: str
    file: str
    jpeg: bytes


@dataclass(frozen=True)
class PageContent:
    """All that the page shows.

    Attributes:
        facts: what to print in the lead, in order.
        thumbnails: clip → JPEG of a few of its pictures.
        notes: what could not be shown, and why.
        provenance: of the build, shown as it is.
    """

    title: str
    facts: tuple[str, ...]
    speakers: tuple[Speaker, ...]
    rankings: tuple[Ranking, ...]
    failures: tuple[FailureGroup, ...]
    sheets: tuple[SheetPicture, ...]
    thumbnails: dict[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)


def render(content: PageContent) -> str:
    """The page's text."""
    sections = [
        ("speakers", "Speakers", _speakers(content)),
        ("outliers", "Outliers", _outliers(content)),
        ("failures", "Failures", _failures(content.failures)),
        ("sheets", "Sheets", _sheets(content.sheets)),
        ("provenance", "Provenance", _provenance(content.provenance)),
    ]
    sections = [section for section in sections if section[2]]
    body = _tiles(content)
    body += "".join(f'<p class="note">{esc(note)}</p>' for note in content.notes)
    body += "\n".join(
        f'<section id="{key}"><h2>{esc(title)}</h2>{inner}</section>'
        for key, title, inner in sections
    )
    template = Template((resources.files("gridprep.inspection") / "page.html").read_text("utf-8"))
    return template.substitute(
        title=esc(content.title),
        lead=esc("  ·  ".join(content.facts)),
        nav="".join(f'<a href="#{key}">{esc(title)}</a>' for key, title, _ in sections),
        body=body,
    )


def _tiles(content: PageContent) -> str:
    rows = sum(t.rows for t in content.speakers)
    failed = sum(t.failures for t in content.speakers)
    flagged = sum(t.flagged for t in content.speakers)
    tiles = [
        (f"{rows + failed:,}", "clips"),
        (f"{rows:,}", "rows in the manifest"),
        (f"{failed:,}", "failures"),
        (f"{flagged:,}", "rows flagged below"),
        (str(len(content.speakers)), "speakers"),
    ]
    for subset in SUBSETS:
        count = sum(t.subsets.get(subset, 0) for t in content.speakers)
        tiles.append((f"{count:,}", subset))
    inner = "".join(f'<div class="tile"><b>{a}</b><span>{esc(b)}</span></div>' for a, b in tiles)
    return f'<div class="tiles">{inner}</div>'


def _speakers(content: PageContent) -> str:
    drawn = {sheet.speaker for sheet in content.sheets}
    heads = [
        head("speaker", text=True),
        head("gender", text=True),
        head("subset", text=True),
        head("rows"),
        head("failures"),
        head("flagged"),
        head("jitter", "px"),
        head("no face", "% of frames"),
        head("over border", "clips"),
        head("face", "× enlarged"),
        head("level", "dBFS"),
        head("F0", "Hz"),
        head("sound after lips", "frames"),
        head("sure", "% of clips"),
        head("zeros appended", "samples"),
    ]
    rows = []
    for t in content.speakers:
        subsets = ", ".join(
            s if len(t.subsets) == 1 else f"{s} {t.subsets[s]}" for s in SUBSETS if t.subsets.get(s)
        )
        cells = [
            _link(t.speaker) if t.speaker in drawn else cell(t.speaker, kind="text"),
            cell(t.gender, kind="text"),
            cell(subsets, kind="text"),
            cell(f"{t.rows:,}"),
            cell(f"{t.failures:,}", bad=t.failures > 0),
            cell(f"{t.flagged:,}"),
            cell(signed(t.jitter_px, 2)),
            cell(signed(t.interpolated_percent, 2)),
            cell(str(t.over_border)),
            cell(signed(t.scale, 2)),
            cell(signed(t.rms_dbfs, 1)),
            cell(signed(t.f0_hz, 0)),
            cell(signed(t.av_offset_frames, 1, sign=True)),
            cell(signed(t.av_confident_percent, 0)),
            cell(signed(t.samples_added, 0)),
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    note = (
        '<p class="soft">Medians over the speaker’s rows; “no face” is a mean. Flagged: beyond the '
        "limit of any table under Outliers. Sound after lips: over the clips whose estimate is "
        f"sure (margin {CONFIDENT_MARGIN:g} or more); one frame is 40 ms.</p>"
    )
    return table(heads, rows) + note


def _link(speaker: str) -> str:
    return f'<td class="text"><a href="#sheet-{esc(speaker)}">{esc(speaker)}</a></td>'


def _outliers(content: PageContent) -> str:
    return "".join(_criterion(ranking, content.thumbnails) for ranking in content.rankings)


def _criterion(ranking: Ranking, thumbnails: dict[str, bytes]) -> str:
    criterion = ranking.criterion
    counts = f"{ranking.n_flagged:,} of {ranking.n_judged:,} rows {criterion.rule}"
    if ranking.n_unjudged:
        counts += f"; {ranking.n_unjudged:,} not judged"
    bad = " bad" if ranking.n_flagged else ""
    left = (
        f"<h3>{esc(criterion.title)}</h3><p>{esc(criterion.says)}</p>"
        f'<p class="count{bad}">{esc(counts)}</p>{histogram(ranking)}'
    )
    flagged = [f for f in ranking.worst if f.flagged]
    within = [f for f in ranking.worst if not f.flagged]
    right = _findings(criterion, flagged, thumbnails) if flagged else ""
    if within:
        word = "more, within" if flagged else "nearest to"
        right += (
            f"<details><summary>{len(within)} {word} the limit</summary>"
            f"{_findings(criterion, within, thumbnails)}</details>"
        )
    if not ranking.worst:
        right = '<p class="soft">No clip: every value is perfect, or none was measured.</p>'
    return f'<div class="criterion" id="{criterion.key}"><div>{left}</div><div>{right}</div></div>'


def _findings(
    criterion: Criterion, findings: Sequence[Finding], thumbnails: dict[str, bytes]
) -> str:
    heads = [
        head("clip", text=True),
        head("value", criterion.unit),
        head("sentence, flags of the build", text=True),
        head("sound after lips", "frames; (unsure)"),
        head("", text=True),
    ]
    return table(heads, [_finding(criterion, finding, thumbnails) for finding in findings])


def _finding(criterion: Criterion, finding: Finding, thumbnails: dict[str, bytes]) -> str:
    row = finding.row
    picture = thumbnails.get(row.clip_id)
    image = f'<img src="{data_uri(picture)}" alt="" loading="lazy">' if picture else ""
    offset = signed(number(row, "av_offset_frames"), 1, sign=True)
    sure = confident_offset(row) is not None
    flags = f"<small>{esc(', '.join(row.flags))}</small>" if row.flags else ""
    cells = [
        cell(row.clip_id, kind="text"),
        cell(
            signed(finding.value, criterion.decimals, sign=criterion.worst == "far"),
            bad=finding.flagged,
        ),
        f'<td class="text wide">{esc(row.sentence)}{flags}</td>',
        cell(offset if sure or offset == "–" else f"({offset})"),
        f'<td class="text">{image}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _failures(groups: Sequence[FailureGroup]) -> str:
    if not groups:
        return '<p class="soft">None.</p>'
    rows = []
    for group in groups:
        speakers = ", ".join(f"{speaker} {n}" for speaker, n in group.speakers.items())
        examples = "<br>".join(
            f"{esc(f.clip_id)}: {esc(f.detail)}"
            + (f' <span class="soft">({esc(_evidence(f.evidence))})</span>' if f.evidence else "")
            for f in group.examples
        )
        more = group.count - len(group.examples)
        if more > 0:
            examples += f'<br><span class="soft">and {more:,} more in failures.jsonl</span>'
        cells = [
            cell(group.reason, kind="text"),
            cell(group.stage, kind="text"),
            cell(f"{group.count:,}", bad=True),
            cell(speakers, kind="text wide"),
            f'<td class="text wide">{examples}</td>',
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = [
        head("reason", text=True),
        head("stage", text=True),
        head("clips"),
        head("speakers", text=True),
        head("examples", text=True),
    ]
    return table(heads, rows)


def _evidence(evidence: dict[str, Any]) -> str:
    text = ", ".join(f"{key} {value}" for key, value in evidence.items())
    return text if len(text) <= 160 else text[:157] + "…"


def _sheets(sheets: Sequence[SheetPicture]) -> str:
    if not sheets:
        return ""
    parts = []
    seen: list[str] = []
    for sheet in sheets:
        anchor = ""
        if sheet.speaker not in seen:
            anchor = f' id="sheet-{esc(sheet.speaker)}"'
            seen.append(sheet.speaker)
        parts.append(
            f'<div class="sheet scroll"{anchor}><img src="{data_uri(sheet.jpeg)}" loading="lazy" '
            f'alt="{esc(sheet.clip_id)}: {esc(sheet.sentence)}" '
            f'title="click to enlarge; full picture: {esc(sheet.file)}"></div>'
        )
    links = "".join(f'<a href="#sheet-{esc(s)}">{esc(s)}</a>' for s in seen)
    return f'<p class="jump">{links}</p>{"".join(parts)}'


def _provenance(provenance: dict[str, Any]) -> str:
    if not provenance:
        return ""
    text = json.dumps(provenance, indent=2, ensure_ascii=False)
    return f"<details><summary>provenance.json</summary><pre>{esc(text)}</pre></details>"
