"""Checks whether runs are comparable: the same clips, sentences and recordings.

Recordings are the same where their samples are: two builds may write the same sound into files that
differ in a header's timestamp.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from evaluation.inputs.build_files import corpus_name
from evaluation.inputs.pairs import RunDir, check_comparable, check_names
from manifests.corpus_names import LABELS
from manifests.errors import BadInput
from manifests.ordering import natural
from manifests.records import RunClip

SHOWN = 3
"""Clips named in a message."""
REMEDY = "compare runs of the same clips, or pass --common for those that all of them hold"


@dataclass(frozen=True)
class Common:
    """The clips that all runs hold.

    Attributes:
        runs: the runs with these clips alone, as if they had been asked for no others.
        labels: of the clips.
        notes: how many there are, and what was left out of which run.
    """

    runs: tuple[RunDir, ...]
    labels: frozenset[str]
    notes: tuple[str, ...]


def check_same_clips(runs: Sequence[RunDir]) -> None:
    """Refuses runs that were not asked for the same clips of the same recordings.

    A clip that a run was asked for and lacks is missing; that is no difference.

    Raises:
        BadInput: the first difference, with the clips named.
    """
    check_comparable(list(runs))
    check_same_corpus(runs)
    first = runs[0]
    for run in runs[1:]:
        if run.info.n_expected != first.info.n_expected:
            raise BadInput(
                f"{first.root} was asked for {first.info.n_expected} clips, {run.root} for "
                f"{run.info.n_expected}",
                REMEDY,
            )
    clips = [_by_label(run) for run in runs]
    for i, here in enumerate(runs):
        for j, there in enumerate(runs):
            only = set(clips[i]) - set(clips[j])
            if len(only) > there.n_missing:
                raise BadInput(
                    f"{here.root} holds {len(only)} clips that {there.root} does not "
                    f"({some(only)}), where only {there.n_missing} are missing",
                    REMEDY,
                )
    for label in sorted(set().union(*clips), key=natural):
        holders = [
            (run, found[label]) for run, found in zip(runs, clips, strict=True) if label in found
        ]
        for other in holders[1:]:
            difference = _difference(label, holders[0], other)
            if difference:
                raise BadInput(difference, REMEDY)
    if len(runs) > 1 and not set(clips[0]).intersection(*clips[1:]):
        names = " and ".join(str(run.root) for run in runs)
        raise BadInput(f"{names} have no clip in common", "compare others")


def check_same_corpus(runs: Sequence[RunDir]) -> None:
    """Raises `BadInput` where two runs are known to be of different corpora: GRID and SynthGRID have clips of
    the same names and sentences."""
    known = [(run, corpus) for run in runs if (corpus := corpus_name(run))]
    for run, corpus in known[1:]:
        if corpus != known[0][1]:
            raise BadInput(
                f"{known[0][0].root} holds clips of {LABELS[known[0][1]]}, {run.root} of {LABELS[corpus]}",
                "report them separately: their numbers do not compare",
            )


def common_clips(runs: Sequence[RunDir]) -> Common:
    """The clips that all runs hold, of the same words and recordings, whatever else they hold.

    Raises:
        BadInput: two runs of one name, runs of different corpora, or no such clip.
    """
    check_names(list(runs))
    check_same_corpus(runs)
    clips = [_by_label(run) for run in runs]
    shared = set(clips[0]).intersection(*clips[1:])
    differing: dict[str, str] = {}
    for label in sorted(shared, key=natural):
        for run, found in zip(runs[1:], clips[1:], strict=True):
            told = _difference(label, (runs[0], clips[0][label]), (run, found[label]))
            if told:
                differing.setdefault(label, told)
    labels = frozenset(shared - set(differing))
    if not labels:
        why = f": {next(iter(differing.values()))}" if differing else ""
        names = " and ".join(str(run.root) for run in runs)
        raise BadInput(f"{names} have no clip in common{why}", "compare others")
    notes = [f"Only the {len(labels)} clips that all {len(runs)} runs hold are scored (--common)."]
    for run, found in zip(runs, clips, strict=True):
        lost = set(found) - labels
        if lost:
            notes.append(f"{run.info.name}: {len(lost)} of {len(found)} clips are left out.")
    if differing:
        notes.append(
            f"{len(differing)} of these clips differ in words or recording ({some(differing)})."
        )
    return Common(tuple(restricted(run, labels) for run in runs), labels, tuple(notes))


def restricted(run: RunDir, labels: frozenset[str]) -> RunDir:
    """A run with these clips alone."""
    kept = tuple(clip for clip in run.clips if clip.label in labels)
    return replace(run, clips=kept, info=replace(run.info, n_expected=len(kept)))


def some(labels: Iterable[str]) -> str:
    """The first few of some clips, for a message."""
    ordered = sorted(labels, key=natural)
    return ", ".join(ordered[:SHOWN]) + (", …" if len(ordered) > SHOWN else "")


def _by_label(run: RunDir) -> dict[str, RunClip]:
    return {clip.label: clip for clip in run.clips}


def _difference(label: str, a: tuple[RunDir, RunClip], b: tuple[RunDir, RunClip]) -> str:
    """Returns what two runs' lines of one clip disagree on, or ""."""
    (run_a, of_a), (run_b, of_b) = a, b
    if of_a.sentence != of_b.sentence:
        return (
            f"{label} says {of_a.sentence!r} in {run_a.root} and {of_b.sentence!r} in {run_b.root}"
        )
    first, second = run_a.reference(of_a), run_b.reference(of_b)
    if first is None or second is None or same_sound(first, second):
        return ""
    here, there = map(os.path.normpath, (first, second))
    return f"the recordings of {label} differ: {here} and {there}"


def same_sound(first: Path, second: Path) -> bool:
    """Returns whether two files hold the same samples at the same rate; absent files differ from
    nothing."""
    if first.resolve() == second.resolve() or not (first.is_file() and second.is_file()):
        return True
    return _hash_of(first.resolve()) == _hash_of(second.resolve())


def _hash_of(path: Path) -> str:
    status = path.stat()
    return _content(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=100_000)
def _content(path: Path, _mtime_ns: int, _size: int) -> str:
    """A hash of a file's rate and samples; of its bytes where it is no sound."""
    import soundfile

    digest = hashlib.sha256()
    try:
        samples, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
        digest.update(f"{rate_hz} {samples.shape}".encode() + samples.tobytes())
    except (soundfile.SoundFileError, OSError):
        digest.update(path.read_bytes())
    return digest.hexdigest()
