"""Makes SynthGRID, a corpus in GRID's layout, with its ground truth."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gridprep.synth.clips import Job, make_clip, sentences_for, truth_path, video_path
from gridprep.synth.faults import add_faults
from gridprep.synth.speakers import SyntheticSpeaker, synthetic_speaker
from manifests.console import Progress
from manifests.corpus_lists import SPEAKERS
from manifests.errors import BadInput, ToolkitError
from manifests.execution import Died, LocalExecutor
from manifests.folders import check_own
from manifests.io import read_json, write_json
from manifests.versions import library_version

VERSION = 1
"""Raised whenever the same seed gives different clips."""
MARK = "synth.json"
"""The file that marks a folder as a SynthGRID and records its seed and version."""
BATCH_CLIPS = 20
"""Number of clips of one speaker that a worker gets at a time. A worker prepares a face and a voice
for the first of them, which takes as long as two clips."""


@dataclass(frozen=True)
class SynthReport:
    """The result of a run; `faults` counts the damaged clips that were added."""

    out: str
    speakers: tuple[str, ...]
    made: int
    kept: int
    faults: int
    wall_s: float


def _versions() -> dict[str, str]:
    names = ("av", "espeakng-loader", "numpy", "opencv", "soxr")
    return {name: library_version(name) for name in names}


def make_batch(jobs: tuple[Job, ...]) -> int:
    """Makes clips of one speaker, whose face and voice are prepared once; returns their number."""
    import cv2

    cv2.setNumThreads(1)  # parallelism is over clips
    for job in jobs:
        make_clip(job)
    return len(jobs)


def _batches(jobs: Sequence[Job]) -> list[tuple[Job, ...]]:
    batches = []
    for _, own in itertools.groupby(jobs, key=lambda job: job.speaker):
        clips = tuple(own)
        batches += [clips[i : i + BATCH_CLIPS] for i in range(0, len(clips), BATCH_CLIPS)]
    return batches


def _run(jobs: Sequence[Job], workers: int) -> Iterator[int]:
    """Makes clips and yields how many more are done."""
    if workers == 1:
        for job in jobs:
            yield make_batch((job,))
        return
    for result in LocalExecutor(workers).map(make_batch, _batches(jobs)):
        if isinstance(result, Died):
            first = result.item[0]
            raise ToolkitError(f"{first.speaker}/{first.stem}: {result.cause}", "run synth again")
        yield result


def make_corpus(
    out: str | os.PathLike[str],
    speakers: Sequence[str] = SPEAKERS,
    sentences: int = 20,
    seed: int = 0,
    jobs: int = 2,
    faults: bool = False,
    force: bool = False,
) -> SynthReport:
    """Makes the corpus; clips that are there are kept unless `force`.

    Args:
        out: folder; gets `sN/STEM.mpg`, `alignments/sN/STEM.align`, `truth/sN/STEM.{npz,json}`,
            `speakers.json`, `synth.json` and, with faults, `faults.json`.
        speakers: among s1 … s34 without s21.
        sentences: per speaker, drawn from the speaker's real stems.
        seed: decides everything; the same seed and versions give the same bytes.
        jobs: processes.
        faults: add the broken clips of `gridprep.synth.faults`.
        force: make every clip again.

    Raises: `BadInput` for bad values, for a folder that holds other files than a SynthGRID's (also with
    `force`), or that was made with another seed or version.
    """
    started_s = time.monotonic()
    if seed < 0 or jobs < 1:
        raise BadInput(f"seed {seed} with {jobs} jobs is not possible", "use seed ≥ 0 and jobs ≥ 1")
    people = {speaker: synthetic_speaker(speaker, seed) for speaker in dict.fromkeys(speakers)}
    if not people:
        raise BadInput("no speakers are given", "name some, or `all`")
    stems = {speaker: sentences_for(speaker, sentences, seed) for speaker in people}
    root = Path(out)
    check_own(
        root, (MARK,), "a SynthGRID", "choose an empty folder or a new one; --force does not help"
    )
    _check_same(root, seed, force)
    _describe(root, people, sentences, seed)
    todo, kept, broken = [], 0, _fault_paths(root)
    for speaker, chosen in stems.items():
        for stem in chosen:
            path = video_path(root, speaker, stem)
            if path.relative_to(root).as_posix() in broken:
                raise BadInput(
                    f"{path} is one of the folder's faults",
                    "ask for fewer sentences, or use a new folder",
                )
            if path.exists() and not truth_path(root, speaker, stem).exists():
                raise BadInput(
                    f"{path} was not made by `gridprep synth`: it has no truth beside it",
                    "use a new folder; this one holds clips of another corpus",
                )
            if not force and path.exists():
                kept += 1
            else:
                todo.append(Job(os.fspath(root), speaker, stem, seed))
    with Progress(len(todo), "synth") as progress:
        for n_clips in _run(todo, min(jobs, max(len(todo), 1))):
            progress.update(n_clips)
    n_faults = 0
    if faults:
        n_faults = len(add_faults(root, stems, seed, force))
    return SynthReport(
        os.fspath(root), tuple(people), len(todo), kept, n_faults, time.monotonic() - started_s
    )


def _check_same(root: Path, seed: int, force: bool) -> None:
    """Refuses to mix clips of two seeds or versions in one folder."""
    path = root / MARK
    if force or not path.exists():
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        before = (found["seed"], found["version"])
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(f"{path} is damaged", "use --force or another folder") from None
    if before != (seed, VERSION):
        raise BadInput(
            f"{root} was made with seed {before[0]}, version {before[1]}, not seed {seed}, "
            f"version {VERSION}",
            "use --force or another folder",
        )


def _fault_paths(root: Path) -> set[str]:
    path = root / "faults.json"
    return {fault["path"] for fault in read_json(path)} if path.exists() else set()


def _describe(root: Path, people: dict[str, SyntheticSpeaker], sentences: int, seed: int) -> None:
    everybody = {s: synthetic_speaker(s, seed) for s in SPEAKERS}
    write_json(root / "speakers.json", {s: p.to_dict() for s, p in everybody.items()})
    write_json(
        root / MARK,
        {
            "version": VERSION,
            "seed": seed,
            "sentences": sentences,
            "speakers": list(people),
            "versions": _versions(),
        },
    )
