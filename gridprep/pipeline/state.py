"""What a build folder remembers of each clip, and the keys that say whether it still holds.

One small JSON per clip under `.state/`: what the source was (size, time, sha256), and for each stage its
key, its files with their sizes, and its numbers. A stage is done when its key is the one expected now and
its files are there with those sizes. Keys hash the source, the parameters and the versions, chained:
a stage's key contains its upstream's.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

from manifests.errors import ManifestError
from manifests.io import sha256_file, write_json
from manifests.records import ClipFailure, Record

STATE_FOLDER = ".state"
STATE_VERSION = 1


@dataclass(frozen=True)
class FileStamp(Record):
    """A source file as it was when it was read.

    Size and time are enough to skip hashing a file that did not change; the hash decides.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str

    def is_current(self) -> bool:
        try:
            stat = os.stat(self.path)
        except OSError:
            return False
        return stat.st_size == self.size and stat.st_mtime_ns == self.mtime_ns


def stamp(path: str) -> FileStamp:
    """Stamps a file, reading it once. Raises `OSError`, also where it is no regular file."""
    stat = os.stat(path)
    return FileStamp(path, stat.st_size, stat.st_mtime_ns, sha256_file(path))


@dataclass
class StageState:
    """A finished stage.

    Attributes:
        key: what it was made from and with.
        files: artifact → (path relative to the build, size in bytes).
        data: numbers, flags and words for the manifest row.
    """

    key: str
    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class ClipState:
    """All that is remembered of a clip. Mutable: stages add themselves while a clip is processed.

    Attributes:
        source, alignment: stamps of what was read; `alignment` is None where there is none.
        stages: finished stages by name.
        failure: why the clip is no row, if it is none, and `failure_key`, the key of the stage that
            failed: the same input and parameters are not tried again.
    """

    source: FileStamp | None = None
    alignment: FileStamp | None = None
    stages: dict[str, StageState] = field(default_factory=dict)
    failure: ClipFailure | None = None
    failure_key: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "version": STATE_VERSION,
            "source": self.source.to_dict() if self.source else None,
            "alignment": self.alignment.to_dict() if self.alignment else None,
            "stages": {
                name: {"key": s.key, "files": s.files, "data": s.data}
                for name, s in self.stages.items()
            },
            "failure": self.failure.to_dict() if self.failure else None,
            "failure_key": self.failure_key,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ClipState:
        return cls(
            source=FileStamp(**values["source"]) if values["source"] else None,
            alignment=FileStamp(**values["alignment"]) if values["alignment"] else None,
            stages={
                name: StageState(
                    s["key"], {k: (v[0], v[1]) for k, v in s["files"].items()}, s["data"]
                )
                for name, s in values["stages"].items()
            },
            failure=ClipFailure.from_dict(values["failure"]) if values["failure"] else None,
            failure_key=values["failure_key"],
        )


def state_path(build: str, clip_id: str) -> str:
    return f"{build}/{STATE_FOLDER}/{clip_id}.json"


def load_state(build: str, clip_id: str) -> ClipState:
    """The state of a clip; a missing, damaged or older one is an empty state, so the clip is redone."""
    path = state_path(build, clip_id)
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
        if values.get("version") != STATE_VERSION:
            return ClipState()
        return ClipState.from_dict(values)
    except FileNotFoundError:
        return ClipState()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ManifestError):
        return ClipState()


def save_state(build: str, clip_id: str, state: ClipState) -> None:
    """Atomically writes a clip's state."""
    write_json(state_path(build, clip_id), state.to_dict(), indent=None)


def chain(*parts: str) -> str:
    """A key from upstream keys, parameter fingerprints and versions: 24 hex digits."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]


def files_present(build: str, stage: StageState) -> bool:
    """Whether every file of a stage is there with its recorded size."""
    for path, size in stage.files.values():
        try:
            if os.stat(f"{build}/{path}").st_size != size:
                return False
        except OSError:
            return False
    return True
