"""Records that cross a boundary between programs: frozen, plain values, with `to_dict`/`from_dict`.

Conventions: times in seconds carry `_s`, video frames `_frame(s)`; intervals are half-open
[start, end); paths inside a build or a run are POSIX and relative to its folder.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from manifests.errors import ManifestError

SCHEMA_VERSION = 1

STAGES = (
    "find",
    "decode",
    "alignment",
    "audio",
    "align",
    "crop",
    "mels",
    "sync",
    "manifest",
    "worker",
)
"""Stages at which a clip can fail, in the order of processing."""

POINT_NAMES: tuple[str, ...] = (
    # Subject's right is the viewer's left; iBUG-68 numbers in brackets.
    "right_eye_outer",  # 36
    "right_eye_inner",  # 39
    "left_eye_inner",  # 42
    "left_eye_outer",  # 45
    "nose_bridge",  # 27
    "nose_tip",  # 30
    "nose_base",  # 33
    "mouth_right",  # 48
    "mouth_left",  # 54
    "lip_top_outer",  # 51
    "lip_bottom_outer",  # 57
    "lip_top_inner",  # 62
    "lip_bottom_inner",  # 66
    "lip_upper_right",  # 50
    "lip_upper_left",  # 52
    "lip_lower_right",  # 58
    "lip_lower_left",  # 56
    "chin",  # 8
    "jaw_right",  # 4
    "jaw_left",  # 12
)
"""The named points that every landmark backend fills, NaN where it has no such point."""

STABLE_POINTS = (
    "right_eye_outer",
    "right_eye_inner",
    "left_eye_inner",
    "left_eye_outer",
    "nose_bridge",
    "nose_base",
)
"""Eyes and nose: they do not move with speech, so they alone steer the warp."""

LIP_POINTS = (
    "mouth_right",
    "mouth_left",
    "lip_top_outer",
    "lip_bottom_outer",
    "lip_upper_right",
    "lip_upper_left",
    "lip_lower_right",
    "lip_lower_left",
)
"""The outer lip outline; its mean is the mouth center."""

RecordT = TypeVar("RecordT", bound="Record")


@cache
def _parser(hint: Any) -> Callable[[Any], Any] | None:
    """Returns what turns a JSON value back into the (possibly nested) records that a type hint names;
    None where the value stays as it is."""
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.from_dict
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        item = _parser(arguments[0])
        whole: Callable[[Any], Any] = tuple if item is None else lambda v: tuple(map(item, v))
        return lambda value: None if value is None else whole(value)
    if origin in (typing.Union, types.UnionType):
        options = [a for a in arguments if a is not type(None)]
        inner = _parser(options[0]) if len(options) == 1 else None
        return inner and (lambda value: None if value is None else inner(value))
    return None


@cache
def _fields(cls: Any) -> tuple[tuple[str, bool, Callable[[Any], Any] | None], ...]:
    """(name, whether it must be given, parser) of each field. Looked up once a class, since a build
    with nothing to do does little else than turn 33,000 clips from JSON and back."""
    hints = typing.get_type_hints(cls)
    return tuple(
        (
            f.name,
            f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING,
            _parser(hints[f.name]),
        )
        for f in dataclasses.fields(cls)
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value


@dataclass(frozen=True, slots=True)
class Record:
    """Base of all records."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON. Dictionaries are the record's own, not copies."""
        identity: Any = type(self)  # mypy does not take a type for hashable
        return {name: _plain(getattr(self, name)) for name, _, _ in _fields(identity)}

    @classmethod
    def from_dict(cls: type[RecordT], values: dict[str, Any]) -> RecordT:
        """Inverse of `to_dict`. Unknown fields are ignored (a newer minor version may have written
        them); a missing required field raises `ManifestError`."""
        identity: Any = cls
        given: dict[str, Any] = {}
        missing = []
        for name, required, parse in _fields(identity):
            if name in values:
                given[name] = values[name] if parse is None else parse(values[name])
            elif required:
                missing.append(name)
        if missing:
            raise ManifestError(
                f"{cls.__name__} lacks {', '.join(missing)}", "rebuild the manifest"
            )
        return cls(**given)


@dataclass(frozen=True, slots=True)
class Clip(Record):
    """One clip as found on disk, before anything was decoded.

    Attributes:
        speaker: in GRID the *true* speaker, `s1` … `s34`, by stem where the folder is misplaced.
        stem: name of the clip, unique within the speaker; in GRID the six-letter sentence code,
            `bbaf2n`.
        video: absolute path of the audio-video file.
        alignment: absolute path of the file with the words of the clip (GRID's `.align`), or "".
        found_speaker: the speaker that the folder claims.
        repairs: repairs made while finding it (`speaker_folder`, `alignment_folder`).
        start_s, end_s: the part of the file that is the clip; `end_s` 0 is the whole file.
        transcript: what is said, as a list of the corpus has it; "" where another file says it.
        gender: `male`, `female` or "" where it is not known.
        subset: `train`, `val` or `test` where the corpus itself says it, else "".
    """

    speaker: str
    stem: str
    video: str
    alignment: str = ""
    found_speaker: str = ""
    repairs: tuple[str, ...] = ()
    start_s: float = 0.0
    end_s: float = 0.0
    transcript: str = ""
    gender: str = ""
    subset: str = ""

    @property
    def clip_id(self) -> str:
        return f"{self.speaker}/{self.stem}"

    @property
    def is_part(self) -> bool:
        """Returns whether the clip is a part of its file."""
        return self.end_s > 0


@dataclass(frozen=True, slots=True)
class WordSpan(Record):
    """One word of a clip, half-open, silences (`sil`, `sp`) left out.

    `start_frame`/`end_frame` are video frames: floor of the start and ceiling of the end, so every
    frame in which the word sounds is inside.
    """

    word: str
    start_s: float
    end_s: float
    start_frame: int
    end_frame: int


@dataclass(frozen=True)
class Landmarks:
    """Named points over a clip. (Holds arrays, so it is stored as .npz, not JSON.)

    Attributes:
        points_px: (T, N, 2) float32, x then y in pixels of the source frame, NaN where not found.
        names: the N point names, `POINT_NAMES`.
        found: (T,) bool, True where the backend itself saw the face in that frame.
        faces: (T,) int16, how many faces the backend saw; the one kept is recorded in `choice`.
        backend: name and version of what found them.
        choice: how the face was chosen: `only`, `tracked`, `central_largest`.
        certainty: (T,) how sure the backend is of the face in each frame, in its own unit, NaN where
            it cannot say; None where it never can. It is not stored.
    """

    points_px: NDArray[np.float32]
    found: NDArray[np.bool_]
    faces: NDArray[np.int16]
    backend: str
    choice: str = "only"
    names: tuple[str, ...] = POINT_NAMES
    certainty: NDArray[np.float32] | None = None

    def named(self, *names: str) -> NDArray[np.float32]:
        """The points of these names, (T, len(names), 2), in the given order."""
        return self.points_px[:, [self.names.index(n) for n in names]]


@dataclass(frozen=True)
class Prosody:
    """F0 and energy of one clip, frame by frame with its mel. (Holds arrays, so it is stored as .npz.)

    Attributes:
        f0_hz: (T,) float32, NaN where unvoiced: there is no pitch there, and a 0 would enter a mean
            unnoticed.
        voiced: (T,) bool.
        energy: (T,) float32, root mean square under the mel's Hann window, full scale 1.
    """

    f0_hz: NDArray[np.float32]
    voiced: NDArray[np.bool_]
    energy: NDArray[np.float32]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays for `np.savez`; `manifests.features.read_prosody` reads them back."""
        return {"f0_hz": self.f0_hz, "voiced": self.voiced, "energy": self.energy}


@dataclass(frozen=True, slots=True)
class ClipFailure(Record):
    """A clip that did not become a row, and why."""

    speaker: str
    stem: str
    stage: str
    reason: str
    detail: str
    video: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def clip_id(self) -> str:
        return f"{self.speaker}/{self.stem}"


@dataclass(frozen=True, slots=True)
class ManifestRow(Record):
    """One usable clip of a build.

    Attributes:
        gender: `male`, `female`, or "" where the corpus does not say.
        subset: `train`, `val` or `test` of the build's split.
        sentence: the words said in the normal form of the corpus's language (`manifests.language`); six
            words in GRID, "" where nobody wrote them down.
        words: spans of the words; () where the corpus has no times.
        paths: artifact → path relative to the manifest's folder; keys `lips`, `face`, `audio`, `mel`,
            `prosody` (F0 and energy), `landmarks`.
        video_frames, audio_samples, mel_frames: the physics, checked by `manifests.io.validate`.
        samples_added: zeros appended to the right of the sound.
        flags: oddities of the clip that were repaired or tolerated (`frames_repeated`, …).
        qc: numbers per clip: `found_share`, `interpolated_frames`, `jitter_px`, `lips_border_px`,
            `rms_dbfs`, `av_offset_frames`, …
        source_path: path as found, relative to the corpus.
        source_sha256: hex SHA-256 of the whole source file.
        fingerprints: spec name → fingerprint (`audio`, `mel`, `crop`, `landmarks`).
        extra_mels: further mels of the same clip, preset → path.
        repairs: misplaced files of the clip that were paired by stem (`speaker_folder`,
            `alignment_folder`); the clip itself has no defect.
        sha256: artifact → hex SHA-256 of its file, extra mels as `mel:PRESET`; `gridprep check` compares.
        start_s, end_s: the part of the source that the clip is; `end_s` 0 is the whole file.
        transcript: the text as the corpus has it, "" where it is the sentence.
    """

    speaker: str
    gender: str
    stem: str
    sentence: str
    subset: str
    words: tuple[WordSpan, ...]
    paths: dict[str, str]
    video_frames: int
    audio_samples: int
    sample_rate_hz: int
    mel_frames: int
    samples_added: int
    flags: tuple[str, ...]
    qc: dict[str, Any]
    source_path: str
    source_sha256: str
    fingerprints: dict[str, str]
    extra_mels: dict[str, str] = field(default_factory=dict)
    repairs: tuple[str, ...] = ()
    sha256: dict[str, str] = field(default_factory=dict)
    start_s: float = 0.0
    end_s: float = 0.0
    transcript: str = ""

    @property
    def clip_id(self) -> str:
        return f"{self.speaker}/{self.stem}"


@dataclass(frozen=True, slots=True)
class RunClip(Record):
    """One synthesized clip, or one picture made from speech, in a run directory (a line of
    `clips.jsonl`).

    Attributes:
        speaker, stem, sentence, gender: those of the clip whose lips were read, or whose speaker the
            picture is to show.
        wav: the synthesized speech, relative to the run directory; "" in a run of pictures.
        reference: the real recording of the same clip, or in a run of pictures its strip of real face
            stills, relative to the run directory or absolute; "" if there is none.
        mel: the mel that the vocoder was given, relative, or "".
        voice: the speaker whose face was used; equals `speaker` except in swaps.
        seen: whether that speaker was in the training of the model; None where it is not known.
        transcript: the text that the lip encoder read, or "".
        confidence: expected share of the transcript's words that are right, 0 to 1; None where it is
            not known.
        in_domain: whether the lips seem to speak what the model was trained on; None likewise.
        picture: a face made from speech, a square RGB PNG, relative to the run directory; "" in a run
            of speech.
        source: clip whose speech the picture was made from, `s1/bbaf2n`; equals `clip_id` except in
            the control of shuffled speech, where it is a clip of another speaker.
        variant: which of several pictures of the same speech: "z0" with the noise at its mean, "z1",
            "z2", … with noise that was drawn, the same for all clips; "" where a system has none.
    """

    speaker: str
    stem: str
    sentence: str
    gender: str
    wav: str
    reference: str = ""
    mel: str = ""
    voice: str = ""
    seen: bool | None = None
    transcript: str = ""
    confidence: float | None = None
    in_domain: bool | None = None
    picture: str = ""
    source: str = ""
    variant: str = ""

    @property
    def clip_id(self) -> str:
        return f"{self.speaker}/{self.stem}"

    @property
    def label(self) -> str:
        """`s1/bbaf2n`, `s1/bbaf2n→s4` where another speaker's face gave the voice, or `s1/bbaf2n.z1`
        of several pictures."""
        swapped = self.voice and self.voice != self.speaker
        name = f"{self.clip_id}→{self.voice}" if swapped else self.clip_id
        return f"{name}.{self.variant}" if self.variant else name


@dataclass(frozen=True, slots=True)
class RunInfo(Record):
    """The content of `run.json`: the origin of a run directory. Any model can write one.

    Attributes:
        name: the row's name in tables (`Facetron`, `Lip2Wav`, `analysis-synthesis (Griffin-Lim)`).
        kind: `model`, `control`, `resynthesis` or `recording`; `faces` for pictures made from speech.
        split, subset: split and subset of the requested clips.
        sample_rate_hz: of the speech, made or heard.
        n_expected: number of clips (or pictures) requested; fewer lines in `clips.jsonl` mean missing
            clips and are reported as such.
        manifest_sha256: SHA-256 of the manifest that the clips were taken from, or "".
        parameters: all parameters needed to repeat the run. Those of pictures have `system`,
            `checkpoint`, `checkpoint_sha256`, `trained_on` (speakers), `variants` and `side_px`.
        versions: library → version.
        corpus: the corpus of the clips, one of `manifests.corpus_names.LABELS`; "" where it is not known,
            as in runs that were written before it was recorded.
    """

    name: str
    kind: str
    split: str
    subset: str
    sample_rate_hz: int
    n_expected: int
    manifest_sha256: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    corpus: str = ""
    schema_version: int = SCHEMA_VERSION

    @property
    def shuffled_speech(self) -> bool:
        """Returns whether pictures were made from the speech of other speakers: the control of kind
        `faces`."""
        return self.parameters.get("shuffled_speech") is True


@dataclass(frozen=True, slots=True)
class Score(Record):
    """One metric of one clip (a line of `scores.jsonl`).

    A metric that cannot be computed is `status="failed"` with `value=None` and a reason: it counts
    in n_failed and never enters a mean.

    `weight` is the clip's share in a mean (the words of its sentence for a WER, so that the mean is
    the corpus's rate); `details` holds what the value was made of (the text heard, counts of errors).
    """

    speaker: str
    stem: str
    metric: str
    value: float | None
    status: str  # "ok" or "failed"
    reason: str = ""
    unit: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    details: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    """Hash of the inputs' content, the parameters and the versions: the cache key."""
