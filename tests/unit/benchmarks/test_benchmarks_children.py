"""Measurements in processes of their own: what they say is kept, and that they end."""

from __future__ import annotations

import sys

import benchmark_children as work
import psutil
import pytest

from benchmarks import children


def test_copies_are_processes_of_their_own_and_start_together() -> None:
    done = children.run(work.three, 5, copies=2)
    assert done.stopped == ""
    assert [[number for number, _ in rows] for rows in done.rows] == [[5, 6, 7]] * 2
    assert len({pid for rows in done.rows for _, pid in rows}) == 2


def test_what_was_said_before_a_fault_is_kept() -> None:
    assert children.run(work.breaks) == children.Outcome(([1],), "ValueError: no more")
    assert children.run(work.dies) == children.Outcome(([1],), "its process died")


def test_what_takes_too_long_or_too_much_memory_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    done = children.run(work.sleeps, limit_s=2.0)
    assert done.stopped == "over 2 s"
    assert all(not psutil.pid_exists(pid) for rows in done.rows for pid in rows)
    monkeypatch.setattr(children, "LEAST_FREE_MB", 1e9)
    assert children.run(work.sleeps).stopped == "this machine's memory is full"


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are forgotten on Linux alone")
def test_the_peak_is_this_processs_own_and_can_be_forgotten() -> None:
    ours = bytearray(b"x") * 150_000_000
    ((small, over),), ((large, _),) = (children.run(work.grows, n).rows[0] for n in (1, 100))
    del ours
    assert 80 < large - small < 120
    assert small < 140  # the 150 MB are not its own
    assert over < 20
