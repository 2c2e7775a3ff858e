"""Clips of a listening test, and the file of each clip under each condition."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluation.inputs.pairs import RunDir, Unscorable, load_sound
from evaluation.mos.options import DesignOptions
from evaluation.mos.records import Condition
from evaluation.mos.scales import SCALES
from manifests.corpus_lists import SPEAKERS, gender_of
from manifests.errors import BadInput
from manifests.ordering import natural
from manifests.records import RunClip

REFERENCE = "Recording"
ANCHORS = {"mos": "Low anchor", "smos_speaker": "Other speaker", "smos_gender": "Other gender"}
"""What is surely bad: degraded speech, or a recording of somebody else."""
LONGEST_S = 20.0
"""A longer file is no sentence."""


@dataclass(frozen=True)
class Item:
    """A sentence of the test.

    Attributes:
        label: `s1/bbaf2n`, or `s1/bbaf2n→s4`.
        speaker, stem: the clip whose sentence is spoken.
        voice: target speaker of the voice.
        recording: recording of the same clip, or None.
    """

    label: str
    speaker: str
    stem: str
    voice: str
    recording: Path | None


@dataclass
class Material:
    """Sounds available to a test.

    Attributes:
        systems: the conditions that are runs, in their order.
        files: system → label → file.
        recordings: speaker → stem → file.
        genders: speaker → gender.
        items: usable sentences, those of the test first.
        n_main: how many of `items` the test consists of; the others serve practice and controls.
        notes: clips left out, with reasons.
    """

    systems: tuple[Condition, ...]
    files: dict[str, dict[str, Path]]
    recordings: dict[str, dict[str, Path]]
    genders: dict[str, str]
    items: list[Item]
    n_main: int = 0
    notes: list[str] = field(default_factory=list)
    faults: dict[Path, str] = field(default_factory=dict)

    @property
    def main(self) -> list[Item]:
        return self.items[: self.n_main]

    @property
    def spare(self) -> list[Item]:
        return self.items[self.n_main :]

    def fault(self, path: Path) -> str:
        """Returns why a file cannot be played, or ""."""
        if path not in self.faults:
            try:
                sound = load_sound(path)
                long = sound.duration_s > LONGEST_S
                self.faults[path] = f"{path.name} lasts {sound.duration_s:.0f} s" if long else ""
            except Unscorable as failure:
                self.faults[path] = str(failure)
        return self.faults[path]

    def spoken_by(self, speaker: str, *without: str) -> list[Path]:
        """Returns the usable recordings of a speaker except those stems, in a fixed order."""
        found = self.recordings.get(speaker, {})
        return [
            found[stem]
            for stem in sorted(found)
            if stem not in without and not self.fault(found[stem])
        ]

    def speakers_like(self, speaker: str, *, same_gender: bool) -> list[str]:
        """Returns the other speakers of the same (or the other) gender with a usable recording."""
        mine = self.genders.get(speaker)
        return [
            other
            for other in sorted(self.recordings, key=natural)
            if other != speaker
            and mine is not None
            and (self.genders.get(other) == mine) is same_gender
            and other in self.genders
            and self.spoken_by(other)
        ]

    def counterpart(self, part: str, item: Item, seed: int) -> Path | None:
        """The recording beside which an item is judged: the voice's speaker with another sentence;
        for the gender, another speaker of that gender where there is one."""
        rng = item_rng(seed, part, item.label)
        others = (
            self.speakers_like(item.voice, same_gender=True) if part == "smos_gender" else []
        ) or [item.voice]
        return pick(self.spoken_by(others[int(rng.integers(len(others)))], item.stem), rng)

    def hidden_reference(self, part: str, item: Item, seed: int) -> Path | None:
        """Returns the hidden reference: the recording itself, or a recording of the voice's speaker
        where the voice is another speaker's and is judged."""
        if part == "mos" or item.voice == item.speaker:
            return item.recording
        counterpart = self.counterpart(part, item, seed)
        rng = item_rng(seed, f"{part} reference", item.label)
        return pick([p for p in self.spoken_by(item.voice, item.stem) if p != counterpart], rng)

    def stranger(self, part: str, item: Item, seed: int) -> Path | None:
        """A recording that must sound different: of the other gender, or, where only the speaker is
        asked for and there is no other gender, of any other speaker."""
        rng = item_rng(seed, f"{part} anchor", item.label)
        others = self.speakers_like(item.voice, same_gender=False)
        if not others and part == "smos_speaker":
            others = [t for t in sorted(self.recordings) if t != item.voice and self.spoken_by(t)]
        if not others:
            return None
        return pick(self.spoken_by(others[int(rng.integers(len(others)))], item.stem), rng)


def item_rng(seed: int, purpose: str, label: str) -> np.random.Generator:
    """A generator of its own for each purpose, so that no choice depends on another."""
    return np.random.default_rng([seed, zlib.crc32(f"{purpose}|{label}".encode())])


def pick(paths: Sequence[Path], rng: np.random.Generator) -> Path | None:
    return paths[int(rng.integers(len(paths)))] if paths else None


def gather(runs: Sequence[RunDir], options: DesignOptions) -> Material:
    """Returns the usable clips that every run has, chosen and ordered by `options`.

    Raises:
        BadInput: the runs share no clip, or fewer than requested.
    """
    clips = [{clip.label: clip for clip in run.clips} for run in runs]
    recordings: dict[str, dict[str, Path]] = {}
    genders = {speaker: gender_of(speaker) for speaker in SPEAKERS}
    for run in runs:
        for clip in run.clips:
            if clip.gender:
                genders[clip.speaker] = clip.gender
            path = run.reference(clip)
            if path is not None:
                recordings.setdefault(clip.speaker, {}).setdefault(clip.stem, path)
    shared = [label for label in clips[0] if all(label in other for other in clips[1:])]
    items = [
        _item(clips[0][label], recordings)
        for label in sorted(shared, key=natural)
        if _wanted(clips[0][label], options)
    ]
    systems = tuple(Condition(run.info.name, run.info.kind) for run in runs)
    files = {
        run.info.name: {label: run.wav(clip) for label, clip in table.items()}
        for run, table in zip(runs, clips, strict=True)
    }
    material = Material(systems, files, recordings, genders, items)
    n_lost = max(map(len, clips)) - len(shared)
    if n_lost:
        material.notes.append(f"{n_lost} clips are left out: not every run has them.")
    if not items:
        kind = "swapped clip" if options.swapped else "clip with the speaker's own face"
        raise BadInput(
            f"{', '.join(str(run.root) for run in runs)} share no {kind}",
            "choose --clips own or --clips swapped to match the runs, or other speakers",
        )
    _choose(material, options)
    return material


def _item(clip: RunClip, recordings: dict[str, dict[str, Path]]) -> Item:
    recording = recordings.get(clip.speaker, {}).get(clip.stem)
    voice = clip.voice or clip.speaker
    return Item(clip.label, clip.speaker, clip.stem, voice, recording)


def _wanted(clip: RunClip, options: DesignOptions) -> bool:
    swapped = bool(clip.voice) and clip.voice != clip.speaker
    return swapped == options.swapped


def _choose(material: Material, options: DesignOptions) -> None:
    """Orders `material.items`: those of the test first, then the spare ones."""
    rng = np.random.default_rng([options.seed, zlib.crc32(b"clips")])
    by_speaker: dict[str, list[Item]] = {}
    for item in material.items:
        by_speaker.setdefault(item.speaker, []).append(item)
    for speaker, mine in by_speaker.items():
        by_speaker[speaker] = [mine[i] for i in rng.permutation(len(mine))]
    absent = [speaker for speaker in options.speakers if speaker not in by_speaker]
    if absent:
        raise BadInput(
            f"no run has clips of {', '.join(absent)}", f"choose from {', '.join(by_speaker)}"
        )
    speakers = list(options.speakers) or _speakers(list(by_speaker), material, options, rng)
    chosen: list[Item] = []
    if options.n_clips is not None:
        chosen = _in_turns(material, options, [by_speaker[t] for t in speakers])
        if len(chosen) < options.n_clips:
            raise BadInput(
                f"the runs share {len(chosen)} usable clips, {options.n_clips} were requested"
                + _why(material),
                f"pass --n-clips {len(chosen)}" if chosen else "check the files",
            )
    else:
        for speaker in speakers:
            wanted = options.clips_per_speaker or len(by_speaker[speaker])
            usable = _usable(material, options, by_speaker[speaker], wanted, chosen)
            if len(usable) < (options.clips_per_speaker or 1):
                raise BadInput(
                    f"{speaker} has {len(usable)} usable clips in all runs, {wanted} were requested"
                    + _why(material),
                    "pass a smaller --clips-per-speaker or other --speakers",
                )
            chosen += usable
    taken = set(chosen)
    spare = [item for speaker in by_speaker for item in by_speaker[speaker] if item not in taken]
    # A handful is enough for practice and controls, and checking a file means decoding it.
    spare = [spare[i] for i in rng.permutation(len(spare))]
    most = sum((options.practice, options.traps, options.golds)) * len(options.parts) * 2
    spare = _usable(material, options, spare, most, [])
    material.items, material.n_main = chosen + spare, len(chosen)
    unusable = {reason for reason in material.faults.values() if reason}
    material.notes += [f"Left out: {reason}." for reason in sorted(unusable)]


def _why(material: Material) -> str:
    reasons = sorted(reason for reason in material.faults.values() if reason)
    return f" ({'; '.join(reasons[:3])})" if reasons else ""


def _speakers(
    names: list[str], material: Material, options: DesignOptions, rng: np.random.Generator
) -> list[str]:
    """All speakers, or `n_speakers` of them, the genders in turn as long as there are both."""
    n = options.n_speakers
    if n is None:
        return names
    if len(names) < n:
        raise BadInput(
            f"the runs share clips of {len(names)} speakers, {n} were requested",
            f"pass --speakers {len(names)}",
        )
    queues: dict[str, list[str]] = {}
    for i in rng.permutation(len(names)):
        queues.setdefault(material.genders.get(names[i], ""), []).append(names[i])
    order = sorted(queues)
    found: list[str] = []
    while len(found) < n:
        for gender in order:
            if queues[gender] and len(found) < n:
                found.append(queues[gender].pop())
    return sorted(found, key=natural)


def _in_turns(
    material: Material, options: DesignOptions, groups: Sequence[list[Item]]
) -> list[Item]:
    """Up to `n_clips` usable items, the speakers in turn, sorted by speaker."""
    chosen: list[Item] = []
    for turn in range(max(map(len, groups), default=0)):
        for group in groups:
            if turn < len(group) and len(chosen) < (options.n_clips or 0):
                chosen += _usable(material, options, [group[turn]], 1, [])
    return sorted(chosen, key=lambda item: natural(item.speaker))


def _usable(
    material: Material,
    options: DesignOptions,
    items: Sequence[Item],
    n: int,
    before: Sequence[Item],
) -> list[Item]:
    """The first n items that can be heard in every way the test needs; sentences that another
    speaker says already come last."""
    said = {item.stem for item in before}
    found: list[Item] = []
    for item in sorted(items, key=lambda item: item.stem in said):
        if len(found) == n:
            break
        paths = [table[item.label] for table in material.files.values()]
        needs_recording = "mos" in options.parts and (options.reference or options.anchor)
        if needs_recording or any(SCALES[part].pair for part in options.parts):
            if item.recording is None:
                material.faults[Path(item.label)] = f"{item.label} has no recording"
                continue
            paths.append(item.recording)
        if any(material.fault(path) for path in paths):
            continue
        pairs = [part for part in options.parts if SCALES[part].pair]
        if any(material.counterpart(part, item, options.seed) is None for part in pairs):
            material.faults[Path(item.label)] = (
                f"{item.label} has no second recording of {item.voice} to stand beside"
            )
            continue
        found.append(item)
    return found
