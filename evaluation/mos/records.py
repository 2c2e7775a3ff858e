"""The two files of a test: what is handed out, and the key that says what it is.

    TEST/key.json               stays with the experimenter
    TEST/handout/design.json    who hears which sounds in which order, by meaningless names
    TEST/handout/sounds/        the sounds
    TEST/handout/pages/         one page a subject, made by `mos pages`
    TEST/handout/sheets/        one CSV sheet a subject, likewise

Nothing below `handout` says which system made a sound, who speaks, or which trials are controls.
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
    """One thing to judge, as handed out.

    Attributes:
        trial: meaningless identifier.
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
        max_plays: of each sound, 0 for any number.
        volume_sound: played while the listener sets the volume.
        sessions: one a subject.
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
    """One of the things compared.

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
    """What a trial is.

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
    """What a sound is.

    Attributes:
        sound: name of the file.
        kind: `plain`, `anchor`, `trap` or `tones`.
        part, condition, clip: where it is used.
        source: the file it was made from, relative to the key's folder, or "".
        level_dbov: its active speech level now.
        gain_db: what that took.
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
        trials, sounds: what they are.
        notes: what the experimenter should know.
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
