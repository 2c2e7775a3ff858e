"""What the three programs share on the terminal: lazy commands, one-line errors, progress.

On a terminal long work shows a tqdm bar; in a log (no terminal) it prints a plain line every few
seconds instead, so that a cluster's log stays readable.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import click
from tqdm import tqdm

from manifests.errors import BadInput, ToolkitError

LOG_EVERY_S = 10.0


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
    """Entry point of a program: `ToolkitError` becomes one line and its exit code, Ctrl-C 130."""
    try:
        code = group.main(prog_name=program, standalone_mode=False)
    except ToolkitError as error:
        click.echo(f"{program}: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo(
            f"{program}: interrupted; what was finished is kept, run it again to go on", err=True
        )
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:
        if error.errno is None:
            raise
        # Full disk, no permission, read-only folder: the file system's word, with the file's name.
        name = f"{error.filename}: " if error.filename else ""
        click.echo(f"{program}: {name}{error.strerror}; free space or check the path", err=True)
        sys.exit(BadInput.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


class Progress:
    """A progress display that suits where it is shown.

    Args:
        total: number of items.
        description: what is being done, `build`.
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
