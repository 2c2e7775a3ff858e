"""The Python API of a build and a run: `Manifest` and `Run`, sequences of clips that read their own
features, and tables of them.

Opening reads only the list of clips, whose rows stay in its file. Rows, pictures, sounds and mels are
read on access, and pandas is imported when a table is made.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from manifests.corpus_names import corpus_of
from manifests.errors import BadInput, ManifestError
from manifests.features import read_landmarks, read_mel, read_prosody, read_sound
from manifests.io import SUBSETS
from manifests.pictures import Pictures, read_pictures
from manifests.records import ClipFailure, Landmarks, ManifestRow, Prosody, RunClip, RunInfo
from manifests.specs import MelSpec
from manifests.stored_rows import KeptRows, Rows, StoredRows

if TYPE_CHECKING:
    import pandas as pd

FILE = "manifest.jsonl"
Sound = NDArray[np.float32]
Names = str | Collection[str]
"""A name or a sequence of names."""


class Spoken(Protocol):
    """Anything that belongs to a speaker."""

    @property
    def speaker(self) -> str: ...


SpokenT = TypeVar("SpokenT", bound=Spoken)
RowT = TypeVar("RowT", bound=ManifestRow)


def dealt(items: Sequence[SpokenT], limit: int) -> list[SpokenT]:
    """Selects at most `limit` items, spread evenly over the speakers so that a small selection has as
    many speakers as possible, in their original order; 0 is all."""
    if not 0 < limit < len(items):
        return list(items)
    return [items[i] for i in dealt_positions((item.speaker for item in items), limit)]


def dealt_positions(speakers: Iterable[str], limit: int) -> list[int]:
    """Positions of at most `limit` items, by the speaker of each; see `dealt`."""
    turns: Counter[str] = Counter()
    order = []
    for position, speaker in enumerate(speakers):
        order.append((turns[speaker], position))
        turns[speaker] += 1
    return sorted(position for _, position in sorted(order)[:limit])


def select(
    rows: Sequence[RowT], subset: str, limit: int, manifest: str | os.PathLike[str]
) -> list[RowT]:
    """Selects the rows of a subset, or of `all`; `dealt` applies the limit.

    Raises:
        BadInput: an unknown subset, or one of which the manifest has no clip.
    """
    _check_subset(subset, "all")
    chosen = [row for row in rows if subset in (row.subset, "all")]
    if not rows:
        raise BadInput(
            f"{os.fspath(manifest)} lists no clip", "see failures.jsonl beside it, and build again"
        )
    if not chosen:
        there = ", ".join(f"{sum(r.subset == s for r in rows)} {s}" for s in SUBSETS)
        raise BadInput(
            f"{os.fspath(manifest)} has no {subset} clip ({there})", "choose another subset"
        )
    return dealt(chosen, limit)


def _check_subset(subset: str, *more: str) -> None:
    if subset not in (*SUBSETS, *more):
        raise BadInput(f"no subset {subset!r}", f"choose one of {', '.join((*SUBSETS, *more))}")


@dataclass(frozen=True, slots=True)
class FeatureRow(ManifestRow):
    """A row of a manifest that reads its features.

    Every method raises `ManifestError` where the row has no such feature, and `BadInput` where its file
    is absent or damaged; both name the row or the file.

    Attributes:
        root: the manifest's folder, to which `paths` are relative.

    Example:
        >>> from manifests import Manifest
        >>> row = Manifest("features")[0]
        >>> row.speaker, row.subset, len(row.words)
        ('s1', 'test', 6)
        >>> row.lips().shape, row.mel().shape
        ((75, 144, 144, 3), (80, 150))
    """

    root: Path = Path()

    @classmethod
    def of(cls, row: ManifestRow, root: str | os.PathLike[str]) -> FeatureRow:
        """Makes a `FeatureRow` of a row of the manifest in the folder `root`."""
        fields = {f.name: getattr(row, f.name) for f in dataclasses.fields(ManifestRow)}
        return cls(**fields, root=Path(root))

    def to_dict(self) -> dict[str, Any]:
        """The row as in `manifest.jsonl`, without `root`."""
        values = ManifestRow.to_dict(self)  # `super()` does not know a class with slots
        del values["root"]
        return values

    def path(self, feature: str) -> Path:
        """The file of a feature: `lips`, `face`, `audio`, `mel`, `prosody` or `landmarks`."""
        if feature not in self.paths:
            raise ManifestError(
                f"{self.clip_id} has no {feature} in {self.root / FILE}",
                "run `gridprep build` again",
            )
        return self.root / self.paths[feature]

    def content(self, feature: str) -> bytes | None:
        """The bytes of a feature that is no file of its own (`manifests.webdataset`); None for a file."""
        return None

    def lips(self) -> Pictures:
        """Lip crops, (T, 144, 144, 3) uint8 RGB at 25 frames per second."""
        return read_pictures(*self._there("lips"))

    def faces(self) -> Pictures:
        """Face stills, (K, 160, 160, 3) uint8 RGB: one of every five frames by default."""
        return read_pictures(*self._there("face"))

    def audio(self) -> tuple[Sound, int]:
        """The recording: ((samples,) float32 in ±1, rate in Hz)."""
        return read_sound(self.path("audio"), content=self.content("audio"))

    def mel(self, preset: str = "") -> NDArray[np.floating[Any]]:
        """The log mel, (n_mels, T); `Manifest.mel_spec` holds its parameters.

        Args:
            preset: one of `extra_mels`, where the build made several; "" is the build's own.
        """
        if not preset:
            return read_mel(self.path("mel"), self.content("mel"))
        if preset not in self.extra_mels:
            there = ", ".join(self.extra_mels) or "none"
            raise ManifestError(
                f"{self.clip_id} has no mel {preset!r} beside its own (there: {there})",
                f"run `gridprep build` with --mel {preset} as well",
            )
        return read_mel(self.root / self.extra_mels[preset])

    def prosody(self) -> Prosody:
        """F0 in Hz (NaN where unvoiced), voicing and energy, (T,) each, frame by frame with the mel."""
        return read_prosody(self.path("prosody"), self.content("prosody"))

    def landmarks(self) -> Landmarks:
        """The named points, (T, N, 2) in pixels of the source video."""
        return read_landmarks(self.path("landmarks"), self.content("landmarks"))

    def _there(self, feature: str) -> tuple[Path, bytes | None]:
        path, content = self.path(feature), self.content(feature)
        if content is None and not path.is_file():
            raise BadInput(f"{path} does not exist", "run `gridprep build` again")
        return path, content


class Manifest(Sequence[FeatureRow]):
    """The clips of a build.

    Args:
        path: folder of the build, or its `manifest.jsonl`; or a folder of shards that
            `gridprep export --layout webdataset` wrote.

    Attributes:
        path: path of `manifest.jsonl`, or of the `export.json` of shards.
        root: folder of the manifest.
        header: the first line of the file: split, speakers held out, specs of all features.

    Raises:
        ManifestError: no manifest there, or a damaged one; file and line are named.

    Example:
        >>> from manifests import Manifest
        >>> clips = Manifest("features")
        >>> clips
        Manifest('features': 2 train, 0 val, 2 test; split large-unseen)
        >>> len(clips.where(subset="test")), clips[0].lips().dtype
        (2, dtype('uint8'))
        >>> sound, rate_hz = clips[-1].audio()
        >>> sound.shape, rate_hz
        ((48000,), 16000)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        given = Path(path)
        if not given.exists():
            raise ManifestError(f"{given} does not exist", "run `gridprep build` first")
        from manifests import webdataset

        self.path = given / FILE if given.is_dir() else given
        self.root = self.path.parent
        self.header: dict[str, Any]
        self._rows: Rows
        if given.is_dir() and not self.path.exists() and webdataset.is_sharded(given):
            self.path = given / webdataset.EXPORT
            self.header, rows = webdataset.read_shards(given)
            self._rows = KeptRows(rows)
            return
        self.header, self._rows = StoredRows.open(self.path)

    @classmethod
    def of(
        cls,
        rows: Iterable[ManifestRow],
        root: str | os.PathLike[str],
        header: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Makes a manifest of rows in memory, with this header, in the folder `root`."""
        return cls._with(KeptRows(rows), root, header)

    @classmethod
    def _with(
        cls, rows: Rows, root: str | os.PathLike[str], header: Mapping[str, Any] | None
    ) -> Manifest:
        made = cls.__new__(cls)
        made.root, made.path, made.header = Path(root), Path(root) / FILE, dict(header or {})
        made._rows = rows
        return made

    def require_files(self) -> None:
        """Raises `BadInput` for shards, whose features are no files of their own: for what reads files."""
        from manifests import webdataset

        if self.path.name == webdataset.EXPORT:
            raise BadInput(
                f"{self.root} holds shards, from which `facetron train` and `embed` alone read",
                "give the folder of the build that was exported",
            )

    @property
    def split(self) -> str:
        """Name of the split by which the rows have their subsets; "" where the header names none."""
        return str(self.header.get("split", ""))

    @property
    def held_out_speakers(self) -> tuple[str, ...]:
        """Speakers that the split keeps for testing."""
        return tuple(self.header.get("held_out_speakers") or ())

    @property
    def language(self) -> str:
        """Language of the sentences, `grid` or `english` (`manifests.language`)."""
        return str(self.header.get("language", "grid"))

    @property
    def corpus(self) -> str:
        """Name of the corpus (`manifests.corpus_names`); "" where the header names none of them."""
        return corpus_of(self.header)

    @property
    def mel_spec(self) -> MelSpec:
        """Parameters of the mels. Raises `ManifestError` where the header does not state them."""
        specs = self.header.get("specs")
        if not isinstance(specs, dict) or not isinstance(specs.get("mel"), dict):
            raise ManifestError(f"{self.path} states no mel spec", "run `gridprep build` again")
        return MelSpec.from_dict(specs["mel"])

    def where(
        self,
        *,
        subset: Names = (),
        speaker: Names = (),
        gender: Names = (),
        stem: Names = (),
        flag: Names = (),
        split: str = "",
        limit: int = 0,
    ) -> Manifest:
        """The clips that fulfil every condition given, as a manifest of their own.

        Args:
            subset: `train`, `val` or `test`, or several of them; `all` is no condition.
            speaker, gender, stem: the clip's; one name or several.
            flag: the clip has this flag, or one of several (`frames_repeated`, `several_faces`, …).
            split: a frozen split (`gridprep splits` lists them): its clips alone, with its subsets in
                place of those of the build, before `subset` is looked at.
            limit: at most this many clips, spread evenly over the speakers; 0 is all.

        Raises:
            BadInput: no such subset or split.

        Example:
            >>> from manifests import Manifest
            >>> clips = Manifest("features")
            >>> [row.speaker for row in clips.where(speaker="s1", subset="test")]
            ['s1', 's1']
            >>> clips.where(split="all-seen").held_out_speakers
            ()
        """
        rows, header = self._rows, self.header
        if split:
            from manifests.splits.frozen import load

            frozen = load(split)
            places = [frozen.subset_of(row.speaker, row.stem) for row in rows]
            inside = [i for i, place in enumerate(places) if place]
            rows = rows.taken(inside, (place for place in places if place))
            header = {
                **header,
                "split": frozen.name,
                "split_version": frozen.version,
                "split_sha256": frozen.sha256,
                "held_out_speakers": list(frozen.held_out_speakers),
            }
        subsets, speakers = _names(subset) - {"all"}, _names(speaker)
        for name in subsets:
            _check_subset(name)
        chosen: Sequence[int] = range(len(rows))
        if subsets:
            chosen = [i for i in chosen if rows.subset_of(i) in subsets]
        if speakers:
            chosen = [i for i in chosen if rows.speaker_of(i) in speakers]
        genders, stems, flags = _names(gender), _names(stem), _names(flag)
        if genders or stems or flags:
            chosen = [
                i
                for i in chosen
                if (row := rows[i])
                and not (genders and row.gender not in genders)
                and not (stems and row.stem not in stems)
                and not (flags and not flags & set(row.flags))
            ]
        if 0 < limit < len(chosen):
            chosen = [chosen[i] for i in dealt_positions(map(rows.speaker_of, chosen), limit)]
        return self._with(rows.taken(chosen), self.root, header)

    def to_dataframe(self) -> pd.DataFrame:
        """One line per clip.

        Columns: `speaker`, `gender`, `stem`, `sentence`, `subset`; the path of every feature, relative
        to `root`, by its name (`lips`, `face`, `audio`, …, `mel-PRESET`); `video_frames`,
        `audio_samples`, `sample_rate_hz`, `mel_frames`, `samples_added`; `flags`, separated by spaces;
        `source_path`, `source_sha256`; the numbers of `qc`, each as `qc_NAME`.

        Example:
            >>> from manifests import Manifest
            >>> frame = Manifest("features").to_dataframe()
            >>> frame.groupby("speaker").size().to_dict()
            {'s1': 2, 's3': 2}
        """
        return rows_to_dataframe(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[FeatureRow]:
        return (self._featured(row) for row in self._rows)

    def _featured(self, row: ManifestRow) -> FeatureRow:
        return row if isinstance(row, FeatureRow) else FeatureRow.of(row, self.root)

    @overload
    def __getitem__(self, index: int) -> FeatureRow: ...
    @overload
    def __getitem__(self, index: slice) -> Manifest: ...
    def __getitem__(self, index: int | slice) -> FeatureRow | Manifest:
        """The clip of a number, or the clips of a slice as a manifest of their own."""
        if isinstance(index, slice):
            taken = self._rows.taken(range(len(self))[index])
            return self._with(taken, self.root, self.header)
        return self._featured(self._rows[index])

    def __repr__(self) -> str:
        counts = Counter(map(self._rows.subset_of, range(len(self))))
        subsets = ", ".join(f"{counts[subset]} {subset}" for subset in SUBSETS)
        return f"Manifest({str(self.root)!r}: {subsets}; split {self.split or 'unknown'})"


ROW_COLUMNS = (
    *("speaker", "gender", "stem", "sentence", "subset"),
    *("lips", "face", "audio", "mel", "prosody", "landmarks"),
    *("video_frames", "audio_samples", "sample_rate_hz", "mel_frames", "samples_added", "flags"),
)
"""The first columns of a table of rows; those of the source and of `qc` follow."""


def rows_to_dataframe(rows: Iterable[ManifestRow]) -> pd.DataFrame:
    """Rows as a table; `Manifest.to_dataframe` lists the columns, which are there without rows too."""
    import pandas as pd

    table = [
        {
            **{name: getattr(row, name) for name in ROW_COLUMNS[:5]},
            **dict.fromkeys(ROW_COLUMNS[5:11], ""),
            **row.paths,
            **{f"mel-{preset}": path for preset, path in row.extra_mels.items()},
            **{name: getattr(row, name) for name in ROW_COLUMNS[11:16]},
            "flags": " ".join(row.flags),
            "source_path": row.source_path,
            "source_sha256": row.source_sha256,
            **{f"qc_{name}": value for name, value in row.qc.items()},
        }
        for row in rows
    ]
    return pd.DataFrame(table) if table else pd.DataFrame(columns=list(ROW_COLUMNS))


@dataclass(frozen=True, slots=True)
class SpeechClip(RunClip):
    """A clip of a run that reads its sound and what belongs to it.

    Every method raises `ManifestError` where the run names no such file, and `BadInput` where it is
    absent or damaged; both name the clip or the file.

    Attributes:
        root: the run's folder, to which the paths are relative.

    Example:
        >>> from manifests import Run
        >>> clip = Run("runs/facetron")[0]
        >>> speech, rate_hz = clip.audio()
        >>> speech.shape, rate_hz
        ((48000,), 16000)
        >>> clip.reference_audio()[0].shape
        (48000,)
    """

    root: Path = Path()

    @classmethod
    def of(cls, clip: RunClip, root: str | os.PathLike[str]) -> SpeechClip:
        """A clip of the run in the folder `root`."""
        fields = {f.name: getattr(clip, f.name) for f in dataclasses.fields(RunClip)}
        return cls(**fields, root=Path(root))

    def to_dict(self) -> dict[str, Any]:
        """The clip as in `clips.jsonl`, without `root`."""
        values = RunClip.to_dict(self)  # `super()` does not know a class with slots
        del values["root"]
        return values

    def audio(self) -> tuple[Sound, int]:
        """The synthesized speech: ((samples,) float32 in ±1, rate in Hz)."""
        return read_sound(self.root / self.wav, "synthesize this run again")

    def reference_audio(self) -> tuple[Sound, int]:
        """The recording of the same clip: ((samples,) float32 in ±1, rate in Hz)."""
        return read_sound(self._named("reference"), "give the build its place beside the run again")

    def read_mel(self) -> NDArray[np.floating[Any]]:
        """The log mel that the vocoder was given, (n_mels, T)."""
        return read_mel(self._named("mel"))

    def _named(self, field: str) -> Path:
        path: str = getattr(self, field)
        if not path:
            raise ManifestError(
                f"{self.clip_id} of {self.root} names no {field}",
                "use a synthesizer that writes it",
            )
        return self.root / path


class Run(Sequence[SpeechClip]):
    """The clips of a run directory: the speech that a model synthesized, with references.

    Args:
        path: the run directory.

    Attributes:
        root: the run directory.
        info: name, kind, split, parameters and versions of the run.
        failures: the clips that could not be synthesized, with stage and reason.

    Raises:
        ManifestError: no run there, an unfinished or a damaged one; the file is named.

    Example:
        >>> from manifests import Run
        >>> run = Run("runs/facetron")
        >>> run.info.subset, len(run), len(run.failures)
        ('test', 2, 0)
        >>> run.to_dataframe()[["speaker", "gender"]].iloc[0].tolist()
        ['s1', 'male']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from manifests.runs import read_run

        self.root = Path(path)
        self.info: RunInfo
        self.info, clips, failures = read_run(self.root)
        self.failures: tuple[ClipFailure, ...] = tuple(failures)
        self._clips = [SpeechClip.of(clip, self.root) for clip in clips]

    @property
    def clips(self) -> tuple[SpeechClip, ...]:
        """All clips, by speaker and stem."""
        return tuple(self._clips)

    def to_dataframe(self) -> pd.DataFrame:
        """One line per clip; columns are the fields of `RunClip`: `speaker`, `stem`, `sentence`, `gender`,
        `wav`, `reference`, `mel` (paths relative to `root`), `voice`, `seen`, `transcript`."""
        import pandas as pd

        columns = [field.name for field in dataclasses.fields(RunClip)]
        return pd.DataFrame([clip.to_dict() for clip in self._clips], columns=columns)

    def __len__(self) -> int:
        return len(self._clips)

    def __iter__(self) -> Iterator[SpeechClip]:
        return iter(self._clips)

    @overload
    def __getitem__(self, index: int) -> SpeechClip: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SpeechClip, ...]: ...
    def __getitem__(self, index: int | slice) -> SpeechClip | tuple[SpeechClip, ...]:
        return tuple(self._clips[index]) if isinstance(index, slice) else self._clips[index]

    def __repr__(self) -> str:
        return (
            f"Run({str(self.root)!r}: {self.info.name}, {len(self)} clips, "
            f"{len(self.failures)} failures)"
        )


def _names(given: Names) -> set[str]:
    """The names of a condition; the empty set where there is none."""
    return {given} - {""} if isinstance(given, str) else set(given)
