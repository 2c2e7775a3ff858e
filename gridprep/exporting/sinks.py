"""Where an export is written: a folder, which appears when it is whole, or an object store."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from manifests.errors import BadInput, MissingDependency
from manifests.folders import UNCOUNTED, check_own
from manifests.io import sync
from manifests.lock import LOCK, held

RECORD = "export.json"
"""Written last; a folder without it is no finished export."""
UNFINISHED = ".exporting"
"""Marks an export to an object store that has not ended."""


STORES = frozenset(
    {"adlfs", "aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google", "s3fs"}
)
"""Libraries of object stores, whose errors are neither `OSError` nor ours."""


class Sink(Protocol):
    """A place for the files of an export, named relative to it with `/`.

    Attributes:
        root: the place as the export's own lists name it, without a slash at the end.
    """

    root: str

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A new file to write bytes into."""

    def copy(self, source: Path, name: str) -> None:
        """Copies a file of the build as it is."""


def write(sink: Sink, name: str, content: bytes | str) -> None:
    """Writes a small file; text is stored in UTF-8."""
    with sink.open(name) as file:
        file.write(content.encode() if isinstance(content, str) else content)


class FolderSink:
    """Writes into a folder on this machine."""

    def __init__(self, folder: Path, root: str) -> None:
        self._folder, self.root = folder, root.rstrip("/")

    def _path(self, name: str) -> Path:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """See `Sink`."""
        with open(self._path(name), "wb") as file:
            yield file

    def copy(self, source: Path, name: str) -> None:
        """See `Sink`; the kernel copies, where it can without reading."""
        shutil.copyfile(source, self._path(name))


class ObjectSink:
    """Writes through fsspec: `s3://`, `gs://`, `memory://` and what else it knows.

    Args:
        files: an fsspec file system.
        base: the path of the export in it.
        root: as in `Sink`.
    """

    def __init__(self, files: Any, base: str, root: str) -> None:
        self._files, self._base, self.root = files, base.rstrip("/"), root.rstrip("/")

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """See `Sink`. The object appears when the block ends, and not at all where it raises."""
        file = self._files.open(f"{self._base}/{name}", "wb")
        try:
            yield file
        except BaseException:
            # Closing would upload what there is; `discard` exists for what is only flushed so far.
            with contextlib.suppress(Exception):
                file.discard()
            raise
        file.close()

    def copy(self, source: Path, name: str) -> None:
        """See `Sink`."""
        with open(source, "rb") as read, self.open(name) as file:
            shutil.copyfileobj(read, file, 1 << 20)


def is_remote(out: str) -> bool:
    """Returns whether a destination is a URL of an object store; `file://` is a folder.

    >>> is_remote("s3://bucket/grid"), is_remote("file:///data/grid"), is_remote("grid")
    (True, False, False)
    """
    return "://" in out and not out.startswith("file://")


def local_path(out: str) -> Path:
    """The folder that a destination names, absolute."""
    return Path(os.path.abspath(out.removeprefix("file://")))


@contextlib.contextmanager
def destination(out: str, record: dict[str, Any], seen_as: str = "") -> Iterator[Sink | None]:
    """The place of an export while it is written; None where the same export is there already.

    A folder is filled under a temporary name beside it and renamed when the block ends, so it is there
    whole or not at all; what a killed run left is removed by the next one. In an object store the
    record is written last, and objects without it are removed by the next run.

    Args:
        out: a folder, or a URL that fsspec knows.
        record: the content of `export.json`; the same record means the same export.
        seen_as: where readers will find the export, if not at `out`.

    Raises:
        BadInput: another export or other files are there.
        Locked: another process exports to the same folder.
        MissingDependency: a URL without fsspec, or without the library of its protocol.
    """
    if is_remote(out):
        with _objects(out, record, seen_as) as sink:
            yield sink
        return
    target = local_path(out)
    if _is_here(str(target), _folder_record(target), record):
        yield None
        return
    check_own(target, (), "an export")
    unfinished = target.parent / f".tmp-export-{target.name}"
    with held(unfinished, "wait for it or choose another --out"):
        for entry in os.scandir(unfinished):
            if entry.name != LOCK:
                _remove(entry)
        sink = FolderSink(unfinished, seen_as or str(target))
        try:
            yield sink
            with sink.open(RECORD) as file:
                file.write(_encoded(record))
                file.flush()
                sync(file.fileno())
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        (unfinished / LOCK).unlink(missing_ok=True)
        for entry in os.scandir(target) if target.is_dir() else ():
            if entry.name.lower() in UNCOUNTED and entry.is_file(follow_symlinks=False):
                os.unlink(entry)  # a file manager's, or a lock that nobody holds
        os.replace(unfinished, target)


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path)
    else:
        os.unlink(entry.path)


def _folder_record(folder: Path) -> dict[str, Any] | None:
    try:
        values = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _is_here(out: str, found: dict[str, Any] | None, record: dict[str, Any]) -> bool:
    """Returns whether this very export is at `out`. Raises `BadInput` where another one is."""
    if found is None:
        return False
    if found == json.loads(json.dumps(record)):
        return True
    other = [name for name in record if found.get(name) != record[name]]
    what = {"manifest_sha256": "another build, or another state of it"}
    raise BadInput(
        f"{out} holds another export ({found.get('layout')}; it differs in "
        f"{', '.join(what.get(name, name) for name in other) or 'what only it says'})",
        "choose an empty --out",
    )


@contextlib.contextmanager
def _objects(out: str, record: dict[str, Any], seen_as: str) -> Iterator[Sink | None]:
    try:
        import fsspec
    except ImportError:
        raise MissingDependency(
            f"--out {out} needs fsspec", "pip install 'facetron-toolkit[cloud]'"
        ) from None
    try:
        files, base = fsspec.core.url_to_fs(out)
    except (ImportError, ValueError) as error:
        raise BadInput(f"--out {out}: {error}", "install that, or give a folder") from None
    base = base.rstrip("/")
    try:
        there = files.find(base) if files.exists(base) else []
        if f"{base}/{RECORD}" in there:
            found = json.loads(files.cat_file(f"{base}/{RECORD}"))
            if _is_here(out, found if isinstance(found, dict) else {}, record):
                yield None
                return
        if there and f"{base}/{UNFINISHED}" not in there:
            raise BadInput(f"{out} is not empty ({there[0]})", "choose an empty --out")
        for path in there:
            files.rm_file(path)
        sink = ObjectSink(files, base, seen_as or out)
        write(sink, UNFINISHED, "An export is being written here.\n")
        yield sink
        write(sink, RECORD, _encoded(record))
        files.rm_file(f"{base}/{UNFINISHED}")
    except Exception as error:
        # No credentials, no region and the like are errors of the store's own library.
        if isinstance(error, OSError) or type(error).__module__.split(".")[0] in STORES:
            raise BadInput(f"--out {out} cannot be written ({error})", "check it") from None
        raise


def _encoded(record: dict[str, Any]) -> bytes:
    text = io.StringIO()
    json.dump(record, text, indent=2, ensure_ascii=False, allow_nan=False)
    return text.getvalue().encode() + b"\n"
