"""Choice of the clips that a demo page shows, by run and section."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manifests.errors import BadInput, ManifestError
from manifests.io import read_json, read_manifest
from manifests.ordering import natural
from manifests.records import ManifestRow, RunClip, RunInfo
from manifests.runs import read_run

SECTIONS: dict[str, str] = {
    "small": "Small data set",
    "seen": "Seen speakers",
    "unseen": "Unseen speakers",
    "swapped": "Swapped faces",
    "speakers": "Speakers",
}
"""Key → heading, in the order of the page: the paper's three, and what fits none of them."""


@dataclass(frozen=True)
class Run:
    """A finished run directory."""

    root: Path
    info: RunInfo
    clips: tuple[RunClip, ...]


@dataclass(frozen=True)
class Build:
    """The features that a run's recordings belong to.

    Attributes:
        corpus: folder of the clips as they were filmed, or None where it is not known.
        rows: by `speaker/stem`.
        trained: speakers with training clips; empty where the build has none.
    """

    root: Path
    corpus: Path | None
    rows: dict[str, ManifestRow]
    trained: frozenset[str]

    def still_of(self, speaker: str) -> Path | None:
        """Returns a file of face stills of a speaker, the same one every time."""
        paths = sorted(
            row.paths["face"]
            for row in self.rows.values()
            if row.speaker == speaker and "face" in row.paths
        )
        return self.root / paths[0] if paths else None


@dataclass(frozen=True)
class Shown:
    """A clip on the page, with the speech of one run or of several beside each other.

    Attributes:
        made: (run, its clip), at least one, in the order of the runs.
        build: where its recording lies, or None.
        seen: whether the model was trained on the speaker; None where that is not recorded.
    """

    section: str
    made: tuple[tuple[Run, RunClip], ...]
    build: Build | None
    seen: bool | None

    @property
    def clip(self) -> RunClip:
        return self.made[0][1]

    @property
    def swapped(self) -> bool:
        return bool(self.clip.voice) and self.clip.voice != self.clip.speaker

    @property
    def row(self) -> ManifestRow | None:
        return self.build.rows.get(self.clip.clip_id) if self.build else None

    @property
    def recording(self) -> Path | None:
        """The recording of the clip, None where the file is absent."""
        for run, clip in self.made:
            if clip.reference and (run.root / clip.reference).is_file():
                return run.root / clip.reference
        row = self.row
        if self.build and row and "audio" in row.paths:
            path = self.build.root / row.paths["audio"]
            return path if path.is_file() else None
        return None


def read_runs(roots: Sequence[Path]) -> list[Run]:
    """Reads run directories. Raises `ManifestError` for a folder that is not a finished run."""
    runs = []
    for root in roots:
        info, clips, _ = read_run(root)
        runs.append(Run(root, info, tuple(clips)))
    return runs


class Builds:
    """Finds the build of a run's clips: the one named, or the one around its recordings.

    Args:
        manifest: of the build, for all runs; None looks around the recordings.
        corpus: folder of the clips as filmed; None takes the one that the build was made of.
    """

    def __init__(self, manifest: Path | None = None, corpus: Path | None = None) -> None:
        self.corpus = corpus
        self._found: dict[Path, Build | None] = {}
        self._named = None
        if manifest is not None:
            self._named = self._read(manifest if manifest.is_dir() else manifest.parent, manifest)

    def of(self, run: Run, clip: RunClip) -> Build | None:
        if self._named is not None or not clip.reference:
            return self._named
        recording = (run.root / clip.reference).resolve()
        for folder in list(recording.parents)[:4]:  # BUILD/audio/s1/bbaf2n.wav, and one to spare
            if folder not in self._found:
                there = (folder / "manifest.jsonl").is_file()
                self._found[folder] = self._read(folder, folder) if there else None
            if self._found[folder] is not None:
                return self._found[folder]
        return None

    def _read(self, root: Path, manifest: Path) -> Build:
        _, rows = read_manifest(manifest)
        corpus = self.corpus
        if corpus is None and (root / "provenance.json").is_file():
            try:
                named = read_json(root / "provenance.json").get("corpus")
            except (ManifestError, AttributeError):
                named = None  # a build without its story still has its clips
            corpus = Path(named) if isinstance(named, str) and Path(named).is_dir() else None
        return Build(
            root=root,
            corpus=corpus,
            rows={row.clip_id: row for row in rows},
            trained=frozenset(row.speaker for row in rows if row.subset == "train"),
        )


def choose(runs: Sequence[Run], builds: Builds, clips_each: int, seed: int) -> list[Shown]:
    """Draws up to `clips_each` clips per speaker and section from those that the most runs hold.

    Returns:
        In the order of `SECTIONS`, then of speakers and stems.

    Raises:
        BadInput: no run holds a clip, or two of one name hold the same one.
    """
    there: dict[tuple[str, str], dict[tuple[str, str, str], list[tuple[Run, RunClip]]]] = {}
    verdicts: dict[tuple[str, str], bool] = {}
    for run in runs:  # a resynthesis does not know what the model beside it has seen
        for clip in run.clips:
            if clip.seen is not None:
                verdicts[run.info.split, clip.voice or clip.speaker] = clip.seen
    for run in runs:
        for clip in run.clips:
            section = _section(run, clip, _seen(run, clip, builds, verdicts))
            members = there.setdefault((section, clip.speaker), {}).setdefault(_key(clip), [])
            for other, _ in members:
                if other.info.name == run.info.name:
                    raise BadInput(
                        f"{other.root} and {run.root} have the same name, {run.info.name!r}, and "
                        f"both hold {clip.clip_id}",
                        "give runs with different names",
                    )
            members.append((run, clip))
    shown = []
    for (section, speaker), group in there.items():
        for key in _drawn(group, clips_each, f"{seed}/{section}/{speaker}"):
            made = tuple(group[key])
            seen = _seen(*made[0], builds, verdicts)
            shown.append(Shown(section, made, builds.of(*made[0]), seen))
    if not shown:
        raise BadInput("the runs hold no clips", "give run directories with speech in them")
    order = list(SECTIONS)
    return sorted(
        shown, key=lambda s: (order.index(s.section), natural(s.clip.speaker), s.clip.stem)
    )


def _drawn(
    group: dict[tuple[str, str, str], list[tuple[Run, RunClip]]], n: int, seed: str
) -> Iterator[tuple[str, str, str]]:
    rng = np.random.default_rng(list(seed.encode()))
    keys = sorted(group)
    shuffled = [keys[i] for i in rng.permutation(len(keys))]
    # A stable sort: chance decides among the clips that equally many runs hold.
    yield from sorted(shuffled, key=lambda key: -len(group[key]))[:n]


def _seen(
    run: Run, clip: RunClip, builds: Builds, verdicts: dict[tuple[str, str], bool]
) -> bool | None:
    """Returns whether the speaker is seen: by the run's record, else that of another run on the same
    split, else the build's split."""
    speaker = clip.voice or clip.speaker
    if clip.seen is not None:
        return clip.seen
    if (run.info.split, speaker) in verdicts:
        return verdicts[run.info.split, speaker]
    build = builds.of(run, clip)
    return speaker in build.trained if build and build.trained else None


def _section(run: Run, clip: RunClip, seen: bool | None) -> str:
    if clip.voice and clip.voice != clip.speaker:
        return "swapped"
    if run.info.split.startswith("small"):
        return "small"
    return "speakers" if seen is None else "seen" if seen else "unseen"


def _key(clip: RunClip) -> tuple[str, str, str]:
    return clip.speaker, clip.stem, clip.voice or clip.speaker
