"""Protection of inputs: every output of a command is checked against every input and every other
output before any work, so that no command overwrites a file that it reads.

`Command` makes the check on the command line: all commands of the three programs are of that class,
and a test verifies it. `check_outputs` is the same check for callers of the library.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from manifests.errors import BadInput

AnyPath = str | os.PathLike[str]
Paths = AnyPath | Sequence[AnyPath] | None

OUTPUT_OPTIONS = frozenset({"--out", "--csv", "--wav", "--to"})
"""Options that name what a command writes; an argument called OUT does so too."""


def check_outputs(inputs: Mapping[str, Paths], outputs: Mapping[str, Paths]) -> None:
    """Refuses outputs that would replace an input or each other; writes nothing.

    Two names are the same thing where one is a link to the other (symbolic or hard), or where they
    differ in nothing but case or the composition of accents, since many file systems take them for
    one. An output may lie in a folder that is an input, but not be a file that is there already.

    Args:
        inputs: name of an option or argument → its path or paths, None where it was not given. A
            `manifest.jsonl` stands for its folder as well.
        outputs: the same for the outputs.

    Raises:
        BadInput: an output is an input or another output; the message names both.

    Examples:
        >>> check_outputs({"VIDEO": "clip.mpg"}, {"--out": "spoken.mp4"})
        >>> check_outputs({"VIDEO": "clip.mp4"}, {"--out": "Clip.mp4"})
        Traceback (most recent call last):
            ...
        manifests.errors.BadInput: --out Clip.mp4 is VIDEO clip.mp4 itself; choose another --out
    """
    read = [(name, path) for name, paths in inputs.items() for path in _each(paths)]
    written = [(name, path) for name, paths in outputs.items() for path in _each(paths)]
    for number, (name, path) in enumerate(written):
        for other_name, other in read:
            if _same(path, other):
                raise BadInput(
                    f"{name} {path} is {other_name} {other} itself", f"choose another {name}"
                )
            if _is_file_of(path, _folder(other)):
                raise BadInput(
                    f"{name} {path} is a file of {other_name} {other}", f"choose another {name}"
                )
        for other_name, other in written[:number]:
            if _same(path, other):
                raise BadInput(
                    f"{name} {path} is {other_name} {other} as well", f"choose another {name}"
                )


def _each(paths: Paths) -> Iterator[Path]:
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    yield from (Path(path) for path in paths or () if os.fspath(path))


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there (yet): their names have to tell
        return _folded(one) == _folded(other)


def _folded(path: Path) -> str:
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def _folder(path: Path) -> Path:
    return path.parent if path.name == "manifest.jsonl" else path


def _is_file_of(path: Path, folder: Path) -> bool:
    """Returns whether `path` is a file that exists in `folder` or below it."""
    if not path.is_file() or not folder.is_dir():
        return False
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents


class Command(click.Command):
    """A command that checks its outputs before it does anything.

    Outputs are the options of `OUTPUT_OPTIONS` and an argument OUT; inputs are all other parameters
    of type `click.Path`, and files named behind `=` or `:` in options of text, as in
    `--landmark-option fan_weights=FILE` and `--face image:FILE`.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. Raises `BadInput` as `check_outputs` does."""
        inputs: dict[str, list[AnyPath]] = {}
        outputs: dict[str, list[AnyPath]] = {}
        for parameter in self.params:
            given = ctx.params.get(parameter.name or "")
            values = [given] if isinstance(given, str | os.PathLike) else given
            if not isinstance(values, list | tuple):
                continue
            name = told_as(parameter)
            if is_output(parameter):
                outputs[name] = list(values)
            elif isinstance(parameter.type, click.Path):
                inputs[name] = list(values)
            else:
                inputs[name] = [f for v in values for f in _files_in(v)]
        check_outputs(inputs, outputs)
        return super().invoke(ctx)


class Group(click.Group):
    """A group whose commands are `Command`s."""

    command_class = Command


def is_output(parameter: click.Parameter) -> bool:
    """Returns whether a parameter names what its command writes."""
    if isinstance(parameter, click.Argument):
        return parameter.name == "out"
    return bool(OUTPUT_OPTIONS & set(parameter.opts))


def told_as(parameter: click.Parameter) -> str:
    """The name of a parameter on the command line: `--out`, `VIDEO`."""
    if isinstance(parameter, click.Argument):
        return (parameter.name or "").upper()
    return max(parameter.opts, key=len)


def _files_in(value: object) -> Iterator[str]:
    """Files that a text names behind its first `=` or `:`."""
    if isinstance(value, str):
        for mark in "=:":
            tail = value.partition(mark)[2]
            if tail and os.path.isfile(tail):
                yield tail
