"""Processing of one clip through the stages: finished stages are kept, stale ones are redone.

`process_clip` is what `build` and the single-stage commands run for every clip, in a worker
process; it never raises for a bad clip, only for a build folder that cannot be written.
`gridprep.pipeline.recipe` says which stages a clip needs.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import traceback
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from gridprep.features import content, crops
from gridprep.features.crop_store import encode, suffix_of
from gridprep.features.prosody import prosody
from gridprep.landmarks.base import LandmarkBackend, require_upright
from gridprep.landmarks.registry import create, frames_for
from gridprep.media import quality
from gridprep.media.decode import Media, decode
from gridprep.media.window import Window
from gridprep.pipeline.recipe import (
    ClipTask,
    Recipe,
    expected_keys,
    failure_among,
    failure_stands,
    stale_stages,
    with_upstreams,
)
from gridprep.pipeline.state import (
    Artifact,
    ClipState,
    FileStamp,
    StageState,
    encode_state,
    stamp,
)
from manifests.errors import BadInput, ClipError, ToolkitError
from manifests.features import npy, npz, read_landmarks, read_prosody
from manifests.io import write_bytes
from manifests.mel import DEFAULT, PRESETS, mel_spectrogram
from manifests.records import Clip, ClipFailure, Landmarks, Prosody, WordSpan
from manifests.specs import VIDEO_FPS, MelSpec
from manifests.sync import AvOffset, av_offset, lip_height_px, loudness

_FOLDER_ERRNOS = {
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EIO", "ESTALE"),
        *("EEXIST", "ENOTDIR", "EISDIR", "EMFILE", "ENFILE", "ENAMETOOLONG"),
    )
}
"""Error numbers of the file system that concern the build folder as a whole, not one clip."""


HALF_COLOR_FROM = 1.3
"""Crop pixels a source pixel from which lips are stored with half their color in each direction: of video
that is enlarged so much no more is known, since it stores half itself. (Beside crops whose color comes from
the planes of eight real clips by cubic interpolation they have 42.3 dB, with all color 42.6.)"""

MOST_MISSING_S = 0.2
"""A video may end this much before the part that is taken of it: people round times."""


@dataclass
class ClipResult:
    """The result of a worker: the new state of the clip, and the stages that it ran."""

    clip_id: str
    state: ClipState
    done_stages: tuple[str, ...] = ()


@lru_cache(maxsize=2)
def _backend(name: str, device: str, options: tuple[tuple[str, str], ...]) -> LandmarkBackend:
    """One backend per worker process: creating one costs as much as many clips."""
    return create(name, device=device, options=dict(options))


@dataclass
class _Work:
    """A clip in progress. The source is decoded once, when the first stage needs it."""

    task: ClipTask
    state: ClipState
    keys: dict[str, str]
    stale: tuple[str, ...]
    done: list[str]
    _media: Media | None = None
    _video: quality.CheckedVideo | None = None
    _sound: NDArray[np.float32] | None = None
    _prosody: Prosody | None = None
    _lips_and_loudness: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    _default_mel: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    _landmarks: Landmarks | None = None
    _geometry: crops.Track | None = None
    _offset: AvOffset | None = None

    @property
    def sound(self) -> NDArray[np.float32]:
        """(N,) stored sound, read once, after the stage `audio`."""
        if self._sound is None:
            path = self.full(self.state.stages["audio"].files["audio"].path)
            self._sound = np.asarray(soundfile.read(path, dtype="float32")[0], np.float32)
        return self._sound

    @property
    def prosody(self) -> Prosody:
        """F0 and energy of the stage `mels`, read where an earlier run wrote them."""
        if self._prosody is None:
            path = self.full(self.state.stages["mels"].files["prosody"].path)
            self._prosody = read_prosody(Path(path))
        return self._prosody

    @prosody.setter
    def prosody(self, made: Prosody) -> None:
        self._prosody = made

    @property
    def default_sound(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Stored sound at the default mel's rate, and its default mel, for stages that measure and must
        not depend on which preset a build stores. Made once per clip, after the stage `audio`."""
        if self._default_mel is None:
            rate_hz = self.task.recipe.audio.sample_rate_hz
            samples = quality.resampled(self.sound, rate_hz, DEFAULT.sample_rate_hz)
            self._default_mel = samples, mel_spectrogram(samples, DEFAULT)
        return self._default_mel

    @property
    def landmarks(self) -> Landmarks:
        """The landmarks of the stage `align`, read once where an earlier run wrote them. Damaged ones
        are no fault of the user's: they are made anew, with the rest of the clip (see
        `process_clip`)."""
        if self._landmarks is None:
            path = self.full(self.state.stages["align"].files["landmarks"].path)
            try:
                self._landmarks = read_landmarks(path)
            except BadInput as error:
                raise RuntimeError(str(error)) from error
        return self._landmarks

    @landmarks.setter
    def landmarks(self, found: Landmarks) -> None:
        self._landmarks = found
        self._geometry, self._offset, self._lips_and_loudness = None, None, None

    @property
    def geometry(self) -> crops.Track:
        """The geometry that follows from the landmarks."""
        if self._geometry is None:
            recipe = self.task.recipe
            self._geometry = crops.track(self.landmarks, recipe.landmarks, recipe.crop)
        return self._geometry

    @property
    def lips_and_loudness(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lip height in pixels and loudness of the default mel, both by video frame."""
        if self._lips_and_loudness is None:
            _, mel = self.default_sound
            self._lips_and_loudness = lip_height_px(self.geometry.points_px), loudness(mel)
        return self._lips_and_loudness

    @property
    def offset(self) -> AvOffset:
        """Offset of the sound against the lips."""
        if self._offset is None:
            self._offset = av_offset(*self.lips_and_loudness)
        return self._offset

    @property
    def media(self) -> Media:
        if self._media is None:
            # Sound lies on the time axis of the pictures, so it is never decoded without them.
            need_video = bool({"decode", "audio", "align", "crop"} & set(self.stale))
            need_audio = bool({"decode", "audio"} & set(self.stale))
            clip, expected = self.task.clip, self.task.recipe.corpus_recipe.expected
            self._media = decode(
                clip.video,
                video=need_video,
                audio=need_audio,
                window=Window(clip.start_s, clip.end_s) if clip.is_part else None,
                most_s=0.0 if expected.frames else expected.most_s,
            )
        return self._media

    @property
    def video(self) -> quality.CheckedVideo:
        if self._video is None:
            expected = self.task.recipe.corpus_recipe.expected
            self._video = quality.check_video(self.media, expected)
            _require_part(self.task.clip, len(self._video.frames))
        return self._video

    def path(self, folder: str, suffix: str) -> str:
        return f"{folder}/{self.task.clip.speaker}/{self.task.clip.stem}{suffix}"

    def full(self, relative: str) -> str:
        return os.path.join(self.task.build, relative)

    def write(self, path: str, data: bytes) -> Artifact:
        """Atomically writes a file of the build."""
        write_bytes(self.full(path), data)
        return Artifact(path, len(data), hashlib.sha256(data).hexdigest())

    def finish(self, stage: str, files: dict[str, Artifact], **data: Any) -> None:
        """Notes that a stage is done, and removes its files of before under other names."""
        kept = {artifact.path for artifact in files.values()}
        old = self.state.stages.get(stage)
        if old is not None:
            # A changed format leaves a file of another name behind.
            for artifact in old.files.values():
                if artifact.path not in kept:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self.full(artifact.path))
        self.state.stages[stage] = StageState(self.keys[stage], files, data)
        self.done.append(stage)


def _decode(work: _Work) -> None:
    work.finish("decode", {}, flags=list(work.video.flags), qc=work.video.qc)


def _alignment(work: _Work) -> None:
    said = work.task.recipe.corpus_recipe.annotate(work.task.clip)
    more: dict[str, Any] = {"transcript": said.transcript} if said.transcript else {}
    work.finish(
        "alignment",
        {},
        words=[s.to_dict() for s in said.words],
        sentence=said.sentence,
        flags=list(said.flags),
        **more,
    )


def _require_part(clip: Clip, n_frames: int) -> None:
    """Raises `ClipError` where a video ends before the part that is to be taken of it."""
    missing_s = clip.end_s - clip.start_s - n_frames / VIDEO_FPS
    if clip.is_part and missing_s > MOST_MISSING_S:
        raise ClipError(
            "decode",
            "outside_video",
            f"the video ends at {clip.end_s - missing_s:.2f} s, the part is from {clip.start_s:g} to "
            f"{clip.end_s:g} s",
        )


def _audio(work: _Work) -> None:
    spec, expected = work.task.recipe.audio, work.task.recipe.corpus_recipe.expected
    n_frames = 0 if spec.clip_samples else len(work.video.frames)
    sound = quality.check_audio(work.media, spec, expected, n_frames)
    buffer = io.BytesIO()
    soundfile.write(buffer, sound.samples, spec.sample_rate_hz, format="WAV", subtype="PCM_16")
    work.finish(
        "audio",
        {"audio": work.write(work.path("audio", ".wav"), buffer.getvalue())},
        flags=list(sound.flags),
        qc=sound.qc,
        samples=len(sound.samples),
        samples_added=sound.samples_added,
    )


def _align(work: _Work) -> None:
    recipe = work.task.recipe
    spec = recipe.landmarks
    backend = _backend(spec.backend, recipe.device, recipe.landmark_options)
    frames = frames_for(spec.backend, work.video.frames)
    landmarks = work.landmarks = backend.detect(frames, spec.every)
    geometry = work.geometry
    require_upright(backend, landmarks, frames)
    arrays = {
        "points_px": landmarks.points_px,
        "found": landmarks.found,
        "faces": landmarks.faces,
        "names": np.array(landmarks.names),
        "backend": np.array(landmarks.backend),
        "choice": np.array(landmarks.choice),
    }
    flags = []
    if geometry.interpolated_frames:
        flags.append("landmarks_interpolated")
    if int(landmarks.faces.max(initial=0)) > 1:
        flags.append("several_faces")
    work.finish(
        "align",
        {"landmarks": work.write(work.path("landmarks", ".npz"), npz(arrays))},
        flags=flags,
        qc={
            "found_share": round(geometry.found_share, 4),
            "interpolated_frames": geometry.interpolated_frames,
            "jitter_px": geometry.jitter_px,
            "faces": int(landmarks.faces.max(initial=0)),
            "face_choice": landmarks.choice,
        },
    )


def _crop(work: _Work) -> None:
    recipe = work.task.recipe
    geometry = work.geometry
    cut = crops.crop_clip(work.video.frames, geometry, recipe.crop)
    lips_codec, face_codec = recipe.crop.lips_codec, recipe.crop.face_codec
    scales = np.hypot(*geometry.warps[:, 0, :2].T)
    lips = encode(cut.lips, lips_codec, half_color=bool(scales.min() >= HALF_COLOR_FROM))
    files = {
        "lips": work.write(work.path("lips", suffix_of(lips_codec)), lips),
        "face": work.write(
            work.path("face", suffix_of(face_codec)), encode(cut.stills, face_codec)
        ),
    }
    off_center = np.linalg.norm(geometry.mouth_px - geometry.lip_centers_px, axis=1)
    flags = [
        name
        for name, overhang in (
            ("lips_over_border", cut.lips_border_px),
            ("face_over_border", cut.face_border_px),
        )
        if overhang > 0
    ]
    work.finish(
        "crop",
        files,
        video_frames=len(cut.lips),
        flags=flags,
        lip_motion=content.lip_motion(cut.lips).to_dict(),
        face_pattern=content.face_pattern(cut.stills).tobytes().hex(),
        qc={
            "lips_border_px": round(cut.lips_border_px, 2),
            "face_border_px": round(cut.face_border_px, 2),
            "mouth_off_center_px": round(float(off_center.max()), 3),
            "mouth_off_center_over_2px": int((off_center > 2).sum()),
            "scale": round(float(scales.mean()), 4),
        },
    )


def _mels(work: _Work) -> None:
    recipe = work.task.recipe
    samples = work.sound
    files: dict[str, Artifact] = {}
    frames = 0
    for i, name in enumerate(recipe.mels):
        spec = PRESETS[name]
        if spec == DEFAULT:
            _, mel = work.default_sound
        else:
            audio = quality.resampled(samples, recipe.audio.sample_rate_hz, spec.sample_rate_hz)
            mel = mel_spectrogram(audio, spec)
        artifact, folder = ("mel", "mel") if i == 0 else (f"mel:{name}", f"mel-{name}")
        files[artifact] = work.write(work.path(folder, ".npy"), npy(mel))
        if i == 0:
            frames = int(mel.shape[-1])
    pitch = work.prosody = prosody(samples, _prosody_grid(recipe), recipe.prosody)
    files["prosody"] = work.write(work.path("prosody", ".npz"), npz(pitch.to_arrays()))
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
    offset = work.offset
    work.finish(
        "sync",
        {},
        qc={
            "av_offset_frames": round(offset.frames, 2),
            "av_correlation": round(offset.correlation, 3),
            "av_margin": round(offset.margin, 3),
        },
    )


def _content(work: _Work) -> None:
    recipe, stages = work.task.recipe, work.state.stages
    if recipe.content == "off":
        work.finish("content", {})
        return
    cropped = stages["crop"].data
    motion = content.LipMotion.from_dict(cropped["lip_motion"])
    found = work.landmarks.found
    words = [WordSpan.from_dict(word) for word in stages["alignment"].data["words"]]
    samples, mel = work.default_sound
    wanted = recipe.corpus_recipe.checks
    checks = {
        "lips": lambda: content.check_lips(motion, found),
        "sound": lambda: content.check_sound(
            samples, DEFAULT.sample_rate_hz, mel, words, "words" in wanted
        ),
        "direction": lambda: content.check_direction(*work.lips_and_loudness, work.offset),
    }
    reports = [
        content.checked(check, recipe.content) for name, check in checks.items() if name in wanted
    ]
    voice = content.voice_pattern(mel, work.prosody.voiced)
    work.finish(
        "content",
        {},
        flags=[flag for report in reports for flag in report.flags],
        qc={name: value for report in reports for name, value in report.qc.items()},
        face_pattern=cropped["face_pattern"],
        voice_pattern=None if voice is None else voice.round(2).tolist(),
    )


_RUN = {
    "decode": _decode,
    "alignment": _alignment,
    "audio": _audio,
    "align": _align,
    "crop": _crop,
    "mels": _mels,
    "sync": _sync,
    "content": _content,
}


def _stamp_again(old: FileStamp | None, path: str, stage: str) -> FileStamp:
    """The stamp of a source, read again only where its metadata changed. Raises `ClipError`."""
    if old is not None and old.path == path and old.is_current():
        return old
    try:
        return stamp(path)
    except OSError as error:
        raise ClipError(stage, "unreadable", f"{path}: {error.strerror}") from None


def _changed(state: ClipState) -> str:
    """The path of a source file that differs from the stamped one; "" if there is none."""
    stamps = (state.source, state.alignment)
    return next((s.path for s in stamps if s is not None and not s.is_current()), "")


def _stamp_sources(state: ClipState, clip: Clip, stages: tuple[str, ...]) -> None:
    """Reads metadata and hash of the sources where they changed. Raises `ClipError`."""
    video, words, state.source, state.alignment = state.source, state.alignment, None, None
    state.source = _stamp_again(video, clip.video, "decode")
    if not clip.alignment:
        return
    try:
        state.alignment = _stamp_again(words, clip.alignment, "alignment")
    except ClipError:
        if "alignment" in stages:
            raise


class _SourceChanged(Exception):
    """A source is not the file any more that the stages were made from; the message is its path."""


class _Crash(Exception):
    """An unexpected error with the stage in which it occurred; `__cause__` is the error."""

    def __init__(self, stage: str) -> None:
        super().__init__(stage)
        self.stage = stage


def _update(task: ClipTask, state: ClipState, afresh: bool) -> tuple[str, ...]:
    """Does what is stale, or everything when `afresh`; a `ClipError` is recorded in the state.
    Returns the stages done. Raises `_Crash`, `_SourceChanged`, and what `process_clip` raises."""
    clip = task.clip
    stages = with_upstreams(task.targets)
    parameters = task.recipe.stage_parameters()
    done: list[str] = []
    at = "decode"
    try:
        try:
            _stamp_sources(state, clip, stages)
            keys = expected_keys(state, clip, parameters)
            stale = stages if afresh else stale_stages(state, keys, stages, task.build, task.unsure)
            if failure_among(state, stages) and (afresh or not failure_stands(state, keys, stages)):
                state.failure, state.failure_key = None, ""
            _disown(state, stale)
            work = _Work(task, state, keys, stale, done)
            for at in stale:
                _RUN[at](work)
        except ClipError as error:
            state.failure = _failure(clip, error.stage, error.reason, error.detail, error.evidence)
            # Permissions come back without a trace in a file's time: such a clip is tried every time.
            lasting = error.reason != "unreadable"
            state.failure_key = expected_keys(state, clip, parameters)[at] if lasting else ""
        if changed := _changed(state):
            _disown(state, tuple(done))
            raise _SourceChanged(changed)
        encode_state(state)  # numbers that nobody can store crash this clip, not the build
    except (ToolkitError, _SourceChanged):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FOLDER_ERRNOS:
            raise BadInput(
                f"{error.filename or task.build}: {error.strerror}",
                "free space or choose another --out, then run it again",
            ) from None
        raise _Crash(at) from error
    return tuple(done)


def _failure(
    clip: Clip, stage: str, reason: str, detail: str, evidence: dict[str, Any]
) -> ClipFailure:
    return ClipFailure(clip.speaker, clip.stem, stage, reason, detail, clip.video, evidence)


def _disown(state: ClipState, names: tuple[str, ...]) -> None:
    """Takes the keys off finished stages whose files are about to be replaced, or which were made from
    a file that has changed since: going back to old parameters must not take them for done."""
    for name in names:
        if name in state.stages:
            state.stages[name] = replace(state.stages[name], key="")


def process_clip(task: ClipTask) -> ClipResult:
    """Brings one clip's target stages up to date; what is to be remembered comes back in the result.

    An error that nobody foresaw is first taken for the fault of an artifact that was damaged under
    way: the clip is done once more from its source. If that crashes too it is recorded as `crashed`
    with the end of the traceback, and tried again by the next run: one clip never takes a build down.

    A source that was replaced while it was read is read once more. Where it changes again the clip
    fails as `source_changed`, and is tried again by the next run.

    Raises:
        BadInput: when the build folder cannot be written (full disk, read-only): that is no fault of
            the clip and must stop the build.
        ToolkitError: when a library or a file of weights is missing.
    """
    clip = task.clip
    state = task.state()
    done: tuple[str, ...] = ()
    try:
        try:
            done = _update(task, state, afresh=False)
        except (_Crash, _SourceChanged):
            done = _update(task, state, afresh=True)
    except _Crash as crash:
        error = crash.__cause__
        trace = traceback.format_exception(error)[-4:]
        detail = f"{type(error).__name__}: {error}"
        state = ClipState(failure=_failure(clip, crash.stage, "crashed", detail, {"trace": trace}))
    except _SourceChanged as changed:
        detail = f"{changed} was replaced while it was read, twice"
        state.failure = _failure(clip, "decode", "source_changed", detail, {})
        state.failure_key = ""
    return ClipResult(clip.clip_id, state, done)
