"""Names that files write otherwise than the corpus does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from evaluation.importing.patterns import Named
from manifests.errors import BadInput
from manifests.tables import read_table, speaker_name, stem_name


def _as_found(written: str) -> set[str]:
    """A speaker or stem as patterns give them (`s01` is found as `s1`)."""
    speaker, slash, stem = written.partition("/")
    if slash:
        return {f"{speaker_name(speaker)}/{stem_name(stem)}"}
    return {speaker_name(written), stem_name(written)} - {""}


@dataclass(frozen=True)
class Aliases:
    """
    Attributes:
        meant: name as written → name as meant; a speaker, a stem, or both as `speaker/stem`.
        used: which of them matched a file so far.
    """

    meant: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def read(self, named: Named) -> Named:
        """Returns the names that are meant: of the whole clip where there is such a line, else of its
        parts."""
        whole = self._find(f"{named.speaker}/{named.stem}")
        if whole:
            speaker, _, stem = whole.partition("/")
            return replace(named, speaker=speaker, stem=stem)
        parts = (named.speaker, named.stem, named.voice)
        return Named(*(self._find(part) or part for part in parts))

    def _find(self, name: str) -> str:
        """Returns what a name that a pattern found stands for, "" for itself."""
        written = self._written.get(name, "")
        if written:
            self.used.add(written)
        return self.meant.get(written, "")

    @cached_property
    def _written(self) -> dict[str, str]:
        """Name as patterns find it → as the table writes it."""
        return {found: written for written in self.meant for found in _as_found(written)}

    @property
    def unused(self) -> list[str]:
        return [name for name in self.meant if name not in self.used]


def read_aliases(path: Path | None) -> Aliases:
    """Reads a table with the columns written and meant; None is no table.

    Raises:
        BadInput: a table that cannot be read, a name twice, an unusable one, or a speaker or stem that
            stands for a whole clip.
    """
    meant: dict[str, str] = {}
    for line in () if path is None else read_table(path, ("written", "meant")).lines:
        written, name = line["written"].strip(), line["meant"].strip()
        where = f"{path}, line {line.number}"
        parts = name.split("/")
        if not written or not all(Named("", part).is_safe for part in parts):
            raise BadInput(
                f"{where}: {name!r} is not usable as a name",
                "use letters, digits, dots, dashes and underscores",
            )
        if len(parts) != len(written.split("/")) or len(parts) > 2:
            raise BadInput(
                f"{where}: {written!r} and {name!r} do not name the same kind of thing",
                "write a speaker, a stem, or speaker/stem on both sides",
            )
        if written in meant:
            raise BadInput(f"{where} names {written} again", "remove a line")
        meant[written] = name
    return Aliases(meant)
