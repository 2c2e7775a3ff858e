"""Running a function over many items: on local processes (`manifests.execution`) or on Dask, under one
promise: every item comes back exactly once, as its result or as a `Died`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

from manifests.errors import BadInput, MissingDependency, ToolkitError
from manifests.execution import Died, Executor, ItemT, LocalExecutor, ResultT, limit_threads

CONNECT_TIMEOUT = "10s"


class DaskExecutor:
    """A Dask cluster: `--scheduler ADDRESS`, or one started on this machine.

    Workers must see the corpus and the build folder under the same paths. Dask itself reruns the
    items of a dead worker elsewhere; it blames every item that the worker held, so those blamed too
    often are tried again one by one when all others are done.

    Args:
        jobs: number of worker processes of a cluster on this machine.
        scheduler: address of a running one, or "".
    """

    def __init__(self, jobs: int, scheduler: str = "") -> None:
        try:
            import dask
            import distributed
        except ImportError:
            raise MissingDependency(
                "the Dask backend needs dask.distributed", "pip install 'facetron-toolkit[dask]'"
            ) from None
        self._distributed, self._config = distributed, dask.config
        self.jobs = jobs
        self.scheduler = scheduler

    @contextlib.contextmanager
    def _client(self, n_items: int) -> Iterator[Any]:
        distributed = self._distributed
        if self.scheduler:
            try:
                client = distributed.Client(self.scheduler, timeout=CONNECT_TIMEOUT)
            except (OSError, ValueError) as error:
                raise BadInput(
                    f"no Dask scheduler answers at {self.scheduler} ({error})", "check --scheduler"
                ) from None
            with client:
                yield client
            return
        limit_threads()
        tuned = {
            # The profiler wakes a hundred times a second and takes the interpreter from the work.
            "distributed.worker.profile.enabled": False,
            # Dask has malloc hand memory back at once; with pictures that is a page fault for every
            # 4 KiB of every frame.
            "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1},
        }
        with (
            self._config.set(tuned),
            distributed.LocalCluster(
                n_workers=min(self.jobs, n_items),
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                # Even without a dashboard it serves its health; any free port, or two builds clash.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                silence_logs=logging.CRITICAL,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client

    def map(
        self, function: Callable[[ItemT], ResultT], items: Sequence[ItemT]
    ) -> Generator[ResultT | Died[ItemT], None, None]:
        """See the module for the promise."""
        if not items:
            return
        suspects: list[ItemT] = []
        try:
            with self._client(len(items)) as client:
                # Longer names would travel with every item; pure=False because files are written.
                futures = client.map(function, list(items), pure=False, batch_size=256)
                waiting = dict(zip(futures, items, strict=True))
                del futures
                for future in self._distributed.as_completed(list(waiting)):
                    item = waiting.pop(future)
                    try:
                        yield future.result()
                    except self._distributed.KilledWorker:
                        suspects.append(item)
                for item in suspects:
                    try:
                        yield client.submit(function, item, pure=False).result()
                    except self._distributed.KilledWorker:
                        yield Died(item, "several Dask workers died on it")
        except CancelledError as error:
            raise ToolkitError(
                f"the Dask scheduler went away ({error})", "start it and run this again to go on"
            ) from None


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
