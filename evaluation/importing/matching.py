"""Matches the files of a system to the clips that it should have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from evaluation.importing.aliases import Aliases, read_aliases
from evaluation.importing.patterns import Named, Pattern, files_below
from evaluation.inputs.versa import read_scp
from manifests.corpus_lists import SPEAKERS, gender_of, speaker_of
from manifests.corpus_names import LABELS, corpus_of
from manifests.errors import BadInput
from manifests.grammar import is_stem, sentence_of
from manifests.io import read_manifest, sha256_file
from manifests.manifest import select
from manifests.records import Record, RunClip
from manifests.tables import read_table, speaker_name, stem_name

OUTCOMES = ("imported", "failed", "not_asked", "unmatched", "unusable_name", "unknown_speaker")
HINTS = 20
"""Files of clips that nobody asks for, for which the nearest name is looked up."""
UNKNOWN = "unknown"
"""The speaker of clips of whom nobody says who speaks."""
GENDERS = {
    "": "", "f": "female", "female": "female", "woman": "female",
    "m": "male", "male": "male", "man": "male",
}  # fmt: skip
Key = tuple[str, str, str]
"""(speaker, stem, voice); voice is "" where it is the speaker's own."""
ClipName = tuple[str, str]
"""(speaker, stem)."""


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import.

    Attributes:
        wavs, pattern: folder of the speech, and the pattern of its paths; or a wav.scp, and the pattern
            of its keys.
        name, kind: name and kind of the run.
        manifest: a build (folder or manifest.jsonl) that lists the expected clips, their sentences
            and recordings; or None.
        references, reference_pattern: the same of recordings without a build; or None.
        subset: subset of the manifest's split; without a manifest only a label.
        split: name of the split where there is no manifest.
        sentences: a table of the sentences and speakers of clips, for corpora other than GRID.
        aliases: a table of names that files write otherwise.
        corpus: of the clips, one of `manifests.corpus_names.LABELS`; "" for what the manifest says.
    """

    wavs: Path
    pattern: str
    name: str
    out: Path
    kind: str = "model"
    manifest: Path | None = None
    references: Path | None = None
    reference_pattern: str = ""
    subset: str = "test"
    split: str = ""
    sentences: Path | None = None
    aliases: Path | None = None
    corpus: str = ""


@dataclass(frozen=True)
class ImportedFile(Record):
    """A line of `import.jsonl`.

    Attributes:
        file: path relative to `of`'s folder.
        outcome: one of `OUTCOMES`.
        clip: `s1/bbaf2n`, `s1/bbaf2n→s4`, or "" where it is none.
        of: `system` or `recording`.
        detail: why it was not imported, or "".
        codec, rate_hz, channels, samples, duration_s: as found.
        stored: `PCM_16` or `FLOAT`, "" where nothing was written.
        done: changes made to it.
        sha256: of the file.
    """

    file: str
    outcome: str
    clip: str = ""
    of: str = "system"
    detail: str = ""
    codec: str = ""
    rate_hz: int = 0
    channels: int = 0
    samples: int = 0
    duration_s: float = 0.0
    stored: str = ""
    done: tuple[str, ...] = ()
    sha256: str = ""


@dataclass(frozen=True)
class Asked:
    """The clips that a system should have.

    Attributes:
        clips: as far as they are known, wav and reference still empty.
        recordings: where their recordings lie.
        split, manifest_sha256, corpus: of the run.
        only: whether files of other clips are left out.
        elsewhere: clips that the manifest has in another subset → that one.
        told: clips of the table of sentences; empty without one.
        aliases: names that files write otherwise.
    """

    clips: dict[ClipName, RunClip]
    recordings: dict[ClipName, Path]
    split: str
    manifest_sha256: str = ""
    only: bool = False
    elsewhere: dict[ClipName, str] = field(default_factory=dict)
    told: dict[ClipName, RunClip] = field(default_factory=dict)
    aliases: Aliases = field(default_factory=Aliases)
    corpus: str = ""

    def clip(self, speaker: str, stem: str) -> RunClip:
        """A clip with what is known of it: from the manifest, the table, or GRID's own names."""
        name = (speaker, stem)
        return self.clips.get(name) or self.told.get(name) or clip_of(speaker, stem)

    def speakers(self) -> dict[str, str]:
        """Stem → speaker, of the stems that one speaker alone has."""
        owners: dict[str, set[str]] = {}
        for speaker, stem in (*self.clips, *self.told):
            owners.setdefault(stem, set()).add(speaker)
        return {stem: next(iter(names)) for stem, names in owners.items() if len(names) == 1}


def clips_asked_for(options: ImportOptions, lines: list[ImportedFile]) -> Asked:
    """Returns the expected clips from the manifest, else from the recordings, else any file.

    Files among the recordings that match no clip are added to `lines`.
    """
    if options.manifest is not None and (options.references or options.sentences) is not None:
        other = "--references" if options.references is not None else "--sentences"
        raise BadInput(f"--manifest and {other} were both given", "give one of them")
    aliases = read_aliases(options.aliases)
    if options.manifest is not None:
        asked = _of_manifest(options.manifest, options.subset)
        if options.corpus and asked.corpus not in ("", options.corpus):
            raise BadInput(
                f"{options.manifest} is of {LABELS[asked.corpus]}, --corpus says {options.corpus}",
                "leave --corpus out",
            )
        return replace(asked, aliases=aliases, corpus=asked.corpus or options.corpus)
    told = {} if options.sentences is None else read_sentences(options.sentences)
    if options.references is None:
        return Asked({}, {}, options.split, told=told, aliases=aliases, corpus=options.corpus)
    known = Asked({}, {}, "", told=told)
    pattern = Pattern(options.reference_pattern or options.pattern)
    found = name_files(
        options.references, pattern, options.out, known.speakers(), lines, aliases, of="recording"
    )
    if any(voice for _, _, voice in found):
        raise BadInput("the pattern of recordings contains {voice}", "correct --reference-pattern")
    if not found:
        raise BadInput(
            f"no file in {options.references} matches {pattern.text!r}",
            "correct --reference-pattern",
        )
    files = {key[:2]: path_of(options.references, file) for key, file in found.items()}
    clips = {name: known.clip(*name) for name in files}
    return Asked(clips, files, options.split, told=told, aliases=aliases, corpus=options.corpus)


def read_sentences(path: Path) -> dict[ClipName, RunClip]:
    """Reads the clips of a table with the columns stem and text, optionally speaker and gender.

    A clip without a speaker belongs to the speaker `unknown`.

    Raises:
        BadInput: a table that cannot be read, an unusable name, or a clip named twice.
    """
    told: dict[ClipName, RunClip] = {}
    for line in read_table(path, ("stem", "text"), ("speaker", "gender")).lines:
        speaker = speaker_name(line["speaker"]) or UNKNOWN
        stem = stem_name(Path(line["stem"]).stem if "/" in line["stem"] else line["stem"])
        gender = GENDERS.get(line["gender"].casefold())
        where = f"{path}, line {line.number}"
        if not Named(speaker, stem).is_safe:
            raise BadInput(
                f"{where}: {speaker!r} and {stem!r} are not usable as names of a clip",
                "use letters, digits, dots, dashes and underscores",
            )
        if gender is None:
            raise BadInput(
                f"{where}: gender is {line['gender']!r}", "write female, male or nothing"
            )
        if (speaker, stem) in told:
            raise BadInput(f"{where} names {speaker}/{stem} again", "remove a line")
        if not gender and speaker in SPEAKERS:
            gender = gender_of(speaker)
        told[speaker, stem] = RunClip(speaker, stem, line["text"], gender, "")
    if not told:
        raise BadInput(f"{path} holds no sentence", "write a line for each clip")
    return told


def _of_manifest(path: Path, subset: str) -> Asked:
    path = path / "manifest.jsonl" if path.is_dir() else path
    header, rows = read_manifest(path)
    chosen = select(rows, subset, 0, path)
    return Asked(
        {(r.speaker, r.stem): RunClip(r.speaker, r.stem, r.sentence, r.gender, "") for r in chosen},
        {(r.speaker, r.stem): path.parent / r.paths["audio"] for r in chosen if "audio" in r.paths},
        str(header.get("split", "")),
        sha256_file(path),
        only=True,
        elsewhere={(row.speaker, row.stem): row.subset for row in rows},
        corpus=corpus_of(header),
    )


def clip_of(speaker: str, stem: str) -> RunClip:
    """Returns the clip as GRID's names describe it; sentence and gender are "" where unknown."""
    sentence = sentence_of(stem) if is_stem(stem) else ""
    return RunClip(speaker, stem, sentence, gender_of(speaker) if speaker in SPEAKERS else "", "")


def match_files(options: ImportOptions, asked: Asked, lines: list[ImportedFile]) -> dict[Key, str]:
    """Returns the file of each clip; the outcomes of other files are added to `lines`.

    Raises:
        BadInput: two files of one clip, or none of any.
    """
    pattern = Pattern(options.pattern)
    found = name_files(options.wavs, pattern, options.out, asked.speakers(), lines, asked.aliases)
    if not found:
        raise _no_file(options, pattern, lines)
    if asked.told and not any(key[:2] in asked.told for key in found):
        speaker, stem, _ = next(iter(found))
        first = "/".join(next(iter(asked.told)))
        raise BadInput(
            f"{options.sentences} names none of the {len(found)} clips in {options.wavs}: it begins "
            f"with {first}, a file there is {speaker}/{stem}",
            "write the names as the files have them, correct --pattern, or give --aliases",
        )
    if not asked.only:
        return found
    kept = {key: file for key, file in found.items() if key[:2] in asked.clips}
    left_out = 0
    for key, file in found.items():
        if key not in kept:
            left_out += 1
            detail = _why_not_asked(key, asked, hint=left_out <= HINTS)
            lines.append(ImportedFile(file, "not_asked", _label(key), detail=detail))
    if not kept:
        other = next(line for line in lines if line.outcome == "not_asked")
        raise BadInput(
            f"none of the {len(found)} clips in {options.wavs} is expected: {other.clip} is "
            f"{other.detail}",
            "choose another --subset or --manifest, or give --aliases for names written otherwise",
        )
    return kept


def _no_file(options: ImportOptions, pattern: Pattern, lines: list[ImportedFile]) -> BadInput:
    """Returns the error for a folder without any clip."""
    mine = [line for line in lines if line.of == "system"]
    named = [line for line in mine if line.outcome != "unmatched"]
    if not mine:
        return BadInput(f"{options.wavs} holds no file", "check --wavs")
    if named:  # the pattern fits, the names do not
        return BadInput(
            f"no file in {options.wavs} is a clip: {named[0].file}: {named[0].detail}",
            "add {speaker} to --pattern, or name the speakers by --manifest or --sentences",
        )
    return BadInput(
        f"no file in {options.wavs} matches {pattern.text!r} ({mine[0].file} is there)",
        "correct --pattern",
    )


def _why_not_asked(key: Key, asked: Asked, *, hint: bool) -> str:
    speaker, stem, _ = key
    owner = speaker_of(stem)
    if (speaker, stem) in asked.elsewhere:
        return f"a {asked.elsewhere[speaker, stem]} clip of the manifest"
    if owner is not None and owner != speaker:
        return f"{stem} is a clip of {owner}, not of {speaker}"
    stems = [name for who, name in asked.elsewhere if who == speaker] if hint else []
    near = get_close_matches(stem, stems, n=1, cutoff=0.8)
    return "not in the manifest" + (f", the nearest there is {speaker}/{near[0]}" if near else "")


def name_files(
    folder: Path,
    pattern: Pattern,
    out: Path,
    known: dict[str, str],
    lines: list[ImportedFile],
    aliases: Aliases,
    of: str = "system",
) -> dict[Key, str]:
    """Returns clip → path in a folder; files that match no clip are added to `lines`.

    Args:
        out: a folder to leave out.
        known: speakers of stems that only one of the clips asked for has.
        aliases: names that files write otherwise.
        of: `system` or `recording`.

    Raises:
        BadInput: two files of one clip.
    """
    found: dict[Key, str] = {}
    for text, file in _listed(folder, out):
        named = pattern.match(text)
        if named is not None:
            named = aliases.read(named)
        if named is None:
            lines.append(ImportedFile(file, "unmatched", of=of))
        elif not named.is_safe:
            detail = "speaker and stem may hold letters, digits, dots, dashes and underscores"
            lines.append(ImportedFile(file, "unusable_name", of=of, detail=detail))
        elif not (speaker := named.speaker or known.get(named.stem) or speaker_of(named.stem)):
            detail = f"no list says who speaks {named.stem}"
            lines.append(ImportedFile(file, "unknown_speaker", of=of, detail=detail))
        else:
            key = _key(named, speaker)
            if key in found:
                raise BadInput(
                    f"{path_of(folder, found[key])} and {path_of(folder, file)} are both {_label(key)}",
                    "make the pattern narrower",
                )
            found[key] = file
    return found


def _listed(folder: Path, out: Path) -> Iterator[tuple[str, str]]:
    """(what the pattern is matched with, file) of a folder, or of a wav.scp, whose keys it is matched
    with."""
    if folder.is_file():
        yield from ((line.key, line.path) for line in read_scp(folder))
    else:
        yield from ((file, file) for file in files_below(folder, but=out))


def path_of(folder: Path, file: str) -> Path:
    """Returns where a file of a folder lies, or of a wav.scp, whose paths begin where the command runs."""
    return Path(file) if folder.is_file() else folder / file


def _key(named: Named, speaker: str) -> Key:
    return (speaker, named.stem, "" if named.voice == speaker else named.voice)


def _label(key: Key) -> str:
    return RunClip(key[0], key[1], "", "", "", voice=key[2]).label


def clip_of_key(key: Key, asked: Asked) -> RunClip:
    """The clip with the path that its wav gets in the run directory."""
    speaker, stem, voice = key
    clip = asked.clip(speaker, stem)
    name = f"{stem}.{voice}" if voice else stem
    return replace(clip, wav=f"wavs/{speaker}/{name}.wav", voice=voice)
