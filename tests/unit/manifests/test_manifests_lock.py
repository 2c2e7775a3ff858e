"""One writer per folder, where the file system can tell; a warning where it cannot."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from manifests import console
from manifests.errors import Locked
from manifests.lock import held


@pytest.fixture(autouse=True)
def nothing_warned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_warned", set())


def refusing(number: int) -> object:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return flock


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    told = pytest.raises(Locked, match="is being written by process")
    with held(tmp_path / "new"), told, held(tmp_path / "new"):
        pass
    with held(tmp_path / "new"):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL])
def test_without_locks_the_work_goes_on_after_one_warning(
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(number))
    for _ in range(3):
        with held(tmp_path):
            (tmp_path / "written").touch()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {tmp_path} is on a file system without locks (")


def test_any_other_error_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"), held(tmp_path):
        pass
