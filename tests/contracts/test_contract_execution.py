"""Every way of running a build keeps one promise: each item comes back once, whatever happens to a
worker, and the same as if it had been run here."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from pathlib import Path

import pytest

from manifests.dask_execution import create_executor
from manifests.errors import BadInput
from manifests.execution import Died, Executor

BACKENDS = ("local", "dask")


@pytest.fixture(params=BACKENDS)
def executor(request: pytest.FixtureRequest) -> Executor:
    return create_executor(str(request.param), jobs=2)


def square(n: int) -> int:
    return n * n


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def note(folder: Path, n: int) -> int:
    """Leaves one line a call in a file of its own."""
    with (folder / str(n)).open("a") as file:
        file.write("ran\n")
    return n


def die_once(folder: Path, n: int) -> int:
    """Item 3 takes its worker down the first time that it is run."""
    marker = folder / "died"
    if n == 3 and not marker.exists():
        marker.touch()
        kill_self()
    return note(folder, n)


def die_always(folder: Path, n: int) -> int:
    if n == 3:
        kill_self()
    return note(folder, n)


def refuse(n: int) -> int:
    if n == 2:
        raise BadInput("clip 2 is no clip", "take another")
    return n


def slow(folder: Path, n: int) -> int:
    time.sleep(0.2)
    return note(folder, n)


def test_results_are_those_of_a_serial_run(executor: Executor) -> None:
    results = list(executor.map(square, range(25)))
    assert sorted(r for r in results if not isinstance(r, Died)) == [n * n for n in range(25)]
    assert len(results) == 25


def test_nothing_to_do_starts_nothing(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("something was started")

    for starter in (
        "joblib.externals.loky.ProcessPoolExecutor",
        "distributed.Client",
        "distributed.LocalCluster",
    ):
        monkeypatch.setattr(starter, started)
    assert list(executor.map(square, [])) == []
    with pytest.raises(AssertionError, match="something was started"):
        list(executor.map(square, [1]))


def interrupts_blocked(_: int) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_workers_here_never_see_an_interrupt_not_even_while_they_start() -> None:
    """The mask is inherited: the first worker of a program is no exception."""
    assert list(create_executor("local", jobs=2).map(interrupts_blocked, range(4))) == [True] * 4


def test_a_worker_that_dies_loses_nothing(executor: Executor, tmp_path: Path) -> None:
    results = list(executor.map(functools.partial(die_once, tmp_path), range(8)))
    assert sorted(r for r in results if not isinstance(r, Died)) == list(range(8))
    assert len(results) == 8
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_item_that_kills_every_worker_is_the_only_one_lost(
    backend: str, jobs: int, tmp_path: Path
) -> None:
    """With one worker the others wait behind it every time, and are not to be blamed."""
    executor = create_executor(backend, jobs)
    results = list(executor.map(functools.partial(die_always, tmp_path), range(8)))
    died = [r for r in results if isinstance(r, Died)]
    assert [d.item for d in died] == [3]
    assert "died on it" in died[0].cause
    assert sorted(r for r in results if not isinstance(r, Died)) == [0, 1, 2, 4, 5, 6, 7]


def test_an_error_for_the_user_ends_the_run_as_it_is(executor: Executor) -> None:
    with pytest.raises(BadInput, match="clip 2 is no clip; take another") as caught:
        list(executor.map(refuse, range(4)))
    assert caught.value.exit_code == 2


def test_closing_early_stops_the_work(executor: Executor, tmp_path: Path) -> None:
    with contextlib.closing(executor.map(functools.partial(slow, tmp_path), range(200))) as results:
        first = next(results)
    assert isinstance(first, int)
    done = len(list(tmp_path.iterdir()))
    assert 1 <= done < 20
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == done


KEPT: list[bytes] = []


def swell(n: int) -> tuple[int, int]:
    """Keeps 350 MB more than before, and takes longer than the time between two looks at the memory."""
    KEPT.append(b"\1" * 350_000_000)
    time.sleep(1.1)
    return n, os.getpid()


def test_a_worker_that_is_replaced_for_its_memory_is_nothing_to_warn_of(
    recwarn: pytest.WarningsRecorder,
) -> None:
    found = list(create_executor("local", jobs=1).map(swell, range(4)))
    assert sorted(n for n, _ in found) == [0, 1, 2, 3]
    assert len({process for _, process in found}) > 1
    assert [str(warning.message) for warning in recwarn] == []
