"""The state of each clip in a build folder, and the keys that tell whether its stages are current.

One SQLite file, `.state/clips.sqlite`, with one row per clip: what the source was (path, size, times,
inode, SHA-256), and for each stage its key, its files with size and SHA-256, and its numbers. Only the
main process of a build opens the file, while it holds the folder's lock; workers are sent what is
remembered of their clip and send back what is to be remembered. So the file needs no locks of its own,
which network file systems often lack.

A stage is done when its key is the one expected now and its files are there. Keys hash the source, the
parameters and the versions, chained: a stage's key contains its upstream's.

Before a clip is given to a worker its row is marked as unsure. Should the build be killed then, its files
may be newer than its row, under the very names and sizes that the row gives; the next build therefore
compares the files of unsure clips by their SHA-256.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

from manifests.errors import BadInput, ManifestError
from manifests.io import sha256_file
from manifests.records import ClipFailure, Record

STATE_FOLDER = ".state"
STATE_FILE = "clips.sqlite"
STATE_VERSION = 2


@dataclass(frozen=True, slots=True)
class FileStamp(Record):
    """A source file as it was when it was read.

    Size, times and inode are enough to skip hashing a file that did not change; the hash decides. The
    time of change is among them because the time of modification can be set at will (`touch -r`).
    """

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str

    def is_current(self) -> bool:
        """Whether the file at that path is, as far as its metadata tells, the one that was read."""
        try:
            stat = os.stat(self.path)
        except OSError:
            return False
        return (
            stat.st_size == self.size
            and stat.st_mtime_ns == self.mtime_ns
            and stat.st_ctime_ns == self.ctime_ns
            and stat.st_ino == self.inode
        )


def stamp(path: str) -> FileStamp:
    """Stamps a file, reading it once.

    The metadata are those from before the reading: where the file is replaced meanwhile, the stamp is
    not current and the replacement is noticed.

    Raises `OSError`, also for what is no regular file.
    """
    stat = os.stat(path)
    return FileStamp(
        path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, sha256_file(path)
    )


class Artifact(NamedTuple):
    """A file of a stage: path relative to the build, size in bytes, hex SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(slots=True)
class StageState:
    """A finished stage.

    Attributes:
        key: hash of its inputs and parameters; "" where its files may have been replaced since.
        files: artifact → file.
        data: numbers, flags and words for the manifest row.
    """

    key: str
    files: dict[str, Artifact] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StageState:
        """Inverse of `ClipState.to_dict` for one stage. Raises for anything that is not one."""
        files = {str(name): Artifact(*file) for name, file in values["files"].items()}
        for file in files.values():
            if not (isinstance(file.path, str) and isinstance(file.sha256, str)):
                raise ManifestError(f"{file} is no file of a stage")
            if type(file.size) is not int:
                raise ManifestError(f"{file} has no size")
        key, data = values["key"], values["data"]
        if not (isinstance(key, str) and isinstance(data, dict)):
            raise ManifestError("a stage has no key or no data")
        return cls(key, files, data)


@dataclass(slots=True)
class ClipState:
    """The state of a clip. It is mutable: stages add themselves while a clip is processed.

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
            stages={name: StageState.from_dict(s) for name, s in values["stages"].items()},
            failure=ClipFailure.from_dict(values["failure"]) if values["failure"] else None,
            failure_key=values["failure_key"],
        )


def encode_state(state: ClipState) -> str:
    """A state as text. Raises `ValueError` for numbers that JSON cannot hold (NaN)."""
    return json.dumps(state.to_dict(), allow_nan=False, separators=(",", ":"))


def decode_state(text: str) -> ClipState:
    """Inverse of `encode_state`; what is empty, damaged or of an older version is an empty state, so
    that the clip is done anew."""
    if not text:
        return ClipState()
    try:
        values = json.loads(text)
        if values.get("version") != STATE_VERSION:
            return ClipState()
        return ClipState.from_dict(values)
    except (ValueError, KeyError, TypeError, AttributeError, ManifestError):
        return ClipState()


def safe_id(clip_id: str) -> str:
    """A clip's identifier as it is stored: names that are no UTF-8 are escaped."""
    return clip_id.encode("utf-8", "backslashreplace").decode()


class Remembered(NamedTuple):
    """All that a build remembers of a clip.

    Attributes:
        text: of its state, "" where there is none.
        unsure: whether its files must be compared by content.
        mark, files: as `gridprep.pipeline.finished` makes them of a finished clip, else empty.
        listed: whether the last manifest lists it, as a row or as a failure.
    """

    text: str
    unsure: bool
    mark: bytes
    files: str
    listed: bool


NOTHING = Remembered("", False, b"", "", False)


class StateStore:
    """The states of a build's clips. Open it only while holding the folder's lock; close it after.

    A file that SQLite does not read is put aside as `clips.sqlite.damaged`; all clips are then done
    anew, which gives the same features.

    Args:
        build: the build folder; its `.state` is made if need be.

    Raises:
        BadInput: the folder cannot be written to.
    """

    def __init__(self, build: str | os.PathLike[str]) -> None:
        self._folder = os.path.join(os.fspath(build), STATE_FOLDER)
        os.makedirs(self._folder, exist_ok=True)
        self.path = os.path.join(self._folder, STATE_FILE)
        try:
            self._database = self._connect()
        except sqlite3.DatabaseError:
            with contextlib.suppress(FileNotFoundError):
                os.replace(self.path, f"{self.path}.damaged")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path}-journal")
            with self._told():
                self._database = self._connect()

    def _connect(self) -> sqlite3.Connection:
        if not os.path.exists(self.path):
            self._sweep_older()
        # The build's lock guards the file, so SQLite needs none.
        database = sqlite3.connect(f"file:{quote(self.path)}?nolock=1", uri=True)
        try:
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS clips (clip_id TEXT PRIMARY KEY, state TEXT NOT NULL,"
                " unsure INTEGER NOT NULL DEFAULT 0, listed INTEGER NOT NULL DEFAULT 0)"
                " WITHOUT ROWID"
            )
            database.execute(
                "CREATE TABLE IF NOT EXISTS written (one INTEGER PRIMARY KEY CHECK (one = 1),"
                " digest TEXT NOT NULL, files TEXT NOT NULL)"
            )
            database.execute(
                "CREATE TABLE IF NOT EXISTS finished (clip_id TEXT PRIMARY KEY,"
                " mark BLOB NOT NULL, files TEXT NOT NULL) WITHOUT ROWID"
            )
            ((verdict,),) = database.execute("PRAGMA quick_check(1)").fetchall()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            database.execute("SELECT clip_id, state, unsure, listed FROM clips LIMIT 1").fetchall()
            database.commit()
        except BaseException:
            database.close()
            raise
        return database

    def _sweep_older(self) -> None:
        """Removes the states of earlier versions, one JSON file per clip; their clips are done anew."""
        for entry in os.scandir(self._folder):
            if entry.is_dir(follow_symlinks=False) and entry.name.startswith("s"):
                shutil.rmtree(entry.path, ignore_errors=True)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's errors as one line for the user: a full disk, a folder that is read-only."""
        try:
            yield
        except sqlite3.Error as error:
            raise BadInput(
                f"{self.path} cannot be used ({error})",
                "free space or choose another --out, then run it again",
            ) from None

    def text(self, clip_id: str) -> tuple[str, bool]:
        """(the stored text of a clip or "", whether its files must be compared by content)."""
        with self._told():
            row = self._database.execute(
                "SELECT state, unsure FROM clips WHERE clip_id = ?", (clip_id,)
            ).fetchone()
        return (row[0], bool(row[1])) if row else ("", False)

    def remembered(self, clip_id: str) -> Remembered:
        """Returns all that is remembered of a clip."""
        with self._told():
            row = self._database.execute(
                "SELECT state, unsure, mark, files, listed FROM clips LEFT JOIN finished USING (clip_id)"
                " WHERE clip_id = ?",
                (clip_id,),
            ).fetchone()
        if row is None:
            return NOTHING
        return Remembered(row[0], bool(row[1]), row[2] or b"", row[3] or "", bool(row[4]))

    def set_finished(self, rows: Iterable[tuple[str, bytes, str]]) -> None:
        """Stores (clip, mark, files) of finished clips; see `gridprep.pipeline.finished`."""
        with self._told(), self._database:
            self._database.executemany("REPLACE INTO finished VALUES (?, ?, ?)", rows)

    def get(self, clip_id: str) -> ClipState:
        """The state of a clip; empty where none is stored."""
        return decode_state(self.text(clip_id)[0])

    def put(self, clip_id: str, state: ClipState) -> None:
        """Stores the state of a clip whose files are known to be what it says."""
        self.put_all([(clip_id, state)])

    def put_all(self, states: Iterable[tuple[str, ClipState]]) -> None:
        """Stores several at once, which spares the disk."""
        with self._told(), self._database:
            self._database.executemany(
                "INSERT INTO clips (clip_id, state) VALUES (?, ?) ON CONFLICT (clip_id)"
                " DO UPDATE SET state = excluded.state, unsure = 0",
                ((clip_id, encode_state(state)) for clip_id, state in states),
            )

    def batches(self, size: int) -> Iterator[list[tuple[str, str, int]]]:
        """(clip, its stored text, whether it is unsure) of all clips that have a state, in order."""
        last = ""
        while True:
            with self._told():
                rows = self._database.execute(
                    "SELECT clip_id, state, unsure FROM clips WHERE clip_id > ? AND state <> ''"
                    " ORDER BY clip_id LIMIT ?",
                    (last, size),
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield rows

    def adopt(self, rows: Iterable[tuple[str, str, int]]) -> None:
        """Stores what `batches` of another store gave."""
        with self._told(), self._database:
            self._database.executemany(
                "INSERT INTO clips (clip_id, state, unsure) VALUES (?, ?, ?) ON CONFLICT (clip_id)"
                " DO UPDATE SET state = excluded.state, unsure = excluded.unsure",
                rows,
            )

    def mark_unsure(self, clip_ids: Iterable[str]) -> None:
        """Notes that the files of these clips may be replaced from now on."""
        with self._told(), self._database:
            self._database.executemany(
                "UPDATE clips SET unsure = 1 WHERE clip_id = ?", ((i,) for i in clip_ids)
            )

    def count(self) -> int:
        """How many clips have a state."""
        with self._told():
            ((count,),) = self._database.execute("SELECT count(*) FROM clips WHERE state <> ''")
        return int(count)

    def count_listed(self) -> int:
        """How many clips the last manifest lists, as rows or as failures."""
        with self._told():
            ((count,),) = self._database.execute("SELECT count(*) FROM clips WHERE listed")
        return int(count)

    def is_listed(self, clip_id: str) -> bool:
        """Whether the last manifest lists a clip."""
        with self._told():
            row = self._database.execute(
                "SELECT listed FROM clips WHERE clip_id = ?", (clip_id,)
            ).fetchone()
        return row is not None and bool(row[0])

    def set_listed(self, clip_ids: Iterable[str]) -> None:
        """Notes the clips that the manifest lists now. They may be many, so they are told from those of
        before in a temporary table."""
        with self._told(), self._database:
            self._database.execute("CREATE TEMP TABLE now (clip_id TEXT PRIMARY KEY) WITHOUT ROWID")
            self._database.executemany(
                "INSERT OR IGNORE INTO now VALUES (?)", ((i,) for i in clip_ids)
            )
            self._database.execute(
                "UPDATE clips SET listed = 0"
                " WHERE listed AND clip_id NOT IN (SELECT clip_id FROM now)"
            )
            self._database.execute(
                "INSERT INTO clips (clip_id, state, listed) SELECT clip_id, '', 1 FROM now WHERE true"
                " ON CONFLICT (clip_id) DO UPDATE SET listed = 1 WHERE NOT listed"
            )
            self._database.execute("DROP TABLE now")

    def written(self) -> tuple[str, str]:
        """(digest of what the lists were written from, digest of their files), or "" and ""; see
        `gridprep.pipeline.unchanged`."""
        with self._told():
            row = self._database.execute("SELECT digest, files FROM written").fetchone()
        return (row[0], row[1]) if row else ("", "")

    def set_written(self, digest: str, files: str) -> None:
        """Replaces what `written` returns."""
        with self._told(), self._database:
            self._database.execute("REPLACE INTO written VALUES (1, ?, ?)", (digest, files))

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> StateStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def chain(*parts: str) -> str:
    """A key from upstream keys, parameter fingerprints and versions: 24 hex digits."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]


def files_present(build: str, stage: StageState, content: bool = False) -> bool:
    """Whether every file of a stage is there with its recorded size; with `content` also with its
    recorded SHA-256, which reads it."""
    for path, size, sha256 in stage.files.values():
        full = f"{build}/{path}"
        try:
            if os.stat(full).st_size != size:
                return False
            if content and sha256_file(full) != sha256:
                return False
        except OSError:
            return False
    return True
