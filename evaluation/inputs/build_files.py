"""Files of a build of `gridprep` that belong to a run's clips: landmarks, faces, source videos. A run
names only recordings; those that lie in a build lead to everything else of it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import RunDir, Unscorable
from manifests.corpus_names import LABELS, SYNTHGRID, corpus_of
from manifests.errors import BadInput, ManifestError
from manifests.features import open_arrays
from manifests.io import open_jsonl, read_json, read_manifest
from manifests.records import POINT_NAMES, ManifestRow, RunClip

LEVELS = 4
"""Folders between a recording and its build, at most (`audio/s1/` makes two)."""


def find_build(recording: Path) -> Path | None:
    """The folder of the `manifest.jsonl` above a recording, or None."""
    for folder in list(recording.resolve().parents)[:LEVELS]:
        if (folder / "manifest.jsonl").is_file():
            return folder
    return None


@lru_cache(maxsize=4)
def _rows(manifest: Path, _mtime_ns: int, _size: int) -> dict[str, ManifestRow]:
    return {row.clip_id: row for row in read_manifest(manifest)[1]}


def rows_of(build: Path) -> dict[str, ManifestRow]:
    """Clip id → row of a build, read once. Raises `ManifestError`."""
    manifest = build / "manifest.jsonl"
    status = manifest.stat()
    return _rows(manifest, status.st_mtime_ns, status.st_size)


def row_of(recording: Path | None, clip: RunClip) -> tuple[Path, ManifestRow]:
    """(build, row) of a clip.

    Raises:
        Unscorable: `no_build`, where the recording lies in none, or in one without this clip.
    """
    build = None if recording is None else find_build(recording)
    if build is None:
        raise Unscorable(
            "no_build", "the recording lies in no build of gridprep, so no picture is known"
        )
    try:
        return build, rows_of(build)[clip.clip_id]
    except KeyError:
        raise Unscorable("no_build", f"{build.name} has no row of this clip") from None
    except ManifestError as error:
        raise Unscorable("no_build", str(error)) from None


def artifact(recording: Path | None, clip: RunClip, kind: str) -> Path:
    """The file of that kind. Raises `Unscorable`: `no_build`, or `no_landmarks` and the like."""
    build, row = row_of(recording, clip)
    path = build / row.paths.get(kind, "")
    if kind not in row.paths or not path.is_file():
        raise Unscorable(f"no_{kind}", f"{build.name} holds no {kind} of this clip")
    return path


def landmark_points(path: Path) -> NDArray[np.float64]:
    """(T, N, 2) points in pixels of the source, in the order of `POINT_NAMES`, gaps closed.

    Points of frames that no backend looked at are NaN on disk; a monotone cubic closes gaps between
    frames, the nearest frame continues at the ends. Points that are never found stay NaN.

    Raises:
        Unscorable: `no_landmarks`, where the file cannot be read or holds no face.
    """
    from scipy.interpolate import PchipInterpolator

    try:
        with open_arrays(path) as stored:
            names = stored["names"].tolist()
            order = [names.index(name) for name in POINT_NAMES]
            points = np.asarray(stored["points_px"], np.float64)[:, order]
    except BadInput as error:
        raise Unscorable("no_landmarks", error.problem) from None
    times = np.arange(len(points))
    for k in range(points.shape[1]):
        known = np.flatnonzero(np.isfinite(points[:, k]).all(axis=1))
        if len(known) == 1:
            points[:, k] = points[known[0], k]
        elif len(known) > 1:
            inside = np.clip(times, known[0], known[-1])
            points[:, k] = PchipInterpolator(known, points[known, k], axis=0)(inside)
    if not np.isfinite(points).any():
        raise Unscorable("no_landmarks", f"{path.name} holds no face")
    return points


def has_landmarks(run: RunDir) -> bool:
    """Returns whether the first clip of a run leads to landmarks, which then all should."""
    if not run.clips:
        return False
    clip = run.clips[0]
    try:
        artifact(run.reference(clip), clip, "landmarks")
    except Unscorable:
        return False
    return True


@lru_cache(maxsize=16)
def _header(manifest: Path, _mtime_ns: int, _size: int) -> dict[str, Any]:
    with open_jsonl(manifest, "manifest", ManifestRow) as (header, _, _):
        return header


def header_of(build: Path) -> dict[str, Any]:
    """The first line of a build's manifest, read once; empty where it cannot be read."""
    manifest = build / "manifest.jsonl"
    try:
        status = manifest.stat()
        return _header(manifest, status.st_mtime_ns, status.st_size)
    except (ManifestError, OSError):
        return {}


def build_of(run: RunDir) -> Path | None:
    """The build in which the first recording of a run lies, as then all should."""
    recording = next(filter(None, map(run.reference, run.clips)), None)
    return None if recording is None else find_build(recording)


def corpus_name(run: RunDir) -> str:
    """Returns the corpus of a run's clips, one of `manifests.corpus_names.LABELS`: what the build says in
    which its recordings lie, else what the run says of itself; "" where neither does."""
    build = build_of(run)
    stated = "" if build is None else corpus_of(header_of(build))
    return stated or (run.info.corpus if run.info.corpus in LABELS else "")


def of_synthgrid(run: RunDir) -> bool:
    """Returns whether the clips of a run are SynthGRID's."""
    return corpus_name(run) == SYNTHGRID


def source_of(build: Path) -> Path | None:
    """The corpus that a build was made from, as it was named then."""
    try:
        values = read_json(build / "provenance.json")
    except ManifestError:
        return None
    named = values.get("corpus") if isinstance(values, dict) else None
    return Path(named) if isinstance(named, str) and named else None
