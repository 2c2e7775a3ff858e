"""Draws the faces of a manifest's speakers from their speech into a run directory of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facetron import systems
from facetron.drawing.base import FacePainter, load_painter
from manifests.console import Progress
from manifests.errors import BadInput, ToolkitError
from manifests.io import sha256_file
from manifests.manifest import FeatureRow, Manifest, select
from manifests.ordering import natural
from manifests.pictures import picture_key, write_picture
from manifests.records import ClipFailure, RunClip, RunInfo
from manifests.runs import (
    FACES,
    RunReport,
    close_run,
    content_key,
    picture_path,
    run_clip,
    running,
)
from manifests.versions import versions

STAGE = "drawing"
VERSION = 1
"""Version of how pictures are made; another one makes all anew."""


@dataclass(frozen=True)
class DrawOptions:
    """Options of a drawing.

    Attributes:
        manifest: `manifest.jsonl`, or the folder of the build that holds it.
        checkpoint: path of a checkpoint, or bundled weights, of a system that draws.
        subset: `train`, `val`, `test`, or `all`.
        shuffle_speech: control: each clip is drawn from a clip of another speaker.
        dropout: leave dropout on, where it is the system's noise.
        limit: largest number of clips, taken from the speakers in turn; 0 is all.
        seed: seed of the noise and of the control.
        name: name of the run in tables; "" chooses one.
    """

    manifest: Path
    checkpoint: str
    out: Path
    subset: str = "test"
    shuffle_speech: bool = False
    dropout: bool = False
    limit: int = 0
    seed: int = 0
    device: str = "auto"
    name: str = ""


@dataclass(frozen=True)
class DrawReport(RunReport):
    """The outcome of a drawing, in clips.

    Attributes:
        pictures: of every clip.
        speakers: speaker → whether the weights were trained on the speaker's clips.
        clips: speaker → clips asked for.
    """

    pictures: int
    speakers: dict[str, bool]
    clips: dict[str, int]


class _Task(NamedTuple):
    row: FeatureRow
    heard: FeatureRow | None


def draw(options: DrawOptions) -> DrawReport:
    """Writes the run directory `options.out`, of kind `faces`.

    Clips whose speech cannot be used (absent, damaged, silent) fail with a reason; others continue. A
    run that was stopped goes on: pictures made of the same speech with the same weights are kept.

    Raises:
        BadInput: the manifest, checkpoint, an option or the output folder cannot be used.
        SpecMismatch: the manifest's sound has another rate than the model hears.
    """
    painter = load_painter(options.checkpoint, options.device, options.seed, options.dropout)
    built = Manifest(options.manifest)
    built.require_files()
    rows = select(list(built), options.subset, options.limit, built.path)
    painter.require(rows, built.path)
    tasks = _tasks(rows, options)
    info = _info(options, painter, built, rows)
    clips: list[RunClip] = []
    failures: list[ClipFailure] = []
    kept = 0
    with running(options.out, info):
        with Progress(len(tasks), "draw") as progress:
            for task in tasks:
                try:
                    made, was_kept = _drawn(painter, task, options.out, built.root)
                    clips += made
                    kept += was_kept
                except ToolkitError as error:
                    row = task.row
                    failures.append(
                        ClipFailure(row.speaker, row.stem, STAGE, "unusable_speech", str(error))
                    )
                progress.update(1, failures=len(failures))
        close_run(options.out, clips, failures)
    return DrawReport(
        len(tasks),
        len(tasks) - kept - len(failures),
        kept,
        tuple(failures),
        len(painter.variants),
        {row.speaker: painter.seen(row.speaker) for row in rows},
        dict(Counter(row.speaker for row in rows)),
    )


def _tasks(rows: Sequence[FeatureRow], options: DrawOptions) -> list[_Task]:
    ordered = sorted(rows, key=lambda row: (natural(row.speaker), row.stem))
    if not options.shuffle_speech:
        return [_Task(row, row) for row in ordered]
    tasks = []
    for row in ordered:
        # Of another speaker, drawn for each clip alone: a fixed exchange of speakers would let
        # pictures that are of one person still be alike.
        others = [other for other in ordered if other.speaker != row.speaker]
        rng = np.random.default_rng([options.seed, *row.clip_id.encode()])
        tasks.append(_Task(row, others[int(rng.integers(len(others)))] if others else None))
    return tasks


def _drawn(
    painter: FacePainter, task: _Task, root: Path, build: Path
) -> tuple[list[RunClip], bool]:
    """The pictures of a clip, and whether all of them were kept from an earlier run."""
    row, heard = task
    if heard is None:
        raise BadInput(
            f"no clip of another speaker than {row.speaker} could be heard", "raise --limit"
        )
    keys = [_key(painter, heard, variant) for variant in painter.variants]
    found = [
        run_clip(
            row,
            root,
            build,
            "face",
            wav="",
            seen=painter.seen(row.speaker),
            picture=picture_path(row.speaker, row.stem, variant),
            source=heard.clip_id,
            variant=variant,
        )
        for variant in painter.variants
    ]
    paths = [root / clip.picture for clip in found]
    if all(
        picture_key(path, painter.side_px) == key for path, key in zip(paths, keys, strict=True)
    ):
        return found, True
    wave, _ = heard.audio()
    try:
        pictures = painter.draw(wave)
    except BadInput as error:
        raise BadInput(f"{heard.path('audio')}: {error.problem}", error.remedy) from None
    for path, key, picture in zip(paths, keys, pictures, strict=True):
        write_picture(path, picture, key)
    return found, False


def _key(painter: FacePainter, heard: FeatureRow, variant: str) -> str:
    """Returns the key of all inputs; equal keys mean equal pictures."""
    path = heard.path("audio")
    if not path.is_file():
        raise BadInput(f"{path} does not exist", "run `gridprep build` again")
    return content_key(
        VERSION, painter.sha256, variant, painter.seed, painter.dropout, sha256_file(path)
    )


def _info(
    options: DrawOptions, painter: FacePainter, built: Manifest, rows: Sequence[FeatureRow]
) -> RunInfo:
    speakers = sorted({row.speaker for row in rows}, key=natural)
    parameters = {
        **painter.parameters(options.checkpoint, {name: painter.seen(name) for name in speakers}),
        "shuffled_speech": options.shuffle_speech,
        "dropout": options.dropout,
        "variants": list(painter.variants),
        "side_px": painter.side_px,
        "seed": options.seed,
        "device": painter.device.type,
    }
    return RunInfo(
        name=options.name or _name(options, systems.get(painter.info.system).label),
        kind=FACES,
        split=built.split,
        subset=options.subset,
        sample_rate_hz=painter.sample_rate_hz,
        n_expected=len(rows) * len(painter.variants),
        manifest_sha256=sha256_file(built.path),
        parameters=parameters,
        versions=versions("numpy", "torch"),
        corpus=built.corpus,
    )


def _name(options: DrawOptions, label: str) -> str:
    """Returns a name that distinguishes the runs of one checkpoint in a report."""
    notes = [Path(options.checkpoint).stem]
    if options.dropout:
        notes.append("dropout")
    if options.shuffle_speech:
        notes.append("shuffled speech")
    return f"{label} ({', '.join(notes)})"
