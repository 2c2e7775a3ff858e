"""Terminal helpers of the three programs: lazy commands, one-line errors, progress displays.

On a terminal long work shows a tqdm bar; in a log (no terminal) it prints a plain line every few
seconds instead, so that a cluster's log stays readable.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

import click
from tqdm import tqdm

from manifests import interrupts
from manifests.errors import BadInput, MissingDependency, ToolkitError, remedy_of
from manifests.libraries import install_line, system_line

LOG_EVERY_S = 10.0
_warned: set[str] = set()


class LazyGroup(click.Group):
    """A click group whose commands are `name → "module:attribute"`, imported when first used.

    `gridprep --help` must not wait for OpenCV, and a missing optional library must not break the
    commands that do not need it.
    """

    def __init__(self, *args: Any, lazy: dict[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return None
        module, attribute = self.lazy[cmd_name].split(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.lazy[cmd_name]} is not a click command")
        return command


def run(group: click.Command, program: str) -> None:
    """Runs a program to its end and exits.

    A `ToolkitError` becomes one line and its exit code, and so do a missing library and an error of
    the file system; Ctrl-C becomes one line and exit code 130, a closed output pipe exit code 141.

    Args:
        group: the program's commands.
        program: its name as typed, which begins every line.
    """
    _prepare_streams()
    sys.exit(_code_of(group, program))


def _code_of(group: click.Command, program: str) -> int:
    try:
        code = group.main(prog_name=program, standalone_mode=False)
        sys.stdout.flush()
    except ToolkitError as error:
        click.echo(f"{program}: {error}", err=True)
        return error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo(interrupts.message(program), err=True)
        return interrupts.EXIT_CODE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        _discard_output()
        return 141
    except ModuleNotFoundError as error:
        line = install_line(error.name or "", program)
        if line is None:
            raise
        click.echo(f"{program}: {error.name} is not installed; {line}", err=True)
        return MissingDependency.exit_code
    except ImportError as error:
        line = system_line(error)
        if line is None:
            raise
        click.echo(f"{program}: {line}", err=True)
        return MissingDependency.exit_code
    except OSError as error:
        if error.errno is None:
            raise
        # Full disk, no permission, read-only folder: the file system's word, with the file's name.
        name = f"{error.filename}: " if error.filename else ""
        _discard_output()
        click.echo(f"{program}: {name}{error.strerror}; {remedy_of(error)}", err=True)
        return BadInput.exit_code
    return code if isinstance(code, int) else 0


def _prepare_streams() -> None:
    """Makes the standard streams writable whatever they are.

    A terminal or log whose encoding lacks a character (`→` in cp1252) gets `?` in its place. A
    stream that the caller closed becomes the null device, under its own number, so that no file of
    ours is opened there and written into by a C library's warnings.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 (lives as long as the process)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(
            stream, "reconfigure", None
        )  # absent where a test took the stream's place
        if reconfigure is not None:
            reconfigure(errors="replace")


def _discard_output() -> None:
    """Sends what standard output still holds nowhere: its reader is gone or its disk is full, and
    Python would complain about that once more while it shuts down."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn_once(message: str) -> None:
    """Prints `warning: …` on standard error, the same message once per process."""
    if message not in _warned:
        _warned.add(message)
        click.echo(f"warning: {message}", err=True)


class Progress:
    """A progress display that suits where it is shown.

    Args:
        total: number of items.
        description: name of the work, such as `build`.
        unit: name of an item, `clip`; `B` counts bytes and is shown in MB.
    """

    def __init__(self, total: int, description: str, unit: str = "clip") -> None:
        self.total, self.description, self.unit = total, description, unit
        self.done = 0
        self.notes: dict[str, Any] = {}
        self._started_s = time.monotonic()
        self._logged_s = self._started_s
        self._bar = (
            tqdm(
                total=total, desc=description, unit=unit, unit_scale=unit == "B", dynamic_ncols=True
            )
            if sys.stderr.isatty()
            else None
        )

    def update(self, n: int = 1, **notes: Any) -> None:
        """Counts `n` more items; `notes` (such as `failures=3`) are shown beside the count."""
        self.done += n
        self.notes.update(notes)
        if self._bar is not None:
            if notes:
                self._bar.set_postfix(self.notes, refresh=False)
            self._bar.update(n)
        elif time.monotonic() - self._logged_s >= LOG_EVERY_S:
            self._log()

    def _log(self) -> None:
        self._logged_s = time.monotonic()
        elapsed_s = max(self._logged_s - self._started_s, 1e-9)
        rate = self.done / elapsed_s
        left_s = (self.total - self.done) / rate if rate > 0 else float("nan")
        notes = "".join(f", {value} {key}" for key, value in self.notes.items())
        if self.unit == "B":
            count = f"{self.done / 1e6:.1f}/{self.total / 1e6:.1f} MB, {rate / 1e6:.1f} MB/s"
        else:
            count = f"{self.done}/{self.total} {self.unit}s, {rate:.1f} {self.unit}s/s"
        click.echo(f"{self.description}: {count}{notes}, {left_s:.0f} s left", err=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self.done and self.total:
            self._log()


def pairs_of(option: str, texts: Iterable[str], form: str = "NAME=VALUE") -> dict[str, str]:
    """Parses what a repeated option was given: `NAME=VALUE` → name → value. Raises `BadInput`."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise BadInput(f"{option} {text!r} is not {form}", f"write {option} {form}")
        pairs[name] = value
    return pairs


def print_json(value: dict[str, Any]) -> None:
    """Prints one JSON object on standard output, for scripts (`--json`). Progress and errors stay on
    standard error; NaN and names that are no UTF-8 are refused and escaped."""
    click.echo(json.dumps(value, allow_nan=False))


def format_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A plain aligned table: first column left, the others right."""
    cells = [[str(c) for c in columns], *[[str(c) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])
