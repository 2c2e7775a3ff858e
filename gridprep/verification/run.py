"""Verification of a corpus: decodes every clip to its end and judges it by the checks of a build.

The corpus is only read. The verdict on a clip is that of a build, because the code is the same
(`gridprep.media.decode`, `gridprep.media.quality`, `gridprep.corpora.alignment`); a build stops at
the first problem of a clip, verification reports all of them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from gridprep.corpora.base import CorpusRecipe
from gridprep.corpora.registry import recipe, recipe_for
from gridprep.corpora.repairs import repairs_of
from gridprep.features import crops
from gridprep.landmarks.base import LandmarkBackend
from gridprep.landmarks.registry import DEFAULT, create, frames_for
from gridprep.media import quality
from gridprep.media.decode import Media, decode
from gridprep.media.window import Window
from gridprep.pipeline.selection import BuildOptions, Selection, select
from gridprep.verification.report import (
    Finding,
    Problem,
    SpeakerCounts,
    Verification,
    VerifyOptions,
)
from manifests.console import Progress
from manifests.dask_execution import create_executor
from manifests.errors import ClipError
from manifests.execution import Died
from manifests.ordering import natural
from manifests.records import STAGES, Clip, ClipFailure
from manifests.specs import CropSpec, LandmarkSpec

NAMED_MISSING = 20
"""Number of missing clips that the report names per speaker; it always holds the count."""

ValueT = TypeVar("ValueT")


@dataclass(frozen=True)
class VerifyTask:
    """One clip's checks, sent to a worker."""

    clip: Clip
    quick: bool = False
    faces: bool = False
    corpus: str = "grid"


class _Checks:
    """Runs checks one after the other and keeps the problems that they find."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.flags: list[str] = []

    def run(self, stage: str, check: Callable[[], ValueT]) -> ValueT | None:
        """The check's result, or None after recording its problem. Never raises: one clip that
        upsets a library must not take the report of 32,000 others with it."""
        try:
            return check()
        except ClipError as error:
            self.problems.append(Problem(error.stage, error.reason, error.detail, error.evidence))
        except Exception as error:
            self.problems.append(
                Problem(stage, "unexpected", f"{type(error).__name__}: {error}", {})
            )
        return None


def check_clip(task: VerifyTask) -> Finding:
    """Judges one clip; never raises."""
    clip, checks = task.clip, _Checks()
    if task.quick:
        checks.run("decode", lambda: _present(clip))
    else:
        _check_media(task, checks)
    checks.run("alignment", lambda: _words(task))
    return Finding(
        clip.speaker,
        clip.stem,
        tuple(
            sorted(checks.problems, key=lambda p: STAGES.index(p.stage))
        ),  # as a build meets them
        tuple(checks.flags),
        clip.repairs,
        clip.video,
    )


def _check_media(task: VerifyTask, checks: _Checks) -> None:
    """Checks the pictures and the sound of a clip, and the face if requested."""

    def decoded() -> Media:
        clip = task.clip
        return decode(
            clip.video,
            window=Window(clip.start_s, clip.end_s) if clip.is_part else None,
            most_s=0.0 if expected.frames else expected.most_s,
        )

    corpus = recipe(task.corpus)
    expected = corpus.expected
    media = checks.run("decode", decoded)
    if media is None:
        return
    video = checks.run("decode", lambda: quality.check_video(media, expected))
    n_frames = len(video.frames) if video is not None else len(media.frames)
    sound = checks.run(
        "audio", lambda: quality.check_audio(media, corpus.audio, expected, n_frames)
    )
    checks.flags += video.flags if video is not None else ()
    checks.flags += sound.flags if sound is not None else ()
    if task.faces and video is not None:
        checks.flags += checks.run("align", lambda: _face_flags(video)) or ()


@lru_cache(maxsize=1)
def _backend() -> LandmarkBackend:
    """The build's default landmark backend, one per worker process. Raises `MissingDependency`."""
    return create(DEFAULT)


def _face_flags(video: quality.CheckedVideo) -> tuple[str, ...]:
    """The flags of a build's `align`; raises its `ClipError` (`no_face`, `face_lost`)."""
    spec = LandmarkSpec(backend=DEFAULT)
    landmarks = _backend().detect(frames_for(spec.backend, video.frames), spec.every)
    geometry = crops.track(landmarks, spec, CropSpec())
    return (
        *(("landmarks_interpolated",) if geometry.interpolated_frames else ()),
        *(("several_faces",) if int(landmarks.faces.max(initial=0)) > 1 else ()),
    )


def _present(clip: Clip) -> None:
    try:
        size = os.path.getsize(clip.video)
    except OSError as error:
        raise ClipError("decode", "unreadable", f"{clip.video}: {error.strerror}") from None
    if size == 0:
        raise ClipError("decode", "empty_file", f"{clip.video} has no bytes")


def _words(task: VerifyTask) -> None:
    if task.quick and task.clip.alignment:
        return
    recipe(task.corpus).annotate(task.clip)


def verify(options: VerifyOptions) -> Verification:
    """Verifies a corpus, with a progress display.

    Raises:
        BadInput: the folder is absent, holds no clip, or none of the speakers asked for.
        MissingDependency: `faces` without a landmark backend.
    """
    started_s = time.monotonic()
    if options.faces and not options.quick:
        _backend()  # reports a missing backend before any clip is read
    kind = recipe_for(options.corpus, options.corpus_kind).name
    selection = select(
        BuildOptions(
            options.corpus,
            "",
            corpus_kind=kind,
            speakers=options.speakers,
            limit=options.limit,
        )
    )
    root = selection.corpus.root
    findings = [_not_a_clip(failure) for failure in selection.find_failures]
    tasks = [VerifyTask(clip, options.quick, options.faces, kind) for clip in selection.clips]
    # Closing the generator shuts the worker processes down, also on Ctrl-C.
    with (
        contextlib.closing(_check_all(tasks, options)) as results,
        Progress(len(tasks), "verify") as progress,
    ):
        failed = flagged = 0
        for finding in results:
            failed += finding.verdict == "failed"
            flagged += finding.verdict == "flagged"
            findings.append(replace(finding, video=os.path.relpath(finding.video, root)))
            progress.update(1, failed=failed, flagged=flagged)
    findings.sort(key=lambda f: (natural(f.speaker), f.stem))
    table, absent = _count(selection, findings, recipe(kind), ",".join(options.speakers))
    corpus = selection.corpus
    return Verification(
        options=options,
        root=root,
        findings=tuple(findings),
        speakers=table,
        absent_speakers=absent,
        repairs=repairs_of(corpus.claims),
        duplicates=corpus.duplicates,
        orphan_alignments=corpus.orphan_alignments,
        junk_files=corpus.junk_files,
        wall_s=time.monotonic() - started_s,
        archives=corpus.archives,
    )


def _check_all(tasks: list[VerifyTask], options: VerifyOptions) -> Generator[Finding, None, None]:
    if options.quick:
        yield from map(check_clip, tasks)
        return
    executor = create_executor("local", min(options.jobs, max(len(tasks), 1)))
    for result in executor.map(check_clip, tasks):
        if isinstance(result, Died):
            clip = result.item.clip
            died = Problem("worker", "worker_died", result.cause, {})
            yield Finding(clip.speaker, clip.stem, (died,), (), clip.repairs, clip.video)
        else:
            yield result


def _not_a_clip(failure: ClipFailure) -> Finding:
    problem = Problem(failure.stage, failure.reason, failure.detail, failure.evidence)
    return Finding(failure.speaker, failure.stem, (problem,), video=failure.video)


def _count(
    selection: Selection, findings: list[Finding], corpus: CorpusRecipe, speakers: str
) -> tuple[tuple[SpeakerCounts, ...], tuple[str, ...]]:
    """(a line for every speaker of whom something is here, the others that were asked for)."""
    chosen = corpus.parse_speakers(speakers, selection.corpus) if speakers else frozenset()
    wanted = sorted(chosen or corpus.known_speakers, key=natural)
    here: dict[str, list[Clip]] = {}
    for clip in selection.corpus.clips:
        here.setdefault(clip.speaker, []).append(clip)
    strange = Counter(f.speaker for f in selection.find_failures)
    verdicts = Counter((f.speaker, f.verdict) for f in findings)
    lines = []
    for speaker in sorted({*here, *strange}, key=natural):
        if chosen and speaker not in chosen:
            continue
        clips = here.get(speaker, [])
        stems = {clip.stem for clip in clips}
        expected = set(corpus.expected_stems(speaker))
        missing = sorted(expected - stems)
        ok, flagged, failed = (verdicts[speaker, v] for v in ("ok", "flagged", "failed"))
        lines.append(
            SpeakerCounts(
                speaker=speaker,
                expected=len(expected),
                found=len(clips) + strange[speaker],
                checked=ok + flagged + failed,
                ok=ok,
                flagged=flagged,
                failed=failed,
                alignments=sum(bool(clip.alignment) for clip in clips),
                missing=len(missing),
                unlisted=len(stems - expected) if corpus.known_speakers else 0,
                missing_stems=tuple(missing[:NAMED_MISSING]),
            )
        )
    present = {line.speaker for line in lines}
    return tuple(lines), tuple(s for s in wanted if s not in present)
