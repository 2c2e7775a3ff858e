"""What `test_benchmarks_children` lets run in processes of its own: nothing heavy to import."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator


def three(start: Callable[[], object], first: int) -> Iterator[tuple[int, int]]:
    start()
    for number in range(first, first + 3):
        yield number, os.getpid()


def breaks(start: Callable[[], object]) -> Iterator[int]:
    yield 1
    raise ValueError("no more\nof it")


def dies(start: Callable[[], object]) -> Iterator[int]:
    yield 1
    os._exit(3)


def sleeps(start: Callable[[], object]) -> Iterator[int]:
    yield os.getpid()
    time.sleep(600)


def grows(start: Callable[[], object], megabytes: int) -> Iterator[tuple[float, float]]:
    from benchmarks.children import forget_peak, peak_mb, resident_mb

    block = bytearray(b"x") * (megabytes * 1_000_000)
    grown = peak_mb()
    del block
    forget_peak()
    yield grown, peak_mb() - resident_mb()
