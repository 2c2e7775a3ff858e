"""The shards of `gridprep export --layout webdataset` as the manifest of a build.

A shard is a tar file that holds the features of some clips one after the other. Opening reads the heads of
its members, which say where each begins; a feature is then read from its place, so that clips come in any
order, as from a build, and nothing is unpacked.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.errors import BadInput, ManifestError
from manifests.io import SUBSETS, read_json
from manifests.manifest import FeatureRow
from manifests.records import ManifestRow

EXPORT, HEADER, LAYOUT = "export.json", "header.json", "webdataset"
"""Record of an export, the header of its build, and the name of the layout."""
ROW, UNNAMED = "json", "audio"
"""Suffix of the member that holds a clip's row; the feature whose member has a suffix alone."""


def is_sharded(folder: Path) -> bool:
    """Returns whether a folder holds an export to shards that has ended."""
    record = folder / EXPORT
    if not record.is_file():
        return False
    values = read_json(record)
    return isinstance(values, dict) and values.get("layout") == LAYOUT


def read_shards(folder: Path) -> tuple[dict[str, Any], list[FeatureRow]]:
    """Reads the header of the build that was exported, and the rows of its clips.

    Raises:
        ManifestError: a file of the export is absent or damaged, or it is of a version without header.
    """
    header = read_json(folder / HEADER)
    if not isinstance(header, dict):
        raise ManifestError(f"{folder / HEADER} holds no header", "run `gridprep export` again")
    rows: list[FeatureRow] = []
    for index in (folder / f"{subset}.json" for subset in SUBSETS):
        if index.is_file():
            try:
                names = [str(shard["url"]) for shard in read_json(index)["shardlist"]]
            except (KeyError, TypeError):
                raise ManifestError(
                    f"{index} lists no shards", "run `gridprep export` again"
                ) from None
            rows += [row for name in names for row in _rows(folder / name)]
    return header, rows


@dataclass(frozen=True)
class ShardRow(FeatureRow):
    """A row whose features lie in a shard.

    Attributes:
        shard: the tar file.
        places: feature → (first byte, number of bytes) in it.
    """

    shard: Path = Path()
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The row as in a manifest."""
        values = super().to_dict()
        for name in ("shard", "places"):
            del values[name]
        return values

    def content(self, feature: str) -> bytes:
        """See `FeatureRow`."""
        path = self.path(feature)
        start, size = self.places[feature]
        try:
            with open(self.shard, "rb") as file:
                file.seek(start)
                found = file.read(size)
        except OSError as error:
            raise BadInput(f"{self.shard} cannot be read ({error})", "export it again") from None
        if len(found) != size:
            raise BadInput(f"{path} is cut off", "run `gridprep export` again")
        return found


def _rows(shard: Path) -> list[ShardRow]:
    clips: dict[str, dict[str, tarfile.TarInfo]] = {}
    found: list[ShardRow] = []
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                key, _, suffix = member.name.partition(".")
                clips.setdefault(key, {})[suffix] = member
            for key, members in clips.items():
                row = members.pop(ROW, None)
                file = tar.extractfile(row) if row is not None else None
                if file is None:
                    raise ManifestError(f"{shard} has no row of {key}", "export the build again")
                found.append(_row(json.load(file), shard, members))
    except (OSError, ValueError, tarfile.TarError) as error:
        raise ManifestError(f"{shard} cannot be read ({error})", "export the build again") from None
    return found


def _row(values: dict[str, Any], shard: Path, members: dict[str, tarfile.TarInfo]) -> ShardRow:
    paths: dict[str, str] = {}
    places: dict[str, tuple[int, int]] = {}
    for suffix, member in members.items():
        named, dot, _ = suffix.partition(".")
        feature = named if dot else UNNAMED
        paths[feature] = f"{shard.name}/{member.name}"
        places[feature] = (member.offset_data, member.size)
    row = ManifestRow.from_dict({**values, "paths": paths})
    plain = {name: getattr(row, name) for name in row.__dataclass_fields__}
    return ShardRow(**plain, root=shard.parent, shard=shard, places=places)
