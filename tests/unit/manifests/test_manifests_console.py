"""The terminal: lazy commands, one line an error, progress that suits where it is shown."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable

import click
import pytest

from manifests import console
from manifests.console import LazyGroup, Progress, format_table, run
from manifests.errors import BadInput, Locked, MissingDependency, TooManyFailures


def group_of(callback: Callable[[], object]) -> click.Group:
    group = click.Group()
    group.add_command(click.Command("do", callback=callback))
    return group


def fails(error: BaseException) -> Callable[[], object]:
    def callback() -> None:
        raise error

    return callback


def code_of(callback: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["prog", "do"])
    with pytest.raises(SystemExit) as stop:
        run(group_of(callback), "prog")
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BadInput("x is bad", "mend it"), 2, "prog: x is bad; mend it\n"),
        (MissingDependency("no torch", "get it"), 3, "prog: no torch; get it\n"),
        (Locked("busy", "wait"), 4, "prog: busy; wait\n"),
        (TooManyFailures("7 failed"), 5, "prog: 7 failed\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/out/x"),
            2,
            "prog: /out/x: No space left on device; free space or choose another folder\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            2,
            "prog: No space left on device; free space or choose another folder\n",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/out/x"),
            2,
            "prog: /out/x: Read-only file system; choose a path that is not read-only\n",
        ),
        (
            ModuleNotFoundError("No module named 'librosa'", name="librosa.sequence"),
            3,
            "prog: librosa.sequence is not installed; pip install 'facetron-toolkit[eval]'\n",
        ),
        (
            ImportError("libGL.so.1: cannot open shared object file: No such file or directory"),
            3,
            "prog: libGL.so.1 is missing on this system; apt-get install libgl1\n",
        ),
        (
            ImportError("libodd.so.9: cannot open shared object file: No such file or directory"),
            3,
            "prog: libodd.so.9 is missing on this system; install the system's package that has it\n",
        ),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_an_error_is_one_line_and_a_code(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert code_of(fails(error), monkeypatch) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", line)


def test_an_interrupt_says_that_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(fails(KeyboardInterrupt()), monkeypatch) == 130
    error = capsys.readouterr().err.strip()
    assert error == "prog: interrupted; what was finished is kept, run it again to go on"


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["prog", "do"])
    with pytest.raises(ZeroDivisionError):
        run(group_of(fails(ZeroDivisionError())), "prog")
    with pytest.raises(OSError, match="no number"):
        run(group_of(fails(OSError("no number"))), "prog")


def test_a_module_of_ours_that_is_gone_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["prog", "do"])
    with pytest.raises(ModuleNotFoundError):
        run(group_of(fails(ModuleNotFoundError("gone", name="gridprep.gone"))), "prog")
    with pytest.raises(ImportError):
        run(group_of(fails(ImportError("cannot import name 'x'"))), "prog")


PROGRAM = """
import click, sys
from manifests.console import Progress, run, warn_once
from manifests.errors import BadInput

@click.command()
@click.option("--bad", is_flag=True)
def program(bad):
    with Progress(3, "work") as progress:
        progress.update(3)
    warn_once("odd ✗")
    warn_once("odd ✗")
    click.echo("done → ✓")
    if bad:
        raise BadInput("x – is bad", "mend it")

run(program, "prog")
"""


def started(shell: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" "${{@:2}}" {shell}', sys.executable, PROGRAM, *arguments],
        capture_output=True,
        env={**os.environ, **environment},
        timeout=120,
    )


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1252:strict"])
def test_a_console_that_lacks_a_character_gets_a_question_mark(encoding: str) -> None:
    ended = started("", "--bad", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert ended.returncode == 2
    assert ended.stdout.rstrip() == b"done ? ?"
    assert b"Traceback" not in ended.stderr
    assert b"is bad; mend it" in ended.stderr
    assert ended.stderr.count(b"warning: odd") == 1


@pytest.mark.parametrize("closed", ["2>&-", "<&-", "<&- 2>&-"])
def test_a_closed_stream_does_not_matter(closed: str) -> None:
    ended = started(closed)
    assert ended.returncode == 0
    assert ended.stdout.decode().rstrip() == "done → ✓"
    assert b"Traceback" not in ended.stderr
    assert started(closed, "--bad").returncode == 2


def test_all_streams_may_be_closed() -> None:
    assert started("<&- >&- 2>&-").returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_under_standard_output_is_one_line() -> None:
    ended = started(">/dev/full")
    assert ended.returncode == 2
    assert ended.stderr.decode().splitlines()[-1] == (
        "prog: No space left on device; free space or choose another folder"
    )
    assert b"Traceback" not in ended.stderr
    assert b"Exception ignored" not in ended.stderr


def test_a_command_returns_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(lambda: 6, monkeypatch) == 6
    assert code_of(lambda: None, monkeypatch) == 0


def test_bad_usage_is_clicks_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["prog", "undo"])
    with pytest.raises(SystemExit) as stop:
        run(group_of(lambda: None), "prog")
    assert stop.value.code == 2
    assert "No such command 'undo'" in capsys.readouterr().err


def test_a_name_that_is_no_unicode_can_be_printed(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    error = BadInput(os.fsdecode(b"caf\xe9.mpg is bad"))
    assert code_of(fails(error), monkeypatch) == 2
    assert b"is bad" in capfdbinary.readouterr().err


def test_commands_are_imported_when_they_are_used() -> None:
    group = LazyGroup("g", lazy={"json": "json:tool", "loads": "json:loads", "gone": "no_such:x"})
    context = click.Context(group)
    assert group.list_commands(context) == ["json", "loads", "gone"]
    assert group.get_command(context, "unknown") is None
    with pytest.raises(TypeError, match="json:loads is not a click command"):
        group.get_command(context, "loads")
    with pytest.raises(ModuleNotFoundError):
        group.get_command(context, "gone")


# -- progress ---------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    return clock


def test_a_log_gets_a_line_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(100, "build") as progress:
        for _ in range(50):
            clock.now_s += 0.5
            progress.update(failures=3)
        clock.now_s += 0.5
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "build: 20/100 clips, 2.0 clips/s, 3 failures, 40 s left",
        "build: 40/100 clips, 2.0 clips/s, 3 failures, 30 s left",
        "build: 50/100 clips, 2.0 clips/s, 3 failures, 26 s left",
    ]


def test_bytes_are_shown_in_megabytes(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(10_000_000, "s1", unit="B") as progress:
        clock.now_s = 2.0
        progress.update(4_000_000)
    assert capsys.readouterr().err == "s1: 4.0/10.0 MB, 2.0 MB/s, 3 s left\n"


def test_nothing_done_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(0, "build"):
        pass
    with Progress(5, "build"):
        clock.now_s += 100
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress(4, "build") as progress:
        progress.update(2, failures=1)
        progress.update(2)
    shown = capsys.readouterr().err
    assert "build: 100%" in shown
    assert "4/4" in shown
    assert "failures=1" in shown


def test_tables_are_aligned() -> None:
    assert format_table(("name", "n"), [("a", 1), ("longer", 20)]) == (
        "name     n\n------  --\na        1\nlonger  20"
    )
    assert format_table(("name", "n"), []) == "name  n\n----  -"
