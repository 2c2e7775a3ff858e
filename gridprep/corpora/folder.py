"""Videos of your own: a folder of them, or a list that says who speaks and what.

    my_videos/anna/hello.mp4            speaker anna, clip hello
    my_videos/clips.csv                 video[,speaker,text,start_s,end_s,gender,subset]
    my_videos/clips.jsonl               the same, an object per line

The list may also lie elsewhere and be given itself (`--corpus list.csv`); its paths are relative to it.
A row with `start_s` and `end_s` is a part of its video; the same video may be listed often. Where no
speaker is given, the first folder of the path is the speaker, or the name of the whole folder. This
layout is the toolkit's own; `clips.csv` may also be called `metadata.csv`, as in folders of Hugging Face's
`datasets` ("VideoFolder"), with `file_name` for `video` and `transcription` for `text`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gridprep.corpora.base import (
    OPEN_SUFFIXES,
    Corpus,
    Recipe,
    failed,
    no_video,
    ordered,
    require_folder,
    walk,
)
from gridprep.corpora.names import safe_name
from gridprep.corpora.stored_clips import UnorderedClips
from manifests.errors import BadInput
from manifests.io import SUBSETS
from manifests.mediafile import kind_of_file
from manifests.records import Clip, ClipFailure
from manifests.tables import read_table

LISTS = ("clips.csv", "clips.jsonl", "metadata.csv", "metadata.jsonl")
"""Names under which a list inside a folder is found."""

LIST_SUFFIXES = (".csv", ".tsv", ".jsonl")
OPTIONAL = ("speaker", "text", "start_s", "end_s", "gender", "subset")
_OTHER_NAMES = {"file_name": "video", "transcription": "text", "talker": "speaker"}
_GENDERS = {
    **dict.fromkeys(("male", "m", "man"), "male"),
    **dict.fromkeys(("female", "f", "w", "woman"), "female"),
    "": "",
}
_SUBSETS = {**{s: s for s in (*SUBSETS, "")}, "valid": "val", "validation": "val", "dev": "val"}


@dataclass(frozen=True)
class Row:
    """A row of a list: its line in the file, and its cells."""

    number: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "").strip()


class _BadRow(ValueError):
    """A row that cannot be a clip; the message says why."""


@dataclass(frozen=True)
class FolderRecipe(Recipe):
    """See the module."""

    def looks_like(self, root: str, names: Sequence[str]) -> bool:
        """Returns whether the path is a list, or a folder with one in it."""
        is_list = os.path.isfile(root) and root.lower().endswith(LIST_SUFFIXES)
        return is_list or any(name in LISTS for name in names)

    def find(self, root: str) -> Corpus:
        """The listed clips, or every video where there is no list."""
        if os.path.isfile(root):
            if not root.lower().endswith(LIST_SUFFIXES):
                raise BadInput(
                    f"{root} is neither a folder nor a list of videos",
                    f"give a folder, or a list ending in {', '.join(LIST_SUFFIXES)}",
                )
            return _listed(os.path.dirname(root), root, look_around=False)
        require_folder(root, "your videos")
        lists = [name for name in LISTS if os.path.isfile(os.path.join(root, name))]
        if len(lists) > 1:
            raise BadInput(
                f"{root} holds {' and '.join(lists)}", "keep one of them, or give it as --corpus"
            )
        if lists:
            return _listed(root, os.path.join(root, lists[0]), look_around=True)
        return _walked(root)


def _walked(root: str) -> Corpus:
    clips = UnorderedClips()
    failures: list[ClipFailure] = []
    junk = 0
    archives: list[str] = []
    for entry in walk(root):
        junk += entry.junk
        if entry.junk or entry.name.startswith("."):
            continue
        if entry.name.lower().endswith(".zip"):
            archives.append(entry.relative)
        if not entry.is_video:
            continue
        clip = Clip(*_names(root, entry.relative), entry.path)
        if entry.plain:
            clips.append(clip)
        else:
            failures.append(
                failed(clip, "not_a_file", f"{entry.relative}: a pipe, a socket or a device")
            )
    if not clips and not failures:
        raise no_video(root, archives, OPEN_SUFFIXES)
    return ordered(root, clips, failures, junk_files=junk, archives=tuple(archives))


def _names(root: str, relative: str) -> tuple[str, str]:
    """(speaker, stem) of a video by its path below the root; by its last folder where it lies elsewhere."""
    base = os.path.splitext(relative)[0]
    if base.startswith("../"):
        base = "/".join(base.removeprefix("../").split("/")[-2:])
    folder, slash, rest = base.partition("/")
    if not slash or folder == "..":
        return safe_name(os.path.basename(root.rstrip("/")) or "videos"), safe_name(base)
    return safe_name(folder), safe_name(rest.replace("/", "__"))


def _listed(root: str, path: str, look_around: bool) -> Corpus:
    """The clips of a list.

    Args:
        look_around: whether to look for videos below `root` that the list does not name.
    """
    shown = os.path.basename(path)
    clips = UnorderedClips()
    failures: list[ClipFailure] = []
    named: set[str] = set()
    lines: dict[str, int] = {}
    for row in _rows(path):
        video = os.path.normpath(os.path.join(root, row["video"]))
        named.add(os.path.realpath(video))
        speaker, stem = _names(root, os.path.relpath(video, root))
        speaker = safe_name(row["speaker"]) if row["speaker"] else speaker
        clip = Clip(speaker, stem, video)
        try:
            clip = _clip(row, speaker, stem, video)
        except _BadRow as error:
            failures.append(failed(clip, "bad_row", f"{shown}, line {row.number}: {error}"))
            continue
        where = f"{shown}, line {row.number}: {row['video']}"
        if not os.path.exists(video):
            failures.append(failed(clip, "absent", f"{where} does not exist"))
        elif kind := kind_of_file(video):
            failures.append(failed(clip, "not_a_file", f"{where} is {kind}"))
        elif (first := lines.setdefault(clip.clip_id, row.number)) != row.number:
            remedy = "leave one of them out, or name another speaker or start_s"
            detail = f"{where} is {clip.clip_id}, as line {first} is: {remedy}"
            failures.append(failed(clip, "same_name", detail))
        else:
            clips.append(clip)
    if not clips and not failures:
        raise BadInput(f"{path} lists no video", "fill in the column video")
    unlisted: tuple[str, ...] = ()
    if look_around:
        unlisted = tuple(
            entry.relative
            for entry in walk(root)
            if entry.is_video and not entry.junk and os.path.realpath(entry.path) not in named
        )
    return ordered(root, clips, failures, unlisted=unlisted)


def _clip(row: Row, speaker: str, stem: str, video: str) -> Clip:
    if not row["video"]:
        raise _BadRow("the cell video is empty")
    start_s, end_s = _seconds(row, "start_s"), _seconds(row, "end_s")
    if row["start_s"] and not row["end_s"]:
        raise _BadRow("start_s is given without end_s")
    if row["end_s"] and end_s <= start_s:
        raise _BadRow(f"end_s {row['end_s']} is not after start_s {row['start_s'] or 0}")
    gender = _GENDERS.get(row["gender"].lower())
    if gender is None:
        raise _BadRow(f"gender {row['gender']!r} is neither male nor female nor empty")
    subset = _SUBSETS.get(row["subset"].lower())
    if subset is None:
        raise _BadRow(f"subset {row['subset']!r} is none of {', '.join(SUBSETS)}")
    return Clip(
        speaker,
        part_stem(stem, start_s) if end_s else stem,
        video,
        start_s=start_s,
        end_s=end_s,
        transcript=row["text"],
        gender=gender,
        subset=subset,
    )


def part_stem(stem: str, start_s: float) -> str:
    """The name of the part of a video that starts at a time: the milliseconds are appended, so that
    further rows of the list change no name."""
    return f"{stem}_{round(start_s * 1000):07d}"


def _seconds(row: Row, column: str) -> float:
    text = row[column] or "0"
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise _BadRow(f"{column} {text!r} is no time in seconds")
    return value


def _rows(path: str) -> Iterator[Row]:
    """The rows of a list. Raises `BadInput` that names the line of what is no row at all."""
    if path.lower().endswith(".jsonl"):
        yield from _json_rows(path)
        return
    table = read_table(Path(path), (), ("video", "file_name", *OPTIONAL))
    if not {"video", "file_name"} & set(table.columns):
        raise BadInput(
            f"{path} has no column video (its first line reads {', '.join(table.columns[:8])})",
            f"name the columns video[,{','.join(OPTIONAL)}]",
        )
    for line in table.lines:
        yield Row(line.number, {_OTHER_NAMES.get(k, k): v for k, v in line.cells.items()})


def _json_rows(path: str) -> Iterator[Row]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                values = json.loads(line)
                if not isinstance(values, dict):
                    raise ValueError("not an object")
                if "schema" in values and number == 1:
                    continue
                cells = {str(k): "" if v is None else str(v) for k, v in values.items()}
                yield Row(number, {_OTHER_NAMES.get(k, k): v for k, v in cells.items()})
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 ({error})", "save it as UTF-8") from None
    except ValueError as error:
        raise BadInput(
            f"{path}, line {number} is no JSON object ({error})", "write one object per line"
        ) from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})", "check the path") from None


FOLDER = FolderRecipe(
    name="folder",
    title="Videos of your own, in a folder or a list",
    source="gridprep.corpora.folder",
    checks=frozenset({"lips", "sound", "direction"}),
)
