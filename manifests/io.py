"""Files of the contract: atomic writes, JSONL with a schema version, and `validate`.

A JSONL file starts with a header line `{"schema": "<kind>", "schema_version": 1, ...}` so that a
reader knows what it holds before it reads a row.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from manifests.errors import ManifestError, ToolkitError
from manifests.mediafile import kind_of_file
from manifests.records import SCHEMA_VERSION, ManifestRow, Record
from manifests.specs import VIDEO_FPS, MelSpec

T = TypeVar("T", bound=Record)
SUBSETS = ("train", "val", "test")
TEMPORARY = ".tmp-"
"""Prefix of the names of unfinished files."""
UNSUPPORTED = frozenset(
    (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY, errno.ENOLCK)
)
"""Error numbers of file systems for an optional service (locks, flushing) that they lack."""


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `target`; on success it is renamed over `target`, on any
    error (Ctrl-C and a full disk included) it is removed and `target` is as it was.

    The temporary name keeps the suffix, since encoders choose a container by it. A file left by
    kill -9 starts with `.tmp-` and is swept by the next build.
    """
    path, temporary = os.fspath(target), ""
    try:
        temporary, descriptor = _new_file(path)
        os.close(descriptor)
        yield Path(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        _clean_up(temporary, path, error)
        raise


def write_bytes(target: str | os.PathLike[str], data: bytes) -> None:
    """Atomically writes a file at once, as `atomic_path` does with less to do: six small files a clip are
    felt."""
    path, temporary = os.fspath(target), ""
    try:
        temporary, descriptor = _new_file(path)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException as error:
        _clean_up(temporary, path, error)
        raise


def _clean_up(temporary: str, target: str, error: BaseException) -> None:
    """Removes the temporary file, and has an error of the system name the file that was to be written: a full
    disk names none, and nobody knows the temporary one."""
    if temporary:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    if isinstance(error, OSError) and (
        error.filename is None or TEMPORARY in os.fspath(error.filename)
    ):
        try:
            error.filename = target
        except AttributeError:  # PyAV's errors cannot be changed
            raise OSError(error.errno, error.strerror, target) from None


def _new_file(target: str) -> tuple[str, int]:
    """Makes an empty file beside `target` that nobody else has, readable by whom the umask lets read it, and
    their folder where there is none: (its path, a descriptor to write to it).

    `tempfile.mkstemp` makes 0600, which wants a `chmod` afterwards that some network file systems
    refuse.
    """
    folder, name = os.path.split(target)
    suffix = os.path.splitext(name)[1]
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    folder_made = False
    while True:
        path = os.path.join(folder, f"{TEMPORARY}{secrets.token_hex(6)}{suffix}")
        try:
            return path, os.open(path, flags, 0o666)
        except FileExistsError:
            continue
        except FileNotFoundError:
            if folder_made:  # by a file system that takes no such name
                raise
            os.makedirs(folder, exist_ok=True)
            folder_made = True


def check_writable(target: str | os.PathLike[str]) -> None:
    """Raises `OSError` naming `target` where it could not be written: its folder cannot be made,
    takes no new file or lets none be renamed. Leaves nothing behind but the folder."""
    path = os.fspath(target)
    try:
        (first, a), (second, b) = _new_file(path), _new_file(path)
        os.close(a)
        os.close(b)
        os.replace(first, second)
        os.unlink(second)
    except OSError as error:
        error.filename = path  # nobody knows the temporary names
        raise


@contextlib.contextmanager
def atomic_open(target: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Like `open(target, mode)` for writing, but through `atomic_path` and flushed to disk."""
    with atomic_path(target) as temporary:
        # File names may hold bytes that are no UTF-8; they are escaped, which JSON reads back.
        text = (
            {}
            if "b" in mode
            else {"encoding": "utf-8", "newline": "", "errors": "backslashreplace"}
        )
        with open(temporary, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            sync(file.fileno())


def sync(descriptor: int) -> None:
    """Flushes a file to disk, where its file system can (special ones answer that they cannot)."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Atomically writes a text as UTF-8, its line ends as they are."""
    with atomic_open(target) as file:
        file.write(text)


def write_json(target: str | os.PathLike[str], value: Any, indent: int | None = 2) -> None:
    """Atomically writes JSON; NaN is refused, since no other reader of JSON knows it."""
    with atomic_open(target) as file:
        json.dump(value, file, indent=indent, allow_nan=False, ensure_ascii=False)
        file.write("\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads JSON. Raises `ManifestError` that names the file when absent or damaged."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise ManifestError(f"{path} does not exist", "check the path") from None
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path} cannot be read as JSON ({error})", "write it again") from None


def write_jsonl(
    target: str | os.PathLike[str], kind: str, records: Iterable[Record], **header: Any
) -> int:
    """Atomically writes a header and one record a line; returns the number of records."""
    count = 0
    with atomic_open(target) as file:
        head = {"schema": kind, "schema_version": SCHEMA_VERSION, **header}
        file.write(json.dumps(head, ensure_ascii=False, allow_nan=False) + "\n")
        for record in records:
            file.write(json.dumps(record.to_dict(), ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


@contextlib.contextmanager
def open_jsonl(
    path: str | os.PathLike[str], kind: str, record_type: type[T]
) -> Iterator[tuple[dict[str, Any], Iterator[tuple[int, T]], IO[bytes]]]:
    """Opens what `write_jsonl` wrote: (header, records one by one, each with the offset of its line in
    bytes, the open file). One line is in memory at a time.

    Raises:
        ManifestError: another kind, a newer schema or a damaged line; file and line are named.
    """
    with _opened(path) as file:
        lines = _values(path, file)
        first = next(lines, None)
        if first is None:
            raise ManifestError(f"{path} is empty", "write the file again")
        _check_header(path, kind, first[2])
        yield first[2], _records(path, lines, record_type), file


def _opened(path: str | os.PathLike[str]) -> IO[bytes]:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise ManifestError(f"{path} does not exist", "run `gridprep build` first") from None
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error})", "check the file") from None


def _values(
    path: str | os.PathLike[str], file: IO[bytes]
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(number, offset in bytes, object) of every line."""
    offset = 0
    numbered = enumerate(file, 1)
    while True:
        try:
            found = next(numbered, None)
            if found is None:
                return
            number, line = found
            text = line.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{path} cannot be read ({error})", "check the file") from None
        try:
            values = json.loads(text)
            if not isinstance(values, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise ManifestError(f"{path}, line {number}: {error}", "write the file again") from None
        yield number, offset, values
        offset += len(line)


def _records(
    path: str | os.PathLike[str],
    lines: Iterable[tuple[int, int, dict[str, Any]]],
    record_type: type[T],
) -> Iterator[tuple[int, T]]:
    for number, offset, values in lines:
        try:
            record = record_type.from_dict(values)
        except (ToolkitError, TypeError) as error:
            raise ManifestError(f"{path}, line {number}: {error}", "write the file again") from None
        yield offset, record


def read_jsonl(
    path: str | os.PathLike[str], kind: str, record_type: type[T]
) -> tuple[dict[str, Any], list[T]]:
    """Reads what `write_jsonl` wrote: (header, records). `open_jsonl` reads one by one.

    Raises `ManifestError` naming file and line for another kind, a newer schema or a damaged line.
    """
    with open_jsonl(path, kind, record_type) as (header, records, _):
        return header, [record for _, record in records]


def _check_header(path: str | os.PathLike[str], kind: str, header: dict[str, Any]) -> None:
    if header.get("schema") != kind:
        raise ManifestError(
            f"{path} holds {header.get('schema', 'no schema line')!s}, not {kind}", "check the path"
        )
    version = header.get("schema_version", 0)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise ManifestError(
            f"{path} has schema version {version!r}, this version reads up to {SCHEMA_VERSION}",
            "update the toolkit",
        )


def read_manifest(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[ManifestRow]]:
    """Header and rows of `manifest.jsonl`; a folder stands for the manifest inside it."""
    path = Path(path)
    if path.is_dir():
        path = path / "manifest.jsonl"
    return read_jsonl(path, "manifest", ManifestRow)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file, read in 1 MiB pieces.

    Raises `OSError` where it cannot be read or is no regular file: a pipe would never end.
    """
    if kind := kind_of_file(path):
        raise OSError(errno.EINVAL, f"is {kind}, not a file", os.fspath(path))
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def check_row(row: ManifestRow, mel: MelSpec = MelSpec()) -> list[str]:
    """Checks the physics of one row; returns a list of violations (empty for a valid row).

    A video frame ↔ 640 samples at 16 kHz ↔ 2 mel frames: 40 ms each; words inside the clip, in order,
    without overlap, and spelling the sentence; frames agreeing with seconds. How many frames a clip of
    a corpus must have is said by the corpus, and checked when the clip is decoded.

    Args:
        mel: spec of the build's mel (other presets have other hops).
    """
    complaints = []
    seconds = row.video_frames / VIDEO_FPS
    if row.video_frames < 1:
        complaints.append(f"{row.video_frames} video frames")
    samples = round(seconds * row.sample_rate_hz)
    if row.audio_samples != samples:
        complaints.append(f"{row.audio_samples} samples, not {samples} at {row.sample_rate_hz} Hz")
    mel_frames = mel.frames(round(seconds * mel.sample_rate_hz))
    if row.mel_frames != mel_frames:
        complaints.append(f"{row.mel_frames} mel frames, not {mel_frames}")
    if not 0 <= row.samples_added <= row.audio_samples:
        complaints.append(f"{row.samples_added} samples added of {row.audio_samples}")
    if row.subset not in SUBSETS:
        complaints.append(f"subset {row.subset!r}")
    if row.gender not in ("male", "female", ""):
        complaints.append(f"gender {row.gender!r}")
    if row.words and " ".join(w.word for w in row.words) != row.sentence:
        complaints.append(f"words do not spell {row.sentence!r}")
    previous_end_s = 0.0
    for word in row.words:
        if not previous_end_s - 1e-9 <= word.start_s < word.end_s <= seconds + 1e-9:
            complaints.append(f"word {word.word!r} at {word.start_s}–{word.end_s} s")
        if word.start_frame != math.floor(word.start_s * VIDEO_FPS + 1e-6) or (
            word.end_frame != math.ceil(word.end_s * VIDEO_FPS - 1e-6)
        ):
            complaints.append(f"word {word.word!r}: frames disagree with seconds")
        previous_end_s = word.end_s
    for name, path in {**row.paths, **row.extra_mels}.items():
        if path.startswith("/") or "\\" in path or ".." in path.split("/"):
            complaints.append(f"path of {name} is not relative: {path}")
    return complaints


def validate(
    rows: Iterable[ManifestRow],
    root: str | os.PathLike[str] | None = None,
    mel: MelSpec = MelSpec(),
) -> None:
    """Raises `ManifestError` naming the first clips that break the contract.

    Args:
        rows: manifest rows.
        root: folder of the manifest; when given, every artifact must exist there and not be empty.
        mel: as in `check_row`.
    """
    complaints: list[str] = []
    seen: set[str] = set()
    for row in rows:
        found = check_row(row, mel)
        if row.clip_id in seen:
            found.append("listed twice")
        seen.add(row.clip_id)
        if root is not None:
            for name, path in {**row.paths, **row.extra_mels}.items():
                try:
                    if os.path.getsize(os.path.join(root, path)) == 0:
                        found.append(f"{name} is empty: {path}")
                except OSError:
                    found.append(f"{name} is missing: {path}")
        complaints += [f"{row.clip_id}: {c}" for c in found]
    if complaints:
        shown = "; ".join(complaints[:5])
        more = f" (and {len(complaints) - 5} more)" if len(complaints) > 5 else ""
        raise ManifestError(f"{shown}{more}", "rebuild these clips")
