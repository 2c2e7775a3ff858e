"""Transcripts of any recognizer, given as a file in the run directory.

`transcripts.jsonl` starts with `{"schema": "transcripts", "schema_version": 1, "recognizer": "NAME"}`
and holds a `Transcript` a line; `transcripts.csv` has the columns speaker, stem, text, recognizer
and, where they are needed, voice and of, in any delimiter or encoding (`manifests.tables`). Lines
with `of` = `recording` are what the same recognizer made of the recordings: without them its floor is
not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from evaluation.inputs.pairs import Pair, Unscorable
from manifests.errors import BadInput, ManifestError, ToolkitError
from manifests.io import read_jsonl
from manifests.records import Record, RunClip
from manifests.tables import read_table, speaker_name, stem_name

JSONL, CSV = "transcripts.jsonl", "transcripts.csv"
SIDES = ("system", "recording")


@dataclass(frozen=True)
class Transcript(Record):
    """
    Attributes:
        speaker, stem: the clip.
        text: as the recognizer wrote it; "" where it heard nothing.
        voice: in runs of swaps the speaker of the face that gave the voice; "" is the speaker.
        of: `system` or `recording`.
    """

    speaker: str
    stem: str
    text: str
    voice: str = ""
    of: str = "system"


Place = tuple[str, str, str, str]
"""(of, speaker, stem, voice); voice is "" for recordings and for a speaker's own voice."""


@dataclass(frozen=True)
class Transcripts:
    """
    Attributes:
        path: the file.
        recognizer: who wrote them.
        texts: place → text.
        folded: place in lower case → text, where no other place reads the same.
    """

    path: Path
    recognizer: str
    texts: dict[Place, str]
    folded: dict[Place, str]

    def text(self, clip: RunClip, *, of_recording: bool) -> str | None:
        """The text heard in a clip or in its recording; None where no line holds it."""
        place: Place
        if of_recording:
            place = ("recording", clip.speaker, clip.stem, "")
        else:
            voice = "" if clip.voice == clip.speaker else clip.voice
            place = ("system", clip.speaker, clip.stem, voice)
        found = self.texts.get(place)
        return self.folded.get(_fold(place)) if found is None else found

    def require_any(self, clips: Sequence[RunClip]) -> None:
        """Raises `BadInput` where no line is of any of the clips."""
        if not clips or any(
            self.text(clip, of_recording=side) is not None
            for clip in clips
            for side in (False, True)
        ):
            return
        first = next((f"{speaker}/{stem}" for _, speaker, stem, _ in self.texts), "no clip")
        raise BadInput(
            f"{self.path} holds no transcript of any clip of this run: it lists {first}, the run "
            f"holds {clips[0].clip_id}",
            "write speaker and stem as clips.jsonl does",
        )


def _fold(place: Place) -> Place:
    of, speaker, stem, voice = place
    return of, speaker.casefold(), stem.casefold(), voice.casefold()


def find_transcripts(root: Path) -> Path | None:
    """The file of a run directory, if it has one. Raises `BadInput` where it has both."""
    found = [root / name for name in (JSONL, CSV) if (root / name).is_file()]
    if len(found) > 1:
        raise BadInput(f"{root} holds both {JSONL} and {CSV}", "remove one of them")
    return found[0] if found else None


def read_transcripts(root: Path) -> Transcripts | None:
    """The transcripts of a run directory, or None.

    Raises:
        BadInput: both files are there.
        ManifestError: damaged, a clip twice, or no recognizer named.
    """
    path = find_transcripts(root)
    if path is None:
        return None
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _read(path: Path, _mtime_ns: int, _size: int) -> Transcripts:
    recognizer, lines = _read_csv(path) if path.suffix == ".csv" else _read_jsonl(path)
    if not recognizer:
        raise ManifestError(
            f"{path} does not say which recognizer wrote it",
            "name it in the header line (JSONL) or in the column `recognizer` (CSV)",
        )
    texts: dict[Place, str] = {}
    for line in lines:
        if line.of not in SIDES:
            raise ManifestError(f"{path}: of is {line.of!r}", f"write {' or '.join(SIDES)}")
        voice = "" if line.of == "recording" or line.voice == line.speaker else line.voice
        key = (line.of, line.speaker, line.stem, voice)
        if key in texts:
            raise ManifestError(
                f"{path} lists the {line.of} of {line.speaker}/{line.stem} twice", "remove a line"
            )
        texts[key] = line.text
    counts = Counter(map(_fold, texts))
    folded = {_fold(place): text for place, text in texts.items() if counts[_fold(place)] == 1}
    return Transcripts(path, recognizer, texts, folded)


def _read_jsonl(path: Path) -> tuple[str, list[Transcript]]:
    header, lines = read_jsonl(path, "transcripts", Transcript)
    for line in lines:
        if not all(isinstance(v, str) for v in line.to_dict().values()):
            raise ManifestError(f"{path}: {line.speaker}/{line.stem} is not text", "correct it")
    return str(header.get("recognizer") or "").strip(), lines


def _read_csv(path: Path) -> tuple[str, list[Transcript]]:
    found = read_table(path, ("speaker", "stem", "text"), ("recognizer", "voice", "of")).lines
    names = {line["recognizer"] for line in found} - {""}
    if len(names) > 1:
        raise ManifestError(f"{path} mixes the recognizers {', '.join(sorted(names))}", "keep one")
    lines = [
        Transcript(
            speaker_name(line["speaker"]),
            stem_name(line["stem"]),
            line["text"],
            speaker_name(line["voice"]),
            line["of"].lower() or "system",
        )
        for line in found
    ]
    return "".join(names), lines


class TranscriptFiles:
    """The recognizer that has already listened."""

    name = "transcripts"

    def __init__(self, path: Path | None = None, label: str = "") -> None:
        if path is not None:
            raise BadInput(
                "transcripts takes no --recognizer-path", f"put {JSONL} into each run directory"
            )
        self.label = label or "transcripts"
        self.parameters: dict[str, Any] = {}

    def require(self) -> None:
        """Nothing: a clip without a line is a failed score."""

    def transcript(self, pair: Pair) -> str:
        # A file that cannot be heard has no words, whatever was written down for it.
        _ = pair.degraded.sound
        of_recording = pair.of_recording
        found = None if pair.root is None else read_transcripts(pair.root)
        if found is None:
            raise Unscorable("no_transcripts", f"the run directory holds no {JSONL} or {CSV}")
        text = found.text(pair.clip, of_recording=of_recording)
        if text is None:
            side = "of the recording " if of_recording else ""
            raise Unscorable(
                "no_recording_transcript" if of_recording else "no_transcript",
                f"the transcripts hold no line {side}of {pair.clip.clip_id}",
            )
        return text

    def clip_inputs(self, root: Path, clip: RunClip, *, of_recording: bool) -> list[Any]:
        try:
            found = read_transcripts(root)
        except ToolkitError as error:
            return [str(error)]
        return [found and found.text(clip, of_recording=of_recording)]
