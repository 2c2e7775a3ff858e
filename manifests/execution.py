"""Runs a function over many items in worker processes on this machine (joblib's loky).

Every item comes back exactly once, as its result or as a `Died`, in any order, whatever happens to a
worker. An item during which a worker dies is tried once more on its own before it counts as `Died`,
so that one clip that crashes a library ends neither a build nor a scoring.
"""

from __future__ import annotations

import contextlib
import multiprocessing.resource_tracker
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from manifests.errors import ToolkitError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

STILLBORN_POOLS = 3
"""Pools in a row that break before they take any work: something is wrong with the machine."""


@dataclass(frozen=True)
class Died(Generic[ItemT]):
    """An item whose worker process died, twice."""

    item: ItemT
    cause: str


class Executor(Protocol):
    """Maps a function over items; every item comes back exactly once (see the module)."""

    def map(
        self, function: Callable[[ItemT], ResultT], items: Sequence[ItemT]
    ) -> Generator[ResultT | Died[ItemT], None, None]: ...


def limit_threads() -> None:
    """Limits libraries to one thread per worker: parallelism is over clips, and further threads would
    only compete for the cores."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Blocks Ctrl-C; processes and threads started meanwhile never receive it.

    A terminal sends it to every process of the group. The build itself answers it, by ending its
    workers; a worker that answered too, with a traceback, would only make noise.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker() -> None:
    """Prepares a local worker process."""
    limit_threads()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers it, by ending this process
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()


def _die_with(parent: int) -> None:
    """Ends this process soon after its parent: loky's workers would outlive a build that was killed,
    hold its memory for ever and finish what they were at while the next build runs."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


class _Waiting(Generic[ItemT]):
    """Items whose turn has not come: what a sequence makes of them only then is not in memory before."""

    def __init__(self, items: Sequence[ItemT]) -> None:
        self._coming, self._left = iter(items), len(items)
        self._returned: deque[ItemT] = deque()

    def __len__(self) -> int:
        return self._left

    def popleft(self) -> ItemT:
        item = self._returned.popleft() if self._returned else next(self._coming)
        self._left -= 1
        return item

    def appendleft(self, item: ItemT) -> None:
        self._returned.appendleft(item)
        self._left += 1


class LocalExecutor:
    """Worker processes on this machine: joblib's loky, which imports afresh (libraries with threads
    hang after a fork) and replaces a worker whose memory has grown by 300 MB.

    `joblib.Parallel` itself is not used: when a worker dies it cannot say which items were lost.

    Args:
        jobs: number of worker processes.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def map(
        self, function: Callable[[ItemT], ResultT], items: Sequence[ItemT]
    ) -> Generator[ResultT | Died[ItemT], None, None]:
        """See the module for the promise."""
        limit_threads()
        # loky would print pages of stacks of a worker that crashes; one clip's failure is a line.
        os.environ.setdefault("PYTHONFAULTHANDLER", "")
        # Nor is a worker that is replaced for its memory's sake a sign of a fault.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        waiting = _Waiting(items)
        stillborn = 0
        while waiting:
            suspects: deque[ItemT] = deque()
            left = len(waiting)
            yield from self._run(function, waiting, suspects, self.jobs, ahead=2)
            stillborn = stillborn + 1 if len(waiting) == left else 0
            if stillborn == STILLBORN_POOLS:
                raise ToolkitError(
                    "worker processes die before they take any work",
                    "look for the cause in the system's log (memory limits?) or use fewer --jobs",
                )
            # One of the few items that were in flight when a process died did it; nobody knows
            # which. They are run again one at a time, so that only the culprit is lost.
            while suspects:
                culprits: deque[ItemT] = deque()
                left = len(suspects)
                yield from self._run(function, suspects, culprits, jobs=1, ahead=1)
                if len(suspects) == left:
                    culprits.append(suspects.popleft())
                for item in culprits:
                    yield Died(item, "the worker process died on it twice")

    def _run(
        self,
        function: Callable[[ItemT], ResultT],
        waiting: _Waiting[ItemT] | deque[ItemT],
        suspects: deque[ItemT],
        jobs: int,
        ahead: int,
    ) -> Iterator[ResultT]:
        """Works `waiting` off, until it is done or a process dies: what was in flight then lands in
        `suspects`.

        Args:
            ahead: items in flight per worker; with 2 the next one is ready when one is done.
        """
        from joblib.externals.loky import ProcessPoolExecutor
        from joblib.externals.loky.backend import resource_tracker
        from joblib.externals.loky.process_executor import BrokenProcessPool

        jobs = min(jobs, len(waiting))
        # Starting either tracker lets Ctrl-C through again, so that must be over before workers start.
        multiprocessing.resource_tracker.ensure_running()
        resource_tracker.ensure_running()
        pool = ProcessPoolExecutor(max_workers=jobs, initializer=start_worker)
        flying: dict[Future[ResultT], ItemT] = {}
        try:
            while waiting or flying:
                while waiting and len(flying) < ahead * jobs:
                    item = waiting.popleft()
                    try:
                        with _interrupts_held():  # workers are started when they are needed
                            flying[pool.submit(function, item)] = item
                    except BrokenProcessPool:
                        waiting.appendleft(item)
                        if not flying:
                            return
                        break
                done, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in done:
                    item = flying.pop(future)
                    try:
                        result = future.result()
                    except BrokenProcessPool:
                        suspects.extend((item, *flying.values()))
                        return
                    yield result
        finally:
            pool.shutdown(wait=True, kill_workers=True)
