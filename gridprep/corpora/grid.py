"""Finds the clips and alignments of GRID in any folder layout, and assigns speakers by stem.

Layouts in the wild: `s1/bbaf2n.mpg`, `s1/video/mpg_vcd/s1/…`, `s1.mpg_vcd.zip` unpacked, alignments in
`align/` beside the clips or `alignments/s1/`, system files of macOS and Windows, the clips re-encoded
to other containers, files renamed to `s1_bgah2p.mpg` or `id2_vcd_swwp2s.mpg`. Since a stem belongs to
one speaker only, a clip's speaker is looked up by its stem; the folder is only a claim. The corpus is
only read.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from gridprep.corpora.alignment import read_alignment
from gridprep.corpora.base import (
    Annotation,
    Check,
    Corpus,
    FolderClaim,
    no_video,
    require_folder,
    walk,
)
from gridprep.media.decode import VIDEO_SUFFIXES
from gridprep.media.expectation import GRID_CLIP, ClipExpectation
from manifests.corpus_lists import (
    SPEAKERS,
    expected_stems_of,
    gender_of,
    parse_speakers,
    speaker_of,
)
from manifests.grammar import sentence_of, stem_in
from manifests.language import GRID as GRID_LANGUAGE
from manifests.ordering import natural
from manifests.records import Clip, ClipFailure
from manifests.specs import AudioSpec
from manifests.splits import frozen

_SPEAKER_FOLDER = re.compile(r"s(\d{1,2})(?:[._-].*)?", re.IGNORECASE)


@cache
def _claimed(folder: str) -> str:
    """The speaker whom the nearest enclosing folder claims, "" where none does.

    Args:
        folder: relative to the corpus, POSIX.
    """
    for name in reversed(folder.split("/")):
        if match := _SPEAKER_FOLDER.fullmatch(name):
            return f"s{int(match[1])}"
    return ""


def _relative(path: str, root: str) -> str:
    """`os.path.relpath` for what lies below `root`, as everything that is walked does; ten times as
    quick, which 33,000 clips feel."""
    return path[len(root) :].lstrip("/") or "."


def _preference(path: str, claimed: str, speaker: str) -> tuple[bool, bool, int, str]:
    """Smaller is better: the right folder first, then a name that is the stem and nothing else, then
    the original container, then by name."""
    base, suffix = os.path.splitext(os.path.basename(path))
    return (
        claimed != speaker,
        not base.isalnum(),
        VIDEO_SUFFIXES.index(suffix.lower()),
        path,
    )


def _strange(root: str, path: str, claimed: str, reason: str, why: str) -> ClipFailure:
    """A file that has the name of a video and cannot be a clip."""
    relative = _relative(path, root)
    base = os.path.splitext(os.path.basename(path))[0]
    return ClipFailure(claimed or "?", base, "find", reason, f"{relative}: {why}", relative)


def find_clips(corpus: str | os.PathLike[str]) -> Corpus:
    """Walks a corpus and pairs clips with alignments by stem.

    Only regular files are taken: a named pipe would be waited for. Raises `BadInput` when the folder is
    absent or holds no video at all (where it holds archives, the message says how to unpack them).
    """
    root = os.path.abspath(os.fspath(corpus))
    require_folder(root, "GRID")
    videos: dict[str, list[tuple[str, str]]] = {}
    alignments: dict[str, list[tuple[str, str]]] = {}
    failures: list[ClipFailure] = []
    archives: list[str] = []
    junk = 0
    for entry in walk(root):
        name, path, claimed = entry.name, entry.path, _claimed(entry.folder)
        base, suffix = os.path.splitext(name)
        suffix = suffix.lower()
        is_video = suffix in VIDEO_SUFFIXES
        if suffix == ".zip" and not name.startswith("."):
            archives.append(entry.relative)
            continue
        if name.startswith(".") or not (is_video or suffix == ".align"):
            junk += entry.junk
            continue
        stem = stem_in(base)
        if not is_video:
            if entry.plain:
                alignments.setdefault(stem or base.lower(), []).append((path, claimed))
        elif not entry.plain:
            failures.append(
                _strange(
                    root, path, claimed, "not_a_file", "a pipe, a socket or a device, not a file"
                )
            )
        elif stem is not None:
            videos.setdefault(stem, []).append((path, claimed))
        else:
            why = f"{base!r} is not a sentence of GRID"
            failures.append(_strange(root, path, claimed, "not_a_stem", why))
    if not videos and not failures:
        raise no_video(root, archives, VIDEO_SUFFIXES)
    clips: list[Clip] = []
    duplicates: list[tuple[str, str]] = []
    used: Counter[tuple[str, str, str, str]] = Counter()  # kind, folder, claimed, speaker
    for stem in list(videos):
        found = videos.pop(stem)  # what a million clips need is needed once
        speaker = speaker_of(stem)
        found.sort(key=lambda f: _preference(f[0], f[1], speaker or ""))
        path, claimed = found[0]
        relative = _relative(path, root)
        duplicates += [(relative, _relative(other, root)) for other, _ in found[1:]]
        if speaker is None:
            why = f"no speaker of GRID has a clip {stem}"
            failures.append(
                ClipFailure(
                    claimed or "?", stem, "find", "unknown_stem", f"{relative}: {why}", relative
                )
            )
            continue
        repairs = []
        if claimed and claimed != speaker:
            repairs.append("speaker_folder")
        used["speaker_folder", os.path.dirname(relative), claimed, speaker] += 1
        aligned = sorted(alignments.pop(stem, []), key=lambda a: (a[1] != speaker, a[0]))
        if aligned:
            path_of_words, claimed_words = aligned[0]
            if claimed_words not in ("", speaker):
                repairs.append("alignment_folder")
            folder = _relative(os.path.dirname(path_of_words), root)
            used["alignment_folder", folder, claimed_words, speaker] += 1
        clips.append(
            Clip(
                speaker=speaker,
                stem=stem,
                video=path,
                alignment=aligned[0][0] if aligned else "",
                found_speaker=claimed,
                repairs=tuple(repairs),
                gender=gender_of(speaker),
            )
        )
    return Corpus(
        root=root,
        clips=tuple(sorted(clips, key=lambda c: (natural(c.speaker), c.stem))),
        failures=tuple(sorted(failures, key=lambda f: (natural(f.speaker), f.stem))),
        claims=tuple(
            FolderClaim(kind, claimed, holds, n, folder, used[kind, folder, claimed, claimed])
            for (kind, folder, claimed, holds), n in sorted(used.items())
            if claimed not in ("", holds)
        ),
        duplicates=tuple(sorted(duplicates)),
        orphan_alignments=sum(len(found) for found in alignments.values()),
        junk_files=junk,
        archives=tuple(sorted(archives)),
    )


SYNTH_MARK = "synth.json"
"""`gridprep synth` leaves this in its corpora."""


@dataclass(frozen=True)
class GridRecipe:
    """GRID, and corpora made in its likeness: sentences by stem, speakers by stem, 75 frames."""

    name: str = "grid"
    title: str = "GRID (Cooke, Barker, Cunningham, Shao, JASA 120(5), 2006)"
    source: str = "Zenodo record 3625687, and the copies of it in the wild"
    language: str = GRID_LANGUAGE
    expected: ClipExpectation = GRID_CLIP
    audio: AudioSpec = AudioSpec()
    default_split: str = "large-unseen"
    checks: frozenset[Check] = frozenset({"lips", "sound", "words", "direction", "speaker"})
    version: str = "1"
    known_speakers: tuple[str, ...] = SPEAKERS

    def expected_stems(self, speaker: str) -> tuple[str, ...]:
        """The stems that a complete download holds."""
        return expected_stems_of(speaker) if speaker in SPEAKERS else ()

    @property
    def splits(self) -> tuple[str, ...]:
        """All splits that come with the toolkit: they list GRID's clips."""
        return frozen.names()

    def looks_like(self, root: str, names: Sequence[str]) -> bool:
        """Returns whether the videos are named as sentences, and not as Lombard GRID's are."""
        return SYNTH_MARK not in names and has_sentences(names)

    def find(self, root: str) -> Corpus:
        """See `find_clips`."""
        return find_clips(root)

    def annotate(self, clip: Clip) -> Annotation:
        """The words of the clip's `.align` file, which must spell the stem."""
        return Annotation(sentence_of(clip.stem), read_alignment(clip.alignment, clip.stem))

    def parse_speakers(self, text: str, found: Corpus) -> frozenset[str]:
        """`s1,s2`, ranges as `s30-s34`, `all`."""
        speakers = parse_speakers(text)
        return frozenset() if speakers == SPEAKERS else frozenset(speakers)


_LOMBARD = re.compile(r"s\d+_[lp]_", re.IGNORECASE)


def has_sentences(names: Sequence[str]) -> bool:
    """Returns whether half of the videos among the paths or more are named as sentences of GRID."""
    parts = [os.path.splitext(os.path.basename(name)) for name in names]
    bases = [base for base, suffix in parts if suffix.lower() in VIDEO_SUFFIXES]
    named = sum(not _LOMBARD.match(base) and stem_in(base) is not None for base in bases)
    return 0 < len(bases) <= 2 * named


GRID = GridRecipe()
