"""Synthesizes the clips of a manifest into a run directory that `facetron-eval` scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from facetron import systems
from facetron.synthesis.base import (
    Decoding,
    Durations,
    Pictures,
    SpeechSynthesizer,
    TextFrom,
    load_synthesizer,
)
from facetron.synthesis.confidence import UNMEASURED, domain, faces_ignored
from facetron.synthesis.files import ClipFiles
from facetron.synthesis.stills import IMAGE, RULES, SPEAKER, Face, Faces
from facetron.synthesis.swaps import FILE, Pair, draw_pairs, read_pairs, write_pairs
from facetron.synthesis.tasks import (
    SynthesisTask,
    one_voice,
    own_voices,
    picture_voice,
    shuffled_lips,
    swapped,
)
from facetron.vocoders.registry import AUTO
from manifests.console import Progress
from manifests.errors import BadInput, ToolkitError
from manifests.io import sha256_file
from manifests.manifest import Manifest, select
from manifests.pictures import read_pictures
from manifests.records import ClipFailure, ManifestRow, RunClip, RunInfo
from manifests.runs import RunReport, close_run, running
from manifests.versions import versions

STAGE = "synthesis"


@dataclass(frozen=True)
class SynthesisOptions:
    """Options of a synthesis.

    Attributes:
        manifest: `manifest.jsonl`, or the folder of the build that holds it.
        checkpoint: bundled weights or a path.
        subset: `train`, `val`, `test`, or `all`.
        face: `i2i`, `i2i-literal`, `mean`, `random`, `speaker:s4`, `image:FILE`.
        swap: "" or a CSV file of pairs, or the number of pairs to draw (Table III).
        shuffle_lips: control: each clip with the lips of another clip of its speaker, and with the
            text of that clip where the system is given one.
        vocoder_checkpoint: weights of a vocoder in place of `vocoder`; "" is none.
        limit: largest number of clips, taken from the speakers in turn; 0 is all.
        seed: seed of everything that is drawn, and of Griffin-Lim's phase.
        face_clips: largest number of clips per speaker to choose the face from.
        text, durations, reader: see `SpeechSynthesizer.told`, for systems that speak text.
        name: name of the run in tables; "" chooses one.
    """

    manifest: Path
    checkpoint: str
    out: Path
    subset: str = "test"
    face: str = "i2i"
    swap: str = ""
    shuffle_lips: bool = False
    vocoder: str = AUTO
    vocoder_checkpoint: str = ""
    decoding: Decoding = "greedy"
    device: str = "auto"
    batch_size: int = 8
    limit: int = 0
    seed: int = 0
    face_clips: int = 20
    name: str = ""
    text: TextFrom | None = None
    durations: Durations | None = None
    reader: str | None = None


ALONE = (
    "the manifest has one speaker, and Eq. 6 no other to keep away from: the face is the medoid of the "
    "speaker's stills"
)


@dataclass(frozen=True)
class Speaker:
    """A voice of a run: whether the speaker is seen, the number of clips with the voice, and whether
    the model was trained on the speaker although the manifest's split holds the speaker out."""

    name: str
    seen: bool
    clips: int
    seen_held_out: bool


@dataclass(frozen=True)
class SynthesisReport(RunReport):
    """The outcome of a synthesis.

    Attributes:
        confidence: mean over the clips of the expected share of right words in the text read; None
            where the weights are not calibrated.
        foreign: clips whose lips do not look like what the weights were trained on.
        notes: what the user should know, one line each.
    """

    speakers: tuple[Speaker, ...]
    confidence: float | None = None
    foreign: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def synthesize(options: SynthesisOptions) -> SynthesisReport:
    """Writes the run directory `options.out`.

    Clips that cannot be synthesized (absent or damaged features) fail with a reason; others continue.

    Raises:
        BadInput: the manifest, checkpoint, an option or the output folder cannot be used.
        SpecMismatch: the manifest's mels or crops are not those that the model was trained on.
    """
    _check(options)
    voice = load_synthesizer(
        options.checkpoint,
        options.vocoder,
        options.device,
        options.decoding,
        options.seed,
        options.vocoder_checkpoint,
    ).told(options.text, options.durations, options.reader)
    built = Manifest(options.manifest)
    built.require_files()
    rows = list(built)
    tasks = _tasks(options, voice, rows, built.path)
    voice.require([task.row for task in tasks], built.path)
    rule = "i2i" if options.face.startswith(SPEAKER) else options.face
    faces = Faces(voice, built.root, rows, options.subset, rule, options.seed, options.face_clips)
    speakers = _speakers(voice, tasks, built.held_out_speakers)
    info = _info(options, voice, built, tasks, speakers)
    clips: list[RunClip] = []
    failures: list[ClipFailure] = []
    kept = 0
    with running(options.out, info):
        if options.swap:
            write_pairs(options.out / FILE, _pairs_of(tasks))
        files = ClipFiles(options.out, built.root, voice)
        with Progress(len(tasks), "synthesize") as progress:
            # Batches are cut before it is known what is there already: a run taken up again computes
            # with the same companions, and so to the same bits.
            for start in range(0, len(tasks), options.batch_size):
                for result, was_kept in _batch(
                    voice, faces, files, tasks[start : start + options.batch_size]
                ):
                    if isinstance(result, ClipFailure):
                        failures.append(result)
                    else:
                        clips.append(result)
                        kept += was_kept
                    progress.update(1, failures=len(failures))
        close_run(options.out, clips, failures)
    trusts = [clip.confidence for clip in clips if clip.confidence is not None]
    return SynthesisReport(
        len(tasks),
        len(clips) - kept,
        kept,
        tuple(failures),
        speakers,
        confidence=sum(trusts) / len(trusts) if trusts else None,
        foreign=tuple(clip.clip_id for clip in clips if clip.in_domain is False),
        notes=_notes(options, voice, faces),
    )


def _notes(options: SynthesisOptions, voice: SpeechSynthesizer, faces: Faces) -> tuple[str, ...]:
    """What the user should know of a run beside its clips."""
    found = [f"weights: trained on {domain(voice.info)}"]
    if voice.calibration is None:
        found.append(UNMEASURED)
    other = bool(options.swap) or options.face not in RULES
    if other and (ignored := faces_ignored(voice.calibration, voice.face_size > 0)):
        found.append(ignored)
    if faces.alone:
        found.append(ALONE)
    return tuple(found)


def _check(options: SynthesisOptions) -> None:
    known = options.face in RULES or options.face.startswith((SPEAKER, IMAGE))
    if not known:
        raise BadInput(
            f"there is no face rule {options.face!r}",
            f"choose {', '.join(RULES)}, {SPEAKER}s1 or {IMAGE}FILE",
        )
    if options.swap and (options.shuffle_lips or options.face not in RULES):
        raise BadInput(
            "--swap, --shuffle-lips and one face for all clips exclude each other",
            "choose one of these experiments",
        )
    if min(options.batch_size, options.face_clips) < 1:
        raise BadInput("--batch-size or --face-clips is less than 1", "give at least 1")


def _tasks(
    options: SynthesisOptions, voice: SpeechSynthesizer, rows: Sequence[ManifestRow], manifest: Path
) -> list[SynthesisTask]:
    limit = 0 if options.swap else options.limit
    chosen = select(rows, options.subset, limit, manifest)
    speakers = {row.speaker for row in rows}
    if options.swap:
        if options.swap.isdecimal():
            unseen = [name for name in speakers if not voice.seen(name)]
            pairs = draw_pairs(chosen, int(options.swap), options.seed, unseen)
        else:
            pairs = read_pairs(Path(options.swap))
        return swapped(chosen, pairs)[: options.limit or None]
    if options.face.startswith(SPEAKER):
        name = options.face[len(SPEAKER) :]
        if name not in speakers:
            raise BadInput(f"{manifest} has no speaker {name!r}", "choose one of its speakers")
        tasks = one_voice(chosen, name)
    elif options.face.startswith(IMAGE):
        tasks = one_voice(chosen, picture_voice(Path(options.face[len(IMAGE) :])))
    else:
        tasks = own_voices(chosen, [name for name in speakers if voice.seen(name)])
    return shuffled_lips(tasks, options.seed) if options.shuffle_lips else tasks


def _pairs_of(tasks: Sequence[SynthesisTask]) -> list[Pair]:
    return [
        Pair(task.row.speaker, task.row.stem, task.voice, task.face.stem if task.face else "")
        for task in tasks
    ]


def _speakers(
    voice: SpeechSynthesizer, tasks: Sequence[SynthesisTask], held_out: Sequence[str]
) -> tuple[Speaker, ...]:
    counts = Counter(task.voice for task in tasks if not task.of_picture)
    return tuple(
        Speaker(name, voice.seen(name), n, voice.seen(name) and name in held_out)
        for name, n in sorted(counts.items())
    )


def _info(
    options: SynthesisOptions,
    voice: SpeechSynthesizer,
    built: Manifest,
    tasks: Sequence[SynthesisTask],
    speakers: Sequence[Speaker],
) -> RunInfo:
    return RunInfo(
        name=options.name or _name(options, systems.get(voice.info.system).label, voice.notes),
        kind="control" if options.shuffle_lips else "model",
        split=built.split,
        subset=options.subset,
        sample_rate_hz=voice.sample_rate_hz,
        n_expected=len(tasks),
        manifest_sha256=sha256_file(built.path),
        parameters={
            **voice.parameters(options.checkpoint, {item.name: item.seen for item in speakers}),
            "face": options.face,
            "face_clips": options.face_clips,
            "swap": bool(options.swap),
            "shuffled_lips": options.shuffle_lips,
            "decoding": options.decoding,
            **voice.told_parameters,
            "vocoder": voice.vocoder.parameters(),
            "seed": options.seed,
            "batch_size": options.batch_size,
            "device": voice.device.type,
        },
        versions=versions("numpy", "torch"),
        corpus=built.corpus,
    )


def _name(options: SynthesisOptions, label: str, more: Sequence[str]) -> str:
    """Returns a name that distinguishes the runs of one checkpoint in a report."""
    notes = [Path(options.checkpoint).stem, *more]
    if options.face != "i2i":
        notes.append(f"face {options.face}")
    if options.vocoder != AUTO:
        notes.append(options.vocoder)
    if options.vocoder_checkpoint:
        notes.append(f"vocoder {Path(options.vocoder_checkpoint).name}")
    if options.swap:
        notes.append("swapped faces")
    if options.shuffle_lips:
        notes.append("shuffled lips")
    return f"{label} ({', '.join(notes)})"


class _Work(NamedTuple):
    task: SynthesisTask
    face: Face
    lips: Path
    key: str
    kept: RunClip | None


def _batch(
    voice: SpeechSynthesizer, faces: Faces, files: ClipFiles, tasks: Sequence[SynthesisTask]
) -> Iterator[tuple[RunClip | ClipFailure, bool]]:
    """Returns (the clip or its failure, whether it was kept from an earlier run) for some clips."""
    works: list[_Work] = []
    for task in tasks:
        try:
            face, lips = faces.of(task), _lips_path(files.build, task)
        except ToolkitError as error:
            yield _failure(task, "unusable_features", error), False
            continue
        key = files.key(task, face, lips)
        works.append(_Work(task, face, lips, key, files.kept(task, key)))
    if all(work.kept for work in works):
        yield from ((work.kept, True) for work in works if work.kept)
        return
    loaded: list[tuple[_Work, Pictures]] = []
    for work in works:
        try:
            loaded.append((work, _lips(work)))
        except ToolkitError as error:
            yield _failure(work.task, "unusable_features", error), False
    spoken = voice.speak_rows(
        [lips for _, lips in loaded],
        [work.face.embedding for work, _ in loaded],
        [work.task.lips or work.task.row for work, _ in loaded],
    )
    for (work, _), made in zip(loaded, spoken, strict=True):
        if work.kept is not None:
            yield work.kept, True
            continue
        try:
            yield files.write(work.task, work.face, made, work.key), False
        except ToolkitError as error:
            yield _failure(work.task, "unusable_sound", error), False


def _lips_path(build: Path, task: SynthesisTask) -> Path:
    if task.lips is None:
        raise BadInput(
            f"{task.row.speaker} has no other clip whose lips could be read", "raise --limit"
        )
    if "lips" not in task.lips.paths:
        raise BadInput(f"{task.lips.clip_id} has no lips in the manifest", "build it again")
    path = build / task.lips.paths["lips"]
    if not path.is_file():
        raise BadInput(f"{path} does not exist", "run `gridprep build` again")
    return path


def _lips(work: _Work) -> Pictures:
    path, wanted = work.lips, work.task.row.video_frames
    lips = read_pictures(path)
    if len(lips) != wanted or lips.ndim != 4 or lips.shape[1] != lips.shape[2]:
        raise BadInput(
            f"{path} holds pictures of {lips.shape}, not {wanted} squares", "build it again"
        )
    return lips


def _failure(task: SynthesisTask, reason: str, error: ToolkitError) -> ClipFailure:
    row = task.row
    evidence = {"voice": task.voice} if task.swapped else {}
    return ClipFailure(row.speaker, row.stem, STAGE, reason, str(error), evidence=evidence)
