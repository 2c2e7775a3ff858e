"""WebDataset: tar files whose neighboring members of one name are one clip.

    train-000000.tar …  train.json
      s1-bbaf2n.json  s1-bbaf2n.wav  s1-bbaf2n.lips.avi  s1-bbaf2n.face.jpg  s1-bbaf2n.mel.npy  …
    header.json

`KEY.json` is the row of the manifest without its paths, `header.json` the manifest's first line: with them
`manifests.webdataset` reads the export as it reads a build. `SUBSET.json` is the index that the library
`wids` reads (`"__kind__": "wids-shard-index-v1"`), with clips and bytes of each shard. Keys hold no
dots, since all behind the first is the suffix (`base_plus_ext` in webdataset/tariterators.py).
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from typing import IO, Any

from gridprep.exporting.base import UNSAFE, ExportJob, ids, whole_number
from gridprep.exporting.sinks import write as write_file
from manifests.console import Progress
from manifests.manifest import FeatureRow
from manifests.webdataset import HEADER, UNNAMED

LONGEST_KEY = 80
"""A tar file of the plain kind, which every reader knows, holds names of up to 100 bytes, suffix included."""


def write(job: ExportJob) -> None:
    """Writes the layout, shard by shard, with nothing in memory but a file's buffer."""
    names = ids(job.clips, UNSAFE + ".", most_bytes=LONGEST_KEY)
    write_file(job.sink, HEADER, json.dumps(job.manifest.header, ensure_ascii=False, indent=2))
    per_shard = whole_number(job.options, "clips_per_shard", 1000)
    with Progress(len(job.clips), "export") as progress:
        for subset, rows in job.subsets():
            index = []
            for number, start in enumerate(range(0, len(rows), per_shard)):
                chosen = rows[start : start + per_shard]
                name = f"{subset}-{number:06d}.tar"
                with job.sink.open(name) as file:
                    counted = _Counted(file)
                    _shard(counted, chosen, names, progress)
                index.append({"url": name, "nsamples": len(chosen), "filesize": counted.bytes})
            write_file(job.sink, f"{subset}.json", _index(f"{job.name} {subset}", index))


def _index(name: str, shards: list[dict[str, Any]]) -> str:
    values = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": name,
        "shardlist": shards,
    }
    return json.dumps(values, indent=2) + "\n"


class _Counted(io.RawIOBase):
    """Counts the bytes that a tar file writes; object stores do not say where they are."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.bytes = file, 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._file.write(data)
        self.bytes += len(data)
        return len(data)


def _shard(
    file: _Counted, rows: Sequence[FeatureRow], names: dict[str, str], progress: Progress
) -> None:
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as shard:
        for row in rows:
            key = names[row.clip_id]
            values = row.to_dict()
            for field in ("paths", "extra_mels", "sha256"):
                values.pop(field)
            text = json.dumps(values, ensure_ascii=False)
            content = text.encode("utf-8", "backslashreplace")  # a source's name need not be UTF-8
            shard.addfile(_member(f"{key}.json", len(content)), io.BytesIO(content))
            for feature in sorted(row.paths):
                path = row.path(feature)
                # As readers of speech expect: `KEY.wav`.
                infix = "" if feature == UNNAMED else f".{feature}"
                with open(path, "rb") as source:
                    size = source.seek(0, io.SEEK_END)
                    source.seek(0)
                    shard.addfile(_member(f"{key}{infix}{path.suffix}", size), source)
            progress.update(1)


def _member(name: str, size: int) -> tarfile.TarInfo:
    """A member that says nothing of this machine and this day: the same build, the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member
