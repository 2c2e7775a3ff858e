"""An inspection of a build: chooses the clips, draws the sheets and writes the page."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gridprep.features.crop_store import read_pictures
from gridprep.inspection.outliers import (
    Ranking,
    by_speaker,
    group_failures,
    rank,
    speaker_summaries,
)
from gridprep.inspection.page import PageContent, SheetPicture, render
from gridprep.inspection.sheet import draw_sheet
from gridprep.inspection.view import BuildSpecs, load_view
from manifests.console import Progress
from manifests.errors import BadInput
from manifests.folders import check_own
from manifests.io import atomic_open, atomic_path, read_json, read_jsonl, read_manifest, write_text
from manifests.ordering import natural
from manifests.records import ClipFailure, ManifestRow

PAGE = "index.html"
SHEETS = "sheets"
MARK = ".inspect"
"""An empty file that marks a folder as made by `gridprep inspect`."""

SHEET_BUDGET_BYTES = 5_000_000
"""JPEG bytes of all sheets on the page; base64 makes them 6.7 MB, which leaves the page under 8."""

QUALITIES = ((1500, 82), (1500, 74), (1350, 70), (1200, 68), (1000, 64), (800, 60), (640, 55))
"""(width in pixels, JPEG quality) from best to smallest; the first that fits the budget is taken."""

THUMBNAIL_PX = 56
THUMBNAIL_LIPS = 4


@dataclass(frozen=True)
class Inspection:
    """The files that an inspection wrote, and its findings.

    Attributes:
        page: path of the page.
        sheets: paths of the PNG sheets.
        problems: clips whose artifacts could not be read, one line each.
    """

    page: str
    sheets: tuple[str, ...]
    rankings: tuple[Ranking, ...]
    rows: int
    failures: int
    problems: tuple[str, ...]


def inspect_build(
    build: str,
    out: str,
    per_speaker: int = 1,
    speakers: Sequence[str] = (),
    seed: int = 0,
    worst: int = 12,
) -> Inspection:
    """Writes `out/index.html` and `out/sheets/*.png` for a build.

    Args:
        build: folder with `manifest.jsonl`.
        per_speaker: number of sheets per speaker; 0 for none.
        speakers: speakers to inspect, all if empty.
        seed: decides which clips get a sheet; a speaker's clips do not depend on the other speakers.
        worst: number of clips in each outlier table.

    Raises `BadInput` for a folder without a manifest, a damaged file of the build, or speakers that
    it does not have. A clip whose artifacts are damaged is noted, not fatal.
    """
    header, rows = read_manifest(Path(build))
    check_own(out, (MARK,), "a page of `gridprep inspect`", "choose another --out")
    specs = BuildSpecs.from_header(header)
    failures = _failures(build)
    provenance = _provenance(build)
    wanted = set(speakers)
    known = {r.speaker for r in rows} | {f.speaker for f in failures}
    if wanted - known:
        missing = ", ".join(sorted(wanted - known, key=natural))
        has = ", ".join(sorted(known, key=natural)) or "nobody"
        raise BadInput(f"{build} has no clip of {missing}", f"it has {has}")
    if wanted:
        rows = [r for r in rows if r.speaker in wanted]
        failures = [f for f in failures if f.speaker in wanted]
    notes: list[str] = []
    corpus = str(provenance.get("corpus", ""))
    if not os.path.isdir(corpus):
        where = f"no longer at {corpus}" if corpus else "not named in provenance.json"
        notes.append(f"The corpus is {where}: the sheets have no source pictures.")
    problems: dict[str, str] = {}
    rankings = rank(rows, worst)
    sheets = _draw(build, out, _chosen(rows, per_speaker, seed), specs, corpus, problems)
    thumbnails = _thumbnails(build, rankings, problems)
    notes += problems.values()
    content = PageContent(
        title=f"Build {os.path.basename(os.path.abspath(build))}",
        facts=_facts(header, provenance, rows, seed),
        speakers=speaker_summaries(rows, failures),
        rankings=rankings,
        failures=group_failures(failures),
        sheets=tuple(sheets),
        thumbnails=thumbnails,
        notes=tuple(notes),
        provenance=provenance,
    )
    with atomic_open(os.path.join(out, MARK)):
        pass
    page = os.path.join(out, PAGE)
    write_text(page, render(content))
    return Inspection(
        page,
        tuple(os.path.join(out, sheet.file) for sheet in sheets),
        rankings,
        len(rows),
        len(failures),
        tuple(problems.values()),
    )


def _failures(build: str) -> list[ClipFailure]:
    path = os.path.join(build, "failures.jsonl")
    if not os.path.exists(path):
        return []
    return read_jsonl(path, "failures", ClipFailure)[1]


def _provenance(build: str) -> dict[str, Any]:
    path = os.path.join(build, "provenance.json")
    if not os.path.exists(path):
        return {}
    values = read_json(path)
    if not isinstance(values, dict):
        raise BadInput(f"{path} holds no object", "run `gridprep manifest` again")
    return values


def _chosen(rows: Sequence[ManifestRow], per_speaker: int, seed: int) -> list[ManifestRow]:
    """Chooses `per_speaker` rows of each speaker at random."""
    chosen: list[ManifestRow] = []
    for speaker, own in by_speaker(rows).items():
        generator = np.random.default_rng([seed, *speaker.encode()])
        picked = generator.choice(len(own), min(per_speaker, len(own)), replace=False)
        chosen += [own[i] for i in sorted(picked)]
    return chosen


def _facts(
    header: dict[str, Any], provenance: dict[str, Any], rows: Sequence[ManifestRow], seed: int
) -> tuple[str, ...]:
    specs = header.get("specs", {})
    landmarks = specs.get("landmarks", {})
    versions = provenance.get("versions", {})
    backend = str(landmarks.get("backend", ""))
    facts = (
        [f"split {header['split']} v{header.get('split_version')}"] if header.get("split") else []
    )
    if backend:
        version = versions.get(backend, "")
        facts.append(f"landmarks by {backend} {version}, every {landmarks.get('every', 1)} frames")
    if rows:
        facts.append(f"sound at {rows[0].sample_rate_hz:,} Hz")
    facts.append(f"sheets chosen at random with seed {seed}")
    return tuple(facts)


def _draw(
    build: str,
    out: str,
    rows: Sequence[ManifestRow],
    specs: BuildSpecs,
    corpus: str,
    problems: dict[str, str],
) -> list[SheetPicture]:
    """Draws and writes the sheets; those that cannot be drawn become problems."""
    sheets: list[SheetPicture] = []
    pictures: list[NDArray[np.uint8]] = []
    with Progress(len(rows), "inspect", "sheet") as progress:
        for row in rows:
            try:
                picture = draw_sheet(load_view(build, row, specs, corpus))
            except BadInput as error:
                problems[row.clip_id] = str(error)
                progress.update(1, damaged=len(problems))
                continue
            name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{row.speaker}_{row.stem}")
            file = f"{SHEETS}/{name}.png"
            with atomic_path(os.path.join(out, file)) as temporary:
                temporary.write_bytes(_encode(picture, ".png"))
            # Only JPEGs are kept: a hundred sheets in full would fill half a gigabyte.
            pictures.append(np.frombuffer(_jpeg(picture, *QUALITIES[0]), np.uint8))
            sheets.append(SheetPicture(row.speaker, row.clip_id, row.sentence, file, b""))
            progress.update(1)
    return [replace(sheet, jpeg=jpeg) for sheet, jpeg in zip(sheets, _fit(pictures), strict=True)]


def _fit(jpegs: Sequence[NDArray[np.uint8]]) -> list[bytes]:
    """The pictures at the best quality at which all of them fit the page."""
    fitted = [jpeg.tobytes() for jpeg in jpegs]
    for width_px, quality in QUALITIES[1:]:
        if sum(map(len, fitted)) <= SHEET_BUDGET_BYTES:
            break
        sample = [_smaller(jpeg, width_px, quality) for jpeg in jpegs[:: len(jpegs) // 6 + 1]]
        expected = float(np.mean([len(s) for s in sample])) * len(jpegs)
        if expected <= SHEET_BUDGET_BYTES or (width_px, quality) == QUALITIES[-1]:
            fitted = [_smaller(jpeg, width_px, quality) for jpeg in jpegs]
    return fitted


def _smaller(jpeg: NDArray[np.uint8], width_px: int, quality: int) -> bytes:
    picture: Any = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    return _jpeg(picture[..., ::-1], width_px, quality)


def _jpeg(rgb: NDArray[np.uint8], width_px: int, quality: int) -> bytes:
    height, width = rgb.shape[:2]
    if width_px < width:
        size = (width_px, round(height * width_px / width))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return _encode(rgb, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])


def _encode(rgb: NDArray[np.uint8], suffix: str, options: Sequence[int] = ()) -> bytes:
    ok, data = cv2.imencode(suffix, np.ascontiguousarray(rgb[..., ::-1]), list(options))
    if not ok:
        raise BadInput(f"a picture of shape {rgb.shape} cannot be stored as {suffix}")
    return bytes(data.tobytes())


def _thumbnails(
    build: str, rankings: Sequence[Ranking], problems: dict[str, str]
) -> dict[str, bytes]:
    """Clip → JPEG strip of a face and a few lips, for every clip in an outlier table."""
    rows = {f.row.clip_id: f.row for ranking in rankings for f in ranking.worst}
    thumbnails: dict[str, bytes] = {}
    for clip_id in sorted(rows):
        try:
            thumbnails[clip_id] = _thumbnail(build, rows[clip_id])
        except BadInput as error:
            problems.setdefault(clip_id, str(error))
    return thumbnails


def _thumbnail(build: str, row: ManifestRow) -> bytes:
    try:
        face_path, lips_path = row.paths["face"], row.paths["lips"]
    except KeyError as error:
        raise BadInput(f"{row.clip_id} has no {error.args[0]}", "build it again") from None
    faces = read_pictures(os.path.join(build, face_path))
    lips = read_pictures(os.path.join(build, lips_path))
    at = np.linspace(0, len(lips) - 1, THUMBNAIL_LIPS + 2).round().astype(int)[1:-1]
    pictures = [faces[len(faces) // 2], *lips[at]]
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    small = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in pictures]
    return _encode(np.hstack(small), ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 68])
