"""An export from beginning to end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridprep.exporting.base import ExportJob, duration_s, safe
from gridprep.exporting.registry import entry, writer
from gridprep.exporting.sinks import destination, is_remote, local_path
from manifests.errors import BadInput
from manifests.io import sha256_file
from manifests.manifest import FeatureRow, Manifest
from manifests.versions import library_version

EXPORT_VERSION = 2
"""Raised by hand when a layout changes what it writes."""


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        build: folder of the build.
        layout: a name of `registry.LAYOUTS`.
        out: an empty or new folder, or a URL that fsspec knows.
        subset: `train`, `val`, `test` or `all`.
        name: name of the data set; "" is the name of the corpus's folder.
        seen_as: where readers will find the export, if not at `out`.
        options: options of the layout by name.
        jobs: threads for layouts that encode.
    """

    build: str
    layout: str
    out: str
    subset: str = "all"
    name: str = ""
    seen_as: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    jobs: int = 1


@dataclass(frozen=True)
class ExportReport:
    """The result of an export.

    Attributes:
        clips, speakers: how many were written.
        hours: of sound.
        reused: the same export was there already, and nothing was done.
        notes: sentences about what the layout could not hold.
    """

    layout: str
    out: str
    clips: int
    speakers: int
    hours: float
    wall_s: float
    reused: bool = False
    notes: tuple[str, ...] = ()


def export(options: ExportOptions) -> ExportReport:
    """Writes a build in another layout.

    Raises:
        BadInput: no such build, layout, subset or option; a feature that is not there; a destination
            that holds something else; a build that changed meanwhile.
        MissingDependency: an optional library of the layout or of the destination.
        Locked: another process exports to the same folder.
    """
    started_s = time.monotonic()
    layout = entry(options.layout)
    known = [name for name, _ in layout.options]
    for name in options.options:
        if name not in known:
            raise BadInput(
                f"layout {options.layout} has no option {name!r}",
                f"it has {', '.join(known) or 'none'}",
            )
    write = writer(options.layout)
    manifest = Manifest(options.build)
    sha256 = sha256_file(manifest.path)
    clips = manifest.where(subset=options.subset)
    if not clips:
        raise BadInput(
            f"{manifest.path} has no clip"
            + ("" if options.subset == "all" else f" in {options.subset}"),
            "choose another --subset or build the clips first",
        )
    if not is_remote(options.out):
        _check_apart(manifest.root, local_path(options.out))
    _check_present(clips, layout.features)
    _check_name(options)
    name = safe(options.name or _corpus_name(manifest.root), r"\s,/\\")
    record = {
        "schema": "export",
        "version": EXPORT_VERSION,
        "layout": options.layout,
        "toolkit": library_version("facetron-toolkit"),
        "manifest_sha256": sha256,
        "split": manifest.split,
        "subset": options.subset,
        "name": name,
        "seen_as": options.seen_as,
        "options": dict(sorted(options.options.items())),
        "clips": len(clips),
    }
    notes: list[str] = []
    with destination(options.out, record, options.seen_as) as sink:
        if sink is not None:
            job = ExportJob(manifest, list(clips), sink, name, options.options, options.jobs, notes)
            write(job)
            if sha256_file(manifest.path) != sha256:
                raise BadInput(f"{manifest.path} changed meanwhile", "run the export again")
    return ExportReport(
        layout=options.layout,
        out=options.out,
        clips=len(clips),
        speakers=len({row.speaker for row in clips}),
        hours=sum(map(duration_s, clips)) / 3600,
        wall_s=time.monotonic() - started_s,
        reused=sink is None,
        notes=tuple(notes),
    )


def _check_apart(build: Path, out: Path) -> None:
    if os.path.realpath(build) == os.path.realpath(out):
        raise BadInput(f"--out {out} is the build", "choose a folder of its own for the export")


def _check_name(options: ExportOptions) -> None:
    """Raises `BadInput` where lists could not name the files of the export."""
    where = options.seen_as or os.path.abspath(options.out)
    try:
        where.encode()
    except UnicodeEncodeError:
        raise BadInput(
            f"--out {options.out} is not UTF-8, and lists name files by it",
            "choose another one, or name the place that readers will see with --seen-as",
        ) from None


def _check_present(clips: Manifest, features: tuple[str, ...]) -> None:
    """Raises `BadInput` before anything is written where files are absent."""
    missing = [
        row.root / row.paths[feature] if feature in row.paths else f"{row.clip_id}: {feature}"
        for row in clips
        for feature in features
        if not _there(row, feature)
    ]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise BadInput(f"{missing[0]} does not exist{more}", "run `gridprep build` again")


def _there(row: FeatureRow, feature: str) -> bool:
    return feature in row.paths and (row.root / row.paths[feature]).is_file()


def _corpus_name(build: Path) -> str:
    """The name of the corpus's folder or list, which the build noted."""
    try:
        values: Any = json.loads((build / "provenance.json").read_bytes())
        name = os.path.basename(str(values["corpus"]))
        return name.removesuffix(".csv").removesuffix(".jsonl") or "corpus"
    except (OSError, ValueError, KeyError, TypeError):
        return "corpus"
