"""Patterns that match the path of a file to a clip: `{speaker}_{stem}/lip2wav.wav`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import BadInput
from manifests.grammar import STEM_PATTERN
from manifests.tables import speaker_name, stem_name

FIELDS = ("speaker", "stem", "voice")
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What may become a file name of ours."""


@dataclass(frozen=True)
class Named:
    """The names that a path contains.

    Attributes:
        speaker: "" where the pattern does not ask for it.
        stem: the sentence's code, or any other name of the clip.
        voice: whose face gave the voice, "" where the pattern does not ask for it.
    """

    speaker: str
    stem: str
    voice: str = ""

    @property
    def is_safe(self) -> bool:
        names = (self.speaker or "s", self.stem, self.voice or "s")
        return all(SAFE_NAME.fullmatch(name) for name in names)


class Pattern:
    """A pattern over paths with `/`: `{speaker}`, `{stem}` and `{voice}` stand for a piece of a name
    (twice the same is the same text), `*` for any text without `/`, `**/` for any folders.

    Raises:
        BadInput: no `{stem}`, or another field.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        fields = re.findall(r"\{(.*?)\}", text)
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown or "stem" not in fields:
            what = f"has no field {{{unknown[0]}}}" if unknown else "has no {stem}"
            raise BadInput(
                f"the pattern {text!r} {what}",
                "use {speaker}, {stem} and {voice}, as in '{speaker}/{stem}.wav'",
            )
        # A stem of GRID is found even where nothing separates it from the speaker.
        grid = f"(?i:{STEM_PATTERN.pattern})"
        self._forms = [re.compile(_expression(text, stem)) for stem in (grid, "[^/]+?")]

    def match(self, path: str) -> Named | None:
        """Returns the names in a path relative to the folder, or None where it does not match."""
        for form in self._forms:
            found = form.fullmatch(path)
            if found:
                names = {"speaker": "", "voice": "", **found.groupdict()}
                return Named(
                    speaker_name(names["speaker"]),
                    stem_name(names["stem"]),
                    speaker_name(names["voice"]),
                )
        return None


def _expression(pattern: str, stem: str) -> str:
    seen: set[str] = set()
    pieces = []
    for token in re.split(r"(\{\w+\}|\*\*/|\*)", pattern):
        if token == "**/":
            pieces.append("(?:[^/]+/)*")
        elif token == "*":
            pieces.append("[^/]*")
        elif token[:1] == "{" and token[1:-1] in FIELDS:
            name = token[1:-1]
            body = stem if name == "stem" else "[^/]+?"
            pieces.append(f"(?P={name})" if name in seen else f"(?P<{name}>{body})")
            seen.add(name)
        else:
            pieces.append(re.escape(token))
    return "".join(pieces)


def files_below(folder: Path, *, but: Path | None = None) -> Iterator[str]:
    """Paths of all files, relative and with `/`, in order; links are followed, cycles are not.

    Args:
        but: a folder to leave out.

    Raises:
        BadInput: no folder.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder", "check the path")
    left_out = but.resolve() if but is not None else None
    visited: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in visited or (left_out is not None and Path(real) == left_out):
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        for name in sorted(files):
            yield (Path(here) / name).relative_to(folder).as_posix()
