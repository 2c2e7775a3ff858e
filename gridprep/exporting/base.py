"""What a layout is given, and what layouts share: names of clips, copies, work in threads."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from gridprep.corpora.names import shortened
from gridprep.exporting.sinks import Sink
from manifests.console import Progress
from manifests.errors import BadInput
from manifests.io import SUBSETS
from manifests.manifest import FeatureRow, Manifest

T = TypeVar("T")
UNSAFE = r"\s/\\"
"""What a name in a list or of a file must not hold."""


@dataclass(frozen=True)
class ExportJob:
    """One export, as a layout sees it.

    Attributes:
        manifest: the build, all of it.
        clips: the clips to write, those of one subset or all, in the order of the manifest.
        sink: where to write.
        name: name of the data set, for layouts that have one in their file names.
        options: options of the layout by name.
        jobs: threads for layouts that encode.
        notes: sentences for the user about what the layout could not hold; a layout adds to it.
    """

    manifest: Manifest
    clips: Sequence[FeatureRow]
    sink: Sink
    name: str
    options: Mapping[str, str]
    jobs: int = 1
    notes: list[str] = field(default_factory=list)

    def seen(self, name: str) -> str:
        """A file of the export as its lists name it: absolute, or a URL."""
        return f"{self.sink.root}/{name}"

    def subsets(self) -> Iterator[tuple[str, list[FeatureRow]]]:
        """(subset, its clips) of each subset that has any."""
        for subset in SUBSETS:
            rows = [row for row in self.clips if row.subset == subset]
            if rows:
                yield subset, rows

    def copy(self, row: FeatureRow, feature: str, name: str) -> None:
        """Copies a feature of a clip as it is stored."""
        self.sink.copy(row.path(feature), name)

    def each(self, function: Callable[[FeatureRow], T]) -> Iterator[tuple[FeatureRow, T]]:
        """(clip, what `function` made of it) in the order of the clips, worked on by `jobs` threads
        that are at most a few clips ahead, with progress."""
        with (
            ThreadPoolExecutor(self.jobs) as pool,
            Progress(len(self.clips), "export") as progress,
        ):
            ahead: deque[tuple[FeatureRow, Future[T]]] = deque()
            rows = iter(self.clips)
            try:
                for row in rows:
                    ahead.append((row, pool.submit(function, row)))
                    if len(ahead) > 2 * self.jobs:
                        row, future = ahead.popleft()
                        yield row, future.result()
                        progress.update(1)
                while ahead:
                    row, future = ahead.popleft()
                    yield row, future.result()
                    progress.update(1)
            finally:
                for _, future in ahead:
                    future.cancel()


def ids(
    rows: Iterable[FeatureRow],
    forbidden: str = UNSAFE,
    separator: str = "-",
    most_bytes: int = 255,
) -> dict[str, str]:
    """Clip id → its name in a layout: speaker, separator, stem, with `_` for signs that it cannot hold.

    Args:
        forbidden: what a name must not hold, as the inside of a regular expression's brackets.
        most_bytes: the longest name, in UTF-8.

    Raises:
        BadInput: two clips would get one name.
    """
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for row in rows:
        name = shortened(safe(f"{row.speaker}{separator}{row.stem}", forbidden), most_bytes)
        if name in taken:
            raise BadInput(
                f"{taken[name]} and {row.clip_id} would both be {name}", "rename one of the clips"
            )
        taken[name] = row.clip_id
        names[row.clip_id] = name
    return names


def safe(text: str, forbidden: str = UNSAFE) -> str:
    """A name with `_` for signs that a layout cannot hold."""
    return re.sub(f"[{forbidden}]", "_", text)


def duration_s(row: FeatureRow) -> float:
    """The length of a clip's sound in seconds."""
    return row.audio_samples / row.sample_rate_hz


def whole_number(options: Mapping[str, str], name: str, default: int) -> int:
    """The value of an option that is a number of at least 1. Raises `BadInput`."""
    text = options.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise BadInput(f"--option {name}={text}", "give a whole number of at least 1")
    return int(text)
