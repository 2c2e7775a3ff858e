"""Processors that this process may use, whatever limits them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from manifests.cpus import available_cpus


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 processors, all of them ours as far as the affinity mask says."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def files(root: Path, own: str, **contents: str) -> tuple[Path, Path]:
    """Control groups below `root`: (where they are mounted, the file that names ours)."""
    for name, text in contents.items():
        path = root / "cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "own").write_text(own)
    return root / "cgroup", root / "own"


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("own", "contents", "expected"),
    [
        ("0::/\n", {}, 64),
        ("0::/\n", {"cpu_DOT_max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu_DOT_max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu_DOT_max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu_DOT_max": "10000 100000\n"}, 1),
        ("0::/a/job7\n", {"a__job7__cpu_DOT_max": "max 100000\n", "a__cpu_DOT_max": "400000 100000\n"}, 4),
        ("0::/not/mounted\n", {"cpu_DOT_max": "300000 100000\n"}, 3),
        (
            "5:memory:/x\n4:cpu,cpuacct:/job\n",
            {"cpu,cpuacct__job__cpu_DOT_cfs_quota_us": "800000\n",
             "cpu,cpuacct__job__cpu_DOT_cfs_period_us": "100000\n"},
            8,
        ),
        (
            "4:cpu,cpuacct:/job\n",
            {"cpu__job__cpu_DOT_cfs_quota_us": "500000\n", "cpu__job__cpu_DOT_cfs_period_us": "100000\n"},
            5,
        ),
        (
            "4:cpu:/\n",
            {"cpu__cpu_DOT_cfs_quota_us": "-1\n", "cpu__cpu_DOT_cfs_period_us": "100000\n"},
            64,
        ),
        ("0::/\n", {"cpu_DOT_max": "rubbish\n"}, 64),
    ],
)  # fmt: skip
def test_limits_of_control_groups_hold(
    tmp_path: Path, own: str, contents: dict[str, str], expected: int
) -> None:
    assert available_cpus(*files(tmp_path, own, **contents)) == expected


def test_the_affinity_mask_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 9, 11}, raising=False)
    assert available_cpus(tmp_path, tmp_path / "absent") == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS and Windows have none
    assert available_cpus(tmp_path, tmp_path / "absent") == 64


def test_here_it_is_no_more_than_the_machine_has() -> None:
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_all_programs_take_it_for_their_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever option means "as many as there are" asks here."""
    mine = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mine)})
        assert available_cpus() == 1
        from evaluation.commands.score import score
        from gridprep.commands.build import build
        from gridprep.commands.verify import verify

        for command in (build, verify, score):
            (jobs,) = (option for option in command.params if option.name == "jobs")
            assert callable(jobs.default)
            assert jobs.default() == 1
    finally:
        os.sched_setaffinity(0, mine)
