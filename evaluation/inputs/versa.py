"""The lists and results of VERSA (Shi et al., github.com/wavlab-speech/versa), and of Kaldi before it.

    wav.scp       KEY PATH, a line a file; the path is relative to where the command runs
    text          KEY WORDS
    result.jsonl  {"key": KEY, "pesq": 1.4, …}, a line a clip; older releases write Python's {'key': …}

A run directory may hold such results as `versa.jsonl`: their numbers become columns
(`evaluation.metrics.external`). VERSA counts a failed PESQ as 0.0, so a PESQ of exactly 0 is no score.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from manifests.errors import BadInput
from manifests.records import RunClip

FILE = "versa.jsonl"
EDITS = ("delete", "insert", "replace", "equal")
"""Ends of the fields that count a recognizer's words: `whisper_wer_delete` and the like."""


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


Results = dict[str, dict[str, float | tuple[int, ...]]]
"""Key → field → number, or (deletions, insertions, substitutions, hits) of a recognizer."""


def read_results(path: Path) -> Results:
    """Reads results of VERSA; each file once, as long as it stays the same.

    Raises:
        BadInput: no file, a line that holds no result, or a key twice.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})", "check the path") from None
    return _results(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _results(path: Path, _mtime_ns: int, _size: int) -> Results:
    found: Results = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        values = _parsed(line)
        where = f"{path}, line {number}"
        if not isinstance(values, dict) or not isinstance(values.get("key"), str):
            raise BadInput(f"{where} is no result of VERSA", 'write {"key": …, "pesq": …}')
        key = _short(values["key"])
        if key in found:
            raise BadInput(f"{where} names {values['key']} again", "remove a line")
        found[key] = _fields(values)
    return found


def _parsed(line: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(line)
        except (ValueError, SyntaxError):
            continue
    return None


def _fields(values: dict[str, Any]) -> dict[str, float | tuple[int, ...]]:
    numbers = {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }
    found: dict[str, float | tuple[int, ...]] = {}
    for name, value in numbers.items():
        stem, _, end = name.rpartition("_")
        counts = [numbers.get(f"{stem}_{each}") for each in EDITS]
        if end in EDITS and None not in counts:
            found[stem] = tuple(int(each) for each in counts if each is not None)
        elif name != "pesq" or value != 0:
            found[name] = value
    return found


def _short(key: str) -> str:
    """A key that is a path by its last folder and name, without the ending."""
    path = PurePosixPath(key)
    return "/".join(path.with_suffix("").parts[-2:]) if "/" in key else key


def result_of(results: Results, clip: RunClip) -> dict[str, float | tuple[int, ...]]:
    """The numbers of a clip, under its key or the path of its sound; empty where there are none."""
    return results.get(key_of(clip)) or results.get(_short(clip.wav)) or {}


def fields_of(root: Path, clips: Sequence[RunClip]) -> tuple[str, ...]:
    """The fields that a run directory's results have for any of its clips, none without a file."""
    if not (root / FILE).is_file():
        return ()
    results = read_results(root / FILE)
    return tuple(dict.fromkeys(name for clip in clips for name in result_of(results, clip)))
