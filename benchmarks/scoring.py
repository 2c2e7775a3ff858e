"""Speed of the evaluation: two systems with every bundled metric and the report, the same again with
nothing new, and each metric beside the library it stands on, called one clip at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import signal

from evaluation.inputs import pitch
from evaluation.inputs.pairs import SCORING_RATE_HZ, Pair, Recording, RunDir, read_run
from evaluation.metrics import cepstrum
from evaluation.metrics.base import Metric, select
from evaluation.mos.columns import listening_tables
from evaluation.reporting import run as reports
from evaluation.reporting.tables import TableOptions
from evaluation.scoring.run import score_runs
from evaluation.scoring.settings import NOBODY, read_settings
from gridprep.pipeline.recipe import Recipe
from gridprep.pipeline.run import run as run_build
from gridprep.pipeline.selection import BuildOptions as BuildOptions
from gridprep.pipeline.selection import with_versions
from manifests.console import format_table
from manifests.cpus import available_cpus
from manifests.errors import BadInput
from manifests.io import read_manifest, write_json, write_jsonl
from manifests.records import RunClip, RunInfo

CLIPS = 200
BAR_S, AGAIN_S = 240.0, 5.0
SAMPLE_CLIPS = 12
"""Clips that each metric is timed on alone."""
Sound = NDArray[np.float64]


def noisy(sound: Sound, seed: int) -> Sound:
    rng = np.random.default_rng(seed)
    return np.asarray(sound + 0.3 * sound.std() * rng.standard_normal(len(sound)))


def dull(sound: Sound, _: int) -> Sound:
    sections = signal.butter(4, 2000, fs=SCORING_RATE_HZ, output="sos")
    return np.asarray(signal.sosfiltfilt(sections, sound))


def make_runs(corpus: Path, clips: int, scratch: Path) -> list[RunDir]:
    """A build, and two runs over its clips: noise added, and everything above 2 kHz taken away."""
    build = scratch / "scoring-build"
    options = BuildOptions(
        corpus=str(corpus), out=str(build), recipe=with_versions(Recipe()), split="all-seen",
        limit=clips, jobs=available_cpus(),
    )  # fmt: skip
    run_build(options)
    rows = read_manifest(build)[1]
    runs = []
    for name, change in (("noisy", noisy), ("dull", dull)):
        root = scratch / name
        (root / "wavs").mkdir(parents=True)
        made = []
        for i, row in enumerate(rows):
            recording = build / row.paths["audio"]
            file = f"wavs/{row.speaker}_{row.stem}.wav"
            soundfile.write(root / file, change(soundfile.read(recording)[0], i), SCORING_RATE_HZ)
            reference = os.path.relpath(recording, root)
            made.append(RunClip(row.speaker, row.stem, row.sentence, row.gender, file, reference))
        write_jsonl(root / "clips.jsonl", "run-clips", made)
        info = RunInfo(name, "model", "all-seen", "test", SCORING_RATE_HZ, len(made))
        write_json(root / "run.json", info.to_dict())
        runs.append(read_run(root))
    return runs


def bundled(runs: list[RunDir]) -> list[Metric]:
    """Returns the metrics that a report computes without weights of the user, as far as they are
    installed."""
    for recognizer in (None, NOBODY):
        settings = read_settings(
            runs,
            recognizer=recognizer,
            recognizer_path=None,
            nisqa_weights=None,
            any_nisqa_weights=False,
        )
        try:
            metrics, _ = select(None, settings)
        except BadInput:  # a checkout without the recognizer's weights
            continue
        return metrics
    return []


def _pair(run: RunDir, clip: RunClip) -> Pair:
    reference = run.reference(clip)
    known = Recording(reference) if reference is not None else None
    return Pair(clip, Recording(run.wav(clip)), known, run.root)


def report(runs: list[RunDir], metrics: list[Metric], out: Path) -> float:
    """Seconds for scores and report in every format."""
    started_s = time.monotonic()
    scored = score_runs(runs, metrics, available_cpus(), progress=False)
    options = TableOptions()
    made = reports.build_report(
        scored, metrics, options, (), "all", listening_tables(runs, options)
    )
    ranking = reports.ranking_metric(None, metrics)
    reports.write_report(made, out, reports.FORMATS, rank_by=ranking, n_clips=3)
    return time.monotonic() - started_s


Reference = Callable[[Sound, Sound], object]


def _pystoi(extended: bool, reference: Sound, degraded: Sound) -> object:
    import pystoi

    return pystoi.stoi(reference, degraded, SCORING_RATE_HZ, extended=extended)


def _pyin(reference: Sound, degraded: Sound) -> object:
    import librosa

    return [
        librosa.pyin(
            sound, fmin=pitch.FMIN_HZ, fmax=pitch.FMAX_HZ, sr=SCORING_RATE_HZ,
            frame_length=pitch.FRAME_SAMPLES, hop_length=pitch.HOP_SAMPLES,
        )
        for sound in (reference, degraded)
    ]  # fmt: skip


def _dtw(reference: Sound, degraded: Sound) -> object:
    from librosa.sequence import dtw

    cepstra = [
        cepstrum.cepstra(Recording(sound, SCORING_RATE_HZ)).T for sound in (reference, degraded)
    ]
    return dtw(*cepstra)


def _pesq(mode: str, reference: Sound, degraded: Sound) -> object:
    import pesq

    return pesq.pesq(SCORING_RATE_HZ, reference, degraded, mode)


LIBRARIES: dict[str, tuple[str, Reference]] = {
    "stoi": ("pystoi", partial(_pystoi, False)),
    "estoi": ("pystoi", partial(_pystoi, True)),
    "f0_rmse": ("librosa.pyin", _pyin),
    "mcd_dtw": ("librosa.sequence.dtw", _dtw),
    "pesq_wb": ("pesq", partial(_pesq, "wb")),
}
"""Metric → (library, what one would call for one clip)."""


def per_metric(run: RunDir, metrics: list[Metric]) -> list[tuple[str, ...]]:
    """(metric, its clips per second of processor time, the library's, ratio): each clip's files are read
    anew."""
    clips = run.clips[:SAMPLE_CLIPS]
    lines: list[tuple[str, ...]] = []
    for metric in (m.for_run(run) for m in metrics if m.info.group != "floor"):
        metric.score(_pair(run, clips[0]))  # loads libraries and models
        started_s = time.process_time()
        for clip in clips:
            metric.score(_pair(run, clip))
        ours = len(clips) / (time.process_time() - started_s)
        theirs, name = float("nan"), "–"
        if metric.info.name in LIBRARIES:
            name, call = LIBRARIES[metric.info.name]
            started_s = time.process_time()
            for clip in clips:
                reference = run.reference(clip)
                if reference is not None:
                    call(soundfile.read(reference)[0], soundfile.read(run.wav(clip))[0])
            theirs = len(clips) / (time.process_time() - started_s)
        told = (f"{theirs:.1f}", f"{ours / theirs:.2f}×") if name != "–" else ("–", "–")
        lines.append((metric.info.name, f"{ours:.1f}", name, *told))
    return lines


def projected(
    runs: list[RunDir], metrics: list[Metric], clips: int = SAMPLE_CLIPS
) -> tuple[str, ...]:
    """(what, wall s of 200 clips of two systems on two cores, CPU s a clip of two systems, bar): from the
    processor time of a few clips in one process, which other processes do not lengthen."""
    labels = [clip.label for clip in runs[0].clips][: clips + 1]
    score_runs(runs, metrics, progress=False, only=frozenset(labels[:1]))  # loads what it needs
    started_s = time.process_time()
    score_runs(runs, metrics, progress=False, only=frozenset(labels[1:]))
    each_s = (time.process_time() - started_s) / (len(labels) - 1)
    wall_s = each_s * CLIPS / 2
    return (
        f"{CLIPS} × {len(runs)} on two cores, by CPU time",
        f"{wall_s:.0f}",
        f"{each_s:.2f}",
        f"{BAR_S:.0f}",
    )


def scoring(corpus: Path, clips: int, scratch: Path) -> str:
    """The whole, the whole again, and each metric. `clips` of each system; the bar is for 200."""
    runs = make_runs(corpus, clips, scratch)
    metrics = bundled(runs)
    expected = format_table(("projected", "s", "CPU s/clip", "bar s"), [projected(runs, metrics)])
    for run in runs:
        (run.root / "scores.jsonl").unlink()
    first_s = report(runs, metrics, scratch / "report")
    again_s = report(runs, metrics, scratch / "report")
    n = sum(len(run.clips) for run in runs)
    bar_s = BAR_S * n / (2 * CLIPS)
    rows = [
        ("scores and report", f"{first_s:.1f}", f"{n / first_s:.2f}", f"{bar_s:.0f}"),
        ("again, nothing new", f"{again_s:.1f}", f"{n / again_s:.0f}", f"{AGAIN_S:.0f}"),
    ]
    whole = format_table((f"{n} clips, {len(metrics)} metrics", "s", "clips/s", "bar s"), rows)
    heads = ("metric alone", "clips/CPU s", "library, clip by clip", "clips/CPU s", "of it")
    return f"{whole}\n\n{expected}\n\n{format_table(heads, per_metric(runs[0], metrics))}"
