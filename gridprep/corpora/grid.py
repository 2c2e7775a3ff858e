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
from collections.abc import Iterator, Sequence
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
from gridprep.corpora.stored_clips import Grouped, StoredClips
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
    files = Grouped()  # of one speaker each, "" where GRID knows none
    failures: list[ClipFailure] = []
    archives: list[str] = []
    junk = orphans = 0
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
        if stem is not None and entry.plain:
            files.add(speaker_of(stem) or "", (is_video, stem, path, claimed))
        elif not is_video:
            orphans += entry.plain
        elif not entry.plain:
            failures.append(
                _strange(
                    root, path, claimed, "not_a_file", "a pipe, a socket or a device, not a file"
                )
            )
        else:
            why = f"{base!r} is not a sentence of GRID"
            failures.append(_strange(root, path, claimed, "not_a_stem", why))
    pairing = _Pairing(root, files, failures)
    clips = StoredClips.of(pairing.clips())
    if not clips and not failures:
        raise no_video(root, archives, VIDEO_SUFFIXES)
    used = pairing.used
    return Corpus(
        root=root,
        clips=clips,
        failures=tuple(sorted(failures, key=lambda f: (natural(f.speaker), f.stem))),
        claims=tuple(
            FolderClaim(
                kind,
                claimed,
                holds,
                n,
                _relative(folder, root),
                used[kind, folder, claimed, claimed],
            )
            for (kind, folder, claimed, holds), n in sorted(used.items())
            if claimed not in ("", holds)
        ),
        duplicates=tuple(sorted(pairing.duplicates)),
        orphan_alignments=orphans + pairing.orphans,
        junk_files=junk,
        archives=tuple(sorted(archives)),
    )


class _Pairing:
    """Videos and alignments of one stem are one clip.

    Args:
        files: speaker → (whether it is a video, stem, path, claimed speaker).
        failures: what cannot be paired is added.

    Attributes:
        used: (kind, absolute folder, claimed speaker, true speaker) → files.
        duplicates: see `Corpus`.
        orphans: alignments whose stem has no video.
    """

    def __init__(self, root: str, files: Grouped, failures: list[ClipFailure]) -> None:
        self._root, self._files, self._failures = root, files, failures
        self.used: Counter[tuple[str, str, str, str]] = Counter()
        self.duplicates: list[tuple[str, str]] = []
        self.orphans = 0

    def clips(self) -> Iterator[Clip]:
        """The clips by speaker and stem; what is counted is complete when all have been taken."""
        for speaker in sorted(self._files.groups(), key=natural):
            videos: dict[str, list[tuple[str, str]]] = {}
            alignments: dict[str, list[tuple[str, str]]] = {}
            for is_video, stem, path, claimed in self._files.of(speaker):
                (videos if is_video else alignments).setdefault(stem, []).append((path, claimed))
            if speaker:
                for stem in sorted(videos):
                    yield self._clip(speaker, stem, videos[stem], alignments.pop(stem, []))
            else:
                self._failures += [self._unknown(stem, found) for stem, found in videos.items()]
            self.orphans += sum(map(len, alignments.values()))

    def _clip(
        self, speaker: str, stem: str, found: list[tuple[str, str]], aligned: list[tuple[str, str]]
    ) -> Clip:
        video, claimed = self._chosen(found, speaker)
        repairs = []
        if claimed and claimed != speaker:
            repairs.append("speaker_folder")
        self._count("speaker_folder", video, claimed, speaker)
        alignment = ""
        if aligned:
            alignment, claimed_words = min(aligned, key=lambda a: (a[1] != speaker, a[0]))
            if claimed_words not in ("", speaker):
                repairs.append("alignment_folder")
            self._count("alignment_folder", alignment, claimed_words, speaker)
        return Clip(
            speaker=speaker,
            stem=stem,
            video=video,
            alignment=alignment,
            found_speaker=claimed,
            repairs=tuple(repairs),
            gender=gender_of(speaker),
        )

    def _unknown(self, stem: str, found: list[tuple[str, str]]) -> ClipFailure:
        video, claimed = self._chosen(found, "")
        relative = _relative(video, self._root)
        why = f"{relative}: no speaker of GRID has a clip {stem}"
        return ClipFailure(claimed or "?", stem, "find", "unknown_stem", why, relative)

    def _chosen(self, found: list[tuple[str, str]], speaker: str) -> tuple[str, str]:
        """The video of a clip and who its folder claims; further files are duplicates."""
        if len(found) > 1:
            found.sort(key=lambda f: _preference(f[0], f[1], speaker))
            used, *others = (_relative(path, self._root) for path, _ in found)
            self.duplicates += [(used, other) for other in others]
        return found[0]

    def _count(self, kind: str, path: str, claimed: str, speaker: str) -> None:
        self.used[kind, path.rpartition("/")[0], claimed, speaker] += 1


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
