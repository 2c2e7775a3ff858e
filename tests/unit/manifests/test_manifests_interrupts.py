"""Ctrl-C at any moment: one line, exit code 130, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = {"gridprep": "gridprep", "facetron": "facetron", "facetron-eval": "evaluation"}
COMMANDS = {
    "gridprep": ["build", "--help"],
    "facetron": ["train", "--help"],
    "facetron-eval": ["score", "--help"],
}
AT_IMPORT = """
import os, runpy, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
        return None

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupts())
sys.argv = [{program!r}, *{arguments!r}]
runpy.run_module({package!r}, run_name="__main__", alter_sys=False)
print("not interrupted")
"""


def run_code(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("module", ["click", "tqdm", "manifests.console", "manifests.errors"])
def test_an_interrupt_while_a_program_loads_is_one_line(program: str, module: str) -> None:
    ended = run_code(
        AT_IMPORT.format(
            module=module,
            program=program,
            package=PROGRAMS[program],
            arguments=COMMANDS[program],
        )
    )
    assert ended.stderr == (
        f"{program}: interrupted; what was finished is kept, run it again to go on\n"
    )
    assert (ended.returncode, ended.stdout) == (130, "")


def test_an_interrupt_while_torch_loads_is_one_line(tmp_path: Path) -> None:
    code = AT_IMPORT.format(
        module="torch._C", program="facetron", package="facetron", arguments=["info"]
    )
    ended = run_code(code)
    assert ended.stderr == (
        "facetron: interrupted; what was finished is kept, run it again to go on\n"
    )
    assert ended.returncode == 130


BODY = """
import os, signal, sys
from manifests.interrupts import quiet
signal.signal(signal.SIGINT, {before})
with quiet("prog"):
    {inside}
{after}
"""


def body(inside: str, before: str = "signal.default_int_handler", after: str = "") -> str:
    return BODY.format(inside=inside, before=before, after=after)


INTERRUPT = "os.kill(os.getpid(), signal.SIGINT)"


def test_between_two_imports_it_is_the_same_line() -> None:
    ended = run_code(body(INTERRUPT))
    assert ended.returncode == 130
    assert ended.stderr.count("\n") == 1


def test_a_program_may_answer_it_itself() -> None:
    ended = run_code(body(f"try: {INTERRUPT}\n    except KeyboardInterrupt: sys.exit(7)"))
    assert (ended.returncode, ended.stderr) == (7, "")


def test_while_python_shuts_down_it_ends_quietly() -> None:
    ended = run_code(body("pass", after=INTERRUPT))
    assert (ended.returncode, ended.stderr) == (130, "")


def test_where_it_is_ignored_it_stays_ignored() -> None:
    ended = run_code(body(INTERRUPT, before="signal.SIG_IGN", after="print('done')"))
    assert (ended.returncode, ended.stdout) == (0, "done\n")


def test_importing_is_seen_through_the_stack() -> None:
    from manifests.interrupts import importing

    assert not importing(sys._getframe())
    assert not importing(None)
