"""Deliberately damaged clips, each with a fault that `verify` and `build` must report.

`make_fault` damages any intact clip, so tests can use it on clips of their own; `add_faults` adds one
clip of each fault to a corpus and lists them in `faults.json`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gridprep.media.decode import decode
from gridprep.synth.clips import Job, make_clip, sentences_for
from gridprep.synth.container import write_mpg
from manifests.corpus_lists import SPEAKERS, stems_of
from manifests.errors import BadInput
from manifests.grammar import VOCABULARY
from manifests.io import atomic_open, write_json, write_text
from manifests.records import Record

Frames = NDArray[np.uint8]
Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Fault(Record):
    """A kind of fault of a clip.

    Attributes:
        kind: its name.
        outcome: `failure`, `row` (usable, perhaps flagged) or `ignored` (no clip at all).
        expected: the failure's reason, the row's flag or repair, or "" for a row without any.
        says: what is wrong, for a person.
    """

    kind: str
    outcome: str
    expected: str
    says: str


@dataclass(frozen=True)
class PlacedFault(Record):
    """A broken clip in a corpus; `path` is relative to the corpus, `speaker` the folder's."""

    path: str
    speaker: str
    stem: str
    kind: str
    outcome: str
    expected: str
    says: str


FAULTS: dict[str, Fault] = {
    f.kind: f
    for f in (
        Fault("truncated", "failure", "frame_count", "the file ends after 40 % of its bytes"),
        Fault("zero_bytes", "failure", "empty_file", "the file has no bytes"),
        Fault("text", "failure", "not_media", "a text file with a video's name"),
        Fault("frames_74", "row", "frames_repeated", "one frame too few"),
        Fault("frames_60", "failure", "frame_count", "60 frames"),
        Fault("frames_80", "failure", "frame_count", "80 frames"),
        Fault(
            "damaged", "row", "damaged_bitstream", "some bytes of three pictures are overwritten"
        ),
        Fault("no_audio", "failure", "no_audio", "no audio stream"),
        Fault("silent", "failure", "audio_silent", "an audio stream of zeros"),
        Fault("audio_short", "failure", "audio_short", "only 1.2 s of sound"),
        Fault("no_face", "failure", "no_face", "the background without a person"),
        Fault("two_faces", "row", "several_faces", "two people side by side"),
        Fault("grey_start", "failure", "grey_frames", "the first 12 frames are plain gray"),
        Fault("black", "failure", "black_frames", "all frames black"),
        Fault("size_720x576", "row", "", "720×576, as GRID's high-quality clips"),
        Fault("too_small", "failure", "too_small", "64×48 pictures"),
        Fault("fps_50", "row", "fps_resampled", "150 frames at 50 per second"),
        Fault("fps_15", "failure", "frame_rate", "45 frames at 15 per second"),
        Fault("alignment_missing", "failure", "alignment_missing", "no .align file"),
        Fault("alignment_garbled", "failure", "alignment_garbled", "a line without its times"),
        Fault(
            "alignment_out_of_range",
            "failure",
            "alignment_out_of_range",
            "ends after the clip does",
        ),
        Fault(
            "alignment_wrong_sentence",
            "failure",
            "alignment_wrong_sentence",
            "spells another sentence than the stem",
        ),
        Fault("alignment_crlf", "row", "", "CRLF line ends, which circulate and are fine"),
        Fault("not_a_stem", "failure", "not_a_stem", "a name outside GRID's grammar"),
        Fault("other_speaker", "row", "speaker_folder", "another speaker's clip in this folder"),
        Fault("junk", "ignored", "", "system files `._*`, Thumbs.db and __MACOSX"),
    )
}
"""Kind → fault, in the order in which they are added."""

Change = Callable[[Frames, Samples], tuple[Frames, "Samples | None", float]]


def _two_faces(frames: Frames) -> Frames:
    """The middle half of the picture, and beside it the same mirrored."""
    width = frames.shape[2]
    middle = frames[:, :, width // 4 : width // 4 + width // 2]
    return np.concatenate([middle, middle[:, :, ::-1]], axis=2)


def _no_face(frames: Frames) -> Frames:
    """The top corners' columns stretched over the picture: its background alone."""
    height, width = frames.shape[1:3]
    left = frames[:, :60, :20].mean((1, 2), keepdims=True)
    right = frames[:, :60, -20:].mean((1, 2), keepdims=True)
    across = np.linspace(0, 1, width)[None, None, :, None]
    down = np.linspace(1.15, 0.75, height)[None, :, None, None]
    plain = (left * (1 - across) + right * across) * down
    return np.asarray(np.clip(plain, 0, 255), np.uint8)


def _resize(frames: Frames, width: int, height: int) -> Frames:
    import cv2

    return np.stack([cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in frames])


def _grey_start(frames: Frames) -> Frames:
    frames = frames.copy()
    frames[:12] = 128
    return frames


CHANGES: dict[str, Change] = {
    "frames_74": lambda f, s: (f[:74], s, 25),
    "frames_60": lambda f, s: (f[:60], s, 25),
    "frames_80": lambda f, s: (np.concatenate([f, f[-5:]]), s, 25),
    "no_audio": lambda f, s: (f, None, 25),
    "silent": lambda f, s: (f, np.zeros_like(s), 25),
    "audio_short": lambda f, s: (f, s[: int(1.2 * 44_100)], 25),
    "no_face": lambda f, s: (_no_face(f), s, 25),
    "two_faces": lambda f, s: (_two_faces(f), s, 25),
    "grey_start": lambda f, s: (_grey_start(f), s, 25),
    "black": lambda f, s: (np.zeros_like(f), s, 25),
    "size_720x576": lambda f, s: (_resize(f, 720, 576), s, 25),
    "too_small": lambda f, s: (_resize(f, 64, 48), s, 25),
    "fps_50": lambda f, s: (np.repeat(f, 2, axis=0), s, 50),
    "fps_15": lambda f, s: (f[np.arange(45) * 5 // 3], s, 15),
}
"""Faults of pictures and sound: (frames, samples) → (frames, samples, frames per second)."""


def _break_bytes(kind: str, data: bytes) -> bytes:
    if kind == "zero_bytes":
        return b""
    if kind == "text":
        return b"This is not a video.\n" * 20
    if kind == "truncated":
        return data[: len(data) * 2 // 5]
    # A few bytes inside one slice of a picture near the middle, well away from the headers of the
    # container and of the pictures, all of which start with 00 00 01.
    rng = np.random.default_rng(len(data))
    broken = bytearray(data)
    for place in (0.4, 0.5, 0.6):
        at = data.index(b"\0\0\1\x01", int(len(data) * place))
        while b"\0\0\1" in data[at + 4 : at + 120]:
            at = data.index(b"\0\0\1\x01", at + 4)
        broken[at + 40 : at + 100] = rng.integers(1, 256, 60, np.uint8).tobytes()
    return bytes(broken)


BYTE_FAULTS = ("truncated", "zero_bytes", "text", "damaged")


def break_alignment(kind: str, text: str) -> str | None:
    """The alignment that a fault leaves: None for none, the same for a fault of something else."""
    lines = text.splitlines()
    if kind == "alignment_missing":
        return None
    if kind == "alignment_garbled":
        lines[2] = lines[2].split()[2]
    elif kind == "alignment_out_of_range":
        start, _, word = lines[-1].split()
        lines[-1] = f"{start} 85000 {word}"
    elif kind == "alignment_wrong_sentence":
        start, end, word = lines[1].split()
        other = "lay" if word != "lay" else "set"
        lines[1] = f"{start} {end} {other}"
    line_end = "\r\n" if kind == "alignment_crlf" else "\n"
    return "".join(line + line_end for line in lines)


def make_fault(
    kind: str,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    source_alignment: str | os.PathLike[str] | None = None,
    target_alignment: str | os.PathLike[str] | None = None,
) -> Fault:
    """Writes a damaged copy of an intact clip.

    Args:
        kind: one of `FAULTS`. For `not_a_stem` and `other_speaker` it is the caller who gives the
            target its wrong place; `junk` writes `._NAME`, `Thumbs.db` and `__MACOSX/._NAME` beside it.
        source: a sound clip.
        target: where the broken one goes.
        source_alignment, target_alignment: copied, broken where the fault is of the alignment.

    Raises: `BadInput` for an unknown kind.
    """
    if kind not in FAULTS:
        raise BadInput(f"there is no fault {kind!r}", f"choose among {', '.join(FAULTS)}")
    source, target = Path(source), Path(target)
    if kind == "junk":
        _strew_junk(target)
        return FAULTS[kind]
    if kind in CHANGES:
        media = decode(source)
        samples = np.clip(np.round(media.audio * 32768), -32768, 32767).astype(np.int16)
        frames, changed, fps = CHANGES[kind](np.asarray(media.frames), samples)
        write_mpg(target, frames, changed, fps=fps)
    else:
        data = source.read_bytes()
        with atomic_open(target, "wb") as file:
            file.write(_break_bytes(kind, data) if kind in BYTE_FAULTS else data)
    if source_alignment is not None and target_alignment is not None:
        text = break_alignment(kind, Path(source_alignment).read_text(encoding="utf-8"))
        if text is None:
            Path(target_alignment).unlink(missing_ok=True)
        else:
            write_text(target_alignment, text)
    return FAULTS[kind]


def _strew_junk(target: Path) -> None:
    for path in (
        target.with_name(f"._{target.name}"),
        target.with_name("Thumbs.db"),
        target.parent / "__MACOSX" / f"._{target.name}",
    ):
        with atomic_open(path, "wb") as file:
            file.write(b"\x00\x05\x16\x07 not a clip")


def _wrong_name(stem: str) -> str:
    """A name that differs from a stem in one letter and leaves the grammar (w is no letter of it)."""
    assert "w" not in VOCABULARY[3]
    return f"{stem[:3]}w{stem[4:]}"


def add_faults(
    root: Path, stems: Mapping[str, Sequence[str]], seed: int, force: bool = False
) -> list[PlacedFault]:
    """Adds one clip of every fault, spread over the speakers, and writes `faults.json`.

    The broken clips use sentences from the far end of the speakers' drawn order, so that they never
    stand in for a sound one. An earlier set that is complete is kept.

    Args:
        root: the corpus.
        stems: speaker → stems of the sound clips.
        seed: of the corpus.

    Raises: `BadInput` when the sound clips leave no sentence over.
    """
    speakers = list(stems)
    placed: list[PlacedFault] = []
    with tempfile.TemporaryDirectory(prefix="synth-faults-") as scratch:
        for index, fault in enumerate(FAULTS.values()):
            speaker = speakers[index % len(speakers)]
            owner = speaker
            if fault.kind == "other_speaker":
                owner = SPEAKERS[(SPEAKERS.index(speaker) + 1) % len(SPEAKERS)]
            order = sentences_for(owner, len(stems_of(owner)), seed)
            stem = order[-1 - index // len(speakers)]
            if stem in stems.get(owner, ()):
                raise BadInput(
                    f"{len(stems[owner])} sentences of {owner} leave none for the faults",
                    "ask for fewer sentences or leave out --faults",
                )
            name = _wrong_name(stem) if fault.kind == "not_a_stem" else stem
            video = root / speaker / f"{name}.mpg"
            alignment = root / "alignments" / speaker / f"{name}.align"
            placed.append(
                PlacedFault(
                    video.relative_to(root).as_posix(),
                    speaker,
                    name,
                    fault.kind,
                    fault.outcome,
                    fault.expected,
                    fault.says,
                )
            )
            if not force and video.exists():
                continue
            make_clip(Job(scratch, owner, stem, seed))
            make_fault(
                fault.kind,
                Path(scratch) / owner / f"{stem}.mpg",
                video,
                Path(scratch) / "alignments" / owner / f"{stem}.align",
                alignment,
            )
            shutil.rmtree(Path(scratch) / owner)
    write_json(root / "faults.json", [p.to_dict() for p in placed])
    return placed
