"""What each way of running has of its own; `test_contract_execution` has what they share."""

from __future__ import annotations

import builtins
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from manifests import dask_execution as execution
from manifests.dask_execution import DaskExecutor, Shared, create_executor
from manifests.errors import BadInput, MissingDependency, ToolkitError
from manifests.execution import Died, LocalExecutor


def test_unknown_ways_are_one_line() -> None:
    with pytest.raises(BadInput, match="unknown execution backend 'slurm'; use local or dask"):
        create_executor("slurm", 2)
    with pytest.raises(BadInput, match="--jobs 0; use at least one"):
        create_executor("local", 0)
    with pytest.raises(BadInput, match="--scheduler is for --backend dask"):
        create_executor("local", 1, "tcp://host:8786")


def test_dask_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def no_distributed(name: str, *rest: Any, **more: Any) -> Any:
        if name == "distributed":
            raise ImportError(name)
        return real_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", no_distributed)
    with pytest.raises(MissingDependency, match=r"pip install 'facetron-toolkit\[dask\]'"):
        create_executor("dask", 1)


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "CONNECT_TIMEOUT", "300ms")
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(BadInput, match=f"no Dask scheduler answers at {address}") as caught:
            list(create_executor("dask", 1, address).map(abs, [1]))
        assert "\n" not in str(caught.value)


def test_a_running_scheduler_is_used_and_left_running() -> None:
    import distributed

    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        results = DaskExecutor(1, cluster.scheduler_address).map(abs, [-1, -2])
        assert sorted(results) == [1, 2]  # type: ignore[type-var]
        with distributed.Client(cluster) as client:
            assert client.submit(abs, -3).result() == 3


def test_a_scheduler_that_goes_away_is_one_line() -> None:
    import dask
    import distributed

    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    )
    with dask.config.set({"distributed.comm.timeouts.connect": "500ms"}):
        results = DaskExecutor(1, cluster.scheduler_address).map(time.sleep, [0.0, *[1.0] * 5])
        next(results)
        threading.Thread(target=cluster.close).start()
        with pytest.raises(ToolkitError, match="the Dask scheduler went away"):
            list(results)


def test_workers_that_cannot_start_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an endless loop of new pools."""

    class StillbornPool:
        def __init__(self, **_: Any) -> None: ...

        def submit(self, *_: Any) -> Any:
            from joblib.externals.loky.process_executor import BrokenProcessPool

            raise BrokenProcessPool("no worker")

        def shutdown(self, **_: Any) -> None: ...

    monkeypatch.setattr("joblib.externals.loky.ProcessPoolExecutor", StillbornPool)
    with pytest.raises(ToolkitError, match="die before they take any work"):
        list(LocalExecutor(2).map(abs, [1, 2, 3]))


def test_one_thread_a_worker_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert list(LocalExecutor(1).map(os.getenv, ["OMP_NUM_THREADS"])) == ["1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert list(LocalExecutor(1).map(os.getenv, ["OMP_NUM_THREADS"])) == ["3"]


ORPHANS = """
import os, sys, time
from manifests.execution import LocalExecutor
for pid in LocalExecutor(2).map(lambda n: time.sleep(0.3) or os.getpid(), range(1000)):
    print(pid, flush=True)
"""


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux who is alive")
def test_workers_do_not_outlive_a_killed_build() -> None:
    main = subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True)
    assert main.stdout is not None
    workers: set[int] = set()
    while len(workers) < 2:
        workers.add(int(main.stdout.readline()))
    os.kill(main.pid, signal.SIGKILL)
    main.wait()
    deadline_s = time.monotonic() + 10
    while any(map(is_alive, workers)) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert not [pid for pid in workers if is_alive(pid)]
    main.stdout.close()


def test_whom_dask_blames_wrongly_is_tried_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask blames every item that a dying worker held; here it blames 2 for what 1 did."""
    executor = DaskExecutor(1)
    killed = executor._distributed.KilledWorker

    class Future:
        def __init__(self, item: int, blamed: set[int]) -> None:
            self.item, self.blamed = item, blamed

        def result(self) -> int:
            if self.item in self.blamed:
                raise killed("task", "worker", 3)
            return self.item

    class Client:
        def map(self, _: Any, items: list[int], **__: Any) -> list[Future]:
            return [Future(item, {1, 2}) for item in items]

        def submit(self, _: Any, item: int, **__: Any) -> Future:
            return Future(item, {1})

    monkeypatch.setattr(executor, "_client", lambda _: contextlib.nullcontext(Client()))
    monkeypatch.setattr(executor._distributed, "as_completed", list)
    results = list(executor.map(abs, [0, 1, 2, 3]))
    assert results == [0, 3, Died(1, "several Dask workers died on it"), 2]


# -- workers elsewhere ------------------------------------------------------------------------------


@pytest.fixture
def cluster() -> Any:
    """A scheduler of its own with one worker in this process."""
    import distributed

    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        yield cluster


def test_workers_show_that_they_share_the_folders(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "clip.mpg"
    source.write_bytes(b"clip")
    out = tmp_path / "out"
    out.mkdir()
    shared = Shared(str(out), str(source))
    results = create_executor("dask", 1, cluster.scheduler_address, shared).map(abs, [-1])
    assert list(results) == [1]
    assert list(out.iterdir()) == [], "the token is gone"

    def refused(answer: Any) -> str:
        monkeypatch.setattr(execution, "_answer", answer)
        executor = create_executor("dask", 1, cluster.scheduler_address, shared)
        with pytest.raises(BadInput) as caught:
            list(executor.map(abs, [-1]))
        assert list(out.iterdir()) == []
        return str(caught.value)

    real = execution._answer
    absent = str(tmp_path / "absent")
    said = refused(lambda token, source: real(os.path.join(absent, "token"), source))
    assert said.startswith("1 of 1 Dask workers do not share the folders of this build, e.g. ")
    assert "No such file or directory; put --corpus and --out on a file system" in said
    assert f"{absent}: No such file" in refused(lambda token, source: real(token, absent))
    assert "it sees other files there" in refused(lambda *_: ("another token", 4))
    assert "it sees other files there" in refused(
        lambda token, source: (Path(token).read_text(), 5)
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_worker_that_may_not_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    tmp_path.chmod(0o500)
    try:
        said, size = execution._answer(str(tmp_path / "token"), str(tmp_path / "token"))
    finally:
        tmp_path.chmod(0o700)
    assert "cannot be written to" in said
    assert size == -1


def test_a_scheduler_without_workers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import distributed

    monkeypatch.setattr(execution, "WORKERS_TIMEOUT_S", 0.5)
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(ToolkitError, match=f"0 workers at {address}") as caught:
            list(create_executor("dask", 1, address).map(abs, [-1]))
    assert f"start some with `dask worker {address}`" in str(caught.value)
    assert f"0 workers at {address}; waiting up to" in capsys.readouterr().err


def test_workers_that_all_go_away_are_given_up(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(execution, "WORKERS_TIMEOUT_S", 0.6)
    results = create_executor("dask", 1, cluster.scheduler_address).map(
        time.sleep, [0.0, *[0.3] * 20]
    )
    next(results)
    cluster.scale(0)
    with pytest.raises(ToolkitError, match="0 workers at"):
        list(results)
    assert "giving up in" in capsys.readouterr().err
