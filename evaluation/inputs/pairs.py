"""Run directories, and the pairs of recordings in them, checked before any metric sees them.

A run directory holds `run.json` (`RunInfo`), `clips.jsonl` (kind `run-clips`, `RunClip` lines) and
the wavs or the pictures that they name. Nothing here knows which model made it.

Every signal is brought to 16 kHz mono. A file of a lower rate is resampled too: what its system
never made above its own band stays missing and costs what it costs.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from manifests import runs
from manifests.errors import BadInput
from manifests.records import RunClip, RunInfo

Samples = NDArray[np.float64]
Array = NDArray[Any]
"""Samples as they are given: (n,) or (n, channels), floats of full scale ±1 or integers."""
Source = str | os.PathLike[str] | NDArray[Any]
"""A sound: a file, or samples (n,) or (n, channels), floats of full scale ±1 or integers."""
ValueT = TypeVar("ValueT")

SCORING_RATE_HZ = 16_000
SHORTEST_S = 0.1
"""Below this there is no speech to score."""
SILENCE_DBFS = -70.0
"""RMS level under which a file counts as silent: quieter than the noise of any GRID recording."""
FULL_SCALE = 0.999
"""Samples at or above this count as clipped (16-bit full scale is 0.99997)."""
LENGTH_TOLERANCE_S = 0.25
"""Published systems cut 3 s to 2.8 s; a larger difference is not the same clip."""

RULES = {
    "scoring_rate_hz": SCORING_RATE_HZ,
    "shortest_s": SHORTEST_S,
    "silence_dbfs": SILENCE_DBFS,
    "length_tolerance_s": LENGTH_TOLERANCE_S,
    "resampler": "soxr_hq",
}
"""Parameters of the input checks: part of every score's cache key."""


class Unscorable(Exception):
    """One metric of one clip has no value. Recorded as a failed score, never fatal.

    Args:
        reason: short stable identifier, so that failures can be counted.
        detail: one sentence with the evidence.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True)
class Sound:
    """A decoded file at `SCORING_RATE_HZ`, beside what it was before.

    Attributes:
        samples: (n,) float64, mono, full scale ±1.
        file_mono: (file_samples,) float64, the same at the file's own rate.
        file_rate_hz, file_samples: as stored.
        clipped_share: samples at full scale, of all, before resampling.
        level_dbfs: RMS level before resampling.
    """

    samples: Samples
    file_mono: Samples
    file_rate_hz: int
    file_samples: int
    clipped_share: float
    level_dbfs: float

    @property
    def duration_s(self) -> float:
        return self.file_samples / self.file_rate_hz


def read_file(path: Path) -> tuple[NDArray[np.float64], int]:
    """((n, channels) samples of full scale ±1, rate in Hz) of a file, whatever they are.

    Raises:
        Unscorable: `file_missing` or `unreadable`.
    """
    import soundfile

    if not path.is_file():
        raise Unscorable("file_missing", f"{path.name} does not exist")
    try:
        stored, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        # Without the folder, which would be in the scores and differ from machine to machine.
        message = str(error).replace(str(path), path.name)
        raise Unscorable("unreadable", f"{path.name} is no sound file ({message})") from None
    return stored, int(rate_hz)


def load_sound(path: Path) -> Sound:
    """Reads and checks one file.

    Raises:
        Unscorable: `file_missing`, `unreadable`, or as `sound_of`.
    """
    return sound_of(*read_file(path), path.name)


def at_scoring_rate(mono: Samples, rate_hz: int) -> Samples:
    """(n,) samples brought to `SCORING_RATE_HZ`."""
    if rate_hz == SCORING_RATE_HZ:
        return mono
    import soxr

    return np.asarray(soxr.resample(mono, rate_hz, SCORING_RATE_HZ, quality="HQ"))


def sound_of(stored: NDArray[np.float64], rate_hz: int, name: str = "the sound") -> Sound:
    """Checks samples and brings them to mono at `SCORING_RATE_HZ`.

    Args:
        stored: (n, channels) of full scale ±1.
        name: what a failure calls them.

    Raises:
        Unscorable: `too_short`, `not_finite` or `silent`.
    """
    n = len(stored)
    if n < SHORTEST_S * rate_hz:
        raise Unscorable("too_short", f"{name} has {n} samples at {rate_hz} Hz")
    if not np.isfinite(stored).all():
        share = 1 - np.isfinite(stored).mean()
        raise Unscorable("not_finite", f"{name}: {share:.1%} of the samples are NaN or infinite")
    mono = stored.mean(axis=1)
    rms = float(np.sqrt(np.mean(mono**2)))
    level_dbfs = 20 * np.log10(max(rms, 1e-12))
    if level_dbfs < SILENCE_DBFS:
        raise Unscorable("silent", f"{name} has an RMS level of {level_dbfs:.0f} dBFS")
    return Sound(
        samples=np.ascontiguousarray(at_scoring_rate(mono, rate_hz)),
        file_mono=mono,
        file_rate_hz=int(rate_hz),
        file_samples=n,
        clipped_share=float(np.mean(np.abs(stored) >= FULL_SCALE)),
        level_dbfs=float(level_dbfs),
    )


def as_channels(samples: NDArray[Any]) -> NDArray[np.float64]:
    """(n, channels) float64 of full scale ±1 from (n,) or (n, channels) floats or integers.

    Raises:
        BadInput: another shape, or values that are no sound.
    """
    stored = np.asarray(samples)
    if stored.ndim not in (1, 2) or stored.dtype.kind not in "fiu":
        raise BadInput(
            f"a sound of shape {stored.shape} and type {stored.dtype}",
            "pass (samples,) or (samples, channels) of floats in ±1 or of integers",
        )
    if stored.ndim == 2 and stored.shape[1] > stored.shape[0]:
        raise BadInput(
            f"a sound of shape {stored.shape} has more channels than samples", "transpose it"
        )
    if stored.dtype.kind == "f":
        values = stored.astype(np.float64)
    elif stored.dtype.kind == "i":
        values = stored / -float(np.iinfo(stored.dtype).min)
    else:
        middle = (float(np.iinfo(stored.dtype).max) + 1) / 2
        values = stored / middle - 1
    return np.atleast_2d(values.T).T


class Recording:
    """One sound, decoded at most once; whatever is derived from it (mel, F0) is kept beside it.

    Args:
        source: a file, or samples: (n,) or (n, channels), floats of full scale ±1 or integers.
        rate_hz: of samples; a file says its own.

    Attributes:
        path: of a file; None for samples.

    Raises:
        BadInput: samples without a rate, or of a shape that is no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import Recording
        >>> tone = Recording(np.sin(np.arange(8000) / 9), rate_hz=8000)
        >>> tone.samples.shape  # brought to 16 kHz
        (16000,)
    """

    def __init__(self, source: Source, rate_hz: int | None = None) -> None:
        self.path: Path | None = None
        self._memory: dict[str, Any] = {}
        if isinstance(source, (str, os.PathLike)):
            self.path = Path(source)
            return
        if rate_hz is None or rate_hz <= 0:
            raise BadInput(f"samples at a rate of {rate_hz} Hz", "pass their rate_hz")
        self._given = (as_channels(source), int(rate_hz))

    def once(self, key: str, compute: Callable[[], ValueT]) -> ValueT:
        """`compute()`, remembered under `key`; an `Unscorable` is remembered and raised again."""
        if key not in self._memory:
            try:
                self._memory[key] = compute()
            except Unscorable as failure:
                self._memory[key] = failure
        value = self._memory[key]
        if isinstance(value, Unscorable):
            raise Unscorable(value.reason, value.detail)
        return value  # type: ignore[no-any-return]

    @property
    def sound(self) -> Sound:
        """The decoded sound. Raises `Unscorable` as `load_sound` and `sound_of`."""
        if self.path is None:
            return self.once("sound", lambda: sound_of(*self._given))
        path = self.path
        return self.once("sound", lambda: load_sound(path))

    def clip_sound(self, longest_s: float) -> Sound:
        """The decoded sound of a clip. Raises `Unscorable` as `sound` does, and `too_long`."""
        sound = self.sound
        if sound.duration_s > longest_s:
            raise Unscorable("too_long", f"{sound.duration_s:.0f} s are no clip")
        return sound

    @property
    def samples(self) -> Samples:
        """(n,) mono at `SCORING_RATE_HZ`. Raises `Unscorable`."""
        return self.sound.samples

    def unchecked(self) -> Samples:
        """(n,) mono at `SCORING_RATE_HZ` of a sound that may be silent, short or not finite: for code
        that does not ask. Raises `Unscorable` as `read_file`."""
        stored, rate_hz = self._given if self.path is None else read_file(self.path)
        return at_scoring_rate(stored.mean(axis=1), rate_hz)


class Pair:
    """One synthesized clip and, where there is one, the recording of the same clip.

    Attributes:
        clip: speaker, stem, sentence and, of a swap, the speaker who gave the voice.
        root: the run directory, None where the clip belongs to none.
        of_recording: whether the recording stands in the place of the speech (`floor`).
    """

    of_recording = False

    def __init__(
        self,
        clip: RunClip,
        degraded: Recording,
        reference: Recording | None,
        root: Path | None = None,
    ) -> None:
        self.clip = clip
        self.root = root
        self._degraded = degraded
        self._reference = reference
        self._memory: dict[str, Any] = {}

    def once(self, key: str, compute: Callable[[], ValueT]) -> ValueT:
        """Like `Recording.once`, for what depends on both sides."""
        if key not in self._memory:
            self._memory[key] = compute()
        return self._memory[key]  # type: ignore[no-any-return]

    @cached_property
    def floor(self) -> Pair:
        """The same clip with its recording in the place of the speech, in its speaker's own voice."""
        twin = Pair(
            dataclasses.replace(self.clip, voice=""), self._degraded, self._reference, self.root
        )
        twin.of_recording = True
        return twin

    @property
    def degraded(self) -> Recording:
        """The side that is scored. Raises `Unscorable` where that is a recording which is not there."""
        return self.reference if self.of_recording else self._degraded

    @property
    def reference(self) -> Recording:
        """Raises `Unscorable`: `no_reference`, or what is wrong with its file."""
        if self._reference is None:
            raise Unscorable("no_reference", "the run names no recording of this clip")
        try:
            _ = self._reference.sound
        except Unscorable as failure:
            raise Unscorable(f"reference_{failure.reason}", failure.detail) from None
        return self._reference

    @property
    def reference_path(self) -> Path | None:
        """Returns where the recording should lie, whatever is there: it leads to its build."""
        return None if self._reference is None else self._reference.path

    def check_lengths(self) -> None:
        """Raises `Unscorable("length_mismatch")` when the two cannot be the same clip."""
        here_s, there_s = self.degraded.sound.duration_s, self.reference.sound.duration_s
        if abs(here_s - there_s) > LENGTH_TOLERANCE_S:
            raise Unscorable(
                "length_mismatch",
                f"{here_s:.2f} s against {there_s:.2f} s of the recording "
                f"(at most {LENGTH_TOLERANCE_S} s apart)",
            )

    def unchecked(self) -> tuple[Samples, Samples]:
        """(reference, degraded) as the files hold them, not even cut (`Recording.unchecked`).

        Raises:
            Unscorable: `no_reference`, or a file that cannot be read.
        """
        if self._reference is None:
            raise Unscorable("no_reference", "the run names no recording of this clip")
        here = self._reference if self.of_recording else self._degraded
        return self._reference.unchecked(), here.unchecked()

    def trimmed(self) -> tuple[Samples, Samples]:
        """(reference, degraded), both cut at the end to the shorter one's length."""
        self.check_lengths()
        reference, degraded = self.reference.samples, self.degraded.samples
        n = min(len(reference), len(degraded))
        return reference[:n], degraded[:n]


def paired(
    reference: Source | None, degraded: Source, rate_hz: int | None = None, *, sentence: str = ""
) -> Pair:
    """A pair that belongs to no run.

    Args:
        reference: the recording, None where there is none.
        degraded: the speech that is scored.
        rate_hz: of both, where they are samples.
        sentence: what is said.

    Raises:
        BadInput: samples without a rate, or of a shape that is no sound.
    """
    clip = RunClip("", "", sentence, "", "")
    known = None if reference is None else Recording(reference, rate_hz)
    return Pair(clip, Recording(degraded, rate_hz), known)


@dataclass(frozen=True)
class RunDir:
    """A run directory as read.

    Attributes:
        root: the directory.
        info: `run.json`.
        clips: lines of `clips.jsonl`, in their order.
    """

    root: Path
    info: RunInfo
    clips: tuple[RunClip, ...]

    @property
    def n_missing(self) -> int:
        """Clips that the run was asked for and has no line for."""
        return max(0, self.info.n_expected - len(self.clips))

    def wav(self, clip: RunClip) -> Path:
        return self.root / clip.wav

    @property
    def of_faces(self) -> bool:
        """Returns whether the run holds pictures made from speech, and no speech."""
        return self.info.kind == runs.FACES

    def made(self, clip: RunClip) -> Path:
        """Returns what the system made of a clip: its picture in a run of faces, else its wav."""
        return self.root / (clip.picture if self.of_faces else clip.wav)

    def reference(self, clip: RunClip) -> Path | None:
        return self.root / clip.reference if clip.reference else None


def read_run(root: Path) -> RunDir:
    """Reads a run directory of speech or of pictures.

    Raises:
        ManifestError: as `manifests.runs.read_run`.
        BadInput: a run that names both wavs and pictures.
    """
    of_faces = (root / runs.RUN_FILE).is_file() and runs.read_info(root).kind == runs.FACES
    if not of_faces:
        return read_speech_run(root)
    info, clips, _ = runs.read_picture_run(root)
    for clip in clips:
        if clip.wav and clip.picture:
            raise BadInput(
                f"{root / runs.CLIPS_FILE}: {clip.label} names a wav and a picture",
                "write a run for the speech and another, of kind faces, for the pictures",
            )
    return RunDir(root, info, tuple(clips))


def read_speech_run(root: Path) -> RunDir:
    """Reads a run directory of speech. Raises as `manifests.runs.read_run`, which refuses pictures."""
    info, clips, _ = runs.read_run(root)
    return RunDir(root, info, tuple(clips))


def check_one_kind(given: Sequence[RunDir]) -> None:
    """Raises `BadInput` where some runs hold speech and others pictures."""
    for run in given[1:]:
        if run.of_faces != given[0].of_faces:
            faces, speech = (run, given[0]) if run.of_faces else (given[0], run)
            raise BadInput(
                f"{faces.root} is a run of pictures, {speech.root} of speech",
                "score them separately: they share no metric",
            )


def check_comparable(given: list[RunDir]) -> None:
    """Raises `BadInput` unless all runs were asked for the same clips and have different names."""
    first = given[0]
    check_one_kind(given)
    for run in given[1:]:
        for field in ("split", "subset"):
            mine, theirs = getattr(first.info, field), getattr(run.info, field)
            if mine != theirs:
                raise BadInput(
                    f"{run.root} was made for {field} {theirs!r}, {first.root} for {mine!r}",
                    "report them separately: their numbers do not compare",
                )
    check_names(given)


def check_names(given: list[RunDir]) -> None:
    """Raises `BadInput` where two runs have one name."""
    names: dict[str, Path] = {}
    for run in given:
        if run.info.name in names:
            raise BadInput(
                f"{names[run.info.name]} and {run.root} are both named {run.info.name!r}",
                "give one of them another name in run.json",
            )
        names[run.info.name] = run.root
