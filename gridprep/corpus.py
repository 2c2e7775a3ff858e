"""Finding GRID's files in whatever layout they lie, and telling by stems whose they are.

Layouts in the wild: `s1/bbaf2n.mpg`, `s1/video/mpg_vcd/s1/…`, `s1.mpg_vcd.zip` unpacked, alignments in
`align/` beside the clips or `alignments/s1/`, Apple and Windows litter strewn in, the clips re-encoded
to other containers. Since a stem belongs to one talker only, a clip's talker is looked up by its stem;
the folder is only a claim. The corpus itself is never touched.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from gridprep.grammar import is_stem
from gridprep.media import VIDEO_SUFFIXES
from manifests.corpus_lists import SPEAKERS, speaker_of
from manifests.errors import BadInput
from manifests.records import Clip, ClipFailure

_SPEAKER_FOLDER = re.compile(r"s(\d{1,2})(?:[._-].*)?", re.IGNORECASE)
_JUNK_FOLDERS = frozenset({"__macosx", ".git", "@eadir", ".trashes"})


@dataclass(frozen=True)
class FolderClaim:
    """A folder that claims one talker and holds another's files.

    Attributes:
        kind: `speaker_folder` (clips) or `alignment_folder`.
        claimed: the talker that the folder's name says.
        holds: the talker that the stems say.
        files: how many.
    """

    kind: str
    claimed: str
    holds: str
    files: int


@dataclass(frozen=True)
class Corpus:
    """What was found.

    Attributes:
        root: absolute path.
        clips: one a stem, ordered by talker and stem.
        failures: files that look like clips but cannot be one (`not_a_stem`, `unknown_stem`).
        claims: folders that hold another talker's files, i.e. the repairs.
        duplicates: further files of a stem, not used: (used, not used) relative paths.
        orphan_alignments: alignments whose stem has no clip here.
        junk_files: files passed over (`._x`, `Thumbs.db`, `__MACOSX/…`).
    """

    root: str
    clips: tuple[Clip, ...]
    failures: tuple[ClipFailure, ...]
    claims: tuple[FolderClaim, ...]
    duplicates: tuple[tuple[str, str], ...]
    orphan_alignments: int
    junk_files: int


def speaker_order(speaker: str) -> tuple[int, str]:
    """Sort key: s2 before s10."""
    digits = speaker[1:]
    return (int(digits), "") if digits.isdigit() else (10_000, speaker)


def _walk(root: str) -> Iterator[tuple[str, str, str]]:
    """(folder, file name, talker claimed by the nearest enclosing folder or "") of every file."""
    stack = [(root, "")]
    while stack:
        folder, claimed = stack.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError as error:
            raise BadInput(
                f"{folder} cannot be read ({error.strerror})", "check its permissions"
            ) from None
        for entry in entries:
            if entry.is_dir(follow_symlinks=True):
                if entry.name.startswith(".") and entry.name.lower() not in _JUNK_FOLDERS:
                    continue  # our own bookkeeping and other people's
                if entry.name.lower() in _JUNK_FOLDERS:
                    yield folder, entry.name, ""
                    continue
                match = _SPEAKER_FOLDER.fullmatch(entry.name)
                stack.append((entry.path, f"s{int(match[1])}" if match else claimed))
            else:
                yield folder, entry.name, claimed


def _preference(path: str, claimed: str, speaker: str) -> tuple[bool, int, str]:
    """Smaller is better: the right folder first, then the original container, then by name."""
    suffix = os.path.splitext(path)[1].lower()
    return (claimed != speaker, VIDEO_SUFFIXES.index(suffix), path)


def find_clips(corpus: str | os.PathLike[str]) -> Corpus:
    """Walks a corpus and pairs clips with alignments by stem.

    Raises `BadInput` when the folder is absent or holds no video at all.
    """
    root = os.path.abspath(os.fspath(corpus))
    if not os.path.isdir(root):
        raise BadInput(f"{root} is not a folder", "give the folder that holds GRID")
    videos: dict[str, list[tuple[str, str]]] = {}
    alignments: dict[str, list[tuple[str, str]]] = {}
    failures: list[ClipFailure] = []
    junk = 0
    for folder, name, claimed in _walk(root):
        base, suffix = os.path.splitext(name)
        suffix = suffix.lower()
        is_video = suffix in VIDEO_SUFFIXES
        if name.startswith(".") or not (is_video or suffix == ".align"):
            junk += name.startswith("._") or name.lower() in ("thumbs.db", ".ds_store", "__macosx")
            continue
        path = os.path.join(folder, name)
        stem = base.lower()
        if not is_video:
            alignments.setdefault(stem, []).append((path, claimed))
        elif is_stem(stem):
            videos.setdefault(stem, []).append((path, claimed))
        else:
            failures.append(
                ClipFailure(
                    claimed or "?",
                    base,
                    "find",
                    "not_a_stem",
                    f"{os.path.relpath(path, root)}: {base!r} is not a sentence of GRID",
                    os.path.relpath(path, root),
                )
            )
    if not videos and not failures:
        raise BadInput(
            f"{root} holds no video file ({' '.join(VIDEO_SUFFIXES)})",
            "give the folder that holds s1, s2, … or run `gridprep download`",
        )
    clips: list[Clip] = []
    duplicates: list[tuple[str, str]] = []
    wrong: Counter[tuple[str, str, str]] = Counter()
    for stem, found in videos.items():
        speaker = speaker_of(stem)
        found.sort(key=lambda f: _preference(f[0], f[1], speaker or ""))
        path, claimed = found[0]
        relative = os.path.relpath(path, root)
        duplicates += [(relative, os.path.relpath(other, root)) for other, _ in found[1:]]
        if speaker is None:
            failures.append(
                ClipFailure(
                    claimed or "?",
                    stem,
                    "find",
                    "unknown_stem",
                    f"{relative}: no talker of GRID has a clip {stem}",
                    relative,
                )
            )
            continue
        repairs = []
        if claimed and claimed != speaker:
            repairs.append("speaker_folder")
            wrong["speaker_folder", claimed, speaker] += 1
        aligned = sorted(alignments.pop(stem, []), key=lambda a: (a[1] != speaker, a[0]))
        if aligned and aligned[0][1] not in ("", speaker):
            repairs.append("alignment_folder")
            wrong["alignment_folder", aligned[0][1], speaker] += 1
        clips.append(
            Clip(
                speaker=speaker,
                stem=stem,
                video=path,
                alignment=aligned[0][0] if aligned else "",
                found_speaker=claimed,
                repairs=tuple(repairs),
            )
        )
    return Corpus(
        root=root,
        clips=tuple(sorted(clips, key=lambda c: (speaker_order(c.speaker), c.stem))),
        failures=tuple(sorted(failures, key=lambda f: (speaker_order(f.speaker), f.stem))),
        claims=tuple(
            FolderClaim(kind, claimed, holds, n)
            for (kind, claimed, holds), n in sorted(wrong.items())
        ),
        duplicates=tuple(sorted(duplicates)),
        orphan_alignments=sum(len(found) for found in alignments.values()),
        junk_files=junk,
    )


def parse_speakers(text: str) -> tuple[str, ...]:
    """`s1,s2-s5,34` → ("s1", "s2", …); "" or `all` is everybody. Raises `BadInput`."""
    if text.strip() in ("", "all"):
        return SPEAKERS
    chosen: set[str] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*s?(\d+)(?:\s*-\s*s?(\d+))?\s*", part)
        if not match:
            raise BadInput(f"{part.strip()!r} is not a talker", "write s1,s2 or s1-s5")
        first, last = int(match[1]), int(match[2] or match[1])
        named = {f"s{n}" for n in range(first, last + 1)} & set(SPEAKERS)
        if not named:
            raise BadInput(
                f"GRID has no talker {part.strip()}", "talkers are s1 to s34 without s21"
            )
        chosen |= named
    return tuple(s for s in SPEAKERS if s in chosen)
