"""The self-contained HTML page of an inspection: collects the values that `page.html` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gridprep.inspection.criteria import Criterion, confident_offset, number
from gridprep.inspection.markup import Cell, Head, PageTable, histogram, signed
from gridprep.inspection.outliers import FailureGroup, Finding, Ranking, Speaker
from manifests import html
from manifests.io import SUBSETS
from manifests.sync import CONFIDENT_MARGIN


@dataclass(frozen=True)
class SheetPicture:
    """A sheet on the page.

    Attributes:
        file: name of the full PNG beside the page.
        jpeg: the smaller picture that is embedded in the page.
    """

    speaker: str
    clip_id: str
    sentence: str
    file: str
    jpeg: bytes


@dataclass(frozen=True)
class PageContent:
    """The content of the page.

    Attributes:
        facts: the facts about the build in the lead, in order.
        thumbnails: clip → JPEG of a few of its pictures.
        notes: parts that could not be shown, and why.
        provenance: provenance of the build, shown unchanged.
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
    """Renders the page as HTML text."""
    criteria = [_criterion(ranking, content.thumbnails) for ranking in content.rankings]
    sections = [
        ("speakers", "Speakers", True),
        ("outliers", "Outliers", criteria),
        ("failures", "Failures", True),
        ("sheets", "Sheets", content.sheets),
        ("provenance", "Provenance", content.provenance),
    ]
    return html.render(
        "gridprep.inspection",
        "page.html",
        title=content.title,
        lead="  ·  ".join(content.facts),
        nav=[(key, title) for key, title, there in sections if there],
        tiles=_tiles(content),
        notes=content.notes,
        speakers=_speakers(content),
        confident_margin=f"{CONFIDENT_MARGIN:g}",
        criteria=criteria,
        failures=_failures(content.failures) if content.failures else None,
        sheets=_sheets(content.sheets),
        sheet_speakers=list(dict.fromkeys(sheet.speaker for sheet in content.sheets)),
        provenance=(
            json.dumps(content.provenance, indent=2, ensure_ascii=False)
            if content.provenance
            else ""
        ),
    )


def _tiles(content: PageContent) -> list[tuple[str, str]]:
    """(number, what it counts) of the large figures at the top."""
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
    return tiles


def _speakers(content: PageContent) -> PageTable:
    drawn = {sheet.speaker for sheet in content.sheets}
    heads = [
        Head("speaker", is_text=True),
        Head("gender", is_text=True),
        Head("subset", is_text=True),
        Head("rows"),
        Head("failures"),
        Head("flagged"),
        Head("jitter", "px"),
        Head("no face", "% of frames"),
        Head("over border", "clips"),
        Head("face", "× enlarged"),
        Head("level", "dBFS"),
        Head("F0", "Hz"),
        Head("sound after lips", "frames"),
        Head("sure", "% of clips"),
        Head("zeros appended", "samples"),
    ]
    rows = []
    for t in content.speakers:
        subsets = ", ".join(
            s if len(t.subsets) == 1 else f"{s} {t.subsets[s]}" for s in SUBSETS if t.subsets.get(s)
        )
        cells = [
            Cell(t.speaker, kind="text", link=f"sheet-{t.speaker}" if t.speaker in drawn else ""),
            Cell(t.gender, kind="text"),
            Cell(subsets, kind="text"),
            Cell(f"{t.rows:,}"),
            Cell(f"{t.failures:,}", is_bad=t.failures > 0),
            Cell(f"{t.flagged:,}"),
            Cell(signed(t.jitter_px, 2)),
            Cell(signed(t.interpolated_percent, 2)),
            Cell(str(t.over_border)),
            Cell(signed(t.scale, 2)),
            Cell(signed(t.rms_dbfs, 1)),
            Cell(signed(t.f0_hz, 0)),
            Cell(signed(t.av_offset_frames, 1, sign=True)),
            Cell(signed(t.av_confident_percent, 0)),
            Cell(signed(t.samples_added, 0)),
        ]
        rows.append(tuple(cells))
    return PageTable(tuple(heads), tuple(rows))


def _criterion(ranking: Ranking, thumbnails: dict[str, bytes]) -> dict[str, Any]:
    criterion = ranking.criterion
    counts = f"{ranking.n_flagged:,} of {ranking.n_judged:,} rows {criterion.rule}"
    if ranking.n_unjudged:
        counts += f"; {ranking.n_unjudged:,} not judged"
    flagged = [f for f in ranking.worst if f.flagged]
    within = [f for f in ranking.worst if not f.flagged]
    return {
        "key": criterion.key,
        "title": criterion.title,
        "says": criterion.says,
        "counts": counts,
        "is_bad": bool(ranking.n_flagged),
        "histogram": histogram(ranking),
        "flagged": _findings(criterion, flagged, thumbnails) if flagged else None,
        "within": _findings(criterion, within, thumbnails) if within else None,
        "within_word": "more, within" if flagged else "nearest to",
    }


def _findings(
    criterion: Criterion, findings: Sequence[Finding], thumbnails: dict[str, bytes]
) -> PageTable:
    heads = [
        Head("clip", is_text=True),
        Head("value", criterion.unit),
        Head("sentence, flags of the build", is_text=True),
        Head("sound after lips", "frames; (unsure)"),
        Head("", is_text=True),
    ]
    rows = [_finding(criterion, finding, thumbnails) for finding in findings]
    return PageTable(tuple(heads), tuple(rows))


def _finding(
    criterion: Criterion, finding: Finding, thumbnails: dict[str, bytes]
) -> tuple[Cell, ...]:
    row = finding.row
    picture = thumbnails.get(row.clip_id)
    image = html.data_uri("image/jpeg", picture) if picture else ""
    offset = signed(number(row, "av_offset_frames"), 1, sign=True)
    sure = confident_offset(row) is not None
    return (
        Cell(row.clip_id, kind="text"),
        Cell(
            signed(finding.value, criterion.decimals, sign=criterion.worst == "far"),
            is_bad=finding.flagged,
        ),
        Cell(row.sentence, kind="text wide", small=", ".join(row.flags)),
        Cell(offset if sure or offset == "–" else f"({offset})"),
        Cell(kind="text", image=image),
    )


def _failures(groups: Sequence[FailureGroup]) -> PageTable:
    rows = []
    for group in groups:
        speakers = ", ".join(f"{speaker} {n}" for speaker, n in group.speakers.items())
        examples = [
            (f"{f.clip_id}: {f.detail}", f" ({_evidence(f.evidence)})" if f.evidence else "")
            for f in group.examples
        ]
        more = group.count - len(group.examples)
        if more > 0:
            examples.append(("", f"and {more:,} more in failures.jsonl"))
        rows.append(
            (
                Cell(group.reason, kind="text"),
                Cell(group.stage, kind="text"),
                Cell(f"{group.count:,}", is_bad=True),
                Cell(speakers, kind="text wide"),
                Cell(kind="text wide", lines=tuple(examples)),
            )
        )
    heads = (
        Head("reason", is_text=True),
        Head("stage", is_text=True),
        Head("clips"),
        Head("speakers", is_text=True),
        Head("examples", is_text=True),
    )
    return PageTable(heads, tuple(rows))


def _evidence(evidence: dict[str, Any]) -> str:
    text = ", ".join(f"{key} {value}" for key, value in evidence.items())
    return text if len(text) <= 160 else text[:157] + "…"


def _sheets(sheets: Sequence[SheetPicture]) -> list[dict[str, str]]:
    shown = []
    seen: set[str] = set()
    for sheet in sheets:
        shown.append(
            {
                "anchor": "" if sheet.speaker in seen else sheet.speaker,
                "image": html.data_uri("image/jpeg", sheet.jpeg),
                "label": f"{sheet.clip_id}: {sheet.sentence}",
                "file": sheet.file,
            }
        )
        seen.add(sheet.speaker)
    return shown
