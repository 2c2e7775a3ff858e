"""Praat TextGrids, each beside its WAV.

    s1/bbaf2n.wav  s1/bbaf2n.TextGrid

Tiers `words` (silences are empty intervals) and `sentence`; a clip without word times has the second
alone. Long text format: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

from __future__ import annotations

from collections.abc import Sequence

from gridprep.exporting.base import ExportJob, duration_s, ids
from gridprep.exporting.sinks import write as write_file
from manifests.manifest import FeatureRow

Interval = tuple[float, float, str]


def write(job: ExportJob) -> None:
    """Writes the layout."""
    names = ids(job.clips, separator="/", forbidden=r"\s\\")

    def one(row: FeatureRow) -> None:
        job.copy(row, "audio", f"{names[row.clip_id]}.wav")
        write_file(job.sink, f"{names[row.clip_id]}.TextGrid", text_grid(row))

    for _ in job.each(one):
        pass
    untimed = sum(not row.words for row in job.clips)
    if untimed:
        job.notes.append(f"{untimed} clips have no word times: their TextGrids have no tier words")


def text_grid(row: FeatureRow) -> str:
    """The TextGrid of a clip."""
    end_s = duration_s(row)
    tiers: list[tuple[str, list[Interval]]] = [("sentence", [(0.0, end_s, row.sentence)])]
    if row.words:
        spans = [(word.start_s, word.end_s, word.word) for word in row.words]
        tiers.insert(0, ("words", _gaps_filled(spans, end_s)))
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {_number(end_s)}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (name, intervals) in enumerate(tiers, 1):
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f'        name = "{name}"',
            "        xmin = 0",
            f"        xmax = {_number(end_s)}",
            f"        intervals: size = {len(intervals)}",
        ]
        for position, (start_s, stop_s, text) in enumerate(intervals, 1):
            quoted = text.replace('"', '""')
            lines += [
                f"        intervals [{position}]:",
                f"            xmin = {_number(start_s)}",
                f"            xmax = {_number(stop_s)}",
                f'            text = "{quoted}"',
            ]
    return "\n".join(lines) + "\n"


def _gaps_filled(spans: Sequence[Interval], end_s: float) -> list[Interval]:
    """The spans with empty intervals between, so that together they are the whole clip."""
    filled: list[Interval] = []
    at_s = 0.0
    for start_s, stop_s, text in spans:
        if start_s > at_s:
            filled.append((at_s, start_s, ""))
        filled.append((start_s, stop_s, text))
        at_s = stop_s
    if at_s < end_s:
        filled.append((at_s, end_s, ""))
    return filled


def _number(value_s: float) -> str:
    return f"{value_s:.6f}".rstrip("0").rstrip(".")
