"""Running a function over many items: on local processes (joblib's loky) or on Dask.

One promise for both: every item comes back exactly once, as its result or as a `Died`, in any
order, whatever happens to a worker. An item during which a worker dies is tried once more on its own
before it is given up, so that one poisonous clip cannot take a build down.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from manifests.errors import BadInput, MissingDependency

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Died(Generic[ItemT]):
    """An item whose worker process died, twice."""

    item: ItemT
    cause: str


class Executor(Protocol):
    """Maps a function over items; see the module for the promise."""

    def map(
        self, function: Callable[[ItemT], ResultT], items: Sequence[ItemT]
    ) -> Iterator[ResultT | Died[ItemT]]: ...


def limit_threads() -> None:
    """One thread a worker: parallelism is over clips, and more threads only fight for the cores."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")


class LocalExecutor:
    """Worker processes on this machine: joblib's loky, which imports afresh (mediapipe hangs after a
    fork) and replaces a worker whose memory has grown by 300 MB (mediapipe leaks a little).

    `joblib.Parallel` itself is not used: when a worker dies it cannot say which items were lost.

    Args:
        jobs: number of worker processes.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def map(
        self, function: Callable[[ItemT], ResultT], items: Sequence[ItemT]
    ) -> Iterator[ResultT | Died[ItemT]]:
        """See the module for the promise."""
        limit_threads()
        waiting = deque(items)
        while waiting:
            suspects: list[ItemT] = []
            yield from self._run(function, waiting, suspects)
            # One of the few items that were in flight when a process died did it; nobody knows
            # which. Each is run in a process of its own, so that only the culprit is lost.
            for item in suspects:
                alone: list[ItemT] = []
                yield from LocalExecutor(1)._run(function, deque([item]), alone)
                if alone:
                    yield Died(item, "the worker process died on it twice")

    def _run(
        self,
        function: Callable[[ItemT], ResultT],
        waiting: deque[ItemT],
        suspects: list[ItemT],
    ) -> Iterator[ResultT]:
        """Works `waiting` off; items that were in flight when a process died land in `suspects`."""
        from joblib.externals.loky import ProcessPoolExecutor
        from joblib.externals.loky.process_executor import BrokenProcessPool

        pool = ProcessPoolExecutor(max_workers=self.jobs, initializer=limit_threads)
        flying: dict[Future[ResultT], ItemT] = {}
        try:
            while waiting or flying:
                while waiting and len(flying) < 2 * self.jobs:
                    item = waiting.popleft()
                    try:
                        flying[pool.submit(function, item)] = item
                    except BrokenProcessPool:
                        waiting.appendleft(item)
                        break
                done, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in done:
                    item = flying.pop(future)
                    try:
                        result = future.result()
                    except BrokenProcessPool:
                        suspects += [item, *flying.values()]
                        return
                    yield result
        finally:
            pool.shutdown(wait=True, kill_workers=True)


class DaskExecutor:
    """A Dask cluster: `--scheduler ADDRESS`, or one started on this machine.

    Workers must see the corpus and the build folder under the same paths. Dask itself reruns the
    items of a dead worker elsewhere; an item that killed several workers comes back as `Died`.
    """

    def __init__(self, jobs: int, scheduler: str = "") -> None:
        try:
            import distributed
        except ImportError:
            raise MissingDependency(
                "the Dask backend needs dask.distributed", "pip install 'facetron-toolkit[dask]'"
            ) from None
        self._distributed = distributed
        self.jobs = jobs
        self.scheduler = scheduler

    def map(
        self, function: Callable[[ItemT], ResultT], items: Sequence[ItemT]
    ) -> Iterator[ResultT | Died[ItemT]]:
        limit_threads()
        distributed = self._distributed
        if self.scheduler:
            try:
                client = distributed.Client(self.scheduler, timeout="10s")
            except (OSError, ValueError) as error:
                raise BadInput(
                    f"no Dask scheduler answers at {self.scheduler} ({error})", "check --scheduler"
                ) from None
            cluster = None
        else:
            cluster = distributed.LocalCluster(
                n_workers=self.jobs,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=40,
            )
            client = distributed.Client(cluster)
        try:
            futures = {
                future: index
                for index, future in enumerate(
                    client.map(function, list(items), pure=False, retries=1, batch_size=256)
                )
            }
            for future in distributed.as_completed(futures):
                try:
                    yield future.result()
                except distributed.KilledWorker:
                    yield Died(items[futures[future]], "several Dask workers died on it")
                future.release()
        finally:
            client.close()
            if cluster is not None:
                cluster.close()


def create_executor(backend: str, jobs: int, scheduler: str = "") -> Executor:
    """`local` or `dask`. Raises `BadInput` for anything else."""
    if jobs < 1:
        raise BadInput(f"--jobs {jobs}", "use at least one")
    if scheduler and backend != "dask":
        raise BadInput("--scheduler is for --backend dask", "add --backend dask")
    if backend == "local":
        return LocalExecutor(jobs)
    if backend == "dask":
        return DaskExecutor(jobs, scheduler)
    raise BadInput(f"unknown execution backend {backend!r}", "use local or dask")
