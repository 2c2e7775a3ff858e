"""Number of processors that this process may use, within the limits of schedulers and containers.

`os.cpu_count()` is the number of the machine. Under `taskset`, SLURM, Docker or Kubernetes a process
may run on fewer; as many workers as the machine has processors would then only compete for them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def available_cpus(groups: Path = CGROUPS, own: Path = OWN_GROUPS) -> int:
    """The number of processors this process may keep busy, at least one.

    The smallest of: the processors of the machine, those of the affinity mask (`taskset`, SLURM,
    cpusets), and the bandwidth limit of every control group that the process is in (cgroup v2
    `cpu.max`, v1 `cpu.cfs_quota_us`), rounded up.

    Args:
        groups: where the control groups are mounted.
        own: the file that says which groups the process is in.

    >>> available_cpus() >= 1
    True
    """
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    limits = [math.ceil(share) for share in _limits(groups, own)]
    return max(1, min([count, *limits]))


def _limits(groups: Path, own: Path) -> Iterator[float]:
    """The processors that each control group of this process may use, where one limits them."""
    for folder in _folders(groups, own):
        try:  # v2
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            try:  # v1
                quota = (folder / "cpu.cfs_quota_us").read_text()
                period = (folder / "cpu.cfs_period_us").read_text()
            except OSError:
                continue
        try:
            share = int(quota) / int(period)
        except (ValueError, ZeroDivisionError):  # `max` is no limit
            continue
        if share > 0:  # v1 writes -1 for no limit
            yield share


def _folders(groups: Path, own: Path) -> Iterator[Path]:
    """The control groups of this process, from its own up to the root: a limit anywhere holds.

    Inside a container the path that `/proc` gives may not be mounted; the root then is the group.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in (groups, *(groups / name for name in (controllers, "cpu") if name)):
            inside = PurePosixPath(path.lstrip("/"))
            for part in (inside, *inside.parents) if path.lstrip("/") else (inside,):
                yield mount / part
