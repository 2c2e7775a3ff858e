"""Run directories: synthesized speech of any model, or faces made from speech, in the form that
`facetron-eval` scores.

    run_dir/
      run.json                   RunInfo: name, kind, split, parameters, versions, clips requested
      clips.jsonl                RunClip lines, written last: without it a run is not finished
      failures.jsonl             ClipFailure lines, with the reason
      wavs/<speaker>/<stem>.wav  PCM16 mono
      pictures/<speaker>/<stem>.png  in the place of wavs, in a run of kind `faces`

The recordings are not copied. `reference` is their path relative to the run directory, so a run and
the build beside it can be moved together; it is absolute only where no relative path exists (another
drive). Every wav and every picture carries the key of what it was made from in its comment, in the
file itself, so a run killed at any moment goes on where it stopped and never keeps one of other
parameters.

Speech and pictures are measured by other metrics: `read_run` reads runs of speech only,
`read_picture_run` runs of pictures only, and each refuses the other's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from manifests.errors import BadInput, ManifestError
from manifests.io import read_json, read_jsonl, write_json, write_jsonl
from manifests.lock import LOCK, held
from manifests.ordering import natural
from manifests.records import ClipFailure, ManifestRow, RunClip, RunInfo

RUN_FILE = "run.json"
CLIPS_FILE = "clips.jsonl"
FAILURES_FILE = "failures.jsonl"
KINDS = ("model", "control", "resynthesis", "recording")
"""Origin of a run's sound: a system, a control (such as lips of another clip), recorded mels through a
vocoder, or the recordings themselves. Only models compete for bold type."""
FACES = "faces"
"""Kind of a run of pictures made from speech, the control of shuffled speech included
(`RunInfo.shuffled_speech`)."""
SAME_RUN = ("name", "kind", "split", "subset")


def wav_path(speaker: str, stem: str) -> str:
    """Path of a clip's wav inside a run directory."""
    return f"wavs/{speaker}/{stem}.wav"


def picture_path(speaker: str, stem: str, variant: str = "") -> str:
    """Path of a picture inside a run directory: `pictures/s1/bbaf2n.png`, `pictures/s1/bbaf2n.z1.png`."""
    return f"pictures/{speaker}/{stem}{f'.{variant}' if variant else ''}.png"


def content_key(*parts: Any) -> str:
    """16 hex digits over plain values and bytes: equal keys mean that equal sound would be made."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()[:16]


def relative_reference(run_dir: Path, target: Path) -> str:
    """POSIX path from the run directory to a file elsewhere; absolute where there is none."""
    # Real paths: `..` after a symbolic link leads out of the link's target, not back.
    run_dir, target = Path(os.path.realpath(run_dir)), Path(os.path.realpath(target))
    try:
        return Path(os.path.relpath(target, run_dir)).as_posix()
    except ValueError:
        return target.as_posix()


@dataclass(frozen=True)
class RunReport:
    """What became of the clips that a run was asked for: `wrote + kept + len(failures) == asked`,
    always; `kept` ones were there from an earlier run."""

    asked: int
    wrote: int
    kept: int
    failures: tuple[ClipFailure, ...]


def run_clip(
    row: ManifestRow, root: Path, build: Path, reference: str = "audio", **made: Any
) -> RunClip:
    """A clip of the run in `root`, with what a row of the build knows of it.

    Args:
        build: folder of the manifest.
        reference: the feature of the row that is the clip's reference, where the row has it.
        made: the other fields of a `RunClip`.
    """
    real = row.paths.get(reference)
    return RunClip(
        speaker=row.speaker,
        stem=row.stem,
        sentence=row.sentence,
        gender=row.gender,
        reference=relative_reference(root, build / real) if real else "",
        **made,
    )


def open_run(root: Path, info: RunInfo) -> None:
    """Prepares a new run directory, or an earlier one of the same run to go on with.

    The old `clips.jsonl` goes first, so that an interrupted run is never scored as a finished one.

    Raises:
        BadInput: the folder holds another run, or something that is no run.
    """
    _check_free(root, info)
    for name in (CLIPS_FILE, FAILURES_FILE):
        (root / name).unlink(missing_ok=True)
    for leftover in root.rglob(".tmp-*"):  # of a killed run
        leftover.unlink(missing_ok=True)
    write_json(root / RUN_FILE, info.to_dict())


@contextlib.contextmanager
def running(root: Path, info: RunInfo) -> Iterator[None]:
    """`open_run` while no other process writes to the folder. Raises `Locked`, or as `open_run`."""
    _check_free(root, info)  # before the lock leaves its file in somebody's folder
    with held(root, "wait for it or choose another --out"):
        open_run(root, info)
        yield


def check_name(name: str) -> None:
    """Raises `BadInput` for a name that no table could print."""
    if not name.strip():
        raise BadInput("the name of the run is empty", "name the system with --name")


def _check_free(root: Path, info: RunInfo) -> None:
    check_name(info.name)
    if (root / RUN_FILE).exists():
        earlier = read_info(root)
        for field in SAME_RUN:
            mine, theirs = getattr(info, field), getattr(earlier, field)
            if mine != theirs:
                raise BadInput(
                    f"{root} holds a run whose {field} is {theirs!r}, not {mine!r}",
                    "choose another --out or delete that folder",
                )
    elif root.exists() and (not root.is_dir() or any(path.name != LOCK for path in root.iterdir())):
        raise BadInput(f"{root} exists and is no run directory", "choose another --out")


def close_run(root: Path, clips: Iterable[RunClip], failures: Iterable[ClipFailure]) -> None:
    """Writes the lists, sorted by speaker and stem; `clips.jsonl` last."""
    failed: list[ClipFailure] = sorted(failures, key=_order)
    made: list[RunClip] = sorted(clips, key=_order)
    write_jsonl(root / FAILURES_FILE, "failures", failed)
    write_jsonl(root / CLIPS_FILE, "run-clips", made)


def _order(item: RunClip | ClipFailure) -> tuple[Any, str]:
    return natural(item.speaker), item.stem


def _check_info(path: Path, info: RunInfo, kinds: Sequence[str]) -> None:
    complaints = []
    if not isinstance(info.name, str) or not info.name.strip():
        complaints.append("name is empty")
    if info.kind not in kinds:
        complaints.append(f"kind {json.dumps(info.kind)} is none of {', '.join(kinds)}")
    if not isinstance(info.n_expected, int) or info.n_expected < 0:
        complaints.append(f"n_expected is {json.dumps(info.n_expected)}")
    if complaints:
        raise ManifestError(f"{path}: {'; '.join(complaints)}", "correct it")


def read_info(root: Path) -> RunInfo:
    """`run.json` of a run directory. Raises `ManifestError` that names the file."""
    values = read_json(root / RUN_FILE)
    if not isinstance(values, dict):
        raise ManifestError(f"{root / RUN_FILE} is not a JSON object", "write it again")
    try:
        return RunInfo.from_dict(values)
    except (ManifestError, TypeError) as error:
        raise ManifestError(f"{root / RUN_FILE}: {error}", "write it again") from None


def read_run(root: Path) -> tuple[RunInfo, list[RunClip], list[ClipFailure]]:
    """Reads a finished run directory of speech: its origin, clips and failures.

    Raises:
        ManifestError: not a run directory, an unfinished one, or a file of it is damaged; a clip that is
            listed twice or names no WAV file.
        BadInput: a run of pictures.
    """
    info, clips, failures = _read(root)
    if info.kind == FACES:
        raise BadInput(
            f"{root} is a run of pictures (kind {FACES}), which no metric of speech can score",
            "give runs of speech here, and score pictures by themselves",
        )
    _check_info(root / RUN_FILE, info, KINDS)
    _check_clips(root, clips, "wav")
    return info, clips, failures


def read_picture_run(root: Path) -> tuple[RunInfo, list[RunClip], list[ClipFailure]]:
    """Reads a finished run directory of pictures made from speech (kind `faces`), like `read_run`.

    Raises:
        ManifestError: as `read_run`; a line that names no picture.
        BadInput: a run of speech.
    """
    info, clips, failures = _read(root)
    if info.kind in KINDS:
        raise BadInput(
            f"{root} is a run of speech (kind {info.kind}), not of pictures",
            "give a run directory that `facetron draw` wrote",
        )
    _check_info(root / RUN_FILE, info, (FACES,))
    _check_clips(root, clips, "picture")
    return info, clips, failures


def _read(root: Path) -> tuple[RunInfo, list[RunClip], list[ClipFailure]]:
    if not root.is_dir():
        raise ManifestError(
            f"{root} is not a folder", "pass a run directory (the folder of a run.json)"
        )
    for name in (RUN_FILE, CLIPS_FILE):
        if not (root / name).is_file():
            raise ManifestError(
                f"{root} is no run directory: {name} is missing",
                "pass the folder that `facetron` wrote, or write run.json and clips.jsonl",
            )
    info = read_info(root)
    _, clips = read_jsonl(root / CLIPS_FILE, "run-clips", RunClip)
    failures: list[ClipFailure] = []
    if (root / FAILURES_FILE).exists():
        _, failures = read_jsonl(root / FAILURES_FILE, "failures", ClipFailure)
    return info, clips, failures


def _check_clips(root: Path, clips: Sequence[RunClip], what: Literal["wav", "picture"]) -> None:
    """Checks that each clip names its file of a kind, and that none is listed twice."""
    seen: set[str] = set()
    for clip in clips:
        if clip.label in seen:
            raise ManifestError(f"{root / CLIPS_FILE} lists {clip.label} twice", "remove one line")
        if not getattr(clip, what):
            raise ManifestError(
                f"{root / CLIPS_FILE}: {clip.label} names no {what}", "write it again"
            )
        seen.add(clip.label)
