"""One clip through the stages: what is done already is kept, what changed is redone.

    decode ─┬─ align ── crop        (pictures)
            └─ audio ── mels        (sound)
    alignment                       (words)
    align + mels ── sync            (A/V offset)

`process_clip` is what `build` and the single-stage commands run for every clip, in a worker process; it
never raises for a bad clip, only for a build folder that cannot be written.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from gridprep import crops, quality
from gridprep.alignment import read_alignment
from gridprep.crop_store import suffix_of, write_pictures
from gridprep.landmarks.base import LandmarkBackend
from gridprep.landmarks.registry import create
from gridprep.media import Media, decode
from gridprep.mel import PRESETS, mel_spectrogram
from gridprep.prosody import ProsodySpec, prosody
from gridprep.state import (
    ClipState,
    StageState,
    chain,
    files_present,
    load_state,
    save_state,
    stamp,
)
from gridprep.sync import av_offset
from manifests.errors import ClipError, ToolkitError
from manifests.io import atomic_path
from manifests.records import Clip, ClipFailure, Landmarks
from manifests.specs import VIDEO_FPS, AudioSpec, CropSpec, LandmarkSpec, MelSpec

DEFAULT_MEL = "facetron"

# Raised by hand when the code of a stage changes what it writes; the key of the stage contains it.
STAGE_VERSIONS = {
    "decode": "1",
    "alignment": "1",
    "audio": "1",
    "align": "1",
    "crop": "1",
    "mels": "1",
    "sync": "1",
}

UPSTREAM: dict[str, tuple[str, ...]] = {
    "decode": (),
    "alignment": (),
    "audio": ("decode",),
    "align": ("decode",),
    "crop": ("align",),
    "mels": ("audio",),
    "sync": ("align", "mels"),
}
"""Stage → the stages whose keys its own contains; also the order of work."""

_FATAL_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EFBIG,
    errno.EMFILE,
    errno.ENFILE,
}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the features, the same for all clips of a build.

    Attributes:
        mels: preset names; the first one is the build's own mel, the others are stored beside it.
        backend_version: of the landmark library, part of the key.
        library_versions: of the libraries whose change would change bytes, stage → version text.
    """

    audio: AudioSpec = AudioSpec()
    landmarks: LandmarkSpec = LandmarkSpec()
    crop: CropSpec = CropSpec()
    prosody: ProsodySpec = ProsodySpec()
    mels: tuple[str, ...] = (DEFAULT_MEL,)
    device: str = "cpu"
    library_versions: tuple[tuple[str, str], ...] = ()

    @property
    def mel(self) -> MelSpec:
        return PRESETS[self.mels[0]]

    def stage_parameters(self) -> dict[str, str]:
        """Stage → one text of its parameters and versions."""
        versions = dict(self.library_versions)
        own = {
            "decode": "",
            "alignment": "",
            "audio": self.audio.fingerprint(),
            "align": self.landmarks.fingerprint(),
            "crop": self.crop.fingerprint(),
            "mels": " ".join(
                [
                    *(f"{m}:{PRESETS[m].fingerprint()}" for m in self.mels),
                    self.prosody.fingerprint(),
                ]
            ),
            "sync": "",
        }
        return {
            stage: f"{stage} {STAGE_VERSIONS[stage]} {own[stage]} {versions.get(stage, '')}"
            for stage in UPSTREAM
        }


@dataclass(frozen=True)
class Task:
    """One clip's work, sent to a worker."""

    clip: Clip
    build: str
    recipe: Recipe
    targets: tuple[str, ...]
    """Stages wanted; their upstreams are implied."""


@dataclass
class ClipResult:
    """What a worker sends back."""

    clip_id: str
    state: ClipState
    done_stages: tuple[str, ...] = ()


def with_upstreams(targets: tuple[str, ...]) -> tuple[str, ...]:
    """The targets and everything they need, in order of work."""
    wanted = set(targets)
    for stage in reversed(list(UPSTREAM)):
        if stage in wanted:
            wanted |= set(UPSTREAM[stage])
    return tuple(stage for stage in UPSTREAM if stage in wanted)


def expected_keys(state: ClipState, clip: Clip, parameters: dict[str, str]) -> dict[str, str]:
    """Stage → the key that it must have to count as done, for the source that `state` has stamped."""
    source = state.source.sha256 if state.source else ""
    keys: dict[str, str] = {}
    for stage, upstream in UPSTREAM.items():
        if stage == "alignment":
            words = state.alignment.sha256 if state.alignment else "none"
            inputs: tuple[str, ...] = (clip.stem, words)
        else:
            inputs = tuple(keys[u] for u in upstream) or (source,)
        keys[stage] = chain(parameters[stage], *inputs)
    return keys


def sources_current(state: ClipState, clip: Clip) -> bool:
    """Whether the files that the state was made from are still the clip's files, unchanged."""
    if state.source is None or state.source.path != clip.video or not state.source.is_current():
        return False
    if state.alignment is None:
        return clip.alignment == ""
    return state.alignment.path == clip.alignment and state.alignment.is_current()


def stale_stages(
    state: ClipState, keys: dict[str, str], targets: tuple[str, ...], build: str
) -> tuple[str, ...]:
    """Stages among the targets that must be (re)done; a recorded failure of the same key stands."""
    if state.failure is not None and state.failure_key in keys.values():
        return ()
    return tuple(
        stage
        for stage in targets
        if stage not in state.stages
        or state.stages[stage].key != keys[stage]
        or not files_present(build, state.stages[stage])
    )


def is_done(task: Task, state: ClipState, parameters: dict[str, str]) -> bool:
    """Whether nothing is to be done for a clip. Reads no media: this is what a rerun costs."""
    if not sources_current(state, task.clip):
        return False
    keys = expected_keys(state, task.clip, parameters)
    return not stale_stages(state, keys, task.targets, task.build)


@lru_cache(maxsize=2)
def _backend(name: str, device: str, options: tuple[tuple[str, str], ...]) -> LandmarkBackend:
    """One backend per worker process: creating one costs as much as many clips."""
    return create(name, device=device, options=dict(options))


@dataclass
class _Work:
    """A clip in progress. Sources are decoded once, when the first stage asks."""

    task: Task
    state: ClipState
    keys: dict[str, str]
    stale: tuple[str, ...]
    done: list[str] = field(default_factory=list)
    _media: Media | None = None
    _video: quality.CheckedVideo | None = None

    @property
    def media(self) -> Media:
        if self._media is None:
            need_video = bool({"decode", "align", "crop"} & set(self.stale))
            need_audio = bool({"decode", "audio"} & set(self.stale))
            self._media = decode(self.task.clip.video, video=need_video, audio=need_audio)
        return self._media

    @property
    def video(self) -> quality.CheckedVideo:
        if self._video is None:
            self._video = quality.check_video(self.media)
        return self._video

    def path(self, folder: str, suffix: str) -> str:
        return f"{folder}/{self.task.clip.speaker}/{self.task.clip.stem}{suffix}"

    def full(self, relative: str) -> str:
        return os.path.join(self.task.build, relative)

    def finish(self, stage: str, files: dict[str, str], **data: Any) -> None:
        sizes = {name: (path, os.path.getsize(self.full(path))) for name, path in files.items()}
        old = self.state.stages.get(stage)
        if old is not None:
            # A changed format leaves a file of another name behind.
            for path, _ in old.files.values():
                if path not in files.values():
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self.full(path))
        self.state.stages[stage] = StageState(self.keys[stage], sizes, data)
        self.done.append(stage)


def _save_npz(target: str, arrays: dict[str, Any]) -> None:
    with atomic_path(target) as temporary:
        np.savez(temporary, **arrays)


def _decode(work: _Work) -> None:
    work.finish("decode", {}, flags=list(work.video.flags), qc=work.video.qc)


def _alignment(work: _Work) -> None:
    clip = work.task.clip
    if not clip.alignment:
        raise ClipError("alignment", "alignment_missing", f"no {clip.stem}.align in the corpus")
    spans = read_alignment(clip.alignment, clip.stem)
    work.finish("alignment", {}, words=[s.to_dict() for s in spans])


def _audio(work: _Work) -> None:
    spec = work.task.recipe.audio
    sound = quality.check_audio(work.media, spec)
    path = work.path("audio", ".wav")
    buffer = io.BytesIO()
    soundfile.write(buffer, sound.samples, spec.sample_rate_hz, format="WAV", subtype="PCM_16")
    with atomic_path(work.full(path)) as temporary:
        temporary.write_bytes(buffer.getvalue())
    work.finish(
        "audio",
        {"audio": path},
        flags=list(sound.flags),
        qc=sound.qc,
        samples=len(sound.samples),
        samples_added=sound.samples_added,
    )


def _align(work: _Work) -> None:
    recipe = work.task.recipe
    spec = recipe.landmarks
    backend = _backend(spec.backend, recipe.device, spec.options)
    landmarks = backend.detect(work.video.frames, spec.every)
    geometry = crops.track(landmarks, spec, recipe.crop)
    path = work.path("landmarks", ".npz")
    _save_npz(
        work.full(path),
        {
            "points_px": landmarks.points_px,
            "found": landmarks.found,
            "faces": landmarks.faces,
            "names": np.array(landmarks.names),
            "backend": np.array(landmarks.backend),
            "choice": np.array(landmarks.choice),
        },
    )
    flags = []
    if geometry.interpolated_frames:
        flags.append("landmarks_interpolated")
    if int(landmarks.faces.max(initial=0)) > 1:
        flags.append("several_faces")
    work.finish(
        "align",
        {"landmarks": path},
        flags=flags,
        qc={
            "found_share": round(geometry.found_share, 4),
            "interpolated_frames": geometry.interpolated_frames,
            "jitter_px": geometry.jitter_px,
            "faces": int(landmarks.faces.max(initial=0)),
            "face_choice": landmarks.choice,
        },
    )


def read_landmarks(path: str) -> Landmarks:
    """Reads a `landmarks/*.npz` of a build."""
    with np.load(path, allow_pickle=False) as values:
        return Landmarks(
            points_px=values["points_px"],
            found=values["found"],
            faces=values["faces"],
            backend=str(values["backend"]),
            choice=str(values["choice"]),
            names=tuple(values["names"].tolist()),
        )


def _crop(work: _Work) -> None:
    recipe = work.task.recipe
    landmarks = read_landmarks(work.full(work.state.stages["align"].files["landmarks"][0]))
    geometry = crops.track(landmarks, recipe.landmarks, recipe.crop)
    frames = work.video.frames
    lips, lips_border_px = crops.crop_lips(frames, geometry, recipe.crop)
    faces, face_border_px = crops.crop_faces(frames, geometry, recipe.crop)
    lips_path = work.path("lips", suffix_of(recipe.crop.lips_codec))
    face_path = work.path("face", suffix_of(recipe.crop.face_codec))
    write_pictures(work.full(lips_path), lips, recipe.crop.lips_codec)
    write_pictures(work.full(face_path), faces, recipe.crop.face_codec)
    off_centre = np.linalg.norm(geometry.mouth_px - geometry.lip_centres_px, axis=1)
    flags = [
        name
        for name, overhang in (
            ("lips_over_border", lips_border_px),
            ("face_over_border", face_border_px),
        )
        if overhang > 0
    ]
    work.finish(
        "crop",
        {"lips": lips_path, "face": face_path},
        flags=flags,
        qc={
            "lips_border_px": round(lips_border_px, 2),
            "face_border_px": round(face_border_px, 2),
            "mouth_off_centre_px": round(float(off_centre.max()), 3),
            "mouth_off_centre_over_2px": int((off_centre > 2).sum()),
            "scale": round(float(np.hypot(*geometry.warps[:, 0, :2].T).mean()), 4),
        },
    )


def _read_audio(work: _Work) -> NDArray[np.float32]:
    samples, _ = soundfile.read(
        work.full(work.state.stages["audio"].files["audio"][0]), dtype="float32"
    )
    return np.asarray(samples, np.float32)


def _mels(work: _Work) -> None:
    recipe = work.task.recipe
    samples = _read_audio(work)
    files: dict[str, str] = {}
    frames = 0
    for i, name in enumerate(recipe.mels):
        spec = PRESETS[name]
        audio = quality.to_mono(samples, recipe.audio.sample_rate_hz, spec.sample_rate_hz)
        mel = mel_spectrogram(audio, spec)
        artifact, folder = ("mel", "mel") if i == 0 else (f"mel:{name}", f"mel-{name}")
        files[artifact] = work.path(folder, ".npy")
        with atomic_path(work.full(files[artifact])) as temporary:
            np.save(temporary, mel)
        if i == 0:
            frames = int(mel.shape[-1])
    pitch = prosody(samples, _prosody_grid(recipe), recipe.prosody)
    files["prosody"] = work.path("prosody", ".npz")
    _save_npz(work.full(files["prosody"]), pitch.to_arrays())
    voiced = pitch.f0_hz[pitch.voiced]
    work.finish(
        "mels",
        files,
        mel_frames=frames,
        qc={
            "f0_median_hz": round(float(np.median(voiced)), 2) if len(voiced) else None,
            "voiced_share": round(float(pitch.voiced.mean()), 4),
        },
    )


def _prosody_grid(recipe: Recipe) -> MelSpec:
    """The time grid of F0 and energy: the build's own mel where it has the audio's rate."""
    if recipe.mel.sample_rate_hz == recipe.audio.sample_rate_hz:
        return recipe.mel
    return replace(MelSpec(), sample_rate_hz=recipe.audio.sample_rate_hz)


def _sync(work: _Work) -> None:
    recipe, stages = work.task.recipe, work.state.stages
    landmarks = read_landmarks(work.full(stages["align"].files["landmarks"][0]))
    geometry = crops.track(landmarks, recipe.landmarks, recipe.crop)
    grid = _prosody_grid(recipe)
    with np.load(work.full(stages["mels"].files["prosody"][0]), allow_pickle=False) as arrays:
        energy = arrays["energy"]
    # From the mel's frame rate to the video's.
    at = np.arange(len(geometry.points_px)) * grid.frame_rate_hz / VIDEO_FPS
    energy = np.interp(at, np.arange(len(energy)), energy)
    offset_frames, correlation = av_offset(crops.mouth_opening_px(geometry.points_px), energy)
    work.finish(
        "sync",
        {},
        qc={"av_offset_frames": offset_frames, "av_correlation": round(correlation, 3)},
    )


_RUN = {
    "decode": _decode,
    "alignment": _alignment,
    "audio": _audio,
    "align": _align,
    "crop": _crop,
    "mels": _mels,
    "sync": _sync,
}


def _stamp_sources(state: ClipState, clip: Clip) -> None:
    """Reads size, time and hash of the sources where they changed. Raises `ClipError`."""
    try:
        if state.source is None or state.source.path != clip.video or not state.source.is_current():
            state.source = stamp(clip.video)
    except OSError as error:
        state.source = None
        raise ClipError("decode", "unreadable", f"{clip.video}: {error.strerror}") from None
    if not clip.alignment:
        state.alignment = None
        return
    try:
        if (
            state.alignment is None
            or state.alignment.path != clip.alignment
            or not state.alignment.is_current()
        ):
            state.alignment = stamp(clip.alignment)
    except OSError as error:
        state.alignment = None
        raise ClipError("alignment", "unreadable", f"{clip.alignment}: {error.strerror}") from None


def process_clip(task: Task) -> ClipResult:
    """Brings one clip's target stages up to date and saves its state.

    Raises:
        ToolkitError: when the build folder cannot be written (full disk, read-only): that is no
            fault of the clip and must stop the build.
    """
    clip = task.clip
    state = load_state(task.build, clip.clip_id)
    parameters = task.recipe.stage_parameters()
    done: list[str] = []
    try:
        failing = "decode"
        try:
            _stamp_sources(state, clip)
            keys = expected_keys(state, clip, parameters)
            targets = with_upstreams(task.targets)
            stale = stale_stages(state, keys, targets, task.build)
            if stale:
                state.failure, state.failure_key = None, ""
            work = _Work(task, state, keys, stale)
            for stage in stale:
                failing = stage
                _RUN[stage](work)
            done = work.done
        except ClipError as error:
            state.failure = ClipFailure(
                clip.speaker,
                clip.stem,
                error.stage,
                error.reason,
                error.detail,
                clip.video,
                error.evidence,
            )
            keys = expected_keys(state, clip, parameters)
            state.failure_key = keys.get(failing, "")
        save_state(task.build, clip.clip_id, state)
    except OSError as error:
        if error.errno in _FATAL_ERRNOS:
            where = error.filename or task.build
            raise ToolkitError(
                f"{where}: {error.strerror}",
                "free space or choose another --out, then run it again",
            ) from None
        raise
    return ClipResult(clip.clip_id, state, tuple(done))
