"""The lists and results of VERSA (Shi et al., github.com/wavlab-speech/versa), and of Kaldi before it.

    wav.scp       KEY PATH, a line a file; the path is relative to where the command runs
    text          KEY WORDS
    result.jsonl  {"key": KEY, "pesq": 1.4, …}, a line a clip

VERSA counts a failed PESQ as 0.0. What failed here is written as null, which its summaries leave out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.metrics.base import FLOOR_SUFFIX
from evaluation.scoring.run import ScoredRun
from manifests.errors import BadInput
from manifests.io import atomic_open
from manifests.records import RunClip

SPEECH, RECORDINGS, TEXT, RESULTS = "pred.scp", "ref.scp", "text", "result.jsonl"
KEY_PATTERN = "{speaker}_{stem}"
"""Of the keys written here; a swap has `SPEAKER_STEM_VOICE`."""


@dataclass(frozen=True)
class Listed:
    """A line of a wav.scp."""

    key: str
    path: str


def read_scp(path: Path) -> tuple[Listed, ...]:
    """Reads a wav.scp.

    Raises:
        BadInput: no file, a line without a path, a key twice, or a line that is a command of a shell.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error})", "check the path") from None
    found: dict[str, Listed] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        key, _, rest = line.strip().partition(" ")
        if "\t" in key:
            key, _, rest = line.strip().partition("\t")
        target = rest.strip()
        where = f"{path}, line {number}"
        if not target:
            raise BadInput(f"{where} has no path", "write KEY PATH")
        if target.endswith("|"):
            raise BadInput(f"{where} is a command, not a file", "write the path of a sound file")
        if key in found:
            raise BadInput(f"{where} names {key} again", "remove a line")
        found[key] = Listed(key, target)
    return tuple(found.values())


def key_of(clip: RunClip) -> str:
    """The key of a clip, without white space."""
    voice = "" if clip.voice in ("", clip.speaker) else f"_{clip.voice}"
    return f"{clip.speaker}_{clip.stem}{voice}"


def write_versa(item: ScoredRun, out: Path) -> list[Path]:
    """Writes a run as VERSA's lists, and its scores as VERSA's results; returns the files.

    Clips without a recording are in no `ref.scp`, which then is shorter than `pred.scp`; VERSA matches
    the two by place, so `pred.scp` lists them last.
    """
    run = item.run
    clips = sorted(run.clips, key=lambda clip: (run.reference(clip) is None, key_of(clip)))
    lists: dict[str, list[str]] = {
        SPEECH: [f"{key_of(c)} {_from_here(run.wav(c))}" for c in clips],
        RECORDINGS: [
            f"{key_of(c)} {_from_here(reference)}"
            for c in clips
            if (reference := run.reference(c)) is not None
        ],
        TEXT: [f"{key_of(c)} {' '.join(c.sentence.split())}" for c in clips if c.sentence],
    }
    names = list(dict.fromkeys(n for _, n in item.scores if not n.endswith(FLOOR_SUFFIX)))
    lists[RESULTS] = [
        json.dumps({"key": key_of(c), **_values(item, c, names)}, allow_nan=False) for c in clips
    ]
    written = []
    for name, lines in lists.items():
        if lines and (name != RESULTS or names):
            with atomic_open(out / name) as file:
                file.write("".join(f"{line}\n" for line in lines))
            written.append(out / name)
    return written


def _from_here(path: Path) -> str:
    return Path(os.path.relpath(path)).as_posix()


def _values(item: ScoredRun, clip: RunClip, names: Sequence[str]) -> dict[str, float | None]:
    known = {name: item.scores.get((clip.label, name)) for name in names}
    return {name: score.value for name, score in known.items() if score is not None}
