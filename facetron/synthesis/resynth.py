"""Analysis–synthesis: the mel of each recording turned back into a waveform by a vocoder.

Papers print this row as the upper bound of models that predict mels for that vocoder. It also checks
the whole pipeline before there is a model.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from facetron.vocoders.registry import Vocoder, create
from manifests.audio import wav_key, write_wav
from manifests.console import Progress
from manifests.errors import ManifestError, ToolkitError
from manifests.execution import Died, LocalExecutor
from manifests.features import read_mel
from manifests.io import sha256_file
from manifests.manifest import Manifest, select
from manifests.records import ClipFailure, ManifestRow, RunClip, RunInfo
from manifests.runs import (
    RunReport,
    close_run,
    content_key,
    relative_reference,
    run_clip,
    running,
    wav_path,
)
from manifests.specs import MelSpec
from manifests.versions import versions

STAGE = "vocoder"


@dataclass(frozen=True)
class ResynthOptions:
    """Options of a resynthesis.

    Attributes:
        manifest: `manifest.jsonl`, or the folder of the build that holds it.
        subset: `train`, `val`, `test`, or `all`.
        vocoder, vocoder_options: see `facetron.vocoders.registry`.
        limit: largest number of clips, taken from the speakers in turn; 0 is all.
        seed: seed of the vocoder's random phase, mixed with each clip's name, so that neither order
            nor number of processes changes a sample.
        name: name of the run in tables; "" chooses one.
    """

    manifest: Path
    out: Path
    subset: str = "test"
    vocoder: str = "griffin-lim"
    vocoder_options: tuple[tuple[str, Any], ...] = ()
    limit: int = 0
    seed: int = 0
    jobs: int = 1
    name: str = ""


@dataclass(frozen=True)
class _Task:
    row: ManifestRow
    build: Path
    out: Path
    seed: int


def resynthesize(options: ResynthOptions) -> RunReport:
    """Writes the run directory `options.out`.

    Raises:
        ManifestError, BadInput: the manifest, an option or the output folder cannot be used.
        SpecMismatch: a row's mel was not made with the spec that the manifest states.
    """
    built = Manifest(options.manifest)
    built.require_files()
    rows = select(built, options.subset, options.limit, built.path)
    spec = required_mel_spec(built, rows)
    vocoder = create(options.vocoder, spec, **dict(options.vocoder_options))
    info = RunInfo(
        name=options.name or f"analysis-synthesis ({vocoder.label})",
        kind="resynthesis",
        split=built.split,
        subset=options.subset,
        sample_rate_hz=vocoder.sample_rate_hz,
        n_expected=len(rows),
        manifest_sha256=sha256_file(built.path),
        parameters={**vocoder.parameters(), "seed": options.seed},
        versions=versions("numpy", "scipy"),
        corpus=built.corpus,
    )
    tasks = [_Task(row, built.root, options.out, options.seed) for row in rows]
    clips: list[RunClip] = []
    failures: list[ClipFailure] = []
    kept = 0
    with running(options.out, info):
        with Progress(len(tasks), "resynth") as progress:
            for result, was_kept in _map(vocoder, tasks, options.jobs):
                if isinstance(result, ClipFailure):
                    failures.append(result)
                else:
                    clips.append(result)
                    kept += was_kept
                progress.update(1, failures=len(failures))
        close_run(options.out, clips, failures)
    return RunReport(len(rows), len(clips) - kept, kept, tuple(failures))


def required_mel_spec(built: Manifest, rows: Sequence[ManifestRow]) -> MelSpec:
    """Returns the spec that every row's mel was computed with.

    Raises:
        ManifestError: the header names none, or a row has no mel.
        SpecMismatch: a row's mel was computed with another spec.
    """
    spec, manifest = built.mel_spec, built.path
    for row in rows:
        if "mel" not in row.paths:
            raise ManifestError(
                f"{manifest}: {row.clip_id} has no mel", "run `gridprep build` again"
            )
        spec.require(row.fingerprints.get("mel", "none"), f"{manifest}: the mel of {row.clip_id}")
    return spec


def _map(
    vocoder: Vocoder, tasks: list[_Task], jobs: int
) -> Iterator[tuple[RunClip | ClipFailure, bool]]:
    work = functools.partial(_one_clip, vocoder)
    if jobs <= 1 or len(tasks) < 2:
        yield from map(work, tasks)
        return
    for result in LocalExecutor(jobs).map(work, tasks):
        if isinstance(result, Died):
            row = result.item.row
            reason = f"{result.cause}: out of memory, or a defect in a library"
            yield ClipFailure(row.speaker, row.stem, STAGE, "worker_died", reason), False
        else:
            yield result


def _one_clip(vocoder: Vocoder, task: _Task) -> tuple[RunClip | ClipFailure, bool]:
    """Returns (the clip or its failure, whether its wav was kept from an earlier run).

    A defect of this clip becomes a failure; a defect of the output folder, such as a full disk, ends
    the run, since every other clip would fail as well.
    """
    # One thread everywhere: with more, the last bits of a matrix product differ.
    with threadpool_limits(1):
        return _vocoded(vocoder, task)


def _vocoded(vocoder: Vocoder, task: _Task) -> tuple[RunClip | ClipFailure, bool]:
    row = task.row
    source = task.build / row.paths["mel"]
    try:
        mel = read_mel(source)
        n_samples = round(row.audio_samples * vocoder.sample_rate_hz / row.sample_rate_hz)
        seed = [task.seed, *row.clip_id.encode()]
        key = content_key(
            vocoder.parameters(), str(mel.dtype), list(mel.shape), mel.tobytes(), n_samples, seed
        )
        wav = wav_path(row.speaker, row.stem)
        kept = wav_key(task.out / wav, n_samples) == key
        sound = None if kept else vocoder(mel, np.random.default_rng(seed), n_samples)
    except ToolkitError as error:
        failure = ClipFailure(
            row.speaker, row.stem, STAGE, "unusable_mel", str(error), evidence={"mel": str(source)}
        )
        return failure, False
    if sound is not None:
        write_wav(task.out / wav, sound, vocoder.sample_rate_hz, key)
    mel_path = relative_reference(task.out, source)
    clip = run_clip(row, task.out, task.build, wav=wav, mel=mel_path, voice=row.speaker)
    return clip, kept
