"""The two files of a listening test: the handout for listeners, and the key that identifies it.

    TEST/key.json               stays with the experimenter
    TEST/handout/design.json    sounds and order of the trials per subject, by anonymous names
    TEST/handout/sounds/        the sounds
    TEST/handout/pages/         one page per subject, written by `mos pages`
    TEST/handout/sheets/        one CSV sheet per subject, likewise

Nothing below `handout` reveals the system or speaker of a sound, or which trials are controls.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from manifests.errors import BadInput, ManifestError
from manifests.io import read_json, write_json
from manifests.records import SCHEMA_VERSION, Record

KEY_FILE = "key.json"
HANDOUT = "handout"
DESIGN_FILE = "design.json"
SOUNDS = "sounds"
T = TypeVar("T", bound=Record)


@dataclass(frozen=True)
class Trial(Record):
    """A trial as handed out.

    Attributes:
        trial: anonymous identifier.
        part: key of the scale.
        practice: whether the page calls it practice.
        sounds: names of one or two files.
    """

    trial: str
    part: str
    practice: bool
    sounds: tuple[str, ...]


@dataclass(frozen=True)
class Session(Record):
    """A subject's trials in order."""

    subject: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Handout(Record):
    """`design.json`.

    Attributes:
        design: identifier of the test.
        title, consent: plain text.
        parts: keys of scales in order, headphones first where they are checked.
        max_plays: number of times that a sound may be played, 0 for no limit.
        volume_sound: sound for setting the volume.
        sessions: one per subject.
    """

    design: str
    title: str
    consent: str
    parts: tuple[str, ...]
    max_plays: int
    volume_sound: str
    sessions: tuple[Session, ...]


@dataclass(frozen=True)
class Condition(Record):
    """A condition of the comparison.

    Attributes:
        name: the system's, or `Recording`, `Low anchor`, …
        kind: `model`, `resynthesis`, `recording` or `anchor`.
        run_dir: relative to the key's folder, or "".
    """

    name: str
    kind: str
    run_dir: str = ""


@dataclass(frozen=True)
class KeyTrial(Record):
    """A trial as the key identifies it.

    Attributes:
        trial, subject, part: as handed out.
        number: place in the subject's part, from 1.
        role: `rating`, `practice`, `gold`, `trap`, `repeat` or `headphones`; only `rating` counts
            in means.
        condition: name, "" for tones.
        clip: `s1/bbaf2n`, `s1/bbaf2n→s4`, or "".
        expected: lowest and highest right answer of a control, or None.
        repeats: the trial that this one repeats, or "".
    """

    trial: str
    subject: str
    part: str
    number: int
    role: str
    condition: str
    clip: str
    expected: tuple[int, int] | None = None
    repeats: str = ""


@dataclass(frozen=True)
class KeySound(Record):
    """A sound as the key identifies it.

    Attributes:
        sound: name of the file.
        kind: `plain`, `anchor`, `trap` or `tones`.
        part, condition, clip: place of its use.
        source: its source file, relative to the key's folder, or "".
        level_dbov: its active speech level.
        gain_db: gain applied for that level.
        duration_s: length.
    """

    sound: str
    kind: str
    part: str
    condition: str
    clip: str
    source: str
    level_dbov: float
    gain_db: float
    duration_s: float


@dataclass(frozen=True)
class Key(Record):
    """`key.json`.

    Attributes:
        design: identifier of the test, as in the handout.
        secret: hex; names of sounds and trials are HMACs under it.
        options: the `DesignOptions`.
        conditions: by part.
        trials, sounds: the identified trials and sounds.
        notes: notes for the experimenter.
        versions: library → version.
    """

    design: str
    secret: str
    options: dict[str, Any]
    conditions: dict[str, Any]
    trials: tuple[KeyTrial, ...]
    sounds: tuple[KeySound, ...]
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    def conditions_of(self, part: str) -> list[Condition]:
        return [Condition.from_dict(values) for values in self.conditions[part]]


def write_record(path: Path, kind: str, record: Record) -> None:
    """Atomically writes a record with its schema."""
    write_json(path, {"schema": kind, "schema_version": SCHEMA_VERSION, **record.to_dict()}, 1)


def read_record(path: Path, kind: str, record_type: type[T]) -> T:
    """Inverse of `write_record`. Raises `ManifestError` that names the file."""
    values = read_json(path)
    if not isinstance(values, dict) or values.get("schema") != kind:
        raise ManifestError(f"{path} holds no {kind}", "check the path")
    if not values.get("schema_version", 0) <= SCHEMA_VERSION:
        raise ManifestError(f"{path} is of a newer version", "update the toolkit")
    try:
        return record_type.from_dict(values)
    except (ManifestError, TypeError, AttributeError, KeyError) as error:
        raise ManifestError(f"{path} is damaged ({error})", "make the test again") from None


def relative(path: Path, folder: Path) -> str:
    """POSIX path from a folder to a file or folder elsewhere; absolute where there is none."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def find_key(path: Path) -> Path:
    """`key.json` itself, or the one in a folder."""
    found = path / KEY_FILE if path.is_dir() else path
    if not found.is_file():
        raise BadInput(
            f"{found} does not exist",
            "pass the key.json that `facetron-eval mos design` wrote, or its folder",
        )
    return found


def read_key(path: Path) -> Key:
    """The key at `path` (file or folder)."""
    return read_record(find_key(path), "listening-key", Key)


def read_handout(folder: Path) -> tuple[Path, Handout]:
    """(the handout's folder, its design) at `folder`, which may also be the test's."""
    for candidate in (folder, folder / HANDOUT):
        if (candidate / DESIGN_FILE).is_file():
            return candidate, read_record(candidate / DESIGN_FILE, "listening-design", Handout)
    raise BadInput(
        f"{folder} holds no listening test", "pass the folder that `mos design --out` wrote"
    )
