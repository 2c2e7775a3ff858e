"""SynthGRID: makes a corpus in GRID's layout, with the truth beside it."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gridprep.corpora.alignment import AlignedToken, format_alignment
from gridprep.pipeline.execution import Died, LocalExecutor
from gridprep.synth.container import DECODED_SAMPLES, write_mpg
from gridprep.synth.face import face_of
from gridprep.synth.speakers import SyntheticSpeaker, synthetic_speaker
from gridprep.synth.visemes import POSE_NAMES, VISEME_NAMES, mouth_poses
from gridprep.synth.voice import Utterance, utter
from manifests.console import Progress
from manifests.corpus_lists import SPEAKERS, stems_of
from manifests.errors import BadInput, ToolkitError
from manifests.io import atomic_open, atomic_path, read_json, write_json
from manifests.records import POINT_NAMES
from manifests.specs import ALIGN_UNITS_PER_SECOND
from manifests.versions import library_version

VERSION = 1
"""Raised whenever the same seed gives different clips."""
BATCH_CLIPS = 10
"""Of one speaker, given to a worker at a time."""
LAST_UNITS = 74_500
"""Where GRID's alignments end."""


@dataclass(frozen=True)
class SynthReport:
    """What a run did; `faults` counts the broken clips added."""

    out: str
    speakers: tuple[str, ...]
    made: int
    kept: int
    faults: int
    wall_s: float


@dataclass(frozen=True)
class Job:
    """One clip to make."""

    out: str
    speaker: str
    stem: str
    seed: int


def sentences_for(speaker: str, sentences: int, seed: int) -> tuple[str, ...]:
    """Stems drawn from the speaker's own in GRID; a larger number contains the smaller one's."""
    own = stems_of(speaker)
    if not 1 <= sentences <= len(own):
        raise BadInput(
            f"{sentences} sentences cannot be made for {speaker}", f"ask for 1 to {len(own)}"
        )
    order = np.random.default_rng([seed, 6, int(speaker[1:])]).permutation(len(own))
    return tuple(own[i] for i in order[:sentences])


def clip_rng(speaker: str, stem: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 7, int(speaker[1:]), *stem.encode()])


def alignment_text(utterance: Utterance) -> str:
    """The `.align` file of an utterance."""
    edges = [round(start_s * ALIGN_UNITS_PER_SECOND) for _, start_s, _ in utterance.words]
    edges.append(round(utterance.words[-1][2] * ALIGN_UNITS_PER_SECOND))
    tokens = [AlignedToken(0, edges[0], "sil")]
    for (word, _, _), start, end in zip(utterance.words, edges[:-1], edges[1:], strict=True):
        tokens.append(AlignedToken(start, end, word))
    tokens.append(AlignedToken(edges[-1], max(LAST_UNITS, edges[-1]), "sil"))
    return format_alignment(tokens)


def make_clip(job: Job) -> str:
    """Makes one clip with alignment and truth; the video comes last, so its presence means done."""
    root = Path(job.out)
    person = synthetic_speaker(job.speaker, job.seed)
    rng = clip_rng(job.speaker, job.stem, job.seed)
    utterance = utter(person, job.stem, rng)
    poses, visemes = mouth_poses(list(utterance.phonemes), float(rng.uniform(0.85, 1.1)))
    frames, points_px = face_of(person, job.seed).film(poses, rng)
    with atomic_open(root / "alignments" / job.speaker / f"{job.stem}.align") as file:
        file.write(alignment_text(utterance))
    truth = root / "truth" / job.speaker / job.stem
    with atomic_path(truth.with_suffix(".npz")) as temporary:
        np.savez_compressed(
            temporary,
            points_px=points_px,
            point_names=np.array(POINT_NAMES),
            f0_hz=utterance.f0_hz,
            visemes=visemes,
            viseme_names=np.array(VISEME_NAMES),
            poses=poses,
            pose_names=np.array(POSE_NAMES),
        )
    write_json(
        truth.with_suffix(".json"),
        {
            "speaker": job.speaker,
            "stem": job.stem,
            "words": [[word, round(a, 6), round(b, 6)] for word, a, b in utterance.words],
            "phonemes": [
                [p.name, round(p.start_s, 6), round(p.end_s, 6)] for p in utterance.phonemes
            ],
        },
        indent=None,
    )
    write_mpg(video_path(root, job.speaker, job.stem), frames, utterance.samples[:DECODED_SAMPLES])
    return job.stem


def video_path(out: str | os.PathLike[str], speaker: str, stem: str) -> Path:
    return Path(out) / speaker / f"{stem}.mpg"


def _versions() -> dict[str, str]:
    names = ("av", "espeakng-loader", "numpy", "opencv-python", "scikit-image", "soxr")
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

    Raises: `BadInput` for bad values, or for a folder that was made with another seed or version.
    """
    started_s = time.monotonic()
    if seed < 0 or jobs < 1:
        raise BadInput(f"seed {seed} with {jobs} jobs is not possible", "use seed ≥ 0 and jobs ≥ 1")
    people = {speaker: synthetic_speaker(speaker, seed) for speaker in dict.fromkeys(speakers)}
    if not people:
        raise BadInput("no speakers were asked for", "name some, or `all`")
    stems = {speaker: sentences_for(speaker, sentences, seed) for speaker in people}
    root = Path(out)
    if root.exists() and not root.is_dir():
        raise BadInput(f"{root} is not a folder", "choose another OUT")
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
            if not force and path.exists():
                kept += 1
            else:
                todo.append(Job(os.fspath(root), speaker, stem, seed))
    with Progress(len(todo), "synth") as progress:
        for n_clips in _run(todo, min(jobs, max(len(todo), 1))):
            progress.update(n_clips)
    n_faults = 0
    if faults:
        from gridprep.synth.faults import add_faults

        n_faults = len(add_faults(root, stems, seed, force))
    return SynthReport(
        os.fspath(root), tuple(people), len(todo), kept, n_faults, time.monotonic() - started_s
    )


def _check_same(root: Path, seed: int, force: bool) -> None:
    """Refuses to mix clips of two seeds or versions in one folder."""
    path = root / "synth.json"
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
        root / "synth.json",
        {
            "version": VERSION,
            "seed": seed,
            "sentences": sentences,
            "speakers": list(people),
            "versions": _versions(),
        },
    )
