"""The clips of a corpus in a temporary file: a million of them take some twenty bytes of memory each.

Before anything is decoded, the files of a corpus are paired, put in order and chosen from. What is known
of them goes into a file without a name, which is gone with this process however it ends; in memory are its
places in that file, and the clips of the one speaker who is put in order. The file takes some 0.3 kB a
clip of the folder for temporary files (`TMPDIR`).
"""

from __future__ import annotations

import dataclasses
import operator
import pickle
import tempfile
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from manifests.errors import BadInput
from manifests.records import Clip

BUFFER_BYTES = 1 << 16

_FIELDS = tuple(field.name for field in dataclasses.fields(Clip))
_values_of = operator.attrgetter(*_FIELDS)


class _Records:
    """Tuples of plain values in a temporary file: first all are appended, then they are read."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=BUFFER_BYTES)  # noqa: SIM115
        self._starts = array("Q", [0])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def append(self, values: tuple[Any, ...]) -> None:
        """Raises `BadInput` where the temporary folder is full."""
        try:
            size = self._file.write(pickle.dumps(values, pickle.HIGHEST_PROTOCOL))
        except OSError as error:
            raise _no_room(error) from None
        self._starts.append(self._starts[-1] + size)

    def read(self, number: int) -> Any:
        """The tuple that was appended as that number."""
        start = self._starts[number]
        try:
            self._file.seek(start)
        except OSError as error:  # what was still to be written
            raise _no_room(error) from None
        return pickle.loads(self._file.read(self._starts[number + 1] - start))


def _no_room(error: OSError) -> BadInput:
    return BadInput(
        f"the list of the corpus's files does not fit into {tempfile.gettempdir()} ({error.strerror})",
        "free space there, or name another folder by TMPDIR",
    )


class Grouped:
    """Tuples of plain values by group, in a temporary file.

    >>> files = Grouped()
    >>> files.add("s2", ("b", 1)), files.add("s1", ("a", 2)), files.add("s2", ("c", 3))
    (None, None, None)
    >>> [(group, list(files.of(group))) for group in sorted(files.groups())]
    [('s1', [('a', 2)]), ('s2', [('b', 1), ('c', 3)])]
    """

    def __init__(self) -> None:
        self._records = _Records()
        self._numbers: defaultdict[str, array[int]] = defaultdict(lambda: array("I"))

    def add(self, group: str, values: tuple[Any, ...]) -> None:
        """Adds a tuple to a group. None may be added after one was read."""
        self._numbers[group].append(len(self._records))
        self._records.append(values)

    def groups(self) -> Iterable[str]:
        """Returns the names of the groups."""
        return self._numbers.keys()

    def of(self, group: str) -> Iterator[Any]:
        """The tuples of a group, in the order in which they were added."""
        return map(self._records.read, self._numbers[group])


class UnorderedClips:
    """Clips as they are met on a walk, to be read speaker by speaker."""

    def __init__(self, clips: Iterable[Clip] = ()) -> None:
        self._by_speaker = Grouped()
        self._count = 0
        for clip in clips:
            self.append(clip)

    def __len__(self) -> int:
        return self._count

    def append(self, clip: Clip) -> None:
        """Adds a clip. None may be added after one was read."""
        self._by_speaker.add(clip.speaker, _values_of(clip))
        self._count += 1

    def speakers(self) -> Iterable[str]:
        """Returns whose clips there are."""
        return self._by_speaker.groups()

    def of(self, speaker: str) -> Iterator[Clip]:
        """The clips of a speaker, in the order in which they were met."""
        return (Clip(*values) for values in self._by_speaker.of(speaker))


class StoredClips(Sequence[Clip]):
    """Clips in order, read from their file when they are asked for.

    Args:
        records: where they lie.
        places: which records; all where it is not given.
    """

    def __init__(self, records: _Records, places: array[int] | None = None) -> None:
        self._records = records
        self.places = array("I", range(len(records))) if places is None else places

    @classmethod
    def of(cls, clips: Iterable[Clip]) -> StoredClips:
        """Stores clips in the given order."""
        records = _Records()
        for clip in clips:
            records.append(_values_of(clip))
        return cls(records)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Clip]:
        read = self._records.read
        return (Clip(*read(place)) for place in self.places)

    @overload
    def __getitem__(self, position: int) -> Clip: ...
    @overload
    def __getitem__(self, position: slice) -> StoredClips: ...
    def __getitem__(self, position: int | slice) -> Clip | StoredClips:
        if isinstance(position, slice):
            return StoredClips(self._records, self.places[position])
        return Clip(*self._records.read(self.places[position]))

    def names(self) -> Iterator[tuple[str, str]]:
        """(speaker, stem) of each clip, which takes a third of the time of reading the clips."""
        read = self._records.read
        return (read(place)[:2] for place in self.places)

    def ids(self) -> Iterator[str]:
        """`Clip.clip_id` of each clip."""
        return (f"{speaker}/{stem}" for speaker, stem in self.names())

    def speakers(self) -> Iterator[str]:
        """Speaker of each clip."""
        return (speaker for speaker, _ in self.names())

    def taken(self, positions: Iterable[int]) -> StoredClips:
        """The clips at some positions."""
        return StoredClips(self._records, array("I", (self.places[i] for i in positions)))
