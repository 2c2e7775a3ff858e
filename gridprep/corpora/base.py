"""What a build needs to know of a corpus: the protocol that a recipe fulfills, and what it finds."""

from __future__ import annotations

import math
import os
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, Protocol

from gridprep.corpora.stored_clips import StoredClips, UnorderedClips
from gridprep.media.decode import VIDEO_SUFFIXES
from gridprep.media.expectation import ANY_CLIP, ClipExpectation
from manifests.errors import BadInput, ClipError
from manifests.language import ENGLISH, normalized
from manifests.ordering import natural
from manifests.records import Clip, ClipFailure, WordSpan
from manifests.specs import VIDEO_FPS, AudioSpec

Check = Literal["lips", "sound", "words", "direction", "speaker"]
"""Checks of content: moving lips; sound without gaps inside words; the words of GRID said at their times;
lips played forwards; face and voice like the speaker's other clips."""

ANY_LENGTH = AudioSpec(clip_samples=0)
"""Sound as long as the pictures."""

OPEN_SUFFIXES = (*VIDEO_SUFFIXES, ".m4v", ".webm", ".flv", ".3gp", ".mts", ".wmv", ".ogv")
"""Suffixes of videos in corpora other than GRID, in lower case."""

JUNK_FOLDERS = frozenset(
    {"__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information"}
)
JUNK_FILES = frozenset({"thumbs.db", ".ds_store", "desktop.ini"})
BUILD_MARK = ".state"
"""Every build folder has this inside; its lip clips must not pass for clips of the corpus."""

WORD_PAST_END_S = 0.2
"""A word that ends this much after its clip is cut to it: alignments round, and sound outlasts pictures."""


@dataclass(frozen=True)
class FolderClaim:
    """A folder that claims one speaker and holds another's files.

    Attributes:
        kind: `speaker_folder` (clips) or `alignment_folder`.
        claimed: the speaker that the folder's name says.
        holds: the speaker that the stems say.
        files: how many.
        folder: where they lie, relative to the corpus.
        own: files of the claimed speaker that lie there too.
    """

    kind: str
    claimed: str
    holds: str
    files: int
    folder: str = ""
    own: int = 0


@dataclass(frozen=True)
class Corpus:
    """The clips found in a corpus, and findings about its files.

    Attributes:
        root: absolute path of the folder that paths are relative to.
        clips: ordered by speaker and stem, each pair once.
        failures: what looks like a clip but cannot be one (`not_a_stem`, `absent`, `bad_row`, …).
        claims: folders that hold another speaker's files, i.e. the repairs.
        duplicates: further files of a clip, not used: (used, not used) relative paths.
        orphan_alignments: alignments whose stem has no clip here.
        junk_files: number of system files and folders ignored (`._x`, `Thumbs.db`, `__MACOSX`).
        archives: zip files that lie in the corpus, relative paths; nothing in them is a clip yet.
        unlisted: videos that lie in the corpus and that its list does not name, relative paths.
    """

    root: str
    clips: StoredClips
    failures: tuple[ClipFailure, ...] = ()
    claims: tuple[FolderClaim, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    orphan_alignments: int = 0
    junk_files: int = 0
    archives: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Annotation:
    """What is said in a clip.

    Attributes:
        sentence: in the normal form of the corpus's language, "" where it is not known.
        words: their times in seconds from the start of the clip; () where there are none.
        transcript: as the corpus has it, "" where it is the sentence.
        flags: oddities for the manifest row.
    """

    sentence: str = ""
    words: tuple[WordSpan, ...] = ()
    transcript: str = ""
    flags: tuple[str, ...] = ()


class CorpusRecipe(Protocol):
    """A corpus as a build sees it; docs/corpora.md shows how to write one.

    Attributes:
        name: as given to `--corpus-kind`.
        title: name and citation of the corpus.
        source: where the facts about its layout come from.
        language: `grid` or `english`; what `manifests.language` knows.
        expected: what is expected of every clip.
        audio: spec of the stored sound.
        splits: names of the frozen splits over the list of its clips.
        default_split: the one that a build takes unless told, "" for none.
        checks: the checks of content that make sense for it.
        known_speakers: the speakers of the whole corpus, () where there is no list of them.
        version: raised when `annotate` says other things of the same files.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def expected(self) -> ClipExpectation: ...
    @property
    def audio(self) -> AudioSpec: ...
    @property
    def splits(self) -> tuple[str, ...]: ...
    @property
    def default_split(self) -> str: ...
    @property
    def checks(self) -> frozenset[Check]: ...
    @property
    def version(self) -> str: ...
    @property
    def known_speakers(self) -> tuple[str, ...]: ...

    def looks_like(self, root: str, names: Sequence[str]) -> bool:
        """Returns whether a path holds this corpus; `names` are some of its files, relative to it."""

    def find(self, root: str) -> Corpus:
        """The clips in a folder, or in a list of files. Decodes nothing. Raises `BadInput`."""

    def annotate(self, clip: Clip) -> Annotation:
        """Returns what is said in a clip, read where the clip is processed. Raises `ClipError`
        (`alignment`)."""

    def expected_stems(self, speaker: str) -> tuple[str, ...]:
        """The clips of a speaker in the whole corpus, () where there is no list of them."""

    def parse_speakers(self, text: str, found: Corpus) -> frozenset[str]:
        """The speakers in the text of an option. Raises `BadInput` for others than the corpus has."""


@dataclass(frozen=True)
class Recipe:
    """Base of the recipes of corpora whose clips have any length and no grammar."""

    name: str
    title: str
    source: str
    language: str = ENGLISH
    expected: ClipExpectation = ANY_CLIP
    audio: AudioSpec = ANY_LENGTH
    splits: tuple[str, ...] = ()
    default_split: str = ""
    checks: frozenset[Check] = frozenset({"lips", "sound", "direction", "speaker"})
    version: str = "1"
    known_speakers: tuple[str, ...] = ()

    def expected_stems(self, speaker: str) -> tuple[str, ...]:
        """There is no list."""
        return ()

    def annotate(self, clip: Clip) -> Annotation:
        """The transcript of the clip in normal form, without times."""
        return self.said(clip.transcript)

    def said(self, transcript: str, words: tuple[WordSpan, ...] = ()) -> Annotation:
        """An annotation of a text that somebody wrote."""
        transcript = " ".join(transcript.split())
        sentence = normalized(transcript, self.language)
        odd = ("text_in_other_script",) if transcript and not sentence else ()
        return Annotation(sentence, words, "" if transcript == sentence else transcript, odd)

    def parse_speakers(self, text: str, found: Corpus) -> frozenset[str]:
        """Names separated by commas, each a speaker of the corpus."""
        known = {*found.clips.speakers(), *(failure.speaker for failure in found.failures)}
        wanted = frozenset(name.strip() for name in text.split(",") if name.strip())
        if unknown := sorted(wanted - known):
            few = ", ".join(sorted(known, key=natural)[:8])
            raise BadInput(
                f"{found.root} has no speaker {', '.join(unknown)}",
                f"it has {few}" + (", …" if len(known) > 8 else ""),
            )
        return wanted


@dataclass(frozen=True, slots=True)
class Entry:
    """A file met on a walk.

    Attributes:
        folder: relative to the root, POSIX, "" for the root itself.
        name: of the file.
        path: absolute path.
        plain: False for a named pipe, a socket or a device, which would be waited for and never end.
        junk: whether it is a system file, or stands for a system folder.
    """

    folder: str
    name: str
    path: str
    plain: bool
    junk: bool = False

    @property
    def relative(self) -> str:
        """Path relative to the root."""
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def base(self) -> str:
        """The name without its suffix."""
        return os.path.splitext(self.name)[0]

    @property
    def is_video(self) -> bool:
        """Returns whether the suffix is that of a video."""
        return os.path.splitext(self.name)[1].lower() in OPEN_SUFFIXES


def walk(root: str) -> Iterator[Entry]:
    """Every file below a folder, folders and names sorted.

    Links to folders are followed after everything else, each folder once: a link to its own parent does
    not walk for ever, and a folder goes by its own name where a link leads to it too. Hidden folders and
    the folders of builds are left out. Raises `BadInput`.
    """
    stack = [(root, "")]
    links: deque[tuple[str, str]] = deque()
    walked: set[tuple[int, int]] = set()
    while stack or links:
        folder, relative = stack.pop() if stack else links.popleft()
        try:
            stat = os.stat(folder)
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError as error:
            raise BadInput(
                f"{folder} cannot be read ({error.strerror})", "check its permissions"
            ) from None
        if (stat.st_dev, stat.st_ino) in walked:
            continue
        walked.add((stat.st_dev, stat.st_ino))
        if any(entry.name == BUILD_MARK for entry in entries):
            continue
        inner: list[tuple[str, str]] = []
        for entry in entries:
            if is_folder(entry):
                if entry.name.lower() in JUNK_FOLDERS:
                    yield Entry(relative, entry.name, entry.path, True, junk=True)
                elif not entry.name.startswith("."):
                    below = f"{relative}/{entry.name}" if relative else entry.name
                    (links if entry.is_symlink() else inner).append((entry.path, below))
            else:
                plain = is_plain(entry)
                yield Entry(relative, entry.name, entry.path, plain, is_litter(entry.name))
        stack += reversed(inner)


def walk_folders(root: str) -> Iterator[list[Entry]]:
    """The files of each folder that `walk` meets, without what is junk."""
    for _, entries in groupby(walk(root), key=lambda entry: entry.folder):
        yield [entry for entry in entries if not entry.junk]


def is_plain(entry: os.DirEntry[str]) -> bool:
    """False for a named pipe, a socket or a device. A link to nowhere is plain: the clip behind it is
    missing, and is reported as such."""
    try:
        return entry.is_file() or not os.path.exists(entry.path)
    except OSError:
        return True


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Returns whether it is a folder, or a link to one."""
    try:
        return entry.is_dir(follow_symlinks=True)
    except OSError:  # a link to itself
        return False


def is_litter(name: str) -> bool:
    """Returns whether a name is that of a system's file or folder."""
    small = name.lower()
    return name.startswith("._") or small in JUNK_FILES or small in JUNK_FOLDERS


def any_named(names: Iterable[str], pattern: re.Pattern[str]) -> bool:
    """Returns whether one of the paths is a video whose name without its suffix the pattern matches."""
    bases = (os.path.splitext(os.path.basename(name)) for name in names)
    return any(pattern.fullmatch(base) and end.lower() in OPEN_SUFFIXES for base, end in bases)


SAMPLE_FOLDERS = 400
SAMPLE_FILES = 60


def sample(root: str) -> tuple[str, ...]:
    """Paths of some files below a folder, POSIX and relative to it: up to `SAMPLE_FILES` videos and as
    many others of each of up to `SAMPLE_FOLDERS` folders; () for a file."""
    found: list[str] = []
    counts: Counter[tuple[str, bool]] = Counter()
    folders: set[str] = set()
    if not os.path.isdir(root):
        return ()
    for entry in walk(root):
        if entry.junk:
            continue
        folders.add(entry.folder)
        if len(folders) > SAMPLE_FOLDERS:
            break
        key = (entry.folder, entry.is_video)
        counts[key] += 1
        if counts[key] <= SAMPLE_FILES:
            found.append(entry.relative)
    return tuple(found)


def require_folder(root: str, what: str) -> None:
    """Raises `BadInput` unless `root` is a folder."""
    if not os.path.isdir(root):
        problem = "is not a folder" if os.path.exists(root) else "does not exist"
        raise BadInput(f"{root} {problem}", f"give the folder that holds {what}")


def no_video(root: str, archives: Sequence[str], suffixes: Sequence[str]) -> BadInput:
    """The error for a folder without a video; where archives lie in it, it says how to unpack them."""
    if archives:
        shown = ", ".join(archives[:3]) + (", …" if len(archives) > 3 else "")
        count = "an archive that is" if len(archives) == 1 else f"{len(archives)} archives that are"
        return BadInput(
            f"{root} holds no video file but {count} not unpacked ({shown})",
            f"run `gridprep unpack {root} --out CORPUS` and give CORPUS",
        )
    return BadInput(
        f"{root} holds no video file ({' '.join(suffixes)})",
        "give the folder that holds s1, s2, … or your videos, or run `gridprep download`",
    )


def failed(clip: Clip, reason: str, detail: str) -> ClipFailure:
    """A clip that cannot be one, at stage `find`."""
    return ClipFailure(clip.speaker, clip.stem, "find", reason, detail, clip.video)


def ordered(
    root: str,
    clips: Iterable[Clip] | UnorderedClips,
    failures: list[ClipFailure],
    **findings: object,
) -> Corpus:
    """A corpus with its clips in order. Of two clips of one name the first by path stays, the others
    become failures (`same_name`)."""
    unordered = clips if isinstance(clips, UnorderedClips) else UnorderedClips(clips)
    kept = StoredClips.of(_in_order(root, unordered, failures))
    return replace(
        Corpus(
            root, kept, tuple(sorted(failures, key=lambda f: (natural(f.speaker), natural(f.stem))))
        ),
        **findings,  # type: ignore[arg-type]
    )


def _in_order(root: str, clips: UnorderedClips, failures: list[ClipFailure]) -> Iterator[Clip]:
    """The clips speaker by speaker; those whose name is taken are added to the failures."""
    for speaker in sorted(clips.speakers(), key=lambda s: (natural(s), s)):
        own = sorted(clips.of(speaker), key=lambda c: (natural(c.stem), c.video, c.start_s))
        kept: dict[str, Clip] = {}
        for clip in own:
            first = kept.setdefault(clip.stem, clip)
            if first is not clip:
                detail = (
                    f"{os.path.relpath(clip.video, root)}: {os.path.relpath(first.video, root)} is "
                    f"{clip.clip_id} too; rename one of them"
                )
                failures.append(failed(clip, "same_name", detail))
        yield from kept.values()


def word_span(word: str, start_s: float, end_s: float) -> WordSpan:
    """A word with the video frames in which it sounds: floor of the start, ceiling of the end."""
    return WordSpan(
        word,
        start_s,
        end_s,
        math.floor(start_s * VIDEO_FPS + 1e-6),
        math.ceil(end_s * VIDEO_FPS - 1e-6),
    )


def fitted(words: tuple[WordSpan, ...], n_frames: int) -> tuple[WordSpan, ...]:
    """Words cut to a clip of so many frames. Raises `ClipError` (`alignment_out_of_range`) for one that
    ends more than `WORD_PAST_END_S` after it."""
    end_s = n_frames / VIDEO_FPS
    if not words or words[-1].end_s <= end_s:
        return words
    for word in words:
        if word.end_s > end_s + WORD_PAST_END_S or word.start_s >= end_s:
            raise ClipError(
                "alignment",
                "alignment_out_of_range",
                f"the word {word.word!r} ends at {word.end_s:.2f} s, outside the clip of {end_s:.2f} s",
            )
    return tuple(
        word if word.end_s <= end_s else word_span(word.word, word.start_s, end_s) for word in words
    )
