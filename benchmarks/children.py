"""Measurements in processes of their own: one whose memory nothing else has used, several at once, one
that is ended when it takes too long or too much memory."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import psutil

LEAST_FREE_MB = 500.0
"""A machine with less free memory than this ends the measurement, before it ends something else."""

Start = Callable[[], object]
"""Waits until all copies of a measurement are as far."""


@dataclass(frozen=True)
class Outcome:
    """Attributes:
    rows: what each copy yielded.
    stopped: why a copy did not come to its end; "" if all did.
    """

    rows: tuple[list[Any], ...]
    stopped: str


@dataclass(frozen=True)
class _End:
    reason: str


def run(
    work: Callable[..., Iterator[Any]],
    *args: Any,
    copies: int = 1,
    limit_s: float = 600.0,
) -> Outcome:
    """Yields what `work(start, *args)` yields in each of several fresh processes. Items that
    were yielded before a process was stopped are kept."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(copies)
    rows: tuple[list[Any], ...] = tuple([] for _ in range(copies))
    open_: dict[Connection, int] = {}
    processes = []
    for number in range(copies):
        here, there = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_child, args=(there, barrier, work, args), daemon=True)
        process.start()
        there.close()
        processes.append(process)
        open_[here] = number
    ends_s = time.monotonic() + limit_s
    stopped = ""
    while open_ and not stopped:
        for pipe in wait(list(open_), 0.1):
            assert isinstance(pipe, Connection)
            try:
                item = pipe.recv()
            except EOFError:
                item = _End("its process died")
            if not isinstance(item, _End):
                rows[open_[pipe]].append(item)
                continue
            del open_[pipe]
            stopped = stopped or item.reason
        if open_ and time.monotonic() > ends_s:
            stopped = f"over {limit_s:.0f} s"
        if psutil.virtual_memory().available / 1e6 < LEAST_FREE_MB:
            stopped = stopped or "this machine's memory is full"
    for process in processes:
        if stopped:
            process.kill()
        process.join()
    return Outcome(rows, stopped)


def _child(
    pipe: Connection, barrier: Any, work: Callable[..., Iterator[Any]], args: tuple[Any, ...]
) -> None:
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        for row in work(barrier.wait, *args):
            pipe.send(row)
    except Exception as error:  # becomes the reason in the table
        first, *_ = str(error).splitlines() or [""]
        pipe.send(_End(f"{type(error).__name__}: {first[:120]}"))
    else:
        pipe.send(_End(""))


def _end_with(parent: int) -> None:
    """Ends this process when who started it is gone, killed or not."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def resident_mb() -> float:
    """Memory of this process now."""
    return float(psutil.Process().memory_info().rss) / 1e6


def forget_peak() -> None:
    """Lets `peak_mb` count from now on, where the system allows it (Linux)."""
    refs = Path("/proc/self/clear_refs")
    if refs.exists():
        refs.write_text("5")


def peak_mb() -> float:
    """The most memory that this process had at once. Not `ru_maxrss`, which a process has from whoever
    started it."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [x for x in status.read_text().splitlines() if x.startswith("VmHWM")]
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
