"""Running a function over many items: on local processes (`manifests.execution`) or on Dask, under one
promise: every item comes back exactly once, as its result or as a `Died`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

import click

from manifests.errors import BadInput, MissingDependency, ToolkitError
from manifests.execution import Died, Executor, ItemT, LocalExecutor, ResultT, limit_threads

CONNECT_TIMEOUT = "10s"

WORKERS_TIMEOUT_S = 60.0
"""How long a scheduler without workers is waited for."""

WORKERS_EVERY_S = 5.0
"""Interval of the checks whether any worker is left."""


@dataclass(frozen=True)
class Shared:
    """Files that workers on other machines must see under the same paths as the main process.

    Attributes:
        folder: where results go; a token is written there and read back by every worker.
        source: a file that the work reads.
        what: what is done, for the message to somebody whose workers do not see them.
        remedy: what to put where, likewise.
    """

    folder: str
    source: str
    what: str = "build"
    remedy: str = "put --corpus and --out on a file system that all machines mount at the same path"


def _answer(token_path: str, source: str) -> tuple[str, int]:
    """Run by a Dask worker: (the token that it reads, the size of the clip that it sees), where it
    can write into the token's folder; what is wrong and -1 where not."""
    try:
        with open(token_path, encoding="utf-8") as file:
            token = file.read()
    except OSError as error:
        return f"{token_path}: {error.strerror}", -1
    try:
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(token_path), prefix=".tmp-"):
            pass
    except OSError as error:
        return f"{os.path.dirname(token_path)} cannot be written to: {error.strerror}", -1
    try:
        return token, os.path.getsize(source)
    except OSError as error:
        return f"{source}: {error.strerror}", -1


class DaskExecutor:
    """A Dask cluster: `--scheduler ADDRESS`, or one started on this machine.

    Workers must see the files of the work under the same paths. Dask itself reruns the
    items of a dead worker elsewhere; it blames every item that the worker held, so those blamed too
    often are tried again one by one when all others are done.

    Before the first item, every worker shows that it sees the same folders. Later ones may join
    unasked, so whoever asked for files still looks whether they are there.

    Args:
        jobs: number of worker processes of a cluster on this machine.
        scheduler: address of a running one, or "".
        shared: what all workers must see.
    """

    def __init__(self, jobs: int, scheduler: str = "", shared: Shared | None = None) -> None:
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
        self.shared = shared
        self._gave_up = False
        self._flying: dict[Any, Any] = {}

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
                self._wait_for_workers(client)
                if self.shared is not None:
                    self._shake_hands(client, self.shared)
                gone = threading.Event()
                watch = threading.Thread(target=self._watch, args=(client, gone), daemon=True)
                watch.start()
                try:
                    yield client
                finally:
                    gone.set()
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

    def _workers(self, client: Any) -> int:
        return len(client.scheduler_info(n_workers=-1)["workers"])

    def _nobody(self) -> ToolkitError:
        return ToolkitError(
            f"0 workers at {self.scheduler}, waited for {WORKERS_TIMEOUT_S:.0f} s",
            f"start some with `dask worker {self.scheduler}` and run this again",
        )

    def _wait_for_workers(self, client: Any) -> None:
        """Waits for a first worker. Raises `ToolkitError` where none comes."""
        if self._workers(client):
            return
        self._say(f"0 workers at {self.scheduler}; waiting up to {WORKERS_TIMEOUT_S:.0f} s for one")
        try:
            client.wait_for_workers(1, timeout=WORKERS_TIMEOUT_S)
        except TimeoutError:
            raise self._nobody() from None

    def _shake_hands(self, client: Any, shared: Shared) -> None:
        """Has every worker read a token from the shared folder. Raises `BadInput` naming one that
        cannot."""
        token = secrets.token_hex(16)
        size = os.path.getsize(shared.source)
        with tempfile.NamedTemporaryFile(
            "w", dir=shared.folder, prefix=".tmp-token-", encoding="utf-8"
        ) as file:
            file.write(token)
            file.flush()
            os.fsync(file.fileno())
            answers = client.run(_answer, file.name, shared.source)
        strangers = {where: said for where, said in answers.items() if said != (token, size)}
        if strangers:
            where, (what, seen) = next(iter(strangers.items()))
            problem = what if seen == -1 else "it sees other files there"
            raise BadInput(
                f"{len(strangers)} of {len(answers)} Dask workers do not share the folders of this "
                f"{shared.what}, e.g. {where}: {problem}",
                shared.remedy,
            )

    def _watch(self, client: Any, gone: threading.Event) -> None:
        """Cancels the work when all workers stay away."""
        empty_since_s: float | None = None
        while not gone.wait(min(WORKERS_EVERY_S, WORKERS_TIMEOUT_S / 3)):
            try:
                count = self._workers(client)
            except Exception:  # the connection is going down; whoever waits for results sees why
                return
            now_s = time.monotonic()
            if count:
                empty_since_s = None
            elif empty_since_s is None:
                empty_since_s = now_s
                self._say(f"0 workers at {self.scheduler}; giving up in {WORKERS_TIMEOUT_S:.0f} s")
            elif now_s - empty_since_s > WORKERS_TIMEOUT_S:
                self._gave_up = True
                client.cancel(list(self._flying), force=True)
                return

    @staticmethod
    def _say(line: str) -> None:
        click.echo(f"dask: {line}", err=True)

    def map(
        self, function: Callable[[ItemT], ResultT], items: Sequence[ItemT]
    ) -> Generator[ResultT | Died[ItemT], None, None]:
        """See the module for the promise."""
        if not items:
            return
        items = list(items)  # Dask keeps them all anyway
        suspects: list[ItemT] = []
        try:
            with self._client(len(items)) as client:
                # Longer names would travel with every item; pure=False because files are written.
                futures = client.map(function, items, pure=False, batch_size=256)
                waiting = dict(zip(futures, items, strict=True))
                self._flying = waiting
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
            if self._gave_up:
                raise self._nobody() from None
            raise ToolkitError(
                f"the Dask scheduler went away ({error})", "start it and run this again to go on"
            ) from None


def create_executor(
    backend: str, jobs: int, scheduler: str = "", shared: Shared | None = None
) -> Executor:
    """The executor `local` or `dask`. Raises `BadInput` for another name.

    Args:
        shared: files that workers on other machines must see too.
    """
    if jobs < 1:
        raise BadInput(f"--jobs {jobs}", "use at least one")
    if scheduler and backend != "dask":
        raise BadInput("--scheduler is for --backend dask", "add --backend dask")
    if backend == "local":
        return LocalExecutor(jobs)
    if backend == "dask":
        return DaskExecutor(jobs, scheduler, shared)
    raise BadInput(f"unknown execution backend {backend!r}", "use local or dask")
